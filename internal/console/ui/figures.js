import { get, text } from './api.js'

// Figures are what /api/v1/stats and /metrics have said since the console was
// opened. Both count since the beginning; rates are the differences between two
// answers. Half an hour is kept, in memory alone.

const kept = 360
export const period = 5000
const samples = []
const listeners = new Set()
let timer, users = 0, asking = false

// histogram reads webhook_delivery_duration_seconds out of the Prometheus text:
// [upper bound in seconds, attempts at most that long].
export function histogram(metrics) {
  const sums = new Map()
  for (const m of metrics.matchAll(/^webhook_delivery_duration_seconds_bucket\{[^}]*\ble="([^"]+)"[^}]*\} (\S+)/gm)) {
    const bound = m[1] === '+Inf' ? Infinity : Number(m[1])
    sums.set(bound, (sums.get(bound) || 0) + Number(m[2]))
  }
  return [...sums].sort((a, b) => a[0] - b[0])
}

// quantile is the q-quantile in seconds of what came between two histograms, as
// Prometheus' histogram_quantile has it; null where nothing came.
export function quantile(q, before, after) {
  const counts = after.map(([bound, n], i) => [bound, n - (before[i]?.[1] ?? 0)])
  const total = counts.length ? counts[counts.length - 1][1] : 0
  if (!(total > 0)) return null
  const rank = q * total
  let low = 0, below = 0
  for (const [bound, n] of counts) {
    if (n >= rank) {
      if (bound === Infinity) return low
      return low + (bound - low) * (n > below ? (rank - below) / (n - below) : 1)
    }
    low = bound
    below = n
  }
  return low
}

async function ask() {
  if (document.hidden || asking) return
  asking = true
  try {
    const [stats, metrics] = await Promise.all([get('/api/v1/stats'), text('GET', '/metrics')])
    samples.push({ at: Date.now() / 1000, stats, durations: histogram(metrics) })
    if (samples.length > kept) samples.shift()
    listeners.forEach(f => f(null))
  } catch (e) {
    listeners.forEach(f => f(e))
  } finally {
    asking = false
  }
}

// watch calls f with an error, or with null when there is something new.
export function watch(f) {
  listeners.add(f)
  if (users++ === 0) {
    ask()
    timer = setInterval(ask, period)
    document.addEventListener('visibilitychange', ask)
  }
  return () => {
    listeners.delete(f)
    if (--users === 0) {
      clearInterval(timer)
      document.removeEventListener('visibilitychange', ask)
    }
  }
}

export function forget() { samples.length = 0 }

// series are the samples as charts take them.
export function series() {
  const out = { times: [], accepted: [], delivered: [], failedAttempts: [], success: [], p50: [], p95: [], ready: [], delayed: [], inFlight: [], entries: [], lag: [], latest: samples[samples.length - 1]?.stats }
  samples.forEach((s, i) => {
    const before = samples[i - 1]
    const dt = before ? s.at - before.at : 0
    const rate = f => before && dt > 0 && dt < 60 ? Math.max(0, f(s.stats) - f(before.stats)) / dt : null
    const ok = before ? s.stats.attempts.succeeded - before.stats.attempts.succeeded : 0
    const bad = before ? s.stats.attempts.failed - before.stats.attempts.failed : 0
    out.times.push(s.at)
    out.accepted.push(rate(x => x.events_total))
    out.delivered.push(rate(x => x.deliveries.delivered))
    out.failedAttempts.push(rate(x => x.attempts.failed))
    out.success.push(ok + bad > 0 ? 100 * ok / (ok + bad) : null)
    out.p50.push(scale(before && quantile(0.5, before.durations, s.durations)))
    out.p95.push(scale(before && quantile(0.95, before.durations, s.durations)))
    out.ready.push(s.stats.queue.ready)
    out.delayed.push(s.stats.queue.delayed)
    out.inFlight.push(s.stats.queue.in_flight)
    out.entries.push(s.stats.dlq.entries)
    out.lag.push(s.stats.lag_seconds)
  })
  return out
}

const scale = seconds => seconds === null || seconds === undefined ? null : seconds * 1000
