// CommonJS: require, its cache, extensions, JSON, native addons. The host finds files and compiles them, so that the engine's
// stacks name them.

import { call, compile, record, short, sourceOf, utf8 } from '../core/host.js';
import {
  Error,
  Map,
  SyntaxError,
  apply,
  arrays,
  create,
  defineProperty,
  hasOwn,
  keys,
  maps,
  parseJson,
  strings,
} from '../core/primordials.js';
import { badArgument, badValue, coded } from '../core/errors.js';
import * as builtins from './builtins.js';
import { addon, standsInFor } from './native.js';

const SYMBOL = Symbol('require.asked');
let main;
let interopRequire = () => {
  throw coded(Error, 'ERR_REQUIRE_ESM', 'require() of ES Module is not supported');
};
/** The ES module half gives its part: what `require` of an ES module comes to. */
export const setInterop = (callback) => {
  interopRequire = callback;
};

export function Module(id = '', parent) {
  this.id = id;
  this.path = dirname(id);
  this.exports = {};
  defineProperty(this, SYMBOL, { value: true });
  this.filename = null;
  this.loaded = false;
  this.children = [];
  defineProperty(this, 'parent', { value: parent, writable: true, configurable: true, enumerable: false });
  if (parent) arrays.push(parent.children, this);
}
const dirname = (path) => {
  const at = strings.lastIndexOf(path, '/');
  return at <= 0 ? (at === 0 ? '/' : '.') : strings.slice(path, 0, at);
};

Module._cache = create(null);
Module._pathCache = create(null);
Module._extensions = create(null);
Module.globalPaths = [];
Module.Module = Module;
Module.wrapper = ['(function (exports, require, module, __filename, __dirname) { ', '\n});'];
Module.wrap = (script) => Module.wrapper[0] + script + Module.wrapper[1];
Module.isBuiltin = (name) => builtins.has(strings.startsWith(`${name}`, 'node:') ? strings.slice(name, 5) : `${name}`);
Module._nodeModulePaths = (from) => {
  const out = [];
  for (let at = from; ; at = dirname(at)) {
    if (!strings.endsWith(at, '/node_modules')) arrays.push(out, at === '/' ? '/node_modules' : `${at}/node_modules`);
    if (at === '/' || at === '.') return out;
  }
};
Module._resolveLookupPaths = (request, parent) =>
  /^\.{1,2}(\/|$)/.test(request) ? [parent?.path ?? '.'] : Module._nodeModulePaths(parent?.path ?? '/data');
Module._initPaths = () => {};
Module._preloadModules = () => {};
Module._findPath = (request, paths) => {
  for (const path of paths ?? []) {
    try {
      return resolve(`${path}/-`, strings.startsWith(request, '/') ? request : `./${request}`).path;
    } catch {
      /* the next one */
    }
  }
  return false;
};
Module._debug = () => {};
Module.register = () => record({ __proto__: null, kind: 'module-hook', what: 'module.register' });
Module.registerHooks = () => {
  record({ __proto__: null, kind: 'module-hook', what: 'module.registerHooks' });
  return { deregister() {} };
};
Module.runMain = () => {};
Module.findSourceMap = () => undefined;
Module.SourceMap = class SourceMap {};
Module.syncBuiltinESMExports = () => {};
Module.enableCompileCache = () => ({ status: 3 });
Module.flushCompileCache = () => {};
Module.getCompileCacheDir = () => undefined;
Module.findPackageJSON = () => undefined;
Module.stripTypeScriptTypes = (code) => code;
Module.constants = { compileCacheStatus: { FAILED: 0, ENABLED: 1, ALREADY_ENABLED: 2, DISABLED: 3 } };
defineProperty(Module, 'builtinModules', { enumerable: true, configurable: true, get: () => builtins.names() });

function resolve(from, name, asImport = false) {
  try {
    return call('module.resolve', { __proto__: null, from, name, import: asImport });
  } catch (error) {
    if (error.code === 'MODULE_NOT_FOUND') {
      const told = coded(Error, 'MODULE_NOT_FOUND', `Cannot find module '${name}'\nRequire stack:\n- ${from}`);
      defineProperty(told, 'requireStack', { value: [from], writable: true, enumerable: true, configurable: true });
      throw told;
    }
    throw coded(Error, error.code, error.message);
  }
}

