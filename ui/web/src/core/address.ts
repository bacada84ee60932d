/**
 * Addresses of screens: `/ui/<environment>/<screen>...`. Every screen has one, so that it can be sent to a colleague.
 *
 * Names of gateways may hold slashes; what follows `gateways/` is the name, and `-/` in front of it would be no name: screens that
 * are not a gateway's stand there.
 */

/** Tabs of the page of a gateway. */
export const TABS = ['routes', 'instances', 'test', 'events', 'document'] as const
export type Tab = (typeof TABS)[number]

/** Where somebody is. */
export type Screen =
  | { readonly screen: 'overview' }
  | { readonly screen: 'gateways' }
  | { readonly screen: 'add' }
  | { readonly screen: 'gateway'; readonly name: string; readonly tab: Tab }
  | { readonly screen: 'events' }
  | { readonly screen: 'unknown' }

/** An address, read. */
export interface Address {
  /** Undefined: the start page, before it is known which environments there are. */
  readonly environment: string | undefined
  readonly at: Screen
  readonly query: URLSearchParams
}

/** Reads the path and query of an address. */
export function read(path: string, search = ''): Address {
  const query = new URLSearchParams(search)
  const [ui, environment, ...rest] = path.split('/').filter((segment) => segment !== '').map(decode)
  if (ui === undefined || environment === undefined) return { environment: undefined, at: { screen: 'overview' }, query }
  if (ui !== 'ui') return { environment: undefined, at: { screen: 'unknown' }, query }
  return { environment, at: screen(rest, query), query }
}

function screen(segments: string[], query: URLSearchParams): Screen {
  const [first, ...rest] = segments
  if (first === undefined || (first === 'overview' && rest.length === 0)) return { screen: 'overview' }
  if (first === 'events' && rest.length === 0) return { screen: 'events' }
  if (first !== 'gateways') return { screen: 'unknown' }
  if (rest.length === 0) return query.has('add') ? { screen: 'add' } : { screen: 'gateways' }
  const tab = TABS.find((tab) => tab === query.get('tab')) ?? 'routes'
  return { screen: 'gateway', name: rest.join('/'), tab }
}

/** Writes the address of a screen. */
export function write(environment: string, at: Screen, query: Record<string, string> = {}): string {
  const base = `/ui/${encodeURIComponent(environment)}`
  const with_ = (path: string, more: Record<string, string> = {}) => {
    const text = new URLSearchParams({ ...more, ...query }).toString()
    return text ? `${path}?${text}` : path
  }
  switch (at.screen) {
    case 'overview':
    case 'unknown':
      return with_(base)
    case 'gateways':
      return with_(`${base}/gateways`)
    case 'add':
      return with_(`${base}/gateways`, { add: '' }).replace('add=', 'add')
    case 'gateway': {
      const name = at.name.split('/').map(segment).join('/')
      return with_(`${base}/gateways/${name}`, at.tab === 'routes' ? {} : { tab: at.tab })
    }
    case 'events':
      return with_(`${base}/events`)
  }
}

/** What the window is called: the most particular first, for tabs that show a few letters only. */
export function title(environment: string, at: Screen): string {
  const names: Record<Screen['screen'], string> = {
    overview: 'Overview',
    gateways: 'Gateways',
    add: 'Add a gateway',
    gateway: at.screen === 'gateway' ? at.name : '',
    events: 'Events',
    unknown: 'Nothing here',
  }
  return `${names[at.screen]} · ${environment} · Vamp`
}

/** As in a path: what is readable stays so. */
function segment(text: string): string {
  return encodeURIComponent(text).replace(/%(3A|40|28|29|2C)/g, (code) => decodeURIComponent(code))
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
