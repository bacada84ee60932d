// @vitest-environment happy-dom
import { flushSync, mount, unmount } from 'svelte'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { hues } from '../core/color'
import { split } from '../core/draft'
import { range } from '../core/split'
import RouteRow from '../gateway/RouteRow.svelte'
import Diff from './Diff.svelte'
import SplitBar from './SplitBar.svelte'

let mounted: ReturnType<typeof mount> | undefined
afterEach(async () => {
  if (mounted) await unmount(mounted)
  mounted = undefined
})

const paths = ['(1.0.3)', '(2.0.1)']
const colours = hues(paths)

describe('SplitBar', () => {
  it('is read out, and shows no part of nothing', () => {
    mounted = mount(SplitBar, {
      target: document.body,
      props: { parts: [{ path: '(1.0.3)', weight: 9950 }, { path: '(2.0.1)', weight: 50 }, { path: '(3)', weight: 0 }], hues: colours, label: 'Split' },
    })
    const bar = document.querySelector('[role=img]')!
    expect(bar.getAttribute('aria-label')).toBe('Split: (1.0.3) 99.5 %, (2.0.1) 0.5 %')
    expect(bar.children).toHaveLength(2)
  })
})

describe('Diff', () => {
  it('says what is gone and what is new, not only by colour', () => {
    mounted = mount(Diff, { target: document.body, props: { before: 'weight: 1%\n', after: 'weight: 2%\n' } })
    expect(document.querySelector('pre')!.textContent).toMatch(/removed: weight: 1%[\s\S]*added: weight: 2%/)
  })
})

describe('RouteRow', () => {
  function row(weights: [number, number], pinned: string[] = [], editable = true) {
    const route_states = paths.map((path, i) => ({
      path, title: path, weight: `${weights[i]}%`, effective_weight: `${weights[i]}%`, condition: null, condition_strength: '0%',
      absent: false, instances: 1, ready: 1, targets: 1, ejected: 0, down: 0, serving: true,
    }))
    const shares = split({ routes: route_states }, {}, new Set(pinned))
    const moves = { onbegin: vi.fn(), onmove: vi.fn(), onpin: vi.fn(), ononly: vi.fn(), oncondition: vi.fn() }
    mounted = mount(RouteRow, {
      target: document.body,
      props: {
        gateway: 'shop', route: route_states[1]!, figures: undefined, observed: null, hue: colours.get('(2.0.1)'), share: shares[1]!,
        limits: range(shares, 1), editable, http: true, condition: undefined, strength: undefined, ...moves,
      },
    })
    flushSync()
    return { ...moves, slider: document.querySelector<HTMLInputElement>('[type=range]')!, number: document.querySelector<HTMLInputElement>('[inputmode=decimal]')! }
  }
  const key = (element: Element, name: string, shiftKey = false) => element.dispatchEvent(new KeyboardEvent('keydown', { key: name, shiftKey, bubbles: true, cancelable: true }))

  it('moves by keys, finer with Shift', () => {
    const { slider, onmove } = row([90, 10])
    key(slider, 'ArrowRight')
    key(slider, 'ArrowLeft', true)
    key(slider, 'PageUp')
    key(slider, 'Home')
    key(slider, 'End')
    key(slider, 'x')
    expect(onmove.mock.calls.flat()).toEqual([1100, 990, 2000, 0, 10_000])
    expect(slider.getAttribute('aria-valuetext')).toBe('10 %')
  })

  it('takes a number, and refuses what is none', () => {
    const { number, onmove } = row([90, 10])
    number.value = '12.5'
    number.dispatchEvent(new Event('change', { bubbles: true }))
    number.value = 'a lot'
    number.dispatchEvent(new Event('change', { bubbles: true }))
    flushSync()
    expect(onmove.mock.calls.flat()).toEqual([1250])
    expect(number.getAttribute('aria-invalid')).toBe('true')
  })

  it('stands still when all others are pinned, and for viewers', () => {
    expect(row([90, 10], ['(1.0.3)']).slider.disabled).toBe(true)
    if (mounted) void unmount(mounted)
    mounted = undefined
    document.body.replaceChildren()
    const { slider } = row([90, 10], [], false)
    expect(slider.disabled).toBe(true)
    expect(document.querySelector('.pin')).toBeNull()
  })
})
