// The modules `http`, `https` and, as far as clients feature-detect it, `http2`.

import { offer } from '../loader/builtins.js';
import { unsupported } from '../core/host.js';
import { later } from '../core/loop.js';
import { coded } from '../core/errors.js';
import { EventEmitter } from './events.js';
import { Buffer } from './buffer.js';
import { Server as NetServer, Socket, callable } from './net.js';
import { Agent, HttpsAgent, ClientRequest, httpAgent, httpsAgent } from './http-client.js';
import {
  IncomingMessage,
  IncomingMessage_,
  METHODS,
  OutgoingMessage,
  OutgoingMessage_,
  STATUS_CODES,
  validateHeaderName,
  validateHeaderValue,
} from './http-messages.js';

class ServerResponse_ extends OutgoingMessage_ {
  constructor(request) {
    super({});
    Object.assign(this, {
      statusCode: 200,
      statusMessage: undefined,
      req: request,
      _sent100: false,
      _expect_continue: false,
    });
  }
  assignSocket(socket) {
    this.socket = socket;
  }
  detachSocket() {
    this.socket = null;
  }
  writeContinue() {}
  writeProcessing() {}
  writeEarlyHints() {}
  writeHead(status, reason, headers) {
    if (this.headersSent)
      throw coded(Error, 'ERR_HTTP_HEADERS_SENT', 'Cannot write headers after they are sent to the client');
    const code = status | 0;
    if (code < 100 || code > 999)
      throw coded(RangeError, 'ERR_HTTP_INVALID_STATUS_CODE', `Invalid status code: ${status}`);
    this.statusCode = code;
    this.statusMessage = typeof reason === 'string' ? reason : (this.statusMessage ?? STATUS_CODES[code] ?? 'unknown');
    const given = typeof reason === 'string' ? headers : reason;
    if (Array.isArray(given))
      for (let i = 0; i < given.length; i += 2)
        this.setHeader(...(Array.isArray(given[i]) ? given[i] : [given[i], given[i + 1]]));
    else for (const name of Object.keys(given ?? {})) if (given[name] !== undefined) this.setHeader(name, given[name]);
    this.headersSent = true;
    this._header = `HTTP/1.1 ${code} ${this.statusMessage}\r\n`;
    return this;
  }
  writeHeader(...args) {
    return this.writeHead(...args);
  }
  _write(chunk, encoding, done) {
    if (!this.headersSent) this.writeHead(this.statusCode);
    super._write(chunk, encoding, done);
  }
  _final(done) {
    if (!this.headersSent) this.writeHead(this.statusCode);
    done();
    later(0, () => this.emit('close'));
  }
  _implicitHeader() {
    this.writeHead(this.statusCode);
  }
}
const ServerResponse = callable(ServerResponse_);

class Server_ extends NetServer {
  constructor(options, listener) {
    super({});
    const callback = typeof options === 'function' ? options : listener;
    if (callback) this.on('request', callback);
    Object.assign(this, {
      timeout: 0,
      keepAliveTimeout: 5000,
      maxHeadersCount: null,
      headersTimeout: 60_000,
      requestTimeout: 300_000,
      maxRequestsPerSocket: 0,
    });
    this._protocol = 'http';
  }
  setTimeout(ms, callback) {
    this.timeout = ms;
    if (callback) this.on('timeout', callback);
    return this;
  }
}
class HttpsServer_ extends Server_ {
  constructor(options, listener) {
    super(options, listener);
    this._protocol = 'https';
  }
  addContext() {}
  setSecureContext() {}
}

/** Brings a request to a handler as if it had come over the network. Resolves with what was answered. */
export function inject(handle, { method = 'GET', url = '/', headers = {}, body }) {
  const socket = Object.assign(new Socket(), { remoteAddress: '192.0.2.99', remotePort: 51_515, encrypted: false });
  const request = new IncomingMessage_(socket);
  Object.assign(request, { method, url });
  const bytes = body === undefined ? null : Buffer.from(body);
  request._take(
    Object.entries({ host: 'localhost:1880', ...(bytes ? { 'content-length': `${bytes.length}` } : {}), ...headers }),
  );
  const response = new ServerResponse_(request);
  response.assignSocket(socket);
  const done = new Promise((resolve) =>
    response.once('finish', () =>
      resolve({ status: response.statusCode, headers: response.getHeaders(), body: Buffer.concat(response._parts) }),
    ),
  );
  handle(request, response);
  request._fill(bytes);
  return done;
}

