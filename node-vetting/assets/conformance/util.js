// The module `util`.
'use strict';
const util = require('util');
module.exports = require('./harness')(async (say) => {
  const cyclic = { a: 1 };
  cyclic.self = cyclic;
  class Point {
    constructor() {
      this.x = 1;
    }
    get y() {
      return 2;
    }
  }
  const values = {
    undefined,
    null: null,
    text: 'it\'s "x"\n',
    number: -0,
    big: 5n,
    symbol: Symbol('s'),
    list: [1, , 3],
    nested: { a: { b: { c: { d: 1 } } } },
    map: new Map([['a', { b: 1 }]]),
    set: new Set([1, 'x']),
    date: new Date(0),
    regexp: /a+/gi,
    call: function named() {},
    arrow: () => {},
    klass: Point,
    child: class B extends Point {},
    point: new Point(),
    bare: Object.create(null),
    cyclic,
    typed: new Uint8Array([1, 2]),
    buffer: new ArrayBuffer(2),
    boxed: new Number(3),
    boxedText: new String('ab'),
    getter: {
      get a() {
        return 1;
      },
      set b(v) {},
    },
    symbolKey: { [Symbol('k')]: 1 },
    quoted: { 'a-b': 1, 2: 3 },
    long: Array.from({ length: 120 }, (_, i) => i),
    words: ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta', 'eta', 'theta'],
    async: async () => {},
    generator: function* g() {},
    weak: new WeakMap(),
    args: (function () {
      return arguments;
    })(1, 2),
  };
  for (const [name, value] of Object.entries(values)) await say(`inspect ${name}`, () => util.inspect(value));
  await say('depth', () => [
    util.inspect(values.nested, { depth: 0 }),
    util.inspect(values.nested, { depth: null }),
    util.inspect(values.nested, false, 1),
  ]);
  await say('compact', () => util.inspect({ a: { b: { c: 1 } }, d: [1, 2] }, { compact: false }));
  await say('wide', () => util.inspect({ alpha: 'a'.repeat(40), beta: 'b'.repeat(40), gamma: [1, 2, 3] }));
  await say('sorted', () => util.inspect({ b: 1, a: 2 }, { sorted: true }));
  await say('custom', () =>
    util.inspect({ [util.inspect.custom]: (depth, options) => `<${depth} ${typeof options.stylize}>` }),
  );
  await say('error', () => util.inspect(Object.assign(new RangeError('bad'), { code: 'X' })).split('\n')[0]);
  for (const args of [
    ['%s %d %i %f %j %o %O %%', 'a', 4.5, '7x', '1.5', { a: 1 }, [1], { b: 2 }],
    ['%s', Symbol('x')],
    ['%d', 'x'],
    ['a', 'b', { c: 1 }],
    [1, '2'],
    ['%s', null, undefined],
    ['%c styled', 'css'],
    ['100%'],
    [
      '%s',
      {
        toString() {
          return 'own';
        },
      },
    ],
    ['%s', [1, [2, [3]]]],
    ['%s', -0],
    ['%x', 1],
  ])
    await say(`format ${String(args[0])}`, () => util.format(...args));
  await say('promisify', async () => [
    await util.promisify((a, done) => done(null, a + 1))(1),
    await util.promisify(setTimeout)(1, 'v'),
  ]);
  await say('promisify rejects', () => util.promisify((done) => done(new Error('no')))());
  await say('promisify type', () => util.promisify(5));
  await say(
    'callbackify',
    () => new Promise((resolve) => util.callbackify(async (a) => a * 2)(4, (error, value) => resolve([error, value]))),
  );
  await say('deep equal', () => [
    util.isDeepStrictEqual({ a: [1, new Map([[1, { x: 1 }]])] }, { a: [1, new Map([[1, { x: 1 }]])] }),
    util.isDeepStrictEqual([1], ['1']),
    util.isDeepStrictEqual(NaN, NaN),
    util.isDeepStrictEqual(new Set([{ a: 1 }]), new Set([{ a: 1 }])),
    util.isDeepStrictEqual(0, -0),
  ]);
  await say('types', () =>
    Object.entries(values).map(([name, v]) =>
      [
        name,
        ...[
          'isDate',
          'isRegExp',
          'isMap',
          'isSet',
          'isPromise',
          'isAsyncFunction',
          'isGeneratorFunction',
          'isTypedArray',
          'isUint8Array',
          'isArrayBuffer',
          'isBoxedPrimitive',
          'isNativeError',
          'isArgumentsObject',
          'isWeakMap',
        ].filter((test) => util.types[test](v)),
      ].join(' '),
    ),
  );
  await say('inherits', () => {
    function A() {}
    function B() {}
    util.inherits(A, B);
    return [A.super_ === B, new A() instanceof B];
  });
  await say('deprecate', () => util.deprecate((a) => a + 1, 'old', 'DEP')(1));
  await say('strip', () => util.stripVTControlCharacters('\u001b[31mred\u001b[0m'));
  await say('parse', () => {
    const { values: v, positionals } = util.parseArgs({
      args: ['-v', '--name=x', 'p', '--n', '3'],
      options: { verbose: { type: 'boolean', short: 'v' }, name: { type: 'string' }, n: { type: 'string' } },
      allowPositionals: true,
    });
    return [{ ...v }, positionals];
  });
  await say('style', () => util.styleText('red', 'x'));
  await say('debuglog', () => typeof util.debuglog('x').enabled);
});
