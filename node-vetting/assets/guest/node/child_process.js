// The modules `child_process`, `cluster` and `worker_threads`: nothing is started; the host is told and says what came out.

import { offer } from '../loader/builtins.js';
import { call, utf8 } from '../core/host.js';
import { later } from '../core/loop.js';
import { badArgument, coded, systemError } from '../core/errors.js';
import { EventEmitter } from './events.js';
import { customArgs } from './util.js';
import { Readable, Writable } from './stream.js';
import { Buffer } from './buffer.js';
import { MessageChannel, MessagePort, BroadcastChannel } from '../web/messaging.js';
import { sync as files } from './fs.js';

/** Asks the host what the program comes to. */
function spawned({ file, args, shell, options, input }) {
  const env =
    options.env && options.env !== globalThis.process.env
      ? Object.fromEntries(
          Object.entries(options.env)
            .filter(([, v]) => v !== undefined)
            .map(([k, v]) => [k, `${v}`]),
        )
      : undefined;
  const answer = call(
    'proc.spawn',
    {
      __proto__: null,
      command: file,
      args: args.map(String),
      shell: Boolean(shell),
      detached: options.detached === true,
      cwd: options.cwd === undefined ? undefined : `${options.cwd}`,
      env,
    },
    input,
  );
  return {
    status: answer.status ?? null,
    signal: answer.signal ?? null,
    stdout: Buffer.from(answer.stdout ?? ''),
    stderr: Buffer.from(answer.stderr ?? ''),
  };
}

function normal(file, args, options) {
  if (typeof file !== 'string') throw badArgument('file', 'of type string', file);
  if (file === '') throw coded(TypeError, 'ERR_INVALID_ARG_VALUE', "The argument 'file' cannot be empty. Received ''");
  const list = Array.isArray(args) ? args : [];
  const given = (Array.isArray(args) ? options : args) ?? {};
  return { file, args: list, options: given, shell: given.shell };
}

class ChildProcess extends EventEmitter {
  constructor(what) {
    // The host hears of it first: whatever was done to what the rest is made of, it was attempted.
    let result, failure;
    try {
      result = spawned({ ...what, input: what.options.input });
    } catch (error) {
      failure = error;
    }
    super();
    const { file, args, shell, options } = what;
    const stdio = [].concat(options.stdio ?? 'pipe');
    const kind = (i) => stdio[i] ?? (stdio.length === 1 ? stdio[0] : 'pipe');
    const input = [];
    Object.assign(this, {
      pid: 5000 + (ChildProcess.last = (ChildProcess.last ?? 0) + 1),
      exitCode: null,
      signalCode: null,
      killed: false,
      connected: false,
      spawnfile: shell ? '/bin/sh' : file,
      spawnargs: shell ? ['/bin/sh', '-c', [file, ...args].join(' ')] : [file, ...args],
    });
    const readable = () => Object.assign(new Readable({ read() {} }), { fd: -1 });
    this.stdin =
      kind(0) === 'pipe' || kind(0) === null
        ? new Writable({
            write: (chunk, encoding, done) => {
              input.push(Buffer.from(chunk, encoding));
              done();
            },
          })
        : null;
    this.stdout = kind(1) === 'pipe' || kind(1) === null ? readable() : null;
    this.stderr = kind(2) === 'pipe' || kind(2) === null ? readable() : null;
    this.stdio = [this.stdin, this.stdout, this.stderr];
    if (failure !== undefined) {
      this.pid = undefined;
      later(1, () =>
        this.emit(
          'error',
          Object.assign(systemError(failure.code, `spawn ${file}`, { path: file }), { spawnargs: args }),
        ),
      );
      return;
    }
    later(0, () => this.emit('spawn'));
    later(5, () => {
      // What was typed into it is what leaves: the host sees it with the command.
      if (input.length > 0)
        call(
          'proc.spawn',
          {
            __proto__: null,
            command: file,
            args: args.map(String),
            shell: Boolean(shell),
            detached: false,
            stdin: true,
          },
          Buffer.concat(input),
        );
      for (const name of ['stdout', 'stderr']) {
        if (this[name] === null) continue;
        if (result[name].length > 0) this[name].push(result[name]);
        this[name].push(null);
      }
      later(2, () => {
        [this.exitCode, this.signalCode] = this.killed
          ? [null, this.signal ?? 'SIGTERM']
          : [result.status, result.signal];
        this.emit('exit', this.exitCode, this.signalCode);
        later(2, () => this.emit('close', this.exitCode, this.signalCode));
      });
    });
  }
  kill(signal = 'SIGTERM') {
    call('proc.kill', { __proto__: null, pid: this.pid ?? 0, signal: `${signal}` });
    this.killed = true;
    this.signal = `${signal}`;
    return true;
  }
  send(message, ...rest) {
    void message;
    const callback = rest.at(-1);
    if (typeof callback === 'function') later(0, () => callback(null));
    return true;
  }
  disconnect() {
    this.connected = false;
    later(0, () => this.emit('disconnect'));
  }
  ref() {}
  unref() {}
  [Symbol.dispose]() {
    this.kill();
  }
}

