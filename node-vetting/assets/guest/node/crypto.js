// The module `crypto`: the host computes, and so sees what is encrypted.

import { offer } from '../loader/builtins.js';
import { unsupported } from '../core/host.js';
import { later } from '../core/loop.js';
import { badArgument, coded } from '../core/errors.js';
import { Transform } from './stream.js';
import { Buffer } from './buffer.js';
import {
  DIGESTS,
  KeyObject,
  ask,
  b64,
  bytesOf,
  derived,
  digestName,
  nameOf,
  out,
  random,
  wrap,
} from './crypto-core.js';
import { randomBytes, randomFillSync, randomInt, randomUUID } from './crypto-random.js';
import { subtle, webcrypto } from './webcrypto.js';

class Digest extends Transform {
  constructor(ask_) {
    super();
    Object.defineProperty(this, '_state', { value: { parts: [], done: false, ask: ask_ } });
  }
  update(data, encoding) {
    if (this._state.done) throw coded(Error, 'ERR_CRYPTO_HASH_FINALIZED', 'Digest already called');
    this._state.parts.push(Buffer.from(bytesOf(data, encoding)));
    return this;
  }
  digest(encoding) {
    if (this._state.done) throw coded(Error, 'ERR_CRYPTO_HASH_FINALIZED', 'Digest already called');
    this._state.done = true;
    return out(this._state.ask(Buffer.concat(this._state.parts)), encoding);
  }
  _transform(chunk, encoding, done) {
    this.update(chunk, encoding);
    done();
  }
  _flush(done) {
    this.push(this.digest());
    done();
  }
}
class Hash extends Digest {
  constructor(algorithm) {
    const name = digestName(algorithm);
    super((all) => ask('hash', { algorithm: name }, all));
    this._algorithm = algorithm;
  }
  copy() {
    const other = new Hash(this._algorithm);
    other._state.parts.push(...this._state.parts);
    return other;
  }
}
class Hmac extends Digest {
  constructor(algorithm, key) {
    const name = digestName(algorithm);
    const secret = b64(bytesOf(key, 'utf8', 'key'));
    super((all) => ask('hmac', { algorithm: name, key: secret }, all));
  }
}

const AEAD = /gcm|ccm|ocb|poly1305/i;
const KEY_SIZES = { 'aes-128': 16, 'aes-192': 24, 'aes-256': 32, 'des-ede3': 24, chacha20: 32 };
/** Electronic code book: each block for itself, which is a chain of one. */
function bookOf({ name, key, decrypt, padding }, input) {
  const chained = { algorithm: name.replace(/ecb$/, 'cbc'), key, iv: b64(Buffer.alloc(16)), decrypt, padding: false };
  const fill = 16 - (input.length % 16);
  const whole = decrypt || !padding ? input : Buffer.concat([input, Buffer.alloc(fill, fill)]);
  if (whole.length % 16 !== 0) throw coded(Error, 'ERR_OSSL_WRONG_FINAL_BLOCK_LENGTH', 'wrong final block length');
  const blocks = [];
  for (let at = 0; at < whole.length; at += 16) blocks.push(wrap(ask('cipher', chained, whole.subarray(at, at + 16))));
  const result = Buffer.concat(blocks);
  return decrypt && padding && result.length > 0 ? result.subarray(0, result.length - result.at(-1)) : result;
}

