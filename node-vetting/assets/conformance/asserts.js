// The module `assert` and errors.
'use strict';
const assert = require('assert');
module.exports = require('./harness')(async (say) => {
  await say('fine', () => {
    assert(1);
    assert.ok(true);
    assert.equal(1, '1');
    assert.strictEqual(NaN, NaN);
    assert.deepEqual({ a: 1 }, { a: '1' });
    assert.deepStrictEqual([1, { a: new Date(0) }], [1, { a: new Date(0) }]);
    assert.notStrictEqual(1, 2);
    assert.throws(() => {
      throw new TypeError('x');
    }, TypeError);
    assert.doesNotThrow(() => {});
    assert.match('abc', /b/);
    assert.ifError(null);
    return 'all';
  });
  const cases = {
    ok: () => assert.ok(0, 'said'),
    equal: () => assert.equal(1, 2),
    strict: () => assert.strictEqual(1, 2),
    deep: () => assert.deepStrictEqual({ a: 1 }, { a: 2 }, 'own words'),
    throws: () => assert.throws(() => {}),
    rejects: () => assert.rejects(Promise.resolve()),
    unwanted: () =>
      assert.doesNotThrow(() => {
        throw new Error('inner');
      }),
    fail: () => assert.fail('why'),
    own: () => assert.ok(false, new RangeError('mine')),
    mismatch: () =>
      assert.throws(() => {
        throw new Error('a');
      }, /b/),
    ifError: () => assert.ifError(new Error('e')),
    strictMode: () => require('assert/strict').equal(1, '1', 'differs'),
  };
  for (const [name, action] of Object.entries(cases)) await say(name, action);
  await say('shape', () => {
    try {
      assert.strictEqual(1, 2);
    } catch (e) {
      return [e.name, e.code, e.actual, e.expected, e.operator, e.generatedMessage, e instanceof assert.AssertionError];
    }
    return null;
  });
  await say('cause', () => {
    const e = new Error('outer', { cause: new Error('inner') });
    return [e.cause.message, e.message, Object.keys(e)];
  });
  await say('stack', () => {
    const e = new TypeError('head');
    return [e.stack.split('\n')[0], /at .*asserts\.js:\d+:\d+/.test(e.stack.split('\n')[1])];
  });
  await say('capture', () => {
    const o = { name: 'N', message: 'M' };
    Error.captureStackTrace(o);
    return [o.stack.split('\n')[0], typeof o.stack];
  });
  await say('sites', () => {
    const before = Error.prepareStackTrace;
    Error.prepareStackTrace = (_, s) => s;
    const o = {};
    Error.captureStackTrace(o);
    const [s] = o.stack;
    Error.prepareStackTrace = before;
    return [
      /asserts\.js$/.test(s.getFileName()),
      typeof s.getLineNumber(),
      s.isNative(),
      s.isEval(),
      s.isConstructor(),
      s.getEvalOrigin(),
    ];
  });
  await say('limit', () => typeof Error.stackTraceLimit);
});
