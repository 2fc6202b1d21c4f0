// Pinned packages that stand for core modules without any effect on the world. They are loaded by our own loader while the
// image is prepared.

import { load } from './commonjs.js';

const FOLDER = '/packages/node_modules';
/** Loads one file of a pinned package. */
export const dep = (file) => load(`${FOLDER}/${file}`, `${FOLDER}/-`);
