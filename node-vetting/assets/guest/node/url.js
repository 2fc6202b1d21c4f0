// The module `url`: the classes of the web, and the older functions.

import { offer } from '../loader/builtins.js';
import { call } from '../core/host.js';
import { badArgument, coded } from '../core/errors.js';
import { URL, URLSearchParams } from '../web/url.js';
import { fromUrl } from './http-client.js';
import querystring from './querystring.js';
import path from './path.js';

const SLASHED = new Set(['http:', 'https:', 'ftp:', 'gopher:', 'file:', 'ws:', 'wss:']);
const escapeMap = /[\t\n\r "'<>\\^`{|}]/g;

export function Url() {
  Object.assign(this, {
    protocol: null,
    slashes: null,
    auth: null,
    host: null,
    port: null,
    hostname: null,
    hash: null,
    search: null,
    query: null,
    pathname: null,
    path: null,
    href: null,
  });
}
Url.prototype.parse = function (given, parseQuery, slashesDenoteHost) {
  if (typeof given !== 'string') throw badArgument('url', 'of type string', given);
  let rest = given.trim();
  // Backslashes before a query are slashes.
  const cut = rest.search(/[?#]/);
  rest = (cut < 0 ? rest : rest.slice(0, cut)).replace(/\\/g, '/') + (cut < 0 ? '' : rest.slice(cut));
  const scheme = /^([a-z0-9.+-]+:)/i.exec(rest);
  if (scheme) {
    this.protocol = scheme[1].toLowerCase();
    rest = rest.slice(scheme[1].length);
  }
  const script = this.protocol === 'javascript:';
  if ((slashesDenoteHost || scheme || /^\/\/[^@/]+@[^@/]+/.test(rest)) && rest.startsWith('//') && !script) {
    rest = rest.slice(2);
    this.slashes = true;
  }
  if (!script && (this.slashes || (this.protocol && !SLASHED.has(this.protocol)))) {
    const end = rest.search(/[/?#]/);
    let authority = end < 0 ? rest : rest.slice(0, end);
    rest = end < 0 ? '' : rest.slice(end);
    const at = authority.lastIndexOf('@');
    if (at >= 0) {
      this.auth = decodeURIComponent(authority.slice(0, at));
      authority = authority.slice(at + 1);
    }
    const bad = /[\t\n\r "<>^`{|}%']/.exec(authority);
    if (bad) {
      rest = `/${authority.slice(bad.index)}${rest}`;
      authority = authority.slice(0, bad.index);
    }
    const port = /:([0-9]*)$/.exec(authority);
    if (port && !(authority.startsWith('[') && !authority.includes(']:'))) {
      if (port[1] !== '') this.port = port[1];
      authority = authority.slice(0, -port[0].length);
    }
    this.hostname = authority.toLowerCase();
    if (this.hostname.startsWith('[') && this.hostname.endsWith(']')) this.hostname = this.hostname.slice(1, -1);
    this.host = (authority.startsWith('[') ? `[${this.hostname}]` : this.hostname) + (this.port ? `:${this.port}` : '');
  }
  if (!script) rest = rest.replace(escapeMap, encodeURIComponent).replace(/'/g, '%27');
  const hash = rest.indexOf('#');
  if (hash >= 0) {
    this.hash = rest.slice(hash);
    rest = rest.slice(0, hash);
  }
  const query = rest.indexOf('?');
  if (query >= 0) {
    this.search = rest.slice(query);
    this.query = parseQuery ? querystring.parse(rest.slice(query + 1)) : rest.slice(query + 1);
    rest = rest.slice(0, query);
  } else if (parseQuery) {
    this.search = null;
    this.query = { __proto__: null };
  }
  if (rest !== '') this.pathname = rest;
  if (SLASHED.has(this.protocol) && this.hostname && !this.pathname) this.pathname = '/';
  if (this.pathname || this.search) this.path = (this.pathname ?? '') + (this.search ?? '');
  this.href = this.format();
  return this;
};
Url.prototype.format = function () {
  let auth = this.auth ?? '';
  if (auth)
    auth = `${encodeURIComponent(auth)
      .replace(/%3A/i, ':')
      .replace(/%(21|27|28|29|2A)/gi, decodeURIComponent)}@`;
  let protocol = this.protocol ?? '';
  if (protocol && !protocol.endsWith(':')) protocol += ':';
  let host = '';
  if (this.host) host = auth + this.host;
  else if (this.hostname)
    host =
      auth +
      (this.hostname.includes(':') && !this.hostname.startsWith('[') ? `[${this.hostname}]` : this.hostname) +
      (this.port ? `:${this.port}` : '');
  let search =
    this.search ??
    (this.query !== null && typeof this.query === 'object' && Object.keys(this.query).length
      ? `?${querystring.stringify(this.query)}`
      : '');
  if (search && !search.startsWith('?')) search = `?${search}`;
  let hash = this.hash ?? '';
  if (hash && !hash.startsWith('#')) hash = `#${hash}`;
  let pathname = (this.pathname ?? '').replace(/[?#]/g, encodeURIComponent);
  if (this.slashes || ((!protocol || SLASHED.has(protocol)) && host !== '')) {
    if (this.slashes || host) {
      if (pathname && !pathname.startsWith('/')) pathname = `/${pathname}`;
      host = `//${host}`;
    }
  }
  return protocol + host + pathname + search.replace('#', '%23') + hash;
};
Url.prototype.resolve = function (relative) {
  return this.resolveObject(relative).format();
};
Url.prototype.resolveObject = function (relative) {
  const target = typeof relative === 'string' ? parse(relative, false, true) : relative;
  if (target.protocol && target.protocol !== this.protocol) return parse(target.format());
  if (target.hostname || target.slashes) {
    const out = parse(`${this.protocol ?? ''}${target.format().replace(/^[a-z]+:/i, '')}`, false, true);
    return out;
  }
  const out = Object.assign(new Url(), this);
  if (target.pathname) {
    const base = target.pathname.startsWith('/')
      ? ''
      : (this.pathname ?? '').replace(/[^/]*$/, '') || (this.hostname ? '/' : '');
    const joined = base + target.pathname;
    const parts = [];
    for (const part of joined.split('/')) {
      if (part === '..') {
        if (parts.length > 1 || (parts.length === 1 && parts[0] !== '')) parts.pop();
      } else if (part !== '.') parts.push(part);
    }
    if (/(^|\/)\.{1,2}$/.test(joined)) parts.push('');
    out.pathname = parts.join('/');
    out.search = target.search;
    out.query = target.query;
  } else if (target.search) {
    out.search = target.search;
    out.query = target.query;
  }
  out.hash = target.hash;
  out.path = (out.pathname ?? '') + (out.search ?? '');
  out.href = out.format();
  return out;
};
export function parse(given, parseQuery, slashesDenoteHost) {
  if (given instanceof Url) return given;
  return new Url().parse(given, parseQuery, slashesDenoteHost);
}
function format(given, options) {
  if (typeof given === 'string') return parse(given).format();
  if (given instanceof URL) {
    const out = new URL(given.href);
    if (options?.fragment === false) out.hash = '';
    if (options?.search === false) out.search = '';
    if (options?.auth === false) {
      out.username = '';
      out.password = '';
    }
    return out.href;
  }
  if (typeof given !== 'object' || given === null) throw badArgument('urlObject', 'of type object or string', given);
  return Url.prototype.format.call(Object.assign(new Url(), given));
}
export function fileURLToPath(given) {
  const url = typeof given === 'string' ? new URL(given) : given;
  if (typeof url?.protocol !== 'string') throw badArgument('path', 'of type string or an instance of URL', given);
  if (url.protocol !== 'file:') throw coded(TypeError, 'ERR_INVALID_URL_SCHEME', 'The URL must be of scheme file');
  if (/%2f/i.test(url.pathname))
    throw coded(TypeError, 'ERR_INVALID_FILE_URL_PATH', 'File URL path must not include encoded / characters');
  return decodeURIComponent(url.pathname);
}
export const pathToFileURL = (file) => {
  const whole = path.resolve(file) + (file.endsWith('/') && file !== '/' ? '/' : '');
  const url = new URL('file:///');
  url.pathname = whole
    .replace(/%/g, '%25')
    .replace(/\\/g, '%5C')
    .replace(/\n/g, '%0A')
    .replace(/\r/g, '%0D')
    .replace(/\t/g, '%09');
  return url;
};
const ascii = (domain) => {
  try {
    return call('url.parse', { __proto__: null, url: `http://${domain}/` }).hostname;
  } catch {
    return '';
  }
};
export default offer('url', {
  Url,
  parse,
  resolve: (from, to) => parse(from, false, true).resolve(to),
  resolveObject: (from, to) => (from ? parse(from, false, true).resolveObject(to) : to),
  format,
  URL,
  URLSearchParams,
  domainToASCII: ascii,
  domainToUnicode: ascii,
  pathToFileURL,
  fileURLToPath,
  fileURLToPathBuffer: (u) => globalThis.Buffer.from(fileURLToPath(u)),
  urlToHttpOptions: fromUrl,
});
