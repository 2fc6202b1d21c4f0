'use strict'
// What makes a start fast and a listener inherited. Each changes one call of Node.js or Node-RED.

const childProcess = require('node:child_process')
const fs = require('node:fs')
const Module = require('node:module')
const net = require('node:net')
const path = require('node:path')

// Code compiled once per stack, in a run of its own without any user code, is read by every instance. The
// directory is read-only here: what one instance compiled is never given to another.
function compileCache(directory) {
  if (directory) Module.enableCompileCache(directory)
}

// red.js reads server.address().port after listening; a unix socket that came as a descriptor has no address.
function listenOnDescriptor() {
  const address = net.Server.prototype.address
  net.Server.prototype.address = function () {
    return address.call(this) ?? { address: '', family: 'unix', port: 0 }
  }
}

// Before it loads a single node, Node-RED starts the bundled npm only to learn its version, and waits: 12 % of the
// CPU of a start. The version stands in npm's package.json. Every other call goes through.
function answerNpmProbe(modules) {
  const execFile = childProcess.execFile
  let cli
  childProcess.execFile = function (file, args, ...rest) {
    const callback = rest.at(-1)
    if (file === process.execPath && Array.isArray(args) && args.length === 2 && args[1] === '-v' &&
        typeof callback === 'function' && String(args[0]).endsWith('/npm/bin/npm-cli.js')) {
      try {
        cli = path.join(path.dirname(args[0]), '../package.json')
        const version = JSON.parse(fs.readFileSync(cli, 'utf8')).version
        childProcess.execFile = execFile
        process.nextTick(callback, null, version + '\n', '')
        return undefined
      } catch {
        // An npm of another shape: let it answer for itself.
      }
    }
    return Reflect.apply(execFile, this, [file, args, ...rest])
  }
}

module.exports = { compileCache, listenOnDescriptor, answerNpmProbe }
