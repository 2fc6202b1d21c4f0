// TextEncoder and TextDecoder; the host does the work, so that large texts are cheap.

import { globals, tag } from '../core/define.js';
import { asBytes, decoded, utf8 } from '../core/host.js';
import { Uint8Array, strings } from '../core/primordials.js';
import { coded } from '../core/errors.js';

const LABELS = {
  __proto__: null,
  'utf-8': 'utf-8',
  utf8: 'utf-8',
  'unicode-1-1-utf-8': 'utf-8',
  'utf-16le': 'utf-16le',
  'utf-16': 'utf-16le',
  'ucs-2': 'utf-16le',
  'utf-16be': 'utf-16be',
  latin1: 'windows-1252',
  'iso-8859-1': 'windows-1252',
  ascii: 'windows-1252',
  'us-ascii': 'windows-1252',
  'windows-1252': 'windows-1252',
  'windows-1251': 'windows-1251',
  'windows-1250': 'windows-1250',
  'iso-8859-2': 'iso-8859-2',
  'iso-8859-15': 'iso-8859-15',
  'koi8-r': 'koi8-r',
  gbk: 'gbk',
  gb18030: 'gb18030',
  big5: 'big5',
  'euc-jp': 'euc-jp',
  shift_jis: 'shift_jis',
  'euc-kr': 'euc-kr',
};

class TextEncoder {
  get encoding() {
    return 'utf-8';
  }
  encode(string = '') {
    return utf8(`${string}`);
  }
  encodeInto(string, target) {
    const all = utf8(`${string}`);
    if (all.length <= target.length) {
      target.set(all);
      return { read: string.length, written: all.length };
    }
    let read = 0;
    let written = 0;
    for (const char of `${string}`) {
      const part = utf8(char);
      if (written + part.length > target.length) break;
      target.set(part, written);
      written += part.length;
      read += char.length;
    }
    return { read, written };
  }
}

const sameBytes = (a, b) => {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
};

class TextDecoder {
  #encoding;
  #fatal;
  #ignoreBOM;
  #held = new Uint8Array(0);
  constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
    this.#encoding = LABELS[strings.toLowerCase(strings.trim(`${label}`))];
    if (this.#encoding === undefined)
      throw coded(RangeError, 'ERR_ENCODING_NOT_SUPPORTED', `The "${label}" encoding is not supported`);
    this.#fatal = Boolean(fatal);
    this.#ignoreBOM = Boolean(ignoreBOM);
  }
  get encoding() {
    return this.#encoding;
  }
  get fatal() {
    return this.#fatal;
  }
  get ignoreBOM() {
    return this.#ignoreBOM;
  }
  decode(input = new Uint8Array(0), { stream = false } = {}) {
    let data = asBytes(input);
    if (this.#held.length > 0) {
      const joined = new Uint8Array(this.#held.length + data.length);
      joined.set(this.#held);
      joined.set(data, this.#held.length);
      data = joined;
      this.#held = new Uint8Array(0);
    }
    if (stream) {
      const whole = this.#whole(data);
      this.#held = data.slice(whole);
      data = data.subarray(0, whole);
    }
    const out = decoded(this.#encoding, data);
    // Text that was broken does not lead back to the same bytes.
    if (this.#fatal && this.#encoding === 'utf-8' && !sameBytes(utf8(out), data))
      throw coded(
        TypeError,
        'ERR_ENCODING_INVALID_ENCODED_DATA',
        `The encoded data was not valid for encoding ${this.#encoding}`,
      );
    return !this.#ignoreBOM && out.charCodeAt(0) === 0xfeff ? out.slice(1) : out;
  }
  /** How many of the bytes end with a whole character. */
  #whole(data) {
    const size = data.length;
    if (strings.startsWith(this.#encoding, 'utf-16')) return size - (size % 2);
    if (this.#encoding !== 'utf-8') return size;
    for (let back = 1; back <= Math.min(3, size); back++) {
      const byte = data[size - back];
      if (byte >= 0xc0) return (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) > back ? size - back : size;
      if (byte < 0x80) return size;
    }
    return size;
  }
}

globals({ TextEncoder: tag(TextEncoder), TextDecoder: tag(TextDecoder) });
export { TextEncoder, TextDecoder };
