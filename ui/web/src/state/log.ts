/** The log of events, read backwards page by page. */

import type { Client } from '../api/client'
import type { Event } from '../api/types'
import { whole } from '../core/changes'

/** What people and automation did; figures are events too, and would be all that one sees. */
const KINDS = ['event', 'archive'] as const
/** Pages to look through for the document before a change. */
const MOST_PAGES = 20

export class Log {
  #read = new Map<string, Event>()
  #kinds = KINDS.map((type) => ({ type, page: 0, more: true, oldest: undefined as Event | undefined }))

  constructor(
    private readonly client: Client,
    /** What every event has to carry. */
    private readonly tags: readonly string[],
  ) {}

  /** Whether there are older ones. */
  get more(): boolean {
    return this.#kinds.some((kind) => kind.more)
  }

  /** What was read, as far back as nothing is missing. */
  get events(): Event[] {
    return whole([...this.#read.values()], this.#kinds.flatMap((kind) => (kind.more && kind.oldest ? [kind.oldest] : [])))
  }

  /** Reads on, until there is something new to tell. */
  async older(): Promise<void> {
    const before = this.events.length
    do {
      await Promise.all(this.#kinds.filter((kind) => kind.more).map((kind) => this.#page(kind)))
    } while (this.more && this.events.length === before)
  }

  async #page(kind: { type: string; page: number; more: boolean; oldest: Event | undefined }): Promise<void> {
    const query = { tag: this.tags, type: kind.type, page: kind.page + 1 }
    const { body, total } = await this.client.get<Event[]>('/events', { query })
    kind.page++
    for (const event of body) this.#read.set(event.id, event)
    const ids = [...this.#read.values()].filter((event) => event.type === kind.type)
    kind.oldest = ids.reduce<Event | undefined>((oldest, event) => (oldest === undefined || event.id < oldest.id ? event : oldest), undefined)
    kind.more = body.length > 0 && ids.length < (total ?? 0)
  }
}

/** The text of a gateway that was written before a revision; undefined where there is none, or none any more. */
export async function writtenBefore(client: Client, gateway: string, revision: number): Promise<string | undefined> {
  for (let page = 1; page <= MOST_PAGES; page++) {
    const { body } = await client.get<Event[]>('/events', { query: { tag: `gateways:${gateway}`, type: 'archive', page } })
    const earlier = body.find((event) => (event.revision ?? 0) < revision)
    if (earlier) return typeof earlier.value === 'string' && !earlier.tags.includes('archive:delete') ? earlier.value : undefined
    if (body.length === 0) break
  }
  return undefined
}
