/** The UI steps of the tutorial, as it words them. */

import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { launch, open, shot } from './browser'
import { freePort, traffic, until, Vamp } from './vamp'

let vamp: Vamp
let browser: Browser

beforeAll(async () => {
  ;[vamp, browser] = await Promise.all([Vamp.start('--environment', 'environment'), launch()])
  await vamp.deploy('1.0.3')
})
afterAll(async () => {
  await browser.close()
  await vamp.stop()
})

it('selects the environment, adds the gateway, moves half of the traffic and routes by API version', async () => {
  const port = await freePort()
  const { page, problems } = await open(browser)

  // "In the Vamp UI, select the environment `environment`"
  await page.goto(vamp.url)
  await page.getByLabel('Environment').selectOption('environment')
  await page.waitForURL('**/ui/environment')
  await shot(page, 'tutorial-1-empty')

  // "go to the Gateways page and click Add (top right)"
  await page.getByRole('link', { name: 'Gateways', exact: true }).click()
  await page.getByRole('button', { name: 'Add', exact: true }).click()

  // "Paste in the above gateway config and click Save."
  await page.getByLabel('Gateway document, YAML').click()
  await page.keyboard.insertText(`name: sava-product\nport: ${port}\nselector: label(app)(sava-product) && label(version)((.*))\n`)
  await page.getByText('It finds 1 route right now').waitFor()
  await shot(page, 'tutorial-2-add')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.waitForURL('**/ui/environment/gateways/sava-product')
  await page.getByText('sava-product is released').waitFor()
  expect(await page.title()).toBe('sava-product · environment · Vamp')
  expect(await (await fetch(`http://127.0.0.1:${port}/products/ie`)).json()).toBeInstanceOf(Array)

  const stop = traffic(port)
  try {
    // A second version appears by itself, without traffic.
    await vamp.deploy('2.0.1')
    await page.getByLabel('Weight of (2.0.1) in percent').waitFor()
    expect(await page.getByLabel('Weight of (2.0.1) in percent').inputValue()).toBe('0')
    await shot(page, 'tutorial-3-deployed')

    // Half of the traffic, by the slider.
    const slider = page.getByRole('slider', { name: 'Weight of (2.0.1)' })
    const box = (await slider.boundingBox())!
    await page.mouse.move(box.x + 12, box.y + box.height / 2)
    await page.mouse.down()
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 8 })
    await page.mouse.up()
    expect(await page.getByLabel('Weight of (1.0.3) in percent').inputValue()).toBe('50')
    await page.getByText('≈').first().waitFor()
    await shot(page, 'tutorial-4-staged')
    await page.getByRole('button', { name: 'Apply' }).click()
    await page.getByText('Applied.').waitFor()
    const { routes } = await vamp.gateway('sava-product')
    expect([routes['(1.0.3)']?.weight, routes['(2.0.1)']?.weight]).toEqual(['50%', '50%'])
    await shot(page, 'tutorial-5-half')

    // API version 2 by header.
    const route = page.locator('li[data-route="(2.0.1)"]')
    await route.getByRole('button', { name: 'Condition' }).click()
    await page.getByLabel('Requests that (2.0.1) takes first').fill('Header Accept Conains v2')
    await page.getByText('Invalid condition').first().waitFor()
    await page.getByLabel('Requests that (2.0.1) takes first').fill('Header Accept Contains v2')
    await page.getByText('Valid', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Use', exact: true }).click()
    await page.getByRole('button', { name: 'Apply' }).click()
    await page.getByText('Applied.').waitFor()
    expect((await vamp.gateway('sava-product')).routes['(2.0.1)']?.condition).toEqual({ condition: 'Header Accept Contains v2' })

    // Which version would a client of it get?
    await page.getByRole('link', { name: 'Test a request' }).click()
    await page.getByLabel('Headers, one a line').fill('Accept: application/vnd.sava.v2+json')
    await page.getByRole('button', { name: 'Test', exact: true }).click()
    await page.getByText('its condition holds').waitFor()
    await shot(page, 'tutorial-6-test')

    // Figures move.
    await page.getByRole('link', { name: 'Routes' }).click()
    await until('requests to be counted', async () => /[1-9]/.test((await route.locator('.figures').textContent()) ?? ''))
    await page.getByRole('img', { name: /Requests per second/ }).waitFor()
    await shot(page, 'tutorial-7-routes', true)
  } finally {
    stop()
  }
  expect(problems).toEqual([])
})
