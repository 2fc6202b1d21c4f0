// The run that fills a stack's compile cache: an empty project, nobody's code, and an end as soon as flows run.
'use strict'

const Module = require('node:module')
const path = require('node:path')

const lazy = require('./lazy.cjs')

function leaveWhenReady(modules, channel) {
  const announce = channel.announce
  channel.announce = (state) => {
    announce(state)
    if (state.state === 'ready') setImmediate(leave, modules)
    else if (state.state !== 'stopped') process.exit(1)
  }
}

function leave(modules) {
  // What a start puts off is compiled here too, for the first node that needs it.
  const from = Module.createRequire(path.join(modules, '@node-red/nodes/package.json'))
  for (const name of lazy.packages) {
    try {
      from(name)
    } catch {
      // This version of Node-RED does without it.
    }
  }
  Module.flushCompileCache()
  process.kill(process.pid, 'SIGTERM')
}

module.exports = { leaveWhenReady }
