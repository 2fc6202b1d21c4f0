// The secrets of this instance's settings, read once from a descriptor: they stand in no file and no environment. Loaded
// before anything else, so that no program that is started from here inherits the descriptor.
'use strict'

const fs = require('node:fs')

const DESCRIPTOR = 5

module.exports = require('./settings.json').secrets ? take() : {}

function take() {
  const text = fs.readFileSync(DESCRIPTOR, 'utf8')
  fs.closeSync(DESCRIPTOR)
  return JSON.parse(text)
}
