// Questions to the gateway. Every one has a time limit; what went wrong is an ApiError with the gateway's own words.

const LIMIT_MS = 8000;
const ROOT = "/api/consciousness";
const kept = new Map(); // path -> { etag, body }; only for paths asked over and over
const KEPT_MOST = 8;

export class ApiError extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

export const snapshot = () => get("/snapshot");
export const room = (id) => get(`/rooms/${encodeURIComponent(id)}`);

/** All points between two moments (epoch ms): pages are followed, boundedly. */
export async function history(from, until, resolution = "auto") {
  const points = [];
  let [cursor, answer] = [null, null];
  for (let page = 0; page < 10; page += 1) {
    const query = new URLSearchParams({ from: String(Math.floor(from)), until: String(Math.ceil(until)), resolution });
    if (cursor) query.set("cursor", cursor);
    answer = await get(`/history?${query}`, true);
    points.push(...answer.data.points);
    cursor = answer.data.next;
    if (!cursor) break;
  }
  return { resolution: answer.data.resolution, points };
}

/** Events of the past, one page: what stood in the field just before a moment. */
export async function before(moment, types, back_ms, limit = 500) {
  const query = new URLSearchParams({ from: String(Math.floor(moment - back_ms)), until: String(Math.floor(moment)), limit: String(limit) });
  if (types) query.set("type", types);
  return (await get(`/archaeology?${query}`)).data.events;
}

/** Opts a device out (or in). */
export async function opt(device, out, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  return ask(`${ROOT}/${out ? "opt-out" : "opt-in"}`, { method: "POST", headers, body: JSON.stringify({ device_id: device }) });
}

/** `keep`: asked again with its ETag. Not for what says how old it is: a 304 would bring back the age of then. */
async function get(path, keep = false) {
  const known = keep ? kept.get(path) : null;
  const headers = known ? { "If-None-Match": known.etag } : {};
  return ask(ROOT + path, { headers, cache: "no-store" }, keep ? path : null, known);
}

async function ask(url, init, path = null, known = null) {
  let answer;
  try {
    answer = await fetch(url, { ...init, signal: AbortSignal.timeout(LIMIT_MS) });
  } catch (error) {
    throw new ApiError(0, "away", error.name === "TimeoutError" ? "the gateway takes too long" : "the gateway does not answer");
  }
  if (answer.status === 304 && known) return known.body;
  let body = null;
  try {
    body = await answer.json();
  } catch {
    throw new ApiError(answer.status, "unreadable", `the gateway answered ${answer.status}`);
  }
  if (!answer.ok) throw new ApiError(answer.status, body.code ?? "problem", body.detail ?? body.title ?? `the gateway answered ${answer.status}`);
  const etag = answer.headers.get("ETag");
  if (etag && path) {
    kept.delete(path);
    kept.set(path, { etag, body });
    if (kept.size > KEPT_MOST) kept.delete(kept.keys().next().value);
  }
  return body;
}
