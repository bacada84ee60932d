/**
 * A long list of which only what is seen is there.
 *
 * Lines are shown in elements that are used again: line `i` in element `i` modulo their number, so one that scrolls out above
 * comes back below with other words in it, and those between stay as they are.
 */

/** Lines kept ready above and below. */
const SPARE = 6

/** The lines from `first` to before `last`, when `above` pixels of the list are above a window that is `high`. */
export function visible(above: number, high: number, height: number, count: number): { first: number; last: number } {
  const first = Math.min(Math.max(0, Math.floor(above / height) - SPARE), count)
  const last = Math.max(first, Math.min(count, Math.floor(above / height) + seen(high, height) + SPARE))
  return { first, last }
}

/** Elements that are needed at most. */
export function elements(high: number, height: number): number {
  return seen(high, height) + 2 * SPARE
}

/** Lines that a window touches at most. */
function seen(high: number, height: number): number {
  return Math.ceil(high / height) + 1
}
