// Core modules of which programs need little: perf_hooks, readline, tty, v8, inspector, repl, constants, module and others.

import { offer } from '../loader/builtins.js';
import { Module } from '../loader/commonjs.js';
import { record, unsupported } from '../core/host.js';
import { time } from '../core/loop.js';
import { globals, tag } from '../core/define.js';
import { coded } from '../core/errors.js';
import { EventEmitter } from './events.js';
import { Readable, Writable, Duplex } from './stream.js';
import { print, process } from './process.js';
import fs from './fs.js';
import os from './os.js';
import crypto from './crypto.js';
import zlib from './zlib.js';

class PerformanceEntry { constructor(name, entryType, startTime, duration) { Object.assign(this, { name, entryType, startTime, duration, detail: null }); } toJSON() { return { ...this }; } }
class PerformanceObserver { observe() {} disconnect() {} takeRecords() { return []; } static supportedEntryTypes = ['function', 'gc', 'http', 'mark', 'measure']; }
const marks = new Map();
class Performance {
  now() { return time() + 231.25; }
  get timeOrigin() { return Date.now() - time() - 231.25; }
  mark(name) { const entry = new PerformanceEntry(name, 'mark', this.now(), 0); marks.set(name, entry); return entry; }
  measure(name, from, to) { const start = marks.get(from)?.startTime ?? 0; return new PerformanceEntry(name, 'measure', start, (marks.get(to)?.startTime ?? this.now()) - start); }
  clearMarks(name) { if (name === undefined) marks.clear(); else marks.delete(name); }
  clearMeasures() {}
  clearResourceTimings() {}
  getEntries() { return [...marks.values()]; }
  getEntriesByName(name) { return [...marks.values()].filter((entry) => entry.name === name); }
  getEntriesByType(type) { return type === 'mark' ? [...marks.values()] : []; }
  eventLoopUtilization() { return { idle: 0, active: 0, utilization: 0 }; }
  timerify(callback) { return callback; }
  markResourceTiming() {}
  setResourceTimingBufferSize() {}
  toJSON() { return { timeOrigin: this.timeOrigin }; }
  get nodeTiming() { return { name: 'node', entryType: 'node', startTime: 0, duration: this.now(), nodeStart: 1, v8Start: 2, environment: 9, bootstrapComplete: 25, loopStart: 40, loopExit: -1, idleTime: 0 }; }
}
const performance = new Performance();
const histogram = () => ({ min: 0, max: 0, mean: 0, stddev: 0, count: 0, exceeds: 0, percentiles: new Map(), enable: () => true, disable: () => true, reset() {}, percentile: () => 0, record() {}, recordDelta() {} });
offer('perf_hooks', { performance, Performance, PerformanceEntry, PerformanceObserver, PerformanceMark: PerformanceEntry, PerformanceMeasure: PerformanceEntry, PerformanceNodeTiming: PerformanceEntry, PerformanceObserverEntryList: class {}, PerformanceResourceTiming: PerformanceEntry, monitorEventLoopDelay: histogram, createHistogram: histogram, eventLoopUtilization: () => performance.eventLoopUtilization(), timerify: (f) => f, constants: { NODE_PERFORMANCE_GC_MAJOR: 4, NODE_PERFORMANCE_GC_MINOR: 1 } });
globals({ performance, PerformanceEntry, PerformanceObserver, Performance: tag(Performance) });

/** Standard streams: what is printed is counted by the host. */
class Output extends Writable {
  constructor(name, fd) { super({ decodeStrings: false }); Object.assign(this, { fd, isTTY: undefined, _type: 'pipe', _isStdio: true, _name: name }); }
  _write(chunk, encoding, done) { print(this._name, typeof chunk === 'string' ? chunk : chunk.toString()); done(); }
  _destroy(error, done) { done(error); }
  getColorDepth() { return 1; }
  hasColors() { return false; }
}
class Input extends Readable { constructor() { super({ read() {} }); Object.assign(this, { fd: 0, isTTY: undefined }); } setRawMode() { return this; } ref() { return this; } unref() { return this; } }
for (const [name, make] of Object.entries({ stdout: () => new Output('stdout', 1), stderr: () => new Output('stderr', 2), stdin: () => new Input() })) {
  const value = make();
  Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => value });
}
class TTYReadStream extends Duplex {}
class TTYWriteStream extends Output { constructor(fd) { super(fd === 2 ? 'stderr' : 'stdout', fd); this.isTTY = true; this.columns = 80; this.rows = 24; } clearLine() { return true; } cursorTo() { return true; } moveCursor() { return true; } getWindowSize() { return [80, 24]; } }
offer('tty', { isatty: () => false, ReadStream: TTYReadStream, WriteStream: TTYWriteStream });

