import { render } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { forgetEndpoints, get, post, remove, signedOut } from './api.js'
import { forget } from './figures.js'
import { Field, Form } from './forms.jsx'
import { Do, Empty, Loading, Notices, Page, Session, Trouble, useFocusKept, useTitle } from './parts.jsx'
import { Link, Route, go, useLocation } from './routing.jsx'
import { DeadLetter, DeadLetters } from './pages/deadletters.jsx'
import { Deliveries, Delivery } from './pages/deliveries.jsx'
import { EditEndpoint, Endpoint, Endpoints, NewEndpoint } from './pages/endpoints.jsx'
import { Event, Events, SendEvent } from './pages/events.jsx'
import { JobPage, Jobs } from './pages/jobs.jsx'
import { Keys } from './pages/keys.jsx'
import { Overview } from './pages/overview.jsx'
import { EventTypes } from './pages/types.jsx'

const view = ['admin', 'viewer']

// The menu, and which roles each page is for.
const menu = [
  { to: '', name: 'Overview', roles: [...view, 'metrics'] },
  { to: 'endpoints', name: 'Endpoints', roles: view },
  { to: 'events', name: 'Events', roles: view },
  { to: 'deliveries', name: 'Deliveries', roles: view },
  { to: 'dead-letters', name: 'Dead letters', roles: view },
  { to: 'jobs', name: 'Jobs', roles: view },
  { to: 'event-types', name: 'Event types', roles: view },
  { to: 'keys', name: 'API keys', roles: ['admin'] },
]

function show({ parts: [page = '', id, what], params }, role) {
  const may = menu.find(m => m.to === page)?.roles.includes(role)
  if (role === 'producer' && (page === '' || page === 'events')) return id && id !== 'new' ? <Event id={id} /> : <SendEvent />
  if (menu.some(m => m.to === page) && !may) return <Page title="Not for this key"><Empty><p>A key with the role {role} may not look at this.</p></Empty></Page>
  switch (page) {
    case '': return <Overview />
    case 'endpoints':
      if (id === 'new') return <NewEndpoint />
      return what === 'edit' ? <EditEndpoint id={id} /> : id ? <Endpoint key={id} id={id} /> : <Endpoints />
    case 'events': return id === 'new' ? <SendEvent /> : id ? <Event key={id} id={id} /> : <Events params={params} />
    case 'deliveries': return id ? <Delivery key={id} id={id} /> : <Deliveries params={params} />
    case 'dead-letters': return id ? <DeadLetter key={id} id={id} /> : <DeadLetters params={params} />
    case 'jobs': return id ? <JobPage key={id} id={id} /> : <Jobs />
    case 'event-types': return <EventTypes />
    case 'keys': return <Keys />
  }
  return <Page title="There is nothing here"><Empty><p>The console has no such page.</p><p><Link to="/">To the overview</Link></p></Empty></Page>
}

// leave forgets what a session has seen.
function leave() {
  forget()
  forgetEndpoints()
}

function App() {
  const [session, set] = useState()
  const [error, setError] = useState()
  const [entered, setEntered] = useState(false) // by the form of this page, and not by a session that was there
  const enter = async () => {
    setError(undefined)
    try {
      set(await get('/api/v1/session'))
    } catch (e) {
      if (e.status === 401) set(null)
      else setError(e)
    }
  }
  useEffect(() => {
    signedOut(() => { leave(); set(s => s && null) })
    enter()
  }, [])
  if (error) return <main class="alone"><Brand /><Trouble error={error} again={enter} /></main>
  if (session === undefined) return <Loading />
  if (session === null) return <SignIn onDone={s => { setEntered(true); set(s) }} />
  return <Session.Provider value={session}><Shell session={session} entered={entered} onLeave={async () => {
    await remove('/api/v1/session')
    leave()
    go('', { replace: true })
    set(null)
  }} /></Session.Provider>
}

function Brand() {
  return <span class="brand"><img src="/console/assets/icon.svg" alt="" width="28" height="28" />Posthorn</span>
}

function SignIn({ onDone }) {
  useTitle('Sign in')
  const main = useRef()
  useEffect(() => { main.current.querySelector('input').focus() }, []) // also after a session's end, when the browser does not
  return <main class="alone" ref={main}>
    <Brand />
    <h1>Sign in</h1>
    <Form action="Sign in" fields={['key']} submit={async v => { onDone(await post('/api/v1/session', { key: v.key.trim() })) }}>
      <Field name="key" label="API key" type="password" placeholder="ph_…" hint="It is sent once, and not kept in the browser. What you may do here is what the key may." />
    </Form>
    <p class="quiet">A first key is made with <code>posthorn keys create <span class="flag">--role admin</span> <span class="flag">--local</span></code> where a <code>posthorn local</code> runs, and in an account with <code><span class="flag">--table NAME</span></code> in place of <code><span class="flag">--local</span></code>.</p>
  </main>
}

function Shell({ session, entered, onLeave }) {
  const route = useLocation()
  const main = useRef()
  const path = route.parts.join('/')
  const first = useRef(!entered)
  useFocusKept(main)
  useEffect(() => {
    if (first.current) { first.current = false; return }
    scrollTo(0, 0)
    if (!main.current.contains(document.activeElement) || document.activeElement === document.body) main.current.querySelector('h1')?.focus()
  }, [path])
  const mine = session.role === 'producer' ? [{ to: 'events', name: 'Send an event' }] : menu.filter(m => m.roles.includes(session.role))
  const at = session.role === 'producer' ? 'events' : route.parts[0] || ''
  return <Route.Provider value={route}>
    <a class="skip" href="#main" onClick={e => { e.preventDefault(); main.current.querySelector('h1')?.focus() }}>To the content</a>
    <header class="side"><div>
      <Link to="" class="home" aria-label="Posthorn, overview"><Brand /></Link>
      <nav aria-label="Pages"><ul>{mine.map(m => <li key={m.to}><Link to={m.to && '/' + m.to} aria-current={at === m.to ? 'page' : undefined}>{m.name}</Link></li>)}</ul></nav>
      <div class="who">
        {session.auth === 'off' ? <p class="quiet">No key is asked for here.</p> : <p class="quiet"><b>{session.role}</b> of {session.tenant}</p>}
        {session.auth !== 'off' && <Do act={onLeave}>Sign out</Do>}
        <p class="quiet version">Posthorn {session.version} · <a href="/docs">API</a></p>
      </div>
    </div></header>
    <main id="main" ref={main}>{show(route, session.role)}</main>
    <Notices />
  </Route.Provider>
}

render(<App />, document.getElementById('app'))
