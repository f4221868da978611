import { useEffect, useState } from 'preact/hooks'
import { few, forgetEndpoint, get, patch, post, query, remove } from '../api.js'
import { Field, Form, Mistake, fromTime, toTime } from '../forms.jsx'
import { Badge, Copy, Dialog, Do, Empty, Facts, Id, LeftAlone, List, Loading, Page, Secret, Standing, Time, Trouble, bare, count, milliseconds, say, useAdmin, useLoad, usePages } from '../parts.jsx'
import { Link, go } from '../routing.jsx'
import { DeliveryTable } from './deliveries.jsx'
import { Job } from './jobs.jsx'

const recent = 20

export function Endpoints() {
  const admin = useAdmin()
  const pages = usePages('/api/v1/webhooks', {}, { every: 15_000, size: 25 })
  const health = useHealth(pages.rows)
  return <Page title="Endpoints" actions={admin && <Link class="button primary" to="/endpoints/new">New endpoint</Link>}>
    <List pages={pages} caption="Endpoints, newest first" empty={<><p>There is no endpoint yet.</p>{admin && <p><Link class="button primary" to="/endpoints/new">Make the first one</Link></p>}</>} columns={[
      { name: 'Endpoint', class: 'main', cell: e => <><Link class="url" to={'/endpoints/' + e.id} title={e.url}>{bare(e.url)}</Link>{e.description && <div class="quiet">{e.description}</div>}</> },
      { name: 'Status', cell: e => <Standing of={e} /> },
      { name: 'Events', cell: e => <Filters all={e.events} /> },
      { name: 'Last deliveries', cell: e => <Health of={health[e.id]} /> },
      { name: 'Made', cell: e => <Time at={e.created_at} /> },
    ]} />
  </Page>
}

function Filters({ all }) {
  return <span class="chips">{all.slice(0, 3).map(f => <code>{f}</code>)}{all.length > 3 && <span class="quiet" title={all.join(', ')}>and {all.length - 3} more</span>}</span>
}

// useHealth looks at the last deliveries of the endpoints that are shown, a few at
// a time.
function useHealth(rows) {
  const [health, set] = useState({})
  const ids = rows?.map(e => e.id).join()
  useEffect(() => {
    if (!ids) return
    let over = false
    few(4, ids.split(','), async id => {
      if (over) return
      const answer = await get('/api/v1/deliveries' + query({ endpoint_id: id, limit: recent })).catch(() => null)
      if (!over && answer) set(h => ({ ...h, [id]: answer.data }))
    })
    return () => { over = true }
  }, [ids])
  return health
}

// Health is how the last deliveries ended, oldest first.
function Health({ of: all }) {
  if (!all) return <span class="quiet">…</span>
  if (!all.length) return <span class="quiet">none yet</span>
  const good = all.filter(d => d.status === 'delivered').length
  const over = all.filter(d => d.status === 'delivered' || d.status === 'dead').length
  return <span class="health">
    <span class="ticks" aria-hidden="true">{all.slice().reverse().map(d => <i class={d.status} title={`${d.event_type}: ${d.status}`} />)}</span>
    <span class="quiet">{over ? `${good} of ${over} delivered` : `${all.length} open`}</span>
  </span>
}

