// The module `dgram`.

import { offer } from '../loader/builtins.js';
import { call } from '../core/host.js';
import { later } from '../core/loop.js';
import { badArgument, coded, systemError } from '../core/errors.js';
import { EventEmitter } from './events.js';
import { Buffer } from './buffer.js';

class Socket extends EventEmitter {
  #links = new Map();
  #bound = null;
  #closed = false;
  #remote = null;
  constructor(options, listener) {
    super();
    this.type = typeof options === 'string' ? options : options?.type;
    if (this.type !== 'udp4' && this.type !== 'udp6')
      throw coded(TypeError, 'ERR_SOCKET_BAD_TYPE', 'Bad socket type specified. Valid types are: udp4, udp6');
    if (listener) this.on('message', listener);
  }
  #check() {
    if (this.#closed) throw coded(Error, 'ERR_SOCKET_DGRAM_NOT_RUNNING', 'Not running');
  }
  bind(...args) {
    this.#check();
    const callback = typeof args.at(-1) === 'function' ? args.pop() : undefined;
    const options = typeof args[0] === 'object' && args[0] !== null ? args[0] : { port: args[0], address: args[1] };
    if (callback) this.once('listening', callback);
    const host = options.address ?? (this.type === 'udp6' ? '::' : '0.0.0.0');
    const answer = call('net.listen', { __proto__: null, protocol: 'udp', host, port: Number(options.port ?? 0) });
    this.#bound = {
      address: host,
      port: Number(options.port) || answer?.port || 50_123,
      family: this.type === 'udp6' ? 'IPv6' : 'IPv4',
    };
    later(0, () => {
      if (!this.#closed) this.emit('listening');
    });
    return this;
  }
  address() {
    if (!this.#bound) throw systemError('EBADF', 'getsockname');
    return { ...this.#bound };
  }
  connect(port, address, callback) {
    this.#remote = { port, address: typeof address === 'string' ? address : '127.0.0.1', family: 'IPv4' };
    const done = typeof address === 'function' ? address : callback;
    later(0, () => {
      this.emit('connect');
      done?.();
    });
  }
  disconnect() {
    this.#remote = null;
  }
  remoteAddress() {
    return this.#remote;
  }
  send(message, ...args) {
    this.#check();
    const callback = typeof args.at(-1) === 'function' ? args.pop() : undefined;
    let data = Array.isArray(message) ? Buffer.concat(message.map((part) => Buffer.from(part))) : message;
    if (typeof data === 'string') data = Buffer.from(data);
    else if (ArrayBuffer.isView(data)) data = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    else throw badArgument('buffer', 'of type string or an instance of Buffer, TypedArray, or DataView', data);
    if (typeof args[1] === 'number' && (args.length >= 3 || this.#remote)) {
      const [offset, length] = args.splice(0, 2);
      data = data.subarray(offset, offset + length);
    }
    const port = Number(args[0] ?? this.#remote?.port);
    const host = args[1] ?? this.#remote?.address ?? '127.0.0.1';
    if (!(port > 0 && port < 65536))
      throw coded(RangeError, 'ERR_SOCKET_BAD_PORT', `Port should be > 0 and < 65536. Received ${args[0]}.`);
    const key = `${host}:${port}`;
    if (!this.#bound) this.#bound = { address: '0.0.0.0', port: 50_124, family: 'IPv4' };
    try {
      if (!this.#links.has(key))
        this.#links.set(
          key,
          call('net.connect', { __proto__: null, protocol: 'udp', host: `${host}`, port, tls: false, insecure: false }),
        );
      const link = this.#links.get(key);
      const answer = call('net.send', { __proto__: null, id: link.id }, data);
      for (const { after_ms: after, base64 } of answer?.deliver ?? []) {
        later(after, () => {
          const bytes = Buffer.from(base64, 'base64');
          if (!this.#closed)
            this.emit('message', bytes, { address: link.address ?? host, family: 'IPv4', port, size: bytes.length });
        });
      }
      later(0, () => callback?.(null, data.length));
    } catch (error) {
      const failed = systemError(error.code, 'send', { address: host, port });
      later(0, () => (callback ? callback(failed) : this.emit('error', failed)));
    }
  }
  close(callback) {
    this.#check();
    this.#closed = true;
    if (callback) this.once('close', callback);
    for (const link of this.#links.values()) call('net.close', { __proto__: null, id: link.id });
    later(0, () => this.emit('close'));
    return this;
  }
  addMembership(group) {
    if (!group) throw coded(TypeError, 'ERR_MISSING_ARGS', 'The "multicastAddress" argument must be specified');
    call('net.multicast', { __proto__: null, group: `${group}` });
  }
  dropMembership() {}
  addSourceSpecificMembership(_, group) {
    this.addMembership(group);
  }
  dropSourceSpecificMembership() {}
  setBroadcast() {}
  setMulticastInterface() {}
  setMulticastLoopback(on) {
    return on;
  }
  setMulticastTTL(ttl) {
    return ttl;
  }
  setTTL(ttl) {
    return ttl;
  }
  setRecvBufferSize() {}
  setSendBufferSize() {}
  getRecvBufferSize() {
    return 212_992;
  }
  getSendBufferSize() {
    return 212_992;
  }
  getSendQueueCount() {
    return 0;
  }
  getSendQueueSize() {
    return 0;
  }
  ref() {
    return this;
  }
  unref() {
    return this;
  }
}
export default offer('dgram', { Socket, createSocket: (options, listener) => new Socket(options, listener) });
