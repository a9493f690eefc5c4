// How long to wait before the next try. Pure, but for chance, which is an argument.

const FIRST_MS = 500;
const MOST_MS = 15_000;

/** The wait before try number `tries` (0, 1, 2 ...): doubles, half of it by chance, so that many pages do not come at once. */
export function wait(tries, chance = Math.random()) {
  const most = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(tries, 10));
  return Math.round(most / 2 + (most / 2) * chance);
}
