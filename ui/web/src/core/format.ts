/** Numbers, times and sizes for people. Fixed widths of digits where a figure changes every second. */

/** What stands for a figure that there is not. */
export const NONE = '–'

/** Requests for each second: `0`, `0.4`, `12.3`, `1,234`. */
export function rate(perSecond: number): string {
  if (perSecond === 0) return '0'
  if (perSecond < 0.1) return '<0.1'
  return perSecond < 100 ? perSecond.toFixed(1) : Math.round(perSecond).toLocaleString('en')
}

/** Milliseconds with their unit: `0.42 ms`, `12 ms`, `1.25 s`. */
export function milliseconds(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return NONE
  if (ms === 0) return '0 ms'
  if (ms < 1) return `${ms.toFixed(2)} ms`
  if (ms < 10) return `${ms.toFixed(1)} ms`
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`
}

/** A share from 0 to 1 as a percentage: `0 %`, `0.05 %`, `12.5 %`. */
export function share(part: number | null | undefined): string {
  if (part === null || part === undefined) return NONE
  const percent = part * 100
  if (percent === 0) return '0 %'
  if (percent < 0.01) return '<0.01 %'
  return `${percent < 1 ? percent.toFixed(2) : percent < 99.95 ? percent.toFixed(1) : Math.round(percent)} %`
}

/** A whole number with separators. */
export function count(number: number): string {
  return number.toLocaleString('en')
}

/** `1 route`, `2 routes`. */
export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`
}

/** How long ago: `now`, `12 s ago`, `5 min ago`, `3 h ago`, `2 d ago`. */
export function ago(time: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - time) / 1000))
  if (seconds < 3) return 'now'
  if (seconds < 60) return `${seconds} s ago`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86_400)} d ago`
}

/** The time of day to the second, in the browser's zone. */
export function clock(time: number): string {
  const two = (number: number) => String(number).padStart(2, '0')
  const date = new Date(time)
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
}

/** The day, as a heading: `Today`, `Yesterday`, `Thu 3 Dec 2026`. */
export function day(time: number, now: number): string {
  const start = (at: number) => new Date(at).setHours(0, 0, 0, 0)
  const days = Math.round((start(now) - start(time)) / 86_400_000)
  if (days === 0) return 'Today'
  if (days === 1) return 'Yesterday'
  return new Date(time).toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' })
}
