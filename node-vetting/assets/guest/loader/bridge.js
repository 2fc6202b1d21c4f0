// What synthesized modules import: the value that they stand for. No package can import this.

export { take } from './esm.js';
