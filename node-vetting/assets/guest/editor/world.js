// The browser as a node's editor half finds it: a window in which every way out is told and nothing is shown.

import { guarded, later } from '../core/loop.js';
import { defineProperty, global, ownKeys } from '../core/primordials.js';
import { Headers } from '../web/headers.js';
import { Response } from '../web/fetch.js';
import { EventTarget } from '../web/events.js';
import { jquery } from './jquery.js';
import { HERE, anything, element, handlers, markup, network, token } from './page.js';

const keep = new Map();
let login = 'none';

class Storage {
  constructor(name) {
    defineProperty(this, 'name_', { value: name });
  }
  #read(key) {
    if (/auth-token|token|session/i.test(key)) token();
    return (
      keep.get(`${this.name_}:${key}`) ??
      (key === 'auth-tokens' ? `{"access_token":"${login}","expires_in":604800,"token_type":"Bearer"}` : null)
    );
  }
  getItem(key) {
    return this.#read(`${key}`);
  }
  setItem(key, value) {
    keep.set(`${this.name_}:${key}`, `${value}`);
  }
  removeItem(key) {
    keep.delete(`${this.name_}:${key}`);
  }
  clear() {
    keep.clear();
  }
  key() {
    token();
    return 'auth-tokens';
  }
  get length() {
    return 1;
  }
}
const storage = (name) =>
  new Proxy(new Storage(name), {
    get: (target, key) =>
      typeof key === 'symbol'
        ? undefined
        : key in target
          ? typeof target[key] === 'function'
            ? target[key].bind(target)
            : target[key]
          : (target.getItem(key) ?? undefined),
    ownKeys: () => {
      token();
      return ['auth-tokens'];
    },
    getOwnPropertyDescriptor: (_, key) => ({ value: '', configurable: true, enumerable: true, writable: true, key }),
    set: (target, key, value) => {
      target.setItem(key, value);
      return true;
    },
  });

class XMLHttpRequest extends EventTarget {
  open(method, url) {
    this._url = url;
    this.readyState = 1;
  }
  setRequestHeader() {}
  getAllResponseHeaders() {
    return '';
  }
  getResponseHeader() {
    return null;
  }
  overrideMimeType() {}
  abort() {}
  send(body) {
    this.responseText = this.response = network(this._url, body);
    later(5, () => {
      Object.assign(this, { readyState: 4, status: 200, statusText: 'OK' });
      for (const name of ['onreadystatechange', 'onload', 'onloadend'])
        if (typeof this[name] === 'function') guarded(this[name], this, [{ target: this, type: name.slice(2) }]);
    });
  }
}
class WebSocket extends EventTarget {
  constructor(url) {
    super();
    network(url);
    this.readyState = 0;
    this.url = `${url}`;
    this.binaryType = 'blob';
    later(5, () => {
      this.readyState = 1;
      if (typeof this.onopen === 'function') guarded(this.onopen, this, [{ type: 'open' }]);
    });
  }
  send(data) {
    network(this.url, data);
  }
  close() {
    this.readyState = 3;
  }
}

