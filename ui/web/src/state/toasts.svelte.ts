/** Short messages that go by themselves, and are read out. */

export type Tone = 'good' | 'bad' | 'plain'

export interface Toast {
  readonly id: number
  readonly tone: Tone
  readonly text: string
  readonly detail: string | undefined
}

/** Long enough to read; mistakes stay until they are closed. */
const STAY_MS = 6_000
/** More would cover the screen. */
const MOST = 4

class Toasts {
  all = $state.raw<readonly Toast[]>([])
  #next = 0

  show(tone: Tone, text: string, detail?: string): void {
    const id = this.#next++
    this.all = [...this.all.slice(1 - MOST), { id, tone, text, detail }]
    if (tone !== 'bad') setTimeout(() => this.close(id), STAY_MS)
  }

  close(id: number): void {
    this.all = this.all.filter((toast) => toast.id !== id)
  }
}

export const toasts = new Toasts()
