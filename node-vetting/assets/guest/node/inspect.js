// util.inspect and util.format.

export const custom = Symbol.for('nodejs.util.inspect.custom');
const PLAIN = /^[a-zA-Z_][a-zA-Z_0-9]*$/;
const ESCAPES = { '\b': '\\b', '\t': '\\t', '\n': '\\n', '\f': '\\f', '\r': '\\r', '\\': '\\\\', '\x0b': '\\x0B' };

/** A text in quotes, the kind chosen so that the least has to be escaped. */
function quoted(text) {
  const quote = !text.includes("'")
    ? "'"
    : !text.includes('"')
      ? '"'
      : !text.includes('`') && !text.includes('${')
        ? '`'
        : "'";
  return (
    quote +
    text
      .replace(
        /[\x00-\x1f\x7f-\x9f\\]/g,
        (c) => ESCAPES[c] ?? `\\x${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
      )
      .replaceAll(quote === "'" ? "'" : '\0', quote === "'" ? "\\'" : '\0') +
    quote
  );
}

const DEFAULTS = {
  showHidden: false,
  depth: 2,
  colors: false,
  customInspect: true,
  showProxy: false,
  maxArrayLength: 100,
  maxStringLength: 10000,
  breakLength: 128,
  compact: 3,
  sorted: false,
  getters: false,
  numericSeparator: false,
};

function primitive(value, ctx) {
  switch (typeof value) {
    case 'string': {
      const cut = value.length > ctx.maxStringLength ? value.length - ctx.maxStringLength : 0;
      const shown = cut ? value.slice(0, ctx.maxStringLength) : value;
      const room = ctx.breakLength - ctx.indent - 4;
      // Long texts of several lines stand line by line.
      if (ctx.compact !== true && shown.length > 16 && shown.length > room)
        return shown
          .split(/(?<=\n)/)
          .map(quoted)
          .join(` +\n${' '.repeat(ctx.indent + 2)}`);
      return quoted(shown) + (cut ? `... ${cut} more character${cut > 1 ? 's' : ''}` : '');
    }
    case 'number':
      return Object.is(value, -0) ? '-0' : `${value}`;
    case 'bigint':
      return `${value}n`;
    case 'symbol':
      return value.toString();
    default:
      return `${value}`;
  }
}

function nameOf(value) {
  for (let at = value; at !== null && at !== undefined; at = Object.getPrototypeOf(at)) {
    const own = Object.getOwnPropertyDescriptor(at, 'constructor');
    if (own && typeof own.value === 'function' && own.value.name !== '') return own.value.name;
  }
  return null;
}

function prefix(value, fallback, size) {
  const name = nameOf(value);
  let tag = value[Symbol.toStringTag];
  tag = typeof tag === 'string' && tag !== '' && tag !== name ? ` [${tag}]` : '';
  const sized = size === undefined ? '' : `(${size})`;
  if (name === null) return `[${fallback}${sized}: null prototype]${tag} `;
  return `${name}${sized}${tag} `;
}

function keysOf(value, ctx) {
  const names = ctx.showHidden ? Object.getOwnPropertyNames(value) : Object.keys(value);
  const symbols = Object.getOwnPropertySymbols(value).filter(
    (s) => ctx.showHidden || Object.prototype.propertyIsEnumerable.call(value, s),
  );
  return [...names, ...symbols];
}

function property(value, key, ctx, inArray) {
  const own = Object.getOwnPropertyDescriptor(value, key) ?? { value: value[key], enumerable: true };
  let text;
  if (own.value !== undefined || (!own.get && !own.set)) {
    text = ctx.indented(own.value, 2);
  } else {
    text = own.get ? (own.set ? '[Getter/Setter]' : '[Getter]') : '[Setter]';
  }
  if (inArray) return text;
  let name =
    typeof key === 'symbol'
      ? key.toString()
      : key === '__proto__'
        ? "['__proto__']"
        : PLAIN.test(key)
          ? key
          : quoted(key);
  if (!own.enumerable) name = `[${name}]`;
  return `${name}: ${text}`;
}

function functionBase(value) {
  const source = Function.prototype.toString.call(value);
  const own = Object.getPrototypeOf(value) === null ? ' (null prototype)' : '';
  if (source.startsWith('class')) {
    const parent = Object.getPrototypeOf(value)?.name;
    return `[class ${value.name || '(anonymous)'}${parent ? ` extends ${parent}` : ''}]`;
  }
  const kind =
    value.constructor?.name === 'AsyncFunction'
      ? 'AsyncFunction'
      : value.constructor?.name === 'GeneratorFunction'
        ? 'GeneratorFunction'
        : value.constructor?.name === 'AsyncGeneratorFunction'
          ? 'AsyncGeneratorFunction'
          : 'Function';
  return `[${kind}${own}${value.name ? `: ${value.name}` : ' (anonymous)'}]`;
}

function errorText(error, keys) {
  let text = typeof error.stack === 'string' && error.stack !== '' ? error.stack : Error.prototype.toString.call(error);
  for (const name of ['stack', 'message', 'name']) {
    const at = keys.indexOf(name);
    if (at >= 0 && text.includes(error[name])) keys.splice(at, 1);
  }
  if ('cause' in error && !keys.includes('cause') && Object.hasOwn(error, 'cause')) keys.push('cause');
  if (Array.isArray(error.errors) && !keys.includes('errors')) keys.push('errors');
  const at = text.indexOf('\n    at');
  return at < 0 && !text.startsWith('[') && !error.stack?.includes('\n') ? `[${text}]` : text;
}

function items(list, ctx) {
  const out = [];
  const shown = Math.min(list.length, ctx.maxArrayLength);
  for (let i = 0, put = 0; i < list.length && put < shown; i++, put++) {
    if (!(i in list)) {
      let holes = 1;
      while (i + 1 < list.length && !(i + 1 in list)) {
        i++;
        holes++;
      }
      out.push(`<${holes} empty item${holes > 1 ? 's' : ''}>`);
    } else out.push(property(list, `${i}`, ctx, true));
  }
  const more = list.length - shown;
  if (more > 0) out.push(`... ${more} more item${more > 1 ? 's' : ''}`);
  return out;
}

/** What to print of an object: its prefix, braces, and entries. */
function layout(value, ctx, keys) {
  const array = Array.isArray(value);
  const index = (key) => typeof key === 'string' && /^(0|[1-9]\d*)$/.test(key);
  if (array) {
    const named = nameOf(value);
    return {
      open: `${named !== 'Array' ? prefix(value, 'Array', value.length) : ''}[`,
      close: ']',
      list: items(value, ctx),
      keys: keys.filter((k) => !index(k)),
      array,
    };
  }
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return {
      open: `${prefix(value, 'TypedArray', value.length)}[`,
      close: ']',
      list: items(Array.from(value), ctx),
      keys: keys.filter((k) => !index(k)),
      array: true,
    };
  }
  if (value instanceof Set)
    return {
      open: `${prefix(value, 'Set', value.size)}{`,
      close: '}',
      list: [...Set.prototype.values.call(value)].map((v) => ctx.indented(v, 2)),
      keys,
    };
  if (value instanceof Map)
    return {
      open: `${prefix(value, 'Map', value.size)}{`,
      close: '}',
      list: [...Map.prototype.entries.call(value)].map(([k, v]) => `${ctx.indented(k, 2)} => ${ctx.indented(v, 2)}`),
      keys,
    };
  if (value instanceof ArrayBuffer) {
    const hex = Array.from(new Uint8Array(value).subarray(0, 50), (b) => b.toString(16).padStart(2, '0')).join(' ');
    return {
      open: `${prefix(value, 'ArrayBuffer')}{`,
      close: '}',
      list: [
        `[Uint8Contents]: <${hex}${value.byteLength > 50 ? ` ... ${value.byteLength - 50} more bytes` : ''}>`,
        `[byteLength]: ${value.byteLength}`,
      ],
      keys,
    };
  }
  if (value instanceof Promise) return { open: `${prefix(value, 'Promise')}{`, close: '}', list: ['<pending>'], keys };
  if (value instanceof WeakMap || value instanceof WeakSet)
    return { open: `${prefix(value, 'WeakSet')}{`, close: '}', list: ['<items unknown>'], keys };
  let base;
  if (typeof value === 'function') base = functionBase(value);
  else if (value instanceof RegExp) base = RegExp.prototype.toString.call(value);
  else if (value instanceof Date)
    base = Number.isNaN(value.getTime()) ? 'Invalid Date' : Date.prototype.toISOString.call(value);
  else if (value instanceof Error) base = errorText(value, keys);
  else if (
    value instanceof Number ||
    value instanceof String ||
    value instanceof Boolean ||
    value instanceof Symbol ||
    value instanceof BigInt
  ) {
    base = `[${nameOf(value)}: ${primitive(value.valueOf(), ctx)}]`;
    if (value instanceof String) keys = keys.filter((k) => !index(k));
  }
  if (base !== undefined) return { base, open: `${base} {`, close: '}', list: [], keys };
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (kind === 'Arguments') return { open: '[Arguments] {', close: '}', list: [], keys };
  if (kind === 'Module') return { open: '[Module: null prototype] {', close: '}', list: [], keys };
  const named = prefix(value, 'Object');
  return { open: `${named === 'Object ' ? '' : named}{`, close: '}', list: [], keys };
}

class Context {
  constructor(options) {
    Object.assign(this, DEFAULTS, options);
    if (this.depth === null) this.depth = Infinity;
    if (this.maxArrayLength === null) this.maxArrayLength = Infinity;
    if (this.maxStringLength === null) this.maxStringLength = Infinity;
    this.seen = [];
    this.circular = new Map();
    this.level = 0;
    this.deepest = 0;
    this.indent = 0;
  }
  stylize = (text) => `${text}`;
  indented(value, by) {
    this.indent += by;
    const text = this.value(value);
    this.indent -= by;
    return text;
  }
  value(value) {
    if (typeof value !== 'object' && typeof value !== 'function') return primitive(value, this);
    if (value === null) return 'null';
    if (this.customInspect) {
      const own = value[custom];
      if (
        typeof own === 'function' &&
        own !== inspect &&
        !(value.constructor && value.constructor.prototype === value)
      ) {
        const depth = this.depth - this.level;
        const { seen, circular, level, indent, ...options } = this;
        const text = own.call(value, depth, { ...options, depth, stylize: this.stylize }, inspect);
        if (text !== value)
          return typeof text === 'object' && text !== null
            ? this.value(text)
            : `${text}`.replaceAll('\n', `\n${' '.repeat(this.indent)}`);
      }
    }
    if (this.seen.includes(value)) {
      if (!this.circular.has(value)) this.circular.set(value, this.circular.size + 1);
      return `[Circular *${this.circular.get(value)}]`;
    }
    return this.object(value);
  }
  object(value) {
    const keys = keysOf(value, this);
    const parts = layout(value, this, keys);
    if (this.level > this.depth)
      return Array.isArray(value) ? '[Array]' : `[${nameOf(value) ?? 'Object: null prototype'}]`;
    this.seen.push(value);
    const level = this.level++;
    this.deepest = level;
    const again = layout(value, this, keysOf(value, this));
    const list = [...again.list];
    for (const key of again.keys) list.push(property(value, key, this, false));
    this.level--;
    this.seen.pop();
    if (this.sorted) list.sort(typeof this.sorted === 'function' ? this.sorted : undefined);
    const mark = this.circular.has(value) ? `<ref *${this.circular.get(value)}> ` : '';
    if (list.length === 0) return mark + (parts.base ?? `${again.open}${again.close}`);
    return this.fit(list, mark + again.open, again.close, again.array, value, this.deepest - level);
  }
  /** `inner` says how deep the objects in it were that were printed last: only shallow ones stand in one line. */
  fit(list, open, close, array, value, inner) {
    let output = list;
    const entries = list.length;
    if (array && entries > 6 && this.compact >= 1) output = columns(list, this, value);
    if (this.compact !== true && inner < this.compact && entries === output.length) {
      const start = output.length + this.indent + open.length + 10;
      const total = output.reduce((size, text) => size + text.length, output.length + start);
      if (total <= this.breakLength && !output.some((text) => text.includes('\n')))
        return `${open} ${output.join(', ')} ${close}`;
    }
    const pad = `\n${' '.repeat(this.indent)}`;
    return `${open}${pad}  ${output.join(`,${pad}  `)}${pad}${close}`;
  }
}

/** Long lists of short things stand in columns. */
function columns(list, ctx, value) {
  let extra = 0;
  let longest = 0;
  let end = list.length;
  if (ctx.maxArrayLength < list.length || `${list.at(-1)}`.startsWith('... ')) end--;
  const lengths = [];
  for (let i = 0; i < end; i++) {
    lengths[i] = list[i].length;
    extra += lengths[i] + 2;
    longest = Math.max(longest, lengths[i]);
  }
  const wide = longest + 2;
  if (wide * 3 + ctx.indent >= ctx.breakLength || !(extra / wide > 5 || longest <= 6)) return list;
  const biased = Math.max(longest - Math.sqrt(wide - extra / list.length), 1);
  const count = Math.min(
    Math.round(Math.sqrt(2.5 * biased * end) / biased),
    Math.floor((ctx.breakLength - ctx.indent) / wide),
    ctx.compact * 4,
    15,
  );
  if (count <= 1) return list;
  const widths = [];
  for (let column = 0; column < count; column++) {
    let most = 0;
    for (let i = column; i < end; i += count) most = Math.max(most, lengths[i]);
    widths.push(most + 2);
  }
  const right =
    Array.isArray(value) || ArrayBuffer.isView(value)
      ? Array.from(value)
          .slice(0, end)
          .every((v) => typeof v === 'number' || typeof v === 'bigint')
      : false;
  const out = [];
  for (let i = 0; i < end; i += count) {
    const stop = Math.min(i + count, end);
    let line = '';
    for (let j = i; j < stop - 1; j++) {
      const cell = `${list[j]}, `;
      line += right ? cell.padStart(widths[j - i]) : cell.padEnd(widths[j - i]);
    }
    line += right ? list[stop - 1].padStart(widths[stop - 1 - i] - 2) : list[stop - 1];
    out.push(line);
  }
  if (end < list.length) out.push(list[end]);
  return out;
}

export function inspect(value, options, ...old) {
  let given = options;
  if (typeof options === 'boolean')
    given = { showHidden: options, depth: old[0] === undefined ? 2 : old[0], colors: old[1] };
  return new Context({ breakLength: 80, ...given }).value(value);
}
inspect.custom = custom;
inspect.defaultOptions = { ...DEFAULTS };
inspect.colors = Object.assign(Object.create(null), {
  reset: [0, 0],
  bold: [1, 22],
  dim: [2, 22],
  italic: [3, 23],
  underline: [4, 24],
  blink: [5, 25],
  inverse: [7, 27],
  hidden: [8, 28],
  strikethrough: [9, 29],
  black: [30, 39],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
  white: [37, 39],
  gray: [90, 39],
  grey: [90, 39],
  redBright: [91, 39],
  greenBright: [92, 39],
  yellowBright: [93, 39],
  blueBright: [94, 39],
  magentaBright: [95, 39],
  cyanBright: [96, 39],
  whiteBright: [97, 39],
  bgRed: [41, 49],
  bgGreen: [42, 49],
  bgYellow: [43, 49],
  bgBlue: [44, 49],
});
inspect.styles = Object.assign(Object.create(null), {
  special: 'cyan',
  number: 'yellow',
  bigint: 'yellow',
  boolean: 'yellow',
  undefined: 'grey',
  null: 'bold',
  string: 'green',
  symbol: 'green',
  date: 'magenta',
  regexp: 'red',
  module: 'underline',
});

const plainString = (value) => {
  if (typeof value === 'string') return value;
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'object' && value !== null) {
    if (
      value instanceof Error ||
      typeof value.toString !== 'function' ||
      value.toString === Object.prototype.toString ||
      value.toString === Array.prototype.toString
    )
      return inspect(value, { depth: 0, colors: false, compact: 3 });
    return String(value);
  }
  return Object.is(value, -0) ? '-0' : String(value);
};

export function formatWithOptions(options, ...args) {
  let out = '';
  let used = 0;
  if (typeof args[0] === 'string') {
    if (args.length === 1) return args[0];
    used = 1;
    out = args[0].replace(/%[sdifjoOc%]/g, (mark) => {
      if (mark === '%%') return '%';
      if (used >= args.length) return mark;
      const value = args[used++];
      switch (mark) {
        case '%s':
          return plainString(value);
        case '%d':
          return typeof value === 'bigint'
            ? `${value}n`
            : typeof value === 'symbol'
              ? 'NaN'
              : primitive(Number(value), DEFAULTS);
        case '%i':
          return typeof value === 'bigint'
            ? `${value}n`
            : typeof value === 'symbol'
              ? 'NaN'
              : primitive(parseInt(value, 10), DEFAULTS);
        case '%f':
          return typeof value === 'symbol' ? 'NaN' : primitive(parseFloat(value), DEFAULTS);
        case '%j':
          try {
            return JSON.stringify(value);
          } catch (error) {
            if (/circular/i.test(error.message)) return '[Circular]';
            throw error;
          }
        case '%o':
          return inspect(value, { ...options, showHidden: true, showProxy: true, depth: 4 });
        case '%O':
          return inspect(value, options);
        default:
          return '';
      }
    });
  }
  for (; used < args.length; used++) {
    const value = args[used];
    out +=
      (used > 0 ? ' ' : '') +
      (typeof value === 'string'
        ? value
        : inspect(value, { ...options, compact: 3, colors: false, depth: options?.depth ?? 2 }));
  }
  return out;
}
export const format = (...args) => formatWithOptions(undefined, ...args);
