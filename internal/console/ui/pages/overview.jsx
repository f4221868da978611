import { useEffect, useState } from 'preact/hooks'
import { get } from '../api.js'
import { Chart } from '../chart.jsx'
import { period, series, watch } from '../figures.js'
import { Empty, EndpointName, Loading, Page, Standing, Time, Trouble, count, milliseconds, useAdmin, useLoad, useSession } from '../parts.jsx'
import { Link } from '../routing.jsx'

const rate = n => n === null || n === undefined ? '–' : (n < 10 ? n.toFixed(1) : n.toFixed(0)) + '/s'
const percent = n => n === null || n === undefined ? '–' : n.toFixed(n > 99 && n < 100 ? 1 : 0) + '%'
const last = all => all.length ? all[all.length - 1] : null
const lastKnown = all => all.findLast(x => x !== null) ?? null

export function Overview() {
  const { role, tenant } = useSession()
  const figures = tenant === 'default'
  // Of endpoints, the newest 200.
  const endpoints = useLoad(async signal => role === 'metrics' ? [] : (await get('/api/v1/webhooks?limit=200', { signal })).data, [], 30_000)
  const attention = role !== 'metrics' && <Attention endpoints={endpoints.data || []} />
  const leftAlone = (endpoints.data || []).filter(e => e.left_alone_until).length
  return <Page title="Overview">
    {figures ? <Figures leftAlone={leftAlone}>{attention}</Figures> : <Empty><p>The figures of the whole are for keys of the tenant <code>default</code>: they count all tenants.</p></Empty>}
    {!figures && attention}
  </Page>
}

// Figures are the tiles and the charts. Between them stands what wants to be looked
// at: who comes because something died need not look further.
function Figures({ leftAlone, children }) {
  const [error, set] = useState()
  const [, again] = useState(0)
  const admin = useAdmin()
  useEffect(() => watch(e => { set(e); again(n => n + 1) }), [])
  const s = series()
  const now = s.latest
  if (!now) return <>{error ? <Trouble error={error} /> : <Loading />}{children}</>
  const attempts = now.attempts.succeeded + now.attempts.failed
  const waiting = now.queue.ready + now.queue.delayed + now.queue.in_flight
  const width = Math.max(60, (s.times.length - 1) * period / 1000)
  const from = Date.now() / 1000 - width
  const chart = { times: s.times, from }
  return <>
    <Trouble error={error} />
    <ul class="tiles">
      <Tile name="Events accepted" value={count(now.events_total)} />
      <Tile name="Delivered" value={count(now.deliveries.delivered)} tone="good" />
      <Tile name="Attempts succeeded" value={attempts ? percent(100 * now.attempts.succeeded / attempts) : '–'} note={`${count(now.attempts.failed)} failed`} />
      <Tile name="Waiting" value={count(waiting)} note={waiting ? [now.queue.delayed && `${count(now.queue.delayed)} delayed`, now.queue.ready && `oldest ready ${milliseconds(now.lag_seconds * 1000)}`].filter(Boolean).join(', ') || 'in flight' : 'nothing'} />
      <Tile name="Dead letters" value={count(now.dlq.entries)} tone={now.dlq.entries ? 'bad' : ''} to="/dead-letters" />
      <Tile name="Endpoints" value={count(now.endpoints.active)} note={[leftAlone && `${count(leftAlone)} left alone`, now.endpoints.paused && `${count(now.endpoints.paused)} paused`, now.endpoints.disabled && `${count(now.endpoints.disabled)} disabled`].filter(Boolean).join(', ') || 'all active'} to="/endpoints" />
    </ul>
    {now.endpoints.total === 0 && admin && <Empty><p>There is no endpoint yet. Events that match none are kept and delivered nowhere.</p><p><Link class="button primary" to="/endpoints/new">Make an endpoint</Link></p></Empty>}
    {children}
    <div class="charts">
      <Chart {...chart} title="Rate" now={rate(last(s.delivered))} note="delivered" format={n => n < 10 && n % 1 ? n.toFixed(1) : n.toFixed(0)}
        series={[{ name: 'accepted', colour: 'accent', values: s.accepted, line: true }, { name: 'delivered', colour: 'good', values: s.delivered }]} />
      <Chart {...chart} title="Success" now={percent(lastKnown(s.success))} note="of attempts" top={100} format={n => n.toFixed(0) + '%'}
        series={[{ name: 'succeeded', colour: 'good', values: s.success }]} />
      <Chart {...chart} title="Latency" now={milliseconds(lastKnown(s.p95))} note="95 of 100 attempts take less" format={n => n >= 1000 ? (n / 1000).toFixed(1) + ' s' : n.toFixed(n < 10 && n % 1 ? 1 : 0) + ' ms'}
        series={[{ name: 'median', colour: 'accent', values: s.p50, line: true }, { name: '95%', colour: 'calm', values: s.p95 }]} />
      <Chart {...chart} whole title="Queue" now={count(now.queue.ready)} note="ready" format={n => count(n)}
        series={[{ name: 'ready', colour: 'accent', values: s.ready }, { name: 'in flight', colour: 'calm', values: s.inFlight, line: true }, { name: 'delayed', colour: 'warn', values: s.delayed, line: true }]} />
      <Chart {...chart} whole title="Dead letters" now={count(now.dlq.entries)} note="entries" format={n => count(n)}
        series={[{ name: 'entries', colour: 'bad', values: s.entries }]} />
      <Chart {...chart} title="Failed attempts" now={rate(last(s.failedAttempts))} note="" format={n => n < 10 && n % 1 ? n.toFixed(1) : n.toFixed(0)}
        series={[{ name: 'failed', colour: 'bad', values: s.failedAttempts }]} />
    </div>
    <p class="quiet">Charts begin when the console is opened, and have a point every {period / 1000} seconds.</p>
  </>
}

