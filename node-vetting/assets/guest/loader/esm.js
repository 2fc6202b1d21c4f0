// ES modules: `require` of one, `import()` from CommonJS, and the text of the modules that stand for what is none.

import { call } from '../core/host.js';
import { Map, arrays, hasOwn, maps, promises, stringify, strings, Error } from '../core/primordials.js';
import { coded } from '../core/errors.js';
import * as builtins from './builtins.js';
import { exportNames, load, setInterop } from './commonjs.js';

/** Loads an ES module now: runs what promises wait for until it stands. */
export function importNow(path) {
  let state = 'pending';
  let value;
  const settle = (to) => (given) => {
    state = to;
    value = given;
  };
  promises.then(import(path), settle('fulfilled'), settle('rejected'));
  for (let round = 0; state === 'pending' && round < 100; round++) call('jobs');
  if (state === 'rejected') throw value;
  if (state === 'pending')
    throw coded(
      Error,
      'ERR_REQUIRE_ASYNC_MODULE',
      'require() cannot be used on an ESM graph with top-level await. Use import() instead.',
    );
  return value;
}

setInterop((path) => {
  const namespace = importNow(path);
  return hasOwn(namespace, 'module.exports') ? namespace['module.exports'] : namespace;
});

const taken = new Map();
/** What stands behind a synthesized module. */
export const take = (path) => maps.get(taken, path);

/** The text of an ES module for what is none: a core module (`node:fs`), a CommonJS or JSON file, a native addon. */
export function synthesize(path) {
  const core = strings.startsWith(path, 'node:') ? strings.slice(path, 5) : path;
  const value = builtins.has(core) ? builtins.get(core) : load(path);
  maps.set(taken, path, value);
  let source = `import { take } from 'node:internal/loader/bridge.js';\nconst m = take(${stringify(path)});\nexport default m;\nexport { m as "module.exports" };\n`;
  const names = exportNames(value);
  const seen = ['default', 'module.exports'];
  for (let i = 0; i < names.length; i++) {
    if (arrays.includes(seen, names[i])) continue;
    arrays.push(seen, names[i]);
    const quoted = stringify(names[i]);
    source += `const e${i} = m[${quoted}];\nexport { e${i} as ${quoted} };\n`;
  }
  return source;
}
