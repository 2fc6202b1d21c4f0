// The browser as a node's editor half finds it: a window in which every way out is told and nothing is shown.

import { call, record, short, utf8, unsupported } from '../core/host.js';
import { later, guarded } from '../core/loop.js';
import { defineProperty, global, ownKeys } from '../core/primordials.js';
import { Headers } from '../web/headers.js';
import { Response } from '../web/fetch.js';
import { URL } from '../web/url.js';
import { EventTarget } from '../web/events.js';
import { runsCode } from './html.js';

const HERE = 'http://localhost:1880/';
const keep = new Map();

/** The host sees the bytes beside the event and completes it. */
const tell = (what, data) => call('record', { __proto__: null, what: { __proto__: null, ...what } }, data);
const whole = (url) => { try { return new URL(`${url}`, HERE).href; } catch { return short(url); } };

/** A request by any means. Gives what the fake network answers. */
export function network(url, body) {
  const target = whole(url);
  const data = body === undefined || body === null ? utf8('') : utf8(typeof body === 'string' ? body : JSON.stringify(body) ?? `${body}`);
  tell({ kind: 'editor-network', url: short(target, 500) }, data);
  return '{}';
}
export function script(url) {
  const target = whole(url);
  if (!target.startsWith(HERE)) tell({ kind: 'editor-script', url: short(target, 500) });
}
export function markup(text) {
  if (typeof text === 'string' && runsCode(text)) tell({ kind: 'editor-html' }, utf8(short(text, 4000)));
}
let login = 'none';
const token = () => tell({ kind: 'editor-token' });

/** Anything: properties and calls give again such a thing; what is set is kept. Text, numbers and lists of it are empty. */
export function anything(special = {}, depth = 0) {
  const own = { __proto__: null };
  const target = function () {};
  const proxy = new Proxy(target, {
    get(_, key) {
      if (key in special) return special[key];
      if (key === Symbol.toPrimitive) return (hint) => (hint === 'number' ? 0 : '');
      if (key === Symbol.iterator) return function* () {};
      if (typeof key === 'symbol') return undefined;
      if (key === 'length') return own.length ?? 0;
      if (key === 'toString' || key === 'toJSON') return () => '';
      if (key === 'valueOf') return () => 0;
      if (key === 'then') return undefined;
      if (key === 'prototype') return target.prototype;
      if (key in own) return own[key];
      return (own[key] = depth > 6 ? undefined : anything({}, depth + 1));
    },
    set(_, key, value) { if (key in special) { const setter = special[`set ${String(key)}`]; if (setter) setter(value); else special[key] = value; } else own[key] = value; return true; },
    has: () => true,
    deleteProperty(_, key) { delete own[key]; return true; },
    apply: (_, self, args) => { const callback = args.find((one) => typeof one === 'function'); void callback; return depth > 6 ? undefined : anything({}, depth + 1); },
    construct: () => anything({}, depth + 1),
  });
  return proxy;
}

const handlers = [];
/** Runs what was registered for clicks and changes, as if somebody had used the dialog. */
export const click = (most = 40) => { for (const handler of handlers.splice(0, most)) guarded(handler, element(), [anything({ preventDefault() {}, stopPropagation() {}, type: 'click', target: element(), which: 13, key: 'Enter' })]); };

