import { describe, expect, it } from 'vitest'
import type { Event } from '../api/types'
import { changes, headline, revert } from './changes'

let next = 0
function event(revision: number | undefined, what: string, change: object = {}, more: Partial<Event> = {}): Event {
  const id = String(1000 - next++)
  return {
    id, version: '1.0', type: 'event', timestamp: '2026-11-28T11:00:00Z', actor: 'ann',
    tags: ['gateways', 'gateways:shop', what],
    value: { name: 'shop', routes: {}, change: { what, ...change } },
    ...(revision === undefined ? {} : { revision }),
    ...more,
  } as Event
}
const archive = (revision: number, verb: string, value?: string) =>
  event(revision, '', {}, { type: 'archive', tags: ['archive', `archive:${verb}`, 'gateways', 'gateways:shop'], value })

describe('changes', () => {
  it('are what one revision did, with before and after', () => {
    const [change, ...rest] = changes([
      archive(7, 'update', '{}'),
      event(7, 'route:weightupdated', { route: '(2)', before: '0%', after: '10%', reason: 'canary' }),
      event(7, 'route:weightupdated', { route: '(1)', before: '100%', after: '90%' }),
    ])
    expect(rest).toEqual([])
    expect(change).toMatchObject({ gateway: 'shop', revision: 7, actor: 'ann', reason: 'canary', written: 'update' })
    expect(change!.steps.map((step) => step.route)).toEqual(['(1)', '(2)'])
    expect(headline(change!)).toBe('(1) 100% → 90%, (2) 0% → 10%')
    const way = revert(change!)
    expect(way).toEqual({ kind: 'draft', draft: { weights: new Map([['(1)', 10_000], ['(2)', 0]]) } })
  })

  it('go back by the condition that was there before', () => {
    const of = (what: string, before?: string, after?: string) =>
      revert(changes([archive(7, 'update'), event(7, what, { route: 'a', before, after })])[0]!)
    expect(of('route:conditionadded', undefined, 'x')).toEqual({ kind: 'draft', draft: { conditions: new Map([['a', null]]) } })
    expect(of('route:conditionremoved', 'x')).toEqual({ kind: 'draft', draft: { conditions: new Map([['a', 'x']]) } })
    expect(of('route:conditionstrengthupdated', '50%', '100%')).toEqual({ kind: 'draft', draft: { strengths: new Map([['a', 5000]]) } })
  })

  it('of a whole gateway go back whole', () => {
    expect(revert(changes([archive(7, 'create'), event(7, 'deployed')])[0]!)).toEqual({ kind: 'delete' })
    expect(revert(changes([archive(7, 'update'), event(7, 'deployed')])[0]!)).toEqual({ kind: 'delete' })
    const deleted = changes([archive(8, 'delete'), event(8, 'undeployed')])[0]!
    expect(headline(deleted)).toBe('Gateway deleted')
    expect(revert(deleted)).toEqual({ kind: 'create', document: { name: 'shop', routes: {} } })
    expect(revert(changes([archive(9, 'update', 'sticky: route')])[0]!)).toEqual({ kind: 'document' })
  })

  it('that happened by themselves have no way back', () => {
    const appeared = changes([event(7, 'route:added', { route: '(3)' }), event(7, 'route:weightupdated', { route: '(1)', before: '50%', after: '100%' })])
    expect(revert(appeared[0]!)).toBeUndefined()
    expect(revert(changes([event(7, 'gateway:evicted', { before: 0, after: 1 })])[0]!)).toBeUndefined()
  })

  it('leave notes of others as they are', () => {
    const note = event(undefined, '', {}, { tags: ['release', 'release:started'], value: 'go', type: 'audit' })
    const [change] = changes([note, archive(1, 'create')])
    expect(change?.note).toEqual({ type: 'audit', tags: ['release', 'release:started'], value: 'go' })
    expect(headline(change!)).toBe('release:started')
  })
})
