// Hands npm over to the host: it needs several times the memory of an idle Node-RED, which would count against this
// instance's limit. What Node-RED asks of npm runs in a sandbox like this one, on the same folder, with a limit of
// its own; Node-RED gets npm's own answer. Every other program is started as it was.
'use strict'

const childProcess = require('node:child_process')
const { randomUUID } = require('node:crypto')
const http = require('node:http')
const path = require('node:path')

const log = require('./log.cjs')

// A request is said again until it is answered: whoever works on it may be replaced meanwhile and begins anew.
const AGAIN_MS = 3000
// Without a word for so long the supervisor is away: its log says so, and the request goes on waiting.
const UNEASY_MS = 15_000
// As long as the front waits for an answer. Nobody waits for this one any more then.
const PATIENCE_MS = 15 * 60_000

const AWAY = 'npm waits: the supervisor of this host is away. It is done as soon as that is back; whoever runs the host ' +
  'sees why with `systemctl status redhold`'
const NOBODY = 'the supervisor of this host was away for 15 minutes, so npm was not started and nothing was changed: ' +
  'have it started again (systemctl start redhold), then do this once more'

// Whether a program that is started is npm, doing more than to say its version.
function npmOf(modules) {
  const npm = path.join(modules, 'npm/bin/npm-cli.js')
  return (file, args) => file === process.execPath && Array.isArray(args) && args[0] === npm && args[1] !== '-v'
}

// Where this instance starts npm itself: the registry that it gets is the host's gate.
function throughGate(modules, socket) {
  const isNpm = npmOf(modules)
  const preload = ['--require', path.join(__dirname, 'gate.cjs')]
  for (const name of ['spawn', 'execFile']) {
    const start = childProcess[name]
    childProcess[name] = function (file, args, ...rest) {
      if (!isNpm(file, args)) return Reflect.apply(start, this, [file, args, ...rest])
      const options = typeof rest[0] === 'object' ? rest.shift() : {}
      const env = { ...(options.env ?? process.env), REDHOLD_GATE: socket, REDHOLD_TELL: '1' }
      return Reflect.apply(start, this, [file, [...preload, ...args], { ...options, env }, ...rest])
    }
  }
  const { exec, events } = require(path.join(modules, '@node-red/util'))
  const run = exec.run
  exec.run = async function (...args) {
    try {
      const answer = await Reflect.apply(run, this, args)
      if (isNpm(args[0], args[1]) && args[1].includes('install')) showVerdicts(socket, events)
      return answer
    } catch (answer) {
      throw told(answer)
    }
  }
}

// What is not trusted of what npm has just installed is shown in the editor as soon as the gate knows; npm has perhaps
// not waited for that.
function showVerdicts(socket, events) {
  const request = http.get({ socketPath: socket, path: '/-/redhold/verdicts' }, (answer) => {
    let text = ''
    answer.setEncoding('utf8')
    answer.on('data', (more) => (text += more))
    answer.on('error', () => {})
    answer.on('end', () => {
      if (answer.statusCode !== 200) return
      for (const verdict of JSON.parse(text)) {
        // The editor takes it for HTML, and parts of it are a package's own words.
        const shown = verdict.replace(/[&<>"']/g, (c) => '&#' + c.charCodeAt(0) + ';')
        events.emit('runtime-event', { id: 'vetting', payload: { type: 'warning', text: shown, timeout: 30_000 } })
      }
    })
  })
  // The person's terminal tells it too.
  request.on('error', () => {})
}

function handOver(modules, channel) {
  const isNpm = npmOf(modules)
  const ask = asker(channel)

  const execFile = childProcess.execFile
  childProcess.execFile = function (file, args, ...rest) {
    const callback = rest.at(-1)
    if (!isNpm(file, args) || typeof callback !== 'function') return Reflect.apply(execFile, this, [file, args, ...rest])
    ask(args.slice(1)).then(({ code, stdout, stderr }) => {
      const error = code === 0 ? null : Object.assign(new Error(stderr || 'npm failed'), { code })
      callback(error, stdout, stderr)
    })
    return undefined
  }

  const { exec, events } = require(path.join(modules, '@node-red/util'))
  const run = exec.run
  exec.run = async function (command, args, options, emit) {
    if (!isNpm(command, args)) return Reflect.apply(run, this, [command, args, options, emit])
    const id = randomUUID()
    const log = (payload) => emit && events.emit('event-log', { id, payload: { ts: Date.now(), ...payload } })
    log({ data: ['npm', ...args.slice(1)].join(' ') })
    const answer = await ask(args.slice(1))
    if (answer.stdout) log({ data: answer.stdout + '\n', type: 'out' })
    if (answer.stderr) log({ data: answer.stderr + '\n', type: 'err' })
    log({ data: 'rc=' + answer.code, end: true })
    if (answer.code !== 0) throw told(answer)
    return answer
  }
}

// Node-RED keeps npm's words to itself, but shows what a hook says: what the host's gate refuses is told as by one.
function told(answer) {
  const refusals = [...String(answer.stderr).matchAll(/redhold(?:'s gate)?: .+/g)].map(([line]) => line)
  if (refusals.length === 0) return answer
  const text = [...new Set(refusals)].join('\n')
  return Object.assign(answer, { hook: 'preInstall', toString: () => text })
}

// One request at a time; each is answered with code, stdout and stderr, whatever happens.
function asker(channel) {
  let last = Promise.resolve()
  let heard = () => {}
  channel.on('npm', (message) => heard(message))

  const one = (args) =>
    new Promise((resolve) => {
      const id = randomUUID()
      let silentSince = Date.now()
      let uneasy = false
      const say = () => {
        const silent = Date.now() - silentSince
        if (silent > PATIENCE_MS) return end({ code: 1, stdout: '', stderr: NOBODY })
        if (silent > UNEASY_MS && !uneasy) log.warn(AWAY)
        uneasy = silent > UNEASY_MS
        channel.send({ type: 'npm', id, args })
      }
      const timer = setInterval(say, AGAIN_MS)
      function end(answer) {
        clearInterval(timer)
        heard = () => {}
        resolve(answer)
      }
      heard = (message) => {
        if (message.id !== id) return
        silentSince = Date.now()
        if (message.busy) return
        end({ code: message.code, stdout: String(message.stdout), stderr: String(message.stderr) })
      }
      say()
    })

  return (args) => {
    const answered = last.then(() => one(args))
    last = answered
    return answered
  }
}

module.exports = { handOver, throughGate }
