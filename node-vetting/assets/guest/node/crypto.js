// The module `crypto` and the global of that name: the host computes, and so sees what is encrypted.

import { offer } from '../loader/builtins.js';
import { call, unsupported, asBytes } from '../core/host.js';
import { later } from '../core/loop.js';
import { badArgument, coded, outOfRange } from '../core/errors.js';
import { Transform } from './stream.js';
import { Buffer } from './buffer.js';
import { defineProperty, global } from '../core/primordials.js';

const bytesOf = (data, encoding, name = 'data') => {
  if (typeof data === 'string') return Buffer.from(data, encoding === 'buffer' ? 'utf8' : encoding ?? 'utf8');
  if (ArrayBuffer.isView(data) || data instanceof ArrayBuffer) { const view = asBytes(data); return Buffer.from(view.buffer, view.byteOffset, view.byteLength); }
  if (data instanceof KeyObject) return data._bytes;
  throw badArgument(name, 'of type string or an instance of Buffer, TypedArray, or DataView', data);
};
const b64 = (data) => bytesOf(data).toString('base64');
const wrap = (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const out = (bytes, encoding) => (encoding && encoding !== 'buffer' ? wrap(bytes).toString(encoding) : wrap(bytes));
const ask = (op, args, data) => {
  try {
    return call(`crypto.${op}`, { __proto__: null, ...args }, data);
  } catch (error) {
    if (error.code !== 'ERR_CRYPTO_UNSUPPORTED') throw coded(Error, error.code, error.message);
    unsupported(`crypto ${op} ${args.algorithm ?? ''}`);
    throw coded(Error, 'ERR_OSSL_EVP_UNSUPPORTED', 'error:0308010C:digital envelope routines::unsupported');
  }
};
const nameOf = (algorithm, name = 'algorithm') => {
  if (typeof algorithm !== 'string') throw badArgument(name, 'of type string', algorithm);
  return algorithm.toLowerCase().replace(/^rsa-/, '').replace(/^sha-?(\d)/, 'sha$1');
};
const DIGESTS = ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'sha512-256', 'sha3-256', 'sha3-384', 'sha3-512', 'ripemd160', 'rmd160', 'blake2b512', 'blake2s256', 'md4'];
function digestName(algorithm) {
  const name = nameOf(algorithm);
  if (!DIGESTS.includes(name)) throw new Error('Digest method not supported');
  return name;
}

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
  _transform(chunk, encoding, done) { this.update(chunk, encoding); done(); }
  _flush(done) { this.push(this.digest()); done(); }
}
class Hash extends Digest {
  constructor(algorithm) { const name = digestName(algorithm); super((all) => ask('hash', { algorithm: name }, all)); this._algorithm = algorithm; }
  copy() { const other = new Hash(this._algorithm); other._state.parts.push(...this._state.parts); return other; }
}
class Hmac extends Digest {
  constructor(algorithm, key) { const name = digestName(algorithm); const secret = b64(bytesOf(key, 'utf8', 'key')); super((all) => ask('hmac', { algorithm: name, key: secret }, all)); }
}

