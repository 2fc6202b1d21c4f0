// The module `fs`: callbacks, promises, streams and watchers over the synchronous half.

import { offer } from '../loader/builtins.js';
import { call, mark, under } from '../core/host.js';
import { later } from '../core/loop.js';
import { badArgument } from '../core/errors.js';
import { named } from '../core/define.js';
import { customArgs } from './util.js';
import { EventEmitter } from './events.js';
import { Readable, Writable } from './stream.js';
import { bytesOf, constants, Dirent, optionsOf, pathOf, Stats } from './fs-core.js';
import { Dir, sync } from './fs-sync.js';

const fs = {};
const NAMES = Object.keys(sync);
const soon = (run) => later(0, run);

for (const name of NAMES) {
  fs[`${name}Sync`] = named(`${name}Sync`, (...args) => sync[name](...args));
  fs[name] = named(name, (...args) => {
    const callback = args.pop();
    if (typeof callback !== 'function')
      throw badArgument('cb', 'of type function', args.length > 0 ? callback : undefined);
    if (
      ![
        'exists',
        'close',
        'fsync',
        'fdatasync',
        'open',
        'read',
        'write',
        'writev',
        'readv',
        'fstat',
        'ftruncate',
        'fchmod',
        'fchown',
        'futimes',
        'mkdtemp',
        'glob',
        'statfs',
        'symlink',
      ].includes(name) &&
      typeof args[0] !== 'number'
    )
      pathOf(args[0]);
    let failed = null;
    let value;
    try {
      value = sync[name](...args);
    } catch (error) {
      if (error.syscall === undefined && String(error.code).startsWith('ERR_')) throw error;
      failed = error;
    }
    soon(() => {
      if (name === 'exists') return callback(value === true);
      if (failed !== null) return callback(failed);
      if (name === 'read' || name === 'write' || name === 'readv' || name === 'writev')
        return callback(null, value, args[1]);
      return value === undefined ? callback(null) : callback(null, value);
    });
  });
}
for (const [name, args] of Object.entries({
  read: ['bytesRead', 'buffer'],
  write: ['bytesWritten', 'buffer'],
  readv: ['bytesRead', 'buffers'],
  writev: ['bytesWritten', 'buffers'],
}))
  Object.defineProperty(fs[name], customArgs, { value: args });
Object.defineProperty(fs.exists, Symbol.for('nodejs.util.promisify.custom'), {
  value: (file) => Promise.resolve(sync.exists(file)),
});
fs.realpathSync.native = fs.realpathSync;
fs.realpath.native = fs.realpath;
delete fs.globSync;
delete fs.glob;

class FileHandle extends EventEmitter {
  constructor(fd) {
    super();
    this.fd = fd;
  }
  async read(buffer, ...args) {
    if (buffer === undefined || (typeof buffer === 'object' && !ArrayBuffer.isView(buffer))) {
      const { buffer: given = globalThis.Buffer.alloc(16384), ...rest } = buffer ?? {};
      return { bytesRead: sync.read(this.fd, given, rest), buffer: given };
    }
    return { bytesRead: sync.read(this.fd, buffer, ...args), buffer };
  }
  async write(data, ...args) {
    return { bytesWritten: sync.write(this.fd, data, ...args), buffer: data };
  }
  async writev(list, position) {
    return { bytesWritten: sync.writev(this.fd, list, position), buffers: list };
  }
  async readFile(options) {
    return sync.readFile(this.fd, options);
  }
  async writeFile(data, options) {
    return sync.writeFile(this.fd, data, options);
  }
  async appendFile(data, options) {
    return sync.writeFile(this.fd, data, options);
  }
  async stat(options) {
    return sync.fstat(this.fd, options);
  }
  async truncate(size) {
    return sync.ftruncate(this.fd, size);
  }
  async chmod(mode) {
    return sync.fchmod(this.fd, mode);
  }
  async chown() {}
  async sync() {}
  async datasync() {}
  async utimes() {}
  async close() {
    sync.close(this.fd);
    this.fd = -1;
    this.emit('close');
  }
  async [Symbol.asyncDispose]() {
    return this.close();
  }
  createReadStream(options) {
    return new ReadStream(null, { ...options, fd: this.fd });
  }
  createWriteStream(options) {
    return new WriteStream(null, { ...options, fd: this.fd });
  }
  async *readLines() {
    yield* `${sync.readFile(this.fd, 'utf8')}`.split(/\r?\n/);
  }
}

const wait = () => new Promise((resolve) => soon(resolve));
const promises = { constants };
for (const name of NAMES) {
  if (/^(f[a-z]+|read|write|readv|writev|close|exists|glob)$/.test(name) && name !== 'fdatasync') continue;
  promises[name] = named(name, async (...args) => {
    const value = sync[name](...args);
    await wait();
    return value;
  });
}
promises.open = async (...args) => {
  const fd = sync.open(...args);
  await wait();
  return new FileHandle(fd);
};
const source = (data) =>
  typeof data === 'object' &&
  data !== null &&
  !ArrayBuffer.isView(data) &&
  (data[Symbol.asyncIterator] || data[Symbol.iterator]);
promises.writeFile = async (file, data, options) => {
  let all = data;
  if (source(data)) {
    const parts = [];
    for await (const part of data) parts.push(bytesOf(part));
    all = globalThis.Buffer.concat(parts);
  }
  if (file instanceof FileHandle) return file.writeFile(all, options);
  sync.writeFile(file, all, options);
  return wait();
};
promises.readFile = async (file, options) => {
  const value = sync.readFile(file instanceof FileHandle ? file.fd : file, options);
  await wait();
  return value;
};
promises.watch = async function* watch(file) {
  call('fs.watch', { __proto__: null, path: pathOf(file) });
};
for (const name of ['fdatasync']) delete promises[name];

