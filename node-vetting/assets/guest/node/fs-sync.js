// The synchronous half of `fs`: what the others are made of.

import { badArgument, coded, systemError } from '../core/errors.js';
import { call } from '../core/host.js';
import { Buffer } from './buffer.js';
import path from './path.js';
import {
  ask,
  bytesOf,
  closeFile,
  constants,
  contentOf,
  Dirent,
  encoded,
  entryOf,
  openFile,
  optionsOf,
  pathOf,
  readInto,
  Stats,
  writeFrom,
} from './fs-core.js';

const stat = (link, name) => (given, options) => {
  const file = pathOf(given);
  try {
    return new Stats(call('fs.stat', { __proto__: null, path: file, link }), options?.bigint);
  } catch (error) {
    if (options?.throwIfNoEntry === false && error.code === 'ENOENT') return undefined;
    throw systemError(error.code, name, { path: file });
  }
};
const found = (file) => {
  try {
    return call('fs.stat', { __proto__: null, path: file });
  } catch {
    return null;
  }
};

function list(folder, options, prefix = '') {
  const out = [];
  const here = prefix ? path.join(folder, prefix) : folder;
  for (const { name, type } of ask('fs.list', 'scandir', { path: here })) {
    const shown = prefix ? `${prefix}/${name}` : name;
    out.push(
      options.withFileTypes ? new Dirent(name, type, here) : options.encoding === 'buffer' ? Buffer.from(shown) : shown,
    );
    if (options.recursive && type === 'directory') out.push(...list(folder, options, shown));
  }
  return out;
}

function copyTree(from, to, options) {
  const facts = ask('fs.stat', 'cp', { path: from });
  if (options.filter && !options.filter(from, to)) return;
  if (facts.type === 'directory') {
    if (!options.recursive) throw systemError('EISDIR', 'cp', { path: from });
    sync.mkdir(to, { recursive: true });
    for (const { name } of ask('fs.list', 'scandir', { path: from }))
      copyTree(`${from}/${name}`, `${to}/${name}`, options);
  } else if (!(options.force === false && found(to))) sync.copyFile(from, to);
}

let temporary = 0;

