/** What somebody should look at, and how bad it is. */

import type { GatewayLine, GatewaySummary } from '../api/types'
import { share } from './format'
import { parsePercent } from './split'

export type Level = 'bad' | 'warn'

/** A sentence about a gateway. */
export interface Attention {
  readonly level: Level
  readonly text: string
}

/** Errors of a few requests are noise. */
const ENOUGH_REQUESTS = 20
const MANY_ERRORS = 0.05
const SOME_ERRORS = 0.01

/**
 * How bad the errors of a gateway are, where they were `before` so bad. It takes fewer to stay so than to become so: figures of a few
 * seconds go up and down around every limit, and a warning that comes and goes with them is none.
 */
export function failing(figures: GatewayLine, before?: Level): Level | undefined {
  const errors = figures.error_rate ?? 0
  if (figures.requests < ENOUGH_REQUESTS) return undefined
  if (errors >= (before === 'bad' ? MANY_ERRORS / 2 : MANY_ERRORS)) return 'bad'
  return errors >= (before === undefined ? SOME_ERRORS : SOME_ERRORS / 2) ? 'warn' : undefined
}

/** The worst first. `errors` is what is known of its errors over a while; by its figures alone unless given. */
export function attention(
  gateway: GatewaySummary,
  figures?: GatewayLine,
  errors: Level | undefined = figures && failing(figures),
): Attention[] {
  const found: Attention[] = []
  const add = (level: Attention['level'], text: string) => found.push({ level, text })
  if (gateway.routes === 0) add('bad', 'No instance matches its selector')
  else if (!gateway.deployed) add('bad', 'It is not served')
  else if (!gateway.healthy) add('bad', 'No route that should get traffic can serve')
  // That says it of all of them.
  const each = gateway.healthy
  for (const route of gateway.route_states) {
    const weight = parsePercent(route.weight) ?? 0
    if (route.absent) add('warn', `${route.path} has no instances any more`)
    else if (weight > 0 && !route.serving) {
      if (each) add('bad', `${route.path} gets traffic but cannot serve`)
    } else if (weight > 0 && route.ready < route.instances) add('warn', `${route.path}: ${route.ready} of ${route.instances} instances are ready`)
    // Of a route that nobody is led to as well: whoever gives it weight should know.
    if (route.ejected > 0) add('warn', `${route.path}: ${some(route.ejected, route.targets)} ejected, because of bad answers where others give good ones`)
    if (route.down > 0 && route.serving) add('warn', `${route.path}: ${some(route.down, route.targets)} down, and accept${route.down === 1 ? 's' : ''} no connections`)
  }
  if (errors) add(errors, `${share(figures?.error_rate)} of its requests fail`)
  for (const warning of gateway.warnings) add('warn', warning)
  return found.sort((a, b) => Number(b.level === 'bad') - Number(a.level === 'bad'))
}

const some = (count: number, of: number) => `${count} of ${of} instances ${count === 1 ? 'is' : 'are'}`

/** One word. */
export function health(found: readonly Attention[]): { tone: 'good' | 'warn' | 'bad'; text: string } {
  if (found.some((attention) => attention.level === 'bad')) return { tone: 'bad', text: 'Unhealthy' }
  return found.length > 0 ? { tone: 'warn', text: 'Attention' } : { tone: 'good', text: 'Healthy' }
}

/** The first few in words, and how many more there are: with thirty versions a line would be a page. */
export function few(found: readonly Attention[], most = 3): string[] {
  const texts = found.slice(0, most).map(({ text }) => text)
  return found.length > most ? [...texts, `and ${found.length - most} more`] : texts
}
