import { useEffect, useState } from 'preact/hooks'
import { endpoint, get, post } from '../api.js'
import { Field, fromTime, toTime } from '../forms.jsx'
import { Badge, Do, Empty, EndpointName, Facts, Id, Json, List, Loading, Page, Table, Time, Trouble, count, milliseconds, rawGet, say, useAdmin, useLoad, usePages, useSession } from '../parts.jsx'
import { member } from '../raw.js'
import { Link, go } from '../routing.jsx'
import { Filter } from './filter.jsx'

const statuses = ['queued', 'retrying', 'delivered', 'dead', 'held', 'cancelled']

const columns = without => [
  { name: 'Delivery', class: 'main', cell: d => <><Link to={'/deliveries/' + d.id} title={d.id}><b>{d.event_type}</b></Link> <span class="quiet mono">…{d.id.slice(4, 30).slice(-6)}</span></> },
  { name: 'Status', cell: d => <><Badge status={d.status} />{d.waiting_for && <div class="quiet">waits: {d.waiting_for.replace('_', ' ')}</div>}</> },
  without !== 'endpoint' && { name: 'Endpoint', cell: d => <EndpointName id={d.endpoint_id} /> },
  { name: 'Attempts', class: 'number', cell: d => count(d.attempts) },
  { name: 'Made', cell: d => <Time at={d.created_at} /> },
  { name: 'Ended', cell: d => d.next_attempt_at ? <span class="quiet">{new Date(d.next_attempt_at) > Date.now() ? <>next <Time at={d.next_attempt_at} /></> : 'due'}</span> : <Time at={d.completed_at} /> },
].filter(Boolean)

export function DeliveryTable({ rows, without }) {
  return <Table rows={rows} caption="Deliveries, newest first" columns={columns(without)} />
}

export function Deliveries({ params }) {
  const { endpoint_id, event_id, status, event_type, since, until } = params
  const chosen = endpoint_id || event_id
  const pages = usePages(chosen && '/api/v1/deliveries', { endpoint_id, event_id, status, event_type, since, until }, { every: 5000 })
  const all = useLoad(signal => get('/api/v1/webhooks?limit=200', { signal }), [])
  useEffect(() => {
    const first = all.data?.data[0]
    if (!chosen && first && all.data.data.length === 1) go('/deliveries?endpoint_id=' + first.id, { replace: true })
  }, [chosen, all.data])
  return <Page title="Deliveries">
    <Filter path="/deliveries" params={params} pages={pages} fields={['endpoint_id', 'event_id', 'status', 'event_type', 'since', 'until']}>
      <Field name="endpoint_id" label="Endpoint" list="endpoints" defaultValue={endpoint_id} placeholder="ep_…" />
      <datalist id="endpoints">{all.data?.data.map(e => <option value={e.id}>{e.url}</option>)}</datalist>
      <Field name="event_id" label="or event" defaultValue={event_id} placeholder="evt_…" />
      <Field name="status" label="Status" as="select" defaultValue={status || ''}>
        <option value="">any</option>{statuses.map(s => <option value={s} selected={s === status}>{s}</option>)}
      </Field>
      <Field name="event_type" label="Event type" defaultValue={event_type} />
      <Field name="since" label="Since" type="datetime-local" step="1" defaultValue={fromTime(since)} />
      <Field name="until" label="Until" type="datetime-local" step="1" defaultValue={fromTime(until)} />
    </Filter>
    {chosen
      ? <List pages={pages} columns={columns(endpoint_id && 'endpoint')} caption="Deliveries, newest first" empty={<p>There is no such delivery. What is queued for the first time shows by its event.</p>} />
      : <Choose all={all} />}
  </Page>
}

// Deliveries are kept by endpoint and by event, so one of them has to be chosen.
function Choose({ all }) {
  if (!all.data) return all.error ? <Trouble error={all.error} again={all.reload} /> : <Loading />
  if (!all.data.data.length) return <Empty><p>There is no endpoint yet, and so no delivery.</p></Empty>
  return <section><h2>Of which endpoint?</h2>
    <Table rows={all.data.data.slice(0, 50)} caption="Endpoints" columns={[
      { name: 'Endpoint', class: 'main', cell: e => <Link class="url" to={'/deliveries?endpoint_id=' + e.id}>{e.url}</Link> },
      { name: 'Status', cell: e => <Badge status={e.status} /> },
      { name: 'Events', cell: e => <span class="chips">{e.events.slice(0, 3).map(f => <code>{f}</code>)}</span> },
    ]} />
  </section>
}

const open = ['queued', 'retrying']

