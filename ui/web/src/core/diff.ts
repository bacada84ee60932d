/** The difference of two texts, line by line. */

/** A line of a difference. */
export interface Line {
  readonly kind: 'same' | 'gone' | 'new'
  readonly text: string
}

/** Most lines of which the exact difference is computed; more are shown as gone and new. */
const MOST = 3_000

/** The shortest list of lines that turns `before` into `after`. */
export function diff(before: string, after: string): Line[] {
  const [a, b] = [lines(before), lines(after)]
  let start = 0
  while (start < a.length && start < b.length && a[start] === b[start]) start++
  let end = 0
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++
  const [x, y] = [a.slice(start, a.length - end), b.slice(start, b.length - end)]
  const same = (texts: string[]): Line[] => texts.map((text) => ({ kind: 'same', text }))
  const middle = x.length > MOST || y.length > MOST ? replaced(x, y) : shortest(x, y)
  return [...same(a.slice(0, start)), ...middle, ...same(a.slice(a.length - end))]
}

/** Lines left out, and where what follows stands: the keys above it, by their indentation. */
export interface Gap {
  readonly kind: 'gap'
  readonly within: readonly string[]
}

/** Only what changed, with some lines around it. */
export function excerpt(all: readonly Line[], around = 2): (Line | Gap)[] {
  const near = all.map((_, i) => all.slice(Math.max(0, i - around), i + around + 1).some((line) => line.kind !== 'same'))
  const result: (Line | Gap)[] = []
  all.forEach((line, i) => {
    if (near[i]) result.push(line)
    else if (result.at(-1)?.kind !== 'gap') result.push({ kind: 'gap', within: [] })
    const gap = result.at(-2)
    if (near[i] && gap?.kind === 'gap') result[result.length - 2] = { kind: 'gap', within: above(all, i) }
  })
  return result
}

/** The keys that a line of YAML stands under, outermost first. */
function above(all: readonly Line[], index: number): string[] {
  const keys: string[] = []
  let limit = indent(all[index]?.text ?? '')
  for (let i = index - 1; i >= 0 && limit > 0; i--) {
    const text = all[i]?.text ?? ''
    if (text.trim() === '' || indent(text) >= limit) continue
    limit = indent(text)
    keys.unshift(text.trim().replace(/^- /, '').replace(/:$/, '').replace(/^(["'])(.*)\1$/, '$2'))
  }
  return keys
}

function indent(text: string): number {
  return text.length - text.trimStart().length
}

function lines(text: string): string[] {
  const all = text.split('\n')
  if (all.at(-1) === '') all.pop()
  return all
}

function replaced(x: string[], y: string[]): Line[] {
  return [...x.map((text): Line => ({ kind: 'gone', text })), ...y.map((text): Line => ({ kind: 'new', text }))]
}

/** By the longest common subsequence. */
function shortest(x: string[], y: string[]): Line[] {
  const width = y.length + 1
  const length = new Uint16Array((x.length + 1) * width)
  for (let i = x.length - 1; i >= 0; i--) {
    for (let j = y.length - 1; j >= 0; j--) {
      length[i * width + j] =
        x[i] === y[j]
          ? length[(i + 1) * width + j + 1]! + 1
          : Math.max(length[(i + 1) * width + j]!, length[i * width + j + 1]!)
    }
  }
  const result: Line[] = []
  let [i, j] = [0, 0]
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) {
      result.push({ kind: 'same', text: x[i]! })
      i++
      j++
    } else if (i < x.length && (j === y.length || length[(i + 1) * width + j]! >= length[i * width + j + 1]!)) {
      result.push({ kind: 'gone', text: x[i++]! })
    } else {
      result.push({ kind: 'new', text: y[j++]! })
    }
  }
  return result
}
