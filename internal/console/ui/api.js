// The API, as pages call it. The session is a cookie that no script can read;
// this header says that the console makes the request.

export class Problem extends Error {
  constructor(document) {
    super(document.detail)
    Object.assign(this, document)
  }
}

let onSignedOut = () => {}

// signedOut names who is told when the session is over.
export function signedOut(f) { onSignedOut = f }

// text makes a request and returns the answer's text. Anything but a success is
// thrown as a Problem.
export async function text(method, path, { body, signal, headers } = {}) {
  let answer
  try {
    answer = await fetch(path, {
      method,
      signal,
      credentials: 'same-origin',
      headers: { 'X-Posthorn-Console': '1', ...(body !== undefined && { 'Content-Type': 'application/json' }), ...headers },
      body: typeof body === 'string' || body === undefined ? body : JSON.stringify(body),
    })
  } catch (e) {
    if (e.name === 'AbortError') throw e
    throw new Problem({ status: 0, code: 'unreachable', detail: 'The server does not answer. What was asked may have been done, in part, or not at all.' })
  }
  const t = await answer.text()
  if (answer.ok) return t
  const problem = problemOf(answer, t)
  if (answer.status === 401 && path !== '/api/v1/session') onSignedOut()
  throw problem
}

function problemOf(answer, t) {
  const id = answer.headers.get('X-Request-Id') || answer.headers.get('Apigw-Requestid') || ''
  try {
    const d = JSON.parse(t)
    if (d.detail) return new Problem({ ...d, id: d.status >= 500 ? id : '' })
    if (d.message) return new Problem({ status: answer.status, code: 'gateway', detail: d.message, id })
  } catch {
    // not JSON
  }
  return new Problem({ status: answer.status, code: 'http', detail: `The server answered ${answer.status}.`, id })
}

async function json(method, path, options) {
  const t = await text(method, path, options)
  return t ? JSON.parse(t) : null
}

export const get = (path, options) => json('GET', path, options)
export const post = (path, body, options) => json('POST', path, { ...options, body })
export const patch = (path, body) => json('PATCH', path, { body })
export const remove = path => json('DELETE', path)

// query writes the parameters that have a value.
export function query(params) {
  const q = new URLSearchParams()
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== '') q.set(name, value)
  }
  const s = q.toString()
  return s ? '?' + s : ''
}

// few runs f on every item, at most n at once.
export async function few(n, items, f) {
  const queue = items.slice()
  await Promise.all(Array.from({ length: Math.min(n, queue.length) }, async () => {
    while (queue.length) await f(queue.shift())
  }))
}

const endpoints = new Map()

// endpoint returns an endpoint, remembered for a minute; null where there is none
// any more.
export function endpoint(id) {
  const known = endpoints.get(id)
  if (known && Date.now() - known.at < 60_000) return known.promise
  const promise = get('/api/v1/webhooks/' + id).catch(e => {
    if (e.status === 404) return null
    endpoints.delete(id)
    throw e
  })
  if (endpoints.size > 1000) endpoints.clear()
  endpoints.set(id, { at: Date.now(), promise })
  return promise
}

export function forgetEndpoint(id) { endpoints.delete(id) }
export function forgetEndpoints() { endpoints.clear() }