/** An element of the page. */
export function element(name = 'div') {
  const attributes = {};
  const text = {};
  const special = {
    tagName: name.toUpperCase(), nodeName: name.toUpperCase(), nodeType: 1, style: anything(), classList: anything(), dataset: {}, children: [], childNodes: [], parentNode: undefined, value: '', checked: false, textContent: '', ownerDocument: undefined,
    innerHTML: '', 'set innerHTML': (value) => { markup(value); text.html = value; }, outerHTML: '', 'set outerHTML': markup,
    insertAdjacentHTML: (_, value) => markup(value),
    src: '', 'set src': (value) => (name === 'script' ? script(value) : name === 'img' || name === 'iframe' || name === 'audio' || name === 'embed' ? network(value) : undefined),
    href: '', 'set href': (value) => { if (name === 'link') network(value); else attributes.href = value; }, action: '', 'set action': (value) => { attributes.action = value; }, submit: () => network(attributes.action ?? '/'),
    setAttribute(key, value) { attributes[key] = value; const setter = special[`set ${key}`]; if (setter) setter(value); else if (/^on/i.test(key)) markup(` ${key}=x`); },
    getAttribute: (key) => attributes[key] ?? null, hasAttribute: (key) => key in attributes, removeAttribute: (key) => { delete attributes[key]; },
    appendChild: (child) => child, insertBefore: (child) => child, removeChild: (child) => child, remove() {}, append() {}, prepend() {}, replaceChildren() {}, contains: () => false, focus() {}, blur() {}, click() {},
    addEventListener: (_, handler) => { if (typeof handler === 'function') handlers.push(handler); }, removeEventListener() {}, dispatchEvent: () => true,
    querySelector: () => null, querySelectorAll: () => [], getElementsByTagName: () => [], getElementsByClassName: () => [], closest: () => null, matches: () => false, getBoundingClientRect: () => ({ x: 0, y: 0, width: 100, height: 30, top: 0, left: 0, right: 100, bottom: 30 }), cloneNode: () => element(name), getContext: () => anything(),
  };
  return anything(special);
}

