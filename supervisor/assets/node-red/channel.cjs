// The guest's side of the channel to its keeper, descriptor 4: JSON lines, and an empty line as the proof that the event
// loop turns. The keeper asks for that proof, and only when it cannot see it from outside: nothing here has a timer, so
// that an idle Node-RED stays asleep.
//
// Nothing here may hold up or end Node-RED: a keeper that is gone or slow costs messages, never the instance.
'use strict'

const fs = require('node:fs')
const net = require('node:net')

const DESCRIPTOR = 4
// Beyond this many unsent bytes messages are dropped. The kernel's own buffer holds some 200 KiB before that.
const BACKLOG = 64 * 1024

let socket = null
let state = null
let stale = false
// Longest time in milliseconds for which the loop was seen to be held up, since that was last asked for.
let delay = 0
const requests = new Map()

function open(nodeRed) {
  try {
    socket = new net.Socket({ fd: DESCRIPTOR, readable: true, writable: true })
  } catch {
    // Started by hand, without a keeper.
    socket = null
  }
  if (socket) {
    socket.on('error', close)
    socket.on('close', close)
    socket.on('drain', () => {
      if (stale) announce(state)
    })
    listen(socket)
    socket.unref()
  }
  send({ type: 'hello', node: process.version, nodeRed })
  requests.set('turn', turn)
  send({ type: 'askable' })
  // An error that nobody caught ends red.js; this sees it first and changes nothing about it.
  process.on('uncaughtExceptionMonitor', (error) => failed(text(error)))
}

function close() {
  socket?.destroy()
  socket = null
}

// How late a question is read is how long the loop was held up; both sides read the same clock.
function turn({ at }) {
  socket?.write('\n')
  const late = Number(process.hrtime.bigint() / 1000000n) - at
  if (late > delay) delay = late
}

function takeDelay() {
  const longest = delay
  delay = 0
  return longest
}

function send(message) {
  if (!socket || socket.writableLength > BACKLOG) return false
  socket.write(JSON.stringify(message) + '\n')
  return true
}

// Written before this returns, for a loop that stands still and would not write it.
function sendNow(message) {
  if (!socket || socket.writableLength > 0) return
  const line = Buffer.from(JSON.stringify(message) + '\n')
  let written = 0
  try {
    written = fs.writeSync(DESCRIPTOR, line)
  } catch {
    // Nobody reads: a message that is late is worth nothing.
    return
  }
  // Half a line would spoil the next one.
  if (written < line.length) socket.write(line.subarray(written))
}

// Unlike other messages, the newest state is never lost to a backlog: it is said again when there is room.
function announce(next) {
  state = next
  stale = !send({ type: 'state', ...next }) && socket !== null
}

function failed(message) {
  announce({ state: 'failed', message: message.slice(0, 8192) })
}

function text(error) {
  return String(error?.stack ?? error)
}

function listen(from) {
  let rest = ''
  from.setEncoding('utf8')
  from.on('data', (chunk) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()
    // The keeper sends lines of a few bytes; anything longer is not from it.
    if (rest.length > BACKLOG) rest = ''
    for (const line of lines) obey(line)
  })
}

function obey(line) {
  try {
    const message = JSON.parse(line)
    requests.get(message.op)?.(message)
  } catch {
    // Not for us.
  }
}

module.exports = {
  open,
  send,
  sendNow,
  announce,
  failed,
  text,
  takeDelay,
  // Calls `then` when the keeper asks for `op`.
  on: (op, then) => requests.set(op, then),
}