export function Endpoint({ id }) {
  const admin = useAdmin()
  const { data: e, error, reload } = useLoad(signal => get('/api/v1/webhooks/' + id, { signal }), [id], 5000)
  const [dialog, open] = useState()
  const [job, setJob] = useState()
  if (!e) return <Page title="Endpoint" back={{ to: '/endpoints', text: 'Endpoints' }}>{error ? <Trouble error={error} again={reload} /> : <Loading />}</Page>
  const path = '/api/v1/webhooks/' + id
  const close = () => open(undefined)
  const changed = what => { forgetEndpoint(id); say(what); reload() }
  return <Page title={bare(e.url)} back={{ to: '/endpoints', text: 'Endpoints' }} actions={admin && <>
    <Do act={async () => { const event = await post(path + '/test'); say('A test event is on its way.'); go('/deliveries/' + event.deliveries[0].id) }}>Send a test event</Do>
    {e.left_alone_until && <Do class="primary" act={async () => { await post(path + '/resume'); changed('Its circuit breaker is closed: what is sent to it now is tried at once.') }}>Resume</Do>}
    {e.status === 'active'
      ? <Do act={async () => { await post(path + '/pause'); changed('The endpoint is paused. Its deliveries are held.') }}>Pause</Do>
      : <Do class="primary" act={async () => { const a = await post(path + '/resume'); setJob(a.job.id); changed('The endpoint is active again.') }}>Resume</Do>}
    <Link class="button" to={`/endpoints/${id}/edit`}>Edit</Link>
    <button type="button" onClick={() => open('rotate')}>Rotate the secret</button>
    <button type="button" onClick={() => open('recover')}>Recover</button>
    <button type="button" class="danger" onClick={() => open('delete')}>Delete</button>
  </>}>
    <Trouble error={error} />
    {e.status !== 'active' && <div class={'banner ' + e.status} role="status"><Badge status={e.status} /> <p><b>{e.status_reason || 'It is not active.'}</b> Deliveries to it are held, and do not expire, until it is resumed.</p></div>}
    {e.left_alone_until && <div class="banner paused" role="status"><Badge status="left alone" /> <p><b>It goes on failing: its circuit breaker is open <LeftAlone until={e.left_alone_until} />.</b> Deliveries to it wait, which uses no attempts. Where it is mended, a resume closes the breaker, and so does a change of its URL or headers.</p></div>}
    {job && <Job id={job} title={'What is held is released, what died is sent again'} />}
    <Facts of={[
      ['Status', <Standing of={e} />],
      ['URL', <span class="wrap">{e.url} <Copy text={e.url} what="URL" /></span>],
      ['Events', <span class="chips">{e.events.map(f => <code>{f}</code>)}</span>],
      ['Id', <Id id={e.id} />],
      e.description && ['Description', e.description],
      ['Retries', e.max_retries === null ? 'as the retry policy says' : count(e.max_retries)],
      ['Retry policy', e.retry_policy || 'the event type’s'],
      ['Timeout', e.timeout + ' s'],
      ['Rate limit', e.rate_limit === null ? 'none' : e.rate_limit + ' attempts a second'],
      ['Headers', Object.keys(e.headers).length ? <span class="chips">{Object.keys(e.headers).map(h => <code>{h}: ***</code>)}</span> : 'none'],
      Object.keys(e.metadata).length > 0 && ['Metadata', <span class="chips">{Object.entries(e.metadata).map(([k, v]) => <code>{k}: {v}</code>)}</span>],
      ['Made', <Time at={e.created_at} />],
      ['Changed', <Time at={e.updated_at} />],
    ]} />
    <Recent id={id} />
    {dialog === 'rotate' && <Rotate path={path} onClose={close} />}
    {dialog === 'recover' && <Recover path={path} onClose={close} onJob={j => { setJob(j.id); close() }} />}
    {dialog === 'delete' && <Dialog title="Delete the endpoint?" onClose={close}>
      <Form danger action="Delete it" onCancel={close} submit={async () => { await remove(path); forgetEndpoint(id); say('The endpoint is deleted.'); go('/endpoints', { replace: true }) }}>
        <p><code class="wrap">{e.url}</code></p>
        <p>Events accepted from now on are not matched against it. What is queued or held for it is cancelled. Its dead letters stay until they expire, and cannot be sent again.</p>
      </Form>
    </Dialog>}
  </Page>
}

function Recent({ id }) {
  const { data, error, reload } = useLoad(signal => get('/api/v1/deliveries' + query({ endpoint_id: id, limit: recent }), { signal }), [id], 5000)
  return <section>
    <header class="section"><h2>Last deliveries</h2>{data && <Health of={data.data} />}<Link to={'/deliveries' + query({ endpoint_id: id })}>All of them</Link></header>
    <Trouble error={error} again={reload} />
    {data && (data.data.length ? <DeliveryTable rows={data.data} without="endpoint" /> : <Empty><p>Nothing has been tried yet. Send a test event to see how it goes.</p></Empty>)}
  </section>
}

function Rotate({ path, onClose }) {
  const [secret, set] = useState()
  return <Dialog title="Rotate the secret" onClose={onClose}>
    {secret
      ? <><Secret value={secret} name="secret">This is the new secret. It is shown here and nowhere else: give it to the receiver now.</Secret><div class="actions"><button type="button" class="primary" onClick={onClose}>Done</button></div></>
      : <Form action="Rotate" onCancel={onClose} fields={['secret', 'overlap']} submit={async v => {
          const body = {}
          if (v.secret) body.secret = v.secret
          if (v.overlap !== '') body.overlap = number('overlap', v.overlap) * 3600
          set((await post(path + '/rotate-secret', body)).secret)
          say('The secret is rotated.')
        }}>
        <p>The secrets before it sign on until their overlap ends, so that the receiver can change over without losing anything.</p>
        <Field name="overlap" label="Overlap, in hours" inputMode="decimal" defaultValue="24" hint="0: the old ones stop at once." />
        <Field name="secret" label="Secret" placeholder="made for you" hint="8 to 256 printable characters; leave it empty to have one made." />
      </Form>}
  </Dialog>
}

function Recover({ path, onClose, onJob }) {
  return <Dialog title="Recover" onClose={onClose}>
    <Form action="Send again" onCancel={onClose} fields={['since']} submit={async v => {
      if (!v.since) throw new Mistake('since', 'since: is required')
      const a = await post(path + '/recover', { since: toTime(v.since) })
      say('What died since then is sent again.')
      onJob(a.job)
    }}>
      <p>Sends everything again that ended dead at this endpoint since a moment, each with a fresh budget of attempts: for when a receiver is back.</p>
      <Field name="since" label="Since" type="datetime-local" step="1" defaultValue={fromTime(new Date().setSeconds(0, 0) - 24 * 3600_000)} />
    </Form>
  </Dialog>
}

