// Puts off loading the heavy packages that Node-RED asks for at its start and needs only when a node that uses them
// works: a third of a start's CPU (0.53 s without, 0.35 s with) and 20 of its 57 MB.
//
// A stand-in loads the true package at its first use, whatever the use is, and hands everything on to it. Only
// Node-RED's own files get stand-ins, and only until its flows run; packages of the person's own never do.
'use strict'

const Module = require('node:module')
const path = require('node:path')
const { pathToFileURL } = require('node:url')

// By name: exports that are taken out at the start already, and methods of new objects that can wait for their
// first true use. Both get stand-ins of their own; any other access loads the package.
const LAZY = new Map([
  ['acorn', {}],
  ['acorn-walk', {}],
  ['ajv', { postponed: ['addMetaSchema'] }],
  ['cheerio', {}],
  ['form-data', {}],
  ['hpagent', { members: ['HttpProxyAgent', 'HttpsProxyAgent'] }],
  ['https-proxy-agent', {}],
  ['iconv-lite', {}],
  ['js-yaml', {}],
  ['./jsonata', {}],
  ['moment-timezone', {}],
  ['mqtt', {}],
  ['node-watch', {}],
  ['tar', {}],
  ['tough-cookie', { members: ['CookieJar'] }],
  ['xml2js', { members: ['parseString'] }],
])

// Runs until the returned function is called.
function begin(modules) {
  const ours = path.join(modules, '@node-red') + path.sep
  const load = Module._load
  Module._load = function (request, parent, isMain) {
    const how = LAZY.get(request)
    if (how === undefined || !parent?.filename?.startsWith(ours)) return Reflect.apply(load, this, [request, parent, isMain])
    return standIn(() => Reflect.apply(load, Module, [request, parent, false]), how)
  }
  // The only one that is imported and not required.
  const hooks = Module.registerHooks?.({
    resolve(specifier, context, next) {
      if (specifier === 'got' && context.parentURL?.endsWith('/21-httprequest.js')) {
        return { url: pathToFileURL(path.join(__dirname, 'got.cjs')).href, format: 'commonjs', shortCircuit: true }
      }
      return next(specifier, context)
    },
  })
  return () => {
    Module._load = load
    hooks?.deregister()
  }
}

// A function's proxy can stand for a function, a class and an object alike. The target is a bound function because
// that has no property that a proxy must own up to.
function standIn(load, { members = [], postponed = [] } = {}) {
  let loaded
  const real = () => (loaded ??= { value: load() }).value
  const early = new Map(members.map((name) => [name, standIn(() => real()[name])]))
  const handler = {}
  for (const trap of ['defineProperty', 'deleteProperty', 'getPrototypeOf', 'has', 'ownKeys']) {
    handler[trap] = (_, ...rest) => Reflect[trap](real(), ...rest)
  }
  handler.getOwnPropertyDescriptor = (_, name) => {
    const found = Reflect.getOwnPropertyDescriptor(real(), name)
    return found && { ...found, configurable: true }
  }
  handler.set = (_, name, value) => Reflect.set(real(), name, value)
  handler.get = (_, name) => {
    if (!loaded && early.has(name)) return early.get(name)
    const value = real()
    return Reflect.get(value, name, value)
  }
  handler.apply = (_, self, list) => Reflect.apply(real(), self, list)
  handler.construct = (target, list, newTarget) => {
    const make = () => Reflect.construct(real(), list, newTarget === proxy ? real() : newTarget)
    return postponed.length > 0 && !loaded ? later(make, postponed) : make()
  }
  const proxy = new Proxy(function () {}.bind(), handler)
  return proxy
}

// An object that is made at its first use; calls of the postponed methods before that are kept and made up for.
function later(make, postponed) {
  const calls = []
  const object = standIn(() => {
    const value = make()
    for (const [name, list] of calls.splice(0)) value[name](...list)
    return value
  })
  let used = false
  return new Proxy(function () {}, {
    get(_, name) {
      if (!used && postponed.includes(name)) return (...list) => void calls.push([name, list])
      used = true
      const value = object[name]
      return typeof value === 'function' ? value.bind(object) : value
    },
    set: (_, name, value) => Reflect.set(object, name, value),
    has: (_, name) => Reflect.has(object, name),
  })
}

const packages = [...LAZY.keys(), 'got'].filter((name) => !name.startsWith('.'))

module.exports = { begin, standIn, packages }
