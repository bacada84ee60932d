/** Calls to the API. Every answer that is no success becomes an error that says what to do. */

import type { Problem } from './types'

/** The server answered, and refused. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly problems: readonly Problem[] = [],
  ) {
    super(message)
  }
}

/** No answer. */
export class Unreachable extends Error {
  constructor() {
    super('The server does not answer. What you see is the last known state.')
  }
}

/** How the data plane took a change. */
export interface Receipt {
  readonly revision: number
  readonly applied: number
  readonly total: number
  readonly ms: number | undefined
}

/** An answer. */
export interface Reply<T> {
  readonly body: T
  readonly etag: string | undefined
  readonly receipt: Receipt | undefined
  /** Length of the whole list, of which the body is a page. */
  readonly total: number | undefined
}

/** What a call carries besides its path. */
export interface Call {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** A list repeats its parameter. */
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>
  /** A text is sent as YAML, anything else as JSON. */
  readonly body?: unknown
  readonly ifMatch?: string | undefined
  readonly reason?: string | undefined
  readonly accept?: string
  readonly signal?: AbortSignal
}

/** Longest time that a call may take. */
const PATIENCE_MS = 30_000

/** The API of one environment. */
export class Client {
  constructor(
    readonly environment: string,
    private readonly token: () => string | undefined,
    /** Called when the server wants to know who it is talking to. */
    private readonly unauthenticated: () => void,
  ) {}

  /** The address of a path below `/api/v1`. */
  url(path: string, query: Call['query'] = {}): string {
    const parameters = new URLSearchParams()
    for (const [name, value] of Object.entries(query)) {
      if (value === undefined) continue
      for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, String(one))
    }
    const text = parameters.toString()
    return `/${segments(this.environment)}/api/v1${path}${text ? `?${text}` : ''}`
  }

  headers(): Record<string, string> {
    const token = this.token()
    return token ? { authorization: `Bearer ${token}` } : {}
  }

  async get<T>(path: string, call: Call = {}): Promise<Reply<T>> {
    return this.call<T>(path, call)
  }

  /** A document as YAML. */
  async yaml(path: string, call: Call = {}): Promise<Reply<string>> {
    return this.call<string>(path, { ...call, accept: 'application/x-yaml' })
  }

  async call<T>(path: string, call: Call = {}): Promise<Reply<T>> {
    const headers: Record<string, string> = { ...this.headers(), accept: call.accept ?? 'application/json' }
    const isText = typeof call.body === 'string'
    if (call.body !== undefined) headers['content-type'] = isText ? 'application/x-yaml' : 'application/json'
    if (call.ifMatch !== undefined) headers['if-match'] = call.ifMatch
    if (call.reason) headers['vamp-reason'] = bytes(call.reason)
    const patience = AbortSignal.timeout(PATIENCE_MS)
    const init: RequestInit = {
      method: call.method ?? 'GET',
      headers,
      cache: 'no-store',
      signal: call.signal ? AbortSignal.any([call.signal, patience]) : patience,
    }
    if (call.body !== undefined) init.body = isText ? (call.body as string) : JSON.stringify(call.body)
    let response: Response
    try {
      response = await fetch(this.url(path, call.query), init)
    } catch (error) {
      if (call.signal?.aborted) throw error
      throw new Unreachable()
    }
    const text = await response.text()
    if (!response.ok) throw this.#refused(response, text)
    const body = (call.accept ? text : text === '' ? undefined : JSON.parse(text)) as T
    const total = response.headers.get('x-total-count')
    return {
      body,
      etag: response.headers.get('etag') ?? undefined,
      receipt: receipt(response.headers),
      total: total === null ? undefined : Number(total),
    }
  }

  #refused(response: Response, text: string): Refused {
    if (response.status === 401) this.unauthenticated()
    try {
      const body = JSON.parse(text) as { message?: string; code?: string; problems?: Problem[] }
      return new Refused(response.status, body.code ?? '', body.message ?? response.statusText, body.problems ?? [])
    } catch {
      // An accept header for YAML gets errors as YAML; the first line is the message.
      const message = /^message: *(.*)$/m.exec(text)?.[1]?.replace(/^(['"])(.*)\1$/, '$2')
      return new Refused(response.status, '', message ?? `The server answered ${response.status}.`)
    }
  }
}

function receipt(headers: Headers): Receipt | undefined {
  const revision = headers.get('vamp-revision')
  if (revision === null) return undefined
  const [applied, total] = (headers.get('vamp-applied') ?? '0/0').split('/').map(Number)
  const ms = headers.get('vamp-applied-ms')
  return { revision: Number(revision), applied: applied ?? 0, total: total ?? 0, ms: ms === null ? undefined : Number(ms) }
}

/** A receipt for people. */
export function receiptText(receipt: Receipt | undefined): string | undefined {
  if (!receipt) return undefined
  const proxies = `${receipt.applied} of ${receipt.total} ${receipt.total === 1 ? 'proxy' : 'proxies'}`
  return `Revision ${receipt.revision} · ${proxies}${receipt.ms === undefined ? '' : ` after ${receipt.ms} ms`}`
}

/** The path of a gateway; slashes of its name stay. */
export function gatewayPath(name: string): string {
  return `/gateways/${segments(name)}`
}

/** Encodes what would change the meaning of a path, but its slashes. */
function segments(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/')
}

/** A header carries bytes: text as UTF-8. */
function bytes(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text))
}

/** What an error says to people. */
export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
