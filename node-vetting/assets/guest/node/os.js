// The module `os`. What identifies the machine is the host's to say.

import { offer } from '../loader/builtins.js';
import { call } from '../core/host.js';
import { ERRNOS } from '../core/errors.js';

const ask = (what) => call('os.info', { __proto__: null, what });
export const signals = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGIOT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGCHLD: 17,
  SIGSTKFLT: 16,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPOLL: 29,
  SIGPWR: 30,
  SIGSYS: 31,
};
const os = {
  EOL: '\n',
  devNull: '/dev/null',
  hostname: () => ask('hostname'),
  release: () => ask('release'),
  version: () => ask('version'),
  type: () => ask('type'),
  machine: () => ask('machine'),
  platform: () => globalThis.process.platform,
  arch: () => globalThis.process.arch,
  endianness: () => 'LE',
  totalmem: () => ask('totalmem'),
  freemem: () => ask('freemem'),
  uptime: () => ask('uptime'),
  loadavg: () => ask('loadavg'),
  availableParallelism: () => ask('cpus'),
  cpus: () => {
    const model = ask('cpu_model');
    return Array.from({ length: ask('cpus') }, () => ({
      model,
      speed: 1900,
      times: { user: 1_252_020, nice: 1200, sys: 430_340, idle: 80_030_470, irq: 0 },
    }));
  },
  networkInterfaces: () => ask('interfaces'),
  userInfo: () => ({ ...ask('user') }),
  homedir: () => globalThis.process.env.HOME ?? ask('user').homedir,
  tmpdir: () => (globalThis.process.env.TMPDIR ?? '/tmp').replace(/(.)\/$/, '$1'),
  getPriority: () => 0,
  setPriority: () => {},
  constants: {
    UV_UDP_REUSEADDR: 4,
    dlopen: { RTLD_LAZY: 1, RTLD_NOW: 2, RTLD_GLOBAL: 256, RTLD_LOCAL: 0, RTLD_DEEPBIND: 8 },
    errno: { __proto__: null, ...ERRNOS },
    signals: { __proto__: null, ...signals },
    priority: {
      __proto__: null,
      PRIORITY_LOW: 19,
      PRIORITY_BELOW_NORMAL: 10,
      PRIORITY_NORMAL: 0,
      PRIORITY_ABOVE_NORMAL: -7,
      PRIORITY_HIGH: -14,
      PRIORITY_HIGHEST: -20,
    },
  },
};
for (const name of [
  'hostname',
  'release',
  'type',
  'homedir',
  'tmpdir',
  'arch',
  'platform',
  'endianness',
  'uptime',
  'totalmem',
  'freemem',
])
  os[name][Symbol.toPrimitive] = () => os[name]();
export default offer('os', os);
