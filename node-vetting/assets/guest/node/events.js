// The module `events`.

import { badArgument, coded, outOfRange } from '../core/errors.js';
import { apply } from '../core/primordials.js';
import { inspect } from './inspect.js';

const errorMonitor = Symbol('events.errorMonitor');
const captureRejectionSymbol = Symbol.for('nodejs.rejection');
const kCapture = Symbol('kCapture');
let defaultMaxListeners = 10;

function check(listener) {
  if (typeof listener !== 'function') throw badArgument('listener', 'of type function', listener);
}

/** Plain function, so that old code may call it without `new` and inherit by `util.inherits`. */
function EventEmitter(options) {
  EventEmitter.init.call(this, options);
}
EventEmitter.prototype._events = undefined;
EventEmitter.prototype._eventsCount = 0;
EventEmitter.prototype._maxListeners = undefined;
EventEmitter.init = function (options) {
  if (this._events === undefined || this._events === Object.getPrototypeOf(this)._events) {
    this._events = { __proto__: null };
    this._eventsCount = 0;
  }
  this._maxListeners = this._maxListeners || undefined;
  if (options?.captureRejections) this[kCapture] = true;
};

function add(target, type, listener, first) {
  check(listener);
  let events = target._events;
  if (events === undefined) {
    events = target._events = { __proto__: null };
    target._eventsCount = 0;
  } else if (events.newListener !== undefined) {
    target.emit('newListener', type, listener.listener ?? listener);
    events = target._events;
  }
  const existing = events[type];
  if (existing === undefined) {
    events[type] = listener;
    target._eventsCount++;
  } else if (typeof existing === 'function') {
    events[type] = first ? [listener, existing] : [existing, listener];
  } else if (first) existing.unshift(listener);
  else existing.push(listener);
  const list = events[type];
  const most = target.getMaxListeners();
  if (most > 0 && typeof list === 'object' && list.length > most && !list.warned) {
    list.warned = true;
    const warning = new Error(
      `Possible EventEmitter memory leak detected. ${list.length} ${String(type)} listeners added to ${inspect(target, { depth: -1 })}. MaxListeners is ${most}. Use emitter.setMaxListeners() to increase limit`,
    );
    Object.assign(warning, { name: 'MaxListenersExceededWarning', emitter: target, type, count: list.length });
    globalThis.process?.emitWarning?.(warning);
  }
  return target;
}

function wrapOnce(target, type, listener) {
  const state = { fired: false };
  const wrapped = function (...args) {
    if (state.fired) return undefined;
    target.removeListener(type, wrapped);
    state.fired = true;
    return apply(listener, target, args);
  };
  wrapped.listener = listener;
  return wrapped;
}

const methods = {
  setMaxListeners(n) {
    if (typeof n !== 'number' || n < 0 || Number.isNaN(n))
      throw outOfRange('setMaxListeners', 'a non-negative number', n);
    this._maxListeners = n;
    return this;
  },
  getMaxListeners() {
    return this._maxListeners === undefined ? EventEmitter.defaultMaxListeners : this._maxListeners;
  },
  emit(type, ...args) {
    const events = this._events;
    if (type === 'error') {
      if (events?.[errorMonitor] !== undefined) this.emit(errorMonitor, ...args);
      if (events?.error === undefined) {
        const error = args[0];
        if (error instanceof Error) throw error;
        const thrown = coded(
          Error,
          'ERR_UNHANDLED_ERROR',
          `Unhandled error. (${typeof error === 'string' ? `'${error}'` : inspect(error)})`,
        );
        thrown.context = error;
        throw thrown;
      }
    }
    const handler = events?.[type];
    if (handler === undefined) return false;
    const list = typeof handler === 'function' ? [handler] : [...handler];
    for (let i = 0; i < list.length; i++) {
      const result = apply(list[i], this, args);
      if (this[kCapture] && typeof result?.then === 'function') {
        result.then(undefined, (error) => {
          if (typeof this[captureRejectionSymbol] === 'function') this[captureRejectionSymbol](error, type, ...args);
          else this.emit('error', error);
        });
      }
    }
    return true;
  },
  addListener(type, listener) {
    return add(this, type, listener, false);
  },
  on(type, listener) {
    return add(this, type, listener, false);
  },
  prependListener(type, listener) {
    return add(this, type, listener, true);
  },
  once(type, listener) {
    check(listener);
    return this.on(type, wrapOnce(this, type, listener));
  },
  prependOnceListener(type, listener) {
    check(listener);
    return this.prependListener(type, wrapOnce(this, type, listener));
  },
  removeListener(type, listener) {
    check(listener);
    const events = this._events;
    const list = events?.[type];
    if (list === undefined) return this;
    if (list === listener || list.listener === listener) {
      this._eventsCount--;
      delete events[type];
      if (events.removeListener) this.emit('removeListener', type, list.listener ?? listener);
    } else if (typeof list !== 'function') {
      const at = list.findLastIndex((one) => one === listener || one.listener === listener);
      if (at < 0) return this;
      const [gone] = list.splice(at, 1);
      if (list.length === 1) events[type] = list[0];
      if (events.removeListener !== undefined) this.emit('removeListener', type, gone.listener ?? gone);
    }
    return this;
  },
  off(type, listener) {
    return this.removeListener(type, listener);
  },
  removeAllListeners(type) {
    const events = this._events;
    if (events === undefined) return this;
    if (events.removeListener === undefined) {
      if (arguments.length === 0) {
        this._events = { __proto__: null };
        this._eventsCount = 0;
      } else if (events[type] !== undefined) {
        delete events[type];
        this._eventsCount--;
      }
      return this;
    }
    if (arguments.length === 0) {
      for (const key of Reflect.ownKeys(events)) if (key !== 'removeListener') this.removeAllListeners(key);
      this.removeAllListeners('removeListener');
      return this;
    }
    for (const listener of this.rawListeners(type).reverse()) this.removeListener(type, listener);
    return this;
  },
  listeners(type) {
    return this.rawListeners(type).map((one) => one.listener ?? one);
  },
  rawListeners(type) {
    const list = this._events?.[type];
    return list === undefined ? [] : typeof list === 'function' ? [list] : [...list];
  },
  listenerCount(type, listener) {
    const list = this.rawListeners(type);
    return listener === undefined
      ? list.length
      : list.filter((one) => one === listener || one.listener === listener).length;
  },
  eventNames() {
    return this._eventsCount > 0 ? Reflect.ownKeys(this._events) : [];
  },
};
for (const [name, value] of Object.entries(methods)) EventEmitter.prototype[name] = value;

