// console: prints through the host, which counts and drops.

import { call, utf8 } from '../core/host.js';
import { defineProperty, global, engineStack } from '../core/primordials.js';
import { format, inspect } from '../node/inspect.js';
import { time } from '../core/loop.js';

const write = (stream, text) => call('output', { __proto__: null, stream }, utf8(text));

export class Console {
  #out;
  #group = '';
  #counts = new Map();
  #timers = new Map();
  constructor(stdout, stderr) {
    const options = stdout && typeof stdout.write !== 'function' ? stdout : { stdout, stderr };
    this.#out = { stdout: options.stdout, stderr: options.stderr ?? options.stdout };
    for (const name of Object.getOwnPropertyNames(Console.prototype))
      if (name !== 'constructor') this[name] = this[name].bind(this);
  }
  #print(to, values) {
    const text = `${(this.#group + format(...values)).replaceAll('\n', `\n${this.#group}`)}\n`;
    if (this.#out[to]) this.#out[to].write(text);
    else write(to, text);
  }
  log(...values) {
    this.#print('stdout', values);
  }
  info(...values) {
    this.#print('stdout', values);
  }
  debug(...values) {
    this.#print('stdout', values);
  }
  warn(...values) {
    this.#print('stderr', values);
  }
  error(...values) {
    this.#print('stderr', values);
  }
  dir(value, options) {
    this.#print('stdout', [inspect(value, { customInspect: false, ...options })]);
  }
  dirxml(...values) {
    this.log(...values);
  }
  trace(...values) {
    this.error('Trace' + (values.length ? `: ${format(...values)}` : '') + '\n' + (engineStack(new Error()) ?? ''));
  }
  assert(ok, ...values) {
    if (!ok)
      this.warn(
        ...(typeof values[0] === 'string'
          ? [`Assertion failed: ${values[0]}`, ...values.slice(1)]
          : ['Assertion failed', ...values]),
      );
  }
  count(label = 'default') {
    this.#counts.set(label, (this.#counts.get(label) ?? 0) + 1);
    this.log(`${label}: ${this.#counts.get(label)}`);
  }
  countReset(label = 'default') {
    this.#counts.delete(label);
  }
  group(...labels) {
    if (labels.length) this.log(...labels);
    this.#group += '  ';
  }
  groupCollapsed(...labels) {
    this.group(...labels);
  }
  groupEnd() {
    this.#group = this.#group.slice(2);
  }
  table(value) {
    this.log(value);
  }
  time(label = 'default') {
    this.#timers.set(label, time());
  }
  timeLog(label = 'default', ...values) {
    if (this.#timers.has(label)) this.log(`${label}: ${(time() - this.#timers.get(label)).toFixed(3)}ms`, ...values);
  }
  timeEnd(label = 'default') {
    this.timeLog(label);
    this.#timers.delete(label);
  }
  clear() {}
  profile() {}
  profileEnd() {}
  timeStamp() {}
}
export const console = new Console();
defineProperty(console, 'Console', { value: Console, writable: true, configurable: true });
defineProperty(global, 'console', { value: console, writable: true, configurable: true, enumerable: false });