/** jQuery: chains that hold nothing, calls to the network that are told, handlers that are kept for later. */
export function jquery(valueOf) {
  const chain = (selector) => {
    if (typeof selector === 'string' && selector.includes('<')) markup(selector);
    const field = typeof selector === 'string' ? /#node-(?:config-)?input-([\w-]+)/.exec(selector)?.[1] : undefined;
    const self = {};
    const same = ['addClass', 'removeClass', 'toggleClass', 'show', 'hide', 'toggle', 'css', 'appendTo', 'prependTo', 'insertAfter', 'insertBefore', 'remove', 'empty', 'focus', 'blur', 'trigger', 'off', 'unbind', 'detach', 'fadeIn', 'fadeOut', 'slideUp', 'slideDown', 'slideToggle', 'animate', 'stop', 'typedInput', 'spinner', 'autocomplete', 'dialog', 'sortable', 'draggable', 'tabs', 'editableList', 'searchBox', 'treeList', 'popover', 'i18n', 'tooltip', 'select2', 'multiselect', 'resize', 'wrap', 'width_', 'attr_', 'toggleGroup', 'checkboxSet', 'removeAttr', 'removeData', 'removeProp', 'delay', 'finish', 'select', 'text_', 'html_', 'elementTypedInput', 'datepicker', 'colorPicker', 'spectrum'];
    for (const name of same) self[name] = () => proxy;
    for (const name of ['find', 'parent', 'parents', 'children', 'closest', 'next', 'prev', 'siblings', 'first', 'last', 'eq', 'filter', 'not', 'add', 'clone', 'contents', 'end', 'nextAll', 'prevAll', 'has', 'slice', 'map', 'parentsUntil']) self[name] = () => (name === 'end' ? proxy : chain());
    for (const name of ['append', 'prepend', 'before', 'after', 'replaceWith', 'html']) self[name] = (content) => { if (content === undefined) return name === 'html' ? '' : proxy; markup(content); return proxy; };
    for (const name of ['on', 'bind', 'one', 'click', 'change', 'keyup', 'keydown', 'keypress', 'mousedown', 'mouseup', 'mouseenter', 'mouseleave', 'hover', 'submit', 'input', 'dblclick', 'delegate', 'live', 'focusout', 'focusin']) self[name] = (...args) => { const handler = args.find((one) => typeof one === 'function'); if (handler) handlers.push(handler); return proxy; };
    Object.assign(self, {
      val: (value) => (value === undefined ? (field !== undefined ? valueOf(field) : '') : proxy), text: (value) => (value === undefined ? '' : proxy), attr: (name, value) => (value === undefined && typeof name === 'string' ? '' : proxy), prop: (name, value) => (value === undefined && typeof name === 'string' ? (name === 'checked' ? false : '') : proxy), data: (name, value) => (value === undefined && typeof name === 'string' ? undefined : proxy),
      is: () => false, hasClass: () => false, index: () => 0, width: (v) => (v === undefined ? 300 : proxy), height: (v) => (v === undefined ? 300 : proxy), outerWidth: () => 300, outerHeight: () => 300, innerWidth: () => 300, innerHeight: () => 300, offset: () => ({ top: 0, left: 0 }), position: () => ({ top: 0, left: 0 }), scrollTop: () => 0,
      each: () => proxy, get: () => [], toArray: () => [], size: () => 0, serialize: () => '', ready: (callback) => { guarded(callback, undefined, [global.$]); return proxy; }, load: (url) => { if (typeof url === 'string') network(url); return proxy; }, length: 0, jquery: '3.7.1', 0: undefined,
      typedInput: (action) => (action === 'value' ? (field !== undefined ? valueOf(field) : '') : action === 'type' ? 'str' : proxy), editableList: (action) => (action === 'items' || action === 'getItems' ? chain() : action === 'length' ? 0 : proxy),
    });
    const proxy = anything(self);
    return proxy;
  };
  const settled = (answer) => { const out = {}; for (const name of ['done', 'success', 'then', 'always', 'complete']) out[name] = (callback) => { if (typeof callback === 'function') later(5, () => guarded(callback, undefined, [answer, 'success', {}])); return name === 'then' ? settled(answer) : out; }; for (const name of ['fail', 'error', 'catch']) out[name] = () => out; out.promise = () => out; out.abort = () => {}; out.resolve = out.reject = out.notify = () => out; out.state = () => 'resolved'; return out; };
  const ajax = (url, options) => {
    const given = typeof url === 'object' && url !== null ? url : { url, ...options };
    network(given.url, given.data);
    const answer = {};
    for (const name of ['success', 'complete']) if (typeof given[name] === 'function') later(5, () => guarded(given[name], undefined, [answer, 'success', {}]));
    return settled(answer);
  };
  const get = (url, data, callback) => { network(url, typeof data === 'function' ? undefined : data); const done = typeof data === 'function' ? data : callback; if (typeof done === 'function') later(5, () => guarded(done, undefined, [{}, 'success', {}])); return settled({}); };
  const $ = (selector, ...rest) => { if (typeof selector === 'function') { later(1, () => guarded(selector, global.document, [$])); return chain(); } void rest; return chain(selector); };
  const fn = {};
  Object.assign($, {
    fn, ajax, get, post: get, getJSON: get, getScript: (url, callback) => { script(url); network(url); if (typeof callback === 'function') later(5, () => guarded(callback, undefined, [])); return settled(''); }, ajaxSetup() {}, ajaxPrefilter() {}, load: get,
    each: (list, visit) => { if (Array.isArray(list)) list.forEach((value, i) => visit.call(value, i, value)); else for (const key of Object.keys(list ?? {})) visit.call(list[key], key, list[key]); return list; },
    map: (list, visit) => Object.keys(list ?? {}).map((key) => visit(list[key], key)), grep: (list, test) => list.filter(test), extend: (...args) => { const deep = args[0] === true; const list = deep ? args.slice(1) : args; return Object.assign(list[0] ?? {}, ...list.slice(1)); }, isArray: Array.isArray, isFunction: (v) => typeof v === 'function', isPlainObject: (v) => Object.prototype.toString.call(v) === '[object Object]', isNumeric: (v) => !Number.isNaN(parseFloat(v)), isEmptyObject: (v) => Object.keys(v ?? {}).length === 0, inArray: (value, list) => list.indexOf(value), trim: (text) => `${text ?? ''}`.trim(), type: (v) => typeof v, noop() {}, proxy: (callback, self) => callback.bind(self), merge: (a, b) => a.concat(b), parseJSON: JSON.parse, param: (o) => new URLSearchParams(o).toString(), Deferred: () => settled({}), when: () => settled({}), now: Date.now, widget: anything(), ui: anything(), event: anything(), support: {}, expr: anything(), cssHooks: {}, Event: anything(), contains: () => false, makeArray: (v) => Array.from(v ?? []), unique: (v) => v, uniqueSort: (v) => v, globalEval: (code) => (0, eval)(code), noConflict: () => $, i18n: anything(), plot: anything(),
  });
  $.parseHTML = (text) => { markup(text); return []; };
  return new Proxy($, { get: (target, key) => (key in target || typeof key === 'symbol' ? target[key] : (target[key] = anything())) });
}

