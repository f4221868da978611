import { useEffect, useRef } from 'preact/hooks'
import { get, post } from '../api.js'
import { Badge, Do, EndpointName, Facts, Id, List, Loading, Page, Time, Trouble, count, say, useAdmin, useLoad, usePages } from '../parts.jsx'
import { Link } from '../routing.jsx'

const kinds = { fan_out: 'Fan-out', resume: 'Resume', cancel: 'Cancel', recover: 'Recover', replay: 'Replay' }

function Bar({ of: j }) {
  const over = j.status !== 'running'
  return <span class="bar">
    <progress value={over && j.status === 'done' ? 1 : j.total ? j.done : undefined} max={over && j.status === 'done' ? 1 : j.total || 1} aria-label={`${count(j.done)} of ${count(j.total)}`} />
    <span>{j.total ? `${count(j.done)} of ${count(j.total)}` : over ? count(j.done) : 'counting…'}</span>
  </span>
}

// Job shows one as it goes, with its progress.
export function Job({ id, title, onDone }) {
  const admin = useAdmin()
  const period = useRef(500)
  const { data: j, error, reload } = useLoad(signal => get('/api/v1/jobs/' + id, { signal }), [id], () => period.current)
  const over = j && j.status !== 'running'
  period.current = over ? 0 : j && Date.now() - new Date(j.created_at) > 30_000 ? 2000 : 500
  useEffect(() => { if (over) onDone?.() }, [over])
  return <div class="job" aria-live="polite">
    <Trouble error={error} again={reload} />
    {j && <>
      <p><b>{title || kinds[j.kind]}</b> <Badge status={j.status} /> <Link to={'/jobs/' + id} class="quiet">job</Link></p>
      <Bar of={j} />
      {j.error && <p class="wrong">{j.error}</p>}
      {admin && !over && j.kind !== 'fan_out' && j.kind !== 'cancel' && <Do act={async () => { await post(`/api/v1/jobs/${id}/cancel`); reload() }}>Stop it</Do>}
    </>}
  </div>
}

export function Jobs() {
  const pages = usePages('/api/v1/jobs', {}, { every: 5000 })
  return <Page title="Jobs">
    <List pages={pages} caption="Jobs, newest first" empty={<p>There was no job yet. What takes longer than a call is one: a replay of many, a resume.</p>} columns={[
      { name: 'Job', class: 'main', cell: j => <Link to={'/jobs/' + j.id}><b>{kinds[j.kind] || j.kind}</b></Link> },
      { name: 'Status', cell: j => <Badge status={j.status} title={j.error} /> },
      { name: 'Progress', cell: j => <Bar of={j} /> },
      { name: 'About', cell: j => j.endpoint_id ? <EndpointName id={j.endpoint_id} /> : j.event_id ? <Id id={j.event_id} short to={'/events/' + j.event_id} /> : <span class="quiet">–</span> },
      { name: 'Began', cell: j => <Time at={j.created_at} /> },
    ]} />
  </Page>
}

export function JobPage({ id }) {
  const { data: j, error, reload } = useLoad(signal => get('/api/v1/jobs/' + id, { signal }), [id], 5000)
  const back = { to: '/jobs', text: 'Jobs' }
  if (!j) return <Page title="Job" back={back}>{error ? <Trouble error={error} again={reload} /> : <Loading />}</Page>
  return <Page title={kinds[j.kind] || j.kind} back={back}>
    <Job id={id} onDone={reload} />
    <Facts of={[
      ['Began', <Time at={j.created_at} />],
      ['Last step', <Time at={j.updated_at} />],
      j.endpoint_id && ['Endpoint', <EndpointName id={j.endpoint_id} />],
      j.event_id && ['Event', <Id id={j.event_id} to={'/events/' + j.event_id} />],
      ['Id', <Id id={j.id} />],
    ]} />
  </Page>
}
