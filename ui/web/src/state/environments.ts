/** Which environments the server has. */

import { session } from './session.svelte'

export interface Known {
  /** In addresses, and in front of `/api/v1`. */
  readonly name: string
  readonly default: boolean
  readonly healthy: boolean
}

interface Listed {
  readonly prefix: string
  readonly default: boolean
  readonly healthy: boolean
}

/** More pages than any server has. */
const PAGES = 40

/** All of them. */
export async function environments(): Promise<Known[]> {
  const all: Known[] = []
  const headers: Record<string, string> = session.token() ? { authorization: `Bearer ${session.token()}` } : {}
  for (let page = 1; page <= PAGES; page++) {
    const response = await fetch(`/api/v1/environments?page=${page}`, { headers, cache: 'no-store' })
    if (response.status === 401) session.lock()
    const body = (await response.json()) as Listed[] & { message?: string }
    if (!response.ok) throw new Error(body.message ?? `The server answered ${response.status}.`)
    for (const { prefix, default: isDefault, healthy } of body) {
      // `organisation/name` is also understood as one segment, which an address of a screen needs.
      all.push({ name: prefix.slice(1).replace('/', '-'), default: isDefault, healthy })
    }
    if (body.length < 30) break
  }
  return all
}
