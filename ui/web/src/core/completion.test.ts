import { describe, expect, it } from 'vitest'
import { complete } from './completion'

/** Completes at the `|`. */
function at(text: string) {
  const offset = text.indexOf('|')
  const found = complete(text.replace('|', ''), offset)
  return found && { typed: text.slice(found.from, offset), labels: found.options.map((option) => option.label) }
}

describe('completion', () => {
  it('of the keys of a gateway that are missing', () => {
    expect(at('name: shop\nse|')).toEqual({ typed: 'se', labels: ['port', 'selector', 'virtual_hosts', 'sticky', 'routes', 'metadata'] })
    expect(at('|')?.labels[0]).toBe('name')
  })
  it('of the keys of a route', () => {
    expect(at('routes:\n  "(1.0.3)":\n    wei|')).toMatchObject({ typed: 'wei' })
    expect(at('routes:\n  "(1.0.3)":\n    weight: 5%\n    |')?.labels).toContain('condition')
    expect(at('routes:\n  a|')).toBeUndefined()
    expect(at('metadata:\n  x:\n    |')).toBeUndefined()
  })
  it('of values', () => {
    expect(at('sticky: r|')).toEqual({ typed: 'r', labels: ['route', 'instance', 'none'] })
    expect(at('routes:\n  a:\n    balance: |')?.labels).toContain('leastconn')
    expect(at('name: |')).toBeUndefined()
    expect(at('- |')).toBeUndefined()
  })
})
