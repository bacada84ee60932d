import { describe, expect, it } from 'vitest'
import { curl, type Place, quote, vamp, vampApply, vampDraft, vampRouteTest } from './commands'
import { differences } from './draft'

const here: Place = { origin: 'http://127.0.0.1:8090', environment: undefined, signedIn: false }
const away: Place = { origin: 'https://vamp.example', environment: 'shop-staging', signedIn: true }

describe('commands', () => {
  it.each([
    ['shop/cart', 'shop/cart'],
    ['(1.0.3)', "'(1.0.3)'"],
    ["it's", `'it'\\''s'`],
    ['', "''"],
    ['a b', "'a b'"],
    ['$HOME', "'$HOME'"],
  ])('quotes %j', (word, quoted) => expect(quote(word)).toBe(quoted))

  it('are what one would type', () => {
    expect(vamp(here, ['delete', 'gateway', 'shop'])).toBe('vamp delete gateway shop')
    expect(vampRouteTest(here, 'shop', 'POST', '/x?a=1', [['Accept', 'text/html']])).toBe(
      "vamp route test shop -H 'Accept: text/html' -X POST --path '/x?a=1'",
    )
    expect(vampApply(here, 'name: shop')).toBe("vamp apply -f - <<'EOF'\nname: shop\nEOF")
    expect(curl(here, 'PUT', '/api/v1/gateways/shop', 'name: shop', { 'If-Match': '"7"', 'Vamp-Reason': '' })).toBe(
      `curl -X PUT -H 'If-Match: "7"' --data-binary 'name: shop' http://127.0.0.1:8090/api/v1/gateways/shop`,
    )
  })

  it('reach the server and the environment that one looks at, and tell nobody the token', () => {
    expect(vamp(away, ['evict', 'shop'])).toBe('vamp evict shop --env shop-staging --url https://vamp.example')
    expect(vampApply(away, 'name: shop', 'why not')).toBe(
      "vamp apply -f - --reason 'why not' --env shop-staging --url https://vamp.example <<'EOF'\nname: shop\nEOF",
    )
    expect(curl(away, 'GET', '/x')).toBe('curl -H "Authorization: Bearer $VAMP_TOKEN" https://vamp.example/x')
  })

  it('say everything that is prepared, and why', () => {
    const base = {
      sticky: null,
      routes: [
        { path: '(1.0.3)', weight: '100%', condition: 'has header a', condition_strength: '100%' },
        { path: '(2.0.1)', weight: '0%', condition: 'has header x', condition_strength: '100%' },
        { path: '(2.0.2)', weight: '0%', condition: null, condition_strength: '0%' },
      ],
    }
    const draft = {
      weights: new Map([['(1.0.3)', 9950], ['(2.0.1)', 50], ['(2.0.2)', 0]]),
      conditions: new Map([['(1.0.3)', null], ['(2.0.2)', 'Header Accept Contains v2']]),
      strengths: new Map([['(2.0.1)', 5000], ['(2.0.2)', 2500]]),
      sticky: 'route',
    } as const
    const routes = base.routes.map(({ path, condition }) => ({ path, weight: draft.weights.get(path) ?? 0, condition }))
    expect(vampDraft(here, 'shop', draft, differences(base, draft), routes, 'first try').split('\n')).toEqual([
      "vamp weight shop '(1.0.3)=99.5%' '(2.0.1)=0.5%' '(2.0.2)=0%' --reason 'first try'",
      "vamp condition shop '(1.0.3)' --clear --reason 'first try'",
      "vamp condition shop '(2.0.1)' 'has header x' --strength 50% --reason 'first try'",
      "vamp condition shop '(2.0.2)' 'Header Accept Contains v2' --strength 25% --reason 'first try'",
      "vamp sticky shop route --reason 'first try'",
    ])
  })
})
