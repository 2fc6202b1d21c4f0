import { sep, join } from 'path';
import cjs, { a } from './exports.js';
export let live = 1;
export const bump = () => { live += 1; return live; };
export { sep };
export const joined = join('x', `${a}`);
export const meta = import.meta.url;
export default Object.keys(cjs);
