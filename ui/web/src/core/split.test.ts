import { describe, expect, it } from 'vitest'
import { ALL, bare, equal, move, only, parsePercent, percent, range, type Share, spread, sum } from './split'
import { random } from './random'

const split = (...weights: (number | [number])[]): Share[] =>
  weights.map((weight, i) => ({
    path: `(${i}.0)`,
    weight: typeof weight === 'number' ? weight * 100 : weight[0] * 100,
    pinned: typeof weight !== 'number',
  }))
const weights = (shares: readonly Share[]) => shares.map((share) => share.weight / 100)

describe('move', () => {
  // before, index, to, after; [n] is pinned
  const rows: [Share[], number, number, number[]][] = [
    [split(100, 0), 1, 10, [90, 10]],
    [split(50, 50), 0, 100, [100, 0]],
    [split(60, 30, 10), 2, 40, [40, 20, 40]],
    [split(60, 30, 10), 0, 0, [0, 75, 25]],
    [split(0, 0, 100), 2, 50, [25, 25, 50]],
    [split(33, 33, 34), 0, 50, [50, 25, 25]],
    [split(50, [30], 20), 2, 60, [10, 30, 60]],
    [split(50, [30], 20), 2, 90, [0, 30, 70]],
    [split([50], [30], 20), 2, 90, [50, 30, 20]],
    [split(100), 0, 10, [100]],
    [split(100, 0), 1, 0.5, [99.5, 0.5]],
    [split(50, 25, 25), 0, 33.33, [33.33, 33.34, 33.33]],
  ]
  it.each(rows.map((row, i) => [i, ...row] as const))('row %i', (_, before, index, to, after) => {
    expect(weights(move(before, index, to * 100))).toEqual(after)
  })

  it('always adds up to 100 %, keeps pinned ones, and gives what was asked for where it can', () => {
    for (let seed = 0; seed < 1_000; seed++) {
      const roll = random(seed)
      const number = 1 + roll(8)
      const parts = spread(Array.from({ length: number }, () => roll(5) * roll(100)), ALL, roll(2) ? 100 : 1)
      const before = parts.map((weight, i) => ({ path: `${i}`, weight, pinned: roll(4) === 0 }))
      const index = roll(number)
      const wanted = roll(ALL + 1)
      const after = move(before, index, wanted)
      const { min, max } = range(before, index)
      const holds =
        sum(after.map((share) => share.weight)) === ALL &&
        after.every((share) => Number.isInteger(share.weight) && share.weight >= 0) &&
        before.every((share, i) => !share.pinned || i === index || after[i]?.weight === share.weight) &&
        after[index]?.weight === Math.min(max, Math.max(min, wanted))
      expect(holds, JSON.stringify({ seed, before, index, wanted, after })).toBe(true)
      expect(move(before, index, before[index]?.weight ?? 0), `${seed}`).toEqual(before)
    }
  })

  it('keeps whole per cents whole', () => {
    for (let seed = 0; seed < 500; seed++) {
      const roll = random(seed)
      const before = spread(Array.from({ length: 2 + roll(6) }, () => roll(50)), ALL, 100).map((weight, i) => ({
        path: `${i}`,
        weight,
        pinned: false,
      }))
      const after = move(before, roll(before.length), roll(101) * 100)
      expect(after.every((share) => share.weight % 100 === 0), JSON.stringify({ before, after })).toBe(true)
    }
  })

  it('keeps the order of the others', () => {
    for (let seed = 0; seed < 500; seed++) {
      const roll = random(seed)
      const before = spread(Array.from({ length: 3 + roll(5) }, () => roll(1000)), ALL).map((weight, i) => ({
        path: `${i}`,
        weight,
        pinned: false,
      }))
      const index = roll(before.length)
      const after = move(before, index, roll(ALL))
      for (let a = 0; a < before.length; a++) {
        for (let b = 0; b < before.length; b++) {
          if (a === index || b === index || before[a]!.weight <= before[b]!.weight) continue
          if (after[a]!.weight < after[b]!.weight) expect.fail(JSON.stringify({ seed, before, after }))
        }
      }
    }
  })
})

describe('whole splits', () => {
  it('sends everything to one', () => expect(weights(only(split(20, [30], 50), 0))).toEqual([100, 0, 0]))
  it('is as fair as it can be', () => {
    expect(weights(equal(split(100, 0, 0)))).toEqual([34, 33, 33])
    expect(weights(equal(split(100, 0)))).toEqual([50, 50])
  })
})

describe('percentages', () => {
  it.each([
    ['12', 1200],
    ['12%', 1200],
    [' 12.5 % ', 1250],
    ['12,5', 1250],
    ['0.01', 1],
    ['100', ALL],
    ['5.', 500],
    ['100.01', undefined],
    ['101', undefined],
    ['-1', undefined],
    ['1.234', undefined],
    ['', undefined],
    ['ten', undefined],
    ['1e1', undefined],
  ])('reads %j', (text, hundredths) => expect(parsePercent(text)).toBe(hundredths))

  it('survives being written and read', () => {
    const all = Array.from({ length: ALL + 1 }, (_, hundredths) => hundredths)
    expect(all.filter((hundredths) => parsePercent(percent(hundredths)) !== hundredths)).toEqual([])
  })
  it.each([
    [0, '0'],
    [1, '0.01'],
    [50, '0.5'],
    [1250, '12.5'],
    [ALL, '100'],
  ])('writes %i', (hundredths, text) => expect(bare(hundredths)).toBe(text))
})
