// Blob, File and FormData.

import { globals, tag } from '../core/define.js';
import { asBytes, decoded, utf8 } from '../core/host.js';
import { ReadableStream } from './streams.js';

function join(parts) {
  const all = parts.map((part) =>
    part instanceof Blob
      ? part._bytes
      : typeof part === 'object' && part !== null && (ArrayBuffer.isView(part) || part instanceof ArrayBuffer)
        ? asBytes(part)
        : utf8(`${part}`),
  );
  const out = new Uint8Array(all.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of all) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

class Blob {
  #bytes;
  #type;
  constructor(parts = [], { type = '' } = {}) {
    this.#bytes = join([...parts]);
    this.#type = `${type}`.toLowerCase();
  }
  get _bytes() {
    return this.#bytes;
  }
  get size() {
    return this.#bytes.length;
  }
  get type() {
    return this.#type;
  }
  slice(start = 0, end = this.size, type = '') {
    return new Blob([this.#bytes.slice(start, end)], { type });
  }
  async arrayBuffer() {
    return this.#bytes.slice().buffer;
  }
  async bytes() {
    return this.#bytes.slice();
  }
  async text() {
    return decoded('utf-8', this.#bytes);
  }
  stream() {
    return ReadableStream.from([this.#bytes.slice()]);
  }
}
class File extends Blob {
  #name;
  #modified;
  constructor(parts, name, options = {}) {
    super(parts, options);
    this.#name = `${name}`;
    this.#modified = options.lastModified ?? Date.now();
  }
  get name() {
    return this.#name;
  }
  get lastModified() {
    return this.#modified;
  }
}
class FormData {
  #list = [];
  append(name, value, filename) {
    this.#list.push([
      `${name}`,
      value instanceof Blob && !(value instanceof File)
        ? new File([value], filename ?? 'blob', { type: value.type })
        : value instanceof Blob
          ? value
          : `${value}`,
    ]);
  }
  set(name, value, filename) {
    this.delete(name);
    this.append(name, value, filename);
  }
  delete(name) {
    this.#list = this.#list.filter(([n]) => n !== `${name}`);
  }
  get(name) {
    return this.#list.find(([n]) => n === `${name}`)?.[1] ?? null;
  }
  getAll(name) {
    return this.#list.filter(([n]) => n === `${name}`).map(([, value]) => value);
  }
  has(name) {
    return this.#list.some(([n]) => n === `${name}`);
  }
  forEach(visit, self) {
    for (const [name, value] of this.#list) visit.call(self, value, name, this);
  }
  *entries() {
    yield* this.#list;
  }
  *keys() {
    for (const [name] of this.#list) yield name;
  }
  *values() {
    for (const [, value] of this.#list) yield value;
  }
  [Symbol.iterator]() {
    return this.entries();
  }
}

/** A form as the body of a request. */
export function multipart(form) {
  const boundary = '----formdata-undici-0123456789ab';
  const parts = [];
  for (const [name, value] of form.entries()) {
    parts.push(`--${boundary}\r\nContent-Disposition: form-data; name="${name}"`);
    if (value instanceof File)
      parts.push(
        `; filename="${value.name}"\r\nContent-Type: ${value.type || 'application/octet-stream'}\r\n\r\n`,
        value,
        '\r\n',
      );
    else parts.push(`\r\n\r\n${value}\r\n`);
  }
  parts.push(`--${boundary}--\r\n`);
  return { bytes: join(parts), type: `multipart/form-data; boundary=${boundary}` };
}

globals({ Blob: tag(Blob), File: tag(File), FormData: tag(FormData) });
export { Blob, File, FormData };
