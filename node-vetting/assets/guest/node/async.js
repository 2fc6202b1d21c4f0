// The modules `async_hooks`, `diagnostics_channel`, `domain`, `timers` and its promises.

import { offer } from '../loader/builtins.js';
import { apply, Promise, promises, queueMicrotask, global, defineProperty, Map, maps } from '../core/primordials.js';
import { EventEmitter } from './events.js';
import * as timers from '../web/timers.js';
import { process } from './process.js';

/** The stores of all AsyncLocalStorage objects at this moment; carried across promises, timers and ticks. */
let current = new Map();
const carry = (callback) => {
  if (typeof callback !== 'function') return callback;
  const frame = current;
  if (frame.size === 0) return callback;
  return function (...args) {
    const before = current;
    current = frame;
    try {
      return apply(callback, this, args);
    } finally {
      current = before;
    }
  };
};
let patched = false;
/** Only a program that uses AsyncLocalStorage pays for it. */
function patch() {
  if (patched) return;
  patched = true;
  const { then } = Promise.prototype;
  defineProperty(Promise.prototype, 'then', {
    value: {
      then(done, failed) {
        return apply(then, this, [carry(done), carry(failed)]);
      },
    }.then,
    writable: true,
    configurable: true,
  });
  for (const name of ['setTimeout', 'setInterval', 'setImmediate']) {
    const old = global[name];
    global[name] = { [name]: (callback, ...rest) => old(carry(callback), ...rest) }[name];
  }
  const tick = process.nextTick;
  process.nextTick = (callback, ...rest) => tick(carry(callback), ...rest);
  global.queueMicrotask = { queueMicrotask: (callback) => queueMicrotask(carry(callback)) }.queueMicrotask;
}
class AsyncLocalStorage {
  constructor(options) {
    Object.defineProperty(this, '_fallback', { value: options?.defaultValue });
    this.name = options?.name ?? '';
  }
  static bind(callback) {
    return carry(callback);
  }
  static snapshot() {
    const frame = current;
    return (callback, ...args) => {
      const before = current;
      current = frame;
      try {
        return callback(...args);
      } finally {
        current = before;
      }
    };
  }
  run(store, callback, ...args) {
    patch();
    const before = current;
    current = new Map(before);
    maps.set(current, this, store);
    try {
      return callback(...args);
    } finally {
      current = before;
    }
  }
  exit(callback, ...args) {
    return this.run(undefined, callback, ...args);
  }
  enterWith(store) {
    patch();
    current = new Map(current);
    maps.set(current, this, store);
  }
  getStore() {
    return maps.has(current, this) ? maps.get(current, this) : this._fallback;
  }
  disable() {
    current = new Map(current);
    maps.delete(current, this);
  }
}
let ids = 1;
class AsyncResource {
  #frame = current;
  #id = ++ids;
  constructor(type) {
    this.type_ = type;
    Object.defineProperty(this, 'type_', { enumerable: false });
  }
  runInAsyncScope(callback, self, ...args) {
    const before = current;
    current = this.#frame;
    try {
      return apply(callback, self, args);
    } finally {
      current = before;
    }
  }
  bind(callback, self) {
    return (...args) => this.runInAsyncScope(callback, self, ...args);
  }
  static bind(callback, type, self) {
    return new AsyncResource(type ?? callback.name).bind(callback, self);
  }
  emitDestroy() {
    return this;
  }
  asyncId() {
    return this.#id;
  }
  triggerAsyncId() {
    return 1;
  }
}
offer('async_hooks', {
  AsyncLocalStorage,
  AsyncResource,
  createHook: () => ({
    enable() {
      return this;
    },
    disable() {
      return this;
    },
  }),
  executionAsyncId: () => 1,
  triggerAsyncId: () => 0,
  executionAsyncResource: () => ({}),
  asyncWrapProviders: Object.freeze({ __proto__: null, NONE: 0 }),
});

