// JSON as it stands. A payload is kept byte for byte, with its large numbers and
// repeated keys, so it is shown from the text and not from what JSON.parse makes
// of it.

const token = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s"{}[\]:,]+/y

function* tokens(s, at = 0) {
  for (;;) {
    while (at < s.length && ' \t\n\r'.includes(s[at])) at++
    token.lastIndex = at
    const m = token.exec(s)
    if (!m) return
    yield { text: m[0], start: at, end: (at = token.lastIndex) }
  }
}

// member returns the text of an object's member, or undefined.
export function member(s, name) {
  const wanted = JSON.stringify(name)
  let depth = 0, key, found
  for (const t of tokens(s)) {
    if (found !== undefined && depth === 1 && (t.text === ',' || t.text === '}')) return s.slice(found, t.start).trim()
    if (t.text === '{' || t.text === '[') depth++
    else if (t.text === '}' || t.text === ']') depth--
    else if (depth === 1 && found === undefined) {
      if (t.text === ':' && key === wanted) found = t.end
      key = t.text
    }
  }
}

// pieces are the tokens of a text in lines, indented, each with what it is.
export function pieces(s) {
  const out = []
  let depth = 0, previous = '', open = ''
  const put = (kind, text) => out.push({ kind, text })
  const line = () => put('', '\n' + '  '.repeat(depth))
  const all = [...tokens(s)]
  all.forEach((t, i) => {
    const x = t.text
    if (x === '}' || x === ']') {
      depth--
      if (previous !== open || !'{['.includes(previous)) line()
      put('', x)
    } else {
      if (previous === '{' || previous === '[' || previous === ',') line()
      if (x === ':') put('', ': ')
      else if (x === '{' || x === '[') { put('', x); depth++; open = x }
      else if (x === ',') put('', x)
      else put(kindOf(x, all[i + 1]), x)
    }
    previous = x
  })
  return out
}

function kindOf(x, next) {
  if (x[0] === '"') return next?.text === ':' ? 'key' : 'string'
  return /^[-0-9]/.test(x) ? 'number' : 'literal'
}

export function pretty(s) { return pieces(s).map(p => p.text).join('') }