class Cipher extends Transform {
  constructor(algorithm, key, iv, options, decrypt) {
    super();
    const name = nameOf(algorithm, 'cipher');
    const secret = bytesOf(key, 'utf8', 'key');
    const wanted = KEY_SIZES[Object.keys(KEY_SIZES).find((prefix) => name.startsWith(prefix))];
    if (wanted === undefined && !/^(des|rc4|bf|blowfish|camellia|id-aes)/.test(name))
      throw coded(Error, 'ERR_CRYPTO_UNKNOWN_CIPHER', 'Unknown cipher');
    if (wanted !== undefined && secret.length !== wanted)
      throw coded(RangeError, 'ERR_CRYPTO_INVALID_KEYLEN', 'Invalid key length');
    if (
      iv !== null &&
      iv !== undefined &&
      /-cbc$/.test(name) &&
      bytesOf(iv).length !== (name.startsWith('des') ? 8 : 16)
    )
      throw coded(TypeError, 'ERR_CRYPTO_INVALID_IV', 'Invalid initialization vector');
    Object.defineProperty(this, '_state', {
      value: {
        name,
        key: b64(secret),
        iv: iv === null || iv === undefined ? null : b64(bytesOf(iv, 'utf8', 'iv')),
        parts: [],
        given: 0,
        aad: null,
        tag: null,
        padding: true,
        decrypt,
        length: options?.authTagLength ?? 16,
        done: false,
      },
    });
  }
  update(data, inputEncoding, outputEncoding) {
    if (this._state.done) throw coded(Error, 'ERR_CRYPTO_INVALID_STATE', 'Trying to add data in unsupported state');
    this._state.parts.push(Buffer.from(bytesOf(data, inputEncoding)));
    // All comes out at the end: the host wants the whole. Callers put both halves together.
    return out(Buffer.alloc(0), outputEncoding);
  }
  final(encoding) {
    const s = this._state;
    if (s.done) throw coded(Error, 'ERR_CRYPTO_INVALID_STATE', 'Unsupported state or unable to authenticate data');
    s.done = true;
    const all = Buffer.concat(s.parts);
    if (s.name.endsWith('-ecb')) return out(bookOf(s, all), encoding);
    let result = wrap(
      ask(
        'cipher',
        {
          algorithm: s.name,
          key: s.key,
          iv: s.iv,
          decrypt: s.decrypt,
          aad: s.aad,
          tag: s.tag,
          padding: s.padding,
          tag_length: s.length,
        },
        all,
      ),
    );
    if (AEAD.test(s.name) && !s.decrypt) {
      s.tag = result.subarray(result.length - s.length).toString('base64');
      result = result.subarray(0, result.length - s.length);
    }
    return out(result, encoding);
  }
  setAutoPadding(on = true) {
    this._state.padding = on;
    return this;
  }
  setAAD(data) {
    this._state.aad = b64(data);
    return this;
  }
  setAuthTag(tag, encoding) {
    this._state.tag = b64(bytesOf(tag, encoding));
    return this;
  }
  getAuthTag() {
    return Buffer.from(this._state.tag ?? '', 'base64');
  }
  _transform(chunk, encoding, done) {
    this.update(chunk, encoding);
    done();
  }
  _flush(done) {
    try {
      this.push(this.final());
      done();
    } catch (error) {
      done(error);
    }
  }
}

const withCallback =
  (name) =>
  (...args) => {
    const callback = args.pop();
    if (typeof callback !== 'function') throw badArgument('callback', 'of type function', callback);
    const value = name === 'hkdf' ? derived.hkdf(...args) : wrap(derived[name](...args));
    later(1, () => callback(null, value));
  };

