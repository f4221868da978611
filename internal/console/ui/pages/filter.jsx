import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { query } from '../api.js'
import { Form, Mistake, toTime } from '../forms.jsx'
import { go } from '../routing.jsx'

// Filter is the form above a list. What it says goes into the address; what the
// API finds wrong with it shows beside the field.
export function Filter({ path, params, fields, pages, children, action = 'Show' }) {
  const key = JSON.stringify(params)
  const [said, setSaid] = useState({}) // what is wrong, and of which address
  const wrong = said.key === key ? said.problem : undefined
  const box = useRef()
  // The form is made anew when the address says something else. Its focus stays at
  // the field or the button where it was, and is at the first field when that is gone.
  const had = useRef()
  const any = fields.some(f => params[f])
  // A list is asked for anew again and again: the same mistake is said once, for what
  // is said anew takes the focus; and it stays until there is an answer.
  const problem = fields.includes(pages.error?.field) ? pages.error : undefined
  useEffect(() => {
    if (!problem && pages.loading) return
    setSaid(was => was.key === key && was.problem?.field === problem?.field && was.problem?.message === problem?.message ? was : { key, problem })
  }, [problem, pages.loading])
  useLayoutEffect(() => {
    const form = box.current.querySelector('form')
    if (had.current !== undefined && document.activeElement === document.body) (form.elements[had.current] ?? form.elements[0]).focus()
    had.current = undefined
  }, [key])
  const leave = to => {
    had.current = [...box.current.querySelector('form').elements].indexOf(document.activeElement)
    go(to)
  }
  return <div class="filter" ref={box}>
    <Form key={key} action={action} problem={wrong} fields={fields} inline onCancel={any ? () => leave(path) : undefined} cancel="Clear" submit={v => {
      const q = {}
      for (const f of fields) q[f] = f === 'since' || f === 'until' ? toTime(v[f]) : v[f].trim()
      if (fields.some(f => (q[f] || '') !== (params[f] || ''))) return leave(path + query(q))
      // The same is asked for anew, and what was wrong with it is so until the answer.
      pages.reload()
      if (wrong) throw new Mistake(wrong.field, wrong.message)
    }}>{children}</Form>
  </div>
}