class Storage {
  constructor(name) { defineProperty(this, 'name_', { value: name }); }
  #read(key) { if (/auth-token|token|session/i.test(key)) token(); return keep.get(`${this.name_}:${key}`) ?? (key === 'auth-tokens' ? `{"access_token":"${login}","expires_in":604800,"token_type":"Bearer"}` : null); }
  getItem(key) { return this.#read(`${key}`); }
  setItem(key, value) { keep.set(`${this.name_}:${key}`, `${value}`); }
  removeItem(key) { keep.delete(`${this.name_}:${key}`); }
  clear() { keep.clear(); }
  key() { token(); return 'auth-tokens'; }
  get length() { return 1; }
}
const storage = (name) => new Proxy(new Storage(name), { get: (target, key) => (typeof key === 'symbol' ? undefined : key in target ? (typeof target[key] === 'function' ? target[key].bind(target) : target[key]) : target.getItem(key) ?? undefined), ownKeys: () => { token(); return ['auth-tokens']; }, getOwnPropertyDescriptor: (_, key) => ({ value: '', configurable: true, enumerable: true, writable: true, key }), set: (target, key, value) => { target.setItem(key, value); return true; } });

class XMLHttpRequest extends EventTarget {
  open(method, url) { this._url = url; this.readyState = 1; }
  setRequestHeader() {}
  getAllResponseHeaders() { return ''; }
  getResponseHeader() { return null; }
  overrideMimeType() {}
  abort() {}
  send(body) {
    this.responseText = this.response = network(this._url, body);
    later(5, () => { Object.assign(this, { readyState: 4, status: 200, statusText: 'OK' }); for (const name of ['onreadystatechange', 'onload', 'onloadend']) if (typeof this[name] === 'function') guarded(this[name], this, [{ target: this, type: name.slice(2) }]); });
  }
}
class WebSocket extends EventTarget {
  constructor(url) { super(); network(url); this.readyState = 0; this.url = `${url}`; this.binaryType = 'blob'; later(5, () => { this.readyState = 1; if (typeof this.onopen === 'function') guarded(this.onopen, this, [{ type: 'open' }]); }); }
  send(data) { network(this.url, data); }
  close() { this.readyState = 3; }
}

/** Removes what belongs to Node.js and puts the browser in its place. `RED` is the editor's. */
export function enter(RED, valueOf, editorToken) {
  login = editorToken;
  for (const name of ['process', 'Buffer', 'global', 'setImmediate', 'clearImmediate']) delete global[name];
  const $ = jquery(valueOf);
  const body = element('body');
  const document = anything({ body, head: element('head'), documentElement: element('html'), readyState: 'complete', title: 'Node-RED', URL: HERE, domain: 'localhost', referrer: '', createElement: (name) => element(`${name}`.toLowerCase()), createElementNS: (_, name) => element(`${name}`.toLowerCase()), createTextNode: () => element('#text'), createDocumentFragment: () => element('#fragment'), getElementById: () => element(), querySelector: () => element(), querySelectorAll: () => [], getElementsByTagName: () => [element('script')], getElementsByClassName: () => [], getElementsByName: () => [], write: markup, writeln: markup, addEventListener: (_, handler) => { if (typeof handler === 'function') handlers.push(handler); }, removeEventListener() {}, dispatchEvent: () => true, execCommand: () => true, hasFocus: () => true, hidden: false, visibilityState: 'visible', location: undefined });
  const location = anything({ href: HERE, 'set href': (value) => network(value), protocol: 'http:', host: 'localhost:1880', hostname: 'localhost', port: '1880', pathname: '/', search: '', hash: '', origin: HERE.slice(0, -1), assign: network, replace: network, reload() {}, toString: () => HERE });
  defineProperty(document, 'cookie', { configurable: true, value: '' });
  const values = {
    window: global, self: global, top: global, parent: global, frames: global, document, location, $, jQuery: $, RED, localStorage: storage('local'), sessionStorage: storage('session'), XMLHttpRequest, WebSocket, EventSource: class EventSource extends EventTarget { constructor(url) { super(); network(url); } close() {} },
    Image: function Image() { return element('img'); }, Audio: function Audio(url) { if (url) network(url); return element('audio'); },
    fetch: async (input, init) => { network(input?.url ?? input, init?.body); return new Response('{}', { status: 200, headers: new Headers({ 'content-type': 'application/json' }) }); },
    navigator: anything({ userAgent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36', language: 'en-US', languages: ['en-US'], platform: 'Linux x86_64', onLine: true, cookieEnabled: true, sendBeacon: (url, data) => { network(url, data); return true; }, serviceWorker: undefined, clipboard: anything(), vendor: 'Google Inc.', maxTouchPoints: 0, hardwareConcurrency: 4, webdriver: false }),
    history: anything(), screen: { width: 1920, height: 1080, availWidth: 1920, availHeight: 1040, colorDepth: 24 }, innerWidth: 1600, innerHeight: 900, outerWidth: 1600, outerHeight: 1000, devicePixelRatio: 1, scrollX: 0, scrollY: 0, name: '',
    alert() {}, confirm: () => true, prompt: () => null, open: (url) => { if (url) network(url); return null; }, close() {}, print() {}, focus() {}, scrollTo() {}, postMessage() {}, getComputedStyle: () => anything(), matchMedia: () => anything({ matches: false }), requestAnimationFrame: (callback) => (later(16, () => guarded(callback, undefined, [16])), 1), cancelAnimationFrame() {}, requestIdleCallback: (callback) => (later(16, () => guarded(callback, undefined, [anything()])), 1), getSelection: () => anything(), addEventListener: (_, handler) => { if (typeof handler === 'function') handlers.push(handler); }, removeEventListener() {}, dispatchEvent: () => true,
    HTMLElement: class HTMLElement {}, Element: class Element {}, MutationObserver: class MutationObserver { observe() {} disconnect() {} }, ResizeObserver: class ResizeObserver { observe() {} disconnect() {} }, IntersectionObserver: class IntersectionObserver { observe() {} disconnect() {} }, FileReader: class FileReader extends EventTarget { readAsText() {} readAsDataURL() {} }, DOMParser: class DOMParser { parseFromString(text) { markup(text); return document; } }, customElements: anything(), CSS: anything(), indexedDB: anything(),
    ace: anything(), monaco: anything(), d3: anything(), marked: anything({ parse: (text) => `${text}` }), DOMPurify: anything({ sanitize: (text) => `${text}` }), Mousetrap: anything(), i18next: anything({ t: (key) => `${key}` }), jsonata: anything(), _: undefined, moment: undefined, mermaid: anything(), Sortable: anything(),
  };
  for (const name of ownKeys(values)) defineProperty(global, name, { value: values[name], writable: true, configurable: true, enumerable: false });
  defineProperty(global, 'cookie', { value: undefined, configurable: true, writable: true });
  delete global.cookie;
  return values;
}
void unsupported;
void record;
