// WebAssembly cannot run inside the engine: the module is told to the host, which judges its imports and exports, and an
// instance answers nothing. Atomics, which the engine lacks, work on plain memory: there is one thread.

import { globals } from '../core/define.js';
import { call, asBytes } from '../core/host.js';

class CompileError extends Error {}
class LinkError extends Error {}
class RuntimeError extends Error {}
for (const Class of [CompileError, LinkError, RuntimeError])
  Object.defineProperty(Class.prototype, 'name', { value: Class.name, writable: true, configurable: true });

class Module {
  constructor(data, how = 'Module') {
    call('wasm', { __proto__: null, how }, asBytes(data));
  }
  static exports() {
    return [];
  }
  static imports() {
    return [];
  }
  static customSections() {
    return [];
  }
}
class Memory {
  constructor({ initial = 1 } = {}) {
    this.buffer = new ArrayBuffer(Math.min(initial, 256) * 65536);
  }
  grow(pages) {
    const old = this.buffer.byteLength / 65536;
    this.buffer = this.buffer.transfer(Math.min(this.buffer.byteLength + pages * 65536, 1 << 26));
    return old;
  }
}
class Table {
  constructor({ initial = 0 } = {}) {
    this.length = initial;
  }
  get() {
    return null;
  }
  set() {}
  grow() {
    return this.length;
  }
}
class Global {
  constructor(_, value = 0) {
    this.value = value;
  }
  valueOf() {
    return this.value;
  }
}

const absent = () => {
  throw new RuntimeError('unreachable');
};
const answer = () =>
  new Proxy(
    { memory: new Memory() },
    {
      get: (target, name) =>
        name === 'then' || typeof name === 'symbol'
          ? undefined
          : (target[name] ??
            (target[name] =
              name === '__wbindgen_start' || name === '_initialize' || name === '_start' ? () => {} : absent)),
    },
  );
class Instance {
  constructor(module) {
    void module;
    this.exports = answer();
  }
}

const settle = (make) => new Promise((resolve) => resolve(make()));
const WebAssembly = {
  Module,
  Instance,
  Memory,
  Table,
  Global,
  CompileError,
  LinkError,
  RuntimeError,
  Tag: class Tag {},
  Exception: class Exception {},
  validate: (data) => {
    const b = asBytes(data);
    return b.length > 7 && b[0] === 0 && b[1] === 0x61 && b[2] === 0x73 && b[3] === 0x6d;
  },
  compile: (data) => settle(() => new Module(data, 'compile')),
  instantiate: (data) =>
    settle(() =>
      data instanceof Module
        ? new Instance(data)
        : ((module) => ({ module, instance: new Instance(module) }))(new Module(data, 'instantiate')),
    ),
  compileStreaming: async (source) => new Module(await (await source).arrayBuffer(), 'compileStreaming'),
  instantiateStreaming: async (source) => {
    const module = new Module(await (await source).arrayBuffer(), 'instantiateStreaming');
    return { module, instance: new Instance(module) };
  },
};
Object.defineProperty(WebAssembly, Symbol.toStringTag, { value: 'WebAssembly', configurable: true });

const change = (next) => (array, at, value) => {
  const old = array[at];
  array[at] = next(old, value);
  return old;
};
const Atomics = {
  add: change((a, b) => a + b),
  sub: change((a, b) => a - b),
  and: change((a, b) => a & b),
  or: change((a, b) => a | b),
  xor: change((a, b) => a ^ b),
  exchange: change((_, b) => b),
  load: (array, at) => array[at],
  store: (array, at, value) => (array[at] = value),
  compareExchange: (array, at, expected, value) => {
    const old = array[at];
    if (old === expected) array[at] = value;
    return old;
  },
  isLockFree: (size) => [1, 2, 4, 8].includes(size),
  wait: (array, at, value, timeout = 0) => {
    if (array[at] !== value) return 'not-equal';
    if (timeout > 0) call('clock.advance', { __proto__: null, ms: Math.min(timeout, 86_400_000) });
    return 'timed-out';
  },
  notify: () => 0,
  waitAsync: () => ({ async: false, value: 'timed-out' }),
  pause: () => {},
};
Object.defineProperty(Atomics, Symbol.toStringTag, { value: 'Atomics', configurable: true });
globals({ WebAssembly, Atomics });
