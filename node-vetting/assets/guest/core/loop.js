// The event loop in virtual time. Nothing ever waits: the clock jumps to whatever is due next, as far as the driver allows.
// A place in a package that arms timers again and again is slowed down exponentially, so that 40 days of reconnecting cost
// a few dozen firings and not millions.

import {
  Map,
  Math,
  WeakSet,
  arrays,
  deferred,
  engineStack,
  Error,
  maps,
  pow,
  queueMicrotask,
  strings,
  apply,
} from './primordials.js';
import { call, record, short } from './host.js';

const EXACT = 16; // firings of one place that keep their exact delay
const EXACT_SHORT = 400; // the same for delays of up to a millisecond, which are yields rather than waits
const MOST_ROUNDS = 3000; // macrotasks at one moment
const LONGEST = 2 ** 31 - 1;
const DAY = 86_400_000;

const heap = [];
const immediates = [];
const ticks = [];
const firings = new Map();
let order = 0;
let clock = 0;
let scheduled = false;
let wait = null;
let over = false;
let onUncaught = (error) => {
  throw error;
};
let most = 1000;
let instant = -1;
let rounds = 0;
let hurried = 1;

/** Milliseconds since the start of the run. */
export const time = () => clock;
export const refresh = () => (clock = call('clock.now').run_ms);
export const setUncaught = (handler) => {
  onUncaught = handler;
};
export const finish = () => {
  over = true;
};

/** Runs foreign code from the loop: what it throws is its process's uncaught exception, never ours. */
export function guarded(callback, self, args) {
  try {
    apply(callback, self, args);
  } catch (error) {
    onUncaught(error);
  }
}

/** The first place of a package on the stack, as `file:line:column`. */
export function place() {
  const lines = strings.split(engineStack(new Error()) ?? '', '\n');
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    if (line !== '' && !strings.includes(line, 'node:internal/') && strings.includes(line, '/'))
      return strings.trim(line);
  }
  return '?';
}

function less(a, b) {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}
function add(entry) {
  let at = heap.length;
  arrays.push(heap, entry);
  while (at > 0) {
    const above = (at - 1) >> 1;
    if (!less(entry, heap[above])) break;
    heap[at] = heap[above];
    at = above;
  }
  heap[at] = entry;
}
function take() {
  const first = heap[0];
  const last = arrays.pop(heap);
  if (heap.length === 0) return first;
  let at = 0;
  for (;;) {
    let below = 2 * at + 1;
    if (below >= heap.length) break;
    if (below + 1 < heap.length && less(heap[below + 1], heap[below])) below++;
    if (!less(heap[below], last)) break;
    heap[at] = heap[below];
    at = below;
  }
  heap[at] = last;
  return first;
}

/** No place fires more often than this. */
export const limitFirings = (count) => {
  most = count;
};

/** How much longer than asked a place has to wait after so many firings. */
function slowed(site, delay) {
  if (site === '') return delay;
  const over = (maps.get(firings, site) ?? 0) - (delay <= 1 ? EXACT_SHORT : EXACT);
  if (over > most - EXACT) return Infinity;
  return over <= 0 ? delay : delay * pow(2, Math.min(over, 42));
}

/** Arms a timer. `repeat` is its interval or 0. Returns the entry; `cancel` disarms it. */
export function arm(delay, repeat, run, site = place()) {
  if (delay >= DAY) record({ __proto__: null, kind: 'long-timer', delay: Math.trunc(delay) });
  const entry = {
    __proto__: null,
    due: clock + slowed(site, delay),
    order: order++,
    repeat,
    delay,
    run,
    site,
    live: true,
  };
  if (entry.due !== Infinity) add(entry);
  return entry;
}
export const cancel = (entry) => {
  entry.live = false;
};
/** The delay as Node.js reads it. */
export function delayOf(value) {
  const delay = +value;
  return delay >= 1 && delay <= LONGEST ? Math.trunc(delay) : 1;
}

/** Runs our own callback after `ms`, outside of any package's account. */
export const later = (ms, run) => arm(ms, 0, run, '');

export function immediate(run) {
  const entry = { __proto__: null, run, live: true };
  arrays.push(immediates, entry);
  return entry;
}

export function tick(callback, args) {
  arrays.push(ticks, { __proto__: null, callback, args });
  if (!scheduled) {
    scheduled = true;
    queueMicrotask(drain);
  }
}
export function drain() {
  for (let entry; (entry = arrays.shift(ticks)) !== undefined;) guarded(entry.callback, undefined, entry.args);
  scheduled = false;
}

function fire(entry) {
  if (!entry.live) return;
  if (entry.site !== '') maps.set(firings, entry.site, (maps.get(firings, entry.site) ?? 0) + 1);
  if (entry.repeat > 0) {
    entry.due = clock + slowed(entry.site, entry.repeat);
    entry.order = order++;
    if (entry.due !== Infinity) add(entry);
  } else {
    entry.live = false;
  }
  guarded(entry.run, undefined, []);
  drain();
}

function jump(to) {
  if (to > clock) call('clock.advance', { __proto__: null, ms: Math.ceil(to - clock) });
  refresh();
}

/**
 * Code that goes round without waiting would stop the time. Each time that it has gone round long enough, a span passes that
 * is twice the one before.
 */
function hurry() {
  if (clock !== instant) {
    instant = clock;
    rounds = 0;
  } else if (++rounds > MOST_ROUNDS) {
    rounds = 0;
    jump(clock + hurried);
    hurried *= 2;
  }
}

/** One macrotask. False when the run is over or nothing is left that the driver waits for. */
export function turn() {
  drain();
  if (over) return false;
  refresh();
  hurry();
  if (wait !== null && clock > wait.until && rounds === 0) return arrive();
  if (immediates.length > 0) {
    const batch = arrays.splice(immediates, 0, immediates.length);
    for (let i = 0; i < batch.length; i++) {
      if (batch[i].live) guarded(batch[i].run, undefined, []);
      drain();
    }
    return true;
  }
  while (heap.length > 0 && !heap[0].live) take();
  if (wait === null) return false;
  const next = heap[0];
  if (next !== undefined && next.due <= wait.until && !wait.enough) {
    jump(next.due);
    fire(take());
    return true;
  }
  return arrive();
}

/** What the driver waited for is there. */
function arrive() {
  const done = wait;
  wait = null;
  if (done.whole) jump(done.until);
  done.resolve();
  return true;
}

/** Lets virtual time pass: everything due in the next `ms` runs. With `whole` the clock then stands at the end of that span. */
export function pass(ms, whole = true) {
  const end = deferred();
  wait = { __proto__: null, until: clock + ms, whole, resolve: end.resolve, enough: false };
  return end.promise;
}

/** Waits for a promise of foreign code, at most `ms` of virtual time. Says whether it settled. */
export async function within(promise, ms) {
  let settled = false;
  const mark = () => {
    settled = true;
    if (wait !== null) wait.enough = true;
  };
  promise.then(mark, mark);
  await undefined;
  if (!settled) await pass(ms, false);
  return settled;
}

/** How many timers are armed, for the driver's judgement. */
export const pending = () => heap.length + immediates.length;
export const seen = new WeakSet();
export const uncaught = (error, how) =>
  record({ __proto__: null, kind: 'uncaught', said: short(`${how}: ${error?.stack ?? error}`, 600) });
