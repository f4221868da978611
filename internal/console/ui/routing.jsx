import { createContext } from 'preact'
import { useContext, useEffect, useState } from 'preact/hooks'

// Addresses are below /console. What a page shows, its filters and its place in a
// list are in the address, so that it can be kept and passed on.

export const Route = createContext(null)
export const useRoute = () => useContext(Route)

// here is what the address says. Its parts stay as they are in it: ids and names
// of pages need no escapes, and what is escaped there is not undone, which could
// lead a part that goes into a path of the API to another path.
function here() {
  const path = location.pathname.replace(/^\/console\/?/, '')
  return { parts: path.split('/').filter(Boolean), params: Object.fromEntries(new URLSearchParams(location.search)) }
}

export function go(to, { replace = false } = {}) {
  const url = '/console' + to
  if (url === location.pathname + location.search) replace = true
  history[replace ? 'replaceState' : 'pushState'](null, '', url)
  dispatchEvent(new Event('popstate'))
}

export function useLocation() {
  const [route, set] = useState(here)
  useEffect(() => {
    const f = () => set(here())
    const click = e => {
      const a = e.target.closest?.('a[href^="/console"]')
      if (!a || a.target || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey || a.pathname.startsWith('/console/assets/')) return
      e.preventDefault()
      go(a.pathname.slice('/console'.length) + a.search)
    }
    addEventListener('popstate', f)
    document.addEventListener('click', click)
    return () => { removeEventListener('popstate', f); document.removeEventListener('click', click) }
  }, [])
  return route
}

export function Link({ to, ...rest }) { return <a href={'/console' + to} {...rest} /> }
