/**
 * Follows a stream of server-sent events for as long as a screen is there: reconnects by itself, resumes where it was, and says how
 * fresh what it brought is.
 *
 * ```text
 * connecting --> live <--> stale        nothing for some seconds: figures come every second, so something is wrong
 *     ^            |         |
 *     +-- offline <+---------+          the connection is gone; again after a pause that grows
 * ```
 */

import { type Message, Parser } from '../core/sse'

/** How fresh it is. */
export type Freshness = 'connecting' | 'live' | 'stale' | 'offline'

export interface Following {
  /** The address; asked again for each connection. */
  readonly url: () => string
  readonly headers: () => Record<string, string>
  readonly onMessage: (message: Message) => void
  readonly onFreshness: (freshness: Freshness) => void
  /** The server wants to know who it is talking to: following ends. */
  readonly onUnauthenticated: () => void
}

/** A stream with figures is silent for a second at most. */
const STALE_MS = 4_000
/** After so long without a byte the connection is given up; proxies between forget connections without telling. */
const DEAD_MS = 12_000
const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 5_000
/** A tab that nobody sees gives its connection to others: browsers open six to a server. */
const HIDDEN_MS = 60_000

/** Follows until the returned function is called. */
export function follow(following: Following): () => void {
  const end = new AbortController()
  void run(following, end.signal)
  return () => end.abort()
}

async function run(following: Following, end: AbortSignal): Promise<void> {
  let pause = FIRST_PAUSE_MS
  let last: string | undefined
  while (!end.aborted) {
    following.onFreshness('connecting')
    const connection = new AbortController()
    const stop = () => connection.abort()
    end.addEventListener('abort', stop)
    const unhide = whenHidden(stop)
    let heard = performance.now()
    const watch = setInterval(() => {
      const silence = performance.now() - heard
      if (silence > DEAD_MS) stop()
      else if (silence > STALE_MS) following.onFreshness('stale')
    }, 500)
    try {
      const headers = { ...following.headers(), ...(last === undefined ? {} : { 'last-event-id': last }) }
      const response = await fetch(following.url(), { headers, cache: 'no-store', signal: connection.signal })
      if (response.status === 401) {
        following.onUnauthenticated()
        return
      }
      if (response.ok && response.body) {
        const parser = new Parser()
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
        for (;;) {
          const { done, value } = await reader.read()
          if (done) break
          heard = performance.now()
          pause = FIRST_PAUSE_MS
          following.onFreshness('live')
          for (const message of parser.push(value)) {
            last = message.id ?? last
            following.onMessage(message)
          }
        }
      }
    } catch {
      // Gone; what to do is the same whatever the reason.
    } finally {
      clearInterval(watch)
      unhide()
      end.removeEventListener('abort', stop)
      connection.abort()
    }
    if (end.aborted) return
    following.onFreshness('offline')
    await seen()
    await delay(pause * (0.5 + Math.random() / 2), end)
    pause = Math.min(LONGEST_PAUSE_MS, pause * 2)
  }
}

/** Calls `stop` when the tab has not been seen for a while. */
function whenHidden(stop: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined
  const changed = () => {
    clearTimeout(timer)
    if (document.hidden) timer = setTimeout(stop, HIDDEN_MS)
  }
  document.addEventListener('visibilitychange', changed)
  changed()
  return () => {
    clearTimeout(timer)
    document.removeEventListener('visibilitychange', changed)
  }
}

/** Until the tab is seen. */
function seen(): Promise<void> {
  if (!document.hidden) return Promise.resolve()
  return new Promise((resolve) => {
    const changed = () => {
      if (document.hidden) return
      document.removeEventListener('visibilitychange', changed)
      resolve()
    }
    document.addEventListener('visibilitychange', changed)
  })
}

function delay(ms: number, end: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      resolve()
    }
    const timer = setTimeout(done, ms)
    end.addEventListener('abort', done, { once: true })
  })
}
