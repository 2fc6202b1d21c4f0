// Gives memory back when nothing happens. V8 keeps what a burst of work took until it has a reason to collect.
'use strict'

const { performance } = require('node:perf_hooks')
const v8 = require('node:v8')
const vm = require('node:vm')

// A look at the process's own CPU time (one system call) tells idleness without a hook on any message.
const WINDOW_BEATS = 10
const IDLE_WINDOWS = 2
// A flow with a timer of one second uses less than a thousandth of a core.
const IDLE_SHARE = 0.02
// What a collection must promise, in bytes grown since the last one, before its pause of about 100 ms is spent.
const WORTH = 6 * 1024 * 1024
// Sending the figures costs 60 times less than the heartbeat.
const REPORT_BEATS = 60
const BEAT_MS = 1000

let gc

function watch(channel) {
  let beats = 0
  let quiet = 0
  let floor = 0
  let cpu = process.cpuUsage()
  // How late a beat comes is how long the loop was held up; asking costs nothing.
  let last = performance.now()
  let delay = 0
  let loop = performance.eventLoopUtilization()

  function collected() {
    const before = process.hrtime.bigint()
    collect()
    floor = process.memoryUsage.rss()
    cpu = process.cpuUsage()
    report({ pauseMs: Number((process.hrtime.bigint() - before) / 1000000n) })
  }

  function report(more) {
    const { rss, heapTotal, heapUsed, external } = process.memoryUsage()
    const { utilization } = performance.eventLoopUtilization(loop)
    channel.send({ type: 'memory', rss, heapTotal, heapUsed, external, delayMs: Math.round(delay), utilization, ...more })
    loop = performance.eventLoopUtilization()
    delay = 0
  }

  channel.on('collect', collected)
  channel.everyBeat(() => {
    beats += 1
    const now = performance.now()
    delay = Math.max(delay, now - last - BEAT_MS)
    last = now
    if (beats % REPORT_BEATS === 0) report()
    if (beats % WINDOW_BEATS !== 0) return
    const used = process.cpuUsage(cpu)
    cpu = process.cpuUsage()
    quiet = used.user + used.system < IDLE_SHARE * WINDOW_BEATS * 1e6 ? quiet + 1 : 0
    if (quiet >= IDLE_WINDOWS && process.memoryUsage.rss() - floor > WORTH) collected()
  })
}

// The last-resort flavour also drops compiled code that is not in use and other caches.
function collect() {
  if (!gc) {
    v8.setFlagsFromString('--expose-gc')
    gc = vm.runInNewContext('gc')
    v8.setFlagsFromString('--no-expose-gc')
  }
  const how = { type: 'major', execution: 'sync', flavor: 'last-resort' }
  gc(how)
  gc(how)
}

module.exports = { watch, collect }
