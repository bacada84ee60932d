/** The server comes and goes, asks for tokens, and has a thousand gateways. */

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launch, open, shot } from './browser'
import { until, Vamp } from './vamp'

let browser: Browser
beforeAll(async () => {
  browser = await launch()
})
afterAll(() => browser.close())

it('a restart is survived: figures are called stale, then all goes on', async () => {
  const vamp = await Vamp.start()
  try {
    const { page } = await open(browser)
    await page.goto(`${vamp.url}/ui/default/gateways`)
    await page.getByText('Release your first version').waitFor()
    await page.getByText('Live', { exact: true }).waitFor()
    await vamp.end('SIGKILL')
    await page.getByRole('alert').getByText('The server does not answer').waitFor()
    await page.getByText(/^Stale/).waitFor()
    await shot(page, 'stale')
    await vamp.run()
    await page.getByText('Live', { exact: true }).waitFor({ timeout: 20_000 })
    await page.getByRole('alert').waitFor({ state: 'detached' })
    // What happened since reaches a window that was open all the time.
    await vamp.call('PUT', '/gateways/shop', 'name: shop\nselector: label(app)(shop)')
    await page.getByRole('link', { name: 'shop', exact: true }).waitFor()
  } finally {
    await vamp.stop()
  }
})

describe('with tokens', () => {
  const VIEWER = 'viewer-0123456789abcdef'
  const OPERATOR = 'operator-0123456789abcdef'
  let vamp: Vamp
  beforeAll(async () => {
    const { mkdtempSync, writeFileSync } = await import('node:fs')
    const { tmpdir } = await import('node:os')
    const file = `${mkdtempSync(`${tmpdir()}/vamp-tokens-`)}/tokens`
    writeFileSync(file, `viewer vera ${VIEWER}\noperator otto ${OPERATOR}\n`)
    vamp = await Vamp.start('--token-file', file)
    const headers = { authorization: `Bearer ${OPERATOR}` }
    await vamp.call('PUT', '/gateways/shop', 'name: shop\nroutes:\n  "[127.0.0.1:1]": {weight: 100%}\n  "[127.0.0.1:2]": {weight: 0%}', headers)
  })
  afterAll(() => vamp.stop())

  it('a viewer sees no control that is not for viewers', async () => {
    const { page, problems } = await open(browser)
    await page.goto(`${vamp.url}/ui/default/gateways/shop`)
    await page.getByLabel('Token').fill('wrong-0123456789abcdef')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('alert').getByText('not known').waitFor()
    await shot(page, 'sign-in')
    await page.getByLabel('Token').fill(VIEWER)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { name: 'shop', level: 1 }).waitFor()
    await page.getByText('viewer', { exact: true }).waitFor()
    await page.getByRole('slider').first().waitFor()
    expect(await page.getByRole('slider').first().isDisabled()).toBe(true)
    for (const name of ['Delete', 'Equal parts', 'All', 'Condition', 'Pin [127.0.0.1:1]']) {
      expect(await page.getByRole('button', { name, exact: true }).count(), name).toBe(0)
    }
    // On a phone too everything at the top has its place.
    await page.setViewportSize({ width: 360, height: 740 })
    const [choice, live] = [await page.getByLabel('Environment').boundingBox(), await page.getByText('Live', { exact: true }).boundingBox()]
    expect((choice?.x ?? 0) + (choice?.width ?? 360)).toBeLessThanOrEqual(live?.x ?? 0)
    await page.setViewportSize({ width: 1440, height: 900 })
    await page.getByRole('link', { name: 'Events' }).first().click()
    await page.getByRole('article').first().waitFor()
    expect(await page.getByRole('button', { name: 'Revert' }).count()).toBe(0)
    await page.getByRole('link', { name: 'Gateways', exact: true }).click()
    await page.getByRole('link', { name: 'shop', exact: true }).waitFor()
    expect(await page.getByRole('button', { name: 'Add', exact: true }).count()).toBe(0)

    // An operator does; the token ends with the window.
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByLabel('Token').fill(OPERATOR)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('button', { name: 'Add', exact: true }).waitFor()
    expect(problems).toEqual([])
  })
})

it('a thousand gateways stay smooth', { timeout: 300_000 }, async () => {
  const vamp = await Vamp.start('--port-range', '20000-29999')
  // All targets are one server that answers.
  const target = createServer((_, response) => response.end('ok')).listen(0, '127.0.0.1')
  await once(target, 'listening')
  try {
    const address = target.address()
    const port = typeof address === 'object' && address ? address.port : 0
    const name = (i: number) => `shop-${String(i).padStart(4, '0')}`
    for (let from = 0; from < 1000; from += 100) {
      const documents = Array.from({ length: 100 }, (_, i) => {
        const [a, b] = [(from + i) % 101, 100 - ((from + i) % 101)]
        return `kind: gateway\nname: ${name(from + i)}\nroutes:\n  "[127.0.0.1:${port}]": {weight: ${a}%}\n  "[localhost:${port}]": {weight: ${b}%}`
      })
      await vamp.call('PUT', '', documents.join('\n---\n'))
    }
    const { page, problems } = await open(browser)
    await page.goto(`${vamp.url}/ui/default/gateways`)
    await page.getByText('1,000 gateways').waitFor()
    await page.getByRole('link', { name: name(0) }).waitFor()
    // Only what is seen is there.
    expect(await page.getByRole('row').count()).toBeLessThan(60)
    const frames = (pixels: number) => page.evaluate(async (pixels) => {
      const times: number[] = []
      for (let i = 0; i < 60; i++) {
        scrollBy(0, pixels)
        const start = performance.now()
        await new Promise((resolve) => requestAnimationFrame(resolve))
        times.push(performance.now() - start)
      }
      return times.sort((a, b) => a - b)[30] ?? 0
    }, pixels)
    // A figure to read, not to hold a busy machine to.
    const [still, moving] = [await frames(0), await frames(400)]
    console.log(`median frame: ${still.toFixed(1)} ms standing still, ${moving.toFixed(1)} ms while six lines a frame scroll in`)
    await page.keyboard.press('End')
    await page.getByRole('link', { name: name(999) }).waitFor()
    await shot(page, 'thousand')

    await page.getByLabel('Search gateways').fill('shop-0512')
    await page.getByRole('link', { name: name(512) }).waitFor()
    await until('only that one to be left', async () => (await page.getByRole('row').count()) === 2)
    await page.waitForURL('**/gateways?q=shop-0512')
    expect(problems).toEqual([])
  } finally {
    target.close()
    await vamp.stop()
  }
})
