// What a package changed of what all share: prototypes, globals, core modules. Compared before and after, so that it does not
// matter how a change was made.

import {
  Map,
  Object,
  Set,
  arrays,
  each,
  functions,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  global,
  maps,
  numbers,
  ownKeys,
  sets,
  strings,
} from '../core/primordials.js';
import { call, record, utf8 } from '../core/host.js';
import * as builtins from '../loader/builtins.js';

const describe = (target, key) => {
  const own = getOwnPropertyDescriptor(target, key);
  return own === undefined ? undefined : { __proto__: null, value: own.value, get: own.get, set: own.set };
};

/** Objects with the names that they are told under. */
function watched() {
  const out = [];
  const add = (area, name, target) => {
    if (target !== null && (typeof target === 'object' || typeof target === 'function'))
      arrays.push(out, { __proto__: null, area, name, target });
  };
  for (const name of [
    'Object',
    'Array',
    'String',
    'Number',
    'Boolean',
    'Function',
    'RegExp',
    'Date',
    'Promise',
    'Map',
    'Set',
    'WeakMap',
    'Symbol',
    'Error',
    'ArrayBuffer',
    'Uint8Array',
    'URL',
    'Headers',
    'Request',
    'Response',
    'EventTarget',
    'Buffer',
    'BigInt',
    'DataView',
  ]) {
    add('prototype', name, global[name]);
    add('prototype', `${name}.prototype`, global[name]?.prototype);
  }
  for (const name of ['JSON', 'Math', 'Reflect', 'console', 'process', 'Intl', 'WebAssembly'])
    add('global', name, global[name]);
  add('prototype', 'TypedArray.prototype', getPrototypeOf(global.Uint8Array.prototype));
  for (const name of builtins.names()) {
    const exports = builtins.get(name);
    if (name === 'process' || name === 'console') continue;
    add('core', name, exports);
    if (exports === null || typeof exports !== 'object') continue;
    for (const key of ownKeys(exports)) {
      const own = getOwnPropertyDescriptor(exports, key);
      if (typeof own.value === 'function' && typeof key === 'string' && /^[A-Z]/.test(key) && own.value.prototype)
        add('core', `${name}.${key}.prototype`, own.value.prototype);
    }
  }
  add('global', 'globalThis', global);
  return out;
}

/** What is there now. */
export function snapshot() {
  const list = watched();
  each(list, (entry) => {
    entry.keys = new Map();
    each(ownKeys(entry.target), (key) => maps.set(entry.keys, key, describe(entry.target, key)));
    entry.parent = getPrototypeOf(entry.target);
  });
  return list;
}

// Idioms that change something shared and harm nobody, each looked at. A name alone is never enough: area, object and key must fit.
const BENIGN = [
  // Counters and hooks of the language itself.
  { area: 'prototype', name: 'Error', keys: ['stackTraceLimit', 'prepareStackTrace'] },
  // The registry of process-wide singletons of common libraries: symbols, added and not replaced.
  { area: 'global', name: 'globalThis', added: true },
  // Decorators keep what they know of classes there: nothing that stands is replaced.
  { area: 'global', name: 'Reflect', added: true },
  { area: 'global', name: 'process', keys: ['__signal_exit_emitter__'] },
  { area: 'core', name: 'tls', keys: ['DEFAULT_MAX_VERSION', 'DEFAULT_MIN_VERSION', 'DEFAULT_ECDH_CURVE'] },
  { area: 'core', name: 'events', keys: ['defaultMaxListeners', 'usingDomains'] },
  {
    area: 'global',
    name: 'process',
    keys: [
      'exitCode',
      'title',
      'domain',
      '_events',
      '_eventsCount',
      '_maxListeners',
      'stdout',
      'stderr',
      'stdin',
      'noDeprecation',
      'pid',
      'ppid',
      'platform',
      'arch',
      'version',
      'versions',
      'execPath',
      'argv',
      'release',
    ],
  },
];
const benign = (entry, key, added) => {
  // A symbol of a library's own, added, changes nothing for anybody who does not have it.
  if (added && typeof key === 'symbol' && !wellKnown(key)) return true;
  return BENIGN.some(
    (idiom) =>
      idiom.area === entry.area &&
      idiom.name === entry.name &&
      (idiom.added ? added : arrays.includes(idiom.keys, key)),
  );
};
const wellKnown = (symbol) =>
  strings.startsWith(symbol.description ?? '', 'Symbol.') || strings.startsWith(symbol.description ?? '', 'nodejs.');

// Replacements that were read and found to do what they say: SHA-256 of their text, with spaces made one. What such a text
// calls may be anything, so only those are here that are given nothing worth having: a number, a folder.
const READ = {
  __proto__: null,
  'fs.close': ['2dcf061f94fca6187796448d7bb39aa71958a0519818b667efb30fde7a849e66'],
  'fs.closeSync': ['b5941271df093a2fe226a611bd6878cf70389fc7ab0da39013a10a6fb3d25882'],
  'process.cwd': ['b12515278ba63c6717700dc28dbb2f4919a10e4d278a09035b8faa5737c413f3'],
  'process.chdir': ['ff94e50869ee1b5f5b1523e278cd8e72a53236d7f6ee04713e05adf71dfa5343'],
};
/** Whether a replacement is one that was read. */
function read(entry, key, value) {
  const known = typeof key === 'string' ? READ[`${entry.name}.${key}`] : undefined;
  if (known === undefined || typeof value !== 'function') return false;
  const text = strings.trim(strings.replace(functions.toString(value), /\s+/g, ' '));
  return arrays.includes(known, digest(text));
}
function digest(text) {
  const sum = call('crypto.hash', { __proto__: null, algorithm: 'sha256' }, utf8(text));
  let out = '';
  for (let i = 0; i < sum.length; i++) out += strings.padStart(numbers.toString(sum[i], 16), 2, '0');
  return out;
}

const same = (a, b) =>
  a !== undefined && b !== undefined && Object.is(a.value, b.value) && a.get === b.get && a.set === b.set;

/** Tells every difference since the snapshot; gives how many there are. */
export function compare(before) {
  const told = new Set();
  const tell = (entry, key, how) => {
    const what = `${entry.name}.${typeof key === 'symbol' ? `[${key.description}]` : key}${how}`;
    if (sets.has(told, what)) return;
    sets.add(told, what);
    record({ __proto__: null, kind: 'tamper', area: entry.area, what });
  };
  each(before, (entry) => {
    each(ownKeys(entry.target), (key) => {
      const old = maps.get(entry.keys, key);
      const now = describe(entry.target, key);
      if (old === undefined) {
        if (!benign(entry, key, true)) tell(entry, key, ' (added)');
      } else if (!same(old, now) && !benign(entry, key, false) && !read(entry, key, now.value)) tell(entry, key, '');
    });
    maps.forEach(entry.keys, (_, key) => {
      if (describe(entry.target, key) === undefined && !benign(entry, key, false)) tell(entry, key, ' (removed)');
    });
    if (getPrototypeOf(entry.target) !== entry.parent) tell(entry, '__proto__', '');
  });
  return told.size;
}
