// util.types.

const tagOf = (value) => Object.prototype.toString.call(value).slice(8, -1);
const typedTag = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get;
const typed = (name) => (value) => ArrayBuffer.isView(value) && typedTag.call(value) === name;
/** Whether a method of a class accepts the value: the only test that a guest cannot fake. */
const brand =
  (method, ...args) =>
  (value) => {
    try {
      method.call(value, ...args);
      return true;
    } catch {
      return false;
    }
  };
const getter = (prototype, name) => Object.getOwnPropertyDescriptor(prototype, name).get;
const isMap = brand(getter(Map.prototype, 'size'));
const isSet = brand(getter(Set.prototype, 'size'));
const isObject = (value) => typeof value === 'object' && value !== null;

const types = {
  isExternal: () => false,
  isDate: brand(Date.prototype.getTime),
  isArgumentsObject: (value) => isObject(value) && !(Symbol.toStringTag in value) && tagOf(value) === 'Arguments',
  isBigIntObject: (value) => isObject(value) && value instanceof BigInt,
  isBooleanObject: (value) => isObject(value) && brand(Boolean.prototype.valueOf)(value),
  isNumberObject: (value) => isObject(value) && brand(Number.prototype.valueOf)(value),
  isStringObject: (value) => isObject(value) && brand(String.prototype.valueOf)(value),
  isSymbolObject: (value) => isObject(value) && brand(Symbol.prototype.valueOf)(value),
  isBoxedPrimitive: (value) =>
    types.isNumberObject(value) ||
    types.isStringObject(value) ||
    types.isBooleanObject(value) ||
    types.isBigIntObject(value) ||
    types.isSymbolObject(value),
  isNativeError: (value) => value instanceof Error,
  isRegExp: (value) => isObject(value) && tagOf(value) === 'RegExp' && value instanceof RegExp,
  isAsyncFunction: (value) => typeof value === 'function' && /^Async/.test(tagOf(value)),
  isGeneratorFunction: (value) => typeof value === 'function' && /GeneratorFunction$/.test(tagOf(value)),
  isGeneratorObject: (value) => tagOf(value) === 'Generator',
  isPromise: (value) => isObject(value) && value instanceof Promise,
  isMap,
  isSet,
  isMapIterator: (value) => tagOf(value) === 'Map Iterator',
  isSetIterator: (value) => tagOf(value) === 'Set Iterator',
  isWeakMap: (value) => isObject(value) && brand(WeakMap.prototype.has, {})(value),
  isWeakSet: (value) => isObject(value) && brand(WeakSet.prototype.has, {})(value),
  isArrayBuffer: brand(getter(ArrayBuffer.prototype, 'byteLength')),
  isDataView: (value) => ArrayBuffer.isView(value) && typedTag.call(value) === undefined,
  isSharedArrayBuffer: brand(getter(SharedArrayBuffer.prototype, 'byteLength')),
  isProxy: () => false,
  isModuleNamespaceObject: (value) =>
    isObject(value) && tagOf(value) === 'Module' && Object.getPrototypeOf(value) === null,
  isAnyArrayBuffer: (value) => types.isArrayBuffer(value) || types.isSharedArrayBuffer(value),
  isCryptoKey: () => false,
  isKeyObject: () => false,
  isArrayBufferView: ArrayBuffer.isView,
  isTypedArray: (value) => ArrayBuffer.isView(value) && typedTag.call(value) !== undefined,
};
for (const name of [
  'Uint8Array',
  'Uint8ClampedArray',
  'Uint16Array',
  'Uint32Array',
  'Int8Array',
  'Int16Array',
  'Int32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
])
  types[`is${name}`] = typed(name);
export default types;
