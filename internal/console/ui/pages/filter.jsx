import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { query } from '../api.js'
import { Form, toTime } from '../forms.jsx'
import { go } from '../routing.jsx'

// Filter is the form above a list. What it says goes into the address; what the
// API finds wrong with it shows beside the field.
export function Filter({ path, params, fields, problem, children, action = 'Show' }) {
  const key = JSON.stringify(params)
  const [wrong, setWrong] = useState()
  const box = useRef()
  // The form is made anew when the address says something else. Its focus stays at
  // the field or the button where it was, and is at the first field when that is gone.
  const had = useRef()
  const any = fields.some(f => params[f])
  useEffect(() => setWrong(fields.includes(problem?.field) ? problem : undefined), [problem])
  useLayoutEffect(() => {
    const form = box.current.querySelector('form')
    if (had.current !== undefined && document.activeElement === document.body) (form.elements[had.current] ?? form.elements[0]).focus()
    had.current = undefined
  }, [key])
  const leave = to => {
    had.current = [...box.current.querySelector('form').elements].indexOf(document.activeElement)
    setWrong(undefined)
    go(to)
  }
  return <div class="filter" ref={box}>
    <Form key={key} action={action} problem={wrong} fields={fields} inline onCancel={any ? () => leave(path) : undefined} cancel="Clear" submit={v => {
      const q = {}
      for (const f of fields) q[f] = f === 'since' || f === 'until' ? toTime(v[f]) : v[f].trim()
      leave(path + query(q))
    }}>{children}</Form>
  </div>
}
