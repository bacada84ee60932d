import { describe, expect, it } from 'vitest'
import type { Event } from '../api/types'
import { asides, changes, headline, restored, revert, whole } from './changes'

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
    expect(revert(changes([archive(9, 'update', 'sticky: route')])[0]!)).toEqual({ kind: 'draft', draft: {} })
  })

  it('that happened by themselves have no way back', () => {
    const appeared = changes([event(7, 'route:added', { route: '(3)' }), event(7, 'route:weightupdated', { route: '(1)', before: '50%', after: '100%' })])
    expect(revert(appeared[0]!)).toBeUndefined()
    expect(revert(changes([event(7, 'gateway:evicted', { before: 0, after: 1 })])[0]!)).toBeUndefined()
  })

  it('say which instance is left out, and why', () => {
    const tags = ['gateways:shop', 'routes:(2)', 'instances:10.0.0.7:9050', 'target:ejected']
    const value = { target: '10.0.0.7:9050', id: 'ab12', reason: 'it answers badly', agents: ['agent-1'], agent_count: 1 }
    const [change] = changes([event(undefined, '', {}, { tags, value, actor: 'vamp' })])
    expect(change).toMatchObject({ gateway: 'shop', note: undefined, reason: '10.0.0.7:9050: it answers badly' })
    expect(headline(change!)).toBe('(2) an instance is left out')
    expect(revert(change!)).toBeUndefined()
  })

  it('leave notes of others as they are', () => {
    const note = event(undefined, '', {}, { tags: ['release', 'release:started'], value: 'go', type: 'audit' })
    const [change] = changes([note, archive(1, 'create')])
    expect(change?.note).toEqual({ type: 'audit', tags: ['release', 'release:started'], value: 'go' })
    expect(headline(change!)).toBe('release:started')
  })
})

describe('events of which the whole change is there', () => {
  const event = (id: string, type: string, revision?: number) => ({ id, type, tags: [], value: null, timestamp: '', version: '1.0', revision }) as unknown as Event
  it('end where the first of two kinds ends', () => {
    const all = [event('09', 'archive', 4), event('08', 'event', 4), event('07', 'event', 3), event('06', 'archive', 2), event('03', 'archive', 1)]
    const ids = (oldest: Event[]) => whole(all, oldest).map(({ id }) => id)
    expect(ids([])).toEqual(['09', '08', '07', '06', '03'])
    // There are older ones of its kind: some may be of the same revision.
    expect(ids([all[2]!])).toEqual(['09', '08'])
    expect(ids([all[1]!])).toEqual([])
  })
})

describe('taking a change back', () => {
  const route = (weight: string, balance = 'default') => ({ weight, balance, rewrites: [], selector: null })
  it('restores what the change changed, and leaves what came later', () => {
    const was = { port: '1', sticky: null, virtual_hosts: ['a'], routes: { x: route('100%'), y: route('0%') } }
    const became = { ...was, sticky: 'route', routes: { x: route('90%', 'leastconn'), y: route('10%') } }
    const now = { name: 'shop', port: '2', sticky: 'route', virtual_hosts: ['a', 'b'], routes: [{ x: route('50%', 'leastconn') }, { z: route('50%', 'source') }] }
    expect(restored(now, was, became)).toEqual({
      name: 'shop', port: '2', sticky: null, virtual_hosts: ['a', 'b'], routes: [{ x: route('50%') }, { z: route('50%', 'source') }],
    })
  })
})

describe('asides', () => {
  it('leave out what goes without saying', () => {
    const created = changes([
      archive(9, 'update', 'name: shop'),
      event(9, 'gateway:deployed'),
      event(9, 'route:added', { route: 'a' }),
      event(9, 'route:weightadded', { route: 'a', after: '100%' }),
      event(9, 'warning:port'),
    ])[0]!
    expect(created.written).toBe('create')
    expect(asides(created).map((step) => step.what)).toEqual(['warning:port'])
    const itself = changes([event(10, 'route:added', { route: 'b' }), event(10, 'route:weightadded', { route: 'b', after: '0%' })])[0]!
    expect(asides(itself).map((step) => step.what)).toEqual(['added'])
  })
})
