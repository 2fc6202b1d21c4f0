// Loaded before npm: makes the host's gate its only registry. What goes to the gate's address is taken to the gate's
// socket, and scopes that a .npmrc sends to registries of their own are led there too: the gate knows those registries,
// and has the credentials.
'use strict'

const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')

const ADDRESS = 'http://gate.redhold.invalid/'
const SETTINGS = {
  registry: ADDRESS,
  replace_registry_host: 'always',
  // A lock must not name an address that exists only here.
  omit_lockfile_registry_resolved: 'true',
  ignore_scripts: 'true',
  // The gate asks again by itself, and vets while npm waits.
  fetch_retries: '0',
  fetch_timeout: '600000',
}

const env = process.env
const socket = env.REDHOLD_GATE

for (const name of Object.keys(env)) {
  const key = name.toLowerCase().replace(/^npm_config_/, '').replaceAll('-', '_')
  const ours = /^npm_config_/i.test(name) && key in SETTINGS
  if (ours || /proxy$/.test(key) || /^npm_config_.*registry$/i.test(name)) delete env[name]
}
for (const [key, value] of Object.entries(SETTINGS)) env['npm_config_' + key] = value

for (const folder of new Set([process.cwd(), env.HOME])) {
  let text = ''
  try {
    text = fs.readFileSync(path.join(folder, '.npmrc'), 'utf8')
  } catch {
    continue
  }
  for (const [, scope] of text.matchAll(/^\s*["']?(@[^:\s"']+):registry["']?\s*=/gm)) {
    env['npm_config_' + scope + ':registry'] = ADDRESS
  }
}

const { hostname } = new URL(ADDRESS)
const connect = net.Socket.prototype.connect
net.Socket.prototype.connect = function (...args) {
  // Node.js itself calls it with its arguments in a list.
  const [options, listener] = Array.isArray(args[0]) ? args[0] : args
  if (options?.host !== hostname) return Reflect.apply(connect, this, args)
  return Reflect.apply(connect, this, [{ path: socket }, ...(listener ? [listener] : [])])
}

// A gate that nobody has told before what npm is to install is told by npm itself: it looks at packages as a whole, and
// npm asks for the parts one by one. A list that says too much or too little costs time, not safety.
if (env.REDHOLD_TELL) {
  const [command, ...words] = process.argv.slice(2).filter((word) => !word.startsWith('-'))
  if (/^(?:i|in|ins|inst|insta|instal|install|add|ci|clean-install|up|update|upgrade)$/.test(command ?? '')) {
    const named = words.filter((word) => /^(?:@[^/@:\s]+\/)?[^/@:\s]+(?:@[^/:]*)?$/.test(word))
    const request = require('node:http').request({ socketPath: socket, method: 'POST', path: '/-/redhold/told' })
    // npm then meets the same trouble, and says so.
    request.on('error', () => {})
    request.on('response', (answer) => answer.resume())
    request.end(JSON.stringify([...named, ...missing(named)]))
  }
}

// What package.json asks for besides `named` and is not there, in the version that the lock has of it.
function missing(named) {
  const read = (file) => {
    try {
      return JSON.parse(fs.readFileSync(file, 'utf8'))
    } catch {
      return {}
    }
  }
  const { dependencies = {}, devDependencies = {} } = read('package.json')
  const { packages = {} } = read('package-lock.json')
  const wanted = Object.entries({ ...devDependencies, ...dependencies })
  return wanted
    .filter(([name, range]) => !/[:/]/.test(range) && !fs.existsSync(path.join('node_modules', name, 'package.json')))
    .filter(([name]) => !named.some((word) => word === name || word.startsWith(name + '@')))
    .map(([name, range]) => name + '@' + (packages['node_modules/' + name]?.version ?? range))
}
