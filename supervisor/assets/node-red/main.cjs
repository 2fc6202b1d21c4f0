'use strict'
// Starts Node-RED: what must happen before its own code runs, then red.js as if it had been started itself.
//
// Loaded as the main module and not with --require, because worker threads and forked children inherit --require.

const path = require('node:path')
const Module = require('node:module')

const values = require('./settings.json')
const levers = require('./levers.cjs')
const channel = require('./channel.cjs')

levers.compileCache(values.cache)
levers.listenOnDescriptor()

const red = path.join(values.modules, 'node-red')
levers.answerNpmProbe(values.modules)
channel.open(require(path.join(red, 'package.json')).version)

process.argv[1] = path.join(red, 'red.js')
Module.runMain()
