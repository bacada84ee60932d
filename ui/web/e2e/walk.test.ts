/** What a walk through every screen found once: small things, each of which would be seen on a stage. */

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { axe, fits, launch, open, shot } from './browser'
import { freePort, traffic, until, Vamp } from './vamp'

let vamp: Vamp
let browser: Browser
let target: Server
let port: number
const stops: (() => void)[] = []
/** Paths of `many`, in their order. */
let paths: string[]

beforeAll(async () => {
  // All targets are one server that answers.
  target = createServer((_, response) => response.end('ok'))
  target.listen(0, '127.0.0.1')
  await once(target, 'listening')
  ;[vamp, browser] = await Promise.all([Vamp.start(), launch()])
  const address = target.address()
  const to = typeof address === 'object' && address ? address.port : 0
  port = await freePort()
  paths = Array.from({ length: 20 }, (_, i) => `[127.0.0.${i + 1}:${to}]`)
  // Only the first is there; the others are names with weights.
  await vamp.call('PUT', '/gateways/many?wait=applied', `name: many\nport: ${port}\nroutes:\n${paths.map((path, i) => `- "${path}": {weight: ${i === 0 ? 81 : 1}%}`).join('\n')}`)
  stops.push(traffic(port, '/', 20))
})
afterAll(async () => {
  for (const stop of stops) stop()
  await browser.close()
  await vamp.stop()
  target.close()
})

it.each(["it's", 'größe', 'shop/checkout', 'eu.west.checkout', 'a%2Fb', 'add', 'UPPER_case'])('a gateway called %s has an address', async (name) => {
  await vamp.call('POST', '/gateways', `name: ${JSON.stringify(name)}\nselector: label(app)(nobody)`)
  const { page, problems } = await open(browser)
  await page.goto(`${vamp.url}/ui/default/gateways`)
  await page.getByRole('link', { name, exact: true }).click()
  await page.getByRole('link', { name: 'Document' }).click()
  await page.getByLabel(`Document of ${name}, YAML`).waitFor()
  await page.reload()
  await page.getByLabel(`Document of ${name}, YAML`).waitFor()
  expect(await page.title()).toBe(`${name} · default · Vamp`)
  expect(problems).toEqual([])
  await page.context().close()
})

it('twenty routes: frames are drawn while figures come, and a slider is moved', async () => {
  const { page } = await open(browser)
  await page.goto(`${vamp.url}/ui/default/gateways/many`)
  await page.getByRole('slider').nth(19).waitFor()
  await page.getByRole('img', { name: /Requests per second/ }).waitFor()
  const frames = () => page.evaluate(async () => {
    const times: number[] = []
    let last = performance.now()
    for (const end = last + 3000; last < end; ) {
      await new Promise((resolve) => requestAnimationFrame(resolve))
      const now = performance.now()
      times.push(now - last)
      last = now
    }
    times.sort((a, b) => a - b)
    return [times[times.length >> 1] ?? 0, times[Math.floor(times.length * 0.95)] ?? 0]
  })
  const [still, worst] = await frames()
  const box = (await page.getByRole('slider').first().boundingBox())!
  await page.mouse.move(box.x + box.width * 0.8, box.y + box.height / 2)
  await page.mouse.down()
  const dragging = frames()
  for (let i = 0; i < 40; i++) await page.mouse.move(box.x + box.width * (0.8 - i / 60), box.y + box.height / 2)
  const [moving, shaken] = await dragging
  await page.mouse.up()
  // Figures to read; a busy machine is not to fail for them.
  console.log(`20 routes: frames of ${still?.toFixed(1)} ms (95 %: ${worst?.toFixed(1)}), while a slider is dragged ${moving?.toFixed(1)} ms (95 %: ${shaken?.toFixed(1)})`)
  const weights = await Promise.all(paths.map((path) => page.getByRole('textbox', { name: `Weight of ${path} in percent` }).inputValue()))
  expect(weights.reduce((sum, weight) => sum + Math.round(Number(weight) * 100), 0)).toBe(10_000)
  await shot(page, 'twenty-routes', true)
  await page.context().close()
})

it('the slider of a phone is as wide as its screen, and the tab that is open is in sight', async () => {
  const { page } = await open(browser, { viewport: { width: 360, height: 740 }, hasTouch: true })
  await page.goto(`${vamp.url}/ui/default/gateways/many`)
  const box = await page.getByRole('slider').first().boundingBox()
  expect(box?.width).toBeGreaterThan(260)
  await page.goto(`${vamp.url}/ui/default/gateways/many?tab=document`)
  await until('the tab to be in sight', async () => {
    const tab = await page.getByRole('link', { name: 'Document' }).boundingBox()
    return tab !== null && tab.x >= 0 && tab.x + tab.width <= 361
  })
  await page.goto(`${vamp.url}/ui/default/gateways/many?tab=instances`)
  // Routes are there too, hidden: what is prepared stays.
  await page.getByRole('region', { name: 'Instances' }).getByText('127.0.0.20').first().waitFor()
  await fits(page)
  await shot(page, 'instances-many-phone', true)
  await page.context().close()
})

it('pointing at a version fades the curves of the others', async () => {
  const { page } = await open(browser)
  await page.goto(`${vamp.url}/ui/default/gateways/many`)
  const figure = page.locator('figure').first()
  const ink = () => figure.locator('canvas').evaluate((canvas: HTMLCanvasElement) => {
    const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height)
    let sum = 0
    for (let i = 3; i < data.length; i += 4) sum += data[i] ?? 0
    return sum
  })
  await until('the curves to be drawn', async () => (await ink()) > 100_000)
  // At a version without traffic: the curve that goes up and down is faded.
  await figure.getByRole('listitem', { includeHidden: true }).nth(5).scrollIntoViewIfNeeded()
  const before = await ink()
  await figure.getByRole('listitem', { includeHidden: true }).nth(5).hover()
  await until('the others to be faded', async () => (await ink()) < before * 0.9)
  await page.context().close()
})

