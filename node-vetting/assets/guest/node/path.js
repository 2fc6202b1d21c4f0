// The module `path`.

import { badArgument } from '../core/errors.js';

const text = (value, name) => {
  if (typeof value !== 'string') throw badArgument(name, 'of type string', value);
};

/** The functions for one kind of path. `cwd` says where relative paths begin. */
function make(sep, cwd) {
  const windows = sep === '\\';
  const isSep = (char) => char === '/' || (windows && char === '\\');
  const split = (path) => (windows ? path.split(/[\\/]/) : path.split('/'));
  /** Drive and root of a path: `C:\`, `\\server\share\`, `/`. */
  const rootOf = (path) => {
    if (!windows) return path[0] === '/' ? '/' : '';
    const unc = /^[\\/]{2}([^\\/]+)[\\/]+([^\\/]+)[\\/]*/.exec(path);
    if (unc) return `\\\\${unc[1]}\\${unc[2]}\\`;
    const drive = /^([A-Za-z]:)([\\/]*)/.exec(path);
    if (drive) return drive[1] + (drive[2] ? '\\' : '');
    return isSep(path[0] ?? '') ? '\\' : '';
  };
  const bare = (path) => {
    if (!windows) return path[0] === '/' ? path.slice(1) : path;
    return path.replace(/^[\\/]{2}[^\\/]+[\\/]+[^\\/]+[\\/]*|^[A-Za-z]:[\\/]*|^[\\/]+/, '');
  };
  const absolute = (root) => root !== '' && isSep(root.at(-1));
  function reduce(parts, up) {
    const out = [];
    for (const part of parts) {
      if (part === '' || part === '.') continue;
      if (part !== '..') out.push(part);
      else if (out.length > 0 && out.at(-1) !== '..') out.pop();
      else if (up) out.push('..');
    }
    return out;
  }
  const api = {
    sep,
    delimiter: windows ? ';' : ':',
    normalize(path) {
      text(path, 'path');
      if (path === '') return '.';
      const root = rootOf(path);
      let tail = reduce(split(bare(path)), !absolute(root)).join(sep);
      if (tail === '' && !absolute(root)) tail = '.';
      if (tail !== '' && isSep(path.at(-1)) && !tail.endsWith(sep)) tail += sep;
      return root + tail;
    },
    isAbsolute(path) {
      text(path, 'path');
      return absolute(rootOf(path));
    },
    join(...parts) {
      parts.forEach((part) => text(part, 'path'));
      const all = parts.filter((part) => part !== '').join('/');
      return all === ''
        ? '.'
        : api.normalize(
            windows && !/^[\\/]{2}[^\\/]/.test(parts.find((p) => p !== '') ?? '')
              ? all.replace(/^[\\/]{2,}/, '\\')
              : all,
          );
    },
    resolve(...parts) {
      let whole = '';
      for (let i = parts.length - 1; i >= -1; i--) {
        const part = i >= 0 ? parts[i] : cwd();
        if (i >= 0) text(part, `paths[${i}]`);
        if (part === '') continue;
        whole = whole === '' ? part : `${part}/${whole}`;
        if (absolute(rootOf(part))) break;
      }
      const root = rootOf(whole);
      const tail = reduce(split(bare(whole)), false).join(sep);
      return root + tail || '.';
    },
    relative(from, to) {
      text(from, 'from');
      text(to, 'to');
      const [a, b] = [api.resolve(from), api.resolve(to)];
      const same = (x, y) => (windows ? x.toLowerCase() === y.toLowerCase() : x === y);
      if (same(a, b)) return '';
      if (!same(rootOf(a), rootOf(b))) return b;
      const [x, y] = [split(bare(a)).filter(Boolean), split(bare(b)).filter(Boolean)];
      let shared = 0;
      while (shared < x.length && shared < y.length && same(x[shared], y[shared])) shared++;
      return [...x.slice(shared).map(() => '..'), ...y.slice(shared)].join(sep);
    },
    toNamespacedPath(path) {
      return path;
    },
    dirname(path) {
      text(path, 'path');
      if (path === '') return '.';
      const root = rootOf(path);
      let tail = bare(path);
      while (tail !== '' && isSep(tail.at(-1))) tail = tail.slice(0, -1);
      let end = tail.length;
      while (end > 0 && !isSep(tail[end - 1])) end--;
      tail = tail.slice(0, Math.max(end - 1, 0));
      return (windows ? path.slice(0, path.length - bare(path).length) : root) + tail || '.';
    },
    basename(path, suffix) {
      text(path, 'path');
      if (suffix !== undefined) text(suffix, 'suffix');
      const parts = split(windows ? path.replace(/^[A-Za-z]:/, '') : path);
      while (parts.length > 1 && parts.at(-1) === '') parts.pop();
      const name = parts.at(-1);
      return suffix && (name !== suffix || path === suffix) && name.endsWith(suffix)
        ? name.slice(0, -suffix.length)
        : name;
    },
    extname(path) {
      const name = api.basename(path);
      const at = name.lastIndexOf('.');
      return at <= 0 || name === '..' ? '' : name.slice(at);
    },
    parse(path) {
      text(path, 'path');
      const root = rootOf(path);
      const base = bare(path) === '' ? '' : api.basename(path);
      // A quirk of old: the parts of `..` are `.` and `.`, where a path has more than it.
      const ext = base === '..' && path !== '..' && root !== '' ? '.' : base === '' ? '' : api.extname(base);
      const dir = api.dirname(path);
      return {
        root,
        dir: dir === '.' && !/^\.[\\/]/.test(path) ? '' : dir,
        base,
        ext,
        name: ext ? base.slice(0, -ext.length) : base,
      };
    },
    format(object) {
      if (object === null || typeof object !== 'object') throw badArgument('pathObject', 'of type object', object);
      const dir = object.dir || object.root;
      const base =
        object.base || `${object.name || ''}${object.ext ? (object.ext[0] === '.' ? '' : '.') + object.ext : ''}`;
      return !dir ? base : dir === object.root ? `${dir}${base}` : `${dir}${sep}${base}`;
    },
    matchesGlob(path, pattern) {
      const source = pattern
        .replace(/[.+^${}()|[\]\\]/g, '\\$&')
        .replace(/\*\*\/?/g, '\0')
        .replace(/\*/g, '[^/]*')
        .replace(/\?/g, '[^/]')
        .replaceAll('\0', '.*');
      return new RegExp(`^${source}$`).test(path);
    },
  };
  return api;
}

const posix = make('/', () => globalThis.process?.cwd?.() ?? '/data');
const win32 = make('\\', () => 'C:\\data');
posix.posix = win32.posix = posix;
posix.win32 = win32.win32 = win32;
posix._makeLong = posix.toNamespacedPath;
win32._makeLong = win32.toNamespacedPath;
export { posix, win32 };
export default posix;
