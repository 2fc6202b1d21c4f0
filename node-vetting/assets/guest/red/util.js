// RED.util with the meaning that it has in Node-RED.

import { dep } from '../loader/deps.js';
import { unsupported } from '../core/host.js';
import util from '../node/util.js';
import crypto from '../node/crypto.js';

const jsonata = dep('jsonata/jsonata.js');

export const generateId = () => crypto.randomBytes(8).toString('hex');

function deepClone(value, seen = new Map()) {
  if (typeof value !== 'object' || value === null) return value;
  if (seen.has(value)) return seen.get(value);
  if (Buffer.isBuffer(value)) return Buffer.from(value);
  if (value instanceof Date) return new Date(value.getTime());
  if (value instanceof RegExp) return new RegExp(value.source, value.flags);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value.slice();
  const out = Array.isArray(value)
    ? []
    : value instanceof Map
      ? new Map()
      : value instanceof Set
        ? new Set()
        : Object.create(Object.getPrototypeOf(value));
  seen.set(value, out);
  if (value instanceof Map) for (const [k, v] of value) out.set(deepClone(k, seen), deepClone(v, seen));
  else if (value instanceof Set) for (const v of value) out.add(deepClone(v, seen));
  for (const key of Object.keys(value)) out[key] = deepClone(value[key], seen);
  return out;
}

/** A copy in which request and response stay the same objects. */
export function cloneMessage(msg) {
  if (typeof msg === 'undefined' || msg === null) return msg;
  const { req, res } = msg;
  delete msg.req;
  delete msg.res;
  const out = deepClone(msg);
  if (req) msg.req = out.req = req;
  if (res) msg.res = out.res = res;
  return out;
}

function compareObjects(a, b) {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  return util.isDeepStrictEqual(a, b);
}

const broken = (message, code = 'INVALID_EXPR') => Object.assign(new Error(message), { code });

/** The parts of a property expression: `payload[0].a["b c"]`. */
export function normalisePropertyExpression(text, msg, toString) {
  if (typeof text !== 'string' || text.length === 0) throw broken('Invalid property expression: zero-length');
  const parts = [];
  let at = 0;
  const fail = (why) => {
    throw broken(`Invalid property expression: ${why} at position ${at}`);
  };
  while (at < text.length) {
    if (text[at] === '[') {
      const quote = text[at + 1];
      if (quote === '"' || quote === "'") {
        const end = text.indexOf(quote, at + 2);
        if (end < 0 || text[end + 1] !== ']') fail('unterminated expression');
        parts.push(text.slice(at + 2, end));
        at = end + 2;
      } else if (/[0-9]/.test(quote ?? '')) {
        const end = text.indexOf(']', at);
        const inside = text.slice(at + 1, end);
        if (end < 0 || !/^\d+$/.test(inside)) fail(`unexpected ${inside}`);
        parts.push(parseInt(inside, 10));
        at = end + 1;
      } else if (text.startsWith('msg', at + 1)) {
        let depth = 0;
        let end = at;
        for (; end < text.length; end++) {
          if (text[end] === '[') depth++;
          else if (text[end] === ']' && --depth === 0) break;
        }
        if (depth !== 0) fail('unterminated expression');
        const inner = text.slice(at + 1, end);
        if (msg) {
          const value = getMessageProperty(msg, inner);
          if (value === undefined) throw broken(`Invalid expression: undefined reference at position ${at} : ${inner}`);
          parts.push(value);
        } else parts.push(normalisePropertyExpression(inner));
        at = end + 1;
      } else fail(`unexpected ${quote}`);
    } else if (text[at] === '.') {
      if (at === 0 || at === text.length - 1) fail('unexpected .');
      at++;
      if (!/[a-zA-Z0-9$_]/.test(text[at])) fail(`unexpected ${text[at]}`);
      continue;
    } else {
      const match = /^[^.[\]'" ]+/.exec(text.slice(at));
      if (!match) fail(`unexpected ${text[at]}`);
      parts.push(match[0]);
      at += match[0].length;
      if (at < text.length && text[at] !== '.' && text[at] !== '[') fail(`unexpected ${text[at]}`);
    }
  }
  if (!toString) return parts;
  return parts
    .map((part, i) =>
      typeof part === 'number' ? `[${part}]` : /^[a-z$_][\w$]*$/i.test(part) ? (i ? `.${part}` : part) : `["${part}"]`,
    )
    .join('');
}

export function getObjectProperty(object, expression) {
  let value;
  let at = object;
  for (const part of normalisePropertyExpression(expression, object)) {
    value =
      Object.prototype.hasOwnProperty.call(Object(at), part) || at?.[part] !== undefined
        ? at[part]
        : at === undefined || at === null
          ? at[part]
          : undefined;
    at = value;
  }
  return value;
}
export function getMessageProperty(msg, expression) {
  return getObjectProperty(msg, expression.startsWith('msg.') ? expression.slice(4) : expression);
}
export function setObjectProperty(object, expression, value, createMissing = value !== undefined) {
  const parts = normalisePropertyExpression(expression, object);
  let at = object;
  for (let i = 0; i < parts.length - 1; i++) {
    const key = parts[i];
    if (at[key] === undefined || !Object.prototype.hasOwnProperty.call(at, key)) {
      if (!createMissing) return false;
      at[key] = typeof parts[i + 1] === 'string' ? {} : [];
    } else if (typeof at[key] !== 'object' || at[key] === null) return false;
    at = at[key];
  }
  const last = parts.at(-1);
  if (value === undefined) {
    if (Array.isArray(at)) at.splice(last, 1);
    else delete at[last];
  } else if (typeof at === 'object' && at !== null) at[last] = value;
  else return false;
  return true;
}
export const setMessageProperty = (msg, expression, value, createMissing) =>
  setObjectProperty(msg, expression.startsWith('msg.') ? expression.slice(4) : expression, value, createMissing);

function parseContextStore(key) {
  const match = /^#:\((\S+?)\)::(.*)$/.exec(key);
  return match ? { store: match[1], key: match[2] } : { key };
}
function getSetting(node, name) {
  if (node) {
    if (name === 'NR_NODE_NAME') return node.name;
    if (name === 'NR_NODE_ID') return node.id;
    if (name === 'NR_NODE_PATH') return node._path;
  }
  return process.env[name];
}
function evaluateEnvProperty(value, node) {
  if (/^\${[^}]+}$/.test(value)) return getSetting(node, value.slice(2, -1)) ?? '';
  if (!value.includes('${')) return getSetting(node, value) ?? '';
  return value.replace(/\${([^}]+)}/g, (_, name) => getSetting(node, name) ?? '');
}

