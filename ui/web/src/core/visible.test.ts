import { describe, expect, it } from 'vitest'
import { elements, visible } from './visible'

describe('visible', () => {
  it('has every line that the window touches, and no more than there are elements for', () => {
    const height = 66
    for (const high of [0, 1, 65, 66, 67, 900, 2160]) {
      for (const count of [0, 1, 7, 1000]) {
        for (let above = -500; above < count * height + 500; above += 37) {
          const { first, last } = visible(above, high, height, count)
          expect(0 <= first && first <= last && last <= count).toBe(true)
          expect(last - first).toBeLessThanOrEqual(elements(high, height))
          const top = Math.max(0, Math.floor(above / height))
          const bottom = Math.min(count, Math.ceil((above + high) / height))
          if (top < bottom) expect(first <= top && bottom <= last, `${above} ${high} ${count}`).toBe(true)
        }
      }
    }
  })
})
