// Deep equality as `assert` and `util.isDeepStrictEqual` mean it.

import types from './types.js';

const same = (a, b, strict) => (strict ? Object.is(a, b) : a == b || (a !== a && b !== b)); // eslint-disable-line eqeqeq

function keysOf(value, strict) {
  const names = Object.keys(value);
  if (strict)
    for (const s of Object.getOwnPropertySymbols(value))
      if (Object.prototype.propertyIsEnumerable.call(value, s)) names.push(s);
  return names;
}

/** Whether two values are deeply equal. */
export function equal(a, b, strict, seen = []) {
  if (a === b) return strict ? a !== 0 || Object.is(a, b) : true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    if (strict) return Object.is(a, b);
    if ((a === null || typeof a !== 'object') && (b === null || typeof b !== 'object')) return same(a, b, false);
    return false;
  }
  if (strict && Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (Object.prototype.toString.call(a) !== Object.prototype.toString.call(b)) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  if (Array.isArray(a) && a.length !== b.length) return false;
  if (types.isDate(a) !== types.isDate(b) || (types.isDate(a) && !Object.is(a.getTime(), b.getTime()))) return false;
  if (types.isRegExp(a) && (a.source !== b.source || a.flags !== b.flags || a.lastIndex !== b.lastIndex)) return false;
  if (a instanceof Error && (a.message !== b.message || a.name !== b.name)) return false;
  if (types.isBoxedPrimitive(a) && !Object.is(a.valueOf(), b.valueOf())) return false;
  if (ArrayBuffer.isView(a)) {
    if (a.byteLength !== b.byteLength) return false;
    if (!(a instanceof DataView)) {
      for (let i = 0; i < a.length; i++) if (!same(a[i], b[i], strict)) return false;
      return true;
    }
  }
  if (types.isAnyArrayBuffer(a)) return equal(new Uint8Array(a), new Uint8Array(b), strict, seen);
  for (const [x, y] of seen) if (x === a) return y === b;
  const inside = [...seen, [a, b]];
  if (types.isSet(a)) {
    if (a.size !== b.size) return false;
    for (const value of a)
      if (!b.has(value) && ![...b].some((other) => equal(value, other, strict, inside))) return false;
  } else if (types.isMap(a)) {
    if (a.size !== b.size) return false;
    for (const [key, value] of a) {
      if (
        b.has(key)
          ? !equal(value, b.get(key), strict, inside)
          : ![...b].some(([k, v]) => equal(key, k, strict, inside) && equal(value, v, strict, inside))
      )
        return false;
    }
  }
  const [x, y] = [keysOf(a, strict), keysOf(b, strict)];
  if (x.length !== y.length) return false;
  return x.every((key) => Object.prototype.propertyIsEnumerable.call(b, key) && equal(a[key], b[key], strict, inside));
}
