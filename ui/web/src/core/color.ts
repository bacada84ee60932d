/**
 * A colour for each version: the same on every screen, in every browser and after every reload, and different ones within a gateway.
 *
 * The path of a route names a slot of a palette that people with any colour vision can tell apart (after Okabe and Ito). Where two
 * paths of one gateway name the same slot, the one that sorts later takes the next free slot; so a colour only ever depends on the
 * versions beside it that sort before.
 */

/** Number of colours; more versions than that repeat them, with a pattern. */
export const SLOTS = 7

/** Which colour a route has: the number of the slot, and in which round of the palette. */
export interface Hue {
  readonly slot: number
  readonly round: number
}

/** Colours of all routes of a gateway. */
export function hues(paths: readonly string[]): Map<string, Hue> {
  const taken = new Set<string>()
  const found = new Map<string, Hue>()
  for (const path of [...paths].sort(compare)) {
    const first = slot(path)
    let round = 0
    let offset = 0
    while (taken.has(`${(first + offset) % SLOTS}/${round}`)) {
      if (++offset === SLOTS) {
        offset = 0
        round++
      }
    }
    const hue = { slot: (first + offset) % SLOTS, round }
    taken.add(`${hue.slot}/${round}`)
    found.set(path, hue)
  }
  return found
}

/** The CSS colour of a slot; light and dark themes give it different values. */
export function css(hue: Hue | undefined): string {
  return `var(--version-${hue?.slot ?? 0})`
}

/** Angles of the stripes of later rounds. */
const STRIPES = [45, 90, -45]

/** The CSS background of a slot: plain in the first round of the palette, with stripes of that many pixels in others. */
export function fill(hue: Hue | undefined, pixels: number): string {
  const color = css(hue)
  if (!hue || hue.round === 0) return color
  const angle = STRIPES[(hue.round - 1) % STRIPES.length]
  return `repeating-linear-gradient(${angle}deg, ${color} 0 ${pixels}px, color-mix(in oklab, ${color} 40%, var(--surface)) ${pixels}px ${2 * pixels}px)`
}

/** The CSS colour of text on a slot. */
export function on(hue: Hue | undefined): string {
  return `var(--on-version-${hue?.slot ?? 0})`
}

/** Versions in the order of their numbers: `(1.9.0)` before `(1.10.0)`. */
export function compare(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}

/** FNV-1a: short, and it spreads version numbers that differ in one digit. From where it starts is chosen so that usual first versions look good together. */
function slot(path: string): number {
  let hash = 0x811c9dc5 ^ 0x47862
  for (const char of path) {
    hash ^= char.codePointAt(0) ?? 0
    hash = Math.imul(hash, 0x01000193)
  }
  return ((hash ^ (hash >>> 15)) >>> 0) % SLOTS
}
