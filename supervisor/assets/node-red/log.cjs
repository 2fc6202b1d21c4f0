// Node-RED's log as records: one line each on standard output, a record separator (RFC 7464) and a JSON object.
//
// What user code prints passes as it is. It is told apart by the separator, which is taken out of text that goes
// through console or process.stdout; a node that writes descriptor 1 by itself could forge a record, but then it
// could as well ask Node-RED to log one.
'use strict'

const MARK = '\x1e'
const LEVELS = { 10: 'fatal', 20: 'error', 30: 'warn', 40: 'info', 50: 'debug', 60: 'trace', 98: 'audit', 99: 'metric' }
const MESSAGE_LIMIT = 32 * 1024
const STACK_LIMIT = 8 * 1024

const write = process.stdout.write.bind(process.stdout)

// A reader that went away must not end the instance.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

process.stdout.write = function (chunk, ...rest) {
  if (typeof chunk === 'string') {
    if (chunk.includes(MARK)) chunk = chunk.replaceAll(MARK, '')
  } else if (chunk?.includes?.(0x1e)) {
    chunk = Buffer.from(chunk).map((byte) => (byte === 0x1e ? 0x20 : byte))
  }
  return write(chunk, ...rest)
}

function record(fields) {
  try {
    write(MARK + JSON.stringify(fields) + '\n')
  } catch {
    // A log line is never worth an instance.
  }
}

function handle(message) {
  const level = LEVELS[message.level] ?? 'info'
  if (message.level >= 98) {
    record({ level, msg: '', data: message })
    return
  }
  const text = words(message.msg)
  // red.js tells the address on which it listens; inside, that is a descriptor, and the host tells the true one.
  if (text.includes('//127.0.0.1:0/')) return
  record({
    level: noise(text) ? 'debug' : level,
    type: message.type,
    id: message.id,
    name: message.name || undefined,
    flow: message.z,
    msg: text.slice(0, MESSAGE_LIMIT),
    stack: stack(message.msg),
  })
}

// What Node-RED warns about at every start although it is as it should be: it keeps a key of its own for the
// credentials, there are no credentials yet, and projects are left to the host.
const NOISE = [/^\s*-{9}[^]*'credentialSecret'/, /^Encrypted credentials not found$/, /^Projects disabled /]

function noise(text) {
  return NOISE.some((each) => each.test(text))
}

function words(msg) {
  try {
    if (typeof msg === 'string') return msg
    if (msg instanceof Error) return String(msg)
    if (msg !== null && typeof msg === 'object') {
      return String(msg) === '[object Object]' ? String(msg.message ?? JSON.stringify(msg)) : String(msg)
    }
    return String(msg)
  } catch {
    return 'a message that cannot be shown'
  }
}

function stack(msg) {
  try {
    return typeof msg?.stack === 'string' ? msg.stack.slice(0, STACK_LIMIT) : undefined
  } catch {
    return undefined
  }
}

module.exports = {
  handler: () => handle,
  fatal: (msg) => record({ level: 'fatal', msg }),
  warn: (msg) => record({ level: 'warn', msg }),
}
