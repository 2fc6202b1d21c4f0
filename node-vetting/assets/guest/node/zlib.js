// The module `zlib`: the host packs and unpacks.

import { offer } from '../loader/builtins.js';
import { call, asBytes } from '../core/host.js';
import { later } from '../core/loop.js';
import { badArgument, coded } from '../core/errors.js';
import { Transform } from './stream.js';
import { Buffer } from './buffer.js';

const constants = {
  Z_NO_FLUSH: 0,
  Z_PARTIAL_FLUSH: 1,
  Z_SYNC_FLUSH: 2,
  Z_FULL_FLUSH: 3,
  Z_FINISH: 4,
  Z_BLOCK: 5,
  Z_OK: 0,
  Z_STREAM_END: 1,
  Z_NEED_DICT: 2,
  Z_ERRNO: -1,
  Z_STREAM_ERROR: -2,
  Z_DATA_ERROR: -3,
  Z_MEM_ERROR: -4,
  Z_BUF_ERROR: -5,
  Z_VERSION_ERROR: -6,
  Z_NO_COMPRESSION: 0,
  Z_BEST_SPEED: 1,
  Z_BEST_COMPRESSION: 9,
  Z_DEFAULT_COMPRESSION: -1,
  Z_FILTERED: 1,
  Z_HUFFMAN_ONLY: 2,
  Z_RLE: 3,
  Z_FIXED: 4,
  Z_DEFAULT_STRATEGY: 0,
  ZLIB_VERNUM: 4880,
  DEFLATE: 1,
  INFLATE: 2,
  GZIP: 3,
  GUNZIP: 4,
  DEFLATERAW: 5,
  INFLATERAW: 6,
  UNZIP: 7,
  BROTLI_DECODE: 8,
  BROTLI_ENCODE: 9,
  Z_MIN_WINDOWBITS: 8,
  Z_MAX_WINDOWBITS: 15,
  Z_DEFAULT_WINDOWBITS: 15,
  Z_MIN_CHUNK: 64,
  Z_MAX_CHUNK: Infinity,
  Z_DEFAULT_CHUNK: 16384,
  Z_MIN_MEMLEVEL: 1,
  Z_MAX_MEMLEVEL: 9,
  Z_DEFAULT_MEMLEVEL: 8,
  Z_MIN_LEVEL: -1,
  Z_MAX_LEVEL: 9,
  Z_DEFAULT_LEVEL: -1,
  BROTLI_OPERATION_PROCESS: 0,
  BROTLI_OPERATION_FLUSH: 1,
  BROTLI_OPERATION_FINISH: 2,
  BROTLI_PARAM_MODE: 0,
  BROTLI_PARAM_QUALITY: 1,
  BROTLI_PARAM_SIZE_HINT: 5,
  BROTLI_MODE_TEXT: 1,
  BROTLI_DEFAULT_QUALITY: 11,
  BROTLI_MIN_QUALITY: 0,
  BROTLI_MAX_QUALITY: 11,
};
const KINDS = {
  Gzip: ['gzip', 'deflate'],
  Gunzip: ['gzip', 'inflate'],
  Deflate: ['zlib', 'deflate'],
  Inflate: ['zlib', 'inflate'],
  DeflateRaw: ['raw', 'deflate'],
  InflateRaw: ['raw', 'inflate'],
  Unzip: ['auto', 'inflate'],
  BrotliCompress: ['brotli', 'deflate'],
  BrotliDecompress: ['brotli', 'inflate'],
};

function bytesOf(data) {
  if (typeof data === 'string') return Buffer.from(data);
  if (ArrayBuffer.isView(data) || data instanceof ArrayBuffer) return asBytes(data);
  throw badArgument('buffer', 'of type string or an instance of Buffer, TypedArray, DataView, or ArrayBuffer', data);
}
function run([format, mode], data, options) {
  try {
    const bytes = call('zlib', { __proto__: null, format, mode, level: options?.level ?? -1 }, data);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  } catch (error) {
    const said = { __proto__: null, Z_DATA_ERROR: 'incorrect header check', Z_BUF_ERROR: 'unexpected end of file' };
    const failed = coded(Error, error.code ?? 'Z_DATA_ERROR', said[error.code] ?? error.message);
    failed.errno = constants[error.code] ?? -3;
    throw failed;
  }
}

class Zlib extends Transform {
  constructor(kind, options = {}) {
    super({ ...options, readableObjectMode: false });
    Object.assign(this, {
      bytesWritten: 0,
      _parts: [],
      _kind: kind,
      _options: options,
      _level: options?.level ?? -1,
      _chunkSize: 16384,
    });
  }
  _transform(chunk, encoding, done) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
    this._parts.push(bytes);
    this.bytesWritten += bytes.length;
    done();
  }
  _flush(done) {
    try {
      this.push(run(this._kind, Buffer.concat(this._parts), this._options));
      done();
    } catch (error) {
      done(error);
    }
  }
  flush(kind, callback) {
    const done = typeof kind === 'function' ? kind : callback;
    if (done) later(0, done);
  }
  params(level, strategy, callback) {
    later(0, () => callback?.(null));
  }
  reset() {
    this._parts = [];
  }
  close(callback) {
    if (callback) this.once('close', callback);
    this.destroy();
  }
}
const zlib = {
  constants,
  codes: Object.freeze({ Z_OK: 0, Z_STREAM_END: 1, Z_NEED_DICT: 2, Z_DATA_ERROR: -3, Z_BUF_ERROR: -5 }),
};
for (const name of Object.keys(KINDS)) {
  const kind = KINDS[name];
  const Class = {
    [name]: class extends Zlib {
      constructor(options) {
        super(kind, options);
      }
    },
  }[name];
  const plain = name[0].toLowerCase() + name.slice(1);
  zlib[name] = new Proxy(Class, { apply: (target, _, args) => new target(...args) });
  zlib[`create${name}`] = (options) => new Class(options);
  zlib[`${plain}Sync`] = (data, options) => run(kind, bytesOf(data), options);
  zlib[plain] = (data, options, callback) => {
    const done = typeof options === 'function' ? options : callback;
    if (typeof done !== 'function') throw badArgument('callback', 'of type function', done);
    const bytes = bytesOf(data);
    later(1, () => {
      let out;
      try {
        out = run(kind, bytes, typeof options === 'function' ? undefined : options);
      } catch (error) {
        return done(error);
      }
      return done(null, out);
    });
  };
}
const table = Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});
zlib.crc32 = (data, start = 0) => {
  let c = ~start;
  for (const byte of bytesOf(data)) c = table[(c ^ byte) & 255] ^ (c >>> 8);
  return ~c >>> 0;
};
for (const name of Object.keys(constants)) if (name.startsWith('Z_')) zlib[name] = constants[name];
export default offer('zlib', zlib);
