// Globals of the web platform and of the engine.
'use strict';
module.exports = require('./harness')(async (say) => {
  await say('encoder', () => [new TextEncoder().encode('é🎉'), new TextEncoder().encodeInto('aé', new Uint8Array(2))]);
  await say('decoder', () => [
    new TextDecoder().decode(new Uint8Array([0xef, 0xbb, 0xbf, 97])),
    new TextDecoder('utf-16le').decode(new Uint8Array([97, 0])),
    new TextDecoder('latin1').decode(new Uint8Array([0xe9])),
    new TextDecoder().decode(new Uint8Array([0xff])),
  ]);
  await say('decoder fatal', () => new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([0xff])));
  await say('decoder unknown', () => new TextDecoder('nope'));
  await say('decoder stream', () => {
    const d = new TextDecoder();
    return d.decode(new Uint8Array([0xe2, 0x82]), { stream: true }) + d.decode(new Uint8Array([0xac]));
  });
  await say('headers', () => {
    const h = new Headers({ B: '1', a: '2' });
    h.append('A', '3');
    h.append('Set-Cookie', 'x');
    h.append('set-cookie', 'y');
    return [[...h], h.get('a'), h.has('c'), h.getSetCookie()];
  });
  await say('header name', () => new Headers({ 'a b': '1' }));
  await say('request', () => {
    const r = new Request('http://a/b', { method: 'post', body: 'x' });
    return [r.method, r.url, r.headers.get('content-type'), r.bodyUsed];
  });
  await say('request body', () => new Request('http://a', { body: 'x' }));
  await say('response', async () => {
    const r = new Response(JSON.stringify({ a: 1 }), { status: 201, headers: { 'x-y': 'z' } });
    return [r.ok, r.status, await r.clone().text(), await r.json(), r.bodyUsed];
  });
  await say('response twice', async () => {
    const r = new Response('x');
    await r.text();
    return r.text().then(
      () => 'read',
      (e) => e.name,
    );
  });
  await say('response json', async () => {
    const r = Response.json([1]);
    return [r.headers.get('content-type'), await r.json()];
  });
  await say('blob', async () => {
    const b = new Blob(['ab', new Uint8Array([99])], { type: 'Text/Plain' });
    return [b.size, b.type, await b.text(), await b.slice(1, 2).text()];
  });
  await say('form', () => {
    const f = new FormData();
    f.append('a', '1');
    f.append('a', 2);
    f.set('b', 'x');
    return [f.getAll('a'), [...f.keys()]];
  });
  await say('web streams', async () => {
    const r = new ReadableStream({
      start(c) {
        c.enqueue(1);
        c.enqueue(2);
        c.close();
      },
    });
    const out = [];
    for await (const v of r.pipeThrough(
      new TransformStream({
        transform(v, c) {
          c.enqueue(v * 10);
        },
      }),
    ))
      out.push(v);
    return out;
  });
  await say('number locale', () => [
    (1234567.891).toLocaleString(),
    (0.5).toLocaleString('en-US', { style: 'percent' }),
    (1234.5).toLocaleString('en-US', { style: 'currency', currency: 'USD' }),
    new Intl.NumberFormat('en-US', { minimumFractionDigits: 2 }).format(3),
    12n.toLocaleString(),
  ]);
  const date = new Date(Date.UTC(2026, 1, 3, 14, 5, 6));
  await say('date locale', () => [
    date.toLocaleDateString('en-US', { timeZone: 'UTC' }),
    date.toLocaleTimeString('en-US', { timeZone: 'UTC' }).replace(/\u202f/g, ' '),
    date.toLocaleString('en-US', { timeZone: 'UTC' }).replace(/\u202f/g, ' '),
    new Intl.DateTimeFormat('en-US', {
      timeZone: 'UTC',
      weekday: 'long',
      year: 'numeric',
      month: 'long',
      day: 'numeric',
    }).format(date),
    new Intl.DateTimeFormat('en-US', {
      timeZone: 'UTC',
      hour12: false,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    }).format(date),
  ]);
  await say('time zone', () => new Intl.DateTimeFormat('en-US', { timeZone: 'No/where at all' }));
  await say('collation', () => [
    ['b', 'a', 'C', 'ä'].sort((x, y) => x.localeCompare(y)).length,
    'a'.localeCompare('b'),
    ['10', '2'].sort(new Intl.Collator('en', { numeric: true }).compare),
  ]);
  await say('plural', () => [
    new Intl.PluralRules('en').select(1),
    new Intl.PluralRules('en', { type: 'ordinal' }).select(2),
    new Intl.ListFormat('en', { type: 'conjunction' }).format(['a', 'b', 'c']),
    new Intl.RelativeTimeFormat('en').format(-2, 'day'),
  ]);
  await say('atomics', () => {
    const a = new Int32Array(new SharedArrayBuffer(8));
    return [Atomics.add(a, 0, 5), Atomics.compareExchange(a, 0, 5, 9), Atomics.load(a, 0), Atomics.isLockFree(4)];
  });
  await say('tags', () => [
    `${new URL('http://a')}`,
    String(new Headers()),
    String(process),
    String(new AbortController()),
    String(Atomics),
    String(Intl),
  ]);
  await say('globals', () =>
    [
      'fetch',
      'structuredClone',
      'queueMicrotask',
      'setImmediate',
      'performance',
      'crypto',
      'navigator',
      'WebAssembly',
      'Buffer',
      'process',
      'global',
      'atob',
      'BroadcastChannel',
      'DOMException',
    ].map(
      (name) =>
        `${name} ${typeof globalThis[name] === 'undefined' && name === 'navigator' ? 'object' : typeof globalThis[name]}`,
    ),
  );
  await say('hidden', () => [
    typeof globalThis.host,
    typeof globalThis.__guest,
    typeof globalThis.window,
    typeof globalThis.document,
  ]);
  await say('enumerable', () =>
    Object.keys(globalThis)
      .filter((k) => /^(set|clear)(Timeout|Interval|Immediate)$/.test(k))
      .sort(),
  );
  await say('process', () => [
    typeof process.pid,
    process.argv.length > 0,
    typeof process.versions.node,
    process.hrtime().length,
    typeof process.hrtime.bigint(),
    typeof process.memoryUsage().heapUsed,
    process.stdout.writable,
    process.exitCode,
    typeof process.uptime(),
    process.release.name,
    typeof process.umask(),
  ]);
  await say('environment', () => {
    process.env.CONFORMANCE = 5;
    const out = [
      process.env.CONFORMANCE,
      'CONFORMANCE' in process.env,
      process.env.NO_SUCH_KEY,
      Object.keys(process.env).includes('CONFORMANCE'),
      { ...process.env }.CONFORMANCE,
    ];
    delete process.env.CONFORMANCE;
    return [...out, process.env.CONFORMANCE];
  });
  await say('performance', () => [
    typeof performance.now(),
    performance.mark('m').entryType,
    typeof require('perf_hooks').performance.timeOrigin,
  ]);
  await say('net', () => {
    const net = require('net');
    return [
      net.isIP('1.2.3.4'),
      net.isIP('::1'),
      net.isIP('1.2.3'),
      net.isIPv6('fe80::1%eth0'),
      net.isIP('::ffff:1.2.3.4'),
    ];
  });
  await say('port', () => require('net').connect(70000));
  await say('http shape', () => {
    const http = require('http');
    return [
      http.METHODS.length > 30,
      http.STATUS_CODES[404],
      typeof http.Agent,
      http.globalAgent instanceof http.Agent,
      typeof http.request,
    ];
  });
  await say('http protocol', () => require('http').request('ftp://a/b'));
  await say('http header', () => require('http').validateHeaderName('a b'));
  await say('os', () => {
    const os = require('os');
    return [
      os.EOL,
      typeof os.hostname(),
      Array.isArray(os.cpus()),
      os.constants.signals.SIGTERM,
      typeof os.userInfo().username,
      os.endianness(),
    ];
  });
});