/** Removes what belongs to Node.js and puts the browser in its place. `RED` is the editor's. */
export function enter(RED, valueOf, editorToken) {
  login = editorToken;
  for (const name of ['process', 'Buffer', 'global', 'setImmediate', 'clearImmediate']) delete global[name];
  const $ = jquery(valueOf);
  const body = element('body');
  const document = anything({
    body,
    head: element('head'),
    documentElement: element('html'),
    readyState: 'complete',
    title: 'Node-RED',
    URL: HERE,
    domain: 'localhost',
    referrer: '',
    createElement: (name) => element(`${name}`.toLowerCase()),
    createElementNS: (_, name) => element(`${name}`.toLowerCase()),
    createTextNode: () => element('#text'),
    createDocumentFragment: () => element('#fragment'),
    getElementById: () => element(),
    querySelector: () => element(),
    querySelectorAll: () => [],
    getElementsByTagName: () => [element('script')],
    getElementsByClassName: () => [],
    getElementsByName: () => [],
    write: markup,
    writeln: markup,
    addEventListener: (_, handler) => {
      if (typeof handler === 'function') handlers.push(handler);
    },
    removeEventListener() {},
    dispatchEvent: () => true,
    execCommand: () => true,
    hasFocus: () => true,
    hidden: false,
    visibilityState: 'visible',
    location: undefined,
  });
  const location = anything({
    href: HERE,
    'set href': (value) => network(value),
    protocol: 'http:',
    host: 'localhost:1880',
    hostname: 'localhost',
    port: '1880',
    pathname: '/',
    search: '',
    hash: '',
    origin: HERE.slice(0, -1),
    assign: network,
    replace: network,
    reload() {},
    toString: () => HERE,
  });
  defineProperty(document, 'cookie', { configurable: true, value: '' });
  const values = {
    window: global,
    self: global,
    top: global,
    parent: global,
    frames: global,
    document,
    location,
    $,
    jQuery: $,
    RED,
    localStorage: storage('local'),
    sessionStorage: storage('session'),
    XMLHttpRequest,
    WebSocket,
    EventSource: class EventSource extends EventTarget {
      constructor(url) {
        super();
        network(url);
      }
      close() {}
    },
    Image: function Image() {
      return element('img');
    },
    Audio: function Audio(url) {
      if (url) network(url);
      return element('audio');
    },
    fetch: async (input, init) => {
      network(input?.url ?? input, init?.body);
      return new Response('{}', { status: 200, headers: new Headers({ 'content-type': 'application/json' }) });
    },
    navigator: anything({
      userAgent:
        'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36',
      language: 'en-US',
      languages: ['en-US'],
      platform: 'Linux x86_64',
      onLine: true,
      cookieEnabled: true,
      sendBeacon: (url, data) => {
        network(url, data);
        return true;
      },
      serviceWorker: undefined,
      clipboard: anything(),
      vendor: 'Google Inc.',
      maxTouchPoints: 0,
      hardwareConcurrency: 4,
      webdriver: false,
    }),
    history: anything(),
    screen: { width: 1920, height: 1080, availWidth: 1920, availHeight: 1040, colorDepth: 24 },
    innerWidth: 1600,
    innerHeight: 900,
    outerWidth: 1600,
    outerHeight: 1000,
    devicePixelRatio: 1,
    scrollX: 0,
    scrollY: 0,
    name: '',
    alert() {},
    confirm: () => true,
    prompt: () => null,
    open: (url) => {
      if (url) network(url);
      return null;
    },
    close() {},
    print() {},
    focus() {},
    scrollTo() {},
    postMessage() {},
    getComputedStyle: () => anything(),
    matchMedia: () => anything({ matches: false }),
    requestAnimationFrame: (callback) => (later(16, () => guarded(callback, undefined, [16])), 1),
    cancelAnimationFrame() {},
    requestIdleCallback: (callback) => (later(16, () => guarded(callback, undefined, [anything()])), 1),
    getSelection: () => anything(),
    addEventListener: (_, handler) => {
      if (typeof handler === 'function') handlers.push(handler);
    },
    removeEventListener() {},
    dispatchEvent: () => true,
    HTMLElement: class HTMLElement {},
    Element: class Element {},
    MutationObserver: class MutationObserver {
      observe() {}
      disconnect() {}
    },
    ResizeObserver: class ResizeObserver {
      observe() {}
      disconnect() {}
    },
    IntersectionObserver: class IntersectionObserver {
      observe() {}
      disconnect() {}
    },
    FileReader: class FileReader extends EventTarget {
      readAsText() {}
      readAsDataURL() {}
    },
    DOMParser: class DOMParser {
      parseFromString(text) {
        markup(text);
        return document;
      }
    },
    customElements: anything(),
    CSS: anything(),
    indexedDB: anything(),
    ace: anything(),
    monaco: anything(),
    d3: anything(),
    marked: anything({ parse: (text) => `${text}` }),
    DOMPurify: anything({ sanitize: (text) => `${text}` }),
    Mousetrap: anything(),
    i18next: anything({ t: (key) => `${key}` }),
    jsonata: anything(),
    _: undefined,
    moment: undefined,
    mermaid: anything(),
    Sortable: anything(),
  };
  for (const name of ownKeys(values))
    defineProperty(global, name, { value: values[name], writable: true, configurable: true, enumerable: false });
  defineProperty(global, 'cookie', { value: undefined, configurable: true, writable: true });
  delete global.cookie;
  return values;
}
