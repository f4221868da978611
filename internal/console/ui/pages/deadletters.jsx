import { useEffect, useState } from 'preact/hooks'
import { few, get, post, remove } from '../api.js'
import { Field, Form, Mistake, fromTime, toTime } from '../forms.jsx'
import { Copy, Dialog, Do, Empty, EndpointName, Facts, Id, Json, List, Loading, Page, Time, Trouble, bare, count, rawGet, say, useAdmin, useLoad, usePages } from '../parts.jsx'
import { member } from '../raw.js'
import { Link, go } from '../routing.jsx'
import { Filter } from './filter.jsx'
import { Job } from './jobs.jsx'

export function DeadLetters({ params }) {
  const admin = useAdmin()
  const { endpoint_id, event_type, since, until } = params
  const filter = { endpoint_id, event_type, since, until }
  const pages = usePages('/api/v1/dlq', filter, { every: 5000 })
  const [chosen, choose] = useState(() => new Set())
  const [dialog, open] = useState(false)
  const [job, setJob] = useState()
  const [work, setWork] = useState()
  const key = JSON.stringify([filter, pages.pager.number])
  useEffect(() => choose(new Set()), [key])
  const rows = pages.rows || []
  const here = rows.filter(r => chosen.has(r.id))
  const toggle = (id, on) => choose(c => { const n = new Set(c); on ? n.add(id) : n.delete(id); return n })

  // each does something with every entry that is chosen, and says how it went.
  const each = async (what, f) => {
    const all = here.map(r => r.id)
    let done = 0, failed
    setWork({ done, total: all.length })
    await few(4, all, async id => {
      try { await f(id) } catch (e) { if (e.status !== 404) failed = e }
      setWork({ done: ++done, total: all.length })
    })
    setWork(undefined)
    choose(new Set())
    pages.reload()
    if (failed) throw failed
    say(`${count(all.length)} ${all.length === 1 ? 'entry' : 'entries'} ${what}.`)
  }

  return <Page title="Dead letters" actions={admin && <button type="button" class="primary" onClick={() => open(true)}>Replay many…</button>}>
    <Filter path="/dead-letters" params={params} pages={pages} fields={['endpoint_id', 'event_type', 'since', 'until']}>
      <Field name="endpoint_id" label="Endpoint" defaultValue={endpoint_id} placeholder="ep_…" />
      <Field name="event_type" label="Event type" defaultValue={event_type} />
      <Field name="since" label="Died since" type="datetime-local" step="1" defaultValue={fromTime(since)} />
      <Field name="until" label="Died until" type="datetime-local" step="1" defaultValue={fromTime(until)} />
    </Filter>
    {job && <Job id={job} title="Replay" onDone={pages.reload} />}
    {admin && rows.length > 0 && <div class="selection" role="toolbar" aria-label="What is chosen">
      <span aria-live="polite">{here.length ? `${here.length} chosen` : 'None chosen'}</span>
      <Do disabled={!here.length} act={() => each('on the way again', id => post(`/api/v1/dlq/${id}/replay`))}>Replay them</Do>
      <Do disabled={!here.length} act={() => each('forgotten', id => remove('/api/v1/dlq/' + id))}>Forget them</Do>
      {work && <progress value={work.done} max={work.total} aria-label="Progress" />}
    </div>}
    <List pages={pages} caption="Dead letters, newest first" empty={<p>Nothing here: what is sent is delivered, or still under way.</p>} columns={[
      admin && {
        name: 'Choose', class: 'tick',
        head: <input type="checkbox" aria-label="Choose all of this page" checked={rows.length > 0 && here.length === rows.length} onChange={e => choose(e.currentTarget.checked ? new Set(rows.map(r => r.id)) : new Set())} />,
        cell: r => <input type="checkbox" aria-label={`Choose ${r.event_type} ${r.id}`} checked={chosen.has(r.id)} onChange={e => toggle(r.id, e.currentTarget.checked)} />,
      },
      { name: 'Dead letter', class: 'main', cell: r => <Link to={'/dead-letters/' + r.id}><b>{r.event_type || 'unreadable message'}</b></Link> },
      { name: 'Why', cell: r => r.failure_reason },
      { name: 'Endpoint', cell: r => r.endpoint_id ? <Link class="url" to={'/endpoints/' + r.endpoint_id} title={r.endpoint_url}>{bare(r.endpoint_url || r.endpoint_id)}</Link> : <span class="quiet">–</span> },
      { name: 'Attempts', class: 'number', cell: r => count(r.attempts) },
      { name: 'Died', cell: r => <Time at={r.created_at} /> },
      { name: 'Kept until', cell: r => <Time at={r.expires_at} /> },
    ].filter(Boolean)} />
    {dialog && <Replay filter={filter} reasons={[...new Set(rows.map(r => r.failure_reason))]} onClose={() => open(false)} onJob={j => { setJob(j.id); open(false) }} />}
  </Page>
}

