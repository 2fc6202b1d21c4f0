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
