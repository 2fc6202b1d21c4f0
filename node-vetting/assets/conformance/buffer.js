// The module `buffer`.
'use strict';
module.exports = require('./harness')(async (say) => {
  const text = 'grüße 🎉 \ud800 end';
  await say('utf8', () => Buffer.from(text).toString('hex'));
  await say('back', () => Buffer.from('e282ac20f09f8e89ff', 'hex').toString());
  for (const encoding of ['hex', 'base64', 'base64url', 'latin1', 'ascii', 'utf16le', 'binary', 'ucs2']) {
    await say(`to ${encoding}`, () => Buffer.from('Hällo wörld?>').toString(encoding));
    await say(`from ${encoding}`, () => Buffer.from('SGk_-w==48656c', encoding).toString('hex'));
    await say(`length ${encoding}`, () => Buffer.byteLength('48656c6c6f', encoding));
  }
  await say('inspect', () => [Buffer.from([1, 2, 255]), Buffer.alloc(0), Buffer.alloc(60)]);
  await say('json', () => JSON.stringify(Buffer.from('abc')));
  await say('revive', () => Buffer.from(JSON.parse('{"type":"Buffer","data":[97,98]}')).toString());
  await say('concat', () => Buffer.concat([Buffer.from('a'), Buffer.from('bc')], 2).toString());
  await say('compare', () => [
    Buffer.compare(Buffer.from('a'), Buffer.from('b')),
    Buffer.from('x').equals(Buffer.from('x')),
  ]);
  await say('numbers', () => {
    const b = Buffer.alloc(32);
    b.writeUInt8(200, 0);
    b.writeInt16BE(-2, 1);
    b.writeUInt32LE(0xdeadbeef, 3);
    b.writeFloatBE(1.5, 7);
    b.writeDoubleLE(-2.25, 11);
    b.writeBigInt64BE(-5n, 19);
    b.writeUIntBE(0x123456, 27, 3);
    return [
      b.toString('hex'),
      b.readUint8(0),
      b.readInt16BE(1),
      b.readUInt32LE(3),
      b.readFloatBE(7),
      b.readDoubleLE(11),
      b.readBigInt64BE(19),
      b.readUIntBE(27, 3),
    ];
  });
  await say('range', () => Buffer.alloc(2).readUInt32LE(0));
  await say('write range', () => Buffer.alloc(2).writeUInt8(300, 0));
  await say('slice', () => {
    const b = Buffer.from('abcdef');
    const s = b.slice(1, -1);
    s[0] = 90;
    return [b.toString(), s.toString(), b.subarray(2, 4).toString()];
  });
  await say('search', () => {
    const b = Buffer.from('one two one');
    return [b.indexOf('one', 1), b.lastIndexOf('one'), b.includes('two'), b.indexOf(Buffer.from('tw')), b.indexOf(111)];
  });
  await say('fill', () => Buffer.alloc(5, 'ab').toString());
  await say('swap', () => Buffer.from([1, 2, 3, 4]).swap16().toString('hex'));
  await say('copy', () => {
    const t = Buffer.alloc(4);
    const n = Buffer.from('xyz').copy(t, 1, 1);
    return [n, t.toString('hex')];
  });
  await say('from number', () => Buffer.from(5));
  await say('from null', () => Buffer.from(null));
  await say('bad encoding', () => Buffer.from('a', 'nope'));
  await say('array buffer', () => {
    const ab = new ArrayBuffer(4);
    const b = Buffer.from(ab, 1, 2);
    b[0] = 7;
    return [new Uint8Array(ab)[1], b.length, b.parent === ab];
  });
  await say('is', () => [
    Buffer.isBuffer(Buffer.alloc(1)),
    Buffer.isBuffer(new Uint8Array(1)),
    Buffer.isEncoding('UTF8'),
    Buffer.isEncoding('x'),
    Buffer.alloc(1) instanceof Uint8Array,
  ]);
  await say('statics', () => [Buffer.poolSize, require('buffer').INSPECT_MAX_BYTES, new Buffer.from('a').toString()]);
  await say('iteration', () => [[...Buffer.from('ab').entries()], [...Buffer.from('ab')]]);
  await say('atob', () => [atob('aGk='), btoa('hi')]);
  await say('decoder', () => {
    const { StringDecoder } = require('string_decoder');
    const d = new StringDecoder('utf8');
    return [d.write(Buffer.from([0xe2, 0x82])), d.write(Buffer.from([0xac])), d.end()];
  });
});
