// Headers of fetch.

import { globals, tag } from '../core/define.js';

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

class Headers {
  #map = new Map();
  constructor(init) {
    if (init === undefined || init === null) return;
    if (typeof init !== 'object') throw new TypeError('Headers constructor: init given is not an object');
    const pairs =
      typeof init[Symbol.iterator] === 'function' ? [...init] : Object.keys(init).map((name) => [name, init[name]]);
    for (const [name, value] of pairs) this.append(name, value);
  }
  #name(name) {
    if (!NAME.test(`${name}`)) throw new TypeError(`Headers.append: "${name}" is an invalid header name.`);
    return `${name}`.toLowerCase();
  }
  append(name, value) {
    const key = this.#name(name);
    const text = `${value}`.trim();
    const list = this.#map.get(key);
    if (list) list.push(text);
    else this.#map.set(key, [text]);
  }
  set(name, value) {
    this.#map.set(this.#name(name), [`${value}`.trim()]);
  }
  get(name) {
    const list = this.#map.get(this.#name(name));
    return list ? list.join(`${name}`.toLowerCase() === 'cookie' ? '; ' : ', ') : null;
  }
  has(name) {
    return this.#map.has(this.#name(name));
  }
  delete(name) {
    this.#map.delete(this.#name(name));
  }
  getSetCookie() {
    return [...(this.#map.get('set-cookie') ?? [])];
  }
  *entries() {
    for (const name of [...this.#map.keys()].sort()) {
      if (name === 'set-cookie') for (const cookie of this.#map.get(name)) yield [name, cookie];
      else yield [name, this.get(name)];
    }
  }
  *keys() {
    for (const [name] of this.entries()) yield name;
  }
  *values() {
    for (const [, value] of this.entries()) yield value;
  }
  forEach(visit, self) {
    for (const [name, value] of this.entries()) visit.call(self, value, name, this);
  }
}
Object.defineProperty(Headers.prototype, Symbol.iterator, {
  value: Headers.prototype.entries,
  writable: true,
  configurable: true,
});
globals({ Headers: tag(Headers) });
export { Headers };
