/** Light or dark: the system's choice unless somebody chose here. */

const KEY = 'vamp-theme'
const system = matchMedia('(prefers-color-scheme: dark)')

class Theme {
  #chosen = $state(localStorage.getItem(KEY))
  #system = $state(system.matches)

  constructor() {
    system.addEventListener('change', () => (this.#system = system.matches))
    this.#show()
  }

  get dark(): boolean {
    return this.#chosen === null ? this.#system : this.#chosen === 'dark'
  }

  toggle(): void {
    const next = this.dark ? 'light' : 'dark'
    this.#chosen = (next === 'dark') === this.#system ? null : next
    if (this.#chosen === null) localStorage.removeItem(KEY)
    else localStorage.setItem(KEY, this.#chosen)
    this.#show()
  }

  #show(): void {
    if (this.#chosen === null) delete document.documentElement.dataset['theme']
    else document.documentElement.dataset['theme'] = this.#chosen
  }
}

export const theme = new Theme()

/** A colour of the style sheet as the browser computes it in the present theme, for canvases. */
export function computed(color: string): string {
  const probe = document.createElement('i')
  probe.style.color = color
  probe.hidden = true
  document.body.append(probe)
  const value = getComputedStyle(probe).color
  probe.remove()
  return value
}
