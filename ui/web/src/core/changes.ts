/** Events of the log as changes that people read: who changed what, from what to what, and how to take it back. */

import type { Event, Gateway } from '../api/types'
import type { Draft } from './draft'
import { parsePercent } from './split'

/** One thing that a change did. */
export interface Step {
  /** `weight`, `condition`, `added`, ... */
  readonly what: string
  readonly route: string | undefined
  readonly before: string | undefined
  readonly after: string | undefined
}

/** Everything that one revision did to one gateway; or an event that is no change. */
export interface Change {
  readonly key: string
  readonly gateway: string | undefined
  readonly revision: number | undefined
  readonly time: number
  readonly actor: string
  readonly reason: string | undefined
  /** `create`, `update` or `delete` where somebody wrote the document. */
  readonly written: 'create' | 'update' | 'delete' | undefined
  /** The text that was written. */
  readonly text: string | undefined
  readonly steps: readonly Step[]
  /** The gateway as it was when it was deleted. */
  readonly last: Gateway | undefined
  /** Tags and value of what is no change. */
  readonly note: { readonly type: string; readonly tags: readonly string[]; readonly value: unknown } | undefined
}

/** Groups events (newest first) to changes (newest first). */
export function changes(events: readonly Event[]): Change[] {
  const groups = new Map<string, Event[]>()
  for (const event of events) {
    const gateway = gatewayOf(event)
    const isChange = gateway !== undefined && typeof event.revision === 'number' && (event.type === 'event' || event.type === 'archive')
    const key = isChange ? `${event.revision} ${gateway}` : event.id
    const group = groups.get(key)
    if (group) group.push(event)
    else groups.set(key, [event])
  }
  return [...groups].map(([key, group]) => change(key, group))
}

function change(key: string, events: Event[]): Change {
  const first = events[0]!
  const steps: Step[] = []
  let written: Change['written']
  let text: string | undefined
  let reason: string | undefined
  let last: Gateway | undefined
  // Within a revision events are in the order in which they were found: oldest first reads better.
  for (const event of [...events].reverse()) {
    if (event.type === 'archive') {
      written = (['create', 'update', 'delete'] as const).find((verb) => event.tags.includes(`archive:${verb}`)) ?? written
      if (typeof event.value === 'string') text = event.value
      continue
    }
    const care = event.tags.find((tag) => tag === 'target:ejected' || tag === 'target:returned')
    if (care !== undefined && isObject(event.value)) {
      reason = `${String(event.value['target'] ?? '')}: ${String(event.value['reason'] ?? '')}`
      steps.push({ what: care.slice('target:'.length), route: tagged(event, 'routes:'), before: undefined, after: undefined })
      continue
    }
    const found = isObject(event.value) && isObject(event.value['change']) ? event.value['change'] : undefined
    if (!found) continue
    if (typeof found['reason'] === 'string') reason = found['reason']
    const what = String(found['what'] ?? '')
    if (what === 'undeployed' && isObject(event.value)) {
      const { change: _, ...gateway } = event.value
      last = gateway as unknown as Gateway
    }
    steps.push({
      what: what.replace(/^(route|gateway):/, ''),
      route: typeof found['route'] === 'string' ? found['route'] : undefined,
      before: shown(found['before']),
      after: shown(found['after']),
    })
  }
  // A document that is put for the first time is created, whatever the verb.
  if (written === 'update' && steps.some((step) => step.what === 'deployed')) written = 'create'
  const isNote = steps.length === 0 && written === undefined
  return {
    key,
    gateway: gatewayOf(first),
    revision: typeof first.revision === 'number' ? first.revision : undefined,
    time: Date.parse(first.timestamp),
    actor: first.actor ?? 'unknown',
    reason,
    written,
    text,
    steps,
    last,
    note: isNote ? { type: first.type, tags: first.tags, value: first.value } : undefined,
  }
}

/**
 * Events of which the whole change is there. Kinds of events are read page by page, and their pages reach back differently far: what is
 * older than the last page of one of them, or cut by it, would be told by halves.
 *
 * `oldest` has the oldest event read of each kind of which there is more.
 */
export function whole(events: readonly Event[], oldest: readonly Event[]): Event[] {
  const cut = new Set(oldest.map((event) => event.revision))
  return events.filter((event) => oldest.every(({ id }) => event.id > id) && (typeof event.revision !== 'number' || !cut.has(event.revision)))
}

/** Name of the gateway that an event is about. */
export function gatewayOf(event: Event): string | undefined {
  return tagged(event, 'gateways:')
}

function shown(value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ')
  if (isObject(value)) return Object.values(value).join(':')
  return String(value)
}

