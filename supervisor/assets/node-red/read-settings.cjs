// Says what of a person's settings file is plain data. The file is a program, so this runs it where it can do
// nothing: in the sandbox, without a network, over a read-only folder. One line of JSON comes out.
'use strict'

const wanted = new Set()
// What Node.js itself asks for, to write to a console.
const OWN = /^(FORCE_COLOR|NO_COLOR|COLORTERM|TERM.*|TMUX|CI|NODE_.*)$/
const env = process.env
process.env = new Proxy(env, {
  get(target, name) {
    if (typeof name === 'string' && !(name in target) && !OWN.test(name)) wanted.add(name)
    return target[name]
  },
})

const isPlain = (value) => {
  if (value === null || ['string', 'boolean'].includes(typeof value)) return true
  if (typeof value === 'number') return Number.isFinite(value)
  if (Array.isArray(value)) return value.every(isPlain)
  if (typeof value !== 'object') return false
  const kind = Object.getPrototypeOf(value)
  return (kind === Object.prototype || kind === null) && Object.values(value).every(isPlain)
}

const answer = { values: {}, programs: [], variables: [], error: null }
try {
  const settings = require(process.argv[1])
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined) continue
    if (isPlain(value)) answer.values[name] = value
    else answer.programs.push(name)
  }
} catch (error) {
  answer.error = String((error && error.message) || error).split('\n')[0]
}
answer.variables = [...wanted]
require('node:fs').writeSync(1, 'REDHOLD ' + JSON.stringify(answer) + '\n')
process.exit(0)
