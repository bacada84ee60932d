import { describe, expect, it } from 'vitest'
import type { Gateway } from '../api/types'
import { apply, type Base, differences, fitted, isEmpty } from './draft'

const base: Base = {
  sticky: null,
  routes: [
    { path: '(1.0.3)', weight: '100%', condition: null, condition_strength: '0%' },
    { path: '(2.0.1)', weight: '0%', condition: 'has header x', condition_strength: '100%' },
  ],
}

function document(...paths: string[]): Gateway {
  const route = (weight: string) => ({
    metadata: {}, lookup_name: 'x', selector: null, weight, balance: 'default', condition: null, condition_strength: '0%', rewrites: [], targets: [],
  })
  const routes = Object.fromEntries(paths.map((path, i) => [path, route(i === 0 ? '100%' : '0%')]))
  return { name: 'shop', sticky: null, routes } as unknown as Gateway
}

describe('a draft', () => {
  it('says what it changes, and nothing else', () => {
    const draft = {
      weights: new Map([['(1.0.3)', 9000], ['(2.0.1)', 1000]]),
      conditions: new Map([['(2.0.1)', null]]),
      strengths: new Map([['(2.0.1)', 5000]]),
      sticky: 'route',
    } as const
    expect(differences(base, draft)).toEqual([
      { route: '(1.0.3)', what: 'weight', before: '100%', after: '90%' },
      { route: '(2.0.1)', what: 'weight', before: '0%', after: '10%' },
      { route: '(2.0.1)', what: 'condition', before: 'has header x', after: 'none' },
      { route: undefined, what: 'sticky', before: 'none', after: 'route' },
    ])
    expect(isEmpty(base, { weights: new Map([['(1.0.3)', 10_000], ['(2.0.1)', 0]]) })).toBe(true)
    expect(isEmpty(base, {})).toBe(true)
  })

  it('keeps the order of routes whose names are numbers', () => {
    const body = apply(document('b', '2', '1'), ['b', '2', '1'], {})
    expect((body['routes'] as object[]).map((route) => Object.keys(route)[0])).toEqual(['b', '2', '1'])
  })

  it('goes on top of what the gateway is', () => {
    const draft = { weights: new Map([['a', 6000], ['b', 4000]]), conditions: new Map([['b', 'has header x']]) }
    const body = apply(document('a', 'b'), ['a', 'b'], draft)
    expect(body).toMatchObject({
      routes: [{ a: { weight: '60%' } }, { b: { weight: '40%', condition: { condition: 'has header x' }, condition_strength: '100%' } }],
    })
    expect(body['sticky']).toBeNull()
  })

  it('fits routes that came and went', () => {
    const weights = new Map([['a', 6000], ['b', 4000]])
    const routes = (...of: [string, string][]) => of.map(([path, weight]) => ({ path, weight }))
    expect([...fitted(routes(['a', '100%'], ['b', '0%'], ['new', '0%']), weights)!]).toEqual([['a', 6000], ['b', 4000]])
    expect([...fitted(routes(['b', '100%']), weights)!]).toEqual([['b', 10_000]])
    expect([...fitted(routes(['a', '50%'], ['b', '40%'], ['new', '10%']), weights)!]).toEqual([['a', 5400], ['b', 3600]])
    expect(fitted(routes(['c', '100%']), weights)).toBeUndefined()
  })
})
