/** Every action as a command: what the UI does, a terminal and a pipeline can do. */

import { percent } from './split'

/** Quotes a word for a POSIX shell where it needs it. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

/** A call of the API with curl. `body` is sent as it stands. */
export function curl(origin: string, method: string, path: string, body?: string, headers: Record<string, string> = {}): string {
  const parts = ['curl']
  if (method !== 'GET') parts.push('-X', method)
  for (const [name, value] of Object.entries(headers)) parts.push('-H', quote(`${name}: ${value}`))
  if (body !== undefined) parts.push('--data-binary', quote(body))
  parts.push(quote(origin + path))
  return parts.join(' ')
}

/** Sets the weights of all routes. */
export function vampWeight(gateway: string, shares: readonly { path: string; weight: number }[]): string {
  return ['vamp weight', quote(gateway), ...shares.map((share) => quote(`${share.path}=${percent(share.weight)}`))].join(' ')
}

/** Sets or clears the condition of a route. */
export function vampCondition(gateway: string, route: string, condition: string | undefined, strength: number): string {
  const start = ['vamp condition', quote(gateway), quote(route)]
  if (condition === undefined) return [...start, '--clear'].join(' ')
  return [...start, quote(condition), '--strength', percent(strength)].join(' ')
}

/** Asks which route a request takes. */
export function vampRouteTest(gateway: string, path: string, headers: readonly (readonly [string, string])[]): string {
  const words = headers.map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`)
  return ['vamp route test', quote(gateway), ...words, '--path', quote(path)].join(' ')
}

/** A document from the terminal, without a file. */
export function vampApply(document: string): string {
  return `vamp apply -f - <<'EOF'\n${document.replace(/\n*$/, '\n')}EOF`
}