// Replay counts first, and sends what was counted.
function Replay({ filter, reasons, onClose, onJob }) {
  const [counted, set] = useState()
  const bodyOf = v => {
    const f = {}
    for (const name of ['endpoint_id', 'event_type', 'failure_reason']) if (v[name].trim()) f[name] = v[name].trim()
    for (const name of ['since', 'until']) if (v[name]) f[name] = toTime(v[name])
    const body = { filter: f }
    for (const name of ['limit', 'rate']) {
      if (v[name].trim() === '') continue
      body[name] = Number(v[name])
      if (Number.isNaN(body[name])) throw new Mistake(name, `${name}: must be a number`)
    }
    return body
  }
  return <Dialog title="Replay dead letters" onClose={onClose}>
    {counted
      ? <Form action={counted.matched ? `Replay ${count(counted.sent)}` : 'Nothing to replay'} cancel="Back" onCancel={() => set(undefined)} submit={async () => {
          if (!counted.matched) return set(undefined)
          const a = await post('/api/v1/dlq/replay', counted.body)
          say('The replay is under way.')
          onJob(a.job)
        }}>
        <p class="matched"><strong>{count(counted.matched)}</strong> {counted.matched === 1 ? 'entry matches' : 'entries match'}.</p>
        {counted.body.limit && counted.matched > counted.body.limit && <p>The newest {count(counted.body.limit)} of them are replayed.</p>}
        <p class="quiet">{counted.body.rate ? `At most ${counted.body.rate} a second.` : 'As fast as it goes.'} Each gets a fresh budget of attempts. What dies after the replay began is not taken.</p>
        <p class="quiet">{Object.keys(counted.body.filter).length ? Object.entries(counted.body.filter).map(([k, v]) => <code>{k} = {v} </code>) : 'No filter: all of them.'}</p>
      </Form>
      : <Form action="Count first" onCancel={onClose} prefix="filter." fields={['endpoint_id', 'event_type', 'failure_reason', 'since', 'until', 'limit', 'rate']} submit={async v => {
          const body = bodyOf(v)
          const a = await post('/api/v1/dlq/replay', { ...body, dry_run: true })
          set({ body, matched: a.matched, sent: Math.min(a.matched, body.limit ?? Infinity) })
        }}>
        <p>Those that match everything that is filled in; all of them, where nothing is.</p>
        <Field name="endpoint_id" label="Endpoint" defaultValue={filter.endpoint_id} placeholder="ep_…" />
        <Field name="event_type" label="Event type" defaultValue={filter.event_type} />
        <Field name="failure_reason" label="Why it died, word for word" list="reasons" placeholder="HTTP 503: Service Unavailable" />
        <datalist id="reasons">{reasons.map(r => <option value={r} />)}</datalist>
        <div class="two">
          <Field name="since" label="Died since" type="datetime-local" step="1" defaultValue={fromTime(filter.since)} />
          <Field name="until" label="Died until" type="datetime-local" step="1" defaultValue={fromTime(filter.until)} />
          <Field name="limit" label="At most" inputMode="numeric" placeholder="all" />
          <Field name="rate" label="So many a second" inputMode="decimal" placeholder="as fast as it goes" />
        </div>
      </Form>}
  </Dialog>
}

export function DeadLetter({ id }) {
  const admin = useAdmin()
  const path = '/api/v1/dlq/' + id
  const { data: d, error, reload } = useLoad(async signal => {
    const raw = await rawGet(path, signal)
    return { ...JSON.parse(raw), raw: member(raw, 'payload') }
  }, [id])
  const [asks, ask] = useState(false)
  const back = { to: '/dead-letters', text: 'Dead letters' }
  if (!d) return <Page title="Dead letter" back={back}>{error ? <Trouble error={error} again={reload} /> : <Loading />}</Page>
  return <Page title={d.event_type || 'Unreadable message'} back={back} actions={admin && <>
    {d.delivery_id && <Do class="primary" act={async () => {
      await post(path + '/replay')
      say('The delivery is sent again, with a fresh budget of attempts.')
      go('/deliveries/' + d.delivery_id)
    }}>Replay</Do>}
    <button type="button" class="danger" onClick={() => ask(true)}>Forget</button>
  </>}>
    <Facts of={[
      ['Why', <b>{d.failure_reason}</b>],
      ['Attempts', count(d.attempts)],
      d.endpoint_id && ['Endpoint', <Link class="wrap" to={'/endpoints/' + d.endpoint_id}>{d.endpoint_url}</Link>],
      d.delivery_id && ['Delivery', <Id id={d.delivery_id} to={'/deliveries/' + d.delivery_id} />],
      d.event_id && ['Event', <Id id={d.event_id} to={'/events/' + d.event_id} />],
      ['Died', <Time at={d.created_at} />],
      ['Kept until', <Time at={d.expires_at} />],
      ['Id', <Id id={d.id} />],
    ]} />
    {d.payload ? <section><h2>Payload</h2><Json raw={d.raw} label="Payload" /></section> : d.raw_body && <section><h2>The message</h2><pre class="code" tabIndex={0}><code>{d.raw_body}</code></pre></section>}
    {asks && <Dialog title="Forget the entry?" onClose={() => ask(false)}>
      <Form danger action="Forget it" onCancel={() => ask(false)} submit={async () => { await remove(path); say('The entry is gone.'); go('/dead-letters', { replace: true }) }}>
        <p>The entry is deleted; its delivery stays dead. It can still be sent again by its delivery, as long as the event is stored.</p>
      </Form>
    </Dialog>}
  </Page>
}
