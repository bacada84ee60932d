/** What a prepared split would bring to each version, if as many requests come as now. */

import { ALL, sum } from './split'

/** A route as it is now. */
export interface Now {
  readonly path: string
  /** Its weight in force, in hundredths of a percent. */
  readonly weight: number
  readonly conditional: boolean
  /** Requests for each second. */
  readonly rate: number
}

/** What is to be. */
export interface Then {
  readonly path: string
  readonly weight: number
  /** What becomes of its condition. */
  readonly condition: 'kept' | 'gone' | 'new'
}

/**
 * Requests for each second by path; undefined where a condition is new, of which nobody knows yet what it takes.
 *
 * Conditions take their requests before weights are looked at. What a condition takes now is what its route gets beyond its weight; routes
 * without one say how much is left for weights.
 */
export function expected(now: readonly Now[], then: readonly Then[]): Map<string, number | undefined> {
  const all = sum(now.map((route) => route.rate))
  const plain = now.filter((route) => !route.conditional && route.weight > 0)
  const parts = sum(plain.map((route) => route.weight))
  const conditional = now.some((route) => route.conditional)
  const left = !conditional || parts === 0 ? all : Math.min(all, (sum(plain.map((route) => route.rate)) * ALL) / parts)
  const taken = new Map(now.map((route) => [route.path, route.conditional ? Math.max(0, route.rate - (left * route.weight) / ALL) : 0]))
  const kept = (route: Then) => (route.condition === 'kept' ? (taken.get(route.path) ?? 0) : 0)
  const open = Math.max(0, all - sum(then.map(kept)))
  return new Map(then.map((route) => [route.path, route.condition === 'new' ? undefined : kept(route) + (open * route.weight) / ALL]))
}
