// Says whose code is about to start a program, so that an event of that can name a package. The kernel tells the keeper
// that a program is started, whatever happens here; this only adds a name, which any code in this process could forge.
'use strict'

const childProcess = require('node:child_process')
const path = require('node:path')

// The same is said again after this long.
const AGAIN_MS = 60_000
// More different things than this are not told apart.
const MOST = 100
// Deep enough to find the package beneath its own helpers.
const FRAMES = 50

const said = new Map()

function watch({ modules, userDir }, channel) {
  const own = path.join(userDir, 'node_modules') + path.sep
  const core = path.join(modules, '@node-red', 'nodes') + path.sep

  function say(program) {
    try {
      const by = caller(own, core)
      if (typeof program !== 'string' || by === undefined) return
      const what = `${program}\n${by}`
      const now = Date.now()
      if (now - said.get(what) < AGAIN_MS) return
      if (said.size >= MOST) said.clear()
      said.set(what, now)
      // At once: the call that follows may hold this thread up until the program has ended.
      channel.sendNow({ type: 'spawn', program: program.slice(0, 200), by })
    } catch {
      // Never in the way of what was asked for.
    }
  }

  // Every asynchronous way leads through this one.
  const { prototype } = childProcess.ChildProcess
  const { spawn } = prototype
  prototype.spawn = function (options) {
    say(options?.file)
    return Reflect.apply(spawn, this, arguments)
  }
  for (const name of ['spawnSync', 'execFileSync', 'execSync']) {
    const original = childProcess[name]
    childProcess[name] = function (program, ...rest) {
      const options = rest.findLast((one) => one !== null && typeof one === 'object' && !Array.isArray(one))
      const shell = name === 'execSync' ? options?.shell ?? true : options?.shell
      say(shell ? (typeof shell === 'string' ? shell : '/bin/sh') : program)
      return Reflect.apply(original, this, [program, ...rest])
    }
  }
}

// The nearest code on the stack that is a package of the user, a function node, or one of Node-RED's own nodes.
function caller(own, core) {
  for (const site of sites()) {
    const file = String(site.getFileName() ?? site.getEvalOrigin() ?? '').replace('file://', '')
    if (file.startsWith('Function node:')) return `a ${file.slice(0, 120).replace('Function', 'function')}`
    if (file.startsWith(own)) {
      const [scope, name] = file.slice(own.length).split(path.sep)
      return scope.startsWith('@') ? `${scope}/${name}` : scope
    }
    if (file.startsWith(core)) return `Node-RED's ${path.basename(file)}`
  }
  return undefined
}

function sites() {
  const { prepareStackTrace, stackTraceLimit } = Error
  try {
    Error.stackTraceLimit = FRAMES
    Error.prepareStackTrace = (_, found) => found
    return new Error().stack
  } finally {
    Error.prepareStackTrace = prepareStackTrace
    Error.stackTraceLimit = stackTraceLimit
  }
}

module.exports = { watch }
