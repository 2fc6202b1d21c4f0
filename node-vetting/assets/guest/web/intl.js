// Intl, which the engine lacks, for one locale: en-US, with the time zone UTC. Other time zones are answered as UTC.

import { globals } from '../core/define.js';

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];
const two = (n) => `${n}`.padStart(2, '0');

function group(digits) {
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

class Service {
  constructor(locales, options = {}) {
    this._options = { ...options };
  }
  static supportedLocalesOf(locales) {
    return [].concat(locales ?? []).map(String);
  }
  resolvedOptions() {
    return { locale: 'en-US', ...this._options };
  }
}

class NumberFormat extends Service {
  format(value) {
    const o = this._options;
    let number = typeof value === 'bigint' ? value : Number(value);
    if (typeof number === 'number' && !Number.isFinite(number))
      return Number.isNaN(number) ? 'NaN' : number < 0 ? '-∞' : '∞';
    if (o.style === 'percent') number = Number(number) * 100;
    const money = o.style === 'currency';
    const least = o.minimumFractionDigits ?? (money ? 2 : 0);
    const most = o.maximumFractionDigits ?? Math.max(least, money ? 2 : o.style === 'percent' ? 0 : 3);
    let text = typeof number === 'bigint' ? `${number}` : Math.abs(number).toFixed(Math.max(least, most));
    let [whole, part = ''] = text.split('.');
    while (part.length > least && part.endsWith('0')) part = part.slice(0, -1);
    whole = whole.padStart(o.minimumIntegerDigits ?? 1, '0');
    if (o.useGrouping !== false) whole = group(whole);
    text = part ? `${whole}.${part}` : whole;
    if (money)
      text = (o.currency === 'USD' || !o.currency ? '$' : o.currency === 'EUR' ? '€' : `${o.currency} `) + text;
    if (o.style === 'percent') text += '%';
    if (o.style === 'unit') text += ` ${o.unit}`;
    return number < 0 && !text.startsWith('-') ? `-${text}` : text;
  }
  formatToParts(value) {
    return [{ type: 'literal', value: this.format(value) }];
  }
  resolvedOptions() {
    return {
      locale: 'en-US',
      numberingSystem: 'latn',
      style: 'decimal',
      minimumIntegerDigits: 1,
      minimumFractionDigits: 0,
      maximumFractionDigits: 3,
      useGrouping: 'auto',
      ...this._options,
    };
  }
}

class DateTimeFormat extends Service {
  constructor(locales, options = {}) {
    super(locales, options);
    const zone = options?.timeZone;
    if (zone !== undefined && !/^([A-Za-z_+\-0-9]+(\/[A-Za-z_+\-0-9]+)*|[+-]\d\d:\d\d)$/.test(zone))
      throw new RangeError(`Invalid time zone specified: ${zone}`);
    this.format = this.format.bind(this);
  }
  formatToParts(date) {
    const d = date === undefined ? new Date() : new Date(date);
    if (Number.isNaN(d.getTime())) throw new RangeError('Invalid time value');
    const o = { ...this._options };
    const asked = [
      'weekday',
      'era',
      'year',
      'month',
      'day',
      'hour',
      'minute',
      'second',
      'dayPeriod',
      'fractionalSecondDigits',
      'dateStyle',
      'timeStyle',
    ].some((name) => o[name] !== undefined);
    if (!asked || o.dateStyle)
      Object.assign(o, {
        year: o.year ?? 'numeric',
        month:
          o.month ??
          (o.dateStyle === 'long' || o.dateStyle === 'full' ? 'long' : o.dateStyle === 'medium' ? 'short' : 'numeric'),
        day: o.day ?? 'numeric',
      });
    if (o.dateStyle === 'full') o.weekday = 'long';
    if (o.timeStyle)
      Object.assign(o, { hour: 'numeric', minute: '2-digit', second: o.timeStyle === 'short' ? undefined : '2-digit' });
    const parts = [];
    const put = (type, value) => parts.push({ type, value: `${value}` });
    const lit = (value) => {
      if (parts.length > 0) put('literal', value);
    };
    const style = (value, how) => (how === '2-digit' ? two(value % 100) : `${value}`);
    if (o.weekday) put('weekday', o.weekday === 'long' ? DAYS[d.getUTCDay()] : DAYS[d.getUTCDay()].slice(0, 3));
    const words = o.month === 'long' || o.month === 'short';
    if (o.month) {
      lit(', ');
      put(
        'month',
        words
          ? o.month === 'long'
            ? MONTHS[d.getUTCMonth()]
            : MONTHS[d.getUTCMonth()].slice(0, 3)
          : style(d.getUTCMonth() + 1, o.month),
      );
    }
    if (o.day) {
      lit(o.month ? (words ? ' ' : '/') : ', ');
      put('day', style(d.getUTCDate(), o.day));
    }
    if (o.year) {
      lit(words ? ', ' : '/');
      put('year', style(d.getUTCFullYear(), o.year));
    }
    if (o.era) {
      lit(' ');
      put('era', d.getUTCFullYear() > 0 ? 'AD' : 'BC');
    }
    const twelve = o.hour && o.hour12 !== false && o.hourCycle !== 'h23' && o.hourCycle !== 'h24';
    if (o.hour) {
      lit(', ');
      const h = d.getUTCHours();
      put('hour', twelve ? style(h % 12 || 12, o.hour) : two(h));
    }
    if (o.minute) {
      if (o.hour) put('literal', ':');
      else lit(', ');
      put('minute', two(d.getUTCMinutes()));
    }
    if (o.second) {
      if (o.minute) put('literal', ':');
      else lit(', ');
      put('second', two(d.getUTCSeconds()));
    }
    if (o.fractionalSecondDigits) {
      put('literal', '.');
      put('fractionalSecond', `${d.getUTCMilliseconds()}`.padStart(3, '0').slice(0, o.fractionalSecondDigits));
    }
    if (twelve) {
      put('literal', ' ');
      put('dayPeriod', d.getUTCHours() < 12 ? 'AM' : 'PM');
    }
    if (o.timeZoneName) {
      lit(' ');
      put(
        'timeZoneName',
        o.timeZoneName === 'long' ? 'Coordinated Universal Time' : o.timeZoneName.endsWith('Offset') ? 'GMT' : 'UTC',
      );
    }
    return parts;
  }
  format(date) {
    return this.formatToParts(date)
      .map((part) => part.value)
      .join('');
  }
  formatRange(a, b) {
    return `${this.format(a)} – ${this.format(b)}`;
  }
  resolvedOptions() {
    return { locale: 'en-US', calendar: 'gregory', numberingSystem: 'latn', timeZone: 'UTC', ...this._options };
  }
}

class Collator extends Service {
  constructor(locales, options) {
    super(locales, options);
    this.compare = (a, b) => {
      const plain = (s) =>
        this._options.sensitivity === 'base' || this._options.sensitivity === 'accent' ? s.toLowerCase() : s;
      let [x, y] = [plain(`${a}`), plain(`${b}`)];
      if (this._options.numeric && /^\d+$/.test(x) && /^\d+$/.test(y)) return Math.sign(x - y);
      const [lx, ly] = [x.toLowerCase(), y.toLowerCase()];
      return lx < ly ? -1 : lx > ly ? 1 : x === y ? 0 : x < y ? 1 : -1;
    };
  }
}
class PluralRules extends Service {
  select(n) {
    return this._options.type === 'ordinal'
      ? n % 10 === 1 && n % 100 !== 11
        ? 'one'
        : n % 10 === 2 && n % 100 !== 12
          ? 'two'
          : n % 10 === 3 && n % 100 !== 13
            ? 'few'
            : 'other'
      : n === 1
        ? 'one'
        : 'other';
  }
}
class RelativeTimeFormat extends Service {
  format(value, unit) {
    const name = `${unit}`.replace(/s$/, '');
    const n = Math.abs(value);
    return value < 0 || Object.is(value, -0)
      ? `${n} ${name}${n === 1 ? '' : 's'} ago`
      : `in ${n} ${name}${n === 1 ? '' : 's'}`;
  }
  formatToParts(value, unit) {
    return [{ type: 'literal', value: this.format(value, unit) }];
  }
}
class ListFormat extends Service {
  format(list) {
    const all = [...list];
    const word = this._options.type === 'disjunction' ? 'or' : 'and';
    return all.length < 2
      ? all.join('')
      : all.length === 2
        ? all.join(` ${word} `)
        : `${all.slice(0, -1).join(', ')}, ${word} ${all.at(-1)}`;
  }
}
class DisplayNames extends Service {
  of(code) {
    return `${code}`;
  }
}
class Segmenter extends Service {
  segment(text) {
    return {
      *[Symbol.iterator]() {
        let index = 0;
        for (const segment of text) {
          yield { segment, index, input: text };
          index += segment.length;
        }
      },
    };
  }
}
class Locale {
  constructor(name) {
    this.baseName = `${name}`;
    this.language = this.baseName.split('-')[0];
    this.region = this.baseName.split('-')[1];
  }
  toString() {
    return this.baseName;
  }
  maximize() {
    return this;
  }
  minimize() {
    return this;
  }
}

const Intl = {
  getCanonicalLocales: (locales) => [].concat(locales ?? []).map(String),
  supportedValuesOf: (key) => (key === 'timeZone' ? ['UTC', 'Europe/Berlin', 'America/New_York'] : []),
};
for (const Class of [
  NumberFormat,
  DateTimeFormat,
  Collator,
  PluralRules,
  RelativeTimeFormat,
  ListFormat,
  DisplayNames,
  Segmenter,
  Locale,
]) {
  // Some of these may be called without `new`; all are made by a function that is a class.
  const Callable = new Proxy(Class, { apply: (target, _, args) => new target(...args) });
  Object.defineProperty(Class.prototype, 'constructor', { value: Callable, writable: true, configurable: true });
  Object.defineProperty(Class.prototype, Symbol.toStringTag, { value: `Intl.${Class.name}`, configurable: true });
  Object.defineProperty(Intl, Class.name, { value: Callable, writable: true, configurable: true });
}
Object.defineProperty(Intl, Symbol.toStringTag, { value: 'Intl', configurable: true });
globals({ Intl });

/** The locale-aware methods that the engine answers otherwise than Node.js. */
const methods = (prototype, values) => {
  for (const [name, value] of Object.entries(values))
    Object.defineProperty(prototype, name, { value, writable: true, configurable: true });
};
methods(Number.prototype, {
  toLocaleString(locales, options) {
    return new NumberFormat(locales, options).format(Number(this));
  },
});
methods(BigInt.prototype, {
  toLocaleString(locales, options) {
    return new NumberFormat(locales, options).format(BigInt(this));
  },
});
const day = { year: 'numeric', month: 'numeric', day: 'numeric' };
const clock = { hour: 'numeric', minute: '2-digit', second: '2-digit' };
const any = (options, names) => names.some((name) => options?.[name] !== undefined);
const shown = (date, locales, options, fallback) =>
  Number.isNaN(date.getTime())
    ? 'Invalid Date'
    : new DateTimeFormat(
        locales,
        any(options, ['weekday', 'year', 'month', 'day', 'hour', 'minute', 'second', 'dateStyle', 'timeStyle'])
          ? options
          : { ...fallback, ...options },
      ).format(date);
methods(Date.prototype, {
  toLocaleString(locales, options) {
    return shown(this, locales, options, { ...day, ...clock });
  },
  toLocaleDateString(locales, options) {
    return shown(this, locales, options, day);
  },
  toLocaleTimeString(locales, options) {
    return shown(this, locales, options, clock);
  },
});
methods(String.prototype, {
  localeCompare(other, locales, options) {
    return new Collator(locales, options).compare(`${this}`, `${other}`);
  },
});
methods(Array.prototype, {
  toLocaleString(locales, options) {
    return this.map((v) => (v === null || v === undefined ? '' : v.toLocaleString(locales, options))).join(',');
  },
});
