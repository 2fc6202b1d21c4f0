// What makes a start fast and a listener inherited. Each changes one call of Node.js, and no more than that.
'use strict'

const childProcess = require('node:child_process')
const fs = require('node:fs')
const Module = require('node:module')
const net = require('node:net')
const path = require('node:path')

// How long the editor may be kept waiting for flows that do not start, for example because a package that a
// function node asks for is being installed.
const PATIENCE_MS = 5000

// Code compiled once per stack, in a run of its own without any user code, is read by every instance. The
// directory is read-only here: what one instance compiled is never given to another.
function compileCache(directory) {
  if (directory) Module.enableCompileCache(directory)
}

// Before it loads a single node, Node-RED starts the bundled npm only to learn its version, and waits for it. The
// version stands in npm's package.json: 0.05 to 0.1 s of CPU saved of 0.6. Every other call goes through, and after this one all do.
function answerNpmProbe() {
  const execFile = childProcess.execFile
  childProcess.execFile = function (file, args, ...rest) {
    const callback = rest.at(-1)
    if (file === process.execPath && Array.isArray(args) && args.length === 2 && args[1] === '-v' &&
        typeof callback === 'function' && String(args[0]).endsWith('/npm/bin/npm-cli.js')) {
      try {
        const npm = path.join(path.dirname(args[0]), '../package.json')
        const version = JSON.parse(fs.readFileSync(npm, 'utf8')).version
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

// Node-RED listens before its flows have started, and answers 404 in between. The kernel queues connections on an
// inherited listener anyway, so listening is put off until the returned function is called; nobody sees a 404.
//
// red.js reads server.address().port once it listens; a unix socket that came as a descriptor has no address.
function listenWhenReady(where) {
  const { listen, address } = net.Server.prototype
  let open = false
  const waiting = []
  net.Server.prototype.listen = function (target, ...rest) {
    if (target !== where || open) return Reflect.apply(listen, this, [target, ...rest])
    waiting.push(() => Reflect.apply(listen, this, [target, ...rest]))
    setTimeout(release, PATIENCE_MS).unref()
    return this
  }
  net.Server.prototype.address = function () {
    return Reflect.apply(address, this, []) ?? { address: '', family: 'unix', port: 0 }
  }
  function release() {
    open = true
    net.Server.prototype.listen = listen
    for (const begin of waiting.splice(0)) begin()
  }
  return release
}

module.exports = { compileCache, answerNpmProbe, listenWhenReady }
