// Tells what holds the event loop, while it is held. Costs nothing until it is asked: no thread, no timer.
//
// SIGUSR1 makes Node.js interrupt whatever runs, start its inspector, and emit an internal message, all on top of the
// stack that holds the loop. That message is all that is wanted here. The inspector listens on the broadcast address
// (flags.rs), which no connection can reach, and is closed when the loop turns again, so that the next signal is heard.
'use strict'

const util = require('node:util')

const FRAMES = 30
// This listener, and `emit`.
const OWN = 2
const LONGEST = 300
const NOWHERE = 'ws://255.255.255.255:'

// From the answer on; the inspector may still be starting.
const CLOSE_MS = 1000

function watch(channel) {
  process.on('internalMessage', (message) => {
    if (message?.cmd !== 'NODE_DEBUG_ENABLED') return
    // Nothing here runs code of a node, as reading the stack of an error could.
    channel.sendNow({ type: 'stack', frames: util.getCallSites(FRAMES + OWN).slice(OWN).map(frame) })
    setTimeout(close, CLOSE_MS).unref()
  })
  channel.send({ type: 'interruptible' })
}

function close() {
  const inspector = require('node:inspector')
  // One that a node opened is its own affair.
  if (inspector.url()?.startsWith(NOWHERE)) inspector.close()
}

function frame({ functionName, scriptName, lineNumber, columnNumber, column }) {
  return {
    function: String(functionName).slice(0, LONGEST),
    script: String(scriptName).slice(0, LONGEST),
    line: lineNumber,
    column: columnNumber ?? column,
  }
}

module.exports = { watch }
