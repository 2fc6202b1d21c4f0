// The asking half of `http` and `https`.

import { mark, under } from '../core/host.js';
import { exchange } from '../core/network.js';
import { later } from '../core/loop.js';
import { badArgument, coded, systemError } from '../core/errors.js';
import { Buffer } from './buffer.js';
import { EventEmitter } from './events.js';
import { Socket } from './net.js';
import { TLSSocket } from './tls.js';
import { IncomingMessage_, OutgoingMessage_ } from './http-messages.js';
import { URL } from '../web/url.js';

class Agent extends EventEmitter {
  constructor(options = {}) {
    super();
    Object.assign(this, {
      options: { noDelay: true, path: null, ...options },
      requests: {},
      sockets: {},
      freeSockets: {},
      keepAliveMsecs: options.keepAliveMsecs ?? 1000,
      keepAlive: options.keepAlive ?? false,
      maxSockets: options.maxSockets ?? Infinity,
      maxFreeSockets: options.maxFreeSockets ?? 256,
      scheduling: 'lifo',
      maxTotalSockets: Infinity,
      totalSocketCount: 0,
      defaultPort: 80,
      protocol: 'http:',
    });
  }
  getName({ host = 'localhost', port = '', localAddress = '' } = {}) {
    return `${host}:${port}:${localAddress}`;
  }
  createConnection(options, callback) {
    const socket = new Socket(options).connect(options);
    if (callback) callback(null, socket);
    return socket;
  }
  keepSocketAlive() {
    return true;
  }
  reuseSocket() {}
  destroy() {}
}
class HttpsAgent extends Agent {
  constructor(options) {
    super(options);
    Object.assign(this, { defaultPort: 443, protocol: 'https:', maxCachedSessions: 100 });
  }
  createConnection(options, callback) {
    const socket = new TLSSocket(undefined, options).connect(options);
    if (callback) callback(null, socket);
    return socket;
  }
}

/** Options from a URL as `url.urlToHttpOptions` gives them. */
export const fromUrl = (url) => {
  const out = {
    protocol: url.protocol,
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    hash: url.hash,
    search: url.search,
    pathname: url.pathname,
    path: `${url.pathname}${url.search}`,
    href: url.href,
  };
  if (url.port !== '') out.port = Number(url.port);
  if (url.username || url.password)
    out.auth = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return out;
};

function optionsOf(input, given, callback, protocol) {
  let options = input;
  if (typeof input === 'string') options = fromUrl(new URL(input));
  else if (input instanceof URL || (input?.href && input?.searchParams)) options = fromUrl(input);
  else {
    [options, given, callback] = [{ ...input }, undefined, given];
  }
  if (typeof given === 'function') [given, callback] = [undefined, given];
  options = Object.assign({}, options, given);
  options.protocol ??= options.agent?.protocol ?? protocol;
  if (options.agent && options.agent.protocol && options.protocol !== options.agent.protocol && !options._defaultAgent)
    options.protocol = options.agent.protocol;
  return [options, callback];
}

