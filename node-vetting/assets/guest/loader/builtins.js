// Which core modules there are, by name.

import { Map, maps } from '../core/primordials.js';

const table = new Map();

/** Offers a core module under its name. */
export function offer(name, exports) {
  maps.set(table, name, exports);
  return exports;
}
export const has = (name) => maps.has(table, name);
export const get = (name) => maps.get(table, name);
export const names = () => [...maps.keys(table)];
/** Names without `node:` that only count with it. */
export const PREFIXED = ['test', 'sea', 'sqlite', 'test/reporters'];