function Tile({ name, value, note, tone, to }) {
  const inside = <><span class="name">{name}</span><strong class={tone}>{value}</strong>{note && <span class="quiet">{note}</span>}</>
  return <li>{to ? <Link to={to}>{inside}</Link> : <div>{inside}</div>}</li>
}

// What wants to be looked at: endpoints that are not posted to, and what died last.
function Attention({ endpoints }) {
  const dead = useLoad(signal => get('/api/v1/dlq?limit=5', { signal }), [], 10_000)
  const jobs = useLoad(signal => get('/api/v1/jobs?limit=20', { signal }), [], 10_000)
  const still = endpoints.filter(e => e.status !== 'active' || e.left_alone_until).slice(0, 5)
  const running = jobs.data?.data.filter(j => j.status === 'running').slice(0, 5) || []
  const died = dead.data?.data || []
  if (!still.length && !running.length && !died.length) return null
  return <div class="columns">
    {died.length > 0 && <section><header class="section"><h2>Died last</h2><Link to="/dead-letters">All dead letters</Link></header><ul class="rows">{died.map(d => <li key={d.id}>
      <Link to={'/dead-letters/' + d.id}><b>{d.event_type || 'unreadable message'}</b></Link> <span class="quiet">{d.failure_reason}</span> <Time at={d.created_at} />
    </li>)}</ul></section>}
    {still.length > 0 && <section><h2>Endpoints that are not posted to</h2><ul class="rows">{still.map(e => <li key={e.id}><EndpointName id={e.id} /> <Standing of={e} /></li>)}</ul></section>}
    {running.length > 0 && <section><h2>Jobs under way</h2><ul class="rows">{running.map(j => <li key={j.id}><Link to={'/jobs/' + j.id}><b>{j.kind}</b></Link> <span class="quiet">{count(j.done)} of {count(j.total)}</span> <Time at={j.created_at} /></li>)}</ul></section>}
  </div>
}
