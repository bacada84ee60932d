/**
 * Everything that the screens of one environment show, fed by one stream: states of gateways, their figures, events.
 *
 * Values are replaced whole, never changed in place: a list of a thousand gateways is compared by identity.
 */

import { untrack } from 'svelte'
import { type Client } from '../api/client'
import { follow, type Freshness } from '../api/follow'
import type { Event, GatewayLine, GatewayOverview, GatewaySummary, Live, Overall } from '../api/types'
import { type Attention, attention, failing as errors, type Level } from '../core/attention'
import type { Place } from '../core/commands'
import type { Message } from '../core/sse'
import { Log } from './log'
import { session } from './session.svelte'

/** Events that are kept for the timeline and for markers. */
const EVENTS = 600
/** As far back as the timeline of a start page goes, ... */
const HOUR_MS = 3_600_000
/** ... within reason. */
const PAGES = 10
/** Points of the little curves in lists. */
export const TRAIL = 60

export class Environment {
  readonly client: Client
  freshness = $state<Freshness>('connecting')
  /** When figures last came. */
  heard = $state(0)
  /** True once the first state is there. */
  known = $state(false)
  overall = $state.raw<Overall | undefined>()
  gateways = $state.raw<ReadonlyMap<string, GatewaySummary>>(new Map())
  figures = $state.raw<ReadonlyMap<string, GatewayLine>>(new Map())
  /** Gateways with errors, and how bad it is. */
  failing = $state.raw<ReadonlyMap<string, Level>>(new Map())
  /** Requests for each second of each gateway over the last minute. */
  trails = new Map<string, number[]>()
  /** Newest first. */
  events = $state.raw<readonly Event[]>([])
  #listeners = new Set<(event: Event) => void>()
  #stop: (() => void) | undefined

  constructor(
    readonly name: string,
    /** Whether it is the one that is meant when none is named. */
    private readonly isDefault = false,
  ) {
    this.client = session.client(name)
  }

  /** Where commands to copy are to work. */
  get place(): Place {
    return {
      origin: location.origin,
      environment: this.isDefault ? undefined : this.name,
      signedIn: session.caller?.authenticated === true,
    }
  }

  start(): void {
    this.#stop = follow({
      url: () => this.client.url('/live', { window: 10 }),
      headers: () => this.client.headers(),
      onMessage: (message) => untrack(() => this.#take(message)),
      onFreshness: (freshness) => {
        if (this.freshness !== freshness) this.freshness = freshness
      },
      onUnauthenticated: session.lock,
    })
    void this.#past()
  }

  stop(): void {
    this.#stop?.()
  }

  /** Calls back for every event from now on, until the returned function is called. */
  onEvent(listener: (event: Event) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Events of the last while, from before the stream began. */
  async #past(): Promise<void> {
    const log = new Log(this.client, [])
    try {
      for (let i = 0; i < PAGES && log.more && log.events.every((event) => Date.parse(event.timestamp) > Date.now() - HOUR_MS); i++) {
        await log.older()
        this.#merge(log.events)
      }
    } catch {
      // The timeline begins with what happens from now on; the screen of events reads the log itself.
    }
  }

  #take(message: Message): void {
    switch (message.event) {
      case 'state':
        return this.#state(JSON.parse(message.data) as Live)
      case 'figures':
        return this.#figures(JSON.parse(message.data) as GatewayOverview)
      case 'event': {
        const event = JSON.parse(message.data) as Event
        // Figures have a way of their own.
        if (event.type === 'metrics' || event.type === 'health') return
        this.#merge([event])
        for (const listener of this.#listeners) listener(event)
      }
    }
  }

  #state(live: Live): void {
    this.overall = live.overall
    if (live.complete || live.gateways.length > 0 || live.gone.length > 0) {
      const gateways = new Map(live.complete ? [] : this.gateways)
      for (const gateway of live.gateways) gateways.set(gateway.name, gateway)
      for (const name of live.gone) gateways.delete(name)
      this.gateways = gateways
    }
    this.known = true
  }

  #figures(overview: GatewayOverview): void {
    const figures = new Map<string, GatewayLine>()
    for (const line of overview.gateways) {
      figures.set(line.name, line)
      const trail = this.trails.get(line.name) ?? []
      trail.push(line.rate)
      if (trail.length > TRAIL) trail.shift()
      this.trails.set(line.name, trail)
    }
    const failing = new Map<string, Level>()
    for (const line of overview.gateways) {
      const level = errors(line, this.failing.get(line.name))
      if (level) failing.set(line.name, level)
    }
    this.failing = failing
    for (const name of this.trails.keys()) if (!figures.has(name)) this.trails.delete(name)
    this.figures = figures
    this.heard = Date.now()
  }

  /** What somebody should look at. */
  attention(gateway: GatewaySummary): Attention[] {
    return attention(gateway, this.figures.get(gateway.name), this.failing.get(gateway.name))
  }

  #merge(events: readonly Event[]): void {
    const known = new Set(this.events.map((event) => event.id))
    const fresh = events.filter((event) => !known.has(event.id))
    if (fresh.length === 0) return
    const all = [...fresh, ...this.events]
    all.sort((a, b) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0))
    this.events = all.slice(0, EVENTS)
  }
}
