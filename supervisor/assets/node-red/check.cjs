// Looks at the project before Node-RED does. A flow file that cannot be read makes Node-RED start with no flows at
// all, and the next deploy then writes over what the person had; so it is said here, and nothing is started.
'use strict'

const fs = require('node:fs')
const path = require('node:path')

const log = require('./log.cjs')

function project(values, failed) {
  const reason = writable(values) ?? flows(values) ?? credentials(values)
  if (reason === undefined) return
  log.fatal(reason)
  failed(reason)
  process.exit(1)
}

function writable({ userDir, readOnly }) {
  if (readOnly) return undefined
  try {
    fs.accessSync(userDir, fs.constants.W_OK)
    return undefined
  } catch (error) {
    return `the project folder cannot be written (${error.code})`
  }
}

function flows({ userDir, flowFile }) {
  return document(path.resolve(userDir, flowFile), (content) => Array.isArray(content), 'a list of nodes')
}

function credentials({ userDir, flowFile }) {
  const { dir, name, ext } = path.parse(path.resolve(userDir, flowFile))
  const holds = (content) => content !== null && typeof content === 'object' && !Array.isArray(content)
  return document(path.join(dir, `${name}_cred${ext}`), holds, 'a JSON object')
}

// What is wrong with a JSON file, if anything is. An absent or empty one is not: Node-RED creates the first and
// restores the second from its own backup.
function document(file, fits, expected) {
  let text
  try {
    text = fs.readFileSync(file, 'utf8')
  } catch (error) {
    return error.code === 'ENOENT' ? undefined : `${path.basename(file)} cannot be read (${error.code})`
  }
  if (text.length === 0) return undefined
  const name = path.basename(file)
  const backup = path.join(path.dirname(file), `.${name}.backup`)
  const hint = fs.existsSync(backup) ? `; the version before the last deploy is in ${path.basename(backup)}` : ''
  try {
    return fits(JSON.parse(text.replace(/^\uFEFF/, ''))) ? undefined : `${name} is not ${expected}${hint}`
  } catch (error) {
    return `${name} is not valid JSON: ${error.message}${hint}`
  }
}

module.exports = { project }
