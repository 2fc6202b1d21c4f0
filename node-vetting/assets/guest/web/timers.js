// setTimeout and its kin over the loop in virtual time.

import { globals } from '../core/define.js';
import { arm, cancel, delayOf, immediate } from '../core/loop.js';
import { badArgument } from '../core/errors.js';
import { apply, maps, Map } from '../core/primordials.js';

const byNumber = new Map();
let last = 0;

class Timeout {
  #entry;
  #id = 0;
  #held = true;
  constructor(callback, delay, args, repeat) {
    if (typeof callback !== 'function') throw badArgument('callback', 'of type function', callback);
    const ms = delayOf(delay);
    this._idleTimeout = ms;
    this._onTimeout = callback;
    this._repeat = repeat ? ms : null;
    this._destroyed = false;
    this.#entry = arm(ms, repeat ? ms : 0, () => {
      if (!repeat) this._destroyed = true;
      apply(this._onTimeout, this, args);
    });
  }
  ref() {
    this.#held = true;
    return this;
  }
  unref() {
    this.#held = false;
    return this;
  }
  hasRef() {
    return this.#held;
  }
  refresh() {
    if (!this._destroyed || this.#entry.live === false) {
      const { repeat, delay, run, site } = this.#entry;
      cancel(this.#entry);
      this.#entry = arm(delay, repeat, run, site);
      this._destroyed = false;
    }
    return this;
  }
  close() {
    this._destroyed = true;
    cancel(this.#entry);
    if (this.#id) maps.delete(byNumber, this.#id);
    return this;
  }
  [Symbol.toPrimitive]() {
    if (this.#id === 0) {
      this.#id = ++last;
      maps.set(byNumber, this.#id, this);
    }
    return this.#id;
  }
  [Symbol.dispose]() {
    this.close();
  }
}

class Immediate {
  #entry;
  constructor(callback, args) {
    if (typeof callback !== 'function') throw badArgument('callback', 'of type function', callback);
    this._onImmediate = callback;
    this.#entry = immediate(() => apply(callback, this, args));
  }
  ref() {
    return this;
  }
  unref() {
    return this;
  }
  hasRef() {
    return true;
  }
  close() {
    cancel(this.#entry);
  }
  [Symbol.dispose]() {
    this.close();
  }
}

export function setTimeout(callback, delay, ...args) {
  return new Timeout(callback, delay, args, false);
}
export function setInterval(callback, delay, ...args) {
  return new Timeout(callback, delay, args, true);
}
export function setImmediate(callback, ...args) {
  return new Immediate(callback, args);
}
export function clearTimeout(timer) {
  if (timer instanceof Timeout) timer.close();
  else if (typeof timer === 'number' || typeof timer === 'string') maps.get(byNumber, +timer)?.close();
}
export function clearInterval(timer) {
  clearTimeout(timer);
}
export function clearImmediate(handle) {
  if (handle instanceof Immediate) handle.close();
}
export { Timeout, Immediate };

globals({ setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate }, true);
