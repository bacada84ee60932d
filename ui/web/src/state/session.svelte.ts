/** Who is using the UI: the token, when the server asks for one, and what it allows. */

import { Client } from '../api/client'
import type { Caller, Role } from '../api/types'

const KEY = 'vamp-token'
const RANK: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 }

class Session {
  /** True when the server wants a token that it knows. */
  locked = $state(false)
  /** What the server said about the last token. */
  caller = $state.raw<Caller | undefined>()
  #token: string | undefined = sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? undefined

  token = (): string | undefined => this.#token

  /** Called when the server answered 401. */
  lock = (): void => {
    this.locked = true
  }

  /** True when the caller may do what that role may. Before it is known, nothing is offered. */
  may(role: Role): boolean {
    return this.caller !== undefined && RANK[this.caller.role as Role] >= RANK[role]
  }

  /** A client whose refusals lock the session. */
  client(environment: string): Client {
    return new Client(environment, this.token, this.lock)
  }

  /** Asks the server who this is, in an environment once one is known. */
  async recognise(environment?: string): Promise<void> {
    // Without an environment there is no role; whether the token is known, any answer tells.
    const path = environment === undefined ? '/api/v1/environments' : `/${encodeURIComponent(environment)}/api/v1/whoami`
    const headers: Record<string, string> = this.#token ? { authorization: `Bearer ${this.#token}` } : {}
    const response = await fetch(path, { headers, cache: 'no-store' })
    const body = (await response.json()) as Caller & { message?: string }
    if (!response.ok) {
      if (response.status === 401) this.lock()
      throw new Error(body.message ?? `The server answered ${response.status}.`)
    }
    if (environment !== undefined) this.caller = body
    this.locked = false
  }

  /** Tries a token; keeps it beyond this window when asked to. */
  async signIn(token: string, keep: boolean, environment?: string): Promise<void> {
    const before = this.#token
    this.#token = token.trim()
    try {
      await this.recognise(environment)
    } catch (error) {
      this.#token = before
      throw error
    }
    this.#forget()
    ;(keep ? localStorage : sessionStorage).setItem(KEY, this.#token)
  }

  signOut(): void {
    this.#token = undefined
    this.caller = undefined
    this.#forget()
    this.locked = true
  }

  #forget(): void {
    sessionStorage.removeItem(KEY)
    localStorage.removeItem(KEY)
  }
}

export const session = new Session()
