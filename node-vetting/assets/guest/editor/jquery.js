// jQuery as far as node editors use it.

import { guarded, later } from '../core/loop.js';
import { global } from '../core/primordials.js';
import { anything, handlers, markup, network, script } from './page.js';

/** jQuery: chains that hold nothing, calls to the network that are told, handlers that are kept for later. */
export function jquery(valueOf) {
  const chain = (selector) => {
    if (typeof selector === 'string' && selector.includes('<')) markup(selector);
    const field = typeof selector === 'string' ? /#node-(?:config-)?input-([\w-]+)/.exec(selector)?.[1] : undefined;
    const self = {};
    const same = [
      'addClass',
      'removeClass',
      'toggleClass',
      'show',
      'hide',
      'toggle',
      'css',
      'appendTo',
      'prependTo',
      'insertAfter',
      'insertBefore',
      'remove',
      'empty',
      'focus',
      'blur',
      'trigger',
      'off',
      'unbind',
      'detach',
      'fadeIn',
      'fadeOut',
      'slideUp',
      'slideDown',
      'slideToggle',
      'animate',
      'stop',
      'typedInput',
      'spinner',
      'autocomplete',
      'dialog',
      'sortable',
      'draggable',
      'tabs',
      'editableList',
      'searchBox',
      'treeList',
      'popover',
      'i18n',
      'tooltip',
      'select2',
      'multiselect',
      'resize',
      'wrap',
      'width_',
      'attr_',
      'toggleGroup',
      'checkboxSet',
      'removeAttr',
      'removeData',
      'removeProp',
      'delay',
      'finish',
      'select',
      'text_',
      'html_',
      'elementTypedInput',
      'datepicker',
      'colorPicker',
      'spectrum',
    ];
    for (const name of same) self[name] = () => proxy;
    for (const name of [
      'find',
      'parent',
      'parents',
      'children',
      'closest',
      'next',
      'prev',
      'siblings',
      'first',
      'last',
      'eq',
      'filter',
      'not',
      'add',
      'clone',
      'contents',
      'end',
      'nextAll',
      'prevAll',
      'has',
      'slice',
      'map',
      'parentsUntil',
    ])
      self[name] = () => (name === 'end' ? proxy : chain());
    for (const name of ['append', 'prepend', 'before', 'after', 'replaceWith', 'html'])
      self[name] = (content) => {
        if (content === undefined) return name === 'html' ? '' : proxy;
        markup(content);
        return proxy;
      };
    for (const name of [
      'on',
      'bind',
      'one',
      'click',
      'change',
      'keyup',
      'keydown',
      'keypress',
      'mousedown',
      'mouseup',
      'mouseenter',
      'mouseleave',
      'hover',
      'submit',
      'input',
      'dblclick',
      'delegate',
      'live',
      'focusout',
      'focusin',
    ])
      self[name] = (...args) => {
        const handler = args.find((one) => typeof one === 'function');
        if (handler) handlers.push(handler);
        return proxy;
      };
    Object.assign(self, {
      val: (value) => (value === undefined ? (field !== undefined ? valueOf(field) : '') : proxy),
      text: (value) => (value === undefined ? '' : proxy),
      attr: (name, value) => (value === undefined && typeof name === 'string' ? '' : proxy),
      prop: (name, value) =>
        value === undefined && typeof name === 'string' ? (name === 'checked' ? false : '') : proxy,
      data: (name, value) => (value === undefined && typeof name === 'string' ? undefined : proxy),
      is: () => false,
      hasClass: () => false,
      index: () => 0,
      width: (v) => (v === undefined ? 300 : proxy),
      height: (v) => (v === undefined ? 300 : proxy),
      outerWidth: () => 300,
      outerHeight: () => 300,
      innerWidth: () => 300,
      innerHeight: () => 300,
      offset: () => ({ top: 0, left: 0 }),
      position: () => ({ top: 0, left: 0 }),
      scrollTop: () => 0,
      each: () => proxy,
      get: () => [],
      toArray: () => [],
      size: () => 0,
      serialize: () => '',
      ready: (callback) => {
        guarded(callback, undefined, [global.$]);
        return proxy;
      },
      load: (url) => {
        if (typeof url === 'string') network(url);
        return proxy;
      },
      length: 0,
      jquery: '3.7.1',
      0: undefined,
      typedInput: (action) =>
        action === 'value' ? (field !== undefined ? valueOf(field) : '') : action === 'type' ? 'str' : proxy,
      editableList: (action) =>
        action === 'items' || action === 'getItems' ? chain() : action === 'length' ? 0 : proxy,
    });
    const proxy = anything(self);
    return proxy;
  };
  const settled = (answer) => {
    const out = {};
    for (const name of ['done', 'success', 'then', 'always', 'complete'])
      out[name] = (callback) => {
        if (typeof callback === 'function') later(5, () => guarded(callback, undefined, [answer, 'success', {}]));
        return name === 'then' ? settled(answer) : out;
      };
    for (const name of ['fail', 'error', 'catch']) out[name] = () => out;
    out.promise = () => out;
    out.abort = () => {};
    out.resolve = out.reject = out.notify = () => out;
    out.state = () => 'resolved';
    return out;
  };
  const ajax = (url, options) => {
    const given = typeof url === 'object' && url !== null ? url : { url, ...options };
    network(given.url, given.data);
    const answer = {};
    for (const name of ['success', 'complete'])
      if (typeof given[name] === 'function') later(5, () => guarded(given[name], undefined, [answer, 'success', {}]));
    return settled(answer);
  };
  const get = (url, data, callback) => {
    network(url, typeof data === 'function' ? undefined : data);
    const done = typeof data === 'function' ? data : callback;
    if (typeof done === 'function') later(5, () => guarded(done, undefined, [{}, 'success', {}]));
    return settled({});
  };
  const $ = (selector, ...rest) => {
    if (typeof selector === 'function') {
      later(1, () => guarded(selector, global.document, [$]));
      return chain();
    }
    void rest;
    return chain(selector);
  };
  const fn = {};
  Object.assign($, {
    fn,
    ajax,
    get,
    post: get,
    getJSON: get,
    getScript: (url, callback) => {
      script(url);
      network(url);
      if (typeof callback === 'function') later(5, () => guarded(callback, undefined, []));
      return settled('');
    },
    ajaxSetup() {},
    ajaxPrefilter() {},
    load: get,
    each: (list, visit) => {
      if (Array.isArray(list)) list.forEach((value, i) => visit.call(value, i, value));
      else for (const key of Object.keys(list ?? {})) visit.call(list[key], key, list[key]);
      return list;
    },
    map: (list, visit) => Object.keys(list ?? {}).map((key) => visit(list[key], key)),
    grep: (list, test) => list.filter(test),
    extend: (...args) => {
      const deep = args[0] === true;
      const list = deep ? args.slice(1) : args;
      return Object.assign(list[0] ?? {}, ...list.slice(1));
    },
    isArray: Array.isArray,
    isFunction: (v) => typeof v === 'function',
    isPlainObject: (v) => Object.prototype.toString.call(v) === '[object Object]',
    isNumeric: (v) => !Number.isNaN(parseFloat(v)),
    isEmptyObject: (v) => Object.keys(v ?? {}).length === 0,
    inArray: (value, list) => list.indexOf(value),
    trim: (text) => `${text ?? ''}`.trim(),
    type: (v) => typeof v,
    noop() {},
    proxy: (callback, self) => callback.bind(self),
    merge: (a, b) => a.concat(b),
    parseJSON: JSON.parse,
    param: (o) => new URLSearchParams(o).toString(),
    Deferred: () => settled({}),
    when: () => settled({}),
    now: Date.now,
    widget: anything(),
    ui: anything(),
    event: anything(),
    support: {},
    expr: anything(),
    cssHooks: {},
    Event: anything(),
    contains: () => false,
    makeArray: (v) => Array.from(v ?? []),
    unique: (v) => v,
    uniqueSort: (v) => v,
    globalEval: (code) => (0, eval)(code),
    noConflict: () => $,
    i18n: anything(),
    plot: anything(),
  });
  $.parseHTML = (text) => {
    markup(text);
    return [];
  };
  return new Proxy($, {
    get: (target, key) => (key in target || typeof key === 'symbol' ? target[key] : (target[key] = anything())),
  });
}