function make(protocol, DefaultAgent, agent, Server) {
  const request = (input, options, callback) => new ClientRequest(input, options, callback, protocol);
  return {
    METHODS,
    STATUS_CODES,
    Agent: callable(DefaultAgent),
    ClientRequest: callable(ClientRequest),
    IncomingMessage,
    OutgoingMessage,
    ServerResponse,
    Server: callable(Server),
    createServer: (options, listener) => new Server(options, listener),
    validateHeaderName,
    validateHeaderValue,
    maxHeaderSize: 16_384,
    setMaxIdleHTTPParsers() {},
    _connectionListener() {},
    globalAgent: agent,
    request,
    get: (input, options, callback) => {
      const out = request(input, options, callback);
      out.end();
      return out;
    },
    WebSocket: undefined,
    CloseEvent: globalThis.CloseEvent,
    MessageEvent: globalThis.MessageEvent,
  };
}
const http = make('http:', Agent, httpAgent, Server_);
const all = make('https:', HttpsAgent, httpsAgent, HttpsServer_);
const https = {
  Agent: all.Agent,
  globalAgent: all.globalAgent,
  Server: all.Server,
  createServer: all.createServer,
  get: all.get,
  request: all.request,
};

const none = (what) => () => {
  unsupported(`http2.${what}`);
  throw coded(Error, 'ERR_HTTP2_ERROR', `http2.${what} is not available`);
};
class Session extends EventEmitter {
  constructor(authority) {
    super();
    Object.assign(this, { destroyed: false, closed: false, originSet: [`${authority}`], socket: new Socket() });
  }
  request() {
    return none('request')();
  }
  close(callback) {
    this.closed = true;
    later(0, () => {
      callback?.();
      this.emit('close');
    });
  }
  destroy() {
    this.destroyed = true;
    later(0, () => this.emit('close'));
  }
  setTimeout() {
    return this;
  }
  ref() {}
  unref() {}
  ping(callback) {
    later(0, () => callback?.(null, 1, Buffer.alloc(8)));
    return true;
  }
  goaway() {}
  settings() {}
}
const constants = {
  HTTP2_HEADER_STATUS: ':status',
  HTTP2_HEADER_METHOD: ':method',
  HTTP2_HEADER_AUTHORITY: ':authority',
  HTTP2_HEADER_SCHEME: ':scheme',
  HTTP2_HEADER_PATH: ':path',
  HTTP2_HEADER_CONTENT_TYPE: 'content-type',
  HTTP2_HEADER_CONTENT_LENGTH: 'content-length',
  HTTP2_HEADER_COOKIE: 'cookie',
  HTTP2_HEADER_LOCATION: 'location',
  HTTP2_HEADER_SET_COOKIE: 'set-cookie',
  HTTP2_METHOD_GET: 'GET',
  HTTP2_METHOD_POST: 'POST',
  NGHTTP2_CANCEL: 8,
  NGHTTP2_NO_ERROR: 0,
  NGHTTP2_REFUSED_STREAM: 7,
  HTTP_STATUS_OK: 200,
};
const http2 = {
  constants,
  sensitiveHeaders: Symbol('nodejs.http2.sensitiveHeaders'),
  connect: (authority, options, listener) => {
    const session = new Session(authority);
    const callback = typeof options === 'function' ? options : listener;
    unsupported('http2.connect');
    later(1, () => {
      callback?.(session);
      session.emit('error', coded(Error, 'ERR_HTTP2_SESSION_ERROR', 'Session closed with error code 1'));
    });
    return session;
  },
  createServer: (options, listener) => new Server_(options, listener),
  createSecureServer: (options, listener) => new HttpsServer_(options, listener),
  getDefaultSettings: () => ({}),
  getPackedSettings: () => Buffer.alloc(0),
  getUnpackedSettings: () => ({}),
  performServerHandshake: none('performServerHandshake'),
  Http2ServerRequest: class Http2ServerRequest {},
  Http2ServerResponse: class Http2ServerResponse {},
};
offer('http', http);
offer('https', https);
offer('http2', http2);
offer('_http_agent', { Agent: http.Agent, globalAgent: httpAgent });
offer('_http_client', { ClientRequest: http.ClientRequest });
offer('_http_common', {
  methods: METHODS,
  _checkIsHttpToken: (t) => /^[\^_`a-zA-Z\-0-9!#$%&'*+.|~]+$/.test(t),
  _checkInvalidHeaderChar: (t) => /[^\t\x20-\x7e\x80-\xff]/.test(t),
});
offer('_http_incoming', { IncomingMessage });
offer('_http_outgoing', { OutgoingMessage });
offer('_http_server', { Server: http.Server, ServerResponse, STATUS_CODES });
export { http, https, ServerResponse_, IncomingMessage_, Server_ };
