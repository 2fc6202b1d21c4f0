// How modules are found and loaded. The files lie in `modules/`.
'use strict';
const path = require('path');
const Module = require('module');
module.exports = require('./harness')(async (say) => {
  await say('cycle', () => require('./modules/cycle-a'));
  await say('json', () => require('./modules/data.json'));
  await say('folder', () => require('./modules/folder'));
  await say('cache', () => {
    const a = require('./modules/state');
    a.n = 5;
    return [
      require('./modules/state').n,
      delete require.cache[require.resolve('./modules/state')],
      require('./modules/state').n,
    ];
  });
  await say('missing', () => require('./modules/none'));
  await say('missing package', () => require('no-such-package-here'));
  await say('missing builtin', () => require('node:none'));
  await say('builtin modules', () => [
    process.getBuiltinModule('fs') === require('fs'),
    process.getBuiltinModule('node:child_process').exec === require('child_process').exec,
    typeof process.getBuiltinModule('none'),
    typeof process.getBuiltinModule('sea'),
  ]);
  await say('builtin of no name', () => process.getBuiltinModule(5));
  await say('empty', () => require(''));
  await say('type', () => require(5));
  await say('broken json', () => {
    try {
      require('./modules/broken.json');
    } catch (e) {
      return [e.name, e.message.includes('broken.json')];
    }
    return null;
  });
  await say('throws', () => require('./modules/throws'));
  await say('throws again', () => require('./modules/throws'));
  await say('this', () => require('./modules/this'));
  await say('resolve', () => [
    path.basename(require.resolve('./modules/folder')),
    require.resolve('fs'),
    require.resolve('node:fs'),
  ]);
  await say('builtin', () => [
    Module.isBuiltin('fs'),
    Module.isBuiltin('nope'),
    Module.builtinModules.includes('http'),
    require('node:fs') === require('fs'),
  ]);
  await say('createRequire', () => Module.createRequire(path.join(__dirname, 'modules', 'x.js'))('./data.json'));
  await say('compile', () => {
    const m = new Module('/virtual.js');
    m._compile('module.exports = { f: __filename, t: typeof require }', '/virtual.js');
    return m.exports;
  });
  await say('extension', () => {
    require.extensions['.say'] = (m, f) => {
      m.exports = path.basename(f);
    };
    const out = require('./modules/word.say');
    delete require.extensions['.say'];
    return out;
  });
  await say('import cjs', async () => {
    const m = await import('./modules/exports.js');
    return [
      Object.keys(m)
        .filter((k) => k !== 'module.exports')
        .sort(),
      m.default,
      m.a,
    ];
  });
  await say('import json cycle', async () => (await import('./modules/esm.mjs')).default);
  await say('import names', async () => {
    const m = await import('./modules/esm.mjs');
    return [Object.keys(m).sort(), m.live, m.bump(), m.live, m.sep, m.joined];
  });
  await say('import meta', async () => {
    const { meta } = await import('./modules/esm.mjs');
    return [meta.startsWith('file:///'), meta.endsWith('/modules/esm.mjs')];
  });
  await say('import missing', async () => {
    try {
      await import('./modules/none.mjs');
    } catch (e) {
      return e instanceof Error;
    }
    return null;
  });
  await say('import builtin', async () => {
    const m = await import('node:path');
    return [m.default === path, m.join('a', 'b')];
  });
  await say('strict', () => require('./modules/sloppy'));
  await say('globals', () => [
    typeof __filename,
    typeof exports,
    typeof module,
    require.main !== module,
    module.children.length > 0,
    module.loaded,
  ]);
  await say('eval', () => {
    const local = 3;
    return eval('local + 1');
  });
  await say('Function', () => [
    new Function('a', 'b', 'return a + b')(1, 2),
    Function('return typeof module')(),
    (() => {}).constructor('return 5')(),
  ]);
  await say('indirect eval', () => (0, eval)('typeof local'));
  await say('vm', () => {
    const vm = require('vm');
    const box = vm.createContext({ x: 2, out: null });
    return [
      vm.runInContext('out = x * 3; x + 1', box),
      box.out,
      vm.runInNewContext('typeof process + typeof Array'),
      new vm.Script('1 + 1').runInThisContext(),
      vm.isContext(box),
    ];
  });
  await say('vm error', () => require('vm').runInNewContext('missing'));
});
