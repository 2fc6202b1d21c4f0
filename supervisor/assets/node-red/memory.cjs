// Gives memory back when nothing happens. V8 keeps what a burst of work took until it has a reason to collect.
'use strict'

const v8 = require('node:v8')
const vm = require('node:vm')

// What a collection must promise, in bytes grown since the last one, before its pause of about 100 ms is spent.
const WORTH = 6 * 1024 * 1024

let gc

// The keeper sees from outside when nothing happens, and says so when there was work before.
function watch(channel, report) {
  let floor = 0

  function collected() {
    const before = process.hrtime.bigint()
    collect()
    floor = process.memoryUsage.rss()
    report({ pauseMs: Number((process.hrtime.bigint() - before) / 1000000n) })
  }

  channel.on('collect', collected)
  channel.on('idle', () => {
    if (process.memoryUsage.rss() - floor > WORTH) collected()
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