const channels = new Map();
class Channel {
  #subscribers = [];
  constructor(name) {
    this.name = name;
  }
  get hasSubscribers() {
    return this.#subscribers.length > 0;
  }
  subscribe(callback) {
    this.#subscribers.push(callback);
  }
  unsubscribe(callback) {
    const at = this.#subscribers.indexOf(callback);
    if (at >= 0) this.#subscribers.splice(at, 1);
    return at >= 0;
  }
  publish(message) {
    for (const callback of [...this.#subscribers]) callback(message, this.name);
  }
  bindStore() {}
  unbindStore() {}
  runStores(message, callback, self, ...args) {
    this.publish(message);
    return apply(callback, self, args);
  }
}
const channel = (name) => {
  if (!channels.has(name)) channels.set(name, new Channel(name));
  return channels.get(name);
};
const tracing = (name) => {
  const out = {};
  for (const part of ['start', 'end', 'asyncStart', 'asyncEnd', 'error'])
    out[part] = channel(`tracing:${name}:${part}`);
  return Object.assign(out, {
    hasSubscribers: false,
    subscribe() {},
    unsubscribe() {},
    traceSync: (callback, _, self, ...args) => apply(callback, self, args),
    tracePromise: async (callback, _, self, ...args) => apply(callback, self, args),
    traceCallback: (callback, _, __, self, ...args) => apply(callback, self, args),
  });
};
offer('diagnostics_channel', {
  channel,
  hasSubscribers: (name) => channel(name).hasSubscribers,
  subscribe: (name, callback) => channel(name).subscribe(callback),
  unsubscribe: (name, callback) => channel(name).unsubscribe(callback),
  tracingChannel: tracing,
  Channel,
});

class Domain extends EventEmitter {
  members = [];
  run(callback, ...args) {
    try {
      return callback(...args);
    } catch (error) {
      this.emit('error', error);
      return undefined;
    }
  }
  add(emitter) {
    this.members.push(emitter);
  }
  remove() {}
  bind(callback) {
    return (...args) => this.run(callback, ...args);
  }
  intercept(callback) {
    return (error, ...args) => (error ? this.emit('error', error) : this.run(callback, ...args));
  }
  enter() {}
  exit() {}
  dispose() {}
}
offer('domain', { Domain, create: () => new Domain(), createDomain: () => new Domain(), active: null });

const abortable = (signal, start) =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = start(resolve);
    signal?.addEventListener(
      'abort',
      () => {
        stop();
        reject(Object.assign(new DOMException('The operation was aborted', 'AbortError'), {}));
      },
      { once: true },
    );
    return undefined;
  });
const timerPromises = {
  setTimeout: (ms, value, options) =>
    abortable(options?.signal, (done) => {
      const t = timers.setTimeout(done, ms, value);
      return () => timers.clearTimeout(t);
    }),
  setImmediate: (value, options) =>
    abortable(options?.signal, (done) => {
      const t = timers.setImmediate(done, value);
      return () => timers.clearImmediate(t);
    }),
  async *setInterval(ms, value, options) {
    for (;;) yield await timerPromises.setTimeout(ms, value, options);
  },
  scheduler: {
    wait: (ms, options) => timerPromises.setTimeout(ms, undefined, options),
    yield: () => timerPromises.setImmediate(),
  },
};
for (const name of ['setTimeout', 'setImmediate'])
  Object.defineProperty(timers[name], Symbol.for('nodejs.util.promisify.custom'), {
    enumerable: true,
    get: () => timerPromises[name],
  });
offer('timers', {
  setTimeout: timers.setTimeout,
  clearTimeout: timers.clearTimeout,
  setImmediate: timers.setImmediate,
  clearImmediate: timers.clearImmediate,
  setInterval: timers.setInterval,
  clearInterval: timers.clearInterval,
  enroll() {},
  unenroll() {},
  active() {},
  _unrefActive() {},
  promises: timerPromises,
});
offer('timers/promises', timerPromises);
