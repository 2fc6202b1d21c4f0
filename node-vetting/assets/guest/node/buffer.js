// The module `buffer`: a pinned package, completed to what Node.js offers today.

import { dep } from '../loader/deps.js';
import { offer } from '../loader/builtins.js';
import { globals } from '../core/define.js';
import { asBytes, decoded, utf8 } from '../core/host.js';
import { badArgument, coded, outOfRange } from '../core/errors.js';
import { Blob, File } from '../web/blob.js';
import { defineProperty } from '../core/primordials.js';

const base = dep('buffer/index.js');
const { Buffer } = base;
const put = (target, values) => {
  for (const name of Reflect.ownKeys(values))
    defineProperty(target, name, { value: values[name], writable: true, configurable: true, enumerable: true });
};
const { from, byteLength } = Buffer;
const urlSafe = (bytes) => bytes.base64Slice().replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
const encodings = [
  'utf8',
  'utf-8',
  'hex',
  'ascii',
  'latin1',
  'binary',
  'base64',
  'base64url',
  'ucs2',
  'ucs-2',
  'utf16le',
  'utf-16le',
];
const oldToString = Buffer.prototype.toString;
const oldWrite = Buffer.prototype.write;

/** Texts beyond this many characters are coded by the host. */
const LONG = 200;
const isUtf8 = (encoding) => encoding === undefined || encoding === null || /^utf-?8$/i.test(encoding);

put(Buffer, {
  isEncoding: (name) => typeof name === 'string' && encodings.includes(name.toLowerCase()),
  // Old code writes `new Buffer.from(...)`, which only a function can be asked for.
  from: function from_(value, encoding, length) {
    if (typeof value === 'string') {
      if (isUtf8(encoding) || encoding === '') {
        const bytes = value.length > LONG ? utf8(value) : null;
        if (bytes) return from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        return from.call(Buffer, value.toWellFormed(), 'utf8');
      }
      if (/^base64(url)?$/i.test(encoding))
        return from.call(Buffer, value.replace(/-/g, '+').replace(/_/g, '/'), 'base64');
      if (typeof encoding !== 'string' || !Buffer.isEncoding(encoding))
        throw coded(TypeError, 'ERR_UNKNOWN_ENCODING', `Unknown encoding: ${encoding}`);
      if (/^hex$/i.test(encoding)) return from.call(Buffer, /^(?:[0-9a-f]{2})*/i.exec(value)[0], 'hex');
      return from.call(Buffer, value, encoding);
    }
    if (
      value === null ||
      value === undefined ||
      typeof value === 'number' ||
      typeof value === 'boolean' ||
      typeof value === 'symbol'
    )
      throw badArgument(
        'first argument',
        'of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object',
        value,
      );
    if (value instanceof SharedArrayBuffer) return from(new Uint8Array(value).slice().buffer, encoding, length);
    if (value?.type === 'Buffer' && Array.isArray(value.data)) return from(value.data);
    return from.call(Buffer, value, encoding, length);
  },
  copyBytesFrom(view, offset = 0, length = view.length - offset) {
    return from(asBytes(view.slice(offset, offset + length)).slice());
  },
  byteLength(value, encoding) {
    return typeof value === 'string' && /^base64/i.test(encoding)
      ? Math.floor((value.replace(/=+$/, '').length * 3) / 4)
      : byteLength(value, encoding);
  },
  poolSize: 65_536,
});

