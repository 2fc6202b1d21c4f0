// Promises that are rejected and that nobody catches: told once all that waits has run, as Node.js does.

import { Map, maps } from '../core/primordials.js';
import { guarded, uncaught } from '../core/loop.js';
import { Exit, process } from './process.js';

const open = new Map();

/** The engine says that a promise was rejected without anybody to catch it, or that somebody does now. */
export function rejected(promise, reason, handled) {
  if (handled) maps.delete(open, promise);
  else maps.set(open, promise, reason);
}

/** Tells those that are left; says whether there were any. */
export function tellRejections() {
  if (open.size === 0) return false;
  const all = [];
  maps.forEach(open, (reason, promise) => {
    all[all.length] = { promise, reason };
  });
  maps.clear(open);
  for (let i = 0; i < all.length; i++) {
    const { promise, reason } = all[i];
    if (reason instanceof Exit) continue;
    uncaught(reason, 'unhandledRejection');
    if (process?.listenerCount?.('unhandledRejection') > 0)
      guarded(() => process.emit('unhandledRejection', reason, promise), undefined, []);
  }
  return true;
}
