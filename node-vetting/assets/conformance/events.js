// The module `events` and event targets.
'use strict';
const EventEmitter = require('events');
module.exports = require('./harness')(async (say) => {
  await say('order', () => {
    const e = new EventEmitter();
    const seen = [];
    e.on('a', () => seen.push(1));
    e.prependListener('a', () => seen.push(0));
    e.once('a', () => seen.push(2));
    return [e.emit('a'), e.emit('a'), e.emit('b'), seen];
  });
  await say('error', () => new EventEmitter().emit('error', new TypeError('bad')));
  await say('error text', () => new EventEmitter().emit('error', 'bad'));
  await say('error nothing', () => new EventEmitter().emit('error'));
  await say('listener type', () => new EventEmitter().on('a', 5));
  await say('names', () => {
    const e = new EventEmitter();
    e.on('x', () => {});
    e.on(Symbol.for('s'), () => {});
    return [e.eventNames(), e.listenerCount('x'), e.getMaxListeners()];
  });
  await say('remove', () => {
    const e = new EventEmitter();
    const f = () => {};
    const log = [];
    e.on('removeListener', (n) => log.push(n));
    e.on('x', f);
    e.off('x', f);
    e.on('x', f);
    e.removeAllListeners('x');
    return log;
  });
  await say('newListener', () => {
    const e = new EventEmitter();
    const log = [];
    e.on('newListener', (n, l) => log.push([n, typeof l]));
    e.once('y', () => {});
    return log;
  });
  await say('old style', () => {
    function Old() {
      EventEmitter.call(this);
    }
    require('util').inherits(Old, EventEmitter);
    const o = new Old();
    let got;
    o.on('z', function (v) {
      got = [v, this === o];
    });
    o.emit('z', 3);
    return got;
  });
  await say('once promise', async () => {
    const e = new EventEmitter();
    setImmediate(() => e.emit('go', 1, 2));
    return EventEmitter.once(e, 'go');
  });
  await say('once rejects', async () => {
    const e = new EventEmitter();
    setImmediate(() => e.emit('error', new Error('no')));
    return EventEmitter.once(e, 'go');
  });
  await say('on iterator', async () => {
    const e = new EventEmitter();
    setImmediate(() => {
      e.emit('v', 1);
      e.emit('v', 2);
    });
    const out = [];
    for await (const [v] of EventEmitter.on(e, 'v')) {
      out.push(v);
      if (v === 2) break;
    }
    return out;
  });
  await say('remove while emitting', () => {
    const e = new EventEmitter();
    const log = [];
    const b = () => log.push('b');
    e.on('x', () => {
      log.push('a');
      e.off('x', b);
    });
    e.on('x', b);
    e.emit('x');
    e.emit('x');
    return log;
  });
  await say('raw', () => {
    const e = new EventEmitter();
    const f = () => {};
    e.once('x', f);
    return [e.listeners('x')[0] === f, e.rawListeners('x')[0].listener === f];
  });
  await say('target', () => {
    const t = new EventTarget();
    const log = [];
    t.addEventListener('a', (e) => log.push([e.type, e instanceof Event, e.target === t]), { once: true });
    t.dispatchEvent(new Event('a'));
    t.dispatchEvent(new Event('a'));
    return log;
  });
  await say('abort', async () => {
    const c = new AbortController();
    let seen = 0;
    c.signal.addEventListener('abort', () => seen++);
    c.abort();
    return [seen, c.signal.aborted, c.signal.reason.name, AbortSignal.abort('x').reason];
  });
  await say('abort throws', () => AbortSignal.abort(new Error('stop')).throwIfAborted());
});
