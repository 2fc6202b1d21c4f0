// The class of all nodes.

import { EventEmitter } from '../node/events.js';
import util from '../node/util.js';
import { later } from '../core/loop.js';
import { context } from './context.js';
import { cloneMessage, generateId } from './util.js';
import { log } from './log.js';

/** What the driver sees of nodes: what they send, what state they show, what they say. */
export const observed = { sent: [], failed: [], onSend: () => {} };

export function Node(config) {
  EventEmitter.call(this);
  this.id = config.id;
  this.type = config.type;
  this.z = config.z;
  this.g = config.g;
  this._closeCallbacks = [];
  this._inputCallback = null;
  this._inputCallbacks = null;
  if (config.name) this.name = config.name;
  if (config._alias) this._alias = config._alias;
  if (config._flow) Object.defineProperty(this, '_flow', { value: config._flow, configurable: true, writable: true });
  this.updateWires(config.wires);
}
util.inherits(Node, EventEmitter);

const members = {
  updateWires(wires) {
    this.wires = wires || [];
    this._wireCount = this.wires.reduce((sum, port) => sum + (port?.length ?? 0), 0);
  },
  context() {
    return (this._context ??= context(this.id, this.z));
  },
  on(event, callback) {
    if (event === 'input') {
      (this._inputCallbacks ??= []).push(callback);
      return undefined;
    }
    if (event === 'close') {
      this._closeCallbacks.push(callback);
      return undefined;
    }
    return EventEmitter.prototype.on.call(this, event, callback);
  },
  emit(event, ...args) {
    if (event === 'input') {
      this._emitInput(args[0]);
      return true;
    }
    return EventEmitter.prototype.emit.call(this, event, ...args);
  },
  removeListener(name, listener) {
    if (name === 'input') this._inputCallbacks = (this._inputCallbacks ?? []).filter((one) => one !== listener);
    else if (name === 'close') this._closeCallbacks = this._closeCallbacks.filter((one) => one !== listener);
    else return EventEmitter.prototype.removeListener.call(this, name, listener);
    return this;
  },
  removeAllListeners(name) {
    if (name === 'input') this._inputCallbacks = null;
    else if (name === 'close') this._closeCallbacks = [];
    else return EventEmitter.prototype.removeAllListeners.call(this, name);
    return this;
  },
  _emitInput(arg) {
    const send = (...args) => this.send(...args);
    const done = (error) => this._complete(arg, error);
    for (const callback of [...(this._inputCallbacks ?? [])]) {
      try {
        const result = callback.call(this, arg, send, done);
        if (typeof result?.then === 'function' && callback.constructor?.name === 'AsyncFunction')
          result.catch((error) => this.error(error, arg));
      } catch (error) {
        this.error(error, arg);
      }
    }
  },
  _complete(msg, error) {
    if (error) this.error(error, msg);
  },
  receive(msg) {
    const given = msg ?? {};
    given._msgid ??= generateId();
    this.emit('input', given);
  },
  send(msg) {
    if (msg === null || msg === undefined) return;
    const ports = Array.isArray(msg) ? msg : [msg];
    ports.forEach((port, output) => {
      for (const one of Array.isArray(port) ? port : [port]) {
        if (one === null || one === undefined) continue;
        if (typeof one !== 'object') {
          this.error(`Function tried to send a message of type ${typeof one}`);
          continue;
        }
        one._msgid ??= generateId();
        if (observed.sent.length < 2000) observed.sent.push({ node: this.id, type: this.type, output });
        observed.onSend(this, output, one);
        for (const target of this.wires[output] ?? []) {
          const node = Node.find(target);
          if (node) later(0, () => node.receive(cloneMessage(one)));
        }
      }
    });
  },
  close(removed) {
    const done = [];
    for (const callback of this._closeCallbacks) {
      if (callback.length > 0) {
        done.push(
          new Promise((resolve) => {
            try {
              const args = callback.length === 1 ? [resolve] : [Boolean(removed), resolve];
              callback.apply(this, args);
            } catch (error) {
              resolve();
              this.error(error);
            }
          }),
        );
      } else {
        try {
          callback.call(this);
        } catch (error) {
          this.error(error);
        }
      }
    }
    return Promise.all(done);
  },
  status(status) {
    this._status = status;
    Node.onStatus(this, status);
  },
  log(msg) {
    said(this, log.INFO, msg);
  },
  warn(msg) {
    said(this, log.WARN, msg);
  },
  error(text, msg) {
    if (text instanceof Error || typeof text === 'string')
      observed.failed.push({ type: this.type, said: `${text?.stack ?? text}` });
    said(this, log.ERROR, text);
    Node.onError(this, text, msg);
  },
  debug(msg) {
    said(this, log.DEBUG, msg);
  },
  trace(msg) {
    said(this, log.TRACE, msg);
  },
  metric(id, msg, value) {
    return value === undefined ? false : undefined;
  },
  assertPartialNode() {},
};
for (const name of Object.keys(members))
  Object.defineProperty(Node.prototype, name, {
    value: members[name],
    writable: true,
    configurable: true,
    enumerable: true,
  });
Node.prototype.addListener = Node.prototype.on;
Node.find = () => null;
Node.onStatus = () => {};
Node.onError = () => {};

function said(node, level, msg) {
  log.log({
    level,
    id: node.id,
    type: node.type,
    name: node.name,
    msg,
    timestamp: Date.now(),
    z: node.z,
    path: node._path ?? node.id,
  });
}
