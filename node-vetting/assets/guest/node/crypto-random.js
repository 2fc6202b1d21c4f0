// Chance as `crypto` gives it.

import { badArgument, outOfRange } from '../core/errors.js';
import { asBytes } from '../core/host.js';
import { later } from '../core/loop.js';
import { random } from './crypto-core.js';

export function randomBytes(size, callback) {
  if (typeof size !== 'number') throw badArgument('size', 'of type number', size);
  if (!(size >= 0 && size <= 2_147_483_647)) throw outOfRange('size', '>= 0 && <= 2147483647', size);
  const bytes = random(size);
  if (!callback) return bytes;
  later(0, () => callback(null, bytes));
  return undefined;
}
export function randomFillSync(target, offset = 0, size) {
  const view = asBytes(target);
  const count = size ?? view.length - offset;
  view.set(random(count), offset);
  return target;
}
export function randomInt(low, high, callback) {
  let [from, to, done] = [low, high, callback];
  if (high === undefined || typeof high === 'function') [from, to, done] = [0, low, high];
  const span = to - from;
  if (!(span > 0)) throw outOfRange('max', `greater than the value of "min" (${from})`, to);
  const value = from + (Number(random(6).readUIntBE(0, 6)) % span);
  if (!done) return value;
  later(0, () => done(null, value));
  return undefined;
}
export function randomUUID() {
  const b = random(16);
  b[6] = (b[6] & 15) | 64;
  b[8] = (b[8] & 63) | 128;
  const h = b.toString('hex');
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`;
}
