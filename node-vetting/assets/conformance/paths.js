// The modules `path`, `url` and `querystring`.
'use strict';
const path = require('path');
const url = require('url');
const querystring = require('querystring');
module.exports = require('./harness')(async (say) => {
  const paths = [
    '',
    '.',
    '/',
    '/a/b/../c/./d.txt',
    'a//b/',
    '../x',
    '/..',
    'a/.hidden',
    'x.tar.gz',
    '..',
    'a/b/..',
    './a',
    '/a/b.c/',
  ];
  for (const one of paths) {
    await say(`posix ${one}`, () => [
      path.normalize(one),
      path.dirname(one),
      path.basename(one),
      path.extname(one),
      path.isAbsolute(one),
      path.parse(one),
    ]);
  }
  for (const one of ['C:\\a\\..\\b', 'C:/x/y.txt', '\\\\srv\\share\\f', 'a\\b', 'C:', '\\x']) {
    await say(`win32 ${one}`, () => [
      path.win32.normalize(one),
      path.win32.dirname(one),
      path.win32.basename(one),
      path.win32.extname(one),
      path.win32.isAbsolute(one),
    ]);
  }
  await say('join', () => [path.join('/a', '../b', './c', ''), path.join(), path.join('', ''), path.join('a', '/b')]);
  await say('resolve', () => [path.resolve('/a', 'b', '../c'), path.resolve('/a', '/b'), path.resolve('/a/b/', '..')]);
  await say('relative', () => [
    path.relative('/a/b/c', '/a/d'),
    path.relative('/a', '/a'),
    path.relative('/a/b', '/a'),
    path.relative('/', '/x'),
  ]);
  await say('format', () => [
    path.format({ dir: '/a', base: 'b.c' }),
    path.format({ root: '/', name: 'n', ext: 'e' }),
    path.format({ root: '/', base: 'x' }),
  ]);
  await say('basename suffix', () => [
    path.basename('/a/b.html', '.html'),
    path.basename('.html', '.html'),
    path.basename('/a/b/', 'b'),
  ]);
  await say('type', () => path.join(5));
  for (const one of [
    'http://user:pa%20ss@host.com:8080/p/a/t/h?query=string#hash',
    'https://EXAMPLE.com',
    '//host/path',
    '/only/path?x=1',
    'mailto:a@b.c',
    'http://[::1]:80/x',
    'file:///tmp/a b',
    'javascript:alert(1)',
    'http://x.y/ü?ö=ä',
    'HTTP://a.b/c\\d',
    'redis://u:p@h:6379/0',
    '?a=b',
    '#h',
    'host:80',
    'http://a.com:/x',
  ]) {
    await say(`url.parse ${one}`, () => ({ ...url.parse(one) }));
    await say(`url.parse query ${one}`, () => ({ ...url.parse(one, true).query }));
    await say(`URL ${one}`, () => {
      const u = new URL(one);
      return [
        u.href,
        u.origin,
        u.protocol,
        u.username,
        u.password,
        u.host,
        u.hostname,
        u.port,
        u.pathname,
        u.search,
        u.hash,
      ];
    });
  }
  await say('url.format', () => [
    url.format({ protocol: 'http', host: 'a.b', pathname: 'x', query: { a: [1, 2] } }),
    url.format({ hostname: 'h', port: 80, auth: 'a:b', slashes: true, protocol: 'ftp:' }),
    url.format(new URL('http://a:b@c/d?e#f'), { auth: false, fragment: false }),
  ]);
  for (const [from, to] of [
    ['/one/two/three', 'four'],
    ['http://example.com/', '/one'],
    ['http://example.com/one', '/two'],
    ['http://a/b/c/d', '../e'],
    ['http://a/b/c/d', '?x'],
    ['http://a/b', '//c/d'],
    ['http://a/b', 'https://z/'],
  ])
    await say(`url.resolve ${from} ${to}`, () => url.resolve(from, to));
  await say('file', () => [url.fileURLToPath('file:///a%20b/c'), url.pathToFileURL('/a b/c#d?e').href]);
  await say('file scheme', () => url.fileURLToPath('http://a/b'));
  await say('options', () => ({ ...url.urlToHttpOptions(new URL('https://a:b@c.d:1/e?f#g')) }));
  await say('relative URL', () => [
    new URL('../x', 'http://a/b/c/d').href,
    new URL('//z', 'http://a').href,
    URL.canParse('nope'),
  ]);
  await say('bad URL', () => new URL('nope'));
  await say('setters', () => {
    const u = new URL('http://a/b?x=1');
    u.searchParams.append('y', 'ü &');
    u.pathname = '/c d';
    u.port = '99';
    u.hash = 'h';
    u.host = 'q:1';
    u.protocol = 'https';
    u.search = '?z=1';
    return [u.href, u.searchParams.get('z')];
  });
  await say('params', () => {
    const p = new URLSearchParams('a=1&b=2&a=3&c');
    p.set('b', '9');
    p.delete('c');
    p.sort();
    return [
      p.toString(),
      p.getAll('a'),
      p.has('b'),
      p.size,
      [...p],
      new URLSearchParams({ x: 'y z' }).toString(),
      new URLSearchParams([['k', 'v']]).toString(),
    ];
  });
  await say('inspect params', () => new URLSearchParams('a=1'));
  for (const one of ['a=1&b=2&a=3', 'x=%20y&z=%zz', '&&a', 'a=b=c', '%E4=1', 'a+b=c+d', ''])
    await say(`querystring ${one}`, () => ({ ...querystring.parse(one) }));
  await say('stringify', () => [
    querystring.stringify({ a: [1, 'x'], b: true, c: null, d: 'ü &', e: undefined, f: 1n }),
    querystring.stringify({ a: 1 }, ';', ':'),
    querystring.escape("a b'(!)*~"),
    querystring.unescape('%41%zz'),
  ]);
});
