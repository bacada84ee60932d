/** Every action as a command: what the UI does, a terminal and a pipeline can do. */

import { ALL, percent } from './split'
import type { Difference, Draft } from './draft'

/** Where a command is to work. */
export interface Place {
  /** Where the API is, as the browser reaches it. */
  readonly origin: string
  /** Undefined: the one that is meant when none is named. */
  readonly environment: string | undefined
  /** The server asks for a token. The command takes it from a variable: what is copied ends in chats and in logs. */
  readonly signedIn: boolean
}

/** Where `vamp` looks when it is not told. */
const USUAL = 'http://127.0.0.1:8090'

/** Quotes a word for a POSIX shell where it needs it. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

/** A call of the API with curl. `body` is sent as it stands; headers without a value are left out. */
export function curl(
  place: Place,
  method: string,
  path: string,
  body?: string,
  headers: Readonly<Record<string, string | undefined>> = {},
): string {
  const parts = ['curl']
  if (method !== 'GET') parts.push('-X', method)
  if (place.signedIn) parts.push('-H', '"Authorization: Bearer $VAMP_TOKEN"')
  for (const [name, value] of Object.entries(headers)) if (value) parts.push('-H', quote(`${name}: ${value}`))
  if (body !== undefined) parts.push('--data-binary', quote(body))
  parts.push(quote(place.origin + path))
  return parts.join(' ')
}

/** A line of `vamp`; flags without a value are left out. The token is taken from `VAMP_TOKEN`. */
export function vamp(place: Place, words: readonly string[], flags: Readonly<Record<string, string | undefined>> = {}): string {
  const all = { ...flags, '--env': place.environment, '--url': place.origin === USUAL ? undefined : place.origin }
  const parts = ['vamp', ...words.map(quote)]
  for (const [name, value] of Object.entries(all)) if (value) parts.push(name, quote(value))
  return parts.join(' ')
}

/** What is prepared, a line for each kind of change. */
export function vampDraft(
  place: Place,
  gateway: string,
  draft: Draft,
  differences: readonly Difference[],
  /** Routes with their weights as prepared, and the text of their conditions as stored. */
  routes: readonly { path: string; weight: number; condition: string | null }[],
  reason: string,
): string {
  const line = (...words: string[]) => vamp(place, words, { '--reason': reason })
  const changed = (...whats: string[]) => differences.filter((difference) => whats.includes(difference.what))
  const lines: string[] = []
  if (changed('weight').length > 0) lines.push(line('weight', gateway, ...routes.map((route) => `${route.path}=${percent(route.weight)}`)))
  for (const path of new Set(changed('condition', 'strength').map((difference) => difference.route ?? ''))) {
    const prepared = draft.conditions?.get(path)
    const text = prepared === undefined ? routes.find((route) => route.path === path)?.condition : prepared
    const strength = percent(draft.strengths?.get(path) ?? ALL)
    if (text === null || text === undefined) lines.push(vamp(place, ['condition', gateway, path, '--clear'], { '--reason': reason }))
    else lines.push(vamp(place, ['condition', gateway, path, text], { '--strength': strength, '--reason': reason }))
  }
  if (draft.sticky !== undefined) lines.push(line('sticky', gateway, draft.sticky ?? 'none'))
  return lines.join('\n')
}

/** Asks which route a request takes. */
export function vampRouteTest(
  place: Place,
  gateway: string,
  method: string,
  path: string,
  headers: readonly (readonly [string, string])[],
): string {
  const words = headers.flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  return vamp(place, ['route', 'test', gateway, ...words], { '-X': method === 'GET' ? undefined : method, '--path': path })
}

/** A document from the terminal, without a file. */
export function vampApply(place: Place, document: string, reason = ''): string {
  return `${vamp(place, ['apply', '-f', '-'], { '--reason': reason })} <<'EOF'\n${document.replace(/\n*$/, '\n')}EOF`
}
