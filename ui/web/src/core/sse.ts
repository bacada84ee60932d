/** Server-sent events, read from the text of a response: `EventSource` cannot send a token. */

/** One event. */
export interface Message {
  readonly event: string
  readonly id: string | undefined
  readonly data: string
}

/** Takes text in pieces as they arrive and gives the events that are complete. */
export class Parser {
  #rest = ''
  #event = ''
  #id: string | undefined
  #data: string[] = []

  push(text: string): Message[] {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/)
    this.#rest = lines.pop() ?? ''
    const messages: Message[] = []
    for (const line of lines) {
      if (line !== '') {
        this.#field(line)
        continue
      }
      if (this.#data.length > 0) {
        messages.push({ event: this.#event || 'message', id: this.#id, data: this.#data.join('\n') })
      }
      this.#event = ''
      this.#data = []
    }
    return messages
  }

  #field(line: string): void {
    const colon = line.indexOf(':')
    if (colon === 0) return
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === 'event') this.#event = value
    else if (name === 'data') this.#data.push(value)
    else if (name === 'id' && !value.includes('\0')) this.#id = value
  }
}
