/** Where the window is, kept in its address: back and forward work, and every screen can be sent to somebody. */

import { type Address, read, type Screen, title, write } from '../core/address'

class Router {
  address = $state.raw<Address>(read(location.pathname, location.search))
  /** Asks before something unsaved is left; gets what would be lost. */
  #guard: (() => string | undefined) | undefined
  /** The address as it is shown, to return to when leaving is refused. */
  #shown = location.href

  constructor() {
    addEventListener('popstate', () => {
      if (!this.#leave()) {
        history.pushState(null, '', this.#shown)
        return
      }
      this.#read()
    })
    addEventListener('beforeunload', (event) => {
      if (this.#guard?.()) event.preventDefault()
    })
    // Links are ordinary links: they open in new tabs and can be copied. Only the plain click stays in this page.
    addEventListener('click', (event) => {
      const link = (event.target as Element).closest?.('a')
      const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
      if (!link || !plain || event.defaultPrevented || link.target || link.origin !== location.origin) return
      if (!link.pathname.startsWith('/ui/') || link.hash) return
      event.preventDefault()
      this.open(link.pathname + link.search)
    })
  }

  get at(): Screen {
    return this.address.at
  }

  /** Goes somewhere; the back button leads back. */
  go(environment: string, at: Screen, query: Record<string, string> = {}): void {
    this.open(write(environment, at, query))
  }

  open(address: string): void {
    if (!this.#leave()) return
    history.pushState(null, '', address)
    this.#read()
    scrollTo(0, 0)
  }

  /** Changes the address without a step back to it, for filters. */
  replace(address: string): void {
    history.replaceState(null, '', address)
    this.#read()
  }

  /** Keeps the address of a screen until the function that is returned is called, unless the person agrees. */
  guard(unsaved: () => string | undefined): () => void {
    this.#guard = unsaved
    return () => {
      if (this.#guard === unsaved) this.#guard = undefined
    }
  }

  /** Says where the window is, in its title. */
  retitle(environment: string): void {
    document.title = title(environment, this.at)
  }

  #leave(): boolean {
    const unsaved = this.#guard?.()
    if (unsaved && !confirm(`${unsaved} Leave anyway?`)) return false
    this.#guard = undefined
    return true
  }

  #read(): void {
    this.address = read(location.pathname, location.search)
    this.#shown = location.href
  }
}

export const router = new Router()
