/** Moving traffic by mouse, keyboard and number; two people at the same gateway. */

import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { launch, open, shot } from './browser'
import { freePort, until, Vamp } from './vamp'

let vamp: Vamp
let browser: Browser
let document_: string

beforeAll(async () => {
  ;[vamp, browser] = await Promise.all([Vamp.start(), launch()])
  const ports = await Promise.all([freePort(), freePort(), freePort(), freePort()])
  document_ = `name: shop
port: ${ports[0]}
routes:
  "[127.0.0.1:${ports[1]}]": {weight: 60%}
  "[127.0.0.1:${ports[2]}]": {weight: 30%}
  "[127.0.0.1:${ports[3]}]": {weight: 10%}
`
})
afterAll(async () => {
  await browser.close()
  await vamp.stop()
})
beforeEach(() => vamp.call('PUT', '/gateways/shop?wait=applied', document_))

async function shop(): Promise<{ page: Page; problems: string[]; paths: string[]; weights: () => Promise<string[]> }> {
  const { page, problems } = await open(browser)
  const paths = Object.keys((await vamp.gateway('shop')).routes)
  await page.goto(`${vamp.url}/ui/default/gateways/shop`)
  await page.getByRole('slider').first().waitFor()
  const weights = () =>
    Promise.all(paths.map((path) => page.getByRole('textbox', { name: `Weight of ${path} in percent` }).inputValue()))
  await until('the weights to be there', async () => (await weights()).join() === '60,30,10')
  return { page, problems, paths, weights }
}

const stored = async () => Object.values((await vamp.gateway('shop')).routes).map((route) => route.weight)

it('the others follow in proportion, and the way back leads to where it began', async () => {
  const { page, problems, paths, weights } = await shop()
  const slider = page.getByRole('slider', { name: `Weight of ${paths[2]}` })
  const box = (await slider.boundingBox())!
  const at = (part: number) => [box.x + 12 + part * (box.width - 24), box.y + box.height / 2] as const
  await page.mouse.move(...at(0.1))
  await page.mouse.down()
  await page.mouse.move(...at(0.4), { steps: 5 })
  expect(await weights()).toEqual(['40', '20', '40'])
  await page.mouse.move(...at(1), { steps: 5 })
  expect(await weights()).toEqual(['0', '0', '100'])
  await page.mouse.move(...at(0.1), { steps: 5 })
  expect(await weights()).toEqual(['60', '30', '10'])
  await page.mouse.up()
  await page.getByRole('region', { name: 'Prepared change' }).waitFor({ state: 'detached' })
  expect(problems).toEqual([])
})

it('keys move it, pinned ones stay, a number goes below a percent', async () => {
  const { page, problems, paths, weights } = await shop()
  const slider = page.getByRole('slider', { name: `Weight of ${paths[2]}` })
  await slider.focus()
  await page.keyboard.press('ArrowRight')
  expect((await weights())[2]).toBe('11')
  await page.keyboard.press('Shift+ArrowRight')
  expect((await weights())[2]).toBe('11.1')
  await page.keyboard.press('End')
  expect(await weights()).toEqual(['0', '0', '100'])
  await page.getByRole('button', { name: 'Undo' }).click()
  expect(await weights()).toEqual(['60', '30', '10'])

  await page.getByRole('button', { name: `Pin ${paths[1]}` }).click()
  await slider.focus()
  await page.keyboard.press('End')
  expect(await weights()).toEqual(['0', '30', '70'])
  await page.getByRole('button', { name: 'Undo' }).click()

  const number = page.getByRole('textbox', { name: `Weight of ${paths[2]} in percent` })
  await number.fill('0.25')
  await page.keyboard.press('Enter')
  expect(await weights()).toEqual(['69.75', '30', '0.25'])
  await number.fill('ten')
  expect(await number.getAttribute('aria-invalid')).toBe('true')
  await page.keyboard.press('Escape')
  expect(await weights()).toEqual(['69.75', '30', '0.25'])
  await page.getByLabel('Reason').fill('a careful start: ½ %')
  await page.getByRole('button', { name: 'Apply' }).click()
  await page.getByText('Applied.').waitFor()
  expect(await page.getByRole('region', { name: 'Receipt' }).textContent()).toMatch(/Revision \d+ · 1 of 1 proxy\s+after [\d.]+ ms/)
  expect(await stored()).toEqual(['69.75%', '30%', '0.25%'])

  // The log knows who, why, from what to what; and the way back.
  await page.getByRole('link', { name: 'Events' }).last().click()
  await page.getByText('a careful start: ½ %').waitFor()
  await page.getByRole('article').first().getByRole('button', { name: 'Revert' }).click()
  await page.getByRole('dialog').getByLabel('What changes').waitFor()
  await shot(page, 'revert')
  await page.getByRole('button', { name: 'Take it back' }).click()
  await until('the weights to be back', async () => (await stored()).join() === '60%,30%,10%')
  expect(problems).toEqual([])
})

it('two people get a conflict, and nothing is lost', async () => {
  const ann = await shop()
  const bob = await shop()
  const number = (page: Page, i: number) => page.getByRole('textbox', { name: `Weight of ${ann.paths[i]} in percent` })
  await number(ann.page, 2).fill('20')
  await ann.page.keyboard.press('Enter')

  await number(bob.page, 0).fill('100')
  await bob.page.keyboard.press('Enter')
  await bob.page.getByRole('button', { name: 'Apply' }).click()
  await bob.page.getByText('Applied.').waitFor()

  // Without a reload: what bob did, and what ann prepared.
  await ann.page.getByText('Somebody changed shop meanwhile.').waitFor()
  expect((await ann.weights())[2]).toBe('20')
  expect(await ann.page.getByRole('button', { name: 'Apply' }).isDisabled()).toBe(true)
  await shot(ann.page, 'conflict')
  expect(await stored()).toEqual(['100%', '0%', '0%'])
  await ann.page.getByRole('button', { name: 'Keep mine, on top of theirs' }).click()
  await ann.page.getByRole('button', { name: 'Apply' }).click()
  await ann.page.getByText('Applied.').waitFor()
  expect((await stored())[2]).toBe('20%')
  expect([...ann.problems, ...bob.problems]).toEqual([])
})

it('a change by the command line appears within a second', async () => {
  const { page, weights } = await shop()
  // On a busy machine the best of some tries counts.
  const took: number[] = []
  for (const [a, c] of [[50, 20], [40, 30], [20, 50]]) {
    await vamp.call('PUT', '/gateways/shop', document_.replace('60%', `${a}%`).replace('10%', `${c}%`))
    const start = Date.now()
    await until('the change to be seen', async () => (await weights()).join() === `${a},30,${c}`)
    took.push(Date.now() - start)
  }
  expect(Math.min(...took)).toBeLessThan(2000)
  expect(await page.getByRole('region', { name: 'Prepared change' }).count()).toBe(0)
})
