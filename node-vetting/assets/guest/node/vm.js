// The module `vm`, and the ways by which text becomes code: each is told to the host, with the text.
// There is one realm: a context is the global object with the properties of the sandbox in scope.

import { offer } from '../loader/builtins.js';
import { call, compile, utf8 } from '../core/host.js';
import {
  Set,
  WeakSet,
  apply,
  arrays,
  construct,
  defineProperty,
  getPrototypeOf,
  global,
  setPrototypeOf,
} from '../core/primordials.js';

const nativeEval = globalThis.eval;
const tell = (how, source) => call('code.eval', { __proto__: null, how }, utf8(`${source}`));
const fileOf = (options, fallback = 'evalmachine.<anonymous>') =>
  typeof options === 'string' ? options : (options?.filename ?? fallback);
const contexts = new WeakSet();

/** The sandbox as the scope of the code: names that it lacks are looked up among the globals, new ones become its own. */
function scope(sandbox, assigned) {
  return new Proxy(sandbox, {
    // A name that the code assigns belongs to the sandbox; one that exists nowhere is left to the engine, which refuses it.
    has: (target, key) =>
      typeof key === 'string' &&
      key !== '__source' &&
      key !== 'arguments' &&
      (key in target || key in global || assigned.has(key)),
    get: (target, key) => {
      if (key === Symbol.unscopables) return undefined;
      if (key === 'eval') return nativeEval;
      if (key in target) return target[key];
      if (key === 'globalThis' || (key === 'global' && !(key in target))) return target;
      if (key in ENGINE) return global[key];
      return undefined;
    },
    set: (target, key, value) => {
      target[key] = value;
      return true;
    },
  });
}
// What a fresh context has by itself: the language, and nothing of Node.js.
const ENGINE = { __proto__: null };
for (const name of [
  'Object',
  'Function',
  'Error',
  'EvalError',
  'RangeError',
  'ReferenceError',
  'SyntaxError',
  'TypeError',
  'URIError',
  'AggregateError',
  'Array',
  'parseInt',
  'parseFloat',
  'isNaN',
  'isFinite',
  'decodeURI',
  'decodeURIComponent',
  'encodeURI',
  'encodeURIComponent',
  'escape',
  'unescape',
  'Infinity',
  'NaN',
  'undefined',
  'eval',
  'Number',
  'Boolean',
  'String',
  'Math',
  'Reflect',
  'Symbol',
  'BigInt',
  'Date',
  'RegExp',
  'JSON',
  'Proxy',
  'Map',
  'Set',
  'WeakMap',
  'WeakSet',
  'ArrayBuffer',
  'SharedArrayBuffer',
  'Uint8ClampedArray',
  'Int8Array',
  'Uint8Array',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'BigInt64Array',
  'BigUint64Array',
  'Float32Array',
  'Float64Array',
  'DataView',
  'Promise',
  'WeakRef',
  'FinalizationRegistry',
  'Intl',
  'WebAssembly',
  'Atomics',
  'Iterator',
])
  ENGINE[name] = true;

function within(source, sandbox, file) {
  // The completion value of the code needs an eval; declarations at its top become properties of the sandbox.
  const hoisted = `${source}`.replace(/^(\s*)(?:var|let|const)\s+(?=[\w$]+\s*=)/gm, '$1');
  const assigned = new Set([...hoisted.matchAll(/([\w$]+)\s*=(?![=>])/g)].map((match) => match[1]));
  const run = compile(`(function (__scope, __source) { with (__scope) { return eval(__source); } })`, file);
  return apply(run, sandbox, [scope(sandbox, assigned), hoisted]);
}

export class Script {
  #source;
  #file;
  constructor(source, options) {
    this.#source = `${source}`;
    this.#file = fileOf(options);
    tell('vm', this.#source);
    // Errors of syntax come when the script is made.
    compile(`(async () => {})`, this.#file);
    this.cachedDataRejected = options?.cachedData ? false : undefined;
    this.sourceMapURL = undefined;
  }
  runInThisContext() {
    return compile(this.#source, this.#file);
  }
  runInContext(sandbox) {
    return within(this.#source, sandbox, this.#file);
  }
  runInNewContext(sandbox = {}) {
    return within(this.#source, sandbox, this.#file);
  }
  createCachedData() {
    return globalThis.Buffer.alloc(0);
  }
}
function createContext(sandbox = {}) {
  if (typeof sandbox === 'object' && sandbox !== null) contexts.add(sandbox);
  return sandbox;
}
function compileFunction(source, params = [], options = {}) {
  tell('vm', source);
  return compile(`(function (${params.join(',')}) {${source}\n})`, fileOf(options, ''));
}
const vm = {
  Script,
  createContext,
  isContext: (value) => contexts.has(value),
  compileFunction,
  createScript: (source, options) => new Script(source, options),
  runInThisContext: (source, options) => new Script(source, options).runInThisContext(),
  runInContext: (source, sandbox, options) => new Script(source, options).runInContext(sandbox),
  runInNewContext: (source, sandbox, options) => new Script(source, options).runInNewContext(sandbox ?? {}),
  measureMemory: () => Promise.resolve({ total: { jsMemoryEstimate: 0, jsMemoryRange: [0, 0] } }),
  constants: {
    __proto__: null,
    USE_MAIN_CONTEXT_DEFAULT_LOADER: Symbol('vm_dynamic_import_main_context_default'),
    DONT_CONTEXTIFY: Symbol('vm_context_no_contextify'),
  },
  SourceTextModule: undefined,
  SyntheticModule: undefined,
  Module: undefined,
};
offer('vm', vm);

/** Constructors that make functions out of text: replaced by ones that tell it, for `new`, for calls and by way of prototypes. */
function watchConstructor(sample, opening) {
  const Native = getPrototypeOf(sample).constructor;
  const Watched = function (...args) {
    const body = args.length > 0 ? `${args[args.length - 1]}` : '';
    const params = arrays.map(arrays.slice(args, 0, -1), (p) => `${p}`);
    // `Function('return this')` and the like are idioms that only look for the global object.
    if (body !== 'return this') tell('Function', body);
    // The engine checks that the parts are whole by themselves; the function then gets its caller's prototype.
    construct(Native, args);
    const made = compile(`(${opening} anonymous(${arrays.join(params, ',')}\n) {\n${body}\n})`, '<anonymous>');
    return (
      new.target && new.target !== Watched && new.target.prototype
        ? setPrototypeOf(made, new.target.prototype)
        : undefined,
      made
    );
  };
  defineProperty(Watched, 'name', { value: Native.name, configurable: true });
  defineProperty(Watched, 'length', { value: 1, configurable: true });
  defineProperty(Watched, 'prototype', { value: Native.prototype, writable: false, configurable: false });
  setPrototypeOf(Watched, getPrototypeOf(Native));
  defineProperty(Native.prototype, 'constructor', {
    value: Watched,
    writable: true,
    configurable: true,
    enumerable: false,
  });
  return Watched;
}
const Function_ = watchConstructor(function () {}, 'function');
watchConstructor(async function () {}, 'async function');
watchConstructor(function* () {}, 'function*');
watchConstructor(async function* () {}, 'async function*');
defineProperty(global, 'Function', { value: Function_, writable: true, configurable: true, enumerable: false });

/** Indirect eval. Direct eval keeps the engine's own, so that it still sees the scope it stands in. */
const watched = {
  eval(source) {
    if (typeof source !== 'string') return source;
    tell('eval', source);
    return compile(source, '<eval>');
  },
};
defineProperty(global, 'eval', { value: watched.eval, writable: true, configurable: true, enumerable: false });