it('the keyboard is never lost: conditions, applying, undoing', async () => {
  const { page } = await open(browser)
  await page.goto(`${vamp.url}/ui/default/gateways/many`)
  const row = page.locator('li[data-route]').first()
  await row.getByRole('button', { name: 'Condition' }).focus()
  await page.keyboard.press('Enter')
  await page.keyboard.type('Has Header x-canary')
  await page.getByText('Valid', { exact: true }).waitFor()
  for (let i = 0; i < 2; i++) await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim() ?? '')
  await until('the focus to be where the condition can be edited', async () => (await focused()) === 'Edit condition')
  await page.getByRole('button', { name: 'Undo' }).focus()
  await page.keyboard.press('Enter')
  await until('the focus to be at the split', async () => (await focused()) === 'Split')
  // On to the first slider, a little more, and apply.
  await page.getByRole('slider').first().focus()
  await page.keyboard.press('ArrowLeft')
  await page.getByRole('button', { name: 'Apply' }).focus()
  await page.keyboard.press('Enter')
  await until('the focus to be at the receipt', async () => (await focused()).startsWith('Applied.'))
  await page.context().close()
})

it('what is typed for a new gateway survives Escape, and every mistake is named with its line', async () => {
  const { page } = await open(browser)
  await page.goto(`${vamp.url}/ui/default/gateways?add`)
  await page.getByLabel('Gateway document, YAML').click()
  await page.keyboard.insertText('name: draft\nstickyness: route\nroutes:\n  a: {weight: 120%}\n')
  await page.getByRole('dialog').getByRole('button', { name: 'As a command' }).click()
  const problems = page.getByRole('dialog').getByRole('alert').getByRole('button')
  await until('both mistakes to be named', async () => (await problems.allTextContents()).join() === 'Line 2,Line 4')
  await shot(page, 'add-mistakes')
  expect(await axe(page)).toEqual([])
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await page.getByText('stickyness').first().waitFor()
  await page.context().close()
})

it('a change shows the document before and after, and what created a gateway is called so', async () => {
  // So many routes that their events fill more than a page of the log.
  const created = `name: big\nroutes:\n${paths.map((path) => `- "${path}": {weight: 5%, condition: has header x}`).join('\n')}`
  await vamp.call('POST', '/gateways?wait=applied', created)
  await vamp.call('PUT', '/gateways/big?wait=applied', `${created}\nmetadata: {team: cart}`)
  const { page } = await open(browser)
  await page.goto(`${vamp.url}/ui/default/events?gateway=big`)
  await page.getByRole('article').nth(1).waitFor()
  expect(await page.getByRole('article').nth(1).getAttribute('aria-label')).toBe('Gateway created')
  const first = page.getByRole('article').first()
  await first.getByRole('button', { name: 'Document' }).click()
  await first.getByText('metadata: {team: cart}').waitFor()
  expect(await axe(page)).toEqual([])
  // Fields that the log has no steps for are taken back too.
  await first.getByRole('button', { name: 'Revert' }).click()
  await page.getByRole('dialog').getByText('team: cart').waitFor()
  await page.getByRole('button', { name: 'Take it back' }).click()
  await page.getByText(/^Taken back/).waitFor()
  expect(JSON.stringify((await vamp.gateway('big') as unknown as { metadata: object }).metadata)).toBe('{}')
  await page.context().close()
})

it('says of how many proxies the last requests are, and checks the condition without any', async () => {
  const { page } = await open(browser)
  let answered = 0
  await page.route('**/condition-tests', (route) => {
    const requests = answered === 0 ? [] : [{ method: 'GET', path: '/cart', matches: true }]
    return route.fulfill({ json: { gateway: 'many', available: answered > 0, proxies: { answered, all: 3 }, matched: requests.length, requests } })
  })
  await page.goto(`${vamp.url}/ui/default/gateways/many`)
  await page.locator('li[data-route]').first().getByRole('button', { name: 'Condition' }).click()
  await page.keyboard.type('Has Header x-canary')
  await page.getByText('No proxy tells of its last requests').waitFor()
  expect(await axe(page)).toEqual([])
  expect(await page.getByRole('button', { name: 'Use', exact: true }).isEnabled()).toBe(true)
  answered = 2
  await page.getByText('requests would have matched, as 2 of 3 proxies tell').waitFor()
  await page.context().close()
})

it('an environment that is not there is called that', async () => {
  const { page } = await open(browser)
  await page.goto(`${vamp.url}/ui/production/gateways/many`)
  await page.getByText("There is no environment 'production'").waitFor()
  expect(await page.getByRole('alert').count()).toBe(0)
  await page.getByRole('main').getByRole('link', { name: 'default' }).click()
  await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
  await page.context().close()
})

it('stands still for those who want it to', async () => {
  const { page } = await open(browser, { reducedMotion: 'reduce' })
  await page.goto(`${vamp.url}/ui/default/gateways/many`)
  await page.getByRole('slider').first().waitFor()
  const longest = await page.evaluate(() =>
    Math.max(...[...document.querySelectorAll('*')].flatMap((element) => {
      const style = getComputedStyle(element)
      return `${style.transitionDuration},${style.animationDuration}`.split(',').map(parseFloat)
    })))
  expect(longest).toBeLessThan(0.01)
  await page.context().close()
})
