import { describe, expect, it } from 'vitest'
import { curl, quote, vampApply, vampCondition, vampRouteTest, vampWeight } from './commands'

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
    expect(vampWeight('shop', [{ path: '(1.0.3)', weight: 9950 }, { path: '(2.0.1)', weight: 50 }])).toBe(
      "vamp weight shop '(1.0.3)=99.5%' '(2.0.1)=0.5%'",
    )
    expect(vampCondition('shop', '(2.0.1)', 'Header Accept Contains v2', 10_000)).toBe(
      "vamp condition shop '(2.0.1)' 'Header Accept Contains v2' --strength 100%",
    )
    expect(vampCondition('shop', '(2.0.1)', undefined, 0)).toBe("vamp condition shop '(2.0.1)' --clear")
    expect(vampRouteTest('shop', '/x?a=1', [['Accept', 'text/html']])).toBe("vamp route test shop -H 'Accept: text/html' --path '/x?a=1'")
    expect(vampApply('name: shop')).toBe("vamp apply -f - <<'EOF'\nname: shop\nEOF")
    expect(curl('http://localhost:8090', 'PUT', '/api/v1/gateways/shop', 'name: shop', { 'If-Match': '"7"' })).toBe(
      `curl -X PUT -H 'If-Match: "7"' --data-binary 'name: shop' http://localhost:8090/api/v1/gateways/shop`,
    )
  })
})
