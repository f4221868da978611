import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'

const clock = (t, seconds) => new Date(t * 1000).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit', second: seconds ? '2-digit' : undefined })

// Between the lines of a chart of whole numbers.
const steps = [0, 1, 2, 3, 4, 5, 6, 7, 8].flatMap(n => [1, 2, 5].map(m => m * 10 ** n))

// Chart draws series over time: times in seconds, and values of which null is a
// gap; whole ones where nothing can be in halves. What it shows last stands beside it as text, for everybody.
export function Chart({ title, now, note, times, series, format = String, from, top, whole }) {
  const box = useRef()
  const plot = useRef()
  const shape = JSON.stringify(series.map(s => [s.name, s.colour]))

  useEffect(() => {
    const place = box.current
    const make = () => {
      plot.current?.destroy()
      // A canvas takes colours, and no variables: the page's style says what each is.
      const colour = name => {
        place.style.color = `var(--${name})`
        return getComputedStyle(place).color
      }
      const axis = { stroke: colour('quiet'), grid: { stroke: colour('line'), width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' }
      plot.current = new uPlot({
        width: place.clientWidth,
        height: 150,
        legend: { show: false },
        cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
        scales: { x: { time: true, range: () => [from.current, Date.now() / 1000] }, y: { range: (u, min, max) => [0, top ?? (max > 0 ? max * 1.15 : 1)] } },
        axes: [
          { ...axis, size: 28, space: 70, values: (u, all) => all.map(t => clock(t, u.scales.x.max - u.scales.x.min < 600)) },
          { ...axis, size: 48, space: 34, incrs: whole ? steps : undefined, values: (u, all) => all.map(format) },
        ],
        series: [{}, ...series.map(s => ({
          label: s.name,
          stroke: colour(s.colour),
          fill: s.line ? undefined : colour(s.colour + '-soft'),
          width: 1.75,
          points: { show: false },
        }))],
        hooks: { setCursor: [u => show(u)] },
      }, data.current, place)
    }
    const values = place.parentNode.querySelector('.values')
    const show = u => {
      const i = u.cursor.idx
      const at = i === null || i === undefined ? null : u.data[0][i]
      values.textContent = at === null || at === undefined ? '' : clock(at, true) + '  ' +
        u.series.slice(1).map((s, n) => s.label + ' ' + (u.data[n + 1][i] === null ? '–' : format(u.data[n + 1][i]))).join('  ')
    }
    make()
    const size = new ResizeObserver(() => plot.current?.setSize({ width: place.clientWidth, height: 150 }))
    size.observe(place)
    const dark = matchMedia('(prefers-color-scheme: dark)')
    dark.addEventListener('change', make)
    return () => { size.disconnect(); dark.removeEventListener('change', make); plot.current.destroy(); plot.current = undefined }
  }, [shape])

  const data = useRef()
  data.current = [times, ...series.map(s => s.values)]
  from = Object.assign(useRef(), { current: from })
  useEffect(() => { plot.current?.setData(data.current) })

  return <figure class="chart">
    <figcaption>
      <h2>{title}</h2>
      <p class="now">{now}</p>
      <p class="quiet note">{note}</p>
      <p class="legend">{series.map(s => <span><i class={'key-' + s.colour} />{s.name}</span>)}</p>
      <p class="values quiet" aria-hidden="true" />
    </figcaption>
    <div ref={box} class="plot" role="img" aria-label={`${title}: ${now}`} />
  </figure>
}
