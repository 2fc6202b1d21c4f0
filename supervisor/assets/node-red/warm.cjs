'use strict'
// The run that fills a stack's compile cache: an empty project, nobody's code, and an end as soon as flows run.

const Module = require('node:module')

function leaveWhenReady(channel) {
  const announce = channel.announce
  channel.announce = (state) => {
    announce(state)
    if (state.state === 'ready') setImmediate(leave)
  }
}

function leave() {
  Module.flushCompileCache()
  process.kill(process.pid, 'SIGTERM')
}

module.exports = { leaveWhenReady }
