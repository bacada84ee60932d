/** A text that the server reads while it is written: a moment after the last key, and only the newest answer counts. */

import { untrack } from 'svelte'
import { message, Refused } from '../api/client'
import type { Problem } from '../api/types'

export class Check<T> {
  /** What the server made of it. */
  result = $state.raw<T | undefined>()
  /** Why it refused. */
  problem = $state<string | undefined>()
  /** Where. */
  problems = $state.raw<readonly Problem[]>([])
  /** The text that all this is about. */
  about = $state<string | undefined>()

  constructor(
    private readonly ask: (text: string, signal: AbortSignal) => Promise<T>,
    private readonly pauseMs = 250,
  ) {}

  /** For an effect: begins, and returns what ends it. */
  begin(text: string): () => void {
    const call = new AbortController()
    const timer = setTimeout(() => void this.#run(text, call.signal), this.pauseMs)
    return () => {
      clearTimeout(timer)
      call.abort()
    }
  }

  /** Nothing is known. */
  clear(): void {
    untrack(() => this.#set(undefined, undefined))
  }

  /** What was asked was refused. */
  refuse(error: unknown, text?: string): void {
    this.#set(text, undefined, message(error), error instanceof Refused ? error.problems : [])
  }

  async #run(text: string, signal: AbortSignal): Promise<void> {
    try {
      const result = await this.ask(text, signal)
      if (!signal.aborted) this.#set(text, result)
    } catch (error) {
      if (!signal.aborted) this.refuse(error, text)
    }
  }

  #set(about: string | undefined, result: T | undefined, problem?: string, problems: readonly Problem[] = []): void {
    this.about = about
    this.result = result
    this.problem = problem
    this.problems = problems
  }
}
