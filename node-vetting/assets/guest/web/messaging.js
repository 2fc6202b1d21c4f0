// structuredClone, MessageChannel, BroadcastChannel.

import { globals, tag } from '../core/define.js';
import { EventTarget, MessageEvent } from './events.js';
import { immediate } from '../core/loop.js';

const refuse = (what) => {
  throw new DOMException(`${what} could not be cloned.`, 'DataCloneError');
};

function copy(value, seen) {
  if (typeof value === 'function') refuse(`${value}`);
  if (typeof value === 'symbol') refuse(String(value));
  if (typeof value !== 'object' || value === null) return value;
  if (seen.has(value)) return seen.get(value);
  const keep = (out) => (seen.set(value, out), out);
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (value instanceof Date) return keep(new Date(value.getTime()));
  if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
  if (value instanceof ArrayBuffer) return keep(value.slice(0));
  if (ArrayBuffer.isView(value)) {
    const buffer = copy(value.buffer, seen);
    const name = value instanceof Uint8Array ? 'Uint8Array' : kind;
    return keep(new globalThis[name](buffer, value.byteOffset, name === 'DataView' ? value.byteLength : value.length));
  }
  if (value instanceof Map) {
    const out = keep(new Map());
    for (const [k, v] of [...value]) out.set(copy(k, seen), copy(v, seen));
    return out;
  }
  if (value instanceof Set) {
    const out = keep(new Set());
    for (const v of [...value]) out.add(copy(v, seen));
    return out;
  }
  if (value instanceof Error) {
    const Kind = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError }[value.name] ?? Error;
    const out = keep(new Kind(value.message));
    Object.defineProperty(out, 'stack', { value: value.stack, writable: true, configurable: true });
    if ('cause' in value)
      Object.defineProperty(out, 'cause', { value: copy(value.cause, seen), writable: true, configurable: true });
    return out;
  }
  if (value instanceof Number || value instanceof String || value instanceof Boolean)
    return keep(Object(value.valueOf()));
  if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef)
    refuse(`#<${kind}>`);
  const out = keep(Array.isArray(value) ? new Array(value.length) : {});
  for (const name of Object.keys(value)) out[name] = copy(value[name], seen);
  return out;
}

/** A deep copy by the rules of the structured clone algorithm. */
export function structuredClone(value, options) {
  if (arguments.length === 0) throw new TypeError('The "value" argument must be specified');
  const out = copy(value, new Map());
  for (const item of options?.transfer ?? [])
    if (item instanceof ArrayBuffer && typeof item.transfer === 'function') item.transfer();
  return out;
}

class MessagePort extends EventTarget {
  _peer = null;
  #open = true;
  onmessage = null;
  constructor() {
    super();
    Object.defineProperty(this, '_peer', { enumerable: false });
  }
  postMessage(message) {
    const data = structuredClone(message);
    const peer = this._peer;
    if (!this.#open || peer === null) return;
    immediate(() => peer.dispatchEvent(new MessageEvent('message', { data })));
  }
  start() {}
  close() {
    this.#open = false;
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
  on(type, listener) {
    this.addEventListener(type, (event) => listener(event.data));
    return this;
  }
  once(type, listener) {
    this.addEventListener(type, (event) => listener(event.data), { once: true });
    return this;
  }
  off(type, listener) {
    this.removeEventListener(type, listener);
    return this;
  }
}

class MessageChannel {
  constructor() {
    this.port1 = new MessagePort();
    this.port2 = new MessagePort();
    this.port1._peer = this.port2;
    this.port2._peer = this.port1;
  }
}

class BroadcastChannel extends EventTarget {
  constructor(name) {
    super();
    this.name = `${name}`;
    this.onmessage = null;
  }
  postMessage() {}
  close() {}
  ref() {
    return this;
  }
  unref() {
    return this;
  }
}

globals({
  structuredClone,
  MessageChannel: tag(MessageChannel),
  MessagePort: tag(MessagePort),
  BroadcastChannel: tag(BroadcastChannel),
});
export { MessageChannel, MessagePort, BroadcastChannel };
