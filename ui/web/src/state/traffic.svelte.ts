/** Figures of one gateway over time, for its charts: first the past as the server knows it, then a point each second. */

import { untrack } from 'svelte'
import type { Client } from '../api/client'
import { follow } from '../api/follow'
import type { Figures, GatewayFigures, History } from '../api/types'
import { session } from './session.svelte'

/** Seconds of the past that a chart begins with, and keeps. */
export const SPAN = 300
/** Seconds that a point covers: short enough to see a change at once, long enough not to flicker. */
const WINDOW = 5

export type Value = number | null

/** The curves of one route, or of the whole gateway. */
export interface Curves {
  rate: Value[]
  errors: Value[]
  p50: Value[]
  p99: Value[]
}

export const KINDS = ['rate', 'errors', 'p50', 'p99'] as const
export type Kind = (typeof KINDS)[number]

export class Traffic {
  latest = $state.raw<GatewayFigures | undefined>()
  /** Counts up when points were added: arrays are changed in place. */
  beat = $state(0)
  /** Seconds since 1970, rising. */
  readonly times: number[] = []
  /** By path of the route; `''` is the whole gateway. */
  readonly curves = new Map<string, Curves>()
  #stop: (() => void) | undefined
  #began = false

  constructor(
    private readonly client: Client,
    private readonly gateway: string,
  ) {}

  start(): void {
    this.#stop = follow({
      url: () => this.client.url('/figures/stream', { gateway: this.gateway, window: WINDOW }),
      headers: () => this.client.headers(),
      onMessage: (message) => untrack(() => void this.#take(JSON.parse(message.data) as Figures)),
      onFreshness: () => undefined,
      onUnauthenticated: session.lock,
    })
  }

  stop(): void {
    this.#stop?.()
  }

  async #take(figures: Figures): Promise<void> {
    if (!this.#began) {
      this.#began = true
      await this.#past()
    }
    const found = figures.gateways[0]
    if (!found) return
    this.latest = found
    const time = Date.parse(figures.timestamp) / 1000
    const last = this.times.at(-1)
    if (last !== undefined && time <= last) return
    // A gap is a gap: no line over the time when nobody listened.
    if (last !== undefined && time - last > 3 * WINDOW) this.#push(last + 1, new Map())
    const points = new Map<string, [Value, Value, Value, Value]>()
    const of = (traffic: Pick<GatewayFigures, 'rate' | 'error_rate' | 'p50_ms' | 'p99_ms'>): [Value, Value, Value, Value] => [
      traffic.rate,
      traffic.error_rate,
      traffic.p50_ms,
      traffic.p99_ms,
    ]
    points.set('', of(found))
    for (const route of found.routes) points.set(route.path, of(route))
    this.#push(time, points)
    this.#forget(time - SPAN)
    this.beat++
  }

  async #past(): Promise<void> {
    try {
      const { body } = await this.client.get<History>('/figures/history', { query: { gateway: this.gateway, window: SPAN } })
      const end = Date.parse(body.timestamp) / 1000
      const number = Math.max(0, ...body.series.map((points) => points.rate.length))
      for (let i = 0; i < number; i++) {
        const points = new Map<string, [Value, Value, Value, Value]>()
        for (const line of body.series) {
          points.set(line.route ?? '', [line.rate[i] ?? 0, line.error_rate[i] ?? null, line.p50_ms[i] ?? null, line.p99_ms[i] ?? null])
        }
        this.#push(end - (number - i) * body.step, points)
      }
    } catch {
      // The charts begin now.
    }
  }

  #push(time: number, points: ReadonlyMap<string, readonly Value[]>): void {
    for (const path of points.keys()) {
      if (this.curves.has(path)) continue
      const empty = () => this.times.map((): Value => null)
      this.curves.set(path, { rate: empty(), errors: empty(), p50: empty(), p99: empty() })
    }
    this.times.push(time)
    for (const [path, curves] of this.curves) {
      const point = points.get(path)
      KINDS.forEach((kind, i) => curves[kind].push(point?.[i] ?? null))
    }
  }

  #forget(before: number): void {
    const old = this.times.findIndex((time) => time >= before)
    if (old <= 0) return
    this.times.splice(0, old)
    for (const curves of this.curves.values()) for (const kind of KINDS) curves[kind].splice(0, old)
  }
}
