// Native addons cannot run. The usual ways to load one are answered by a stand-in that can be called, constructed and
// listened to, so that the JavaScript around it still runs; each use is told to the host.

import { call, record, short } from '../core/host.js';
import { later } from '../core/loop.js';
import { strings, Promise, Proxy, apply } from '../core/primordials.js';

const FINDERS = {
  __proto__: null,
  bindings: 1,
  'node-gyp-build': 1,
  'node-gyp-build-optional-packages': 1,
  'pkg-prebuilds': 1,
  '@mapbox/node-pre-gyp': 2,
  'node-pre-gyp': 2,
  prebuildify: 0,
};

/** Calls after which a stand-in answers no more: code that waits for an addon in a loop would go round for ever. */
const PATIENCE = 300;
let calls = 0;

/** Anything: every property is again such a thing, calls answer one, callbacks are called later without a result. */
function anything(name, depth = 0) {
  const target = function native() {};
  const known = { __proto__: null };
  return new Proxy(target, {
    get(_, key) {
      if (key === Symbol.toPrimitive) return (hint) => (hint === 'string' ? `[native ${name}]` : 0);
      if (typeof key === 'symbol' || key === 'then' || key === 'toJSON') return target[key];
      if (
        key === 'prototype' ||
        key === 'length' ||
        key === 'name' ||
        key === 'call' ||
        key === 'apply' ||
        key === 'bind'
      )
        return target[key];
      if (key === '__esModule') return false;
      if (key === 'toString') return () => `[native ${name}]`;
      if (key === 'valueOf') return () => 0;
      if (key in known) return known[key];
      return depth > 4 ? undefined : (known[key] = anything(`${name}.${key}`, depth + 1));
    },
    set(_, key, value) {
      known[key] = value;
      return true;
    },
    has: () => true,
    apply(_, self, args) {
      if (++calls > PATIENCE) return new Promise(() => {});
      const last = args[args.length - 1];
      if (typeof last === 'function' && last.length < 3)
        later(5, () => apply(last, undefined, [null, anything(`${name}()`, depth + 1)]));
      return /(^|\.)(is|has)[A-Z]/.test(name) ? false : anything(`${name}()`, depth + 1);
    },
    construct: () => anything(`new ${name}`, depth + 1),
  });
}

/** The exports of a native addon. */
export function addon(path) {
  call('native', { __proto__: null, path: `${path}` });
  return anything(strings.slice(path, strings.lastIndexOf(path, '/') + 1));
}

/** What answers a package that only finds native addons; undefined for all others. */
export function standsInFor(request, parent) {
  const kind = FINDERS[request];
  if (!kind) return undefined;
  record({ __proto__: null, kind: 'require', name: short(request, 100), found: true, computed: false });
  const owner = parent?.filename ?? '/data';
  const find = (where) =>
    addon(
      typeof where === 'string' && strings.includes(where, '/')
        ? `${where}/build/Release/addon.node`
        : `${strings.slice(owner, 0, strings.lastIndexOf(owner, '/'))}/${typeof where === 'string' ? where : (where?.bindings ?? 'addon')}.node`,
    );
  const finder = (where) => find(where);
  finder.resolve = finder.path = (where) => `${where}/build/Release/addon.node`;
  finder.getRoot = () => '/data';
  finder.getFileName = () => owner;
  finder.find = (manifest) =>
    `${strings.slice(`${manifest}`, 0, strings.lastIndexOf(`${manifest}`, '/'))}/build/Release/addon.node`;
  return finder;
}
