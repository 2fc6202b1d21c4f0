// The module `net`: sockets whose other end is the host's.

import { offer } from '../loader/builtins.js';
import { call, mark, under } from '../core/host.js';
import { later } from '../core/loop.js';
import { coded, systemError } from '../core/errors.js';
import { EventEmitter } from './events.js';
import { Duplex } from './stream.js';
import { Buffer } from './buffer.js';

export function isIP(text) {
  const s = `${text}`;
  if (/^(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/.test(s)) return 4;
  if (!/^[0-9a-fA-F:.]+(%.+)?$/.test(s) || !s.includes(':') || s.includes(':::') || (s.match(/::/g) ?? []).length > 1)
    return 0;
  const groups = s.replace(/%.*$/, '').split(':');
  if (groups.length > 8 || (!s.includes('::') && groups.length !== 8 && !s.includes('.'))) return 0;
  return groups.every((g, i) => /^[0-9a-fA-F]{0,4}$/.test(g) || (i === groups.length - 1 && isIP(g) === 4)) ? 6 : 0;
}

/** Options of `connect` from any of its forms. */
export function connectOptions(args) {
  const list = [...args];
  const callback = typeof list.at(-1) === 'function' ? list.pop() : undefined;
  const first = list[0];
  if (typeof first === 'object' && first !== null) return [{ ...first }, callback];
  if (typeof first === 'string' && Number.isNaN(+first)) return [{ path: first }, callback];
  return [
    {
      port: first,
      host: typeof list[1] === 'string' ? list[1] : undefined,
      ...(typeof list.at(-1) === 'object' ? list.at(-1) : {}),
    },
    callback,
  ];
}

export class Socket extends Duplex {
  _protocol = 'tcp';
  _link = null;
  _who = 0;
  constructor(options = {}) {
    super({
      allowHalfOpen: options.allowHalfOpen ?? false,
      autoDestroy: true,
      emitClose: true,
      decodeStrings: false,
      signal: options.signal,
      highWaterMark: options.highWaterMark,
    });
    for (const name of ['_protocol', '_link', '_who']) Object.defineProperty(this, name, { enumerable: false });
    Object.assign(this, {
      connecting: false,
      bytesRead: 0,
      bytesWritten: 0,
      timeout: undefined,
      remoteAddress: undefined,
      remotePort: undefined,
      remoteFamily: undefined,
      localAddress: undefined,
      localPort: undefined,
      autoSelectFamilyAttemptedAddresses: undefined,
    });
    this._hadError = false;
    this._timer = null;
    this.on('end', () => {
      if (!this.allowHalfOpen) this.end();
    });
  }
  get pending() {
    return this._link === null;
  }
  get readyState() {
    return this.connecting ? 'opening' : this.destroyed || this._link === null ? 'closed' : 'open';
  }
  get bufferSize() {
    return this.writableLength;
  }
  connect(...args) {
    const [options, callback] = connectOptions(args);
    if (callback) this.once('connect', callback);
    const port = options.path ? 0 : Number(options.port);
    if (!options.path && !(port >= 0 && port <= 65535 && Number.isInteger(port))) {
      if (options.port === undefined)
        throw coded(TypeError, 'ERR_MISSING_ARGS', 'The "options" or "port" or "path" argument must be specified');
      throw coded(
        RangeError,
        'ERR_SOCKET_BAD_PORT',
        `Port should be >= 0 and < 65536. Received ${typeof options.port === 'string' ? `type string ('${options.port}')` : `type ${typeof options.port} (${options.port})`}.`,
      );
    }
    this.connecting = true;
    const host = options.path ? options.path : `${options.host ?? options.hostname ?? 'localhost'}`;
    this._host = host;
    this._who = mark();
    const open = () => {
      if (this.destroyed) return;
      let answer;
      try {
        answer = under(this._who, () =>
          call('net.connect', {
            __proto__: null,
            protocol: options.path ? 'unix' : this._protocol,
            host,
            port,
            tls: this._protocol === 'tls',
            insecure: this._insecure === true,
            servername: options.servername,
            path: options.path,
          }),
        );
      } catch (error) {
        this.connecting = false;
        this.destroy(
          error.code === 'ENOTFOUND'
            ? systemError('ENOTFOUND', 'getaddrinfo', { hostname: host })
            : systemError(error.code, 'connect', { address: host, port }),
        );
        return;
      }
      if (answer.answer === 'timeout') {
        later(120_000, () => {
          if (this.connecting) {
            this.connecting = false;
            this.destroy(systemError('ETIMEDOUT', 'connect', { address: host, port }));
          }
        });
        return;
      }
      if (answer.answer !== 'open') {
        this.connecting = false;
        this.destroy(systemError('ECONNREFUSED', 'connect', { address: answer.address ?? host, port }));
        return;
      }
      this._link = answer.id;
      Object.assign(this, {
        connecting: false,
        remoteAddress: answer.address ?? host,
        remotePort: port,
        remoteFamily: 'IPv4',
        localAddress: '192.0.2.23',
        localPort: 41000 + (answer.id % 20000),
      });
      if (isIP(host) === 0 && !options.path) this.emit('lookup', null, this.remoteAddress, 4, host);
      this._connected();
      this.emit('connect');
      this.emit('ready');
      this._deliver(answer);
      this.read(0);
    };
    later(1, open);
    this._arm();
    return this;
  }
  _connected() {}
  /** Joins the socket to a link that stands already, as after an upgrade. */
  _adopt(id) {
    this._link = id;
    return this;
  }
  _deliver(answer) {
    for (const { after_ms: after, base64 } of answer?.deliver ?? []) {
      later(after, () => {
        if (this.destroyed) return;
        const bytes = Buffer.from(base64, 'base64');
        this.bytesRead += bytes.length;
        this._arm();
        this.push(bytes);
      });
    }
    if (answer?.close)
      later((answer.deliver?.at(-1)?.after_ms ?? 0) + 1, () => {
        if (!this.destroyed) this.push(null);
      });
  }
  _read() {}
  _write(chunk, encoding, done) {
    if (this._link === null && !this.destroyed) {
      if (!this.connecting) return done(systemError('EPIPE', 'write'));
      return this.once('connect', () => this._write(chunk, encoding, done));
    }
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
    this.bytesWritten += bytes.length;
    this._arm();
    let answer;
    try {
      answer = under(this._who, () => call('net.send', { __proto__: null, id: this._link }, bytes));
    } catch (error) {
      return done(systemError(error.code, 'write'));
    }
    this._deliver(answer);
    later(0, () => done());
    return undefined;
  }
  _final(done) {
    if (this.connecting) return this.once('connect', () => this._final(done));
    done();
    later(2, () => {
      if (!this.destroyed && !this.readableEnded && !this.allowHalfOpen) this.push(null);
    });
    return undefined;
  }
  _destroy(error, done) {
    if (this._timer) clearTimeout(this._timer);
    this._hadError = Boolean(error);
    if (this._link !== null) {
      try {
        call('net.close', { __proto__: null, id: this._link });
      } catch {
        /* closed by the host */
      }
    }
    this.connecting = false;
    done(error);
  }
  emit(type, ...args) {
    return type === 'close' && args.length === 0 ? super.emit('close', this._hadError) : super.emit(type, ...args);
  }
  _arm() {
    if (this._timer) clearTimeout(this._timer);
    this._timer = this.timeout ? setTimeout(() => this.emit('timeout'), this.timeout) : null;
  }
  setTimeout(ms, callback) {
    this.timeout = ms;
    if (callback) {
      if (ms) this.once('timeout', callback);
      else this.removeListener('timeout', callback);
    }
    this._arm();
    return this;
  }
  setNoDelay() {
    return this;
  }
  setKeepAlive() {
    return this;
  }
  ref() {
    return this;
  }
  unref() {
    return this;
  }
  address() {
    return this._link === null ? {} : { address: this.localAddress, family: 'IPv4', port: this.localPort };
  }
  destroySoon() {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }
  resetAndDestroy() {
    return this.destroy();
  }
}

export class Server extends EventEmitter {
  constructor(options, listener) {
    super();
    const callback = typeof options === 'function' ? options : listener;
    Object.assign(this, { listening: false, maxConnections: undefined, _connections: 0, connections: 0 });
    this._address = null;
    this._protocol ??= 'tcp';
    if (typeof callback === 'function') this.on('connection', callback);
  }
  listen(...args) {
    const [options, callback] = connectOptions(
      args[0] === undefined || args[0] === null || typeof args[0] === 'function'
        ? [0, ...args.filter((a) => typeof a === 'function')]
        : args,
    );
    if (callback) this.once('listening', callback);
    if (this.listening)
      throw coded(Error, 'ERR_SERVER_ALREADY_LISTEN', 'Listen method has been called more than once without closing.');
    const port = options.path ? 0 : Number(options.port ?? 0);
    if (!(port >= 0 && port <= 65535))
      throw coded(
        RangeError,
        'ERR_SOCKET_BAD_PORT',
        `options.port should be >= 0 and < 65536. Received ${options.port}.`,
      );
    let answer;
    try {
      answer = call('net.listen', {
        __proto__: null,
        protocol: options.path ? 'unix' : this._protocol,
        host: options.path ?? options.host ?? '::',
        port,
      });
    } catch (error) {
      later(0, () => this.emit('error', systemError(error.code, 'listen', { address: options.host ?? '::', port })));
      return this;
    }
    this.listening = true;
    this._address = options.path ?? {
      address: options.host ?? '::',
      family: isIP(options.host ?? '::') === 4 ? 'IPv4' : 'IPv6',
      port: answer?.port || port || 43_210,
    };
    later(0, () => {
      if (this.listening) this.emit('listening');
    });
    return this;
  }
  close(callback) {
    if (callback)
      this.once(
        'close',
        this.listening ? callback : () => callback(coded(Error, 'ERR_SERVER_NOT_RUNNING', 'Server is not running.')),
      );
    this.listening = false;
    later(0, () => this.emit('close'));
    return this;
  }
  address() {
    return this._address;
  }
  getConnections(callback) {
    later(0, () => callback(null, 0));
    return this;
  }
  closeAllConnections() {}
  closeIdleConnections() {}
  ref() {
    return this;
  }
  unref() {
    return this;
  }
  async [Symbol.asyncDispose]() {
    this.close();
  }
}

const connect = (...args) => {
  const [options] = connectOptions(args);
  const socket = new Socket(options);
  if (options.timeout) socket.setTimeout(options.timeout);
  return socket.connect(...args);
};
export class BlockList {
  #list = [];
  addAddress(a) {
    this.#list.push(a);
  }
  addRange() {}
  addSubnet() {}
  check(a) {
    return this.#list.includes(a);
  }
  get rules() {
    return this.#list.map((a) => `Address: IPv4 ${a}`);
  }
}
export class SocketAddress {
  constructor({ address = '127.0.0.1', port = 0, family = 'ipv4', flowlabel = 0 } = {}) {
    Object.assign(this, { address, port, family, flowlabel });
  }
}

/** Classes of Node.js that old code calls without `new`. */
export const callable = (Class) =>
  new Proxy(Class, {
    apply: (target, self, args) =>
      self instanceof target && self.constructor !== Object
        ? Object.assign(self, new target(...args))
        : new target(...args),
  });
const net = {
  Socket: callable(Socket),
  Stream: callable(Socket),
  Server: callable(Server),
  connect,
  createConnection: connect,
  createServer: (options, listener) => new Server(options, listener),
  isIP,
  isIPv4: (text) => isIP(text) === 4,
  isIPv6: (text) => isIP(text) === 6,
  BlockList,
  SocketAddress,
  getDefaultAutoSelectFamily: () => true,
  setDefaultAutoSelectFamily() {},
  getDefaultAutoSelectFamilyAttemptTimeout: () => 250,
  setDefaultAutoSelectFamilyAttemptTimeout() {},
};
export default offer('net', net);