function number(field, value) {
  const n = Number(value)
  if (value.trim() === '' || Number.isNaN(n)) throw new Mistake(field, `${field}: must be a number`)
  return n
}

const lines = s => s.split('\n').map(x => x.trim()).filter(Boolean)

function pairs(field, s, unchanged = {}) {
  const all = {}
  for (const line of lines(s)) {
    const at = line.indexOf(':')
    if (at < 1) throw new Mistake(field, `${field}: “${line}” is not a name, a colon and a value`)
    all[line.slice(0, at).trim()] = line.slice(at + 1).trim()
  }
  return { ...unchanged, ...all }
}

const listed = all => Object.entries(all).map(([k, v]) => `${k}: ${v}`).join('\n')

export function NewEndpoint() {
  const [made, set] = useState()
  if (made) return <Page title="The endpoint is made" back={{ to: '/endpoints', text: 'Endpoints' }}>
    <Secret value={made.secret} name="secret">This secret signs what is posted to <b>{made.url}</b>. It is shown here and nowhere else: give it to the receiver now.</Secret>
    <div class="actions"><Link class="button primary" to={'/endpoints/' + made.id}>Go to the endpoint</Link></div>
  </Page>
  return <Page title="New endpoint" back={{ to: '/endpoints', text: 'Endpoints' }}>
    <EndpointForm action="Make the endpoint" onCancel={() => go('/endpoints')} submit={async body => { set(await post('/api/v1/webhooks', body)) }} />
  </Page>
}

export function EditEndpoint({ id }) {
  const path = '/api/v1/webhooks/' + id
  const { data: e, error, reload } = useLoad(signal => get(path, { signal }), [id])
  const back = { to: '/endpoints/' + id, text: 'The endpoint' }
  return <Page title="Edit the endpoint" back={back}>
    <Trouble error={error} again={reload} />
    {!e && !error && <Loading />}
    {e && <EndpointForm of={e} action="Save" onCancel={() => go(back.to)} submit={async body => { await patch(path, body); forgetEndpoint(id); say('The endpoint is changed.'); go(back.to) }} />}
  </Page>
}

function EndpointForm({ of: e, action, submit, onCancel }) {
  const types = useLoad(signal => get('/api/v1/event-types', { signal }), [])
  const send = async v => {
    const body = {
      url: v.url.trim(),
      events: v.events.split(/[\n,]/).map(x => x.trim()).filter(Boolean),
      description: v.description,
      max_retries: v.max_retries.trim() === '' ? null : number('max_retries', v.max_retries),
      timeout: v.timeout.trim() === '' ? null : number('timeout', v.timeout),
      rate_limit: v.rate_limit.trim() === '' ? null : number('rate_limit', v.rate_limit),
      retry_policy: v.retry_policy.trim() || null,
      headers: pairs('headers', v.headers),
      metadata: pairs('metadata', v.metadata),
    }
    if (!e && v.secret) body.secret = v.secret
    await submit(body)
  }
  return <div class="sheet"><Form action={action} submit={send} onCancel={onCancel}
    fields={['url', 'events', 'description', 'secret', 'max_retries', 'timeout', 'rate_limit', 'retry_policy', 'headers', 'metadata']}>
    <Field name="url" label="URL" type="url" inputMode="url" defaultValue={e?.url} placeholder="https://shop.example/webhooks" autofocus={!e} />
    <Field name="events" label="Events" as="textarea" rows={3} defaultValue={e ? e.events.join('\n') : '*'} hint={<>One a line: a type such as <code>order.created</code>, a prefix such as <code>order.*</code>, or <code>*</code> for everything. {types.data && <>Known: {types.data.data.slice(0, 8).map(t => t.name).join(', ')}.</>}</>} />
    <Field name="description" label="Description" defaultValue={e?.description} />
    {!e && <Field name="secret" label="Secret" placeholder="made for you" hint="Signs what is sent. Leave it empty to have one made." />}
    <details open={!!e}>
      <summary>Retries, limits, headers</summary>
      <div class="two">
        <Field name="max_retries" label="Retries" inputMode="numeric" defaultValue={e?.max_retries ?? ''} placeholder="as the policy says" hint="0 to 20 attempts after the first." />
        <Field name="timeout" label="Timeout, in seconds" inputMode="numeric" defaultValue={e?.timeout ?? ''} placeholder="30" />
        <Field name="rate_limit" label="Attempts a second" inputMode="decimal" defaultValue={e?.rate_limit ?? ''} placeholder="no limit" />
        <Field name="retry_policy" label="Retry policy" defaultValue={e?.retry_policy ?? ''} placeholder="the event type’s" />
      </div>
      <Field name="headers" label="Headers" as="textarea" rows={2} defaultValue={e ? listed(e.headers) : ''} placeholder="Authorization: Bearer …" hint="One a line, name and value, sent along with every attempt. Values are sealed; *** keeps the one that is there." />
      <Field name="metadata" label="Metadata" as="textarea" rows={2} defaultValue={e ? listed(e.metadata) : ''} placeholder="team: billing" hint="Of your own, one pair a line." />
    </details>
  </Form></div>
}