class ReadStream extends Readable {
  constructor(file, given) {
    const options = optionsOf(given);
    super({
      highWaterMark: options.highWaterMark ?? 65536,
      encoding: options.encoding,
      autoDestroy: options.autoClose !== false,
      emitClose: true,
      signal: options.signal,
      objectMode: false,
    });
    Object.assign(this, {
      path: file === null || file === undefined ? undefined : file,
      fd: options.fd?.fd ?? options.fd ?? null,
      flags: options.flags ?? 'r',
      mode: options.mode ?? 0o666,
      start: options.start,
      end: options.end ?? Infinity,
      pos: options.start,
      bytesRead: 0,
    });
    if (this.fd === null) pathOf(file);
    Object.defineProperty(this, '_who', { value: mark() });
  }
  _construct(done) {
    if (this.fd !== null) return done();
    return under(this._who, () =>
      fs.open(this.path, this.flags, this.mode, (error, fd) => {
        if (error) return done(error);
        this.fd = fd;
        done();
        this.emit('open', fd);
        return this.emit('ready');
      }),
    );
  }
  _read(size) {
    const left = this.pos === undefined ? size : Math.min(this.end - this.pos + 1, size);
    if (left <= 0) return this.push(null);
    const buffer = globalThis.Buffer.alloc(left);
    return under(this._who, () =>
      fs.read(this.fd, buffer, 0, left, this.pos, (error, count) => {
        if (error) return this.destroy(error);
        if (this.pos !== undefined) this.pos += count;
        this.bytesRead += count;
        return this.push(count === 0 ? null : buffer.subarray(0, count));
      }),
    );
  }
  _destroy(error, done) {
    if (this.fd !== null) {
      try {
        sync.close(this.fd);
      } catch {
        /* was closed */
      }
      this.fd = null;
    }
    done(error);
  }
  close(callback) {
    if (callback) this.once('close', callback);
    this.destroy();
  }
  get pending() {
    return this.fd === null;
  }
}
class WriteStream extends Writable {
  constructor(file, given) {
    const options = optionsOf(given);
    super({
      highWaterMark: options.highWaterMark ?? 16384,
      decodeStrings: true,
      defaultEncoding: options.encoding ?? 'utf8',
      autoDestroy: options.autoClose !== false,
      emitClose: true,
      signal: options.signal,
    });
    Object.assign(this, {
      path: file === null || file === undefined ? undefined : file,
      fd: options.fd?.fd ?? options.fd ?? null,
      flags: options.flags ?? 'w',
      mode: options.mode ?? 0o666,
      start: options.start,
      pos: options.start,
      bytesWritten: 0,
    });
    if (this.fd === null) pathOf(file);
    Object.defineProperty(this, '_who', { value: mark() });
  }
  _construct(done) {
    if (this.fd !== null) return done();
    return under(this._who, () =>
      fs.open(this.path, this.flags, this.mode, (error, fd) => {
        if (error) return done(error);
        this.fd = fd;
        done();
        this.emit('open', fd);
        return this.emit('ready');
      }),
    );
  }
  _write(chunk, encoding, done) {
    under(this._who, () =>
      fs.write(this.fd, bytesOf(chunk, encoding), 0, undefined, this.pos, (error, count) => {
        if (error) return done(error);
        this.bytesWritten += count;
        if (this.pos !== undefined) this.pos += count;
        return done();
      }),
    );
  }
  _destroy(error, done) {
    ReadStream.prototype._destroy.call(this, error, done);
  }
  close(callback) {
    if (callback) this.once('close', callback);
    this.end();
  }
  get pending() {
    return this.fd === null;
  }
}
// Old code calls these without `new` and patches their prototypes.
const callable = (Class) => new Proxy(Class, { apply: (target, self, args) => new target(...args) });

class FSWatcher extends EventEmitter {
  constructor() {
    super();
    this.closed = false;
  }
  close() {
    if (!this.closed) {
      this.closed = true;
      globalThis.process.nextTick(() => this.emit('close'));
    }
  }
  ref() {
    return this;
  }
  unref() {
    return this;
  }
}
fs.watch = named('watch', (file, options, listener) => {
  const callback = typeof options === 'function' ? options : listener;
  const target = pathOf(file);
  sync.access(target);
  call('fs.watch', { __proto__: null, path: target });
  const watcher = new FSWatcher();
  if (callback) watcher.on('change', callback);
  return watcher;
});
fs.watchFile = named('watchFile', (file, options, listener) => {
  void (listener ?? options);
  call('fs.watch', { __proto__: null, path: pathOf(file) });
  return new FSWatcher();
});
fs.unwatchFile = named('unwatchFile', () => {});
fs.createReadStream = named('createReadStream', (file, options) => new fs.ReadStream(file, options));
fs.createWriteStream = named('createWriteStream', (file, options) => new fs.WriteStream(file, options));
fs.openAsBlob = async (file) => new Blob([sync.readFile(file)]);
fs._toUnixTimestamp = (time) => +time / 1000;
Object.assign(fs, {
  ReadStream: callable(ReadStream),
  WriteStream: callable(WriteStream),
  FSWatcher,
  Stats,
  Dirent,
  Dir,
  constants,
  F_OK: 0,
  R_OK: 4,
  W_OK: 2,
  X_OK: 1,
});
fs.FileReadStream = fs.ReadStream;
fs.FileWriteStream = fs.WriteStream;
Object.defineProperty(fs, 'promises', { value: promises, enumerable: true, configurable: true });
offer('fs', fs);
offer('fs/promises', promises);
export { sync };
export default fs;
