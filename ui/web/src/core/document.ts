/** Documents as people write them: what the API answers, without what it found out itself. */

/** What is answered and not read. */
const FOUND = ['kind', 'lookup_name', 'internal', 'service', 'deployed', 'status', 'targets']
/** What a field is when nobody sets it. */
const USUAL: Readonly<Record<string, unknown>> = { balance: 'default' }

/** A gateway as it could have been written: replacing it by this changes nothing. Routes are a list, which keeps their order. */
export function written(document: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const short = shorten(document)
  const routes = document['routes']
  if (Array.isArray(routes)) {
    short['routes'] = routes.map((route: Record<string, Record<string, unknown>>) =>
      Object.fromEntries(Object.entries(route).map(([path, fields]) => [path, shortenRoute(path, fields)])),
    )
  } else if (isObject(routes)) {
    short['routes'] = Object.entries(routes).map(([path, fields]) => ({ [path]: shortenRoute(path, fields as Record<string, unknown>) }))
  }
  if (Array.isArray(short['routes']) && short['routes'].length === 0) delete short['routes']
  return short
}

/** As YAML: a field a line, a route a line. */
export function yaml(document: Readonly<Record<string, unknown>>): string {
  const lines: string[] = []
  for (const [name, value] of Object.entries(document)) {
    if (name === 'routes' && Array.isArray(value)) {
      lines.push('routes:')
      for (const route of value as Record<string, unknown>[]) {
        for (const [path, fields] of Object.entries(route)) lines.push(`- ${JSON.stringify(path)}: ${JSON.stringify(fields)}`)
      }
    } else lines.push(`${name}: ${plain(value)}`)
  }
  return `${lines.join('\n')}\n`
}

function shorten(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([name, value]) => !FOUND.includes(name) && !isNothing(value) && USUAL[name] !== value))
}

function shortenRoute(path: string, fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const short = shorten(fields)
  const { condition, metadata } = short
  if (condition === undefined) delete short['condition_strength']
  // The text alone, where the condition is not one with a name.
  if (isObject(condition) && Object.keys(condition).length === 1 && typeof condition['condition'] === 'string') short['condition'] = condition['condition']
  // What Vamp itself notes of a route that a selector found.
  if (isObject(metadata)) {
    const { groups, title, ...own } = metadata
    if (groups === path && title === path) {
      if (isNothing(own)) delete short['metadata']
      else short['metadata'] = own
    }
  }
  return short
}

function isNothing(value: unknown): boolean {
  return value === null || value === undefined || (Array.isArray(value) && value.length === 0) || (isObject(value) && Object.keys(value).length === 0)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Text that YAML reads as that text, and not as a number, a list or a truth. */
function plain(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value)
  return /^[A-Za-z][\w./()*&| -]*$/.test(value) && !/^(true|false|yes|no|on|off|null|y|n)$|\s$/i.test(value) ? value : JSON.stringify(value)
}
