// The module `util`.

import { badArgument, coded } from '../core/errors.js';
import { ERRNOS } from '../core/errors.js';
import { inspect, format, formatWithOptions } from './inspect.js';
import { TextDecoder, TextEncoder } from '../web/encoding.js';
import types from './types.js';
import { equal } from './equality.js';

const customPromisify = Symbol.for('nodejs.util.promisify.custom');
/** Names of the values that a callback gets, where there are several. */
export const customArgs = Symbol('customPromisifyArgs');

function promisify(original) {
  if (typeof original !== 'function') throw badArgument('original', 'of type function', original);
  if (original[customPromisify]) {
    const own = original[customPromisify];
    if (typeof own !== 'function') throw badArgument('util.promisify.custom', 'of type function', own);
    return Object.defineProperty(own, customPromisify, { value: own, configurable: true });
  }
  const names = original[customArgs];
  function promised(...args) {
    return new Promise((resolve, reject) => {
      Reflect.apply(original, this, [
        ...args,
        (error, ...values) => {
          if (error) return reject(error);
          if (names && values.length > 1) return resolve(Object.fromEntries(names.map((name, i) => [name, values[i]])));
          return resolve(values[0]);
        },
      ]);
    });
  }
  Object.setPrototypeOf(promised, Object.getPrototypeOf(original));
  Object.defineProperty(promised, customPromisify, { value: promised, configurable: true });
  const own = Object.getOwnPropertyDescriptors(original);
  for (const name of Reflect.ownKeys(own)) {
    try {
      Object.defineProperty(promised, name, own[name]);
    } catch {
      /* not configurable */
    }
  }
  return promised;
}
promisify.custom = customPromisify;

function callbackify(original) {
  if (typeof original !== 'function') throw badArgument('original', 'of type function', original);
  function called(...args) {
    const callback = args.pop();
    if (typeof callback !== 'function') throw badArgument('last argument', 'of type function', callback);
    Reflect.apply(original, this, args).then(
      (value) => globalThis.process.nextTick(callback, null, value),
      (reason) =>
        globalThis.process.nextTick(
          callback,
          reason ||
            Object.assign(coded(Error, 'ERR_FALSY_VALUE_REJECTION', 'Promise was rejected with falsy value'), {
              reason,
            }),
        ),
    );
  }
  Object.defineProperty(called, 'name', { value: `${original.name}Callbackified`, configurable: true });
  return called;
}

function inherits(child, parent) {
  if (child === undefined || child === null) throw badArgument('ctor', 'of type function', child);
  if (parent === undefined || parent === null) throw badArgument('superCtor', 'of type function', parent);
  if (parent.prototype === undefined) throw badArgument('superCtor.prototype', 'of type object', parent.prototype);
  Object.defineProperty(child, 'super_', { value: parent, writable: true, configurable: true });
  Object.setPrototypeOf(child.prototype, parent.prototype);
}

const warned = new Set();
function deprecate(callable, message, code) {
  let told = false;
  function deprecated(...args) {
    if (!told && !(code && warned.has(code))) {
      told = true;
      if (code) warned.add(code);
      globalThis.process?.emitWarning?.(message, 'DeprecationWarning', code);
    }
    return new.target ? Reflect.construct(callable, args, new.target) : Reflect.apply(callable, this, args);
  }
  Object.setPrototypeOf(deprecated, callable);
  if (callable.prototype) deprecated.prototype = callable.prototype;
  return deprecated;
}

function debuglog() {
  const log = () => {};
  Object.defineProperty(log, 'enabled', { get: () => false });
  return log;
}

