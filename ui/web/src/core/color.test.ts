import { describe, expect, it } from 'vitest'
import { compare, hues, SLOTS } from './color'
import { random } from './random'

describe('hues', () => {
  it('are the same whatever the order', () => {
    const paths = ['(1.0.3)', '(2.0.1)', '(2.1.0)', '(10.0.0)', '[10.1.0.7:8080]']
    expect([...hues(paths)].sort()).toEqual([...hues([...paths].reverse())].sort())
  })

  it('differ within a gateway as long as there are enough, and never repeat with the same pattern', () => {
    for (let seed = 0; seed < 300; seed++) {
      const roll = random(seed)
      const paths = [...new Set(Array.from({ length: 1 + roll(20) }, () => `(${roll(9)}.${roll(9)}.${roll(9)})`))]
      const found = [...hues(paths).values()].map((hue) => `${hue.slot}/${hue.round}`)
      expect(new Set(found).size).toBe(paths.length)
      if (paths.length <= SLOTS) expect(found.every((hue) => hue.endsWith('/0'))).toBe(true)
    }
  })

  it('a new version leaves the colours of older ones alone', () => {
    const before = hues(['(1.0.3)', '(2.0.1)'])
    const after = hues(['(1.0.3)', '(2.0.1)', '(2.0.2)'])
    for (const [path, hue] of before) expect(after.get(path)).toEqual(hue)
  })

  it('sorts by number', () => expect(['(1.10.0)', '(1.9.0)'].sort(compare)).toEqual(['(1.9.0)', '(1.10.0)']))
})
