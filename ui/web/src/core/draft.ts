/** A change that somebody prepares: what is to be different, on top of whatever the gateway is by then. */

import type { Gateway, Route } from '../api/types'
import { ALL, parsePercent, percent, type Share, spread, sum } from './split'

/** Only what was touched; everything else stays as it is when the change is made. */
export interface Draft {
  /** Hundredths of a percent of every route that the split was made for. */
  readonly weights?: ReadonlyMap<string, number>
  /** Text of conditions; null takes one away. */
  readonly conditions?: ReadonlyMap<string, string | null>
  /** Hundredths of a percent. */
  readonly strengths?: ReadonlyMap<string, number>
  readonly sticky?: 'route' | 'instance' | null
}

/** A line of before and after. */
export interface Difference {
  readonly route: string | undefined
  readonly what: 'weight' | 'condition' | 'strength' | 'sticky'
  readonly before: string
  readonly after: string
}

/** Something that cannot be read as a gateway's route. */
type RouteLike = Pick<Route, 'weight' | 'condition' | 'condition_strength'>
/** What a draft is compared with. */
export interface Base {
  readonly sticky?: string | null
  readonly routes: readonly { readonly path: string; readonly weight: string; readonly condition: string | null; readonly condition_strength: string }[]
}

export function isEmpty(base: Base, draft: Draft): boolean {
  return differences(base, draft).length === 0
}

/** What the draft would change. */
export function differences(base: Base, draft: Draft): Difference[] {
  const found: Difference[] = []
  const add = (route: string | undefined, what: Difference['what'], before: string, after: string) => {
    if (before !== after) found.push({ route, what, before, after })
  }
  const weights = fitted(base.routes, draft.weights)
  for (const route of base.routes) {
    const weight = weights?.get(route.path)
    if (weight !== undefined) add(route.path, 'weight', route.weight, percent(weight))
    const condition = draft.conditions?.get(route.path)
    if (condition !== undefined) add(route.path, 'condition', route.condition ?? 'none', condition ?? 'none')
    const strength = draft.strengths?.get(route.path)
    const conditional = condition === undefined ? route.condition !== null : condition !== null
    if (strength !== undefined && conditional) add(route.path, 'strength', route.condition_strength, percent(strength))
  }
  if (draft.sticky !== undefined) add(undefined, 'sticky', base.sticky ?? 'none', draft.sticky ?? 'none')
  return found
}

/**
 * The document with the draft in it, to be written back. Routes become a list, in `order`: JavaScript would put a route called `2`
 * before one called `a`.
 */
export function apply(document: Gateway, order: readonly string[], draft: Draft): Record<string, unknown> {
  const paths = [...order.filter((path) => path in document.routes), ...Object.keys(document.routes).filter((path) => !order.includes(path))]
  const weights = fitted(
    paths.map((path) => ({ path, weight: document.routes[path]?.weight ?? '0%' })),
    draft.weights,
  )
  const edit = (path: string, route: RouteLike) => {
    const edited: Record<string, unknown> = { ...route }
    const weight = weights?.get(path)
    if (weight !== undefined) edited['weight'] = percent(weight)
    const condition = draft.conditions?.get(path)
    if (condition !== undefined) {
      edited['condition'] = condition === null ? null : { condition }
      // A first condition takes all requests that match unless told otherwise.
      if (condition === null) edited['condition_strength'] = '0%'
      else if (route.condition === null) edited['condition_strength'] = '100%'
    }
    const strength = draft.strengths?.get(path)
    if (strength !== undefined && edited['condition'] !== null) edited['condition_strength'] = percent(strength)
    return edited
  }
  const routes = paths.map((path) => ({ [path]: edit(path, document.routes[path]!) }))
  return { ...document, routes, ...(draft.sticky === undefined ? {} : { sticky: draft.sticky }) }
}

/**
 * Weights for the routes that there are now. One that is gone leaves its part to the others of the draft; one that is new stays where
 * it is, at the cost of them.
 */
export function fitted(
  routes: readonly { readonly path: string; readonly weight: string }[],
  weights: ReadonlyMap<string, number> | undefined,
): Map<string, number> | undefined {
  if (!weights) return undefined
  const known = routes.filter((route) => weights.has(route.path))
  if (known.length === 0) return undefined
  const others = sum(routes.filter((route) => !weights.has(route.path)).map((route) => parsePercent(route.weight) ?? 0))
  const wanted = known.map((route) => weights.get(route.path) ?? 0)
  const parts = sum(wanted) === ALL - others ? wanted : spread(wanted, Math.max(0, ALL - others))
  return new Map(known.map((route, i) => [route.path, parts[i] ?? 0]))
}

/** The split of a gateway, with what is prepared. */
export function split(base: Base, draft: Draft, pinned: ReadonlySet<string>): Share[] {
  const weights = fitted(base.routes, draft.weights)
  return base.routes.map((route) => ({
    path: route.path,
    weight: weights?.get(route.path) ?? parsePercent(route.weight) ?? 0,
    pinned: pinned.has(route.path),
  }))
}
