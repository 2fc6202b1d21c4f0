// The module `querystring`.

const KEPT = /[!'()*\-._~A-Za-z0-9]/;

export function escape(value) {
  const text = typeof value === 'string' ? value : typeof value === 'object' ? String(value) : `${value}`;
  let out = '';
  for (const char of text) out += KEPT.test(char) && char.length === 1 ? char : encodeURIComponent(char);
  return out;
}
export function unescape(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return unescapeBuffer(text).toString();
  }
}
export function unescapeBuffer(text) {
  const { Buffer } = globalThis;
  const parts = text.split(/(%[0-9a-fA-F]{2})/);
  return Buffer.concat(
    parts.map((part, i) => (i % 2 ? Buffer.from([parseInt(part.slice(1), 16)]) : Buffer.from(part))),
  );
}
const primitive = (value) =>
  typeof value === 'string'
    ? value
    : typeof value === 'number' && Number.isFinite(value)
      ? `${value}`
      : typeof value === 'bigint' || typeof value === 'boolean'
        ? `${value}`
        : '';

export function stringify(object, sep = '&', eq = '=', options) {
  const encode = options?.encodeURIComponent ?? api.escape;
  if (object === null || typeof object !== 'object') return '';
  const out = [];
  for (const name of Object.keys(object)) {
    const key = encode(primitive(name)) + eq;
    const value = object[name];
    if (Array.isArray(value)) for (const one of value) out.push(key + encode(primitive(one)));
    else out.push(key + encode(primitive(value)));
  }
  return out.join(sep);
}
export function parse(text, sep = '&', eq = '=', options) {
  const out = { __proto__: null };
  if (typeof text !== 'string' || text === '') return out;
  const decode = options?.decodeURIComponent ?? api.unescape;
  const most = options?.maxKeys > 0 ? options.maxKeys : options?.maxKeys === 0 ? Infinity : 1000;
  for (const part of text.split(sep || '&').slice(0, most)) {
    if (part === '') continue;
    const at = part.indexOf(eq || '=');
    const read = (piece) => {
      const plain = piece.replace(/\+/g, ' ');
      return plain.includes('%') || options?.decodeURIComponent ? decode(plain) : plain;
    };
    const key = read(at < 0 ? part : part.slice(0, at));
    const value = at < 0 ? '' : read(part.slice(at + (eq || '=').length));
    if (!(key in out)) out[key] = value;
    else if (Array.isArray(out[key])) out[key].push(value);
    else out[key] = [out[key], value];
  }
  return out;
}
const api = { stringify, parse, escape, unescape, unescapeBuffer, encode: stringify, decode: parse };
export default api;
