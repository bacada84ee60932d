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

/** Name of the gateway that an event is about. */
export function gatewayOf(event: Event): string | undefined {
  const tag = event.tags.find((tag) => tag.startsWith('gateways:'))
  return tag?.slice('gateways:'.length)
}

function shown(value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ')
  if (isObject(value)) return Object.values(value).join(':')
  return String(value)
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
  }
  return texts[step.what] ?? step.what.replace(/^warning:/, 'warning: ')
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
  /** By the document that was written before. */
  | { readonly kind: 'document' }

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
  const byItself = change.written === undefined
  if (!byItself && weights.size + conditions.size + strengths.size > 0) {
    const draft: Draft = {
      ...(weights.size > 0 ? { weights } : {}),
      ...(conditions.size > 0 ? { conditions } : {}),
      ...(strengths.size > 0 ? { strengths } : {}),
    }
    return { kind: 'draft', draft }
  }
  return change.written === 'update' ? { kind: 'document' } : undefined
}
