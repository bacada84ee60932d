/**
 * Splits: weights of routes in hundredths of a percent (10 000 is all), which always add up to 100 %.
 *
 * Integers, because thirds of a float never add up.
 */

/** All of the traffic. */
export const ALL = 10_000

/** One per cent. */
export const PERCENT = 100

/** A route's part of a split. */
export interface Share {
  /** Path of the route. */
  readonly path: string
  /** Hundredths of a percent. */
  readonly weight: number
  /** Stays as it is when another one moves. */
  readonly pinned: boolean
}

/** The least and the most that a route can be set to while the pinned ones stay. */
export function range(shares: readonly Share[], index: number): { min: number; max: number } {
  const others = shares.filter((_, i) => i !== index)
  const pinned = sum(others.filter((share) => share.pinned).map((share) => share.weight))
  const max = Math.max(0, ALL - pinned)
  return { min: others.some((share) => !share.pinned) ? 0 : max, max }
}

/**
 * The split after one route is set: pinned ones stay, the others share the rest in proportion to what they have. Those that all have
 * nothing share it equally.
 *
 * Whole per cents stay whole while all are. During a drag, pass the split from before the drag each time: then the way
 * back leads to where it began.
 */
export function move(shares: readonly Share[], index: number, wanted: number): Share[] {
  const { min, max } = range(shares, index)
  const weight = Math.min(max, Math.max(min, Math.round(wanted)))
  const free = shares.map((share, i) => i !== index && !share.pinned)
  const kept = sum(shares.map((share, i) => (i === index ? weight : free[i] ? 0 : share.weight)))
  const rest = Math.max(0, ALL - kept)
  const open = shares.filter((_, i) => free[i]).map((share) => share.weight)
  const parts = spread(open, rest, [rest, ...open].every((part) => part % PERCENT === 0) ? PERCENT : 1)
  let next = 0
  return shares.map((share, i) => {
    if (i === index) return { ...share, weight }
    return free[i] ? { ...share, weight: parts[next++] ?? 0 } : share
  })
}

/** Everything to one route, whatever is pinned. */
export function only(shares: readonly Share[], index: number): Share[] {
  return shares.map((share, i) => ({ ...share, weight: i === index ? ALL : 0, pinned: false }))
}

/** The same for every route; the first ones get what is left over. */
export function equal(shares: readonly Share[]): Share[] {
  const parts = spread(shares.map(() => 0), ALL, PERCENT)
  return shares.map((share, i) => ({ ...share, weight: parts[i] ?? 0, pinned: false }))
}

/**
 * Cuts `total` in proportion to `weights`, exactly, by largest remainder; ties go to the earlier one. Without any weight the parts are
 * equal. Parts are multiples of `unit` where `total` is.
 */
export function spread(weights: readonly number[], total: number, unit = 1): number[] {
  if (weights.length === 0) return []
  const whole = weights.every((weight) => weight === 0) ? weights.map(() => 1) : weights
  const all = sum(whole)
  const units = Math.floor(total / unit)
  const parts = whole.map((weight) => Math.floor((weight * units) / all))
  const remainders = whole.map((weight) => (weight * units) % all)
  const order = weights.map((_, i) => i).sort((a, b) => (remainders[b] ?? 0) - (remainders[a] ?? 0) || a - b)
  let left = units - sum(parts)
  for (const i of order) {
    if (left-- <= 0) break
    parts[i] = (parts[i] ?? 0) + 1
  }
  const cut = parts.map((part) => part * unit)
  const largest = cut.indexOf(Math.max(...cut))
  cut[largest] = (cut[largest] ?? 0) + (total - units * unit)
  return cut
}

/** The sum of numbers. */
export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

/** Reads `12.5%`, `12,5` or ` 12.5 % `; undefined when it is no weight from 0 to 100 with at most two decimals. */
export function parsePercent(text: string): number | undefined {
  const match = /^\s*(\d{1,3})(?:[.,](\d{0,2}))?\s*%?\s*$/.exec(text)
  if (!match) return undefined
  const hundredths = Number(match[1]) * PERCENT + Number((match[2] ?? '').padEnd(2, '0'))
  return hundredths <= ALL ? hundredths : undefined
}

/** Without the sign and without zeros at the end: `12.5`. */
export function bare(hundredths: number): string {
  const cents = hundredths % PERCENT
  const decimals = cents === 0 ? '' : '.' + String(cents).padStart(2, '0').replace(/0$/, '')
  return `${Math.floor(hundredths / PERCENT)}${decimals}`
}

/** As documents write it: `12.5%`. */
export function percent(hundredths: number): string {
  return `${bare(hundredths)}%`
}
