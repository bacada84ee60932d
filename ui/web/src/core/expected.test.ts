import { describe, expect, it } from 'vitest'
import { expected, type Then } from './expected'

const then = (...weights: [string, number, Then['condition']?][]) => weights.map(([path, weight, condition = 'kept']): Then => ({ path, weight, condition }))
const rounded = (map: Map<string, number | undefined>) => Object.fromEntries([...map].map(([path, rate]) => [path, rate === undefined ? undefined : Math.round(rate * 10) / 10]))

describe('expected requests', () => {
  it('follow the weights', () => {
    const now = [{ path: 'a', weight: 10_000, conditional: false, rate: 40 }, { path: 'b', weight: 0, conditional: false, rate: 0 }]
    expect(rounded(expected(now, then(['a', 7500], ['b', 2500])))).toEqual({ a: 30, b: 10 })
  })

  it('leave to a condition what it takes', () => {
    // Of 100, the condition of b takes 30; of the 70 that are left a takes 80 % and b 20 %.
    const now = [{ path: 'a', weight: 8000, conditional: false, rate: 56 }, { path: 'b', weight: 2000, conditional: true, rate: 44 }]
    expect(rounded(expected(now, then(['a', 5000], ['b', 5000])))).toEqual({ a: 35, b: 65 })
    expect(rounded(expected(now, then(['a', 5000], ['b', 5000, 'gone'])))).toEqual({ a: 50, b: 50 })
    expect(rounded(expected(now, then(['a', 5000], ['b', 5000, 'new'])))).toEqual({ a: 50, b: undefined })
  })

  it('never are more than come', () => {
    // No route without a condition has a weight: all of it may have come by conditions, or none.
    const now = [{ path: 'a', weight: 10_000, conditional: true, rate: 10 }, { path: 'b', weight: 0, conditional: false, rate: 0 }]
    expect(rounded(expected(now, then(['a', 0], ['b', 10_000])))).toEqual({ a: 0, b: 10 })
    // Figures of a moment are rough: a got more than its part.
    const rough = [{ path: 'a', weight: 5000, conditional: false, rate: 9 }, { path: 'b', weight: 5000, conditional: true, rate: 1 }]
    expect(rounded(expected(rough, then(['a', 5000], ['b', 5000])))).toEqual({ a: 5, b: 5 })
    expect(rounded(expected([], then(['a', 10_000])))).toEqual({ a: 0 })
  })
})
