/** Searching, filtering and sorting the list of gateways. */

import type { GatewayLine, GatewaySummary } from '../api/types'
import type { Attention } from './attention'
import { parsePercent } from './split'

export const SHOWS = ['all', 'attention', 'traffic', 'split'] as const
export type Show = (typeof SHOWS)[number]
export const SORTS = ['name', 'rate', 'p99', 'errors', 'health'] as const
export type Sort = (typeof SORTS)[number]

export interface Row {
  readonly gateway: GatewaySummary
  readonly figures: GatewayLine | undefined
  readonly attention: readonly Attention[]
}

/** Whether all words are found in what is known of the gateway by name. */
export function matches(gateway: GatewaySummary, words: readonly string[]): boolean {
  if (words.length === 0) return true
  const text = [gateway.name, gateway.port, gateway.address, ...gateway.virtual_hosts, ...gateway.route_states.map((route) => route.path)]
    .join('\n')
    .toLowerCase()
  return words.every((word) => text.includes(word))
}

export function words(query: string): string[] {
  return query.toLowerCase().split(/\s+/).filter((word) => word !== '')
}

export function shown(row: Row, show: Show): boolean {
  switch (show) {
    case 'all':
      return true
    case 'attention':
      return row.attention.length > 0
    case 'traffic':
      return (row.figures?.rate ?? 0) > 0
    case 'split':
      return row.gateway.route_states.filter((route) => (parsePercent(route.weight) ?? 0) > 0 || route.condition !== null).length > 1
  }
}

/** Names from A to Z; figures from the largest; health from the worst. Ties go by name. */
export function sorted(rows: readonly Row[], sort: Sort, backwards: boolean): Row[] {
  const rank = (row: Row) => row.attention.reduce((sum, { level }) => sum + (level === 'bad' ? 100 : 1), 0)
  const value: Record<Exclude<Sort, 'name'>, (row: Row) => number> = {
    rate: (row) => row.figures?.rate ?? 0,
    p99: (row) => row.figures?.p99_ms ?? -1,
    errors: (row) => row.figures?.error_rate ?? -1,
    health: rank,
  }
  const byName = (a: Row, b: Row) => a.gateway.name.localeCompare(b.gateway.name, 'en', { numeric: true })
  const compare = sort === 'name' ? byName : (a: Row, b: Row) => value[sort](b) - value[sort](a) || byName(a, b)
  const all = [...rows].sort(compare)
  return backwards ? all.reverse() : all
}
