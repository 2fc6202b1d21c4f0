// The global `process`. The environment, the arguments and the identity are the host's; every look at them is told to it.

import { EventEmitter } from './events.js';
import { call, record, short, utf8 } from '../core/host.js';
import { tick, time, setUncaught, uncaught, guarded } from '../core/loop.js';
import { badArgument, coded, systemError } from '../core/errors.js';
import { defineProperty, global, strings, getOwnPropertyDescriptor } from '../core/primordials.js';
import { tag } from '../core/define.js';
import * as builtins from '../loader/builtins.js';

class process_ extends EventEmitter {}
defineProperty(process_, 'name', { value: 'process' });
tag(process_, 'process');
export const process = new process_();
let info = null;
let umask = 0o22;
let cwd = null;
let title = 'node-red';
const facts = () => (info ??= call('proc.info'));
/** Forgets what was learnt while the image was prepared: the next run has another machine. */
export function forget() {
  info = null;
  cwd = null;
}

/** The environment: keys that are asked for are told, whether set or not. */
const env = new Proxy(
  {},
  {
    get(_, key) {
      if (typeof key !== 'string') return undefined;
      if (
        key === 'toString' ||
        key === 'constructor' ||
        key === 'hasOwnProperty' ||
        key === 'valueOf' ||
        key === 'toJSON' ||
        key === '__proto__' ||
        key === 'propertyIsEnumerable' ||
        key === 'isPrototypeOf'
      )
        return Object.prototype[key];
      return call('env.get', { __proto__: null, key }) ?? undefined;
    },
    set(_, key, value) {
      call('env.set', { __proto__: null, key: `${key}`, value: `${value}` });
      return true;
    },
    has: (_, key) => typeof key === 'string' && call('env.get', { __proto__: null, key }) !== null,
    deleteProperty(_, key) {
      if (typeof key === 'string') call('env.delete', { __proto__: null, key });
      return true;
    },
    ownKeys: () => call('env.keys'),
    getOwnPropertyDescriptor(_, key) {
      if (typeof key !== 'string') return undefined;
      const value = call('env.get', { __proto__: null, key });
      return value === null || value === undefined
        ? undefined
        : { value, writable: true, enumerable: true, configurable: true };
    },
    defineProperty(_, key, descriptor) {
      if ('value' in descriptor) call('env.set', { __proto__: null, key: `${key}`, value: `${descriptor.value}` });
      return true;
    },
  },
);

function exit(code) {
  const number = Number(code ?? process.exitCode ?? 0) | 0;
  process._exiting = true;
  guarded(() => process.emit('exit', number), undefined, []);
  call('proc.exit', { __proto__: null, code: number });
  throw new Exit(number);
}
/** Unwinds foreign code after `process.exit`, as if it had never returned. */
export class Exit extends Error {
  constructor(code) {
    super(`process.exit(${code})`);
    this.exitCode = code;
  }
}

function hrtime(previous) {
  const now = time() + 43_200_000.125;
  const out = [Math.floor(now / 1000), Math.floor((now % 1000) * 1e6)];
  if (previous === undefined) return out;
  let [seconds, nanos] = [out[0] - previous[0], out[1] - previous[1]];
  if (nanos < 0) {
    seconds--;
    nanos += 1e9;
  }
  return [seconds, nanos];
}
hrtime.bigint = () => {
  const [seconds, nanos] = hrtime();
  return BigInt(seconds) * 1_000_000_000n + BigInt(nanos);
};

function memoryUsage() {
  return { rss: 98_304_000, heapTotal: 52_428_800, heapUsed: 41_943_040, external: 3_145_728, arrayBuffers: 262_144 };
}
memoryUsage.rss = () => 98_304_000;

function emitWarning(warning, type, code) {
  const options = typeof type === 'object' && type !== null ? type : { type, code };
  let given = warning;
  if (!(given instanceof Error)) {
    given = new Error(`${warning}`);
    given.name = options.type || 'Warning';
    if (options.code) given.code = options.code;
  }
  if (given.name === 'DeprecationWarning' && process.noDeprecation) return;
  tick(() => process.emit('warning', given), []);
}

const setters = {};
for (const name of ['setuid', 'setgid', 'seteuid', 'setegid', 'setgroups', 'initgroups']) {
  setters[name] = () => {
    call('proc.setuid', { __proto__: null, what: name });
    throw systemError('EPERM', name);
  };
}