/** By the name of the call, without `Sync`. */
export const sync = {
  readFile(given, options) {
    const { encoding } = optionsOf(options);
    if (typeof given === 'number') {
      const entry = entryOf(given, 'read');
      const rest = contentOf(entry).subarray(entry.at);
      entry.at += rest.length;
      return encoded(rest, encoding);
    }
    const file = pathOf(given);
    if (found(file)?.type === 'directory') throw systemError('EISDIR', 'read');
    return encoded(ask('fs.read', 'open', { path: file }), encoding);
  },
  writeFile(given, data, options) {
    const { encoding, flag = 'w', mode } = optionsOf(options);
    const bytes = bytesOf(
      typeof data === 'object' &&
        data !== null &&
        !ArrayBuffer.isView(data) &&
        typeof data.toString === 'function' &&
        data.toString !== Object.prototype.toString
        ? `${data}`
        : data,
      encoding,
    );
    if (typeof given === 'number') return void writeFrom(given, bytes);
    return void ask(
      'fs.write',
      'open',
      { path: pathOf(given), append: `${flag}`.startsWith('a'), exclusive: `${flag}`.includes('x'), mode },
      bytes,
    );
  },
  appendFile(given, data, options) {
    return sync.writeFile(given, data, { ...optionsOf(options), flag: 'a' });
  },
  exists(given) {
    try {
      return found(pathOf(given)) !== null;
    } catch {
      return false;
    }
  },
  access(given, mode = 0) {
    const file = pathOf(given);
    const facts = ask('fs.stat', 'access', { path: file });
    if (mode & constants.X_OK && facts.type === 'file' && !(facts.mode & 0o111))
      throw systemError('EACCES', 'access', { path: file });
  },
  stat: stat(false, 'stat'),
  lstat: stat(true, 'lstat'),
  fstat(fd, options) {
    const entry = entryOf(fd, 'fstat');
    return new Stats(ask('fs.stat', 'fstat', { path: entry.file }), options?.bigint);
  },
  statfs: () => ({
    type: 61267,
    bsize: 4096,
    blocks: 15_254_000,
    bfree: 9_100_000,
    bavail: 8_300_000,
    files: 3_900_000,
    ffree: 3_500_000,
  }),
  readdir(given, options) {
    return list(pathOf(given), optionsOf(options));
  },
  mkdir(given, options) {
    const file = pathOf(given);
    const recursive = options?.recursive === true;
    let first;
    if (recursive) for (let at = file; at !== '/' && found(at) === null; at = path.dirname(at)) first = at;
    ask('fs.mkdir', 'mkdir', { path: file, recursive, mode: typeof options === 'number' ? options : options?.mode });
    return recursive ? first : undefined;
  },
  mkdtemp(prefix, options) {
    void options;
    const file = `${pathOf(prefix)}${prefix.endsWith('/') ? '/' : ''}${'abcdefghij'[temporary % 10]}Xq${(temporary++).toString(36).padStart(3, '0')}`;
    ask('fs.mkdir', 'mkdtemp', { path: file });
    return file;
  },
  rmdir(given, options) {
    const file = pathOf(given);
    const facts = ask('fs.stat', 'rmdir', { path: file });
    if (facts.type !== 'directory') throw systemError('ENOTDIR', 'rmdir', { path: file });
    ask('fs.delete', 'rmdir', { path: file, directory: true, recursive: options?.recursive === true });
  },
  unlink(given) {
    const file = pathOf(given);
    if (found(file)?.type === 'directory') throw systemError('EPERM', 'unlink', { path: file });
    ask('fs.delete', 'unlink', { path: file });
  },
  rm(given, options = {}) {
    const file = pathOf(given);
    const facts = found(file);
    if (facts === null && options?.force) return;
    if (facts?.type === 'directory' && !options?.recursive)
      throw Object.assign(
        coded(Error, 'ERR_FS_EISDIR', `Path is a directory: rm returned EISDIR (is a directory) ${file}`),
        { name: 'SystemError' },
      );
    ask('fs.delete', 'rm', {
      path: file,
      recursive: options?.recursive === true,
      directory: facts?.type === 'directory',
    });
  },
  rename(from, to) {
    ask('fs.rename', 'rename', { from: pathOf(from, 'oldPath'), to: pathOf(to, 'newPath') }, undefined, {
      path: pathOf(from),
      dest: pathOf(to),
    });
  },
  copyFile(from, to, mode = 0) {
    const [source, target] = [pathOf(from, 'src'), pathOf(to, 'dest')];
    const about = { path: source, dest: target };
    const bytes = ask('fs.read', 'copyfile', { path: source }, undefined, about);
    ask('fs.write', 'copyfile', { path: target, exclusive: (mode & 1) === 1 }, bytes, about);
  },
  cp(from, to, options = {}) {
    copyTree(pathOf(from), pathOf(to), options ?? {});
  },
  link(from, to) {
    ask('fs.link', 'link', { from: pathOf(from), to: pathOf(to), symbolic: false }, undefined, {
      path: pathOf(from),
      dest: pathOf(to),
    });
  },
  symlink(target, file) {
    ask('fs.link', 'symlink', { from: `${target}`, to: pathOf(file), symbolic: true }, undefined, {
      path: `${target}`,
      dest: pathOf(file),
    });
  },
  readlink(given) {
    return ask('fs.readlink', 'readlink', { path: pathOf(given) });
  },
  realpath(given) {
    const file = pathOf(given);
    const facts = ask('fs.stat', 'realpath', { path: file });
    return facts.real ?? file;
  },
  chmod(given, mode) {
    ask('fs.chmod', 'chmod', { path: pathOf(given), mode: typeof mode === 'string' ? parseInt(mode, 8) : mode });
  },
  lchmod(given, mode) {
    sync.chmod(given, mode);
  },
  fchmod(fd, mode) {
    sync.chmod(entryOf(fd, 'fchmod').file, mode);
  },
  chown(given) {
    sync.access(given);
  },
  lchown(given) {
    sync.access(given);
  },
  fchown(fd) {
    entryOf(fd, 'fchown');
  },
  utimes(given) {
    sync.access(given);
  },
  lutimes(given) {
    sync.access(given);
  },
  futimes(fd) {
    entryOf(fd, 'futimes');
  },
  truncate(given, size = 0) {
    const file = typeof given === 'number' ? entryOf(given, 'ftruncate').file : pathOf(given);
    const content = Buffer.from(ask('fs.read', 'open', { path: file }));
    ask(
      'fs.write',
      'truncate',
      { path: file },
      size <= content.length
        ? content.subarray(0, size)
        : Buffer.concat([content, Buffer.alloc(size - content.length)]),
    );
  },
  ftruncate(fd, size) {
    const entry = entryOf(fd, 'ftruncate');
    sync.truncate(fd, size);
    entry.content = null;
  },
  open: openFile,
  close: closeFile,
  fsync(fd) {
    entryOf(fd, 'fsync');
  },
  fdatasync(fd) {
    entryOf(fd, 'fdatasync');
  },
  read(fd, buffer, offsetOrOptions, length, position) {
    const options =
      typeof offsetOrOptions === 'object' && offsetOrOptions !== null
        ? offsetOrOptions
        : { offset: offsetOrOptions, length, position };
    if (!ArrayBuffer.isView(buffer))
      throw badArgument('buffer', 'an instance of Buffer, TypedArray, or DataView', buffer);
    const offset = options.offset ?? 0;
    return readInto(fd, buffer, offset, options.length ?? buffer.byteLength - offset, options.position);
  },
  readv(fd, buffers, position) {
    let total = 0;
    for (const buffer of buffers)
      total += readInto(fd, buffer, 0, buffer.byteLength, typeof position === 'number' ? position + total : null);
    return total;
  },
  write(fd, data, offset, length, position) {
    if (typeof data === 'string') return writeFrom(fd, bytesOf(data, length), offset);
    const view = bytesOf(data);
    if (typeof offset === 'object' && offset !== null)
      return writeFrom(
        fd,
        view.subarray(offset.offset ?? 0, (offset.offset ?? 0) + (offset.length ?? view.length)),
        offset.position,
      );
    return writeFrom(
      fd,
      view.subarray(offset ?? 0, length === undefined || length === null ? undefined : (offset ?? 0) + length),
      position,
    );
  },
  writev(fd, buffers, position) {
    let total = 0;
    for (const buffer of buffers)
      total += writeFrom(fd, bytesOf(buffer), typeof position === 'number' ? position + total : undefined);
    return total;
  },
  opendir(given) {
    return new Dir(pathOf(given));
  },
  glob: () => [],
};

class Dir {
  #rest;
  constructor(folder) {
    this.path = folder;
    this.#rest = list(folder, { withFileTypes: true });
  }
  readSync() {
    return this.#rest.shift() ?? null;
  }
  read(callback) {
    const next = this.readSync();
    if (callback) globalThis.process.nextTick(callback, null, next);
    else return Promise.resolve(next);
    return undefined;
  }
  closeSync() {}
  close(callback) {
    if (callback) globalThis.process.nextTick(callback, null);
    return Promise.resolve();
  }
  async *[Symbol.asyncIterator]() {
    for (let next; (next = this.readSync()) !== null;) yield next;
  }
}
export { Dir };