function prepareJSONataExpression(value, node) {
  const expression = jsonata(value);
  expression.assign('flowContext', (key, store) => node?.context?.().flow?.get(key, store));
  expression.assign('globalContext', (key, store) => node?.context?.().global?.get(key, store));
  expression.assign('env', (name) => getSetting(node, name) ?? '');
  expression.assign('moment', (...args) => {
    unsupported('JSONata $moment');
    void args;
    return undefined;
  });
  expression.assign('clone', cloneMessage);
  return expression;
}
function evaluateJSONataExpression(expression, msg, callback) {
  const result = Promise.resolve(expression.evaluate(msg ?? {}, {}));
  if (callback)
    result.then(
      (value) => callback(null, value),
      (error) => callback(error),
    );
  else return result;
  return undefined;
}

export function evaluateNodeProperty(value, type, node, msg, callback) {
  let result = value;
  switch (type) {
    case 'str':
      result = `${value}`;
      break;
    case 'num':
      result = Number(value);
      break;
    case 'json':
      result = JSON.parse(value);
      break;
    case 're':
      result = new RegExp(value);
      break;
    case 'date':
      result = value === 'object' ? new Date() : value === 'iso' ? new Date().toISOString() : Date.now();
      break;
    case 'bin': {
      const data = typeof value === 'string' ? JSON.parse(value) : value;
      if (!Array.isArray(data) && typeof data !== 'string' && !Buffer.isBuffer(data))
        throw Object.assign(new Error('Invalid buffer data'), { code: 'INVALID_BUFFER_DATA' });
      result = Buffer.from(data);
      break;
    }
    case 'msg':
      if (msg) {
        try {
          result = getMessageProperty(msg, value);
        } catch (error) {
          if (callback) {
            callback(error);
            return undefined;
          }
          throw error;
        }
      }
      break;
    case 'flow':
    case 'global': {
      const { store, key } = parseContextStore(value);
      result = node.context()[type].get(key, store, callback);
      if (callback) return undefined;
      break;
    }
    case 'bool':
      result = /^true$/i.test(value);
      break;
    case 'jsonata': {
      const expression = prepareJSONataExpression(value, node);
      if (callback) {
        evaluateJSONataExpression(expression, msg, callback);
        return undefined;
      }
      return evaluateJSONataExpression(expression, msg);
    }
    case 'env':
      result = evaluateEnvProperty(value, node);
      break;
    default:
  }
  if (callback) callback(null, result);
  else return result;
  return undefined;
}

const limit = 1000;
/** A message as the editor's sidebar would show it. */
function encodeObject(msg, options = {}) {
  const most = options.maxLength ?? limit;
  const value = msg.msg;
  if (value instanceof Error) {
    msg.format = 'error';
    msg.msg = JSON.stringify({ name: value.name, message: value.message, stack: `${value.stack}` });
  } else if (Buffer.isBuffer(value)) {
    msg.format = `buffer[${value.length}]`;
    msg.msg = value.toString('hex').slice(0, most);
  } else if (typeof value === 'object' && value !== null) {
    msg.format = Array.isArray(value) ? `array[${value.length}]` : 'Object';
    try {
      msg.msg = JSON.stringify(value);
    } catch {
      msg.msg = '[circular]';
    }
  } else {
    msg.format =
      value === null
        ? 'null'
        : value === undefined
          ? 'undefined'
          : typeof value === 'string'
            ? `string[${value.length}]`
            : typeof value;
    msg.msg = `${value}`.slice(0, most);
  }
  return msg;
}

const normaliseNodeTypeName = (name) => {
  const text = name
    .replace(/[^a-zA-Z0-9]/g, ' ')
    .trim()
    .replace(/ +/g, ' ')
    .replace(/ ./g, (part) => part[1].toUpperCase());
  return text.charAt(0).toLowerCase() + text.slice(1);
};

export const redUtil = {
  generateId,
  cloneMessage,
  compareObjects,
  getMessageProperty,
  setMessageProperty,
  getObjectProperty,
  setObjectProperty,
  normalisePropertyExpression,
  evaluateNodeProperty,
  normaliseNodeTypeName,
  prepareJSONataExpression,
  evaluateJSONataExpression,
  parseContextStore,
  getSetting,
  encodeObject,
  evaluateEnvProperty,
  ensureString: (value) =>
    Buffer.isBuffer(value)
      ? value.toString()
      : typeof value === 'object'
        ? JSON.stringify(value)
        : typeof value === 'string'
          ? value
          : `${value}`,
  ensureBuffer: (value) =>
    Buffer.isBuffer(value) ? value : Buffer.from(typeof value === 'object' ? JSON.stringify(value) : `${value}`),
  createError: (code, message) => Object.assign(new Error(message), { code }),
};
