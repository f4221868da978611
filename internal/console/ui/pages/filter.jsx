import { useEffect, useRef, useState } from 'preact/hooks'
import { query } from '../api.js'
import { Form, toTime } from '../forms.jsx'
import { go } from '../routing.jsx'

// Filter is the form above a list. What it says goes into the address; what the
// API finds wrong with it shows beside the field.
export function Filter({ path, params, fields, problem, children, action = 'Show' }) {
  const key = JSON.stringify(params)
  const [wrong, setWrong] = useState()
  const box = useRef()
  const any = fields.some(f => params[f])
  useEffect(() => setWrong(problem?.status === 400 && fields.includes(problem.field) ? problem : undefined), [problem])
  return <div class="filter" ref={box}>
    <Form key={key + (wrong?.message || '')} action={action} problem={wrong} fields={fields} inline onCancel={any ? () => go(path) : undefined} cancel="Clear" submit={v => {
      const q = {}
      for (const f of fields) q[f] = f === 'since' || f === 'until' ? toTime(v[f]) : v[f].trim()
      go(path + query(q))
    }}>{children}</Form>
  </div>
}