export function Delivery({ id }) {
  const admin = useAdmin()
  const { data: d, error, reload } = useLoad(signal => get('/api/v1/deliveries/' + id, { signal }), [id], 2000)
  const back = { to: d ? '/deliveries?endpoint_id=' + d.endpoint_id : '/deliveries', text: 'Deliveries' }
  if (!d) return <Page title="Delivery" back={back}>{error ? <Trouble error={error} again={reload} /> : <Loading />}</Page>
  return <Page title={d.event_type} back={back} actions={admin && <Do class={open.includes(d.status) ? '' : 'primary'} act={async () => {
    await post(`/api/v1/deliveries/${id}/retry`)
    say('The delivery is sent again, with a fresh budget of attempts.')
    reload()
  }}>Send again</Do>}>
    <Trouble error={error} />
    <Facts of={[
      ['Status', <><Badge status={d.status} /> {d.waiting_for && <span class="quiet">waits for {{ backoff: 'its next attempt', breaker: 'the endpoint’s circuit breaker', rate_limit: 'the endpoint’s rate limit' }[d.waiting_for]}</span>}</>],
      ['Endpoint', <EndpointName id={d.endpoint_id} />],
      ['Event', <Id id={d.event_id} to={'/events/' + d.event_id} />],
      ['Attempts', count(d.attempts)],
      d.next_attempt_at && ['Next attempt', <Time at={d.next_attempt_at} />],
      ['Made', <Time at={d.created_at} />],
      ['Ended', d.completed_at ? <Time at={d.completed_at} /> : <span class="quiet">not yet</span>],
      ['Id', <Id id={d.id} />],
      d.traceparent && ['Traceparent', <code>{d.traceparent}</code>],
    ]} />
    <section>
      <h2>Attempts</h2>
      {d.attempts > d.attempt_log.length && <p class="quiet">The newest {d.attempt_log.length} of {d.attempts}.</p>}
      {!d.attempt_log.length && <Empty><p>{d.status === 'held' ? 'It is held: its endpoint is not active.' : 'None yet.'}</p></Empty>}
      <ol class="attempts">{d.attempt_log.slice().reverse().map((a, i) => <Attempt key={a.number} of={a} delivery={d} first={i === 0} />)}</ol>
    </section>
  </Page>
}

function Attempt({ of: a, delivery, first }) {
  const [shown, show] = useState(first)
  const good = !a.error
  return <li class={good ? 'good' : 'bad'}>
    <details open={shown} onToggle={e => show(e.currentTarget.open)}>
      <summary><b>Attempt {a.number}</b> <span class={'badge ' + (good ? 'good' : 'bad')}>{a.status_code ?? 'no answer'}</span> <span class="what">{a.error || 'delivered'}</span> <span class="quiet">{milliseconds(a.duration_ms)} · <Time at={a.at} /></span></summary>
      {shown && <div class="exchange">
        <Sent attempt={a} delivery={delivery} />
        <section>
          <h3>Answered</h3>
          {a.status_code === null
            ? <p class="quiet">No answer came: {a.error}.</p>
            : <><p><code>{a.status_code}</code> after {milliseconds(a.duration_ms)}</p>{a.response_body ? <pre class="code" tabIndex={0} aria-label="Body of the answer"><code>{a.response_body}</code></pre> : <p class="quiet">with an empty body</p>}{a.response_body?.length >= 1024 && <p class="quiet">The first 1 KB of it.</p>}</>}
        </section>
      </div>}
    </details>
  </li>
}

// Sent is the request of an attempt, made again of the event, which is kept as it
// was sent. Its signatures are not kept, nor the URL at the time.
function Sent({ attempt: a, delivery: d }) {
  const { data, error } = useLoad(async signal => {
    const [raw, e] = await Promise.all([rawGet('/api/v1/events/' + d.event_id, signal), endpoint(d.endpoint_id)])
    const event = JSON.parse(raw)
    const body = `{"id":${JSON.stringify(event.id)},"event":${JSON.stringify(event.event_type)},"timestamp":${JSON.stringify(event.created_at)},"data":${member(raw, 'payload')}}`
    return { body, endpoint: e }
  }, [d.event_id])
  const at = Math.floor(new Date(a.at) / 1000)
  const own = Object.keys(data?.endpoint?.headers || {}).map(h => `${h}: ***`)
  return <section>
    <h3>Sent</h3>
    {error && <p class="quiet">{error.status === 404 ? 'The event is no longer stored.' : error.message}</p>}
    {data && <>
      <p class="wrap"><code>POST {data.endpoint?.url ?? '(the endpoint is deleted)'}</code></p>
      <details class="headers"><summary>Headers</summary><pre class="code" tabIndex={0} aria-label="Headers that were sent"><code>{[
        'Content-Type: application/json',
        `X-Webhook-Event: ${d.event_type}`,
        `X-Webhook-Delivery: ${d.id}`,
        `X-Webhook-Attempt: ${a.number}`,
        `X-Webhook-Timestamp: ${at}`,
        'X-Webhook-Signature: sha256=…',
        `Webhook-Id: ${d.event_id}`,
        `Webhook-Timestamp: ${at}`,
        'Webhook-Signature: v1,…',
        ...own,
      ].join('\n')}</code></pre><p class="quiet">URL and headers of the endpoint as they are now. Signatures are not kept.</p></details>
      <Json raw={data.body} label="Body that was sent" />
    </>}
  </section>
}
