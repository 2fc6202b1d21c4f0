// Says how the instance is, when the keeper asks for it: memory, event loop, messages.
'use strict'

const path = require('node:path')
const { performance } = require('node:perf_hooks')

let messages = 0

function watch(modules, channel) {
  let loop = performance.eventLoopUtilization()

  // What a node receives, whoever sent it. Only a hook that names one parameter is called and not waited for.
  const { hooks } = require(path.join(modules, '@node-red/util'))
  hooks.add('onReceive.redhold', (_event) => {
    messages += 1
  })

  function report(more) {
    const { rss, heapTotal, heapUsed, external } = process.memoryUsage()
    const { utilization } = performance.eventLoopUtilization(loop)
    loop = performance.eventLoopUtilization()
    const delayMs = channel.takeDelay()
    channel.send({ type: 'memory', rss, heapTotal, heapUsed, external, delayMs, utilization, messages, ...more })
  }

  channel.on('report', () => report())
  return report
}

module.exports = { watch }