/** What stands behind a tag of that beginning. */
function tagged(event: Event, beginning: string): string | undefined {
  return event.tags.find((tag) => tag.startsWith(beginning))?.slice(beginning.length)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A line for people; before and after are shown beside it. */
export function describe(step: Step): string {
  const texts: Record<string, string> = {
    deployed: 'served',
    undeployed: 'no longer served',
    added: 'appeared',
    removed: 'went away',
    weightadded: 'weight',
    weightupdated: 'weight',
    weightremoved: 'weight',
    conditionadded: 'condition',
    conditionupdated: 'condition',
    conditionremoved: 'condition',
    conditionstrengthadded: 'strength',
    conditionstrengthupdated: 'strength',
    conditionstrengthremoved: 'strength',
    targetschanged: 'targets',
    evicted: 'sticky clients evicted',
    serviceupdated: 'address',
    ejected: 'an instance is left out',
    returned: 'an instance is used again',
  }
  return texts[step.what] ?? step.what.replace(/^warning:/, 'warning: ')
}

/** Steps to tell beside those with a value: that a gateway which is created is served, with a weight for each route, goes without saying. */
export function asides(change: Change): Step[] {
  const moved = new Set(change.steps.filter(hasValue).map((step) => step.route))
  return change.steps.filter((step) => {
    if (hasValue(step)) return false
    if (step.what === 'added') return change.written === undefined || !moved.has(step.route)
    return !(change.written !== undefined && (step.what === 'deployed' || step.what === 'undeployed'))
  })
}

/** Whether there is something before or after. */
export function hasValue(step: Step): boolean {
  return step.before !== undefined || step.after !== undefined
}

/** In a few words, for lists and markers. */
export function headline(change: Change): string {
  if (change.note) return change.note.tags.filter((tag) => !change.note?.tags.some((other) => other.startsWith(`${tag}:`))).join(', ')
  const weights = change.steps.filter((step) => step.what === 'weightupdated')
  if (weights.length > 0 && change.written !== 'create') {
    return weights.map((step) => `${step.route} ${step.before} → ${step.after}`).join(', ')
  }
  if (change.written === 'create') return 'Gateway created'
  if (change.written === 'delete') return 'Gateway deleted'
  const step = change.steps[0]
  if (step) return `${step.route ? `${step.route} ` : ''}${describe(step)}`
  return 'Document written'
}

/** How a change can be taken back; undefined where it cannot. */
export type Revert =
  | { readonly kind: 'draft'; readonly draft: Draft }
  | { readonly kind: 'delete' }
  | { readonly kind: 'create'; readonly document: Gateway }

/** The way back. What happened by itself (instances that came and went) has none. */
export function revert(change: Change): Revert | undefined {
  if (change.gateway === undefined) return undefined
  if (change.written === 'create') return { kind: 'delete' }
  if (change.written === 'delete') return change.last ? { kind: 'create', document: change.last } : undefined
  const weights = new Map<string, number>()
  const conditions = new Map<string, string | null>()
  const strengths = new Map<string, number>()
  for (const step of change.steps) {
    if (step.route === undefined) continue
    const before = step.before === undefined ? undefined : parsePercent(step.before)
    if (step.what === 'weightupdated' && before !== undefined) weights.set(step.route, before)
    else if (/^condition(added|updated|removed)$/.test(step.what)) conditions.set(step.route, step.before ?? null)
    else if (/^conditionstrength(updated|removed)$/.test(step.what) && before !== undefined) strengths.set(step.route, before)
  }
  // What happened by itself.
  if (change.written === undefined) return undefined
  const draft: Draft = {
    ...(weights.size > 0 ? { weights } : {}),
    ...(conditions.size > 0 ? { conditions } : {}),
    ...(strengths.size > 0 ? { strengths } : {}),
  }
  return { kind: 'draft', draft }
}

type Fields = Readonly<Record<string, unknown>>
/** Fields of a gateway and of a route of which the log tells no steps. */
const GATEWAY_FIELDS = ['port', 'sticky', 'virtual_hosts', 'selector', 'metadata']
const ROUTE_FIELDS = ['balance', 'rewrites', 'selector']

/**
 * Takes back in `now` what differs between two documents, `was` and `became`, besides weights and conditions. What somebody changed
 * since stays, unless it is the same field.
 */
export function restored(now: Fields, was: Fields, became: Fields): Fields {
  const differs = (a: Fields, b: Fields, name: string) => JSON.stringify(a[name]) !== JSON.stringify(b[name])
  const back = (now: Fields, was: Fields, became: Fields, names: readonly string[]): Fields => ({
    ...now,
    ...Object.fromEntries(names.filter((name) => name in was && name in became && differs(was, became, name)).map((name) => [name, was[name]])),
  })
  const of = (document: Fields, path: string) => (document['routes'] as Record<string, Fields> | undefined)?.[path]
  const routes = (now['routes'] as Record<string, Fields>[]).map((route) =>
    Object.fromEntries(
      Object.entries(route).map(([path, fields]) => {
        const [before, after] = [of(was, path), of(became, path)]
        return [path, before && after ? back(fields, before, after, ROUTE_FIELDS) : fields]
      }),
    ),
  )
  return { ...back(now, was, became, GATEWAY_FIELDS), routes }
}
