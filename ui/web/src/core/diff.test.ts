import { describe, expect, it } from 'vitest'
import { diff, excerpt } from './diff'
import { random } from './random'

const show = (before: string, after: string) =>
  diff(before, after).map((line) => ({ same: ' ', gone: '-', new: '+' })[line.kind] + line.text)

describe('diff', () => {
  it('shows what changed', () => {
    expect(show('a\nb\nc\n', 'a\nB\nc\nd\n')).toEqual([' a', '-b', '+B', ' c', '+d'])
    expect(show('', 'a')).toEqual(['+a'])
    expect(show('a', '')).toEqual(['-a'])
    expect(show('a\nb', 'a\nb')).toEqual([' a', ' b'])
  })

  it('leads from the one to the other', () => {
    for (let seed = 0; seed < 500; seed++) {
      const roll = random(seed)
      const text = () => Array.from({ length: roll(12) }, () => 'abcd'[roll(4)]).join('\n')
      const [before, after] = [text(), text()]
      const lines = diff(before, after)
      const without = (kind: string) => lines.filter((line) => line.kind !== kind).map((line) => line.text).join('\n')
      expect(without('new'), `${seed}`).toBe(before)
      expect(without('gone'), `${seed}`).toBe(after)
    }
  })

  it('an excerpt leaves out what is far from any change', () => {
    const before = Array.from({ length: 20 }, (_, i) => `${i}`).join('\n')
    const lines = excerpt(diff(before, before.replace('10', 'ten')))
    expect(lines.map((line) => (line.kind === 'gap' ? line.within : line.text))).toEqual([[], '8', '9', '10', 'ten', '11', '12', []])
  })

  it('an excerpt says under which keys it stands', () => {
    const before = 'name: shop\nroutes:\n  (1.0.3):\n    a: 1\n    b: 2\n    weight: 90%\n  "(2.0.1)":\n    a: 1\n    b: 2\n    weight: 10%\n'
    const lines = excerpt(diff(before, before.replace('10%', '20%')), 1)
    expect(lines[0]).toEqual({ kind: 'gap', within: ['routes', '(2.0.1)'] })
  })
})