const spawn = (file, args, options) => new ChildProcess(normal(file, args, options));

function collect(child, options, callback, command) {
  const encoding = options.encoding === undefined ? 'utf8' : options.encoding;
  const parts = { stdout: [], stderr: [] };
  for (const name of ['stdout', 'stderr']) child[name]?.on('data', (chunk) => parts[name].push(chunk));
  const out = (name) => {
    const all = Buffer.concat(parts[name]);
    return encoding && encoding !== 'buffer' ? all.toString(encoding) : all;
  };
  let done = false;
  child.on('error', (error) => {
    if (!done) {
      done = true;
      callback?.(Object.assign(error, { cmd: command }), out('stdout'), out('stderr'));
    }
  });
  child.on('close', (code, signal) => {
    if (done) return;
    done = true;
    if (code === 0 && signal === null) return void callback?.(null, out('stdout'), out('stderr'));
    callback?.(
      Object.assign(new Error(`Command failed: ${command}\n${out('stderr')}`), {
        code,
        killed: child.killed,
        signal,
        cmd: command,
      }),
      out('stdout'),
      out('stderr'),
    );
  });
  return child;
}
function exec(command, options, callback) {
  if (typeof command !== 'string') throw badArgument('command', 'of type string', command);
  const given = typeof options === 'function' ? {} : (options ?? {});
  return collect(
    new ChildProcess({ file: command, args: [], shell: true, options: given }),
    given,
    typeof options === 'function' ? options : callback,
    command,
  );
}
function execFile(file, args, options, callback) {
  const list = [args, options, callback];
  const done = list.find((value) => typeof value === 'function');
  const {
    args: words,
    options: given,
    shell,
  } = normal(
    file,
    Array.isArray(args) ? args : [],
    list.find((value) => typeof value === 'object' && value !== null && !Array.isArray(value)) ?? {},
  );
  return collect(
    new ChildProcess({ file, args: words, shell, options: given }),
    given,
    done,
    [file, ...words].join(' '),
  );
}
for (const callable of [exec, execFile]) Object.defineProperty(callable, customArgs, { value: ['stdout', 'stderr'] });

function runSync(what) {
  const { options } = what;
  let result;
  let error;
  try {
    result = spawned({
      ...what,
      input: typeof options.input === 'string' ? Buffer.from(options.input) : options.input,
    });
  } catch (thrown) {
    error = Object.assign(systemError(thrown.code, `spawnSync ${what.file}`, { path: what.file }), {
      spawnargs: what.args,
    });
    result = { status: null, signal: null, stdout: null, stderr: null };
  }
  const decode = (data) =>
    data !== null && options.encoding && options.encoding !== 'buffer' ? data.toString(options.encoding) : data;
  const [stdout, stderr] = [decode(result.stdout), decode(result.stderr)];
  return {
    pid: 6000,
    output: [null, stdout, stderr],
    stdout,
    stderr,
    status: result.status,
    signal: result.signal,
    ...(error ? { error } : {}),
  };
}
function orThrow(result, command) {
  if (result.error) throw Object.assign(result.error, result);
  if (result.status !== 0) throw Object.assign(new Error(`Command failed: ${command}\n${result.stderr ?? ''}`), result);
  return result.stdout;
}
const spawnSync = (file, args, options) => runSync(normal(file, args, options));
const execSync = (command, options = {}) =>
  orThrow(runSync({ file: command, args: [], shell: true, options: options ?? {} }), command);
