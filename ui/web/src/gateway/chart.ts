/** Charts on a canvas. The only module that knows the library behind them. */

import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'

export interface Line {
  readonly name: string
  readonly color: string
  /** Dashed, for the second of two curves of one colour. */
  readonly dashed: boolean
  readonly values: (number | null)[]
}

/** A moment at which somebody changed something. */
export interface Marker {
  /** Seconds since 1970. */
  readonly time: number
}

export interface Look {
  readonly ink: string
  readonly grid: string
  readonly marker: string
  readonly format: (value: number) => string
  readonly span: number
  /** The axis reaches at least this far, so that noise does not fill the chart. */
  readonly least: number
  /** Index of the point under the pointer; undefined when it left. */
  readonly onpoint: (index: number | undefined) => void
}

export interface Chart {
  draw(times: number[], lines: readonly Line[], markers: readonly Marker[], now: number): void
  resize(width: number): void
  destroy(): void
}

const HEIGHT = 172

export function create(host: HTMLElement, width: number, names: readonly Omit<Line, 'values'>[], look: Look): Chart {
  let markers: readonly Marker[] = []
  const font = "500 11px 'Inter Variable', system-ui, sans-serif"
  const axis = { stroke: look.ink, font, ticks: { show: false }, grid: { stroke: look.grid, width: 1 } }
  const options: uPlot.Options = {
    width,
    height: HEIGHT,
    padding: [10, 6, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: 'vamp' }, drag: { x: false, y: false }, points: { size: 6 }, y: false },
    scales: {
      x: { time: true },
      y: { range: (_, __, max) => [0, Math.max(look.least, (max || 0) * 1.12)] },
    },
    axes: [
      { ...axis, grid: { show: false }, space: 70, size: 26, values: (_, ticks) => ticks.map(clock) },
      { ...axis, size: 54, space: 36, values: (_, ticks) => ticks.map((tick) => look.format(tick)) },
    ],
    series: [
      {},
      ...names.map(({ name, color, dashed }) => ({
        label: name,
        stroke: color,
        width: 2,
        points: { show: false },
        ...(dashed ? { dash: [4, 4] } : {}),
      })),
    ],
    hooks: {
      drawAxes: [
        (chart) => {
          const { ctx, bbox } = chart
          ctx.save()
          ctx.strokeStyle = look.marker
          ctx.lineWidth = devicePixelRatio
          ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio])
          for (const { time } of markers) {
            const x = Math.round(chart.valToPos(time, 'x', true))
            if (x < bbox.left || x > bbox.left + bbox.width) continue
            ctx.beginPath()
            ctx.moveTo(x, bbox.top)
            ctx.lineTo(x, bbox.top + bbox.height)
            ctx.stroke()
          }
          ctx.restore()
        },
      ],
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
    resize: (width) => chart.setSize({ width, height: HEIGHT }),
    destroy: () => chart.destroy(),
  }
}

function clock(time: number): string {
  const date = new Date(time * 1000)
  const two = (number: number) => String(number).padStart(2, '0')
  const seconds = date.getSeconds()
  return `${two(date.getHours())}:${two(date.getMinutes())}${seconds === 0 ? '' : `:${two(seconds)}`}`
}
