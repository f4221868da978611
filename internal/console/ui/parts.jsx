import { createContext } from 'preact'
import { useCallback, useContext, useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { endpoint, get, text as ask } from './api.js'
import { Link } from './routing.jsx'
import { pieces } from './raw.js'

// Session is who is signed in: the answer of /api/v1/session.
export const Session = createContext(null)
export const useSession = () => useContext(Session)
export const useAdmin = () => useSession().role === 'admin'

export function useTitle(title) {
  useEffect(() => { document.title = title + ' · Posthorn' }, [title])
}

// useLoad loads with f(signal) whenever one of deps changes, and again every so
// many milliseconds while the page is looked at. What is shown stays meanwhile.
export function useLoad(f, deps, every) {
  const [state, set] = useState({ loading: true })
  const [turn, again] = useState(0)
  const period = useRef(every)
  period.current = every
  const before = useRef(turn)
  useEffect(() => {
    const abort = new AbortController()
    let timer, over = false
    const run = async () => {
      clearTimeout(timer)
      if (document.hidden && period.current) return
      set(s => ({ ...s, loading: true }))
      try {
        const data = await f(abort.signal)
        if (!over) set({ data, loading: false })
      } catch (error) {
        if (!over) set(s => ({ data: error.status === 404 ? undefined : s.data, error, loading: false }))
      }
      const next = typeof period.current === 'function' ? period.current() : period.current
      if (!over && next) timer = setTimeout(run, next)
    }
    const seen = () => { if (!document.hidden && period.current) run() }
    document.addEventListener('visibilitychange', seen)
    const same = turn !== before.current // it is only asked for again
    before.current = turn
    set(s => ({ data: same ? s.data : undefined, loading: true }))
    run()
    return () => { over = true; abort.abort(); clearTimeout(timer); document.removeEventListener('visibilitychange', seen) }
  }, [...deps, turn])
  return { ...state, reload: useCallback(() => again(n => n + 1), []) }
}

export function Page({ title, actions, children, back }) {
  useTitle(title)
  return <>
    <header class="page">
      <div>
        {back && <Link class="back" to={back.to}>← {back.text}</Link>}
        <h1 tabIndex={-1}>{title}</h1>
      </div>
      {actions && <div class="actions">{actions}</div>}
    </header>
    {children}
  </>
}

// Trouble is a problem document for people.
export function Trouble({ error, again }) {
  if (!error || error.name === 'AbortError') return null
  return <div class="trouble" role="alert">
    <p>{error.message}{error.id && <> <span class="quiet">Request {error.id}</span></>}</p>
    {again && <button type="button" onClick={again}>Try again</button>}
  </div>
}

export function Loading() { return <p class="quiet loading" role="status">Loading…</p> }

export function Empty({ children }) { return <div class="empty">{children}</div> }

const tones = {
  delivered: 'good', active: 'good', done: 'good', queued: 'calm', retrying: 'warn', running: 'calm',
  dead: 'bad', failed: 'bad', disabled: 'bad', held: 'warn', paused: 'warn', 'left alone': 'warn', cancelled: 'dull',
}

export function Badge({ status, title }) { return <span class={'badge ' + (tones[status] || 'dull')} title={title}>{status}</span> }

// Standing is how an endpoint stands, and why. One whose breaker is open is active,
// and left alone all the same.
export function Standing({ of: e }) {
  if (!e.left_alone_until) return <><Badge status={e.status} /> {e.status_reason && <span class="quiet">{e.status_reason}</span>}</>
  return <><Badge status="left alone" title="active, but its circuit breaker is open" /> <span class="quiet"><LeftAlone until={e.left_alone_until} /></span></>
}

// LeftAlone says until when. That has passed where nothing came since to try it
// with, or what was tried has not succeeded.
export function LeftAlone({ until }) {
  return new Date(until) > Date.now() ? <>until <time dateTime={until} title={absolute.format(new Date(until)) + ' · ' + until}>{clock.format(new Date(until))}</time></> : <>until the next delivery that succeeds</>
}

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'short' })
const absolute = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' })
const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' })
const units = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]]

export function ago(at, now = Date.now()) {
  const s = (new Date(at) - now) / 1000
  for (const [unit, size] of units) {
    if (Math.abs(s) >= size || unit === 'second') return relative.format(Math.trunc(s / size), unit)
  }
}

export function Time({ at }) {
  const [, tick] = useState(0)
  useEffect(() => {
    const t = setInterval(() => tick(n => n + 1), 10_000)
    return () => clearInterval(t)
  }, [])
  if (!at) return <span class="quiet">–</span>
  return <time dateTime={at} title={absolute.format(new Date(at)) + ' · ' + at}>{ago(at)}</time>
}

const compact = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
export const count = n => n === null || n === undefined ? '–' : compact.format(n)

