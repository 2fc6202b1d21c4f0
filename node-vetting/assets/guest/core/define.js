// Puts globals in place as an engine would have them: writable, configurable, not enumerable, with the name that they should have.

import { defineProperty, keys, global } from './primordials.js';

/** Defines globals. */
export function globals(values, enumerable = false) {
  const names = keys(values);
  for (let i = 0; i < names.length; i++) {
    defineProperty(global, names[i], { value: values[names[i]], writable: true, configurable: true, enumerable });
  }
}

/** Tells the tag of a class to `Object.prototype.toString`. */
export function tag(Class, name = Class.name) {
  defineProperty(Class.prototype, Symbol.toStringTag, { value: name, configurable: true });
  return Class;
}

/** Gives a function the name that Node.js gives it. */
export function named(name, callable) {
  defineProperty(callable, 'name', { value: name, configurable: true });
  return callable;
}