const members = {
  env,
  exit,
  hrtime,
  memoryUsage,
  emitWarning,
  ...setters,
  reallyExit: exit,
  nextTick(callback, ...args) {
    if (typeof callback !== 'function') throw badArgument('callback', 'of type function', callback);
    tick(callback, args);
  },
  abort() {
    call('proc.exit', { __proto__: null, code: 134 });
    throw new Exit(134);
  },
  kill(pid, signal = 'SIGTERM') {
    if (typeof pid !== 'number' && typeof pid !== 'string') throw badArgument('pid', 'of type number', pid);
    call('proc.kill', { __proto__: null, pid: +pid, signal: `${signal}` });
    if (+pid === process.pid && process.listenerCount(signal) > 0) tick(() => process.emit(signal, signal), []);
    return true;
  },
  cwd: () => cwd ?? facts().cwd,
  chdir(path) {
    cwd = strings.startsWith(path, '/') ? path : `${process.cwd()}/${path}`;
  },
  umask(mask) {
    const old = umask;
    if (mask !== undefined) umask = typeof mask === 'string' ? parseInt(mask, 8) : mask;
    return old;
  },
  uptime: () => time() / 1000 + 3.21,
  cpuUsage: () => ({ user: 1_214_000 + time() * 10, system: 181_000 + time() * 2 }),
  resourceUsage: () => ({
    userCPUTime: 1_214_000,
    systemCPUTime: 181_000,
    maxRSS: 98_304,
    sharedMemorySize: 0,
    unsharedDataSize: 0,
    unsharedStackSize: 0,
    minorPageFault: 8000,
    majorPageFault: 12,
    swappedOut: 0,
    fsRead: 0,
    fsWrite: 0,
    ipcSent: 0,
    ipcReceived: 0,
    signalsCount: 0,
    voluntaryContextSwitches: 400,
    involuntaryContextSwitches: 40,
  }),
  constrainedMemory: () => 0,
  availableMemory: () => 4_012_539_904,
  getuid: () => facts().uid,
  geteuid: () => facts().uid,
  getgid: () => facts().gid,
  getegid: () => facts().gid,
  getgroups: () => [facts().gid],
  getActiveResourcesInfo: () => [],
  _getActiveHandles: () => [],
  _getActiveRequests: () => [],
  hasUncaughtExceptionCaptureCallback: () => false,
  setUncaughtExceptionCaptureCallback() {},
  setSourceMapsEnabled() {},
  loadEnvFile() {},
  getBuiltinModule(id) {
    if (typeof id !== 'string') throw badArgument('id', 'of type string', id);
    const bare = strings.startsWith(id, 'node:') ? strings.slice(id, 5) : id;
    const known = builtins.has(bare) && (bare !== id || !builtins.PREFIXED.includes(bare));
    record({ __proto__: null, kind: 'require', name: short(id, 200), found: known, computed: false });
    return known ? builtins.get(bare) : undefined;
  },
  binding(name) {
    record({ __proto__: null, kind: 'probing', what: `process.binding(${short(name, 60)})` });
    if (name === 'natives') return {};
    throw coded(Error, 'ERR_INVALID_MODULE', `No such module: ${name}`);
  },
  _linkedBinding(name) {
    return members.binding(name);
  },
  dlopen(module, path) {
    call('native', { __proto__: null, path: `${path}` });
  },
  allowedNodeEnvironmentFlags: new Set(),
  argv0: 'node',
  execArgv: [],
  exitCode: undefined,
  debugPort: 9229,
  noDeprecation: false,
  _exiting: false,
  moduleLoadList: [],
  config: {
    target_defaults: { cflags: [], default_configuration: 'Release', defines: [], include_dirs: [], libraries: [] },
    variables: { host_arch: 'x64', napi_build_version: '10', node_shared: false, v8_enable_i18n_support: 1 },
  },
  features: {
    inspector: true,
    debug: false,
    uv: true,
    ipv6: true,
    tls_alpn: true,
    tls_sni: true,
    tls_ocsp: true,
    tls: true,
    cached_builtins: true,
    require_module: true,
    typescript: false,
  },
  report: {
    compact: false,
    directory: '',
    filename: '',
    getReport: () => ({}),
    writeReport: () => '',
    signal: 'SIGUSR2',
    reportOnFatalError: false,
    reportOnSignal: false,
    reportOnUncaughtException: false,
  },
  permission: undefined,
  sourceMapsEnabled: false,
  finalization: { register() {}, registerBeforeExit() {}, unregister() {} },
};
for (const name of Reflect.ownKeys(members))
  defineProperty(process, name, { value: members[name], writable: true, enumerable: true, configurable: true });

const computed = {
  pid: () => facts().pid,
  ppid: () => facts().ppid,
  platform: () => facts().platform,
  arch: () => facts().arch,
  version: () => facts().version,
  versions: () => Object.freeze({ __proto__: null, ...facts().versions }),
  execPath: () => facts().exec_path,
  argv: () => facts().argv ?? [facts().exec_path, '/usr/local/lib/node_modules/node-red/red.js'],
  release: () => ({ name: 'node', lts: 'Jod', sourceUrl: '', headersUrl: '' }),
};
for (const [name, get] of Object.entries(computed)) {
  defineProperty(process, name, {
    enumerable: true,
    configurable: true,
    get() {
      const value = get();
      if (!preparing()) defineProperty(process, name, { value, writable: true, enumerable: true, configurable: true });
      return value;
    },
    set(value) {
      defineProperty(process, name, { value, writable: true, enumerable: true, configurable: true });
    },
  });
}
let prepared = false;
const preparing = () => !prepared;
/** From here on what is learnt about the machine is kept. */
export const ready = () => {
  forget();
  prepared = true;
};
defineProperty(process, 'title', {
  enumerable: true,
  configurable: true,
  get: () => title,
  set: (value) => {
    title = `${value}`;
  },
});
defineProperty(global, 'process', { value: process, writable: true, configurable: true, enumerable: false });
defineProperty(global, 'global', { value: global, writable: true, configurable: true, enumerable: false });

/** What nobody catches goes to the listeners of the process, and is told. */
setUncaught((error) => {
  if (error instanceof Exit) return;
  uncaught(error, 'uncaughtException');
  if (process.listenerCount('uncaughtException') > 0) {
    try {
      process.emit('uncaughtException', error, 'uncaughtException');
    } catch (again) {
      uncaught(again, 'uncaughtException');
    }
  }
});

/** Output of the process, before there are streams. */
export const print = (stream, text) => call('output', { __proto__: null, stream }, utf8(`${text}`));
export default process;
