import { describe, expect, it } from 'vitest'
import { ago, milliseconds, plural, rate, share } from './format'

describe('figures', () => {
  it.each([
    [0, '0'],
    [0.04, '<0.1'],
    [12.34, '12.3'],
    [1234.5, '1,235'],
  ])('rate %d', (value, text) => expect(rate(value)).toBe(text))
  it.each([
    [null, '–'],
    [0.421, '0.42 ms'],
    [9.96, '10.0 ms'],
    [12.4, '12 ms'],
    [1250, '1.25 s'],
  ])('time %d', (value, text) => expect(milliseconds(value)).toBe(text))
  it.each([
    [null, '–'],
    [0, '0 %'],
    [0.00001, '<0.01 %'],
    [0.0005, '0.05 %'],
    [0.125, '12.5 %'],
    [1, '100 %'],
  ])('share %d', (value, text) => expect(share(value)).toBe(text))
  it('age', () => {
    expect([1, 12, 300, 7200, 200_000].map((seconds) => ago(0, seconds * 1000))).toEqual([
      'now',
      '12 s ago',
      '5 min ago',
      '2 h ago',
      '2 d ago',
    ])
  })
  it('plural', () => expect([plural(1, 'route'), plural(2, 'route'), plural(0, 'entry', 'entries')]).toEqual(['1 route', '2 routes', '0 entries']))
})
