// Context stores: of a node, its flow, and all.

import { getObjectProperty, setObjectProperty } from './util.js';

const stores = new Map();
const storeOf = (scope) => {
  if (!stores.has(scope)) stores.set(scope, {});
  return stores.get(scope);
};

function access(scope) {
  const read = (key) => {
    try {
      return getObjectProperty(storeOf(scope), key);
    } catch {
      return undefined;
    }
  };
  return {
    get(key, store, callback) {
      const done = typeof store === 'function' ? store : callback;
      const list = Array.isArray(key) ? key.map(read) : [read(key)];
      if (!done) return Array.isArray(key) ? list : list[0];
      done(null, ...list);
      return undefined;
    },
    set(key, value, store, callback) {
      const done = typeof store === 'function' ? store : callback;
      const names = [].concat(key);
      names.forEach((name, i) =>
        setObjectProperty(
          storeOf(scope),
          name,
          Array.isArray(key) ? (Array.isArray(value) ? value[i] : i === 0 ? value : undefined) : value,
          true,
        ),
      );
      done?.(null);
    },
    keys(store, callback) {
      const done = typeof store === 'function' ? store : callback;
      const list = Object.keys(storeOf(scope));
      if (!done) return list;
      done(null, list);
      return undefined;
    },
  };
}

/** The context object of a node. */
export function context(id, z) {
  const out = access(`${id}:${z ?? ''}`);
  Object.defineProperty(out, 'global', { value: access('global'), enumerable: true });
  if (z) Object.defineProperty(out, 'flow', { value: access(`flow:${z}`), enumerable: true });
  out.flow ?? Object.defineProperty(out, 'flow', { value: access('flow:global'), enumerable: true });
  return out;
}
