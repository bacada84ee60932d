/** The environment that a screen is about, for components below it. */

import { getContext, setContext } from 'svelte'
import type { Environment } from './environment.svelte'

const KEY = Symbol('environment')

export function provideEnvironment(environment: () => Environment): void {
  setContext(KEY, environment)
}

export function useEnvironment(): Environment {
  return getContext<() => Environment>(KEY)()
}
