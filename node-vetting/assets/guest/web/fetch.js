// fetch, Request and Response over the host's HTTP.

import { globals, tag } from '../core/define.js';
import { asBytes, decoded, mark, under, utf8 } from '../core/host.js';
import { exchange } from '../core/network.js';
import { later } from '../core/loop.js';
import { parseJson } from '../core/primordials.js';
import { Headers } from './headers.js';
import { Blob, FormData, multipart } from './blob.js';
import { URL, URLSearchParams } from './url.js';
import { ReadableStream } from './streams.js';

function asBody(body) {
  if (body === undefined || body === null) return { bytes: null };
  if (typeof body === 'string') return { bytes: utf8(body), type: 'text/plain;charset=UTF-8' };
  if (body instanceof URLSearchParams)
    return { bytes: utf8(body.toString()), type: 'application/x-www-form-urlencoded;charset=UTF-8' };
  if (body instanceof FormData) return multipart(body);
  if (body instanceof Blob) return { bytes: body._bytes, type: body.type || undefined };
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return { bytes: asBytes(body).slice() };
  if (typeof body[Symbol.asyncIterator] === 'function') return { stream: body };
  return { bytes: utf8(`${body}`), type: 'text/plain;charset=UTF-8' };
}

async function collect(source) {
  const parts = [];
  for await (const part of source) parts.push(typeof part === 'string' ? utf8(part) : asBytes(part));
  return new Blob(parts)._bytes;
}

class Body {
  #content;
  #used = false;
  #stream = null;
  constructor(body) {
    this.#content = asBody(body);
  }
  get _content() {
    return this.#content;
  }
  get bodyUsed() {
    return this.#used;
  }
  get body() {
    if (this.#content.bytes === null) return null;
    this.#stream ??=
      this.#content.stream instanceof ReadableStream
        ? this.#content.stream
        : ReadableStream.from(this.#content.stream ?? [this.#content.bytes]);
    return this.#stream;
  }
  async bytes() {
    if (this.#used) throw new TypeError('Body is unusable: Body has already been read');
    this.#used = this.#content.bytes !== null;
    if (this.#content.stream) return collect(this.#content.stream);
    return this.#content.bytes ?? new Uint8Array(0);
  }
  async arrayBuffer() {
    return (await this.bytes()).slice().buffer;
  }
  async text() {
    return decoded('utf-8', await this.bytes()).replace(/^\ufeff/, '');
  }
  async json() {
    return parseJson(await this.text());
  }
  async blob() {
    return new Blob([await this.bytes()], { type: this.headers.get('content-type') ?? '' });
  }
  async formData() {
    const out = new FormData();
    for (const [name, value] of new URLSearchParams(await this.text())) out.append(name, value);
    return out;
  }
}

class Request extends Body {
  constructor(input, init = {}) {
    const from = input instanceof Request ? input : null;
    const body = init.body ?? from?._content?.bytes;
    super(body);
    this.url = from ? from.url : new URL(`${input?.href ?? input}`).href;
    this.method = `${init.method ?? from?.method ?? 'GET'}`.toUpperCase();
    if (body !== undefined && body !== null && (this.method === 'GET' || this.method === 'HEAD'))
      throw new TypeError('Request with GET/HEAD method cannot have body.');
    this.headers = new Headers(init.headers ?? from?.headers);
    if (this._content.type && !this.headers.has('content-type')) this.headers.set('content-type', this._content.type);
    this.signal = init.signal ?? from?.signal ?? new AbortController().signal;
    this.redirect = init.redirect ?? from?.redirect ?? 'follow';
    for (const [name, value] of Object.entries({
      mode: 'cors',
      credentials: 'same-origin',
      cache: 'default',
      referrer: 'about:client',
      integrity: '',
      keepalive: false,
    }))
      this[name] = init[name] ?? value;
  }
  clone() {
    return new Request(this);
  }
}

class Response extends Body {
  constructor(body, init = {}) {
    super(body);
    this.status = init.status ?? 200;
    this.statusText = init.statusText ?? '';
    this.headers = new Headers(init.headers);
    if (this._content.type && !this.headers.has('content-type')) this.headers.set('content-type', this._content.type);
    this.type = 'default';
    this.url = '';
    this.redirected = false;
  }
  get ok() {
    return this.status >= 200 && this.status < 300;
  }
  clone() {
    const out = new Response(this._content.bytes ?? undefined, this);
    out.url = this.url;
    return out;
  }
  static json(data, init = {}) {
    return new Response(JSON.stringify(data), {
      ...init,
      headers: { 'content-type': 'application/json', ...init.headers },
    });
  }
  static error() {
    const out = new Response(null, { status: 200 });
    out.status = 0;
    out.type = 'error';
    return out;
  }
  static redirect(url, status = 302) {
    return new Response(null, { status, headers: { location: `${url}` } });
  }
}

const pause = () => new Promise((resolve) => later(20, resolve));

export async function fetch(input, init = {}) {
  const who = mark();
  const request = new Request(input, init);
  request.signal.throwIfAborted();
  if (!/^https?:$/.test(new URL(request.url).protocol))
    throw new TypeError('fetch failed', { cause: new Error('unknown scheme') });
  const body = request._content.stream ? await collect(request._content.stream) : (request._content.bytes ?? undefined);
  await pause();
  let url = request.url;
  let { method } = request;
  let redirected = false;
  for (let hops = 0; hops <= 20; hops++) {
    request.signal.throwIfAborted();
    let answer;
    try {
      answer = under(who, () =>
        exchange(
          { method, url, headers: [['accept', '*/*'], ['user-agent', 'node'], ...request.headers] },
          method === 'GET' ? undefined : body,
        ),
      );
    } catch (error) {
      throw new TypeError('fetch failed', { cause: error });
    }
    const response = new Response(answer.body, {
      status: answer.status,
      statusText: answer.message,
      headers: answer.headers,
    });
    const next = response.headers.get('location');
    if (next !== null && [301, 302, 303, 307, 308].includes(answer.status) && request.redirect === 'follow') {
      url = new URL(next, url).href;
      if (answer.status === 303) method = 'GET';
      redirected = true;
      continue;
    }
    response.url = url;
    response.redirected = redirected;
    response.type = 'basic';
    return response;
  }
  throw new TypeError('fetch failed', { cause: new Error('redirect count exceeded') });
}

globals({ fetch, Request: tag(Request), Response: tag(Response) });
export { Request, Response };
