// Starts Node-RED: what must happen before its own code runs, then red.js as if it had been started itself.
//
// Loaded as the main module and not with --require, because worker threads and forked children inherit --require.
'use strict'

const path = require('node:path')
const Module = require('node:module')

const values = require('./settings.json')
require('./secrets.cjs')
const channel = require('./channel.cjs')
const levers = require('./levers.cjs')

levers.compileCache(values.cache)
const allLoaded = require('./lazy.cjs').begin(values.modules)
if (values.gate) require('./palette.cjs').throughGate(values.modules, values.gate)
if (values.hostNpm) require('./palette.cjs').handOver(values.modules, channel)
// After it: this one takes itself away when it has answered, and leaves what was there before.
levers.answerNpmProbe()

const red = path.join(values.modules, 'node-red')
channel.open(require(path.join(red, 'package.json')).version)
require('./check.cjs').project(values, channel.failed)

const listen = levers.listenWhenReady(values.listen)
require('./state.cjs').watch(values.modules, channel, () => {
  allLoaded()
  listen()
})
require('./memory.cjs').watch(channel, require('./figures.cjs').watch(values.modules, channel))
require('./stack.cjs').watch(channel)
if (values.watched) require('./spawns.cjs').watch(values, channel)
if (values.warm) require('./warm.cjs').leaveWhenReady(values.modules, channel)

process.argv[1] = path.join(red, 'red.js')
Module.runMain()