export function milliseconds(n) {
  if (n === null || n === undefined || Number.isNaN(n)) return '–'
  if (n >= 10_000) return (n / 1000).toFixed(0) + ' s'
  if (n >= 1000) return (n / 1000).toFixed(1) + ' s'
  return n.toFixed(n < 10 ? 1 : 0) + ' ms'
}

// Id is an id that can be copied; in lists, its end.
export function Id({ id, to, short }) {
  if (!id) return <span class="quiet">–</span>
  const shown = short ? id.slice(0, id.indexOf('_') + 1) + '…' + id.slice(-6) : id
  return <span class="id">{to ? <Link to={to} title={id}>{shown}</Link> : <code title={id}>{shown}</code>}{!short && <Copy text={id} what="id" />}</span>
}

export function Copy({ text, what }) {
  const [done, set] = useState(false)
  useEffect(() => {
    if (!done) return
    const t = setTimeout(() => set(false), 1500)
    return () => clearTimeout(t)
  }, [done])
  if (!navigator.clipboard) return null
  const copy = () => navigator.clipboard.writeText(text).then(() => set(true), () => set(false))
  return <button type="button" class="copy" onClick={copy} aria-label={'Copy the ' + what}>{done ? 'copied' : 'copy'}</button>
}

// EndpointName shows where an endpoint is, by its id.
export function EndpointName({ id }) {
  const [found, set] = useState()
  useEffect(() => {
    let over = false
    endpoint(id).then(e => { if (!over) set(e) }, () => {})
    return () => { over = true }
  }, [id])
  if (found === null) return <span class="id"><code title={id}>{id.slice(0, 3)}…{id.slice(-6)}</code> <span class="quiet">deleted</span></span>
  return <Link class="url" to={'/endpoints/' + id} title={found?.url || id}>{found ? bare(found.url) : id.slice(0, 3) + '…' + id.slice(-6)}</Link>
}