class Interface extends EventEmitter {
  #lines = [];
  #waiting = [];
  constructor(input, output) {
    super();
    const options = input?.input ? input : { input, output };
    Object.assign(this, { input: options.input, output: options.output, terminal: false, line: '', closed: false, history: [] });
    let rest = '';
    this.input?.on?.('data', (chunk) => { const parts = (rest + chunk).split(/\r\n|\n|\r/); rest = parts.pop(); parts.forEach((line) => this.#give(line)); });
    this.input?.on?.('end', () => { if (rest) this.#give(rest); this.close(); });
  }
  #give(line) { this.emit('line', line); const want = this.#waiting.shift(); if (want) want({ value: line, done: false }); else this.#lines.push(line); }
  close() { if (this.closed) return; this.closed = true; this.emit('close'); for (const want of this.#waiting.splice(0)) want({ value: undefined, done: true }); }
  question(query, options, callback) { const done = typeof options === 'function' ? options : callback; if (done) this.once('line', done); else return new Promise((resolve) => this.once('line', resolve)); return undefined; }
  prompt() {}
  setPrompt() {}
  getPrompt() { return '> '; }
  pause() { this.input?.pause?.(); return this; }
  resume() { this.input?.resume?.(); return this; }
  write() {}
  getCursorPos() { return { rows: 0, cols: 0 }; }
  [Symbol.asyncIterator]() { this.#lines.length = 0; return { next: () => (this.#lines.length ? Promise.resolve({ value: this.#lines.shift(), done: false }) : this.closed ? Promise.resolve({ value: undefined, done: true }) : new Promise((resolve) => this.#waiting.push(resolve))), return: () => Promise.resolve({ value: undefined, done: true }), [Symbol.asyncIterator]() { return this; } }; }
}
const yes = () => true;
const readline = { Interface, createInterface: (input, output) => new Interface(input, output), clearLine: yes, clearScreenDown: yes, cursorTo: yes, moveCursor: yes, emitKeypressEvents() {} };
offer('readline/promises', { ...readline, Readline: class Readline {} });
offer('readline', { ...readline, promises: { ...readline } });

offer('v8', {
  serialize: (value) => globalThis.Buffer.from(JSON.stringify(value) ?? 'null'), deserialize: (data) => JSON.parse(globalThis.Buffer.from(data).toString()), setFlagsFromString() {}, cachedDataVersionTag: () => 1_165_837_636, takeCoverage() {}, stopCoverage() {}, setHeapSnapshotNearHeapLimit() {}, writeHeapSnapshot: () => { unsupported('v8.writeHeapSnapshot'); return ''; }, getHeapSnapshot: () => new Readable({ read() { this.push(null); } }),
  getHeapStatistics: () => ({ total_heap_size: 52_428_800, total_heap_size_executable: 524_288, total_physical_size: 52_000_000, total_available_size: 4_300_000_000, used_heap_size: 41_943_040, heap_size_limit: 4_345_298_944, malloced_memory: 262_320, peak_malloced_memory: 1_000_000, does_zap_garbage: 0, number_of_native_contexts: 1, number_of_detached_contexts: 0, total_global_handles_size: 8192, used_global_handles_size: 2112, external_memory: 2_300_000 }),
  getHeapSpaceStatistics: () => [], getHeapCodeStatistics: () => ({}), Serializer: class Serializer {}, Deserializer: class Deserializer {}, promiseHooks: {}, startupSnapshot: { isBuildingSnapshot: () => false, addSerializeCallback() {}, addDeserializeCallback() {}, setDeserializeMainFunction() {} }, GCProfiler: class GCProfiler { start() {} stop() {} }, isStringOneByteRepresentation: (s) => /^[\x00-\xff]*$/.test(s),
});
class Session extends EventEmitter {
  connect() { record({ __proto__: null, kind: 'probing', what: 'inspector.Session' }); }
  connectToMainThread() {}
  disconnect() {}
  post(method, params, callback) { record({ __proto__: null, kind: 'probing', what: `inspector ${method}`.slice(0, 100) }); const done = typeof params === 'function' ? params : callback; if (done) process.nextTick(() => done(coded(Error, 'ERR_INSPECTOR_NOT_AVAILABLE', 'Inspector is not available'))); }
}
const inspector = { Session, open: () => record({ __proto__: null, kind: 'probing', what: 'inspector.open' }), close() {}, url: () => { record({ __proto__: null, kind: 'probing', what: 'inspector.url' }); return undefined; }, waitForDebugger() {}, console: globalThis.console, Network: {} };
offer('inspector', inspector);
offer('inspector/promises', inspector);
offer('repl', { start: () => new EventEmitter(), REPLServer: class REPLServer extends EventEmitter {}, Recoverable: class Recoverable extends SyntaxError {}, builtinModules: [], REPL_MODE_SLOPPY: Symbol('repl-sloppy'), REPL_MODE_STRICT: Symbol('repl-strict') });
offer('trace_events', { createTracing: () => ({ enable() {}, disable() {}, enabled: false, categories: '' }), getEnabledCategories: () => undefined });
offer('wasi', { WASI: class WASI { constructor() { unsupported('wasi.WASI'); this.wasiImport = {}; } start() { return 0; } initialize() {} getImportObject() { return {}; } } });
offer('constants', { ...os.constants.errno, ...os.constants.signals, ...os.constants.priority, ...os.constants.dlopen, ...fs.constants, ...crypto.constants });
offer('console', globalThis.console);
offer('module', Module);
const pretend = Object.assign(() => {}, { describe() {}, it() {}, before() {}, after() {}, beforeEach() {}, afterEach() {}, run() {}, mock: {} });
offer('test', Object.assign(pretend, { test: pretend }));
offer('sea', { isSea: () => false, getAsset() { throw coded(Error, 'ERR_NOT_IN_SINGLE_EXECUTABLE_APPLICATION', 'Operation cannot be invoked when not in a single-executable application'); }, getRawAsset() {}, getAssetAsBlob() {} });
void zlib;

class Navigator { get hardwareConcurrency() { return 4; } get language() { return 'en-US'; } get languages() { return ['en-US']; } get platform() { return 'linux'; } get userAgent() { return `Node.js/${process.version.slice(1).split('.')[0]}`; } }
globals({ navigator: new Navigator(), Navigator: tag(Navigator) });
