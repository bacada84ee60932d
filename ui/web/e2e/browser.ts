/** The system's Chromium. */

import { mkdirSync, readFileSync } from 'node:fs'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { expect } from 'vitest'

/** With `VAMP_UI=../dist` the files are those, not what is built into the binary: no Rust to compile for a change of the UI. */
const FILES = process.env['VAMP_UI']
const SHOTS = new URL('../screenshots/', import.meta.url).pathname

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}

/** A window that fails its test when the page asks another host, or when anything is wrong that a user would not see. */
export async function open(browser: Browser, options: BrowserContextOptions = {}): Promise<{ page: Page; problems: string[] }> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options })
  context.setDefaultTimeout(30_000)
  const page = await context.newPage()
  if (FILES) {
    await context.route(/^http:\/\/127\.0\.0\.1:\d+\/(assets\/|ui(\/|$)|favicon|$)/, async (route) => {
      const path = new URL(route.request().url()).pathname
      const file = /^\/(assets|favicon)/.test(path) ? path : '/index.html'
      const response = await route.fetch({ url: new URL('/', route.request().url()).href })
      const type = { js: 'text/javascript', css: 'text/css', html: 'text/html', svg: 'image/svg+xml' }[file.split('.').pop() ?? ''] ?? 'font/woff2'
      const policy = response.headers()['content-security-policy'] ?? ''
      await route.fulfill({ body: readFileSync(FILES + file), headers: { 'content-type': type, 'content-security-policy': policy } })
    })
  }
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`))
  page.on('console', (message) => {
    // Refusals are part of life: a document that is being typed is refused until it is right.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) problems.push(message.text())
  })
  page.on('request', (request) => {
    if (!/^(http:\/\/127\.0\.0\.1:|data:|blob:)/.test(request.url())) problems.push(`third party: ${request.url()}`)
  })
  return { page, problems }
}

export async function shot(page: Page, name: string, fullPage = false): Promise<void> {
  mkdirSync(SHOTS, { recursive: true })
  await page.screenshot({ path: `${SHOTS}${name}.png`, fullPage })
}

/** What axe finds that is serious or worse. */
export async function axe(page: Page): Promise<string[]> {
  const source = new URL('../node_modules/axe-core/axe.min.js', import.meta.url)
  // The policy of the page lets no other script in; this one comes through the debugger.
  await page.evaluate(readFileSync(source, 'utf8'))
  return page.evaluate(async () => {
    type Found = { violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[] }
    const { axe } = window as unknown as { axe: { run(context: unknown): Promise<Found> } }
    // The editor's text has the focus, not the box that scrolls it; axe does not see that through a shadow root.
    const { violations } = await axe.run({ exclude: { fromShadowDom: ['.editor', '.cm-scroller'] } })
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 160)} ${node.failureSummary.replace(/\s+/g, ' ').slice(0, 200)}`))
  })
}

/** Waits until what fades in or moves once has done so: on a busy machine that takes longer than its time. */
export async function still(page: Page): Promise<void> {
  await page.waitForFunction(() =>
    document.getAnimations().every((animation) => animation.playState !== 'running' || animation.effect?.getComputedTiming().endTime === Infinity),
  )
}

/** No page is wider than its window. */
export async function fits(page: Page): Promise<void> {
  const [content, window_] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth])
  expect(content).toBeLessThanOrEqual((window_ ?? 0) + 1)
}
