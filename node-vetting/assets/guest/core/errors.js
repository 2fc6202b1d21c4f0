// Errors in the shape that Node.js gives them: a code, and for system calls an errno, the call and what it was about.

import { Error, RangeError, TypeError, defineProperty } from './primordials.js';

const ERRNO = {
  __proto__: null,
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EPIPE: 32,
  ENOTEMPTY: 39,
  ELOOP: 40,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETUNREACH: 101,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
  ENOTFOUND: 3008,
};
const TEXT = {
  __proto__: null,
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or directory',
  ESRCH: 'no such process',
  EIO: 'i/o error',
  EBADF: 'bad file descriptor',
  EACCES: 'permission denied',
  EBUSY: 'resource busy or locked',
  EEXIST: 'file already exists',
  EXDEV: 'cross-device link not permitted',
  ENOTDIR: 'not a directory',
  EISDIR: 'illegal operation on a directory',
  EINVAL: 'invalid argument',
  EMFILE: 'too many open files',
  ENOSPC: 'no space left on device',
  EROFS: 'read-only file system',
  EPIPE: 'broken pipe',
  ENOTEMPTY: 'directory not empty',
  ELOOP: 'too many symbolic links encountered',
  EADDRINUSE: 'address already in use',
  ECONNRESET: 'connection reset by peer',
  ETIMEDOUT: 'connection timed out',
  ECONNREFUSED: 'connection refused',
  EHOSTUNREACH: 'host is unreachable',
  ENETUNREACH: 'network is unreachable',
};

export const errnoOf = (code) => -(ERRNO[code] ?? 5);
export const textOf = (code) => TEXT[code] ?? 'unknown error';
export const ERRNOS = ERRNO;

const put = (error, name, value) =>
  defineProperty(error, name, { __proto__: null, value, writable: true, enumerable: true, configurable: true });

/** An error with a `code`, like those of Node.js itself. */
export function coded(Kind, code, message) {
  const error = new Kind(message);
  put(error, 'code', code);
  return error;
}

export const badArgument = (name, wanted, value) =>
  coded(
    TypeError,
    'ERR_INVALID_ARG_TYPE',
    `The ${name.endsWith(' argument') ? name : `"${name}" argument`} must be ${wanted}. Received ${described(value)}`,
  );
export const badValue = (name, value, why = 'is invalid') =>
  coded(TypeError, 'ERR_INVALID_ARG_VALUE', `The argument '${name}' ${why}. Received ${shown(value)}`);
export const outOfRange = (name, range, value) =>
  coded(
    RangeError,
    'ERR_OUT_OF_RANGE',
    `The value of "${name}" is out of range. It must be ${range}. Received ${shown(value)}`,
  );

const visible = (text) =>
  text.replace(/[\x00-\x1f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
const shown = (value) =>
  typeof value === 'string'
    ? `'${visible(value)}'`
    : typeof value === 'object' && value !== null
      ? '[Object]'
      : `${String(value)}`;

/** What Node.js says of a value that has the wrong type. */
export function described(value) {
  if (value === null || value === undefined) return `${value}`;
  if (typeof value === 'function') return value.name ? `function ${value.name}` : 'function ';
  if (typeof value === 'object')
    return value.constructor?.name ? `an instance of ${value.constructor.name}` : '[Object: null prototype] {}';
  let text =
    typeof value === 'string' ? `'${value.length > 28 ? `${value.slice(0, 25)}...` : value}'` : `${String(value)}`;
  if (typeof value === 'bigint') text += 'n';
  return `type ${typeof value} (${text})`;
}

/** The error of a failed system call. */
export function systemError(code, syscall, about = {}) {
  const { path, dest, address, port, hostname } = about;
  let message =
    hostname !== undefined
      ? `${syscall} ${code} ${hostname}`
      : address !== undefined
        ? `${syscall} ${code} ${address}${port ? `:${port}` : ''}`
        : `${code}: ${textOf(code)}, ${syscall}`;
  if (path !== undefined && address === undefined) message += ` '${path}'`;
  if (dest !== undefined) message += ` -> '${dest}'`;
  const error = new Error(message);
  put(error, 'errno', errnoOf(code));
  put(error, 'code', code);
  put(error, 'syscall', syscall);
  for (const name of ['path', 'dest', 'address', 'port', 'hostname'])
    if (about[name] !== undefined) put(error, name, about[name]);
  return error;
}