function once(emitter, type, { signal } = {}) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    if (typeof emitter.addEventListener === 'function' && typeof emitter.on !== 'function') {
      emitter.addEventListener(type, (event) => resolve([event]), { once: true });
      return undefined;
    }
    const failed = (error) => {
      emitter.removeListener(type, done);
      reject(error);
    };
    const done = (...args) => {
      emitter.removeListener('error', failed);
      resolve(args);
    };
    emitter.once(type, done);
    if (type !== 'error') emitter.once('error', failed);
    signal?.addEventListener(
      'abort',
      () => {
        emitter.removeListener(type, done);
        emitter.removeListener('error', failed);
        reject(signal.reason);
      },
      { once: true },
    );
    return undefined;
  });
}

function on(emitter, type, { signal, close = [] } = {}) {
  const queue = [];
  const wanted = [];
  let failure = null;
  let over = false;
  const push = (...args) => (wanted.length ? wanted.shift().resolve({ value: args, done: false }) : queue.push(args));
  const fail = (error) => (wanted.length ? wanted.shift().reject(error) : (failure = error));
  const stop = () => {
    over = true;
    emitter.removeListener(type, push);
    emitter.removeListener('error', fail);
    for (const want of wanted.splice(0)) want.resolve({ value: undefined, done: true });
    return Promise.resolve({ value: undefined, done: true });
  };
  emitter.on(type, push);
  if (type !== 'error') emitter.on('error', fail);
  for (const name of close) emitter.on(name, stop);
  signal?.addEventListener(
    'abort',
    () => {
      fail(signal.reason);
    },
    { once: true },
  );
  return {
    next() {
      if (queue.length) return Promise.resolve({ value: queue.shift(), done: false });
      if (failure) {
        const error = failure;
        failure = null;
        return Promise.reject(error);
      }
      if (over) return Promise.resolve({ value: undefined, done: true });
      return new Promise((resolve, reject) => wanted.push({ resolve, reject }));
    },
    return: stop,
    throw: (error) => {
      fail(error);
      return stop();
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

class EventEmitterAsyncResource extends EventEmitter {
  get asyncId() {
    return 0;
  }
  get triggerAsyncId() {
    return 0;
  }
  emitDestroy() {}
}

Object.assign(EventEmitter, {
  EventEmitter,
  once,
  on,
  errorMonitor,
  captureRejectionSymbol,
  captureRejections: false,
  usingDomains: false,
  EventEmitterAsyncResource,
  getEventListeners: (target, type) => (typeof target.listeners === 'function' ? target.listeners(type) : []),
  getMaxListeners: (target) => target.getMaxListeners?.() ?? defaultMaxListeners,
  setMaxListeners: (n = defaultMaxListeners, ...targets) => {
    if (targets.length === 0) defaultMaxListeners = n;
    for (const target of targets) target.setMaxListeners?.(n);
  },
  addAbortListener: (signal, listener) => {
    signal.addEventListener('abort', listener, { once: true });
    return { [Symbol.dispose]: () => signal.removeEventListener('abort', listener) };
  },
  listenerCount: (emitter, type) => emitter.listenerCount(type),
});
Object.defineProperty(EventEmitter, 'defaultMaxListeners', {
  enumerable: true,
  get: () => defaultMaxListeners,
  set: (n) => {
    defaultMaxListeners = n;
  },
});
export { EventEmitter };
export default EventEmitter;