defineProperty(Buffer.from, 'name', { value: 'from', configurable: true });
const proto = Buffer.prototype;
put(proto, {
  toString(encoding, start, end) {
    if (arguments.length > 0 && encoding !== undefined && !Buffer.isEncoding(`${encoding}`))
      throw coded(TypeError, 'ERR_UNKNOWN_ENCODING', `Unknown encoding: ${encoding}`);
    if (/^base64url$/i.test(encoding)) return urlSafe(this.subarray(start ?? 0, end ?? this.length));
    if (isUtf8(encoding) && this.length > LONG) {
      const part = start === undefined && end === undefined ? this : this.subarray(start ?? 0, end ?? this.length);
      return decoded('utf-8', part);
    }
    return oldToString.call(this, ...(encoding === undefined && start === undefined ? [] : [encoding, start, end]));
  },
  write(string, offset, length, encoding) {
    if (typeof offset === 'string') return this.write(string, 0, undefined, offset);
    if (typeof length === 'string') return this.write(string, offset, undefined, length);
    if (/^base64url$/i.test(encoding))
      return oldWrite.call(
        this,
        string.replace(/-/g, '+').replace(/_/g, '/'),
        offset ?? 0,
        length ?? this.length - (offset ?? 0),
        'base64',
      );
    return oldWrite.call(this, string, offset ?? 0, length ?? this.length - (offset ?? 0), encoding ?? 'utf8');
  },
  base64Slice(start = 0, end = this.length) {
    return oldToString.call(this, 'base64', start, end);
  },
  base64urlSlice(start = 0, end = this.length) {
    return urlSafe(this.subarray(start, end));
  },
  toLocaleString: proto.toString,
});
for (const [name, encoding] of Object.entries({
  utf8: 'utf8',
  latin1: 'latin1',
  ascii: 'ascii',
  hex: 'hex',
  ucs2: 'utf16le',
})) {
  put(proto, {
    [`${name}Slice`](start = 0, end = this.length) {
      return this.toString(encoding, start, end);
    },
    [`${name}Write`](string, offset = 0, length = this.length - offset) {
      return this.write(string, offset, length, encoding);
    },
  });
}
put(proto, {
  base64Write(string, offset = 0, length = this.length - offset) {
    return this.write(string, offset, length, 'base64');
  },
  asciiWrite: proto.latin1Write,
});
/** What a number of so many bits may be. */
function rangeOf(name) {
  const [, kind, bits] = /(UInt|Int)(\d+)/.exec(name) ?? [];
  if (!bits) return 'within the range of its size';
  const low = kind === 'Int' ? -(2 ** (bits - 1)) : 0;
  const high = kind === 'Int' ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  const shown = (n) =>
    Math.abs(n) > 2 ** 16 ? `${n < 0 ? '-' : ''}(2 ** ${Math.round(Math.log2(Math.abs(n) + 1))})` : `${n}`;
  return `>= ${shown(low)} and <= ${shown(high)}`;
}
for (const name of Object.keys(proto)) {
  if (!/^(read|write)(U?Int|BigU?Int|Float|Double)/.test(name)) continue;
  const old = proto[name];
  put(proto, {
    [name]: {
      [name](...args) {
        try {
          return old.apply(this, args);
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
          if (/value/.test(error.message)) throw outOfRange('value', rangeOf(name), args[0]);
          throw coded(RangeError, 'ERR_BUFFER_OUT_OF_BOUNDS', 'Attempt to access memory outside buffer bounds');
        }
      },
    }[name],
  });
}
for (const name of Object.keys(proto))
  if (/^(read|write)U?[A-Z]?Int|^(read|write)(UInt|BigUInt)/.test(name) && name.includes('UInt'))
    put(proto, { [name.replace('UInt', 'Uint')]: proto[name] });
for (const name of ['parent', 'offset']) {
  const source = name === 'parent' ? 'buffer' : 'byteOffset';
  defineProperty(proto, name, {
    configurable: true,
    enumerable: true,
    get() {
      return this instanceof Buffer ? this[source] : undefined;
    },
  });
}
put(proto, {
  [Symbol.for('nodejs.util.inspect.custom')]() {
    const most = base.INSPECT_MAX_BYTES ?? 50;
    let hex = proto.toString.call(this, 'hex', 0, Math.min(most, this.length)).replace(/(..)/g, '$1 ').trim();
    if (this.length > most) hex += ` ... ${this.length - most} more byte${this.length - most > 1 ? 's' : ''}`;
    return `<${this.constructor?.name ?? 'Buffer'} ${hex}>`;
  },
});
proto.inspect = undefined;
delete proto.inspect;

const valid = (bytes) => proto.equals.call(from(bytes), utf8(decoded('utf-8', bytes)));
const { atob, btoa } = globalThis;
const exported = {
  Buffer,
  SlowBuffer: base.SlowBuffer,
  Blob,
  File,
  INSPECT_MAX_BYTES: 50,
  kMaxLength: 9_007_199_254_740_991,
  kStringMaxLength: 536_870_888,
  constants: { MAX_LENGTH: 9_007_199_254_740_991, MAX_STRING_LENGTH: 536_870_888 },
  isUtf8: (data) => valid(asBytes(data)),
  isAscii: (data) => asBytes(data).every((byte) => byte < 128),
  transcode: (source, fromEncoding, toEncoding) => Buffer.from(Buffer.from(source).toString(fromEncoding), toEncoding),
  resolveObjectURL: () => undefined,
  atob,
  btoa,
};
globals({ Buffer });
export { Buffer };
export default offer('buffer', exported);