const absent = (what) =>
  function () {
    unsupported(`crypto.${what}`);
    throw coded(Error, 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM', `crypto.${what} is not available`);
  };
class Signer {
  constructor(algorithm, kind) {
    this._algorithm = algorithm;
    this._kind = kind;
    this._parts = [];
  }
  update(data, encoding) {
    this._parts.push(Buffer.from(bytesOf(data, encoding)));
    return this;
  }
  sign(key, encoding) {
    unsupported(`crypto sign ${this._algorithm}`);
    void key;
    return out(ask('hash', { algorithm: 'sha512' }, Buffer.concat(this._parts)), encoding);
  }
  verify() {
    unsupported(`crypto verify ${this._algorithm}`);
    return false;
  }
}
const textOf = (key) =>
  typeof key === 'string' || ArrayBuffer.isView(key)
    ? bytesOf(key)
    : key instanceof KeyObject
      ? key._bytes
      : typeof key?.key === 'string' || ArrayBuffer.isView(key?.key)
        ? bytesOf(key.key)
        : Buffer.alloc(0);
const pem = (kind) => `-----BEGIN ${kind} KEY-----\n${random(48).toString('base64')}\n-----END ${kind} KEY-----\n`;
const pair = (type, options = {}) => {
  unsupported(`crypto.generateKeyPair ${type}`);
  const make = (kind, wanted) =>
    wanted
      ? wanted.format === 'der'
        ? random(64)
        : pem(kind)
      : new KeyObject(kind.toLowerCase(), Buffer.from(pem(kind)));
  return {
    publicKey: make('PUBLIC', options.publicKeyEncoding),
    privateKey: make('PRIVATE', options.privateKeyEncoding),
  };
};
class DiffieHellman {
  generateKeys(e) {
    return out(random(32), e);
  }
  getPublicKey(e) {
    return out(random(32), e);
  }
  getPrivateKey(e) {
    return out(random(32), e);
  }
  computeSecret() {
    unsupported('crypto.DiffieHellman');
    return random(32);
  }
  setPrivateKey() {}
  setPublicKey() {}
  getPrime(e) {
    return out(random(32), e);
  }
  getGenerator(e) {
    return out(Buffer.from([2]), e);
  }
}
class X509Certificate {
  constructor(data) {
    this.raw = bytesOf(data);
    Object.assign(this, { subject: '', issuer: '', validFrom: '', validTo: '', fingerprint: '', fingerprint256: '' });
  }
  checkHost() {
    return undefined;
  }
  verify() {
    return false;
  }
  toString() {
    return this.raw.toString();
  }
}

const crypto = {
  createHash: (algorithm) => new Hash(algorithm),
  createHmac: (algorithm, key) => new Hmac(algorithm, key),
  Hash,
  Hmac,
  hash: (algorithm, data, encoding = 'hex') => new Hash(algorithm).update(data).digest(encoding),
  createCipheriv: (a, k, iv, o) => new Cipher(a, k, iv, o, false),
  createDecipheriv: (a, k, iv, o) => new Cipher(a, k, iv, o, true),
  Cipheriv: Cipher,
  Decipheriv: Cipher,
  randomBytes,
  pseudoRandomBytes: randomBytes,
  prng: randomBytes,
  rng: randomBytes,
  randomFillSync,
  randomInt,
  randomUUID,
  randomFill: (target, ...args) => {
    const callback = args.pop();
    randomFillSync(target, ...args);
    later(0, () => callback(null, target));
  },
  pbkdf2: withCallback('pbkdf2'),
  scrypt: withCallback('scrypt'),
  hkdf: withCallback('hkdf'),
  pbkdf2Sync: (...args) => wrap(derived.pbkdf2(...args)),
  scryptSync: (...args) => wrap(derived.scrypt(...args)),
  hkdfSync: derived.hkdf,
  timingSafeEqual(a, b) {
    const [x, y] = [bytesOf(a), bytesOf(b)];
    if (x.length !== y.length)
      throw coded(RangeError, 'ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH', 'Input buffers must have the same byte length');
    return x.equals(y);
  },
  getHashes: () => ['RSA-MD5', 'RSA-SHA1', 'RSA-SHA256', 'RSA-SHA512', ...DIGESTS],
  getCiphers: () => [
    'aes-128-cbc',
    'aes-128-ctr',
    'aes-128-ecb',
    'aes-128-gcm',
    'aes-192-cbc',
    'aes-256-cbc',
    'aes-256-cfb',
    'aes-256-ctr',
    'aes-256-ecb',
    'aes-256-gcm',
    'chacha20-poly1305',
    'des-ede3-cbc',
  ],
  getCurves: () => ['prime256v1', 'secp256k1', 'secp384r1', 'secp521r1'],
  getCipherInfo: (name) => ({
    name,
    keyLength: KEY_SIZES[Object.keys(KEY_SIZES).find((p) => `${name}`.startsWith(p))] ?? 32,
    ivLength: AEAD.test(name) ? 12 : 16,
    blockSize: 16,
    mode: `${name}`.split('-').pop(),
  }),
  getFips: () => 0,
  setFips() {},
  setEngine() {},
  createSign: (a) => new Signer(a, 'sign'),
  createVerify: (a) => new Signer(a, 'verify'),
  Sign: Signer,
  Verify: Signer,
  sign: (a, d, k) => new Signer(a, 'sign').update(d).sign(k),
  verify: () => {
    unsupported('crypto.verify');
    return false;
  },
  createSecretKey: (key, encoding) => new KeyObject('secret', bytesOf(key, encoding)),
  createPublicKey: (key) => new KeyObject('public', textOf(key)),
  createPrivateKey: (key) => new KeyObject('private', textOf(key)),
  KeyObject,
  X509Certificate,
  Certificate: class Certificate {},
  generateKeySync: (_, { length = 256 } = {}) => new KeyObject('secret', random(length / 8)),
  generateKey: (_, { length = 256 }, callback) =>
    later(1, () => callback(null, new KeyObject('secret', random(length / 8)))),
  generateKeyPairSync: pair,
  generateKeyPair: (type, options, callback) => {
    const made = pair(type, options);
    later(1, () => callback(null, made.publicKey, made.privateKey));
  },
  createDiffieHellman: () => new DiffieHellman(),
  createDiffieHellmanGroup: () => new DiffieHellman(),
  getDiffieHellman: () => new DiffieHellman(),
  createECDH: () => new DiffieHellman(),
  ECDH: DiffieHellman,
  DiffieHellman,
  DiffieHellmanGroup: DiffieHellman,
  diffieHellman: () => random(32),
  publicEncrypt: (_, data) => {
    unsupported('crypto.publicEncrypt');
    return Buffer.from(data);
  },
  privateDecrypt: absent('privateDecrypt'),
  privateEncrypt: absent('privateEncrypt'),
  publicDecrypt: absent('publicDecrypt'),
  checkPrimeSync: () => true,
  checkPrime: (n, o, cb) => later(0, () => (cb ?? o)(null, true)),
  generatePrimeSync: (size) => random(Math.ceil(size / 8)).buffer,
  generatePrime: (size, o, cb) => later(0, () => (cb ?? o)(null, random(Math.ceil(size / 8)).buffer)),
  secureHeapUsed: () => ({ total: 0, used: 0, utilization: 0, min: 0 }),
  fips: false,
  constants: {
    OPENSSL_VERSION_NUMBER: 805306608,
    SSL_OP_ALL: 2147485776,
    SSL_OP_NO_SSLv2: 0,
    SSL_OP_NO_SSLv3: 33554432,
    SSL_OP_NO_TLSv1: 67108864,
    SSL_OP_NO_TLSv1_1: 268435456,
    SSL_OP_NO_TLSv1_2: 134217728,
    SSL_OP_NO_TLSv1_3: 536870912,
    SSL_OP_LEGACY_SERVER_CONNECT: 4,
    SSL_OP_CIPHER_SERVER_PREFERENCE: 4194304,
    SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION: 262144,
    SSL_OP_TLS_ROLLBACK_BUG: 8388608,
    RSA_PKCS1_PADDING: 1,
    RSA_NO_PADDING: 3,
    RSA_PKCS1_OAEP_PADDING: 4,
    RSA_PKCS1_PSS_PADDING: 6,
    RSA_PSS_SALTLEN_DIGEST: -1,
    RSA_PSS_SALTLEN_MAX_SIGN: -2,
    RSA_PSS_SALTLEN_AUTO: -2,
    defaultCoreCipherList: 'TLS_AES_256_GCM_SHA384',
    TLS1_VERSION: 769,
    TLS1_1_VERSION: 770,
    TLS1_2_VERSION: 771,
    TLS1_3_VERSION: 772,
    defaultCipherList: 'TLS_AES_256_GCM_SHA384',
    ENGINE_METHOD_ALL: 65535,
    ENGINE_METHOD_NONE: 0,
    POINT_CONVERSION_COMPRESSED: 2,
    POINT_CONVERSION_UNCOMPRESSED: 4,
  },
};

Object.assign(crypto, { webcrypto, subtle, getRandomValues: (target) => randomFillSync(target) });
export default offer('crypto', crypto);
