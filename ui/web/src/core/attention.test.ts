import { describe, expect, it } from 'vitest'
import type { GatewayLine, GatewaySummary } from '../api/types'
import { attention, failing, few, health } from './attention'
import { matches, type Row, shown, sorted, words } from './listing'

function gateway(name: string, more: Partial<GatewaySummary> = {}, routes: Partial<GatewaySummary['route_states'][number]>[] = [{}]): GatewaySummary {
  const route_states = routes.map((route, i) => ({
    path: `(${i + 1}.0)`, title: '', weight: i === 0 ? '100%' : '0%', effective_weight: '100%', condition: null, condition_strength: '0%',
    absent: false, instances: 1, ready: 1, targets: 1, ejected: 0, down: 0, serving: true, ...route,
  }))
  return {
    name, version: 1, port: '9070/http', address: '127.0.0.1:9070', virtual_hosts: [`${name}.vamp`], selector: null, sticky: null,
    deployed: true, sticky_generation: 0, warnings: [], healthy: true, routes: route_states.length, serving: 1, route_states, ...more,
  }
}
const figures = (rate: number, error_rate: number | null = 0) => ({ rate, error_rate, requests: rate * 10, p99_ms: rate }) as GatewayLine
const row = (gateway: GatewaySummary, of?: GatewayLine): Row => ({ gateway, figures: of, attention: attention(gateway, of) })

describe('attention', () => {
  const texts = (...args: Parameters<typeof attention>) => attention(...args).map(({ level, text }) => `${level}: ${text}`)
  it('is nothing where all is well', () => expect(health(attention(gateway('a'), figures(10)))).toEqual({ tone: 'good', text: 'Healthy' }))
  it('names what is wrong, the worst first', () => {
    expect(texts(gateway('a', { warnings: ['two ports'] }, [{ serving: false }, { absent: true }]))).toEqual([
      'bad: (1.0) gets traffic but cannot serve',
      'warn: (2.0) has no instances any more',
      'warn: two ports',
    ])
    expect(texts(gateway('a', { routes: 0, healthy: false }, []))).toEqual(['bad: No instance matches its selector'])
    // Once for all of them.
    expect(texts(gateway('a', { healthy: false }, [{ serving: false }, { weight: '1%', serving: false }]))).toEqual(['bad: No route that should get traffic can serve'])
    expect(few(attention(gateway('a', { warnings: ['1', '2', '3', '4', '5'] })))).toEqual(['1', '2', '3', 'and 2 more'])
    expect(texts(gateway('a', {}, [{ instances: 3, ready: 2 }]))).toEqual(['warn: (1.0): 2 of 3 instances are ready'])
  })
  it('is needed where an instance is ejected or down', () => {
    const ejected = attention(gateway('a', {}, [{ targets: 3, ejected: 1 }]), figures(10))
    expect(ejected.map(({ text }) => text)).toEqual(['(1.0): 1 of 3 instances is ejected, because of bad answers where others give good ones'])
    expect(health(ejected)).toEqual({ tone: 'warn', text: 'Attention' })
    expect(texts(gateway('a', {}, [{}, { targets: 4, ejected: 2 }]))).toEqual(['warn: (2.0): 2 of 4 instances are ejected, because of bad answers where others give good ones'])
    expect(texts(gateway('a', {}, [{ targets: 3, down: 2 }]))).toEqual(['warn: (1.0): 2 of 3 instances are down, and accept no connections'])
    // A route that cannot serve at all says so already.
    expect(texts(gateway('a', {}, [{ targets: 1, down: 1, serving: false }]))).toEqual(['bad: (1.0) gets traffic but cannot serve'])
    expect(shown(row(gateway('a', {}, [{ targets: 3, ejected: 1 }])), 'attention')).toBe(true)
  })
  it('errors count when there are enough requests', () => {
    expect(texts(gateway('a'), figures(10, 0.2))).toEqual(['bad: 20.0 % of its requests fail'])
    expect(texts(gateway('a'), figures(10, 0.02))).toEqual(['warn: 2.0 % of its requests fail'])
    expect(texts(gateway('a'), figures(0.1, 1))).toEqual([])
  })
})

describe('the list', () => {
  const rows = [row(gateway('shop-10'), figures(1)), row(gateway('shop-9'), figures(5)), row(gateway('cart', {}, [{ weight: '50%' }, { weight: '50%' }]))]
  const names = (rows: Row[]) => rows.map((row) => row.gateway.name)
  it('sorts', () => {
    expect(names(sorted(rows, 'name', false))).toEqual(['cart', 'shop-9', 'shop-10'])
    expect(names(sorted(rows, 'rate', false))).toEqual(['shop-9', 'shop-10', 'cart'])
    expect(names(sorted(rows, 'p99', true))).toEqual(['cart', 'shop-10', 'shop-9'])
  })
  it('finds by any word in any of its names', () => {
    const found = (query: string) => names(rows.filter((row) => matches(row.gateway, words(query))))
    expect(found('SHOP 9')).toEqual(['shop-10', 'shop-9'])
    expect(found('cart.vamp')).toEqual(['cart'])
    expect(found('(2.0)')).toEqual(['cart'])
    expect(found('')).toHaveLength(3)
  })
  it('filters', () => {
    expect(names(rows.filter((row) => shown(row, 'traffic')))).toEqual(['shop-10', 'shop-9'])
    expect(names(rows.filter((row) => shown(row, 'split')))).toEqual(['cart'])
    expect(names(rows.filter((row) => shown(row, 'attention')))).toEqual([])
  })
})

describe('errors', () => {
  const line = (error_rate: number, requests = 200) => ({ error_rate, requests }) as GatewayLine
  it.each([
    [0.009, undefined, undefined],
    [0.01, undefined, 'warn'],
    [0.006, 'warn', 'warn'],
    [0.004, 'warn', undefined],
    [0.05, 'warn', 'bad'],
    [0.03, 'bad', 'bad'],
    [0.02, 'bad', 'warn'],
  ] as const)('%d, when it was %s, is %s', (rate, before, after) => expect(failing(line(rate), before)).toBe(after))

  it('of a few requests are noise', () => expect(failing(line(1, 19), 'bad')).toBeUndefined())
})
