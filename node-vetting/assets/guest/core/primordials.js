// Intrinsics as they were before any foreign code ran. What guests do to prototypes later does not reach these copies,
// so code that records or decides uses only these.

export const {
  Array,
  ArrayBuffer,
  BigInt,
  Boolean,
  DataView,
  Date,
  Error,
  EvalError,
  Float64Array,
  Function,
  Map,
  Math,
  Number,
  Object,
  Promise,
  Proxy,
  RangeError,
  ReferenceError,
  RegExp,
  Set,
  SharedArrayBuffer,
  String,
  Symbol,
  SyntaxError,
  TypeError,
  URIError,
  Uint8Array,
  WeakMap,
  WeakRef,
  WeakSet,
  FinalizationRegistry,
  JSON,
  AggregateError,
  globalThis: global,
} = globalThis;

const { apply, ownKeys, getOwnPropertyDescriptor, defineProperty, getPrototypeOf, setPrototypeOf, construct, has } =
  Reflect;
const call = Function.prototype.call;
const bind = Function.prototype.bind;

/** Makes `method(self, ...args)` out of a method that takes `this`. */
export const uncurry = apply(bind, bind, [call]);

export const Reflect_ = {
  __proto__: null,
  apply,
  ownKeys,
  getOwnPropertyDescriptor,
  defineProperty,
  getPrototypeOf,
  setPrototypeOf,
  construct,
  has,
};
export { apply, ownKeys, getOwnPropertyDescriptor, defineProperty, getPrototypeOf, setPrototypeOf, construct };

export const { isArray } = Array;
export const { create, keys, entries, assign, freeze, getOwnPropertyNames, getOwnPropertyDescriptors, hasOwn } = Object;
export const { floor, min, max, pow, trunc } = Math;
export const { isInteger, isFinite, isNaN } = Number;
export const { fromCharCode } = String;
export const parseJson = JSON.parse;
export const stringify = JSON.stringify;
export const queueMicrotask = globalThis.queueMicrotask;
export const now = Date.now;

const of = (prototype, names) => {
  const out = { __proto__: null };
  for (const name of names) out[name] = uncurry(prototype[name]);
  return out;
};

export const arrays = of(Array.prototype, [
  'push',
  'pop',
  'shift',
  'unshift',
  'slice',
  'splice',
  'indexOf',
  'includes',
  'join',
  'map',
  'filter',
  'forEach',
  'sort',
  'concat',
  'some',
  'every',
  'find',
  'findIndex',
  'reverse',
]);
export const strings = of(String.prototype, [
  'slice',
  'indexOf',
  'lastIndexOf',
  'startsWith',
  'endsWith',
  'includes',
  'charCodeAt',
  'codePointAt',
  'split',
  'toLowerCase',
  'toUpperCase',
  'trim',
  'replace',
  'replaceAll',
  'match',
  'padStart',
  'padEnd',
  'repeat',
  'substring',
]);
export const maps = of(Map.prototype, ['get', 'set', 'has', 'delete', 'clear', 'forEach', 'keys', 'values', 'entries']);
export const sets = of(Set.prototype, ['has', 'add', 'delete', 'clear', 'forEach', 'values']);
export const weaks = of(WeakMap.prototype, ['get', 'set', 'has', 'delete']);
export const promises = of(Promise.prototype, ['then', 'catch', 'finally']);
export const functions = of(Function.prototype, ['call', 'apply', 'bind', 'toString']);
export const regexps = of(RegExp.prototype, ['exec', 'test']);
export const objects = of(Object.prototype, ['toString', 'hasOwnProperty', 'isPrototypeOf', 'propertyIsEnumerable']);
export const dates = of(Date.prototype, ['getTime', 'toISOString', 'getTimezoneOffset']);
export const numbers = of(Number.prototype, ['toString', 'toFixed']);

const typed = getPrototypeOf(Uint8Array.prototype);
export const bytes = of(typed, ['set', 'subarray', 'slice', 'fill', 'indexOf']);
export const viewBuffer = uncurry(getOwnPropertyDescriptor(typed, 'buffer').get);
export const viewOffset = uncurry(getOwnPropertyDescriptor(typed, 'byteOffset').get);
export const viewLength = uncurry(getOwnPropertyDescriptor(typed, 'byteLength').get);
export const viewTag = uncurry(getOwnPropertyDescriptor(typed, Symbol.toStringTag).get);

/** The engine's own rendering of a stack, before anybody replaces the accessor. */
export const engineStack = uncurry(getOwnPropertyDescriptor(Error.prototype, 'stack').get);
export const captureStackTrace = Error.captureStackTrace;

/** Walks an array by index: iterators of arrays can be replaced by guests. */
export function each(list, visit) {
  for (let i = 0; i < list.length; i++) visit(list[i], i);
}

/** A promise with its two ends. */
export function deferred() {
  const out = { __proto__: null };
  out.promise = new Promise((resolve, reject) => {
    out.resolve = resolve;
    out.reject = reject;
  });
  return out;
}
