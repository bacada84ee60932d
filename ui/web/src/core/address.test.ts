import { describe, expect, it } from 'vitest'
import { read, type Screen, title, write } from './address'

describe('addresses', () => {
  const rows: [Screen, string][] = [
    [{ screen: 'overview' }, '/ui/default'],
    [{ screen: 'gateways' }, '/ui/default/gateways'],
    [{ screen: 'add' }, '/ui/default/gateways?add'],
    [{ screen: 'gateway', name: 'shop', tab: 'routes' }, '/ui/default/gateways/shop'],
    [{ screen: 'gateway', name: 'shop/cart/web', tab: 'document' }, '/ui/default/gateways/shop/cart/web?tab=document'],
    [{ screen: 'gateway', name: 'ä b?#%', tab: 'routes' }, '/ui/default/gateways/%C3%A4%20b%3F%23%25'],
    [{ screen: 'gateway', name: 'add', tab: 'routes' }, '/ui/default/gateways/add'],
    [{ screen: 'events' }, '/ui/default/events'],
  ]
  it.each(rows)('%j', (at, address) => {
    expect(write('default', at)).toBe(address)
    const url = new URL(address, 'http://x')
    expect(read(url.pathname, url.search)).toMatchObject({ environment: 'default', at })
  })

  it('forgives', () => {
    expect(read('/').environment).toBeUndefined()
    expect(read('/ui').environment).toBeUndefined()
    expect(read('/ui//default//gateways//')).toMatchObject({ environment: 'default', at: { screen: 'gateways' } })
    expect(read('/ui/default/nothing').at).toEqual({ screen: 'unknown' })
    expect(read('/ui/default/gateways/%E0%A4%A', '?tab=wrong').at).toEqual({ screen: 'gateway', name: '%E0%A4%A', tab: 'routes' })
  })

  it('keeps filters', () => {
    expect(write('default', { screen: 'events' }, { tag: 'archive' })).toBe('/ui/default/events?tag=archive')
    expect(read('/ui/default/events', '?tag=archive').query.get('tag')).toBe('archive')
  })

  it('titles', () => expect(title('default', { screen: 'gateway', name: 'shop', tab: 'routes' })).toBe('shop · default · Vamp'))
})