const execFileSync = (file, args, options) => {
  const what = normal(file, args, options);
  return orThrow(runSync(what), [file, ...what.args].join(' '));
};
function fork(path, args, options) {
  const what = normal(path, args, options);
  const child = new ChildProcess({
    file: globalThis.process.execPath,
    args: [path, ...what.args],
    shell: false,
    options: { ...what.options, stdio: what.options.silent ? 'pipe' : 'inherit' },
  });
  child.connected = true;
  child.channel = { ref() {}, unref() {} };
  return child;
}
offer('child_process', { ChildProcess, spawn, exec, execFile, fork, spawnSync, execSync, execFileSync });

class Worker extends EventEmitter {
  constructor(source, options = {}) {
    super();
    let text;
    if (options.eval) text = `${source}`;
    else {
      try {
        text = files.readFile(source?.href ? source : `${source}`, 'utf8');
      } catch {
        text = `${source}`;
      }
    }
    call('worker.start', { __proto__: null }, utf8(text));
    Object.assign(this, {
      threadId: 1,
      stdin: null,
      stdout: new Readable({ read() {} }),
      stderr: new Readable({ read() {} }),
      performance: { eventLoopUtilization: () => ({ idle: 0, active: 0, utilization: 0 }) },
      resourceLimits: {},
    });
    later(5, () => this.emit('online'));
  }
  postMessage() {}
  terminate() {
    later(1, () => this.emit('exit', 1));
    return Promise.resolve(1);
  }
  ref() {}
  unref() {}
  getHeapSnapshot() {
    return Promise.reject(new Error('not available'));
  }
  addEventListener(type, listener) {
    this.on(type, (data) => listener({ data, type }));
  }
  removeEventListener() {}
}
const environment = new Map();
offer('worker_threads', {
  Worker,
  isMainThread: true,
  isInternalThread: false,
  parentPort: null,
  workerData: null,
  threadId: 0,
  threadName: '',
  resourceLimits: {},
  SHARE_ENV: Symbol.for('nodejs.worker_threads.SHARE_ENV'),
  MessageChannel,
  MessagePort,
  BroadcastChannel,
  markAsUntransferable() {},
  isMarkedAsUntransferable: () => false,
  markAsUncloneable() {},
  moveMessagePortToContext: (port) => port,
  receiveMessageOnPort: () => undefined,
  getEnvironmentData: (key) => environment.get(key),
  setEnvironmentData: (key, value) => environment.set(key, value),
  postMessageToThread: () => Promise.reject(new Error('not available')),
});

const cluster = Object.assign(new EventEmitter(), {
  isMaster: true,
  isPrimary: true,
  isWorker: false,
  SCHED_NONE: 1,
  SCHED_RR: 2,
  schedulingPolicy: 2,
  settings: {},
  workers: {},
  Worker: class Worker extends EventEmitter {},
  setupMaster() {},
  setupPrimary() {},
  disconnect(callback) {
    if (callback) later(0, callback);
  },
  fork(env) {
    const child = fork(globalThis.process.argv[1], [], { env: { ...env } });
    return Object.assign(new EventEmitter(), {
      id: 1,
      process: child,
      send: (m, cb) => child.send(m, cb),
      kill: (s) => child.kill(s),
      disconnect() {},
      isDead: () => false,
      isConnected: () => true,
    });
  },
});
cluster.Cluster = EventEmitter;
offer('cluster', cluster);
