// The module `tls`: the host is told of the connection and sees what is sent in clear.

import { offer } from '../loader/builtins.js';
import { Socket, Server as NetServer, connectOptions, callable } from './net.js';

const certificate = (name) => ({
  subject: { CN: name },
  issuer: { CN: 'Plant CA' },
  subjectaltname: `DNS:${name}`,
  valid_from: 'Jan  1 00:00:00 2026 GMT',
  valid_to: 'Jan  1 00:00:00 2036 GMT',
  fingerprint: '00:11:22',
  fingerprint256: '00:11:22',
  serialNumber: '01',
  raw: globalThis.Buffer.alloc(0),
});

class SecureContext {
  constructor(options) {
    this.context = { options };
  }
}

export class TLSSocket extends Socket {
  _protocol = 'tls';
  constructor(socket, options = {}) {
    super(options);
    Object.assign(this, {
      encrypted: true,
      authorized: true,
      authorizationError: null,
      alpnProtocol: false,
      servername: options.servername,
    });
    Object.defineProperty(this, '_protocol', { enumerable: false });
    this._insecure = options.rejectUnauthorized === false;
    // Over a socket that stands already: the same link goes on.
    if (socket instanceof Socket) {
      this._inner = socket;
      const adopt = () => {
        this._link = socket._link;
        this._who = socket._who;
        this.remoteAddress = socket.remoteAddress;
        this.remotePort = socket.remotePort;
        this._connected();
        this.emit('connect');
      };
      if (socket._link === null) socket.once('connect', adopt);
      else globalThis.process.nextTick(adopt);
      socket.on('data', (data) => this.push(data));
      socket.on('end', () => this.push(null));
      socket.on('error', (error) => this.destroy(error));
    }
  }
  _connected() {
    globalThis.process.nextTick(() => {
      if (this.destroyed) return;
      this.emit('secure');
      this.emit('secureConnect');
    });
  }
  getPeerCertificate() {
    return certificate(this.servername ?? this._host ?? 'peer');
  }
  getPeerX509Certificate() {
    return undefined;
  }
  getCertificate() {
    return {};
  }
  getCipher() {
    return { name: 'TLS_AES_256_GCM_SHA384', standardName: 'TLS_AES_256_GCM_SHA384', version: 'TLSv1.3' };
  }
  getEphemeralKeyInfo() {
    return {};
  }
  getFinished() {
    return undefined;
  }
  getProtocol() {
    return 'TLSv1.3';
  }
  getSession() {
    return globalThis.Buffer.alloc(32);
  }
  getTLSTicket() {
    return undefined;
  }
  isSessionReused() {
    return false;
  }
  setServername(name) {
    this.servername = name;
  }
  setSession() {}
  setMaxSendFragment() {
    return true;
  }
  disableRenegotiation() {}
  renegotiate(options, callback) {
    callback?.(null);
    return true;
  }
  exportKeyingMaterial(length) {
    return globalThis.Buffer.alloc(length);
  }
  enableTrace() {}
}

function connect(...args) {
  const [options, callback] = connectOptions(args);
  const socket = new TLSSocket(options.socket, { servername: options.host, ...options });
  if (callback) socket.once('secureConnect', callback);
  if (!options.socket) socket.connect(options);
  return socket;
}
export class Server extends NetServer {
  constructor(options, listener) {
    super(typeof options === 'function' ? {} : options);
    this._protocol = 'tls';
    const callback = typeof options === 'function' ? options : listener;
    if (callback) this.on('secureConnection', callback);
  }
  addContext() {}
  setSecureContext() {}
  getTicketKeys() {
    return globalThis.Buffer.alloc(48);
  }
  setTicketKeys() {}
}
const tls = {
  connect,
  createServer: (options, listener) => new Server(options, listener),
  TLSSocket: callable(TLSSocket),
  Server: callable(Server),
  SecureContext,
  createSecureContext: (options) => new SecureContext(options),
  createSecurePair: () => {
    throw new Error('createSecurePair is not supported');
  },
  checkServerIdentity: () => undefined,
  getCiphers: () => ['aes128-gcm-sha256', 'aes256-gcm-sha384', 'tls_aes_256_gcm_sha384'],
  convertALPNProtocols: (list, out) => {
    out.ALPNProtocols = list;
  },
  rootCertificates: Object.freeze([]),
  getCACertificates: () => [],
  DEFAULT_ECDH_CURVE: 'auto',
  DEFAULT_MIN_VERSION: 'TLSv1.2',
  DEFAULT_MAX_VERSION: 'TLSv1.3',
  DEFAULT_CIPHERS: 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256',
  CLIENT_RENEG_LIMIT: 3,
  CLIENT_RENEG_WINDOW: 600,
};
export default offer('tls', tls);
