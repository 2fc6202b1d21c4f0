// Pinned packages that stand for core modules without any effect on the world. They are loaded by our own loader while the
// image is prepared, all files of them that anything could ask for later: in a run they are not there.

import { call } from '../core/host.js';
import { PINNED, load } from './commonjs.js';

/** Loads one file of a pinned package. */
export const dep = (file) => load(`${PINNED}${file}`, `${PINNED}-`);

/** Loads all files of a folder of one, but those that cannot be loaded alone. */
export function depFolder(folder, except) {
  for (const { name } of call('fs.list', { __proto__: null, path: `${PINNED}${folder}` }))
    if (name.endsWith('.js') && !except.includes(name)) dep(`${folder}/${name}`);
}
