// Core modules of which programs need little: v8, inspector, repl, constants, module and others.

import { offer } from '../loader/builtins.js';
import { Module } from '../loader/commonjs.js';
import { record, unsupported } from '../core/host.js';
import { globals, tag } from '../core/define.js';
import { coded } from '../core/errors.js';
import { EventEmitter } from './events.js';
import { Readable } from './stream.js';
import { process } from './process.js';
import fs from './fs.js';
import os from './os.js';
import crypto from './crypto.js';

offer('v8', {
  serialize: (value) => globalThis.Buffer.from(JSON.stringify(value) ?? 'null'),
  deserialize: (data) => JSON.parse(globalThis.Buffer.from(data).toString()),
  setFlagsFromString() {},
  cachedDataVersionTag: () => 1_165_837_636,
  takeCoverage() {},
  stopCoverage() {},
  setHeapSnapshotNearHeapLimit() {},
  writeHeapSnapshot: () => {
    unsupported('v8.writeHeapSnapshot');
    return '';
  },
  getHeapSnapshot: () =>
    new Readable({
      read() {
        this.push(null);
      },
    }),
  getHeapStatistics: () => ({
    total_heap_size: 52_428_800,
    total_heap_size_executable: 524_288,
    total_physical_size: 52_000_000,
    total_available_size: 4_300_000_000,
    used_heap_size: 41_943_040,
    heap_size_limit: 4_345_298_944,
    malloced_memory: 262_320,
    peak_malloced_memory: 1_000_000,
    does_zap_garbage: 0,
    number_of_native_contexts: 1,
    number_of_detached_contexts: 0,
    total_global_handles_size: 8192,
    used_global_handles_size: 2112,
    external_memory: 2_300_000,
  }),
  getHeapSpaceStatistics: () => [],
  getHeapCodeStatistics: () => ({}),
  Serializer: class Serializer {},
  Deserializer: class Deserializer {},
  promiseHooks: {},
  startupSnapshot: {
    isBuildingSnapshot: () => false,
    addSerializeCallback() {},
    addDeserializeCallback() {},
    setDeserializeMainFunction() {},
  },
  GCProfiler: class GCProfiler {
    start() {}
    stop() {}
  },
  isStringOneByteRepresentation: (s) => /^[\x00-\xff]*$/.test(s),
});
class Session extends EventEmitter {
  connect() {
    record({ __proto__: null, kind: 'probing', what: 'inspector.Session' });
  }
  connectToMainThread() {}
  disconnect() {}
  post(method, params, callback) {
    record({ __proto__: null, kind: 'probing', what: `inspector ${method}`.slice(0, 100) });
    const done = typeof params === 'function' ? params : callback;
    if (done) process.nextTick(() => done(coded(Error, 'ERR_INSPECTOR_NOT_AVAILABLE', 'Inspector is not available')));
  }
}
const inspector = {
  Session,
  open: () => record({ __proto__: null, kind: 'probing', what: 'inspector.open' }),
  close() {},
  url: () => {
    record({ __proto__: null, kind: 'probing', what: 'inspector.url' });
    return undefined;
  },
  waitForDebugger() {},
  console: globalThis.console,
  Network: {},
};
offer('inspector', inspector);
offer('inspector/promises', inspector);
offer('repl', {
  start: () => new EventEmitter(),
  REPLServer: class REPLServer extends EventEmitter {},
  Recoverable: class Recoverable extends SyntaxError {},
  builtinModules: [],
  REPL_MODE_SLOPPY: Symbol('repl-sloppy'),
  REPL_MODE_STRICT: Symbol('repl-strict'),
});
offer('trace_events', {
  createTracing: () => ({ enable() {}, disable() {}, enabled: false, categories: '' }),
  getEnabledCategories: () => undefined,
});
offer('wasi', {
  WASI: class WASI {
    constructor() {
      unsupported('wasi.WASI');
      this.wasiImport = {};
    }
    start() {
      return 0;
    }
    initialize() {}
    getImportObject() {
      return {};
    }
  },
});
offer('constants', {
  ...os.constants.errno,
  ...os.constants.signals,
  ...os.constants.priority,
  ...os.constants.dlopen,
  ...fs.constants,
  ...crypto.constants,
});
offer('console', globalThis.console);
offer('module', Module);
const pretend = Object.assign(() => {}, {
  describe() {},
  it() {},
  before() {},
  after() {},
  beforeEach() {},
  afterEach() {},
  run() {},
  mock: {},
});
offer('test', Object.assign(pretend, { test: pretend }));
offer('sea', {
  isSea: () => false,
  getAsset() {
    throw coded(
      Error,
      'ERR_NOT_IN_SINGLE_EXECUTABLE_APPLICATION',
      'Operation cannot be invoked when not in a single-executable application',
    );
  },
  getRawAsset() {},
  getAssetAsBlob() {},
});

class Navigator {
  get hardwareConcurrency() {
    return 4;
  }
  get language() {
    return 'en-US';
  }
  get languages() {
    return ['en-US'];
  }
  get platform() {
    return 'linux';
  }
  get userAgent() {
    return `Node.js/${process.version.slice(1).split('.')[0]}`;
  }
}
globals({ navigator: new Navigator(), Navigator: tag(Navigator) });