Module._resolveFilename = function (request, parent, isMain, options) {
  const name = `${request}`;
  if (strings.startsWith(name, 'node:')) {
    if (!builtins.has(strings.slice(name, 5)))
      throw coded(Error, 'ERR_UNKNOWN_BUILTIN_MODULE', `No such built-in module: ${name}`);
    return name;
  }
  if (builtins.has(name) && !arrays.includes(builtins.PREFIXED, name)) return name;
  if (options?.paths) {
    for (const path of options.paths) {
      try {
        return resolve(`${path}/-`, name).path;
      } catch (error) {
        if (error.code !== 'MODULE_NOT_FOUND') throw error;
      }
    }
    throw coded(Error, 'MODULE_NOT_FOUND', `Cannot find module '${name}'\nRequire stack:\n- ${parent?.filename}`);
  }
  const found = resolve(parent?.filename ?? parent?.id ?? '/data/-', name);
  if (found.format === 'builtin' && !builtins.has(found.path))
    throw coded(Error, 'MODULE_NOT_FOUND', `Cannot find module '${name}'`);
  return found.path;
};

/** Where the pinned packages lie while the image is prepared. In a run they are gone, and nobody sees what was loaded of them. */
export const PINNED = '/packages/node_modules/';
const pinned = new Map();

/** What a pinned package requires: a core module, or a file of a pinned package. */
function loadPinned(request, parent) {
  if (builtins.has(request)) return builtins.get(request);
  const pair = `${parent.path} ${request}`;
  let filename = maps.get(pinned, pair);
  if (filename === undefined) {
    const beside = strings.startsWith(request, '.') ? joined(parent.path, request) : null;
    for (const ending of ['', '.js', '/index.js', '.json'])
      if (beside !== null && maps.has(pinned, beside + ending)) filename = beside + ending;
    filename ??= resolve(parent.filename, request).path;
    maps.set(pinned, pair, filename);
  }
  let module = maps.get(pinned, filename);
  if (module === undefined) {
    module = new Module(filename);
    maps.set(pinned, filename, module);
    module.load(filename);
  }
  return module.exports;
}
function joined(folder, request) {
  const parts = strings.split(folder, '/');
  const more = strings.split(request, '/');
  for (let i = 0; i < more.length; i++) {
    if (more[i] === '..') arrays.pop(parts);
    else if (more[i] !== '.' && more[i] !== '') arrays.push(parts, more[i]);
  }
  return arrays.join(parts, '/');
}

Module._load = function (request, parent, isMain) {
  if (strings.startsWith(parent?.filename ?? '', PINNED)) return loadPinned(request, parent);
  const standIn = standsInFor(request, parent);
  if (standIn !== undefined) return standIn;
  let filename;
  try {
    filename = Module._resolveFilename(request, parent, isMain);
  } catch (error) {
    record({ __proto__: null, kind: 'require', name: short(request, 200), found: false, computed: false });
    throw error;
  }
  const bare = strings.startsWith(filename, 'node:') ? strings.slice(filename, 5) : filename;
  if (!strings.startsWith(bare, '/') && builtins.has(bare)) return builtins.get(bare);
  const cached = Module._cache[filename];
  if (cached !== undefined) {
    if (parent && cached[SYMBOL] && !arrays.includes(parent.children, cached)) arrays.push(parent.children, cached);
    return cached.exports;
  }
  const module = new Module(filename, parent);
  if (isMain) {
    main = module;
    module.id = '.';
  }
  Module._cache[filename] = module;
  let fine = false;
  try {
    module.load(filename);
    fine = true;
  } finally {
    if (!fine) {
      delete Module._cache[filename];
      const at = parent ? arrays.indexOf(parent.children, module) : -1;
      if (at >= 0) arrays.splice(parent.children, at, 1);
    }
  }
  return module.exports;
};

function extensionOf(filename) {
  const name = strings.slice(filename, strings.lastIndexOf(filename, '/') + 1);
  for (let at = strings.indexOf(name, '.', 1); at >= 0; at = strings.indexOf(name, '.', at + 1)) {
    const extension = strings.slice(name, at);
    if (Module._extensions[extension]) return extension;
  }
  return '.js';
}