const ansi =
  /[\u001B\u009B][[\]()#;?]*(?:(?:(?:(?:;[-a-zA-Z\d/#&.:=?%@~_]+)*|[a-zA-Z\d]+(?:;[-a-zA-Z\d/#&.:=?%@~_]*)*)?\u0007)|(?:(?:\d{1,4}(?:;\d{0,4})*)?[\dA-PR-TZcf-ntqry=><~]))/g;

function styleText(style, text) {
  for (const name of [].concat(style)) {
    if (!inspect.colors[name])
      throw coded(
        TypeError,
        'ERR_INVALID_ARG_VALUE',
        `The argument 'format' must be one of: ${Object.keys(inspect.colors).join(', ')}. Received '${name}'`,
      );
  }
  // Nothing here is a terminal.
  return `${text}`;
}

function parseArgs({
  args = globalThis.process.argv.slice(2),
  options = {},
  strict = true,
  allowPositionals = !strict,
  allowNegative = false,
} = {}) {
  const values = { __proto__: null };
  const positionals = [];
  const rest = [...args];
  const put = (name, given) => {
    const option = options[name];
    if (!option && strict) throw coded(TypeError, 'ERR_PARSE_ARGS_UNKNOWN_OPTION', `Unknown option '--${name}'`);
    const value = option?.type === 'string' || (!option && given !== undefined) ? (given ?? rest.shift()) : true;
    if (option?.multiple) (values[name] ??= []).push(value);
    else values[name] = value;
  };
  while (rest.length > 0) {
    const arg = rest.shift();
    if (arg === '--') positionals.push(...rest.splice(0));
    else if (arg.startsWith('--')) {
      const [name, given] = arg.slice(2).split(/=(.*)/s);
      if (allowNegative && name.startsWith('no-') && options[name.slice(3)]) values[name.slice(3)] = false;
      else put(name, given);
    } else if (arg.startsWith('-') && arg.length > 1) {
      for (const letter of arg.slice(1))
        put(Object.keys(options).find((name) => options[name].short === letter) ?? letter, undefined);
    } else if (!allowPositionals)
      throw coded(
        TypeError,
        'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL',
        `Unexpected argument '${arg}'. This command does not take positional arguments`,
      );
    else positionals.push(arg);
  }
  for (const [name, option] of Object.entries(options))
    if (!(name in values) && option.default !== undefined) values[name] = option.default;
  return { values, positionals };
}

const errors = new Map(Object.entries(ERRNOS).map(([name, number]) => [-number, name]));

class MIMEType {
  constructor(input) {
    const [essence, ...params] = `${input}`.split(';');
    [this.type, this.subtype] = essence.trim().toLowerCase().split('/');
    this.params = new Map(params.map((p) => p.trim().split('=')));
  }
  get essence() {
    return `${this.type}/${this.subtype}`;
  }
  toString() {
    return [this.essence, ...[...this.params].map(([k, v]) => `${k}=${v}`)].join(';');
  }
}

const util = {
  inspect,
  format,
  formatWithOptions,
  promisify,
  callbackify,
  inherits,
  deprecate,
  debuglog,
  debug: debuglog,
  types,
  TextEncoder,
  TextDecoder,
  styleText,
  parseArgs,
  MIMEType,
  isDeepStrictEqual: (a, b) => equal(a, b, true),
  stripVTControlCharacters: (text) => `${text}`.replace(ansi, ''),
  toUSVString: (text) => `${text}`.toWellFormed(),
  getSystemErrorName: (number) => errors.get(number),
  getSystemErrorMap: () => new Map([...errors].map(([number, name]) => [number, [name, name]])),
  getCallSites: () => [],
  aborted: (signal) =>
    new Promise((resolve) =>
      signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true }),
    ),
  transferableAbortController: () => new AbortController(),
  transferableAbortSignal: (signal) => signal,
  log: (...args) => globalThis.console.log('%s - %s', new Date().toUTCString().slice(5, 25), format(...args)),
  _extend: (target, source) => (source !== null && typeof source === 'object' ? Object.assign(target, source) : target),
  isArray: Array.isArray,
  isBoolean: (v) => typeof v === 'boolean',
  isBuffer: (v) => globalThis.Buffer.isBuffer(v),
  isDate: types.isDate,
  isError: (v) => v instanceof Error,
  isFunction: (v) => typeof v === 'function',
  isNull: (v) => v === null,
  isNullOrUndefined: (v) => v === null || v === undefined,
  isNumber: (v) => typeof v === 'number',
  isObject: (v) => v !== null && typeof v === 'object',
  isPrimitive: (v) => v === null || (typeof v !== 'object' && typeof v !== 'function'),
  isRegExp: types.isRegExp,
  isString: (v) => typeof v === 'string',
  isSymbol: (v) => typeof v === 'symbol',
  isUndefined: (v) => v === undefined,
};
export { promisify };
export default util;
