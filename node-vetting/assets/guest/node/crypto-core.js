// What the parts of `crypto` share: bytes in and out, the host's calls, keys.

import { call, unsupported, asBytes } from '../core/host.js';
import { badArgument, coded } from '../core/errors.js';
import { Buffer } from './buffer.js';

export const bytesOf = (data, encoding, name = 'data') => {
  if (typeof data === 'string') return Buffer.from(data, encoding === 'buffer' ? 'utf8' : (encoding ?? 'utf8'));
  if (ArrayBuffer.isView(data) || data instanceof ArrayBuffer) {
    const view = asBytes(data);
    return Buffer.from(view.buffer, view.byteOffset, view.byteLength);
  }
  if (data instanceof KeyObject) return data._bytes;
  throw badArgument(name, 'of type string or an instance of Buffer, TypedArray, or DataView', data);
};
export const b64 = (data) => bytesOf(data).toString('base64');
export const wrap = (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
export const out = (bytes, encoding) =>
  encoding && encoding !== 'buffer' ? wrap(bytes).toString(encoding) : wrap(bytes);
export const ask = (op, args, data) => {
  try {
    return call(`crypto.${op}`, { __proto__: null, ...args }, data);
  } catch (error) {
    if (error.code !== 'ERR_CRYPTO_UNSUPPORTED') throw coded(Error, error.code, error.message);
    unsupported(`crypto ${op} ${args.algorithm ?? ''}`);
    throw coded(Error, 'ERR_OSSL_EVP_UNSUPPORTED', 'error:0308010C:digital envelope routines::unsupported');
  }
};
export const nameOf = (algorithm, name = 'algorithm') => {
  if (typeof algorithm !== 'string') throw badArgument(name, 'of type string', algorithm);
  return algorithm
    .toLowerCase()
    .replace(/^rsa-/, '')
    .replace(/^sha-?(\d)/, 'sha$1');
};
export const DIGESTS = [
  'md5',
  'sha1',
  'sha224',
  'sha256',
  'sha384',
  'sha512',
  'sha512-256',
  'sha3-256',
  'sha3-384',
  'sha3-512',
  'ripemd160',
  'rmd160',
  'blake2b512',
  'blake2s256',
  'md4',
];
export function digestName(algorithm) {
  const name = nameOf(algorithm);
  if (!DIGESTS.includes(name)) throw new Error('Digest method not supported');
  return name;
}

export class KeyObject {
  constructor(type, bytes) {
    Object.defineProperty(this, '_bytes', { value: bytes });
    this._type = type;
  }
  get type() {
    return this._type;
  }
  get symmetricKeySize() {
    return this._type === 'secret' ? this._bytes.length : undefined;
  }
  get asymmetricKeyType() {
    return this._type === 'secret' ? undefined : 'rsa';
  }
  get asymmetricKeyDetails() {
    return { modulusLength: 2048, publicExponent: 65537n };
  }
  export(options) {
    return options?.format === 'jwk'
      ? { kty: 'oct', k: this._bytes.toString('base64url') }
      : options?.format === 'pem' || this._type !== 'secret'
        ? this._bytes.toString()
        : Buffer.from(this._bytes);
  }
  equals(other) {
    return this._bytes.equals(other._bytes);
  }
  static from(key) {
    return key;
  }
}

export const random = (size) => wrap(ask('random', { size }));
export const derived = {
  pbkdf2: (password, salt, iterations, length, digest) =>
    ask('pbkdf2', { algorithm: digestName(digest), iterations, length, salt: b64(bytesOf(salt)) }, bytesOf(password)),
  scrypt: (password, salt, length, { N, cost, r, blockSize, p, parallelization } = {}) =>
    ask(
      'scrypt',
      { n: N ?? cost ?? 16384, r: r ?? blockSize ?? 8, p: p ?? parallelization ?? 1, length, salt: b64(bytesOf(salt)) },
      bytesOf(password),
    ),
  hkdf: (digest, key, salt, info, length) => {
    const all = ask(
      'hkdf',
      { algorithm: digestName(digest), salt: b64(bytesOf(salt)), info: b64(bytesOf(info)), length },
      bytesOf(key),
    );
    return wrap(all).buffer.slice(all.byteOffset, all.byteOffset + all.length);
  },
};
