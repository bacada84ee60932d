/** What may be written at a place of a gateway document. */

export interface Option {
  readonly label: string
  readonly detail: string
  /** What is written; the label unless given. */
  readonly apply?: string
}

export interface Completion {
  /** Where what is written begins. */
  readonly from: number
  readonly options: readonly Option[]
}

const GATEWAY: Option[] = [
  { label: 'name', detail: 'one to four segments joined by /', apply: 'name: ' },
  { label: 'port', detail: '9070, 9070/http or 9070/tcp', apply: 'port: ' },
  { label: 'selector', detail: 'which instances, and how they are grouped', apply: 'selector: label(app)() && label(version)((.*))' },
  { label: 'virtual_hosts', detail: 'host names on the shared listener', apply: 'virtual_hosts:\n- ' },
  { label: 'sticky', detail: 'clients stay on their route or instance', apply: 'sticky: ' },
  { label: 'routes', detail: 'settings of routes', apply: 'routes:\n  ' },
  { label: 'metadata', detail: 'free form', apply: 'metadata:\n  ' },
]

const ROUTE: Option[] = [
  { label: 'weight', detail: 'share of the traffic that no condition takes', apply: 'weight: ' },
  { label: 'condition', detail: 'which requests it takes first', apply: 'condition: ' },
  { label: 'condition_strength', detail: 'share of those', apply: 'condition_strength: ' },
  { label: 'balance', detail: 'how it chooses a target', apply: 'balance: ' },
  { label: 'rewrites', detail: 'changes of the path', apply: 'rewrites:\n    - path: ' },
  { label: 'selector', detail: 'its instances, without a selector above', apply: 'selector: ' },
  { label: 'metadata', detail: 'free form', apply: 'metadata:\n      ' },
]

const VALUES: Record<string, Option[]> = {
  sticky: [
    { label: 'route', detail: 'a client stays on its version' },
    { label: 'instance', detail: 'a client stays on its instance' },
    { label: 'none', detail: 'every request anew' },
  ],
  balance: [
    { label: 'default', detail: 'round robin; least connections for tcp' },
    { label: 'roundrobin', detail: 'in turns' },
    { label: 'leastconn', detail: 'where the fewest are' },
    { label: 'first', detail: 'the first that serves' },
    { label: 'source', detail: 'by client address' },
    { label: 'uri', detail: 'by path' },
  ],
  selector: [
    { label: 'label(app)(...) && label(version)((.*))', detail: 'a route for each version', apply: 'label(app)() && label(version)((.*))' },
    { label: 'label(...)(...)', detail: 'instances with a label', apply: 'label()()' },
    { label: 'image(...)', detail: 'instances of an image', apply: 'image()' },
    { label: 'name(...)', detail: 'containers of a name', apply: 'name()' },
    { label: 'port(...)', detail: 'ports of a number', apply: 'port()' },
  ],
  condition: [
    { label: 'Header ... Contains ...', detail: 'part of a header', apply: 'Header Accept Contains v2' },
    { label: 'User-Agent == ...', detail: 'a browser', apply: 'User-Agent == Firefox' },
    { label: 'Cookie ... Contains ...', detail: 'part of a cookie', apply: 'Cookie group Contains beta' },
    { label: 'Has Header ...', detail: 'a header is there', apply: 'Has Header x-canary' },
    { label: '< path_beg ... >', detail: 'the path begins', apply: '"< path_beg /api >"' },
  ],
  weight: [{ label: '0%', detail: '' }, { label: '10%', detail: '' }, { label: '50%', detail: '' }, { label: '100%', detail: '' }],
}

/** What fits at `offset`, and undefined where nothing can be said. */
export function complete(text: string, offset: number): Completion | undefined {
  const before = text.slice(0, offset)
  const start = before.lastIndexOf('\n') + 1
  const line = before.slice(start)
  const value = /^\s*(?:- )?["']?([\w-]+)["']?:\s+(\S*)$/.exec(line)
  if (value) {
    const options = VALUES[value[1] ?? '']
    return options && { from: offset - (value[2]?.length ?? 0), options }
  }
  const key = /^(\s*)([\w]*)$/.exec(line)
  if (!key) return undefined
  const indent = key[1]?.length ?? 0
  const parents = path(text.slice(0, start), indent)
  const from = offset - (key[2]?.length ?? 0)
  if (parents.length === 0 && indent === 0) return { from, options: missing(GATEWAY, text, 0) }
  if (parents.length === 2 && parents[0] === 'routes') return { from, options: ROUTE }
  return undefined
}

/** Keys that are not there yet. */
function missing(options: Option[], text: string, indent: number): Option[] {
  return options.filter((option) => !new RegExp(`^ {${indent}}${option.label}:`, 'm').test(text))
}

/** The keys above a line of that indent, outermost first. */
function path(above: string, indent: number): string[] {
  const found: string[] = []
  let limit = indent
  for (const line of above.split('\n').reverse()) {
    const key = /^(\s*)(?:"([^"]*)"|'([^']*)'|([^\s#'"-][^:]*)):(?:\s|$)/.exec(line)
    if (!key || (key[1]?.length ?? 0) >= limit) continue
    limit = key[1]?.length ?? 0
    found.unshift(key[2] ?? key[3] ?? key[4] ?? '')
    if (limit === 0) break
  }
  return found
}