export const bare = url => url.replace(/^https:\/\//, '')

// Json shows JSON as it stands, in lines.
export function Json({ raw, label }) {
  if (raw === undefined || raw === null) return null
  const colour = raw.length < 20_000
  const all = pieces(raw)
  return <pre class="code" tabIndex={0} aria-label={label}><code>{colour ? all.map(p => p.kind ? <span class={p.kind}>{p.text}</span> : p.text) : all.map(p => p.text).join('')}</code></pre>
}

// Table is a list; on a narrow screen each row is a card, whose cells say what
// they are.
export function Table({ columns, rows, caption, keyOf = r => r.id }) {
  return <div class="scroll"><table class="list">
    <caption class="unseen">{caption}</caption>
    <thead><tr>{columns.map(c => <th scope="col" class={c.class}>{c.head ?? c.name}</th>)}</tr></thead>
    <tbody>{rows.map(r => <tr key={keyOf(r)}>
      {columns.map(c => <td class={c.class} data-name={typeof c.name === 'string' ? c.name : undefined}>{c.cell(r)}</td>)}
    </tr>)}</tbody>
  </table></div>
}

// usePages goes through a list by its cursors. No more than a page is ever held.
export function usePages(path, params, { every, size = 50 } = {}) {
  const key = JSON.stringify([path, params])
  const [place, setPlace] = useState({ key, cursors: [] })
  const cursors = place.key === key ? place.cursors : []
  const cursor = cursors[cursors.length - 1]
  const load = useLoad(async signal => {
    if (!path) return { data: [], next_cursor: null }
    const q = new URLSearchParams({ limit: size })
    for (const [n, v] of Object.entries(params)) if (v) q.set(n, v)
    if (cursor) q.set('cursor', cursor)
    return get(path + '?' + q, { signal })
  }, [key, cursor], cursor ? 0 : every)
  const next = load.data?.next_cursor
  // A filter may name what is not there, of which the answer names no field.
  const { error } = load
  for (const thing of ['endpoint', 'event']) if (error?.status === 404 && params[thing + '_id'] && error.message === `There is no such ${thing}.`) error.field = thing + '_id'
  return {
    ...load,
    params,
    rows: load.data?.data,
    pager: {
      number: cursors.length + 1,
      older: next && (() => setPlace({ key, cursors: [...cursors, next] })),
      newer: cursors.length > 0 && (() => setPlace({ key, cursors: cursors.slice(0, -1) })),
      newest: cursors.length > 1 && (() => setPlace({ key, cursors: [] })),
    },
  }
}

export function Pager({ number, older, newer, newest }) {
  if (!older && !newer) return null
  return <nav class="pager" aria-label="Pages of the list">
    {newest && <button type="button" onClick={newest}>⇤ Newest</button>}
    <button type="button" disabled={!newer} onClick={newer || undefined}>← Newer</button>
    <span class="quiet">page {number}</span>
    <button type="button" disabled={!older} onClick={older || undefined}>Older →</button>
  </nav>
}

// List is a list with everything around it: its trouble, its emptiness, its pages.
// Who goes to another of its pages is at the list's beginning.
export function List({ pages, columns, caption, empty, keyOf }) {
  const { rows, loading, reload } = pages
  const ref = useRef()
  const pager = { ...pages.pager }
  for (const way of ['older', 'newer', 'newest']) if (pager[way]) pager[way] = () => { pages.pager[way](); ref.current.focus() }
  // What is wrong with a filter stands at the filter.
  const error = pages.error?.field in pages.params ? null : pages.error
  return <section ref={ref} tabIndex={-1} aria-label={caption} aria-busy={loading}>
    <Trouble error={error} again={reload} />
    {!rows && loading && <Loading />}
    {rows && rows.length > 0 && <Table columns={columns} rows={rows} caption={caption} keyOf={keyOf} />}
    {rows && rows.length === 0 && <Empty>{pager.older ? <p>Nothing in this part of the list. There may be more in what is older.</p> : empty}</Empty>}
    {rows && <Pager {...pager} />}
  </section>
}

// Facts is a list of names and values.
export function Facts({ of }) {
  return <dl class="facts">{of.filter(Boolean).map(([name, value]) => <div><dt>{name}</dt><dd>{value ?? <span class="quiet">–</span>}</dd></div>)}</dl>
}

// Dialog is a modal one: the browser keeps the focus inside, and Escape closes it.
// The focus goes to its first field, or to the way out where it only asks, and
// afterwards back to what opened it, in whichever way it is closed.
export function Dialog({ title, onClose, children }) {
  const ref = useRef()
  const over = useRef(false)
  useLayoutEffect(() => {
    const dialog = ref.current
    dialog.showModal()
    dialog.querySelector('form :is(input, select, textarea), form button[type=button]')?.focus()
    return () => { over.current = true; dialog.close() } // which gives the focus back
  }, [])
  return <dialog ref={ref} aria-label={title} onClose={() => { if (!over.current) onClose() }}>
    <header><h2 tabIndex={-1}>{title}</h2><button type="button" class="plain" aria-label="Close" onClick={() => ref.current.close()}>✕</button></header>
    {children}
  </dialog>
}

// Notices are what has just been done, said also to who does not see them.
const listeners = new Set()
let notices = []
let serial = 0

export function say(message) {
  const n = { id: ++serial, message }
  notices = [...notices.slice(-2), n]
  listeners.forEach(f => f(notices))
  setTimeout(() => { notices = notices.filter(x => x !== n); listeners.forEach(f => f(notices)) }, 6000)
}

export function Notices() {
  const [all, set] = useState(notices)
  useEffect(() => { listeners.add(set); return () => listeners.delete(set) }, [])
  return <div class="notices" role="status">{all.map(n => <div key={n.id}>{n.message}</div>)}</div>
}

// useFocusKept gives the focus a place when what had it is gone: a row that was
// deleted, a button that was pressed for the last time. Left alone, the keyboard
// would begin again at the top of the page. It goes to the title of the dialog
// that is open, or of the page.
export function useFocusKept(main) {
  useEffect(() => {
    let last
    const had = e => { last = e.target }
    const left = () => { last = undefined } // by who uses a mouse, and may have no focus
    const keep = new MutationObserver(() => {
      if (!last || last.isConnected && !last.disabled || document.activeElement !== document.body) return
      last = undefined
      const titles = main.current.querySelectorAll('h1, dialog[open] h2')
      titles[titles.length - 1]?.focus({ preventScroll: true })
    })
    document.addEventListener('focusin', had)
    document.addEventListener('pointerdown', left)
    keep.observe(main.current, { subtree: true, childList: true, attributes: true, attributeFilter: ['disabled', 'open'] })
    return () => { keep.disconnect(); document.removeEventListener('focusin', had); document.removeEventListener('pointerdown', left) }
  }, [])
}

// Do is a button for something that calls the API: it cannot be pressed twice,
// and says beside it what went wrong. While it is busy it keeps the focus, which a
// disabled button loses.
export function Do({ act, children, ...rest }) {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState()
  const alive = useRef(true)
  useEffect(() => () => { alive.current = false }, [])
  const press = async () => {
    if (busy) return
    setBusy(true)
    setError(undefined)
    try { await act() } catch (e) { if (alive.current) setError(e) } finally { if (alive.current) setBusy(false) }
  }
  return <>
    <button type="button" aria-disabled={busy || undefined} onClick={press} {...rest}>{children}</button>
    {error && <span class="wrong" role="alert">{error.message}</span>}
  </>
}

// Secret shows once what is never shown again.
export function Secret({ value, name, children }) {
  return <div class="secret" role="status">
    <p>{children}</p>
    <p><code id={name}>{value}</code> <Copy text={value} what={name} /></p>
  </div>
}

export const rawGet = (path, signal) => ask('GET', path, { signal })