const AEAD = /gcm|ccm|ocb|poly1305/i;
const KEY_SIZES = { 'aes-128': 16, 'aes-192': 24, 'aes-256': 32, 'des-ede3': 24, chacha20: 32 };
class Cipher extends Transform {
  constructor(algorithm, key, iv, options, decrypt) {
    super();
    const name = nameOf(algorithm, 'cipher');
    const secret = bytesOf(key, 'utf8', 'key');
    const wanted = KEY_SIZES[Object.keys(KEY_SIZES).find((prefix) => name.startsWith(prefix))];
    if (wanted === undefined && !/^(des|rc4|bf|blowfish|camellia|id-aes)/.test(name)) throw coded(Error, 'ERR_CRYPTO_UNKNOWN_CIPHER', 'Unknown cipher');
    if (wanted !== undefined && secret.length !== wanted) throw coded(RangeError, 'ERR_CRYPTO_INVALID_KEYLEN', 'Invalid key length');
    if (iv !== null && iv !== undefined && /-cbc$/.test(name) && bytesOf(iv).length !== (name.startsWith('des') ? 8 : 16)) throw coded(TypeError, 'ERR_CRYPTO_INVALID_IV', 'Invalid initialization vector');
    Object.defineProperty(this, '_state', { value: { name, key: b64(secret), iv: iv === null || iv === undefined ? null : b64(bytesOf(iv, 'utf8', 'iv')), parts: [], given: 0, aad: null, tag: null, padding: true, decrypt, length: options?.authTagLength ?? 16, done: false } });
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
    let result = wrap(ask('cipher', { algorithm: s.name, key: s.key, iv: s.iv, decrypt: s.decrypt, aad: s.aad, tag: s.tag, padding: s.padding, tag_length: s.length }, all));
    if (AEAD.test(s.name) && !s.decrypt) {
      s.tag = result.subarray(result.length - s.length).toString('base64');
      result = result.subarray(0, result.length - s.length);
    }
    return out(result, encoding);
  }
  setAutoPadding(on = true) { this._state.padding = on; return this; }
  setAAD(data) { this._state.aad = b64(data); return this; }
  setAuthTag(tag, encoding) { this._state.tag = b64(bytesOf(tag, encoding)); return this; }
  getAuthTag() { return Buffer.from(this._state.tag ?? '', 'base64'); }
  _transform(chunk, encoding, done) { this.update(chunk, encoding); done(); }
  _flush(done) { try { this.push(this.final()); done(); } catch (error) { done(error); } }
}

class KeyObject {
  constructor(type, bytes) { Object.defineProperty(this, '_bytes', { value: bytes }); this._type = type; }
  get type() { return this._type; }
  get symmetricKeySize() { return this._type === 'secret' ? this._bytes.length : undefined; }
  get asymmetricKeyType() { return this._type === 'secret' ? undefined : 'rsa'; }
  get asymmetricKeyDetails() { return { modulusLength: 2048, publicExponent: 65537n }; }
  export(options) { return options?.format === 'jwk' ? { kty: 'oct', k: this._bytes.toString('base64url') } : options?.format === 'pem' || this._type !== 'secret' ? this._bytes.toString() : Buffer.from(this._bytes); }
  equals(other) { return this._bytes.equals(other._bytes); }
  static from(key) { return key; }
}

