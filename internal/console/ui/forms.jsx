import { createContext } from 'preact'
import { useContext, useEffect, useId, useRef, useState } from 'preact/hooks'

const Wrong = createContext(null)

// fieldOf is the form's field that a problem is about: of events[1], events.
const fieldOf = problem => problem?.field?.replace(/[.[].*$/, '') || ''

// Form calls submit with its values by name. A problem that names one of its
// fields shows beside that field, which gets the focus; any other above the
// button. A problem may also be given, by who asked the API without the form.
export function Form({ submit, action, children, onCancel, cancel = 'Cancel', fields, prefix = '', danger, problem: given }) {
  const ref = useRef()
  const [busy, setBusy] = useState(false)
  const [problem, set] = useState(given)
  useEffect(() => set(given), [given])
  const alive = useRef(true)
  useEffect(() => () => { alive.current = false }, [])
  let at = problem?.field?.startsWith(prefix) ? fieldOf({ field: problem.field.slice(prefix.length) }) : fieldOf(problem)
  if (fields && !fields.includes(at)) at = ''
  useEffect(() => {
    if (problem) (at ? ref.current.elements[at] : ref.current.querySelector('.trouble'))?.focus?.()
  }, [problem])
  const send = async e => {
    e.preventDefault()
    if (busy) return
    setBusy(true)
    set(undefined)
    try {
      await submit(Object.fromEntries(new FormData(ref.current)))
    } catch (e) {
      if (alive.current) set(e)
    } finally {
      if (alive.current) setBusy(false)
    }
  }
  return <form ref={ref} onSubmit={send} noValidate>
    <Wrong.Provider value={problem && at ? { at, message: problem.message } : null}>
      {children}
    </Wrong.Provider>
    {problem && !at && <div class="trouble" role="alert" tabIndex={-1}><p>{problem.message}{problem.id && <> <span class="quiet">Request {problem.id}</span></>}</p></div>}
    <div class="actions">
      <button type="submit" class={danger ? 'danger' : 'primary'} aria-disabled={busy || undefined}>{action}</button>
      {onCancel && <button type="button" onClick={onCancel}>{cancel}</button>}
    </div>
  </form>
}

// Field is an input with its name, a hint, and what is wrong with it.
export function Field({ name, label, hint, as: As = 'input', children, ...rest }) {
  const id = useId()
  const wrong = useContext(Wrong)
  const bad = wrong?.at === name
  const by = [hint && id + 'h', bad && id + 'e'].filter(Boolean).join(' ')
  return <div class={'field' + (bad ? ' bad' : '')}>
    <label for={id}>{label}</label>
    <As id={id} name={name} aria-invalid={bad || undefined} aria-describedby={by || undefined} spellcheck={false} autocomplete="off" autocapitalize="off" {...rest}>{children}</As>
    {bad && <p class="wrong" role="alert" id={id + 'e'}>{wrong.message}</p>}
    {hint && <p class="hint" id={id + 'h'}>{hint}</p>}
  </div>
}

// Mistake is what a form finds itself, said as the API would.
export class Mistake extends Error {
  constructor(field, message) {
    super(message)
    this.field = field
  }
}

// toTime makes the API's time of a datetime-local field, and fromTime the other
// way round, to the millisecond: cut off, a moment would take in more than it did.
export function toTime(local) { return local ? new Date(local).toISOString() : '' }
export function fromTime(utc) {
  const d = new Date(utc)
  if (!utc || Number.isNaN(+d)) return ''
  return new Date(d - d.getTimezoneOffset() * 60_000).toISOString().replace(/(\.000)?Z$/, '')
}
