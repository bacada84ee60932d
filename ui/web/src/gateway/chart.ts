/** Charts on a canvas. The only module that knows the library behind them. */

import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'

export interface Line {
  readonly name: string
  readonly color: string
  /** In which round of the palette the colour is: others look otherwise. */
  readonly round: number
  /** The second of two curves of one version: thin and dotted. */
  readonly faint: boolean
  readonly values: (number | null)[]
}

/** A moment at which somebody changed something. */
export interface Marker {
  /** Seconds since 1970. */
  readonly time: number
  /** On the flag: a few letters. */
  readonly label: string
}

export interface Look {
  readonly ink: string
  readonly grid: string
  readonly marker: string
  /** Behind everything, and the text on flags. */
  readonly paper: string
  readonly strong: string
  /** For the axis: short. */
  readonly format: (value: number) => string
  readonly span: number
  /** The axis reaches at least this far, so that noise does not fill the chart. */
  readonly least: number
  /** Index of the point under the pointer; undefined when it left. */
  readonly onpoint: (index: number | undefined) => void
}

export interface Chart {
  draw(times: number[], lines: readonly Line[], markers: readonly Marker[], now: number): void
  /** Fades all lines but those of that name; all are back without one. Marks that marker. */
  stress(name: string | undefined, label: string | undefined): void
  resize(width: number): void
  destroy(): void
}

/** Sizes are for this type size of the page; on a wall display all is larger. */
const USUAL_PX = 14
const HEIGHT = 180
/** Seconds between the lines of the time axis. */
const STEPS = [5, 10, 30, 60, 120, 300, 600]
/** Curves of the second, third and fourth version of one colour. */
const DASHES = [undefined, [9, 4], [3, 3], [9, 3, 2, 3]]
const FADED = 0.15

export function create(host: HTMLElement, width: number, names: readonly Omit<Line, 'values'>[], look: Look): Chart {
  let markers: readonly Marker[] = []
  let stressed: string | undefined
  const scale = parseFloat(getComputedStyle(document.documentElement).fontSize) / USUAL_PX
  const font = `500 ${11 * scale}px 'Inter Variable', system-ui, sans-serif`
  const axis = { stroke: look.ink, font, ticks: { show: false }, grid: { stroke: look.grid, width: 1 } }
  const options: uPlot.Options = {
    width,
    height: HEIGHT * scale,
    padding: [18 * scale, 16 * scale, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: 'vamp' }, drag: { x: false, y: false }, points: { size: 6 }, y: false },
    scales: {
      x: { time: true },
      y: { range: (_, __, max) => [0, Math.max(look.least, (max || 0) * 1.12)] },
    },
    axes: [
      { ...axis, grid: { show: false }, space: 42 * scale, incrs: STEPS, size: 26 * scale, values: (_, ticks) => ticks.map(clock) },
      { ...axis, size: 54 * scale, space: 36 * scale, values: (_, ticks) => ticks.map((tick) => look.format(tick)) },
    ],
    series: [
      {},
      ...names.map(({ name, color, round, faint }) => {
        const dash = faint ? [1.5, 2.5] : DASHES[round % DASHES.length]
        return { label: name, stroke: color, width: faint ? 1.2 : 2, points: { show: false }, ...(dash ? { dash } : {}) }
      }),
    ],
    hooks: {
      drawAxes: [
        (chart) => {
          const { ctx, bbox } = chart
          ctx.save()
          ctx.strokeStyle = look.marker
          ctx.lineWidth = devicePixelRatio
          ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio])
          for (const x of markers.map((marker) => place(chart, marker))) {
            if (x === undefined) continue
            ctx.beginPath()
            ctx.moveTo(x, bbox.top)
            ctx.lineTo(x, bbox.top + bbox.height)
            ctx.stroke()
          }
          ctx.restore()
        },
      ],
      draw: [(chart) => flags(chart, markers, stressed, look, devicePixelRatio * scale)],
      setCursor: [(chart) => look.onpoint(chart.cursor.idx ?? undefined)],
    },
  }
  const chart = new uPlot(options, [[], ...names.map(() => [])], host)
  return {
    draw(times, lines, marked, now) {
      markers = marked
      chart.setData([times, ...lines.map((line) => line.values)], false)
      chart.batch(() => {
        chart.setScale('x', { min: now - look.span, max: now })
      })
    },
    stress(name, label) {
      stressed = label
      for (const series of chart.series.slice(1)) series.alpha = name === undefined || series.label === name ? 1 : FADED
      chart.redraw(false)
    },
    resize: (width) => chart.setSize({ width, height: HEIGHT * scale }),
    destroy: () => chart.destroy(),
  }
}

/** Where a marker stands, in pixels of the canvas; undefined outside. */
function place({ bbox, valToPos }: uPlot, { time }: Marker): number | undefined {
  const x = Math.round(valToPos(time, 'x', true))
  return x < bbox.left || x > bbox.left + bbox.width ? undefined : x
}

/** The flags of markers, at the top. Those that would cover each other are one: `21–23`. */
function flags(chart: uPlot, markers: readonly Marker[], stressed: string | undefined, look: Look, one: number): void {
  const { ctx, bbox } = chart
  const height = 14 * one
  ctx.save()
  ctx.font = `600 ${10 * one}px 'Inter Variable', system-ui, sans-serif`
  ctx.textAlign = 'center'
  ctx.textBaseline = 'middle'
  // Newest first as they come; side by side the oldest is on the left.
  const placed = [...markers]
    .reverse()
    .map((marker) => ({ label: marker.label, x: place(chart, marker) }))
    .filter((marker): marker is { label: string; x: number } => marker.x !== undefined)
    .sort((a, b) => a.x - b.x)
  const wide = (label: string) => Math.max(height, ctx.measureText(label).width + 8 * one)
  const groups: { first: string; last: string; from: number; to: number }[] = []
  for (const { label, x } of placed) {
    const group = groups.at(-1)
    if (group && x - group.to < wide(label) + 2 * one) Object.assign(group, { last: label, to: x })
    else groups.push({ first: label, last: label, from: x, to: x })
  }
  const flag = (label: string, x: number, color: string) => {
    const width = wide(label)
    const left = Math.min(Math.max(x - width / 2, 0), chart.width * devicePixelRatio - width)
    ctx.fillStyle = color
    ctx.beginPath()
    ctx.roundRect(left, bbox.top - height - one, width, height, 3 * one)
    ctx.fill()
    ctx.fillStyle = look.paper
    ctx.fillText(label, left + width / 2, bbox.top - height / 2 - one / 2)
  }
  for (const { first, last, from, to } of groups) flag(first === last ? first : `${first}–${last}`, (from + to) / 2, look.marker)
  for (const { label, x } of placed) if (label === stressed) flag(label, x, look.strong)
  ctx.restore()
}

function clock(time: number): string {
  const date = new Date(time * 1000)
  const two = (number: number) => String(number).padStart(2, '0')
  const seconds = date.getSeconds()
  return `${two(date.getHours())}:${two(date.getMinutes())}${seconds === 0 ? '' : `:${two(seconds)}`}`
}
