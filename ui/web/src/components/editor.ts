/**
 * The YAML editor. A module of its own, loaded when a document is opened: it is larger than everything else together.
 *
 * It lives in a shadow root: there its styles are style sheets of the document's code, which the policy of the page allows, and not
 * inline ones, which it does not.
 */

import { autocompletion, closeBrackets, closeBracketsKeymap, type CompletionContext, completionKeymap } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { yaml } from '@codemirror/lang-yaml'
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from '@codemirror/language'
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from '@codemirror/lint'
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search'
import { EditorState, type Text } from '@codemirror/state'
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers, placeholder, tooltips } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { complete } from '../core/completion'
import type { Problem } from '../api/types'

export interface EditorOptions {
  readonly label: string
  readonly text: string
  readonly placeholder: string
  readonly readOnly: boolean
  readonly onchange: (text: string) => void
}

export interface Editor {
  text(): string
  replace(text: string): void
  show(problems: readonly Problem[]): void
  focus(): void
  /** Puts the cursor where a problem is. */
  go(problem: Problem): void
  destroy(): void
}

const colours = HighlightStyle.define([
  { tag: [tags.definition(tags.propertyName), tags.propertyName], color: 'light-dark(#0b5394, #8ec1ff)' },
  { tag: [tags.string, tags.content], color: 'var(--ink)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'light-dark(#9a4600, #f0b070)' },
  { tag: tags.comment, color: 'var(--ink-3)', fontStyle: 'italic' },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: 'var(--ink-3)' },
  { tag: [tags.meta, tags.keyword], color: 'light-dark(#7b2a8f, #dca0ef)' },
])

const look = EditorView.theme({
  '&': { height: '100%', color: 'var(--ink)', backgroundColor: 'var(--surface)', fontSize: '13.5px' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.6', overflow: 'auto' },
  '.cm-content': { padding: '10px 0', caretColor: 'var(--ink)' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)', borderLeftWidth: '2px' },
  '.cm-gutters': { color: 'var(--ink-3)', backgroundColor: 'var(--surface)', border: '0' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'color-mix(in oklab, var(--ink) 4%, transparent)' },
  '.cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground': {
    backgroundColor: 'color-mix(in oklab, var(--focus) 24%, transparent)',
  },
  '.cm-selectionMatch': { backgroundColor: 'color-mix(in oklab, var(--focus) 14%, transparent)' },
  '.cm-placeholder': { color: 'var(--ink-3)' },
  '.cm-tooltip': {
    color: 'var(--ink)', backgroundColor: 'var(--raised)', border: '1px solid var(--line)', borderRadius: '8px', boxShadow: 'var(--shadow-high)', overflow: 'hidden',
  },
  '.cm-tooltip-autocomplete > ul > li': { padding: '4px 10px' },
  '.cm-tooltip-autocomplete > ul > li[aria-selected]': { color: 'var(--on-ink)', backgroundColor: 'var(--ink)' },
  '.cm-completionDetail': { fontStyle: 'normal', opacity: '0.75', marginLeft: '1em' },
  '.cm-diagnostic': { padding: '8px 12px', whiteSpace: 'pre-wrap', maxWidth: '60ch', fontFamily: 'var(--font)' },
  '.cm-diagnostic-error': { borderLeft: '3px solid var(--bad)' },
  '.cm-panels': { color: 'var(--ink)', backgroundColor: 'var(--sunken)' },
})

/** Makes an editor in `host`. */
export function create(host: HTMLElement, options: EditorOptions): Editor {
  const root = host.shadowRoot ?? host.attachShadow({ mode: 'open' })
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        lineNumbers(),
        lintGutter(),
        history(),
        drawSelection(),
        indentOnInput(),
        indentUnit.of('  '),
        bracketMatching(),
        closeBrackets(),
        highlightActiveLine(),
        highlightSelectionMatches(),
        yaml(),
        syntaxHighlighting(colours),
        look,
        tooltips({ position: 'absolute' }),
        autocompletion({ override: [suggest], icons: false }),
        placeholder(options.placeholder),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ 'aria-label': options.label, spellcheck: 'false' }),
        EditorState.readOnly.of(options.readOnly),
        EditorView.editable.of(true),
        // Tab leaves the editor, as it leaves every other field.
        keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap]),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) options.onchange(update.state.doc.toString())
        }),
      ],
    }),
  })
  return {
    text: () => view.state.doc.toString(),
    replace: (text) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } }),
    show: (problems) => view.dispatch(setDiagnostics(view.state, problems.map((problem) => diagnostic(view.state.doc, problem)))),
    focus: () => view.focus(),
    go(problem) {
      view.dispatch({ selection: { anchor: diagnostic(view.state.doc, problem).from }, scrollIntoView: true })
      view.focus()
    },
    destroy: () => view.destroy(),
  }
}

function suggest(context: CompletionContext) {
  const found = complete(context.state.doc.toString(), context.pos)
  if (!found || (!context.explicit && found.from === context.pos && context.pos !== 0)) return null
  return {
    from: found.from,
    options: found.options.map((option) => ({ ...option, apply: option.apply ?? option.label })),
    validFor: /^[\w-]*$/,
  }
}

/** From its position to the end of the word there; a problem of the whole document stands at its first line. */
function diagnostic(document: Text, problem: Problem): Diagnostic {
  const message = problem.example ? `${problem.message}\nFor example: ${problem.example}` : problem.message
  const { line: number, column } = problem.position ?? { line: 1, column: 1 }
  const line = document.line(Math.min(Math.max(1, number), document.lines))
  const from = Math.min(line.from + Math.max(0, column - 1), line.to)
  const word = /^[^\s:]+/.exec(line.text.slice(from - line.from))?.[0] ?? ''
  const to = problem.position && word ? from + word.length : line.to
  return { from: Math.min(from, to), to, severity: 'error', message }
}
