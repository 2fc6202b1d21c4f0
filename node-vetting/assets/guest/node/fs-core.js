// What every form of `fs` rests on: paths, descriptors, stats, and one synchronous operation for each call.

import { call } from '../core/host.js';
import { badArgument, badValue, systemError, coded } from '../core/errors.js';
import { create } from '../core/primordials.js';
import { Buffer } from './buffer.js';
import path from './path.js';

export const constants = Object.assign(create(null), {
  UV_FS_SYMLINK_DIR: 1,
  UV_FS_SYMLINK_JUNCTION: 2,
  O_RDONLY: 0,
  O_WRONLY: 1,
  O_RDWR: 2,
  UV_DIRENT_UNKNOWN: 0,
  UV_DIRENT_FILE: 1,
  UV_DIRENT_DIR: 2,
  UV_DIRENT_LINK: 3,
  UV_DIRENT_FIFO: 4,
  UV_DIRENT_SOCKET: 5,
  UV_DIRENT_CHAR: 6,
  UV_DIRENT_BLOCK: 7,
  S_IFMT: 61440,
  S_IFREG: 32768,
  S_IFDIR: 16384,
  S_IFCHR: 8192,
  S_IFBLK: 24576,
  S_IFIFO: 4096,
  S_IFLNK: 40960,
  S_IFSOCK: 49152,
  O_CREAT: 64,
  O_EXCL: 128,
  UV_FS_O_FILEMAP: 0,
  O_NOCTTY: 256,
  O_TRUNC: 512,
  O_APPEND: 1024,
  O_DIRECTORY: 65536,
  O_NOATIME: 262144,
  O_NOFOLLOW: 131072,
  O_SYNC: 1052672,
  O_DSYNC: 4096,
  O_DIRECT: 16384,
  O_NONBLOCK: 2048,
  S_IRWXU: 448,
  S_IRUSR: 256,
  S_IWUSR: 128,
  S_IXUSR: 64,
  S_IRWXG: 56,
  S_IRGRP: 32,
  S_IWGRP: 16,
  S_IXGRP: 8,
  S_IRWXO: 7,
  S_IROTH: 4,
  S_IWOTH: 2,
  S_IXOTH: 1,
  F_OK: 0,
  R_OK: 4,
  W_OK: 2,
  X_OK: 1,
  UV_FS_COPYFILE_EXCL: 1,
  COPYFILE_EXCL: 1,
  UV_FS_COPYFILE_FICLONE: 2,
  COPYFILE_FICLONE: 2,
  UV_FS_COPYFILE_FICLONE_FORCE: 4,
  COPYFILE_FICLONE_FORCE: 4,
});

/** The absolute path that an argument means. */
export function pathOf(value, name = 'path') {
  let text = value;
  if (typeof value === 'object' && value !== null) {
    if (ArrayBuffer.isView(value)) text = Buffer.from(value).toString();
    else if (typeof value.href === 'string' && value.protocol) {
      if (value.protocol !== 'file:')
        throw coded(TypeError, 'ERR_INVALID_URL_SCHEME', 'The URL must be of scheme file');
      text = decodeURIComponent(value.pathname);
    }
  }
  if (typeof text !== 'string') throw badArgument(name, 'of type string or an instance of Buffer or URL', value);
  if (text.includes('\0')) throw badValue(name, text, 'must be a string, Uint8Array, or URL without null bytes');
  return path.resolve(text);
}

/** Asks the host; its refusals become the errors of the system call. */
export function ask(op, syscall, args, data, about) {
  try {
    return call(op, { __proto__: null, ...args }, data);
  } catch (error) {
    throw systemError(error.code, syscall, about ?? { path: args.path ?? args.from });
  }
}

const KINDS = {
  file: constants.S_IFREG,
  directory: constants.S_IFDIR,
  link: constants.S_IFLNK,
  socket: constants.S_IFSOCK,
  fifo: constants.S_IFIFO,
  character: constants.S_IFCHR,
  block: constants.S_IFBLK,
};
const isKind = (kind) =>
  function () {
    return (Number(this.mode) & constants.S_IFMT) === kind;
  };

export class Stats {
  constructor(facts = {}, big = false) {
    const number = (n) => (big ? BigInt(Math.trunc(n)) : n);
    const ms = facts.mtime_ms ?? 0;
    Object.assign(this, {
      dev: number(2049),
      mode: number((KINDS[facts.type] ?? KINDS.file) | ((facts.mode ?? 0o644) & 0o7777)),
      nlink: number(facts.nlink ?? 1),
      uid: number(facts.uid ?? 1000),
      gid: number(facts.gid ?? 1000),
      rdev: number(0),
      blksize: number(4096),
      ino: number(facts.ino ?? 1),
      size: number(facts.size ?? 0),
      blocks: number(Math.ceil((facts.size ?? 0) / 512)),
      atimeMs: number(ms),
      mtimeMs: number(ms),
      ctimeMs: number(ms),
      birthtimeMs: number(ms),
    });
    if (big)
      for (const name of ['atime', 'mtime', 'ctime', 'birthtime'])
        this[`${name}Ns`] = BigInt(Math.trunc(ms)) * 1_000_000n;
    Object.assign(this, { atime: new Date(ms), mtime: new Date(ms), ctime: new Date(ms), birthtime: new Date(ms) });
  }
}
export class Dirent {
  constructor(name, type, parent) {
    this.name = name;
    this.parentPath = parent;
    this.path = parent;
    Object.defineProperty(this, 'mode', { value: KINDS[type] ?? KINDS.file });
  }
}
for (const Class of [Stats, Dirent]) {
  Object.assign(Class.prototype, {
    isFile: isKind(KINDS.file),
    isDirectory: isKind(KINDS.directory),
    isSymbolicLink: isKind(KINDS.link),
    isSocket: isKind(KINDS.socket),
    isFIFO: isKind(KINDS.fifo),
    isCharacterDevice: isKind(KINDS.character),
    isBlockDevice: isKind(KINDS.block),
  });
  for (const name of Object.keys(Class.prototype)) Object.defineProperty(Class.prototype, name, { enumerable: false });
}

