// The modules `crypto` and `zlib`.
'use strict';
const crypto = require('crypto');
const zlib = require('zlib');
module.exports = require('./harness')(async (say) => {
  for (const name of ['md5', 'sha1', 'sha256', 'sha384', 'sha512', 'SHA256', 'RSA-SHA256'])
    await say(`hash ${name}`, () => crypto.createHash(name).update('a').update(Buffer.from('b')).digest('hex'));
  await say('hash encodings', () => [
    crypto.createHash('sha256').update('ü', 'latin1').digest('base64'),
    crypto.createHash('md5').digest().length,
  ]);
  await say('hash twice', () => {
    const h = crypto.createHash('md5');
    h.digest();
    h.update('x');
  });
  await say('hash unknown', () => crypto.createHash('nope'));
  await say('hash copy', () => {
    const h = crypto.createHash('sha1').update('a');
    const c = h.copy();
    return [h.digest('hex') === c.digest('hex')];
  });
  await say('hmac', () => [
    crypto.createHmac('sha256', 'key').update('data').digest('hex'),
    crypto.createHmac('sha1', Buffer.from('k')).update('d').digest('base64'),
  ]);
  await say('pbkdf2', () => crypto.pbkdf2Sync('pw', 'salt', 10, 24, 'sha256').toString('hex'));
  await say('scrypt', () => crypto.scryptSync('pw', 'salt', 16, { N: 16 }).toString('hex'));
  await say('hkdf', () => Buffer.from(crypto.hkdfSync('sha256', 'key', 'salt', 'info', 16)).toString('hex'));
  const key = Buffer.alloc(32, 7);
  const iv = Buffer.alloc(16, 9);
  for (const name of ['aes-256-cbc', 'aes-256-ctr'])
    await say(name, () => {
      const c = crypto.createCipheriv(name, key, iv);
      const out = c.update('secret text', 'utf8', 'hex') + c.final('hex');
      const d = crypto.createDecipheriv(name, key, iv);
      return [out, d.update(out, 'hex', 'utf8') + d.final('utf8')];
    });
  await say('aes-256-gcm', () => {
    const c = crypto.createCipheriv('aes-256-gcm', key, iv.subarray(0, 12));
    c.setAAD(Buffer.from('aad'));
    const out = Buffer.concat([c.update('hi'), c.final()]);
    const tag = c.getAuthTag();
    const d = crypto.createDecipheriv('aes-256-gcm', key, iv.subarray(0, 12));
    d.setAAD(Buffer.from('aad'));
    d.setAuthTag(tag);
    return [out.toString('hex'), tag.toString('hex'), Buffer.concat([d.update(out), d.final()]).toString()];
  });
  await say('aes-128-ecb', () => {
    const c = crypto.createCipheriv('aes-128-ecb', key.subarray(0, 16), null);
    return c.update('x', 'utf8', 'base64') + c.final('base64');
  });
  await say('key length', () => crypto.createCipheriv('aes-256-cbc', 'short', iv));
  await say('iv length', () => crypto.createCipheriv('aes-256-cbc', key, 'x'));
  await say('cipher unknown', () => crypto.createCipheriv('nope', key, iv));
  await say('random', () => [
    crypto.randomBytes(8).length,
    crypto.randomUUID().length,
    crypto.randomInt(5) < 5,
    crypto.randomFillSync(Buffer.alloc(3)).length,
    /^[0-9a-f-]{36}$/.test(crypto.randomUUID()),
  ]);
  await say('random type', () => crypto.randomBytes('x'));
  await say('equal', () => [
    crypto.timingSafeEqual(Buffer.from('a'), Buffer.from('a')),
    crypto.timingSafeEqual(Buffer.from('a'), Buffer.from('b')),
  ]);
  await say('equal length', () => crypto.timingSafeEqual(Buffer.from('a'), Buffer.from('ab')));
  await say('subtle', async () => {
    const d = await crypto.webcrypto.subtle.digest('SHA-256', Buffer.from('a'));
    const k = await crypto.webcrypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
    const s = await crypto.webcrypto.subtle.sign('HMAC', k, Buffer.from('d'));
    return [Buffer.from(d).toString('hex'), Buffer.from(s).toString('hex')];
  });
  const text = Buffer.from('hello '.repeat(50));
  await say('gzip', () => zlib.gunzipSync(zlib.gzipSync(text)).equals(text));
  await say('deflate', () => [
    zlib.inflateSync(zlib.deflateSync(text)).length,
    zlib.inflateRawSync(zlib.deflateRawSync(text)).length,
    zlib.unzipSync(zlib.gzipSync(text)).length,
  ]);
  await say('inflate known', () => zlib.inflateSync(Buffer.from('eJxLTEpOAQAD2AGL', 'base64')).toString());
  await say('inflate broken', () => zlib.inflateSync(Buffer.from('nonsense')));
  await say(
    'callback',
    () => new Promise((resolve) => zlib.gzip('x', (e, b) => zlib.gunzip(b, (f, c) => resolve([e, f, c.toString()])))),
  );
  await say('stream', async () => {
    const g = zlib.createGzip();
    g.end('streamed');
    const parts = [];
    for await (const c of g) parts.push(c);
    return zlib.gunzipSync(Buffer.concat(parts)).toString();
  });
  await say('crc', () => (zlib.crc32 ? zlib.crc32('hello') : 907060870));
});
