// Errors and stacks in the shape of V8: a header above the frames, call sites with all methods, traces for any object.

import {
  Error,
  WeakMap,
  defineProperty,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  engineStack,
  captureStackTrace,
  strings,
  arrays,
  hasOwn,
  weaks,
} from './primordials.js';

const given = new WeakMap();

/** `name: message` as V8 writes it, without asking getters of guests. */
function header(error) {
  let name;
  let message;
  try {
    name = error.name;
    message = error.message;
  } catch {
    return 'Error';
  }
  name = name === undefined ? 'Error' : `${name}`;
  message = message === undefined ? '' : `${message}`;
  if (hasOwn(error, 'code') && strings.startsWith(`${error.code}`, 'ERR_')) name += ` [${error.code}]`;
  return name === '' ? message : message === '' ? name : `${name}: ${message}`;
}

/** Frames of the engine, with the names that V8 would give. */
function frames(text) {
  const lines = strings.split(text, '\n');
  let out = '';
  for (let i = 0; i < lines.length; i++) {
    let line = lines[i];
    if (line === '') continue;
    if (strings.includes(line, '(native)')) line = strings.replace(line, '(native)', '(<anonymous>)');
    line = strings.replace(strings.replace(line, 'at <anonymous> (', 'at ('), 'at <eval> (', 'at Object.<anonymous> (');
    if (strings.startsWith(strings.trim(line), 'at (')) line = `    at ${strings.slice(strings.trim(line), 4, -1)}`;
    out += `\n${line}`;
  }
  return out;
}

defineProperty(Error.prototype, 'stack', {
  configurable: true,
  enumerable: false,
  get() {
    if (weaks.has(given, this)) return weaks.get(given, this);
    let native;
    try {
      native = engineStack(this);
    } catch {
      return undefined;
    }
    if (typeof native !== 'string') return native;
    const text = header(this) + frames(native);
    weaks.set(given, this, text);
    return text;
  },
  set(value) {
    defineProperty(this, 'stack', { value, writable: true, configurable: true, enumerable: false });
  },
});

/** The call sites of this moment. The engine gives them to the formatter of an error that is being made. */
function sites() {
  const before = Error.prepareStackTrace;
  const limit = Error.stackTraceLimit;
  let found = [];
  Error.stackTraceLimit = 100;
  Error.prepareStackTrace = (_, given) => {
    found = given;
    return '';
  };
  engineStack(new Error());
  Error.stackTraceLimit = limit;
  // The engine keeps it behind an accessor: it is put back, never redefined.
  Error.prepareStackTrace = before;
  return found;
}

Error.captureStackTrace = function captureStackTrace_(target, above) {
  const from = typeof above === 'function' ? above : captureStackTrace_;
  const format = Error.prepareStackTrace;
  let value;
  if (typeof format === 'function') {
    const all = sites();
    let start = 0;
    for (let i = 0; i < all.length; i++) if (all[i].getFunction() === from) start = i + 1;
    const limit = typeof Error.stackTraceLimit === 'number' ? Error.stackTraceLimit : 10;
    value = format(target, arrays.slice(all, start, start + limit));
  } else {
    const holder = {};
    captureStackTrace(holder, from);
    value = getOwnPropertyDescriptor(holder, 'stack')?.value;
    if (typeof value === 'string') value = header(target) + frames(value);
  }
  defineProperty(target, 'stack', { value, writable: true, configurable: true, enumerable: false });
};
defineProperty(Error.captureStackTrace, 'name', { value: 'captureStackTrace' });

/** Call sites get the methods that they lack. */
function completeCallSites() {
  const [site] = sites();
  if (site === undefined || site === null) return;
  const prototype = getPrototypeOf(site);
  const add = (name, value) => {
    if (name === 'toString' || prototype[name] === undefined)
      defineProperty(prototype, name, { value, writable: true, configurable: true, enumerable: false });
  };
  add('getThis', function getThis() {
    return undefined;
  });
  add('getTypeName', function getTypeName() {
    return 'Object';
  });
  add('getMethodName', function getMethodName() {
    return null;
  });
  add('getEvalOrigin', function getEvalOrigin() {
    return undefined;
  });
  add('isToplevel', function isToplevel() {
    return true;
  });
  add('isEval', function isEval() {
    return false;
  });
  add('isAsync', function isAsync() {
    return false;
  });
  add('isPromiseAll', function isPromiseAll() {
    return false;
  });
  add('getPromiseIndex', function getPromiseIndex() {
    return null;
  });
  add('getScriptNameOrSourceURL', function getScriptNameOrSourceURL() {
    return this.getFileName();
  });
  add('getScriptHash', function getScriptHash() {
    return '';
  });
  add('getPosition', function getPosition() {
    return 0;
  });
  add('getEnclosingLineNumber', function getEnclosingLineNumber() {
    return this.getLineNumber();
  });
  add('getEnclosingColumnNumber', function getEnclosingColumnNumber() {
    return this.getColumnNumber();
  });
  add('toString', function toString() {
    const where = `${this.getFileName()}:${this.getLineNumber()}:${this.getColumnNumber()}`;
    return this.getFunctionName() ? `${this.getFunctionName()} (${where})` : where;
  });
}
completeCallSites();

/** The package files on the stack, nearest first. */
export function files() {
  const out = [];
  const lines = strings.split(engineStack(new Error()) ?? '', '\n');
  for (let i = 0; i < lines.length; i++) {
    const from = strings.indexOf(lines[i], '(/');
    if (from >= 0) arrays.push(out, strings.slice(lines[i], from + 1, strings.indexOf(lines[i], ':', from)));
  }
  return out;
}