/** Options where a lone string names the encoding. */
export const optionsOf = (value, defaults = {}) =>
  typeof value === 'string'
    ? { ...defaults, encoding: value }
    : { ...defaults, ...(typeof value === 'object' ? value : undefined) };
export const encoded = (bytes, encoding) => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return encoding && encoding !== 'buffer' ? buffer.toString(encoding) : buffer;
};
export const bytesOf = (data, encoding) => {
  if (typeof data === 'string') return Buffer.from(data, encoding ?? 'utf8');
  if (ArrayBuffer.isView(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  throw badArgument('data', 'of type string or an instance of Buffer, TypedArray, or DataView', data);
};

const open = new Map();
let next = 20;
const FLAGS = {
  r: 0,
  rs: 0,
  'r+': 2,
  'rs+': 2,
  w: 577,
  wx: 705,
  xw: 705,
  'w+': 578,
  'wx+': 706,
  'xw+': 706,
  a: 1089,
  ax: 1217,
  'a+': 1090,
  'ax+': 1218,
  as: 1089,
  'as+': 1090,
};

export function flagsOf(flags = 'r') {
  const number = typeof flags === 'number' ? flags : FLAGS[flags];
  if (number === undefined) throw badValue('flags', flags);
  return number;
}

/** Opens a file and gives its number. Content is read and written as a whole; positions are kept here. */
export function openFile(given, flags, mode = 0o666) {
  const file = pathOf(given);
  const bits = flagsOf(flags);
  const about = { path: file };
  let facts = null;
  try {
    facts = call('fs.stat', { __proto__: null, path: file });
  } catch (error) {
    if (!(bits & constants.O_CREAT)) throw systemError(error.code, 'open', about);
  }
  if (facts !== null && bits & constants.O_EXCL) throw systemError('EEXIST', 'open', about);
  const writes = (bits & 3) !== 0;
  if (facts?.type === 'directory' && writes) throw systemError('EISDIR', 'open', about);
  if (facts === null || bits & constants.O_TRUNC) ask('fs.write', 'open', { path: file, mode }, new Uint8Array(0));
  const entry = { file, bits, at: 0, writes, content: facts?.type === 'directory' ? Buffer.alloc(0) : null };
  open.set(next, entry);
  return next++;
}
export function entryOf(fd, syscall) {
  if (typeof fd !== 'number') throw badArgument('fd', 'of type number', fd);
  const entry = open.get(fd);
  if (entry === undefined && (fd === 1 || fd === 2))
    return {
      file: fd === 1 ? '/dev/stdout' : '/dev/stderr',
      output: fd === 1 ? 'stdout' : 'stderr',
      writes: true,
      at: 0,
    };
  if (entry === undefined && fd === 0) return { file: '/dev/stdin', content: Buffer.alloc(0), at: 0 };
  if (entry === undefined) throw systemError('EBADF', syscall);
  return entry;
}
export function contentOf(entry) {
  entry.content ??= Buffer.from(ask('fs.read', 'read', { path: entry.file }));
  return entry.content;
}
export const closeFile = (fd) => {
  entryOf(fd, 'close');
  open.delete(fd);
};
export function readInto(fd, target, offset, length, position) {
  const entry = entryOf(fd, 'read');
  const content = contentOf(entry);
  const from = typeof position === 'number' || typeof position === 'bigint' ? Number(position) : -1;
  const start = from >= 0 ? from : entry.at;
  const part = content.subarray(start, Math.min(start + length, content.length));
  new Uint8Array(target.buffer, target.byteOffset, target.byteLength).set(part, offset);
  if (from < 0) entry.at += part.length;
  return part.length;
}
export function writeFrom(fd, data, position) {
  const entry = entryOf(fd, 'write');
  if (!entry.writes) throw systemError('EBADF', 'write');
  if (entry.output) {
    call('output', { __proto__: null, stream: entry.output }, data);
    return data.length;
  }
  if (entry.bits & constants.O_APPEND) {
    ask('fs.write', 'write', { path: entry.file, append: true }, data);
    entry.content = null;
    return data.length;
  }
  const at = typeof position === 'number' ? position : entry.at;
  const content = contentOf(entry);
  if (at === content.length) {
    ask('fs.write', 'write', { path: entry.file, append: true }, data);
    entry.content = Buffer.concat([content, data]);
  } else {
    const size = Math.max(content.length, at + data.length);
    entry.content = Buffer.concat([content], size);
    entry.content.set(data, at);
    ask('fs.write', 'write', { path: entry.file }, entry.content);
  }
  if (typeof position !== 'number') entry.at = at + data.length;
  return data.length;
}
