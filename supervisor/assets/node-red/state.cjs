// Says what Node-RED's flows do: ready, safe, missing, stopped or failed, and each deploy.
'use strict'

const path = require('node:path')

function watch(modules, channel, settled) {
  const { events } = require(path.join(modules, '@node-red/util'))
  let revision
  let last

  function say(next) {
    settled()
    const key = JSON.stringify(next)
    if (key === last) return
    last = key
    channel.announce(next)
  }

  events.on('flows:started', () => say({ state: 'ready' }))
  events.on('runtime-event', ({ id, payload }) => {
    if (id === 'runtime-deploy') {
      // The first one is the loading of what was there.
      if (revision !== undefined) channel.send({ type: 'deploy', revision: payload?.revision })
      revision = payload?.revision
    } else if (id === 'runtime-state' && payload) {
      const next = state(payload)
      if (next) say(next)
      else if (payload.type === 'warning') problem(payload)
    }
  })

  function problem({ error, text }) {
    channel.send({ type: 'problem', code: String(error), message: String(text ?? error) })
  }

  // red.js logs a start that failed and then waits for ever, without listening.
  const red = require(path.join(modules, 'node-red/lib/red.js'))
  const start = red.start
  red.start = function () {
    const started = Reflect.apply(start, this, [])
    started.then(undefined, (error) => channel.failed(channel.text(error)))
    return started
  }
}

// The state that a `runtime-state` event tells, if it tells one.
function state({ state, error, types, modules, text }) {
  if (error === 'missing-types') return { state: 'missing', types: strings(types) }
  if (error === 'missing-modules') {
    const names = strings(modules?.map((each) => each?.module))
    return { state: 'missing', types: [], modules: names, message: 'packages of function nodes could not be installed' }
  }
  if (state === 'safe') return { state: 'safe' }
  if (state === 'stop') return { state: 'stopped', ...(error && { message: String(text ?? error) }) }
  return undefined
}

function strings(list) {
  return (Array.isArray(list) ? list : []).slice(0, 200).map(String)
}

module.exports = { watch }