class ClientRequest extends OutgoingMessage_ {
  constructor(input, given, called, protocol = 'http:') {
    super({});
    const [options, callback] = optionsOf(input, given, called, protocol);
    if (options.protocol !== 'http:' && options.protocol !== 'https:')
      throw coded(
        TypeError,
        'ERR_INVALID_PROTOCOL',
        `Protocol "${options.protocol}" not supported. Expected "${protocol}"`,
      );
    if (options.path !== undefined && /[^\u0021-\u00ff]/.test(`${options.path}`))
      throw coded(TypeError, 'ERR_UNESCAPED_CHARACTERS', 'Request path contains unescaped characters');
    const host = options.hostname || options.host || 'localhost';
    if (typeof host !== 'string') throw badArgument('options.hostname', 'of type string', host);
    const secure = options.protocol === 'https:';
    const port = Number(options.port || options.defaultPort || (secure ? 443 : 80));
    Object.assign(this, {
      method: `${options.method ?? 'GET'}`.toUpperCase(),
      path: options.path || '/',
      host,
      protocol: options.protocol,
      agent: options.agent ?? (secure ? httpsAgent : httpAgent),
      aborted: false,
      reusedSocket: false,
      timeout: options.timeout,
      res: null,
      useChunkedEncodingByDefault: true,
      maxHeadersCount: null,
    });
    this._options = options;
    this._who = mark();
    this._port = port;
    const headers = Array.isArray(options.headers)
      ? Object.fromEntries(
          Array.from({ length: options.headers.length / 2 }, (_, i) => options.headers.slice(2 * i, 2 * i + 2)),
        )
      : (options.headers ?? {});
    for (const name of Object.keys(headers)) if (headers[name] !== undefined) this.setHeader(name, headers[name]);
    if (!this.hasHeader('host') && options.setHost !== false)
      this.setHeader(
        'Host',
        host.includes(':') ? `[${host}]` : host + (port === (secure ? 443 : 80) ? '' : `:${port}`),
      );
    if (options.auth && !this.hasHeader('authorization'))
      this.setHeader('Authorization', `Basic ${Buffer.from(options.auth).toString('base64')}`);
    if (callback) this.once('response', callback);
    options.signal?.addEventListener?.(
      'abort',
      () => this.destroy(new DOMException('The operation was aborted', 'AbortError')),
      { once: true },
    );
    // A stand-in for the connection: code hangs its timeouts on it.
    const socket = new (secure ? TLSSocket : Socket)(undefined);
    Object.assign(socket, { connecting: true, remoteAddress: host, remotePort: port, authorized: secure });
    this.socket = socket;
    this.on('error', () => {});
    this.removeAllListeners('error');
    later(0, () => {
      if (this.destroyed) return;
      this.emit('socket', socket);
      socket.connecting = false;
      socket.emit('connect');
      if (secure) socket.emit('secureConnect');
    });
    if (options.timeout) this.setTimeout(options.timeout);
  }
  get writableFinished() {
    return this.finished;
  }
  _final(done) {
    done();
    later(5, () => this.#ask());
  }
  #ask() {
    if (this.destroyed || this.aborted) return;
    const { _options: options } = this;
    const host = this.host.includes(':') ? `[${this.host}]` : this.host;
    const url = options.socketPath
      ? `${this.protocol}//${encodeURIComponent(options.socketPath)}${this.path}`
      : `${this.protocol}//${host}:${this._port}${this.path}`;
    const upgrade = /upgrade/i.test(`${this.getHeader('connection') ?? ''}`);
    const insecure =
      options.rejectUnauthorized === false ||
      this.agent?.options?.rejectUnauthorized === false ||
      globalThis.process.env.NODE_TLS_REJECT_UNAUTHORIZED === '0';
    let answer;
    try {
      const body = this._parts.length ? Buffer.concat(this._parts) : undefined;
      const protocol = upgrade
        ? this.protocol === 'https:'
          ? 'wss'
          : 'ws'
        : options.socketPath
          ? 'unix'
          : this.protocol.slice(0, -1);
      answer = under(this._who, () =>
        exchange(
          {
            method: this.method,
            url,
            headers: this._pairs(),
            insecure: this.protocol === 'https:' && insecure,
            protocol,
          },
          body,
        ),
      );
    } catch (error) {
      const about = { address: this.host, port: this._port };
      if (error.code === 'ETIMEDOUT') {
        this._silent = true;
        if (this._timer) return;
      }
      this.destroy(
        error.code === 'ENOTFOUND'
          ? systemError('ENOTFOUND', 'getaddrinfo', { hostname: this.host })
          : systemError(error.code, 'connect', about),
      );
      return;
    }
    if (this._timer) clearTimeout(this._timer);
    const message = new IncomingMessage_(this.socket);
    this.res = message;
    Object.assign(message, { statusCode: answer.status, statusMessage: answer.message, req: this });
    message._take(answer.headers);
    if (answer.status === 101) {
      if (!this.emit('upgrade', message, this.socket, Buffer.alloc(0))) this.destroy();
      return;
    }
    const heard = this.emit('response', message);
    if (!heard) message.resume();
    message._fill(this.method === 'HEAD' ? null : answer.body);
    message.once('end', () =>
      later(0, () => {
        message.emit('close');
        this.emit('close');
        this.socket.emit('close', false);
      }),
    );
  }
  _destroy(error, done) {
    if (this._timer) clearTimeout(this._timer);
    this.destroyed_ = true;
    if (error === null && this.res === null) error = coded(Error, 'ECONNRESET', 'socket hang up');
    if (this.res !== null && !this.res.readableEnded) {
      this.res.aborted = true;
      this.res.emit('aborted');
      error = null;
    }
    done(error);
    later(0, () => this.emit('close'));
  }
  abort() {
    if (this.aborted) return;
    this.aborted = true;
    globalThis.process.nextTick(() => this.emit('abort'));
    this.destroy();
  }
  setTimeout(ms, callback) {
    if (callback) this.once('timeout', callback);
    if (this._timer) clearTimeout(this._timer);
    this._timer =
      ms > 0
        ? setTimeout(() => {
            if (this.res === null && !this.destroyed) this.emit('timeout');
          }, ms)
        : null;
    return this;
  }
  setNoDelay() {}
  setSocketKeepAlive() {}
  flushHeaders() {}
  onSocket() {}
}

export const httpAgent = new Agent({ keepAlive: true, scheduling: 'lifo', timeout: 5000 });
export const httpsAgent = new HttpsAgent({ keepAlive: true, scheduling: 'lifo', timeout: 5000 });
export { Agent, HttpsAgent, ClientRequest };
