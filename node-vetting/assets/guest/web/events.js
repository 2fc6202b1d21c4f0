// Event, EventTarget, AbortController and what belongs to them.

import { globals, tag } from '../core/define.js';
import { time, guarded, later } from '../core/loop.js';
import { badArgument, coded } from '../core/errors.js';

class Event {
  #stopped = false;
  #prevented = false;
  #options;
  _target = null;
  constructor(type, options = {}) {
    if (arguments.length === 0) throw coded(TypeError, 'ERR_MISSING_ARGS', 'The "type" argument must be specified');
    Object.defineProperty(this, '_target', { enumerable: false });
    this.#options = {
      bubbles: Boolean(options?.bubbles),
      cancelable: Boolean(options?.cancelable),
      composed: Boolean(options?.composed),
    };
    Object.defineProperty(this, 'isTrusted', { value: false, enumerable: true });
    Object.defineProperty(this, 'type', { value: `${type}`, enumerable: true });
    Object.defineProperty(this, 'timeStamp', { value: time(), enumerable: true });
  }
  get target() {
    return this._target;
  }
  get currentTarget() {
    return this._target;
  }
  get srcElement() {
    return this._target;
  }
  get bubbles() {
    return this.#options.bubbles;
  }
  get cancelable() {
    return this.#options.cancelable;
  }
  get composed() {
    return this.#options.composed;
  }
  get defaultPrevented() {
    return this.#prevented;
  }
  get returnValue() {
    return !this.#prevented;
  }
  get eventPhase() {
    return this._target ? 2 : 0;
  }
  get cancelBubble() {
    return this.#stopped;
  }
  composedPath() {
    return this._target ? [this._target] : [];
  }
  preventDefault() {
    if (this.#options.cancelable) this.#prevented = true;
  }
  stopPropagation() {}
  stopImmediatePropagation() {
    this.#stopped = true;
  }
  static NONE = 0;
  static CAPTURING_PHASE = 1;
  static AT_TARGET = 2;
  static BUBBLING_PHASE = 3;
}

class CustomEvent extends Event {
  #detail;
  constructor(type, options = {}) {
    super(type, options);
    this.#detail = options?.detail ?? null;
  }
  get detail() {
    return this.#detail;
  }
}

class MessageEvent extends Event {
  constructor(type, options = {}) {
    super(type, options);
    this.data = options.data ?? null;
    this.origin = options.origin ?? '';
    this.lastEventId = options.lastEventId ?? '';
    this.ports = options.ports ?? [];
  }
}

class CloseEvent extends Event {
  constructor(type, options = {}) {
    super(type, options);
    this.code = options.code ?? 0;
    this.reason = options.reason ?? '';
    this.wasClean = options.wasClean ?? false;
  }
}

class ErrorEvent extends Event {
  constructor(type, options = {}) {
    super(type, options);
    this.message = options.message ?? '';
    this.error = options.error;
  }
}

class EventTarget {
  #listeners = new Map();
  addEventListener(type, listener, options) {
    if (listener === null || listener === undefined) return;
    if (typeof listener !== 'function' && typeof listener !== 'object')
      throw badArgument('listener', 'an instance of EventListener', listener);
    const { once = false, signal } = typeof options === 'object' && options !== null ? options : {};
    if (signal?.aborted) return;
    const list = this.#listeners.get(`${type}`) ?? [];
    if (list.some((entry) => entry.listener === listener)) return;
    list.push({ listener, once });
    this.#listeners.set(`${type}`, list);
    signal?.addEventListener('abort', () => this.removeEventListener(type, listener), { once: true });
  }
  removeEventListener(type, listener) {
    const list = this.#listeners.get(`${type}`);
    if (list)
      this.#listeners.set(
        `${type}`,
        list.filter((entry) => entry.listener !== listener),
      );
  }
  dispatchEvent(event) {
    if (!(event instanceof Event)) throw badArgument('event', 'an instance of Event', event);
    event._target = this;
    const handler = this[`on${event.type}`];
    if (typeof handler === 'function') guarded(handler, this, [event]);
    for (const entry of [...(this.#listeners.get(event.type) ?? [])]) {
      if (entry.once) this.removeEventListener(event.type, entry.listener);
      const { listener } = entry;
      if (typeof listener === 'function') guarded(listener, this, [event]);
      else if (typeof listener.handleEvent === 'function') guarded(listener.handleEvent, listener, [event]);
      if (event.cancelBubble) break;
    }
    return !event.defaultPrevented;
  }
}

const MAKE = Symbol('make');
class AbortSignal extends EventTarget {
  #aborted = false;
  #reason;
  constructor(key) {
    if (key !== MAKE) throw coded(TypeError, 'ERR_ILLEGAL_CONSTRUCTOR', 'Illegal constructor');
    super();
    this.onabort = null;
    Object.defineProperty(this, 'onabort', { enumerable: false, writable: true });
  }
  get aborted() {
    return this.#aborted;
  }
  get reason() {
    return this.#reason;
  }
  throwIfAborted() {
    if (this.#aborted) throw this.#reason;
  }
  static _abort(signal, reason) {
    if (signal.#aborted) return;
    signal.#aborted = true;
    signal.#reason = reason === undefined ? new DOMException('This operation was aborted', 'AbortError') : reason;
    signal.dispatchEvent(new Event('abort'));
  }
  static abort(reason) {
    const signal = new AbortSignal(MAKE);
    abort(signal, reason);
    return signal;
  }
  static timeout(ms) {
    const signal = new AbortSignal(MAKE);
    later(ms, () => abort(signal, new DOMException('The operation was aborted due to timeout', 'TimeoutError')));
    return signal;
  }
  static any(signals) {
    const out = new AbortSignal(MAKE);
    for (const signal of signals) {
      if (signal.aborted) {
        abort(out, signal.reason);
        break;
      }
      signal.addEventListener('abort', () => abort(out, signal.reason), { once: true });
    }
    return out;
  }
}
const abort = AbortSignal._abort;
delete AbortSignal._abort;

class AbortController {
  #signal = new AbortSignal(MAKE);
  get signal() {
    return this.#signal;
  }
  abort(reason) {
    abort(this.#signal, reason);
  }
}

for (const Class of [
  Event,
  CustomEvent,
  MessageEvent,
  CloseEvent,
  ErrorEvent,
  EventTarget,
  AbortSignal,
  AbortController,
])
  tag(Class);
globals({ Event, CustomEvent, MessageEvent, CloseEvent, EventTarget, AbortSignal, AbortController });
export { Event, CustomEvent, MessageEvent, CloseEvent, ErrorEvent, EventTarget, AbortSignal, AbortController };
