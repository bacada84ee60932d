import { describe, expect, it } from 'vitest'
import { Parser } from './sse'

describe('Parser', () => {
  const text = ': hello\n\nevent: state\nid: 7\ndata: {"a":\ndata: 1}\n\ndata:x\r\n\r\nevent: none\n\nid: 8\nevent: e\ndata\n\n'
  const expected = [
    { event: 'state', id: '7', data: '{"a":\n1}' },
    { event: 'message', id: '7', data: 'x' },
    { event: 'e', id: '8', data: '' },
  ]

  it('reads events, ids, comments and empty fields', () => expect(new Parser().push(text)).toEqual(expected))

  it('gives the same however the text is cut', () => {
    for (let size = 1; size < text.length; size++) {
      const parser = new Parser()
      const messages = []
      for (let at = 0; at < text.length; at += size) messages.push(...parser.push(text.slice(at, at + size)))
      expect(messages, `pieces of ${size}`).toEqual(expected)
    }
  })
})
