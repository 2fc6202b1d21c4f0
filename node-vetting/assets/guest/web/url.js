// URL and URLSearchParams. The host parses, by the same rules as Node.js.

import { globals, tag } from '../core/define.js';
import { call } from '../core/host.js';
import { coded } from '../core/errors.js';

const parse = (url, base) => call('url.parse', { __proto__: null, url, base });

const encode = (value) =>
  encodeURIComponent(`${value}`.toWellFormed()).replace(/[!'()~]|%20/g, (part) =>
    part === '%20' ? '+' : `%${part.charCodeAt(0).toString(16).toUpperCase()}`,
  );
function decode(value) {
  const text = value.replace(/\+/g, ' ');
  try {
    return decodeURIComponent(text);
  } catch {
    return text.replace(/(%[0-9a-f]{2})+/gi, (part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
  }
}

class URLSearchParams {
  #list = [];
  #changed = null;
  constructor(init) {
    if (init === undefined || init === null) return;
    if (typeof init === 'object' || typeof init === 'function') {
      if (init instanceof URLSearchParams) this.#list = init.#list.map((pair) => [...pair]);
      else if (typeof init[Symbol.iterator] === 'function') {
        for (const pair of init) {
          const [name, value, ...more] = pair;
          if (more.length > 0 || [...pair].length !== 2)
            throw coded(TypeError, 'ERR_INVALID_TUPLE', 'Each query pair must be an iterable [name, value] tuple');
          this.#list.push([`${name}`, `${value}`]);
        }
      } else
        for (const name of Reflect.ownKeys(init))
          if (typeof name === 'string') this.#list.push([name, `${init[name]}`]);
    } else this.#read(`${init}`);
  }
  #read(text) {
    this.#list = [];
    for (const part of (text[0] === '?' ? text.slice(1) : text).split('&')) {
      if (part === '') continue;
      const at = part.indexOf('=');
      this.#list.push(at < 0 ? [decode(part), ''] : [decode(part.slice(0, at)), decode(part.slice(at + 1))]);
    }
  }
  static _bind(params, text, changed) {
    params.#read(text);
    params.#changed = changed;
  }
  #touch() {
    this.#changed?.(this.toString());
  }
  get size() {
    return this.#list.length;
  }
  append(name, value) {
    this.#list.push([`${name}`, `${value}`]);
    this.#touch();
  }
  delete(name, value) {
    this.#list = this.#list.filter(([n, v]) => n !== `${name}` || (value !== undefined && v !== `${value}`));
    this.#touch();
  }
  get(name) {
    return this.#list.find(([n]) => n === `${name}`)?.[1] ?? null;
  }
  getAll(name) {
    return this.#list.filter(([n]) => n === `${name}`).map(([, v]) => v);
  }
  has(name, value) {
    return this.#list.some(([n, v]) => n === `${name}` && (value === undefined || v === `${value}`));
  }
  set(name, value) {
    const at = this.#list.findIndex(([n]) => n === `${name}`);
    if (at < 0) this.#list.push([`${name}`, `${value}`]);
    else {
      this.#list[at][1] = `${value}`;
      this.#list = this.#list.filter(([n], i) => i <= at || n !== `${name}`);
    }
    this.#touch();
  }
  sort() {
    this.#list.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    this.#touch();
  }
  forEach(visit, self) {
    for (const [name, value] of this.#list) visit.call(self, value, name, this);
  }
  *entries() {
    for (const [name, value] of this.#list) yield [name, value];
  }
  *keys() {
    for (const [name] of this.#list) yield name;
  }
  *values() {
    for (const [, value] of this.#list) yield value;
  }
  toString() {
    return this.#list.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&');
  }
  [Symbol.for('nodejs.util.inspect.custom')](_, options, inspect) {
    return `URLSearchParams {${this.#list.length ? ' ' : ''}${this.#list.map(([n, v]) => `${inspect(n, options)} => ${inspect(v, options)}`).join(', ')}${this.#list.length ? ' ' : ''}}`;
  }
}
const bind = URLSearchParams._bind;
delete URLSearchParams._bind;
Object.defineProperty(URLSearchParams.prototype, Symbol.iterator, {
  value: URLSearchParams.prototype.entries,
  writable: true,
  configurable: true,
});

class URL {
  #parts;
  #params = null;
  constructor(url, base) {
    if (arguments.length === 0) throw coded(TypeError, 'ERR_MISSING_ARGS', 'The "url" argument must be specified');
    const text = `${url}`;
    try {
      this.#parts = parse(text, base === undefined ? undefined : `${base}`);
    } catch {
      const error = coded(TypeError, 'ERR_INVALID_URL', 'Invalid URL');
      error.input = text;
      if (base !== undefined) error.base = `${base}`;
      throw error;
    }
  }
  static canParse(url, base) {
    return URL.parse(url, base) !== null;
  }
  static parse(url, base) {
    try {
      return new URL(url, base);
    } catch {
      return null;
    }
  }
  static createObjectURL() {
    return 'blob:nodedata:0';
  }
  static revokeObjectURL() {}
  #set(change) {
    const p = { ...this.#parts, ...change };
    const auth = p.username || p.password ? `${p.username}${p.password ? `:${p.password}` : ''}@` : '';
    const slashes = /^(https?|wss?|ftp|file):$/.test(p.protocol) || p.host !== '' ? '//' : '';
    try {
      this.#parts = parse(`${p.protocol}${slashes}${auth}${p.host}${p.pathname}${p.search}${p.hash}`);
    } catch {
      return; // A setter that is given nonsense changes nothing.
    }
    if (this.#params && 'search' in change && !change.quiet) bind(this.#params, this.#parts.search, this.#follow);
  }
  #follow = (text) => this.#set({ search: text === '' ? '' : `?${text}`, quiet: true });
  get href() {
    return this.#parts.href;
  }
  set href(value) {
    this.#parts = new URL(value).#parts;
    if (this.#params) bind(this.#params, this.#parts.search, this.#follow);
  }
  get origin() {
    return this.#parts.origin;
  }
  get protocol() {
    return this.#parts.protocol;
  }
  set protocol(value) {
    this.#set({ protocol: `${value}`.replace(/:.*$/s, '') + ':' });
  }
  get username() {
    return this.#parts.username;
  }
  set username(value) {
    this.#set({ username: encodeURIComponent(value) });
  }
  get password() {
    return this.#parts.password;
  }
  set password(value) {
    this.#set({ password: encodeURIComponent(value) });
  }
  get host() {
    return this.#parts.host;
  }
  set host(value) {
    this.#set({ host: `${value}` });
  }
  get hostname() {
    return this.#parts.hostname;
  }
  set hostname(value) {
    this.#set({ host: `${value}${this.#parts.port ? `:${this.#parts.port}` : ''}` });
  }
  get port() {
    return this.#parts.port;
  }
  set port(value) {
    this.#set({ host: `${this.#parts.hostname}${`${value}` === '' ? '' : `:${parseInt(value, 10)}`}` });
  }
  get pathname() {
    return this.#parts.pathname;
  }
  set pathname(value) {
    this.#set({ pathname: `${`${value}`[0] === '/' ? '' : '/'}${value}`.replace(/[?#]/g, encodeURIComponent) });
  }
  get search() {
    return this.#parts.search;
  }
  set search(value) {
    const text = `${value}`.replace(/^\?/, '');
    this.#set({ search: text === '' ? '' : `?${text.replace(/#/g, '%23')}` });
  }
  get hash() {
    return this.#parts.hash;
  }
  set hash(value) {
    const text = `${value}`.replace(/^#/, '');
    this.#set({ hash: text === '' ? '' : `#${text}` });
  }
  get searchParams() {
    if (this.#params === null) {
      this.#params = new URLSearchParams();
      bind(this.#params, this.#parts.search, this.#follow);
    }
    return this.#params;
  }
  toString() {
    return this.href;
  }
  toJSON() {
    return this.href;
  }
  [Symbol.for('nodejs.util.inspect.custom')](depth, options, inspect) {
    if (depth < 0) return this.href;
    const shown = {};
    for (const name of [
      'href',
      'origin',
      'protocol',
      'username',
      'password',
      'host',
      'hostname',
      'port',
      'pathname',
      'search',
      'searchParams',
      'hash',
    ])
      shown[name] = this[name];
    return `URL ${inspect(shown, options)}`;
  }
}
for (const name of [
  'href',
  'origin',
  'protocol',
  'username',
  'password',
  'host',
  'hostname',
  'port',
  'pathname',
  'search',
  'hash',
  'searchParams',
  'toString',
  'toJSON',
]) {
  Object.defineProperty(URL.prototype, name, { enumerable: true });
}
globals({ URL: tag(URL), URLSearchParams: tag(URLSearchParams) });
export { URL, URLSearchParams };
