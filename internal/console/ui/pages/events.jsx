import { useState } from 'preact/hooks'
import { get, post, query } from '../api.js'
import { Field, Form, Mistake, fromTime } from '../forms.jsx'
import { Dialog, Empty, Facts, Id, Json, List, Loading, Page, Time, Trouble, count, rawGet, say, useAdmin, useLoad, usePages, useSession } from '../parts.jsx'
import { member } from '../raw.js'
import { Link, go } from '../routing.jsx'
import { DeliveryTable } from './deliveries.jsx'
import { Filter } from './filter.jsx'

export function Events({ params }) {
  const admin = useAdmin()
  const { event_type, since, until } = params
  const pages = usePages('/api/v1/events', { event_type, since, until }, { every: 5000 })
  return <Page title="Events" actions={admin && <Link class="button primary" to="/events/new">Send an event</Link>}>
    <Filter path="/events" params={params} pages={pages} fields={['event_type', 'since', 'until']}>
      <Field name="event_type" label="Event type" defaultValue={event_type} placeholder="order.created" />
      <Field name="since" label="Since" type="datetime-local" step="1" defaultValue={fromTime(since)} />
      <Field name="until" label="Until" type="datetime-local" step="1" defaultValue={fromTime(until)} />
    </Filter>
    <List pages={pages} caption="Events, newest first" empty={<p>There is no such event.</p>} columns={[
      { name: 'Event', class: 'main', cell: e => <><Link to={'/events/' + e.id}><b>{e.event_type}</b></Link> <span class="quiet mono">…{e.id.slice(-6)}</span></> },
      { name: 'Deliveries', class: 'number', cell: e => count(e.deliveries_total) },
      { name: 'Accepted', cell: e => <Time at={e.created_at} /> },
    ]} />
  </Page>
}

export function Event({ id }) {
  const { role } = useSession()
  const admin = role === 'admin'
  const { data, error, reload } = useLoad(async signal => {
    const raw = await rawGet('/api/v1/events/' + id, signal)
    return { ...JSON.parse(raw), raw: member(raw, 'payload') }
  }, [id])
  const [again, open] = useState(false)
  const back = { to: '/events', text: 'Events' }
  if (!data) return <Page title="Event" back={back}>{error ? <Trouble error={error} again={reload} /> : <Loading />}</Page>
  return <Page title={data.event_type} back={back} actions={admin && <button type="button" onClick={() => open(true)}>Send again</button>}>
    <Facts of={[
      ['Accepted', <Time at={data.created_at} />],
      ['Deliveries', count(data.deliveries_total)],
      ['Id', <Id id={data.id} />],
    ]} />
    {role !== 'producer' && <Of event={id} />}
    <section><h2>Payload</h2><Json raw={data.raw} label="Payload" /></section>
    {again && <Dialog title="Send the event again" onClose={() => open(false)}>
      <Form action="Send again" onCancel={() => open(false)} fields={['endpoint_id']} submit={async v => {
        const a = await post(`/api/v1/events/${id}/resend`, v.endpoint_id.trim() ? { endpoint_id: v.endpoint_id.trim() } : {})
        say(`${count(a.deliveries_total)} ${a.deliveries_total === 1 ? 'delivery is' : 'deliveries are'} on their way again.`)
        open(false)
        reload()
      }}>
        <p>With the body it had, and a fresh budget of attempts for each delivery.</p>
        <Field name="endpoint_id" label="Endpoint" placeholder="all that match now" hint="The id of one endpoint, or nothing for all that match now." />
      </Form>
    </Dialog>}
  </Page>
}

function Of({ event }) {
  const pages = usePages('/api/v1/deliveries', { event_id: event }, { every: 2000, size: 25 })
  return <section><h2>Deliveries</h2>
    <Trouble error={pages.error} />
    {pages.rows?.length === 0 && <Empty><p>It matched no endpoint.</p></Empty>}
    {pages.rows?.length > 0 && <DeliveryTable rows={pages.rows} />}
    {pages.rows && (pages.pager.older || pages.pager.newer) && <p><Link to={'/deliveries' + query({ event_id: event })}>All of them</Link></p>}
  </section>
}

export function SendEvent() {
  const { role } = useSession()
  const types = useLoad(signal => role === 'producer' ? null : get('/api/v1/event-types', { signal }), [])
  return <Page title="Send an event" back={{ to: '/events', text: 'Events' }}>
    <div class="sheet"><Form action="Send" fields={['event_type', 'payload', 'id']} onCancel={() => go('/events')} submit={async v => {
      if (!v.payload.trim()) throw new Mistake('payload', 'payload: is required')
      try {
        JSON.parse(v.payload)
      } catch (e) {
        throw new Mistake('payload', `payload: is not JSON: ${e.message}`)
      }
      // The payload goes as it was written, and not as JSON.parse has it.
      const body = `{"event_type":${JSON.stringify(v.event_type.trim())},"payload":${v.payload}${v.id ? `,"id":${JSON.stringify(v.id)}` : ''}}`
      const event = await post('/api/v1/events', body)
      say(`The event is accepted, with ${count(event.deliveries_total)} ${event.deliveries_total === 1 ? 'delivery' : 'deliveries'}.`)
      go('/events/' + event.id)
    }}>
      <Field name="event_type" label="Event type" list="types" placeholder="order.created" autofocus />
      <datalist id="types">{types.data?.data.map(t => <option value={t.name}>{t.description}</option>)}</datalist>
      <Field name="payload" label="Payload" as="textarea" rows={10} class="mono" defaultValue={'{\n  "order": 1001,\n  "total": "19.90"\n}'} hint="A JSON object of at most 256 KB. It is kept byte for byte, but for the white space." />
      <Field name="id" label="Id of your own" hint="A repeat with the same id within 24 hours is no second event. Leave it empty for none." />
    </Form></div>
  </Page>
}
