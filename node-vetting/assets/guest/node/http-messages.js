// Messages of HTTP as Node.js offers them: what comes in, what goes out, and their headers.

import { coded } from '../core/errors.js';
import { Readable, Writable } from './stream.js';
import { Buffer } from './buffer.js';
import { callable } from './net.js';

export const METHODS = [
  'ACL',
  'BIND',
  'CHECKOUT',
  'CONNECT',
  'COPY',
  'DELETE',
  'GET',
  'HEAD',
  'LINK',
  'LOCK',
  'M-SEARCH',
  'MERGE',
  'MKACTIVITY',
  'MKCALENDAR',
  'MKCOL',
  'MOVE',
  'NOTIFY',
  'OPTIONS',
  'PATCH',
  'POST',
  'PROPFIND',
  'PROPPATCH',
  'PURGE',
  'PUT',
  'QUERY',
  'REBIND',
  'REPORT',
  'SEARCH',
  'SOURCE',
  'SUBSCRIBE',
  'TRACE',
  'UNBIND',
  'UNLINK',
  'UNLOCK',
  'UNSUBSCRIBE',
];
export const STATUS_CODES = {
  100: 'Continue',
  101: 'Switching Protocols',
  102: 'Processing',
  103: 'Early Hints',
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  203: 'Non-Authoritative Information',
  204: 'No Content',
  205: 'Reset Content',
  206: 'Partial Content',
  207: 'Multi-Status',
  208: 'Already Reported',
  226: 'IM Used',
  300: 'Multiple Choices',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  305: 'Use Proxy',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length Required',
  412: 'Precondition Failed',
  413: 'Payload Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  418: "I'm a Teapot",
  421: 'Misdirected Request',
  422: 'Unprocessable Entity',
  423: 'Locked',
  424: 'Failed Dependency',
  425: 'Too Early',
  426: 'Upgrade Required',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  451: 'Unavailable For Legal Reasons',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  506: 'Variant Also Negotiates',
  507: 'Insufficient Storage',
  508: 'Loop Detected',
  509: 'Bandwidth Limit Exceeded',
  510: 'Not Extended',
  511: 'Network Authentication Required',
};

