// Stands for the package `got` while Node-RED starts: see lazy.cjs.
'use strict'

const Module = require('node:module')
const path = require('node:path')

const { modules } = require('./settings.json')
const { standIn } = require('./lazy.cjs')

const from = Module.createRequire(path.join(modules, '@node-red/nodes/package.json'))

exports.got = standIn(() => from('got').got)