Module.prototype.load = function (filename) {
  this.filename = filename;
  this.paths = Module._nodeModulePaths(dirname(filename));
  Module._extensions[extensionOf(filename)](this, filename);
  this.loaded = true;
};
Module.prototype.require = function (id) {
  if (typeof id !== 'string') throw badArgument('id', 'of type string', id);
  if (id === '') throw badValue('id', id, 'must be a non-empty string');
  return Module._load(id, this, false);
};
Module.prototype._compile = function (content, filename) {
  call('code.eval', { __proto__: null, how: 'Module._compile' }, utf8(content));
  const wrapper = compile(
    `(function (exports, require, module, __filename, __dirname) {${strings.replace(`${content}`, /^#!/, '//')}\n})`,
    filename,
  );
  return run(this, wrapper, filename);
};

function run(module, wrapper, filename) {
  const directory = dirname(filename);
  return apply(wrapper, module.exports, [module.exports, makeRequire(module), module, filename, directory]);
}

function makeRequire(module) {
  const require = function require(id) {
    return module.require(id);
  };
  const find = function resolve(request, options) {
    if (typeof request !== 'string') throw badArgument('request', 'of type string', request);
    return Module._resolveFilename(request, module, false, options);
  };
  find.paths = (request) => (builtins.has(request) ? null : Module._resolveLookupPaths(request, module));
  require.resolve = find;
  require.main = main;
  require.extensions = Module._extensions;
  require.cache = Module._cache;
  return require;
}

Module.createRequire = (from) => {
  const path =
    typeof from === 'string' && !strings.startsWith(from, 'file:')
      ? from
      : decodeURIComponent(call('url.parse', { __proto__: null, url: `${from?.href ?? from}` }).pathname);
  if (!strings.startsWith(path, '/'))
    throw badValue('filename', from, 'must be a file URL object, file URL string, or absolute path string');
  const module = new Module(path);
  module.filename = path;
  module.paths = Module._nodeModulePaths(dirname(path));
  return makeRequire(module);
};
Module.createRequireFromPath = Module.createRequire;

Module._extensions['.js'] = function (module, filename) {
  const kind = formatOf(filename);
  if (kind === 'module') {
    module.exports = interopRequire(filename);
    return;
  }
  let wrapper;
  try {
    wrapper = call('code.function', { __proto__: null, path: filename });
  } catch (error) {
    // Code that says it is CommonJS but is an ES module runs as one since Node.js 22.
    if (error instanceof SyntaxError && looksLikeModule(filename)) {
      module.exports = interopRequire(filename);
      return;
    }
    throw error;
  }
  run(module, wrapper, filename);
};
Module._extensions['.json'] = function (module, filename) {
  const content = sourceOf(filename);
  try {
    module.exports = parseJson(strings.charCodeAt(content, 0) === 0xfeff ? strings.slice(content, 1) : content);
  } catch (error) {
    error.message = `${filename}: ${error.message}`;
    throw error;
  }
};
Module._extensions['.node'] = function (module, filename) {
  module.exports = addon(filename);
};

const formatOf = (filename) =>
  call('module.resolve', { __proto__: null, from: filename, name: filename, import: false }).format;
const looksLikeModule = (filename) =>
  /^\s*(import\s*[\w{*'"]|export\s+(default|const|let|var|function|class|async|\{|\*))/m.test(sourceOf(filename));

/** Loads a file as if `from` had required it. */
export const load = (request, from = '/data/-') => {
  const parent = new Module(from);
  parent.filename = from;
  return Module._load(request, parent, false);
};
/** Loads a file as the program that was started. */
export const loadMain = (path) => Module._load(path, null, true);
/** Sets the module that `require.main` gives. */
export function pretendMain(path) {
  main = new Module('.');
  main.filename = path;
  main.path = dirname(path);
  main.loaded = true;
  main.paths = Module._nodeModulePaths(main.path);
}
/** Names exported by what `require` of the path gives. */
export function exportNames(value) {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return [];
  const out = [];
  for (const name of keys(value)) if (hasOwn(value, name)) arrays.push(out, name);
  return out;
}
export default Module;