const TOKEN = /^[\^_`a-zA-Z\-0-9!#$%&'*+.|~]+$/;
export function validateHeaderName(name) {
  if (typeof name !== 'string' || !TOKEN.test(name))
    throw coded(TypeError, 'ERR_INVALID_HTTP_TOKEN', `Header name must be a valid HTTP token ["${name}"]`);
}
export function validateHeaderValue(name, value) {
  if (value === undefined)
    throw coded(TypeError, 'ERR_HTTP_INVALID_HEADER_VALUE', `Invalid value "${value}" for header "${name}"`);
  if (/[^\t\x20-\x7e\x80-\xff]/.test(`${value}`))
    throw coded(TypeError, 'ERR_INVALID_CHAR', `Invalid character in header content ["${name}"]`);
}

const SINGLE = new Set([
  'age',
  'authorization',
  'content-length',
  'content-type',
  'etag',
  'expires',
  'from',
  'host',
  'if-modified-since',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
  'referer',
  'retry-after',
  'server',
  'user-agent',
]);

class IncomingMessage_ extends Readable {
  constructor(socket) {
    super({ autoDestroy: false });
    Object.assign(this, {
      socket,
      httpVersion: '1.1',
      httpVersionMajor: 1,
      httpVersionMinor: 1,
      complete: false,
      headers: {},
      rawHeaders: [],
      trailers: {},
      rawTrailers: [],
      aborted: false,
      url: '',
      method: null,
      statusCode: null,
      statusMessage: null,
    });
  }
  get connection() {
    return this.socket;
  }
  set connection(value) {
    this.socket = value;
  }
  get headersDistinct() {
    return Object.fromEntries(Object.entries(this.headers).map(([name, value]) => [name, [].concat(value)]));
  }
  /** Takes headers as pairs. */
  _take(pairs) {
    for (const [given, value] of pairs) {
      this.rawHeaders.push(given, `${value}`);
      const name = given.toLowerCase();
      if (name === 'set-cookie') (this.headers[name] ??= []).push(`${value}`);
      else if (this.headers[name] === undefined) this.headers[name] = `${value}`;
      else if (!SINGLE.has(name)) this.headers[name] += `${name === 'cookie' ? '; ' : ', '}${value}`;
    }
  }
  /** Gives the content. */
  _fill(bytes) {
    if (bytes?.length) this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    this.complete = true;
    this.push(null);
  }
  _read() {}
  _destroy(error, done) {
    done(error);
  }
  setTimeout(ms, callback) {
    this.socket?.setTimeout?.(ms, callback);
    return this;
  }
}
export const IncomingMessage = callable(IncomingMessage_);

class OutgoingMessage_ extends Writable {
  constructor(options) {
    super({ ...options, decodeStrings: true, autoDestroy: false });
    Object.defineProperty(this, '_headers_', { value: new Map() });
    Object.assign(this, {
      headersSent: false,
      sendDate: true,
      chunkedEncoding: false,
      shouldKeepAlive: true,
      finished: false,
      socket: null,
      _header: null,
      _removedConnection: false,
      maxRequestsOnConnectionReached: false,
    });
    this._parts = [];
  }
  get connection() {
    return this.socket;
  }
  set connection(value) {
    this.socket = value;
  }
  get _headers() {
    return this.getHeaders();
  }
  setHeader(name, value) {
    if (this.headersSent)
      throw coded(Error, 'ERR_HTTP_HEADERS_SENT', 'Cannot set headers after they are sent to the client');
    validateHeaderName(name);
    validateHeaderValue(name, value);
    this._headers_.set(name.toLowerCase(), [name, value]);
    return this;
  }
  setHeaders(headers) {
    for (const [name, value] of headers) this.setHeader(name, value);
    return this;
  }
  appendHeader(name, value) {
    const old = this._headers_.get(name.toLowerCase());
    this._headers_.set(name.toLowerCase(), [name, old === undefined ? value : [].concat(old[1], value)]);
    return this;
  }
  getHeader(name) {
    return this._headers_.get(`${name}`.toLowerCase())?.[1];
  }
  getHeaders() {
    const out = { __proto__: null };
    for (const [name, [, value]] of this._headers_) out[name] = value;
    return out;
  }
  getHeaderNames() {
    return [...this._headers_.keys()];
  }
  getRawHeaderNames() {
    return [...this._headers_.values()].map(([name]) => name);
  }
  hasHeader(name) {
    return this._headers_.has(`${name}`.toLowerCase());
  }
  removeHeader(name) {
    if (this.headersSent)
      throw coded(Error, 'ERR_HTTP_HEADERS_SENT', 'Cannot remove headers after they are sent to the client');
    this._headers_.delete(`${name}`.toLowerCase());
  }
  flushHeaders() {
    this.headersSent = true;
  }
  addTrailers() {}
  _send() {}
  _implicitHeader() {}
  /** Headers as pairs, lists spread. */
  _pairs() {
    const out = [];
    for (const [name, value] of this._headers_.values()) for (const one of [].concat(value)) out.push([name, `${one}`]);
    return out;
  }
  _write(chunk, _, done) {
    this.headersSent = true;
    this._parts.push(chunk);
    done();
  }
  end(...args) {
    this.finished = true;
    return super.end(...args);
  }
  setTimeout(ms, callback) {
    if (callback) this.once('timeout', callback);
    return this;
  }
  pipe() {
    throw coded(Error, 'ERR_STREAM_CANNOT_PIPE', 'Cannot pipe, not readable');
  }
}
export const OutgoingMessage = callable(OutgoingMessage_);
export { IncomingMessage_, OutgoingMessage_ };
