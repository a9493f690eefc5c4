// Numbers, times and ids as people read them. Pure.

const HOUR = 3_600_000;

/** 0.617 -> "0.62"; nothing known -> "–". */
export function ratio(value) {
  return Number.isFinite(value) ? value.toFixed(2) : "–";
}

/** 1234 -> "1 234" with a narrow space, 12345 -> "12.3 k". */
export function count(value) {
  if (!Number.isFinite(value)) return "–";
  if (value >= 1_000_000) return `${(value / 1_000_000).toFixed(1)} M`;
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} k`;
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Events a second: one digit while there are few. */
export function rate(value) {
  if (!Number.isFinite(value)) return "–";
  return value > 0 && value < 10 ? value.toFixed(1) : count(value);
}

/** Milliseconds as "12 s", "4 min", "3 h", "2 d". */
export function age(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 90) return `${s} s`;
  const min = Math.round(s / 60);
  if (min < 90) return `${min} min`;
  const h = Math.round(min / 60);
  return h < 48 ? `${h} h` : `${Math.round(h / 24)} d`;
}

/** A time of day; with the date when it is not within the day around `now`. */
export function clock(ms, now = ms, locale = undefined) {
  if (!Number.isFinite(ms)) return "–";
  const far = Math.abs(now - ms) > 20 * HOUR;
  const day = far ? { day: "numeric", month: "short" } : {};
  return new Intl.DateTimeFormat(locale, { ...day, hour: "2-digit", minute: "2-digit", second: far ? undefined : "2-digit", hour12: false }).format(ms);
}

/** Ids are for machines: "device-00042" -> "device 42", a pseudonym -> its first letters, a uuid -> its first eight. */
export function name(id) {
  if (/^p\.[0-9a-f]{32}$/.test(id)) return `~${id.slice(2, 8)}`;
  const uuid = /^(.*?)([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.exec(id);
  if (uuid) return `${uuid[1]}${uuid[2]}`;
  return id.replace(/[-_](?=\d+$)/, " ").replace(/ 0+(?=\d)/, " ");
}

/** "1 person", "3 people". */
export function people(number) {
  return number === 1 ? "1 person" : `${count(number)} people`;
}

/** What is read aloud: the field in a sentence. */
export function sentence(brief) {
  if (!brief) return "The field is not heard yet.";
  const rooms = brief.rooms_open === 1 ? "1 room" : `${brief.rooms_open} rooms`;
  const pairs = brief.entanglements_living === 1 ? "1 pair" : `${count(brief.entanglements_living)} pairs`;
  return `Resonance ${ratio(brief.global_resonance)}, ${people(brief.active_nodes)} in ${rooms}, ${pairs} entangled.`;
}
