// The global `crypto`: the subtle half over the same calls.

import { defineProperty, global } from '../core/primordials.js';
import { Buffer } from './buffer.js';
import { ask, b64, bytesOf, derived, digestName, random } from './crypto-core.js';
import { randomFillSync, randomUUID } from './crypto-random.js';

const hashName = (algorithm) =>
  digestName(
    (typeof algorithm === 'string' ? algorithm : (algorithm.hash?.name ?? algorithm.hash ?? algorithm.name)).replace(
      '-',
      '',
    ),
  );
const plain = (bytes) => bytes.slice().buffer;
class CryptoKey {
  constructor(type, extractable, algorithm, usages, bytes) {
    Object.assign(this, { type, extractable, algorithm, usages });
    Object.defineProperty(this, '_bytes', { value: bytes });
  }
}
const aes = (algorithm, key, data, decrypt) => {
  const mode = algorithm.name.split('-')[1].toLowerCase();
  const size = key._bytes.length * 8;
  let input = bytesOf(data);
  let tag;
  if (mode === 'gcm' && decrypt) {
    tag = input.subarray(input.length - 16).toString('base64');
    input = input.subarray(0, input.length - 16);
  }
  return plain(
    ask(
      'cipher',
      {
        algorithm: `aes-${size}-${mode}`,
        key: b64(key._bytes),
        iv: b64(algorithm.iv ?? algorithm.counter),
        decrypt,
        aad: algorithm.additionalData ? b64(algorithm.additionalData) : null,
        tag,
        padding: true,
        tag_length: 16,
      },
      input,
    ),
  );
};
const subtle = {
  async digest(algorithm, data) {
    return plain(ask('hash', { algorithm: hashName(algorithm) }, bytesOf(data)));
  },
  async importKey(format, data, algorithm, extractable, usages) {
    const bytes = format === 'jwk' ? Buffer.from(data.k ?? '', 'base64url') : Buffer.from(bytesOf(data));
    return new CryptoKey(
      format === 'raw' || format === 'jwk' ? 'secret' : format === 'pkcs8' ? 'private' : 'public',
      extractable,
      typeof algorithm === 'string' ? { name: algorithm } : algorithm,
      usages,
      bytes,
    );
  },
  async exportKey(format, key) {
    return format === 'jwk' ? { kty: 'oct', k: key._bytes.toString('base64url') } : plain(key._bytes);
  },
  async generateKey(algorithm, extractable, usages) {
    return new CryptoKey('secret', extractable, algorithm, usages, random((algorithm.length ?? 256) / 8));
  },
  async sign(algorithm, key, data) {
    const name = hashName(algorithm.hash ? algorithm : key.algorithm);
    return plain(ask('hmac', { algorithm: name, key: b64(key._bytes) }, bytesOf(data)));
  },
  async verify(algorithm, key, signature, data) {
    return Buffer.from(await subtle.sign(algorithm, key, data)).equals(bytesOf(signature));
  },
  async encrypt(algorithm, key, data) {
    return aes(algorithm, key, data, false);
  },
  async decrypt(algorithm, key, data) {
    return aes(algorithm, key, data, true);
  },
  async deriveBits(algorithm, key, length) {
    return algorithm.name === 'HKDF'
      ? derived.hkdf(hashName(algorithm), key._bytes, algorithm.salt, algorithm.info, length / 8)
      : plain(derived.pbkdf2(key._bytes, algorithm.salt, algorithm.iterations, length / 8, hashName(algorithm)));
  },
  async deriveKey(algorithm, key, wanted, extractable, usages) {
    return new CryptoKey(
      'secret',
      extractable,
      wanted,
      usages,
      Buffer.from(await subtle.deriveBits(algorithm, key, wanted.length ?? 256)),
    );
  },
};
class Crypto {
  get subtle() {
    return subtle;
  }
  getRandomValues(target) {
    return randomFillSync(target);
  }
  randomUUID() {
    return randomUUID();
  }
}
const webcrypto = Object.assign(new Crypto(), { CryptoKey });
defineProperty(global, 'crypto', {
  configurable: true,
  enumerable: false,
  get: () => webcrypto,
  set(value) {
    defineProperty(global, 'crypto', { value, writable: true, configurable: true });
  },
});
for (const [name, value] of Object.entries({ Crypto, CryptoKey, SubtleCrypto: class SubtleCrypto {} }))
  defineProperty(global, name, { value, writable: true, configurable: true });
export { subtle, webcrypto };
