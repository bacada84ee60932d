/** Several environments behind one address, as a controller has them: here two servers behind one that looks at the first segment. */

import { once } from 'node:events'
import http from 'node:http'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { launch, open, shot } from './browser'
import { Vamp } from './vamp'

let shop: Vamp
let staging: Vamp
let browser: Browser
let front: http.Server
let url: string

beforeAll(async () => {
  ;[shop, staging, browser] = await Promise.all([Vamp.start('--environment', 'shop'), Vamp.start('--environment', 'staging'), launch()])
  await shop.call('POST', '/gateways', 'name: cart\nselector: label(app)(cart)')
  await staging.call('POST', '/gateways', 'name: cart-next\nselector: label(app)(cart)')
  front = http.createServer((request, response) => {
    const path = request.url ?? '/'
    if (path.startsWith('/api/v1/environments')) return void both(response)
    const to = path.startsWith('/staging/') ? staging : shop
    const passed = http.request(to.url + path, { method: request.method, headers: { ...request.headers, host: new URL(to.url).host } }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    passed.on('error', () => response.destroy())
    response.on('close', () => passed.destroy())
    request.pipe(passed)
  })
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  const address = front.address()
  url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
})
afterAll(async () => {
  await browser.close()
  front.closeAllConnections()
  front.close()
  await Promise.all([shop.stop(), staging.stop()])
})

async function both(response: http.ServerResponse): Promise<void> {
  const list = async (vamp: Vamp) => (await (await vamp.call('GET', '/environments')).json()) as { default: boolean }[]
  const [first, second] = await Promise.all([list(shop), list(staging)])
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify([...first, ...second.map((environment) => ({ ...environment, default: false }))]))
}

it('are chosen at the top, have their own addresses, and commands name them', async () => {
  const { page, problems } = await open(browser)
  await page.goto(url)
  await page.waitForURL('**/ui/shop')
  const choice = page.getByLabel('Environment')
  // The one that one looks at is described all over the page; the other says itself that something is the matter.
  expect((await choice.locator('option').allTextContents()).map((text) => text.trim())).toEqual(['shop', 'staging – needs attention'])
  await page.getByRole('link', { name: 'Gateways', exact: true }).click()
  await page.getByRole('link', { name: 'cart', exact: true }).waitFor()
  await choice.selectOption('staging')
  await page.waitForURL('**/ui/staging')
  await page.getByRole('link', { name: 'Gateways', exact: true }).click()
  await page.getByRole('link', { name: 'cart-next' }).click()
  expect(await page.title()).toBe('cart-next · staging · Vamp')
  await page.getByRole('link', { name: 'Document' }).click()
  await page.getByRole('button', { name: 'As a command' }).click()
  expect(await page.getByLabel('Command for vamp').textContent()).toBe(`vamp get gateway cart-next -o yaml --env staging --url ${url}`)
  await shot(page, 'environments')
  // A change there appears there, and the back button leads to the other.
  await staging.call('POST', '/gateways', 'name: more\nselector: label(app)(more)')
  await page.getByRole('link', { name: 'Gateways', exact: true }).first().click()
  await page.getByRole('link', { name: 'more' }).waitFor()
  for (let i = 0; i < 5; i++) await page.goBack()
  await page.waitForURL('**/ui/shop/gateways')
  await page.getByRole('link', { name: 'cart', exact: true }).waitFor()
  expect(await page.getByRole('link', { name: 'more' }).count()).toBe(0)
  expect(problems).toEqual([])
})
