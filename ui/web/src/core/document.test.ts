import { describe, expect, it } from 'vitest'
import { written, yaml } from './document'

const answered = {
  name: 'shop', kind: 'gateways', metadata: {}, lookup_name: 'x', internal: false, service: { host: '127.0.0.1', port: '9070/http' }, deployed: true,
  port: '9070', sticky: null, virtual_hosts: ['shop.vamp'], selector: 'label(app)(shop) && label(version)((.*))',
  routes: {
    '(1.0.3)': {
      metadata: { groups: '(1.0.3)', title: '(1.0.3)' }, lookup_name: 'y', selector: null, weight: '90%', balance: 'default', condition: null,
      condition_strength: '0%', rewrites: [], targets: [{ url: '127.0.0.1:1' }],
    },
    '(2.0.1)': {
      metadata: { groups: '(2.0.1)', title: '(2.0.1)', team: 'cart' }, lookup_name: 'z', selector: null, weight: '10%', balance: 'leastconn',
      condition: { condition: 'Header Accept Contains v2' }, condition_strength: '0%', rewrites: [], targets: [],
    },
  },
}

describe('a document', () => {
  it('as somebody could have written it', () => {
    expect(written(answered)).toEqual({
      name: 'shop', port: '9070', virtual_hosts: ['shop.vamp'], selector: 'label(app)(shop) && label(version)((.*))',
      routes: [
        { '(1.0.3)': { weight: '90%' } },
        { '(2.0.1)': { metadata: { team: 'cart' }, weight: '10%', balance: 'leastconn', condition: 'Header Accept Contains v2', condition_strength: '0%' } },
      ],
    })
  })

  it('is the same when it is written again, with routes in the order of a list', () => {
    const short = written(answered)
    expect(written(short)).toEqual(short)
    expect(written({ name: 'shop', routes: [{ b: { weight: '1%' } }, { '2': { weight: '99%' } }] })['routes']).toEqual([{ b: { weight: '1%' } }, { '2': { weight: '99%' } }])
    expect(written({ name: 'shop', selector: 'x', routes: {} })).toEqual({ name: 'shop', selector: 'x' })
  })

  it('as text', () => {
    expect(yaml({ name: 'shop', port: '9070', selector: 'label(app)(shop) && label(version)((.*))', virtual_hosts: ['a.b'], x: 'no', routes: [{ '(1.0.3)': { weight: '90%' } }] })).toBe(
      `name: shop\nport: "9070"\nselector: label(app)(shop) && label(version)((.*))\nvirtual_hosts: ["a.b"]\nx: "no"\nroutes:\n- "(1.0.3)": {"weight":"90%"}\n`,
    )
  })
})
