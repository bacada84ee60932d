/** What the UI shows as a command does the same in a shell. */

import { execFile } from 'node:child_process'
import { delimiter, dirname } from 'node:path'
import { promisify } from 'node:util'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { axe, launch, open, shot } from './browser'
import { BINARY, freePort, until, Vamp } from './vamp'

const TOKEN = 'operator-0123456789abcdef'
const headers = { authorization: `Bearer ${TOKEN}` }
let vamp: Vamp
let browser: Browser
let ports: number[]

beforeAll(async () => {
  const { mkdtempSync, writeFileSync } = await import('node:fs')
  const { tmpdir } = await import('node:os')
  const file = `${mkdtempSync(`${tmpdir()}/vamp-tokens-`)}/tokens`
  writeFileSync(file, `operator otto ${TOKEN}\n`)
  ;[vamp, browser] = await Promise.all([Vamp.start('--token-file', file), launch()])
  ports = await Promise.all([freePort(), freePort(), freePort()])
})
afterAll(async () => {
  await browser.close()
  await vamp.stop()
})

const [a, b] = [() => `[127.0.0.1:${ports[1]}]`, () => `[127.0.0.1:${ports[2]}]`]
const put = () =>
  vamp.call('PUT', '/gateways/shop/cart?wait=applied', `name: shop/cart
port: ${ports[0]}
sticky: route
virtual_hosts: [cart.example]
metadata: {team: cart}
routes:
- "${a()}": {weight: 60%, balance: leastconn, rewrites: [{path: "/a if path beg /b"}]}
- "${b()}": {weight: 40%, condition: "has header x", condition_strength: 50%}
`, headers)

async function signedIn(address: string): Promise<Page> {
  const { page } = await open(browser)
  await page.goto(vamp.url + address)
  await page.getByLabel('Token').fill(TOKEN)
  await page.getByRole('button', { name: 'Sign in' }).click()
  return page
}

/** Runs what stands on the page, as somebody who copied it would. */
async function run(page: Page, name: string): Promise<void> {
  const text = await page.getByLabel(`Command for ${name}`).textContent()
  expect(text).not.toContain(TOKEN)
  const path = `${dirname(BINARY)}${delimiter}${process.env['PATH']}`
  await promisify(execFile)('sh', ['-ec', (text ?? '').replace(/^curl /gm, 'curl -fsS ')], { env: { PATH: path, VAMP_TOKEN: TOKEN, HOME: vamp.folder } })
}

it.each(['vamp', 'curl'])('a prepared change by %s', async (name) => {
  await put()
  const before = await vamp.gateway('shop/cart', headers)
  const page = await signedIn('/ui/default/gateways/shop/cart')
  await page.getByLabel(`Weight of ${b()} in percent`).fill('12.5')
  await page.keyboard.press('Enter')
  await page.getByLabel('Sticky').selectOption('instance')
  await page.getByRole('button', { name: 'Edit condition' }).click()
  await page.getByLabel('Strength, %').fill('75')
  await page.getByRole('button', { name: 'Use', exact: true }).click()
  await page.getByLabel('Reason').fill("it's Zeit für 50 % 🚀")
  await page.getByRole('button', { name: 'As a command' }).click()
  await page.getByLabel(`Command for ${name}`).waitFor()
  if (name === 'curl') {
    await shot(page, 'commands')
    expect(await axe(page)).toEqual([])
  }
  await run(page, name)
  const after = await vamp.gateway('shop/cart', headers)
  // All that was prepared, and nothing else.
  const wanted = structuredClone(before)
  wanted.sticky = 'instance'
  Object.assign(wanted.routes[a()]!, { weight: '87.5%' })
  Object.assign(wanted.routes[b()]!, { weight: '12.5%', condition_strength: '75%' })
  expect(after).toEqual(wanted)
  // The page sees it, and nothing is left to apply.
  await page.getByRole('region', { name: 'Prepared change' }).waitFor({ state: 'detached' })
  const events = (await (await vamp.call('GET', '/events?tag=gateways:shop/cart&type=event', undefined, headers)).json()) as { value: { change?: { reason?: string } } }[]
  expect(events[0]?.value.change?.reason).toBe("it's Zeit für 50 % 🚀")
})

it.each(['vamp', 'curl'])('taking back, evicting and deleting by %s', async (name) => {
  await put()
  const before = await vamp.gateway('shop/cart', headers)
  await vamp.call('PUT', '/gateways/shop/cart?wait=applied', `name: shop/cart\nport: ${ports[0]}\nroutes:\n- "${a()}": {weight: 10%}\n- "${b()}": {weight: 90%}`, headers)
  const page = await signedIn('/ui/default/gateways/shop/cart?tab=events')
  await page.getByRole('article').first().getByRole('button', { name: 'Revert' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'As a command' }).click()
  await run(page, name)
  // Weights and conditions, and what has no step of its own in the log: stickiness, hosts, balance, rewrites.
  expect(await vamp.gateway('shop/cart', headers)).toEqual(before)
  await page.keyboard.press('Escape')

  await page.getByRole('link', { name: 'Routes' }).click()
  await page.getByRole('button', { name: 'Evict' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'As a command' }).click()
  await run(page, name)
  await until('the eviction to be in the log', async () =>
    JSON.stringify(await (await vamp.call('GET', '/events?tag=gateways:shop/cart&type=event', undefined, headers)).json()).includes('evicted'))
  await page.keyboard.press('Escape')

  await page.getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'As a command' }).click()
  await run(page, name)
  await page.getByText("There is no gateway 'shop/cart'").waitFor()
})
