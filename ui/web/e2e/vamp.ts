/** A real `vamp serve` on ports of its own, with the sava services as processes. */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

export const BINARY = resolve(process.env['VAMP_BINARY'] ?? '../../target/debug/vamp')
const PATIENCE_MS = 30_000

export class Vamp {
  url = ''
  readonly folder = mkdtempSync(join(tmpdir(), 'vamp-ui-'))
  #child: ChildProcess | undefined
  #log = ''

  private constructor(private readonly arguments_: string[]) {}

  static async start(...more: string[]): Promise<Vamp> {
    const vamp = new Vamp([
      'serve',
      '--data-dir', '',
      '--api-listen', `127.0.0.1:${await freePort()}`,
      '--virtual-host-listen', '127.0.0.1:0',
      '--route-retention', '2s',
      '--drain-timeout', '1s',
      '--metrics-period', '1h',
      '--workers', '1',
      '--log', 'warn',
      ...more,
    ])
    vamp.arguments_[2] = join(vamp.folder, 'data')
    await vamp.run()
    return vamp
  }

  async run(): Promise<void> {
    const child = spawn(BINARY, this.arguments_, { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    child.stderr.on('data', (data) => (this.#log += String(data)))
    const first = await new Promise<string>((resolve, reject) => {
      let text = ''
      child.stdout.on('data', (data) => {
        text += String(data)
        if (text.includes('\n')) resolve(text.split('\n')[0] ?? '')
      })
      child.once('error', reject)
      child.once('exit', (code) => reject(new Error(`vamp ended with ${code}: ${this.#log}`)))
    })
    this.url = `http://${(JSON.parse(first) as { api: string }).api}`
    await until('vamp to be ready', async () => (await fetch(`${this.url}/readyz`)).ok)
  }

  /** Ends the process; the folder stays. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await ended
  }

  async stop(): Promise<void> {
    await this.end()
    rmSync(this.folder, { recursive: true, force: true })
  }

  async call(method: string, path: string, body?: string, headers: Record<string, string> = {}): Promise<Response> {
    const init: RequestInit = { method, headers: { 'content-type': 'application/x-yaml', ...headers } }
    if (body !== undefined) init.body = body
    const response = await fetch(`${this.url}/api/v1${path}`, init)
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${(await response.text()).slice(0, 500)}`)
    return response
  }

  async gateway(name: string, headers: Record<string, string> = {}) {
    return (await (await this.call('GET', `/gateways/${name}`, undefined, headers)).json()) as {
      port: string
      sticky: string | null
      routes: Record<string, { weight: string; condition: { condition: string } | null; targets: { url: string }[] }>
    }
  }

  /** Deploys a version of the product service, as the tutorial does, and waits until it is ready. */
  async deploy(version: string, environment: Record<string, string> = {}): Promise<void> {
    await this.call('POST', '/workloads', product(version, environment))
    await until(`${version} to be ready`, async () => {
      const list = (await (await this.call('GET', '/workloads')).json()) as { name: string; ready: number }[]
      return list.some((workload) => workload.name === `sava-product-${version}` && workload.ready > 0)
    })
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name)
    writeFileSync(path, text)
    return path
  }
}

/** The tutorial's Deployment. */
function product(version: string, environment: Record<string, string>): string {
  const variables = Object.entries(environment)
  const env = variables.length === 0 ? '' : `\n        env:${variables.map(([name, value]) => `\n        - {name: ${name}, value: "${value}"}`).join('')}`
  return `apiVersion: apps/v1
kind: Deployment
metadata:
  name: sava-product-${version}
spec:
  selector:
    matchLabels:
      app: sava-product
  replicas: 1
  template:
    metadata:
      labels:
        app: sava-product
        version: ${version}
    spec:
      containers:
      - name: sava-product
        image: vampio/sava-product:${version}
        ports:
        - containerPort: 8080${env}
`
}

/** A port that nobody uses right now, below those that the system gives to others meanwhile. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_240 + Math.floor(Math.random() * 9_000)
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer()
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (free) return port
  }
}

/** Sends requests until it is stopped. */
export function traffic(port: number, path = '/products/ie', everyMs = 40): () => void {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 2 })
  const timer = setInterval(() => {
    const request = http.get({ host: '127.0.0.1', port, path, agent }, (response) => response.resume())
    request.on('error', () => undefined)
  }, everyMs)
  return () => {
    clearInterval(timer)
    agent.destroy()
  }
}

/** Waits until something holds, with a deadline. */
export async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    try {
      if (await holds()) return
    } catch {
      // Not yet.
    }
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
