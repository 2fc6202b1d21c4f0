// Timers, ticks, promises, streams: what runs when.
'use strict';
const { Readable, Writable, Transform, PassThrough, pipeline, finished, Duplex } = require('stream');
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
module.exports = require('./harness')(async (say) => {
  await say('order', async () => {
    const log = [];
    await new Promise((resolve) =>
      setImmediate(() => {
        setTimeout(() => log.push('timeout'), 80);
        setImmediate(() => {
          log.push('immediate');
          process.nextTick(() => log.push('tick in immediate'));
          Promise.resolve().then(() => log.push('promise in immediate'));
        });
        Promise.resolve().then(() => log.push('promise'));
        process.nextTick(() => {
          log.push('tick');
          process.nextTick(() => log.push('inner tick'));
        });
        queueMicrotask(() => log.push('microtask'));
        setTimeout(resolve, 160);
      }),
    );
    return log;
  });
  await say('timers', async () => {
    const log = [];
    setTimeout((a, b) => log.push(a + b), 3, 1, 2);
    const t = setTimeout(() => log.push('never'), 5);
    clearTimeout(t);
    setTimeout(() => log.push('later'), 20);
    setTimeout(() => log.push('sooner'), 10);
    let n = 0;
    await new Promise((resolve) => {
      const i = setInterval(() => {
        if (++n === 3) {
          clearInterval(i);
          resolve();
        }
      }, 2);
    });
    await wait(40);
    return [log, n];
  });
  await say('timeout object', () => {
    const t = setTimeout(() => {}, 1000);
    const out = [typeof t, t.hasRef(), t.unref() === t, t.hasRef(), typeof t[Symbol.toPrimitive](), t.constructor.name];
    clearTimeout(+t);
    return out;
  });
  await say('timeout type', () => setTimeout('x', 1));
  await say('timers/promises', async () => [
    await require('timers/promises').setTimeout(1, 'v'),
    await require('timers/promises').setImmediate('w'),
  ]);
  await say('readable', async () => {
    const r = new Readable({
      read() {
        this.push('ab');
        this.push('cd');
        this.push(null);
      },
    });
    const out = [];
    for await (const c of r) out.push(c.toString());
    return [out, r.destroyed, r.readableEnded];
  });
  await say('from', async () => {
    const out = [];
    for await (const c of Readable.from(['x', 'y'])) out.push(c);
    return out;
  });
  await say('object mode', async () => {
    const t = new Transform({
      objectMode: true,
      transform(c, e, done) {
        done(null, c * 2);
      },
      flush(done) {
        this.push('end');
        done();
      },
    });
    const out = [];
    t.on('data', (c) => out.push(c));
    t.write(1);
    t.write(2);
    t.end();
    await new Promise((resolve) => t.on('end', resolve));
    return out;
  });
  await say('writable', async () => {
    const got = [];
    const w = new Writable({
      highWaterMark: 3,
      write(c, e, done) {
        got.push([c.toString(), e]);
        setImmediate(done);
      },
      final(done) {
        got.push('final');
        done();
      },
    });
    const full = [w.write('ab'), w.write('cd')];
    w.end('z');
    await new Promise((resolve) => w.on('finish', resolve));
    return [full, got, w.writableFinished];
  });
  await say('pipe events', async () => {
    const log = [];
    const a = new PassThrough();
    const b = new PassThrough();
    for (const n of ['pipe', 'unpipe', 'finish', 'end', 'close']) b.on(n, () => log.push(n));
    a.pipe(b);
    b.resume();
    a.end('x');
    await wait(20);
    return log;
  });
  await say(
    'pipeline',
    async () =>
      new Promise((resolve) => {
        const out = [];
        pipeline(
          Readable.from(['a', 'b']),
          new Transform({
            transform(c, e, done) {
              done(null, c.toString().toUpperCase());
            },
          }),
          new Writable({
            write(c, e, done) {
              out.push(c.toString());
              done();
            },
          }),
          (error) => resolve([error, out]),
        );
      }),
  );
  await say(
    'pipeline error',
    async () =>
      new Promise((resolve) =>
        pipeline(
          new Readable({
            read() {
              this.destroy(new Error('broken'));
            },
          }),
          new PassThrough(),
          (error) => resolve(error.message),
        ),
      ),
  );
  await say('pipeline promise', async () => {
    const out = [];
    await require('stream/promises').pipeline(
      Readable.from(['q']),
      async function* (s) {
        for await (const c of s) yield `${c}!`;
      },
      new Writable({
        write(c, e, done) {
          out.push(c.toString());
          done();
        },
      }),
    );
    return out;
  });
  await say(
    'write after end',
    async () =>
      new Promise((resolve) => {
        const w = new PassThrough();
        w.on('error', (e) => resolve(e.code));
        w.end();
        w.write('x');
      }),
  );
  await say('destroy', async () => {
    const r = new PassThrough();
    const log = [];
    r.on('error', (e) => log.push(e.message));
    r.on('close', () => log.push('close'));
    r.destroy(new Error('gone'));
    await wait(5);
    return [log, r.destroyed, r.errored?.message];
  });
  await say('finished', async () => {
    const r = Readable.from(['a']);
    r.resume();
    return new Promise((resolve) => finished(r, (e) => resolve(e ?? 'fine')));
  });
  await say('duplex', async () => {
    const d = new Duplex({
      read() {},
      write(c, e, done) {
        this.push(c);
        done();
      },
      final(done) {
        this.push(null);
        done();
      },
    });
    d.end('echo');
    const out = [];
    for await (const c of d) out.push(c.toString());
    return out;
  });
  await say('encoding', async () => {
    const r = new PassThrough();
    r.setEncoding('utf8');
    r.write(Buffer.from([0xe2, 0x82]));
    r.end(Buffer.from([0xac]));
    const out = [];
    for await (const c of r) out.push(c);
    return out;
  });
  await say('consumers', async () => [
    await require('stream/consumers').text(Readable.from(['a', 'b'])),
    await require('stream/consumers').json(Readable.from(['{"a":1}'])),
  ]);
  await say('unhandled order', async () => {
    const log = [];
    const seen = (r) => log.push(r.message);
    process.on('unhandledRejection', seen);
    Promise.reject(new Error('lost'));
    await wait(5);
    process.off('unhandledRejection', seen);
    return log;
  });
  await say('message channel', async () => {
    const { port1, port2 } = new MessageChannel();
    const got = new Promise((resolve) => {
      port2.onmessage = (e) => resolve(e.data);
    });
    port1.postMessage({ a: [1] });
    const data = await got;
    port1.close();
    return data;
  });
  await say('clone', () =>
    structuredClone({ d: new Date(1), m: new Map([[1, new Set([2])]]), r: /x/g, u: new Uint8Array([1]) }),
  );
  await say('clone function', () => structuredClone({ f() {} }));
});
