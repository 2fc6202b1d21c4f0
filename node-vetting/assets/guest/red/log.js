// RED.log and RED._: what is logged is output; whoever listens to the log of others is told.

import { call, record, utf8 } from '../core/host.js';
import { format } from '../node/inspect.js';

const LEVELS = { fatal: 10, error: 20, warn: 30, info: 40, debug: 50, trace: 60, metric: 99, audit: 98 };
const write = (entry) =>
  call(
    'output',
    { __proto__: null, stream: 'stdout' },
    utf8(
      `[${Object.keys(LEVELS).find((name) => LEVELS[name] === entry.level) ?? entry.level}] ${entry.type ? `[${entry.type}:${entry.name ?? entry.id}] ` : ''}${typeof entry.msg === 'string' ? entry.msg : format(entry.msg)}\n`,
    ),
  );
const handlers = [];

export const log = {
  FATAL: 10,
  ERROR: 20,
  WARN: 30,
  INFO: 40,
  DEBUG: 50,
  TRACE: 60,
  AUDIT: 98,
  METRIC: 99,
  log(entry) {
    if (LEVELS.info >= entry.level) write(entry);
    for (const handler of handlers) {
      try {
        handler.emit('log', entry);
      } catch {
        /* its own fault */
      }
    }
  },
  metric: () => false,
  audit() {},
  addHandler(handler) {
    record({ __proto__: null, kind: 'red-log-handler' });
    if (typeof handler?.emit === 'function') handlers.push(handler);
  },
  removeHandler(handler) {
    const at = handlers.indexOf(handler);
    if (at >= 0) handlers.splice(at, 1);
  },
  init() {},
};
for (const name of ['fatal', 'error', 'warn', 'info', 'debug', 'trace'])
  log[name] = (msg) => log.log({ level: LEVELS[name], msg, timestamp: Date.now() });

/** Texts of a package's own catalogue; the key where there is none. */
export function translator(read) {
  const catalogues = new Map();
  return function translate(key, values = {}) {
    const [space, name] = `${key}`.includes(':') ? `${key}`.split(/:(.*)/s) : [undefined, `${key}`];
    if (!catalogues.has(space)) catalogues.set(space, read(space) ?? {});
    let at = catalogues.get(space);
    for (const part of name.split('.')) at = at?.[part];
    if (typeof at !== 'string') return `${key}`;
    return at.replace(/__(\w+)__/g, (mark, value) => values?.[value] ?? mark);
  };
}
log._ = (key) => `${key}`;
