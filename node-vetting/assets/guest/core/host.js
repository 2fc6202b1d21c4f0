// The one door out of the virtual machine. It is taken from the global object before any foreign code runs and lives on only here.

import {
  Uint8Array,
  ArrayBuffer,
  Error,
  defineProperty,
  hasOwn,
  isArray,
  keys,
  parseJson,
  stringify,
  viewBuffer,
  viewOffset,
  viewLength,
  strings,
} from './primordials.js';

const door = globalThis.host;
delete globalThis.host;

/** JSON of plain data. Written by hand because `JSON.stringify` would ask guests' `toJSON` on shared prototypes. */
function encode(value) {
  if (value === null || value === undefined) return 'null';
  switch (typeof value) {
    case 'string':
      return stringify(value);
    case 'number':
      return value - value === 0 ? `${value}` : 'null';
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      break;
    default:
      return 'null';
  }
  let text = '';
  if (isArray(value)) {
    for (let i = 0; i < value.length; i++) text += (i ? ',' : '') + encode(value[i]);
    return `[${text}]`;
  }
  const names = keys(value);
  for (let i = 0; i < names.length; i++) {
    const member = value[names[i]];
    if (member === undefined || typeof member === 'function') continue;
    text += `${text ? ',' : ''}${stringify(names[i])}:${encode(member)}`;
  }
  return `{${text}}`;
}

/** Bytes as the host takes them: a `Uint8Array` over exactly what is meant. */
export function asBytes(data) {
  if (data === undefined || data === null) return undefined;
  if (typeof data === 'string') return door('text.encode', data);
  if (ArrayBuffer.isView(data)) {
    return new Uint8Array(viewBufferOf(data), offsetOf(data), lengthOf(data));
  }
  return new Uint8Array(data);
}
const isData = (view) => view instanceof DataView;
const viewBufferOf = (view) => (isData(view) ? view.buffer : viewBuffer(view));
const offsetOf = (view) => (isData(view) ? view.byteOffset : viewOffset(view));
const lengthOf = (view) => (isData(view) ? view.byteLength : viewLength(view));

function failure(error) {
  const out = new Error(error.message);
  defineProperty(out, 'code', { value: error.code, writable: true, enumerable: true, configurable: true });
  return out;
}

let by = 0;
/** A number for whoever calls now. What is done later under it counts as theirs, when none of their code is on the stack. */
export const mark = () => by || parseJson(door('site.mark', '{}'));
/** Does something on behalf of whoever the number stands for. */
export function under(number, run) {
  const before = by;
  by = number;
  try {
    return run();
  } finally {
    by = before;
  }
}

/** Calls the host. Answers are data, bytes, or values that the host made; failures are thrown with their `code`. */
export function call(op, args, data) {
  const given = by && args !== undefined ? { __proto__: null, ...args, by } : args;
  const answer = door(op, given === undefined ? '{}' : encode(given), asBytes(data));
  if (typeof answer !== 'string') return answer;
  const value = parseJson(answer);
  if (value !== null && typeof value === 'object' && hasOwn(value, 'error')) throw failure(value.error);
  return value;
}

/** Decodes bytes; what cannot be decoded becomes replacement characters. */
export const decoded = (encoding, data) =>
  door('text.decode', encode({ __proto__: null, encoding, fatal: false }), asBytes(data));

/** The text of a file, as it is. */
export function sourceOf(path) {
  const answer = door('module.source', encode({ __proto__: null, path }));
  // A failure comes as text too. A file that looks like one could only hurt whoever wrote it.
  if (strings.startsWith(answer, '{"error":{"code":"')) throw failure(parseJson(answer).error);
  return answer;
}

/** A script under the name of a file; what it comes to, be that a text that looks like an answer. */
export const compile = (source, file) => door('code.script', encode({ __proto__: null, file }), asBytes(source));

/** UTF-8 of a text. */
export const utf8 = (string) => door('text.encode', string);

/** Tells the host of something that it cannot see by itself. `what` is one of `trace::What`. */
export function record(what) {
  door('record', encode({ __proto__: null, what }));
}

/** Tells that something is asked for that these stand-ins do not have. */
export function unsupported(what) {
  record({ __proto__: null, kind: 'unsupported', what });
}

/** A text in at most `most` characters. */
export const short = (value, most = 300) => strings.slice(`${value}`, 0, most);