const random = (size) => wrap(ask('random', { size }));
function randomBytes(size, callback) {
  if (typeof size !== 'number') throw badArgument('size', 'of type number', size);
  if (!(size >= 0 && size <= 2_147_483_647)) throw outOfRange('size', '>= 0 && <= 2147483647', size);
  const bytes = random(size);
  if (!callback) return bytes;
  later(0, () => callback(null, bytes));
  return undefined;
}
function randomFillSync(target, offset = 0, size) {
  const view = asBytes(target);
  const count = size ?? view.length - offset;
  view.set(random(count), offset);
  return target;
}
function randomInt(low, high, callback) {
  let [from, to, done] = [low, high, callback];
  if (high === undefined || typeof high === 'function') [from, to, done] = [0, low, high];
  const span = to - from;
  if (!(span > 0)) throw outOfRange('max', `greater than the value of "min" (${from})`, to);
  const value = from + (Number(random(6).readUIntBE(0, 6)) % span);
  if (!done) return value;
  later(0, () => done(null, value));
  return undefined;
}
function randomUUID() {
  const b = random(16);
  b[6] = (b[6] & 15) | 64;
  b[8] = (b[8] & 63) | 128;
  const h = b.toString('hex');
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`;
}

const derived = {
  pbkdf2: (password, salt, iterations, length, digest) => ask('pbkdf2', { algorithm: digestName(digest), iterations, length, salt: b64(bytesOf(salt)) }, bytesOf(password)),
  scrypt: (password, salt, length, { N, cost, r, blockSize, p, parallelization } = {}) => ask('scrypt', { n: N ?? cost ?? 16384, r: r ?? blockSize ?? 8, p: p ?? parallelization ?? 1, length, salt: b64(bytesOf(salt)) }, bytesOf(password)),
  hkdf: (digest, key, salt, info, length) => { const all = ask('hkdf', { algorithm: digestName(digest), salt: b64(bytesOf(salt)), info: b64(bytesOf(info)), length }, bytesOf(key)); return wrap(all).buffer.slice(all.byteOffset, all.byteOffset + all.length); },
};
const withCallback = (name) => (...args) => {
  const callback = args.pop();
  if (typeof callback !== 'function') throw badArgument('callback', 'of type function', callback);
  const value = name === 'hkdf' ? derived.hkdf(...args) : wrap(derived[name](...args));
  later(1, () => callback(null, value));
};

const absent = (what) => function () { unsupported(`crypto.${what}`); throw coded(Error, 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM', `crypto.${what} is not available`); };
class Signer {
  constructor(algorithm, kind) { this._algorithm = algorithm; this._kind = kind; this._parts = []; }
  update(data, encoding) { this._parts.push(Buffer.from(bytesOf(data, encoding))); return this; }
  sign(key, encoding) { unsupported(`crypto sign ${this._algorithm}`); void key; return out(ask('hash', { algorithm: 'sha512' }, Buffer.concat(this._parts)), encoding); }
  verify() { unsupported(`crypto verify ${this._algorithm}`); return false; }
}
const textOf = (key) => (typeof key === 'string' || ArrayBuffer.isView(key) ? bytesOf(key) : key instanceof KeyObject ? key._bytes : typeof key?.key === 'string' || ArrayBuffer.isView(key?.key) ? bytesOf(key.key) : Buffer.alloc(0));
const pem = (kind) => `-----BEGIN ${kind} KEY-----\n${random(48).toString('base64')}\n-----END ${kind} KEY-----\n`;
const pair = (type, options = {}) => { unsupported(`crypto.generateKeyPair ${type}`); const make = (kind, wanted) => (wanted ? (wanted.format === 'der' ? random(64) : pem(kind)) : new KeyObject(kind.toLowerCase(), Buffer.from(pem(kind)))); return { publicKey: make('PUBLIC', options.publicKeyEncoding), privateKey: make('PRIVATE', options.privateKeyEncoding) }; };
class DiffieHellman { generateKeys(e) { return out(random(32), e); } getPublicKey(e) { return out(random(32), e); } getPrivateKey(e) { return out(random(32), e); } computeSecret() { unsupported('crypto.DiffieHellman'); return random(32); } setPrivateKey() {} setPublicKey() {} getPrime(e) { return out(random(32), e); } getGenerator(e) { return out(Buffer.from([2]), e); } }
class X509Certificate { constructor(data) { this.raw = bytesOf(data); Object.assign(this, { subject: '', issuer: '', validFrom: '', validTo: '', fingerprint: '', fingerprint256: '' }); } checkHost() { return undefined; } verify() { return false; } toString() { return this.raw.toString(); } }

const crypto = {
  createHash: (algorithm) => new Hash(algorithm), createHmac: (algorithm, key) => new Hmac(algorithm, key), Hash, Hmac,
  hash: (algorithm, data, encoding = 'hex') => new Hash(algorithm).update(data).digest(encoding),
  createCipheriv: (a, k, iv, o) => new Cipher(a, k, iv, o, false), createDecipheriv: (a, k, iv, o) => new Cipher(a, k, iv, o, true), Cipheriv: Cipher, Decipheriv: Cipher,
  randomBytes, pseudoRandomBytes: randomBytes, prng: randomBytes, rng: randomBytes, randomFillSync, randomInt, randomUUID,
  randomFill: (target, ...args) => { const callback = args.pop(); randomFillSync(target, ...args); later(0, () => callback(null, target)); },
  pbkdf2: withCallback('pbkdf2'), scrypt: withCallback('scrypt'), hkdf: withCallback('hkdf'),
  pbkdf2Sync: (...args) => wrap(derived.pbkdf2(...args)), scryptSync: (...args) => wrap(derived.scrypt(...args)), hkdfSync: derived.hkdf,
  timingSafeEqual(a, b) { const [x, y] = [bytesOf(a), bytesOf(b)]; if (x.length !== y.length) throw coded(RangeError, 'ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH', 'Input buffers must have the same byte length'); return x.equals(y); },
  getHashes: () => ['RSA-MD5', 'RSA-SHA1', 'RSA-SHA256', 'RSA-SHA512', ...DIGESTS], getCiphers: () => ['aes-128-cbc', 'aes-128-ctr', 'aes-128-ecb', 'aes-128-gcm', 'aes-192-cbc', 'aes-256-cbc', 'aes-256-cfb', 'aes-256-ctr', 'aes-256-ecb', 'aes-256-gcm', 'chacha20-poly1305', 'des-ede3-cbc'], getCurves: () => ['prime256v1', 'secp256k1', 'secp384r1', 'secp521r1'],
  getCipherInfo: (name) => ({ name, keyLength: KEY_SIZES[Object.keys(KEY_SIZES).find((p) => `${name}`.startsWith(p))] ?? 32, ivLength: AEAD.test(name) ? 12 : 16, blockSize: 16, mode: `${name}`.split('-').pop() }), getFips: () => 0, setFips() {}, setEngine() {},
  createSign: (a) => new Signer(a, 'sign'), createVerify: (a) => new Signer(a, 'verify'), Sign: Signer, Verify: Signer, sign: (a, d, k) => new Signer(a, 'sign').update(d).sign(k), verify: () => { unsupported('crypto.verify'); return false; },
  createSecretKey: (key, encoding) => new KeyObject('secret', bytesOf(key, encoding)), createPublicKey: (key) => new KeyObject('public', textOf(key)), createPrivateKey: (key) => new KeyObject('private', textOf(key)), KeyObject, X509Certificate, Certificate: class Certificate {},
  generateKeySync: (_, { length = 256 } = {}) => new KeyObject('secret', random(length / 8)), generateKey: (_, { length = 256 }, callback) => later(1, () => callback(null, new KeyObject('secret', random(length / 8)))),
  generateKeyPairSync: pair, generateKeyPair: (type, options, callback) => { const made = pair(type, options); later(1, () => callback(null, made.publicKey, made.privateKey)); },
  createDiffieHellman: () => new DiffieHellman(), createDiffieHellmanGroup: () => new DiffieHellman(), getDiffieHellman: () => new DiffieHellman(), createECDH: () => new DiffieHellman(), ECDH: DiffieHellman, DiffieHellman, DiffieHellmanGroup: DiffieHellman, diffieHellman: () => random(32),
  publicEncrypt: (_, data) => { unsupported('crypto.publicEncrypt'); return Buffer.from(data); }, privateDecrypt: absent('privateDecrypt'), privateEncrypt: absent('privateEncrypt'), publicDecrypt: absent('publicDecrypt'), checkPrimeSync: () => true, checkPrime: (n, o, cb) => later(0, () => (cb ?? o)(null, true)), generatePrimeSync: (size) => random(Math.ceil(size / 8)).buffer, generatePrime: (size, o, cb) => later(0, () => (cb ?? o)(null, random(Math.ceil(size / 8)).buffer)), secureHeapUsed: () => ({ total: 0, used: 0, utilization: 0, min: 0 }),
  fips: false,
  constants: { OPENSSL_VERSION_NUMBER: 805306608, SSL_OP_ALL: 2147485776, SSL_OP_NO_SSLv2: 0, SSL_OP_NO_SSLv3: 33554432, SSL_OP_NO_TLSv1: 67108864, SSL_OP_NO_TLSv1_1: 268435456, SSL_OP_NO_TLSv1_2: 134217728, SSL_OP_NO_TLSv1_3: 536870912, SSL_OP_LEGACY_SERVER_CONNECT: 4, SSL_OP_CIPHER_SERVER_PREFERENCE: 4194304, SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION: 262144, SSL_OP_TLS_ROLLBACK_BUG: 8388608, RSA_PKCS1_PADDING: 1, RSA_NO_PADDING: 3, RSA_PKCS1_OAEP_PADDING: 4, RSA_PKCS1_PSS_PADDING: 6, RSA_PSS_SALTLEN_DIGEST: -1, RSA_PSS_SALTLEN_MAX_SIGN: -2, RSA_PSS_SALTLEN_AUTO: -2, defaultCoreCipherList: 'TLS_AES_256_GCM_SHA384', TLS1_VERSION: 769, TLS1_1_VERSION: 770, TLS1_2_VERSION: 771, TLS1_3_VERSION: 772, defaultCipherList: 'TLS_AES_256_GCM_SHA384', ENGINE_METHOD_ALL: 65535, ENGINE_METHOD_NONE: 0, POINT_CONVERSION_COMPRESSED: 2, POINT_CONVERSION_UNCOMPRESSED: 4 },
};

const hashName = (algorithm) => digestName((typeof algorithm === 'string' ? algorithm : algorithm.hash?.name ?? algorithm.hash ?? algorithm.name).replace('-', ''));
const plain = (bytes) => bytes.slice().buffer;
class CryptoKey { constructor(type, extractable, algorithm, usages, bytes) { Object.assign(this, { type, extractable, algorithm, usages }); Object.defineProperty(this, '_bytes', { value: bytes }); } }
const aes = (algorithm, key, data, decrypt) => {
  const mode = algorithm.name.split('-')[1].toLowerCase();
  const size = key._bytes.length * 8;
  let input = bytesOf(data);
  let tag;
  if (mode === 'gcm' && decrypt) { tag = input.subarray(input.length - 16).toString('base64'); input = input.subarray(0, input.length - 16); }
  return plain(ask('cipher', { algorithm: `aes-${size}-${mode}`, key: b64(key._bytes), iv: b64(algorithm.iv ?? algorithm.counter), decrypt, aad: algorithm.additionalData ? b64(algorithm.additionalData) : null, tag, padding: true, tag_length: 16 }, input));
};
const subtle = {
  async digest(algorithm, data) { return plain(ask('hash', { algorithm: hashName(algorithm) }, bytesOf(data))); },
  async importKey(format, data, algorithm, extractable, usages) { const bytes = format === 'jwk' ? Buffer.from(data.k ?? '', 'base64url') : Buffer.from(bytesOf(data)); return new CryptoKey(format === 'raw' || format === 'jwk' ? 'secret' : format === 'pkcs8' ? 'private' : 'public', extractable, typeof algorithm === 'string' ? { name: algorithm } : algorithm, usages, bytes); },
  async exportKey(format, key) { return format === 'jwk' ? { kty: 'oct', k: key._bytes.toString('base64url') } : plain(key._bytes); },
  async generateKey(algorithm, extractable, usages) { return new CryptoKey('secret', extractable, algorithm, usages, random((algorithm.length ?? 256) / 8)); },
  async sign(algorithm, key, data) { const name = hashName(algorithm.hash ? algorithm : key.algorithm); return plain(ask('hmac', { algorithm: name, key: b64(key._bytes) }, bytesOf(data))); },
  async verify(algorithm, key, signature, data) { return Buffer.from(await subtle.sign(algorithm, key, data)).equals(bytesOf(signature)); },
  async encrypt(algorithm, key, data) { return aes(algorithm, key, data, false); },
  async decrypt(algorithm, key, data) { return aes(algorithm, key, data, true); },
  async deriveBits(algorithm, key, length) { return algorithm.name === 'HKDF' ? derived.hkdf(hashName(algorithm), key._bytes, algorithm.salt, algorithm.info, length / 8) : plain(derived.pbkdf2(key._bytes, algorithm.salt, algorithm.iterations, length / 8, hashName(algorithm))); },
  async deriveKey(algorithm, key, wanted, extractable, usages) { return new CryptoKey('secret', extractable, wanted, usages, Buffer.from(await subtle.deriveBits(algorithm, key, wanted.length ?? 256))); },
};
class Crypto {
  get subtle() { return subtle; }
  getRandomValues(target) { return randomFillSync(target); }
  randomUUID() { return randomUUID(); }
}
const webcrypto = Object.assign(new Crypto(), { CryptoKey });
Object.assign(crypto, { webcrypto, subtle, getRandomValues: (target) => randomFillSync(target) });
defineProperty(global, 'crypto', { configurable: true, enumerable: false, get: () => webcrypto, set(value) { defineProperty(global, 'crypto', { value, writable: true, configurable: true }); } });
for (const [name, value] of Object.entries({ Crypto, CryptoKey, SubtleCrypto: class SubtleCrypto {} })) defineProperty(global, name, { value, writable: true, configurable: true });
export default offer('crypto', crypto);
