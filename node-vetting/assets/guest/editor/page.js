// What of a page reaches beyond it, told to the host; and the stand-in for everything that does not.

import { call, short, utf8 } from '../core/host.js';
import { guarded } from '../core/loop.js';
import { URL } from '../web/url.js';
import { runsCode } from './html.js';

export const HERE = 'http://localhost:1880/';

/** The host sees the bytes beside the event and completes it. */
const tell = (what, data) => call('record', { __proto__: null, what: { __proto__: null, ...what } }, data);
const whole = (url) => {
  try {
    return new URL(`${url}`, HERE).href;
  } catch {
    return short(url);
  }
};

/** A request by any means. Gives what the fake network answers. */
export function network(url, body) {
  const target = whole(url);
  const data =
    body === undefined || body === null
      ? utf8('')
      : utf8(typeof body === 'string' ? body : (JSON.stringify(body) ?? `${body}`));
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
/** The stored login was looked at. */
export const token = () => tell({ kind: 'editor-token' });

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
    set(_, key, value) {
      if (key in special) {
        const setter = special[`set ${String(key)}`];
        if (setter) setter(value);
        else special[key] = value;
      } else own[key] = value;
      return true;
    },
    has: () => true,
    deleteProperty(_, key) {
      delete own[key];
      return true;
    },
    apply: (_, self, args) => {
      const callback = args.find((one) => typeof one === 'function');
      void callback;
      return depth > 6 ? undefined : anything({}, depth + 1);
    },
    construct: () => anything({}, depth + 1),
  });
  return proxy;
}

/** What was registered for clicks and changes. */
export const handlers = [];
/** Runs what was registered for clicks and changes, as if somebody had used the dialog. */
export const click = (most = 40) => {
  for (const handler of handlers.splice(0, most))
    guarded(handler, element(), [
      anything({
        preventDefault() {},
        stopPropagation() {},
        type: 'click',
        target: element(),
        which: 13,
        key: 'Enter',
      }),
    ]);
};

/** An element of the page. */
export function element(name = 'div') {
  const attributes = {};
  const text = {};
  const special = {
    tagName: name.toUpperCase(),
    nodeName: name.toUpperCase(),
    nodeType: 1,
    style: anything(),
    classList: anything(),
    dataset: {},
    children: [],
    childNodes: [],
    parentNode: undefined,
    value: '',
    checked: false,
    textContent: '',
    ownerDocument: undefined,
    innerHTML: '',
    'set innerHTML': (value) => {
      markup(value);
      text.html = value;
    },
    outerHTML: '',
    'set outerHTML': markup,
    insertAdjacentHTML: (_, value) => markup(value),
    src: '',
    'set src': (value) =>
      name === 'script'
        ? script(value)
        : name === 'img' || name === 'iframe' || name === 'audio' || name === 'embed'
          ? network(value)
          : undefined,
    href: '',
    'set href': (value) => {
      if (name === 'link') network(value);
      else attributes.href = value;
    },
    action: '',
    'set action': (value) => {
      attributes.action = value;
    },
    submit: () => network(attributes.action ?? '/'),
    setAttribute(key, value) {
      attributes[key] = value;
      const setter = special[`set ${key}`];
      if (setter) setter(value);
      else if (/^on/i.test(key)) markup(` ${key}=x`);
    },
    getAttribute: (key) => attributes[key] ?? null,
    hasAttribute: (key) => key in attributes,
    removeAttribute: (key) => {
      delete attributes[key];
    },
    appendChild: (child) => child,
    insertBefore: (child) => child,
    removeChild: (child) => child,
    remove() {},
    append() {},
    prepend() {},
    replaceChildren() {},
    contains: () => false,
    focus() {},
    blur() {},
    click() {},
    addEventListener: (_, handler) => {
      if (typeof handler === 'function') handlers.push(handler);
    },
    removeEventListener() {},
    dispatchEvent: () => true,
    querySelector: () => null,
    querySelectorAll: () => [],
    getElementsByTagName: () => [],
    getElementsByClassName: () => [],
    closest: () => null,
    matches: () => false,
    getBoundingClientRect: () => ({ x: 0, y: 0, width: 100, height: 30, top: 0, left: 0, right: 100, bottom: 30 }),
    cloneNode: () => element(name),
    getContext: () => anything(),
  };
  return anything(special);
}
