import { get } from '../api.js'
import { Empty, Loading, Page, Table, Trouble, count, useLoad } from '../parts.jsx'
import { Link } from '../routing.jsx'

export function EventTypes() {
  const { data, error, reload } = useLoad(signal => get('/api/v1/event-types', { signal }), [])
  return <Page title="Event types">
    <Trouble error={error} again={reload} />
    {!data && !error && <Loading />}
    {data?.data.length === 0 && <Empty><p>No event was accepted yet.</p></Empty>}
    {data?.data.length > 0 && <Table rows={data.data} caption="Event types" keyOf={t => t.name} columns={[
      { name: 'Type', class: 'main', cell: t => <Link to={'/events?event_type=' + encodeURIComponent(t.name)}><b>{t.name}</b></Link> },
      { name: 'What', cell: t => t.description || <span class="quiet">–</span> },
      { name: 'Predefined', cell: t => t.predefined ? 'yes' : <span class="quiet">no</span> },
      { name: 'Accepted', class: 'number', cell: t => count(t.events_total) },
    ]} />}
  </Page>
}
