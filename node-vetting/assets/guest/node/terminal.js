// Standard streams, and the modules `tty` and `readline` over them. Nothing here is a terminal.

import { offer } from '../loader/builtins.js';
import { EventEmitter } from './events.js';
import { Duplex, Readable, Writable } from './stream.js';
import { print, process } from './process.js';

/** Standard streams: what is printed is counted by the host. */
class Output extends Writable {
  constructor(name, fd) {
    super({ decodeStrings: false });
    Object.assign(this, { fd, isTTY: undefined, _type: 'pipe', _isStdio: true, _name: name });
  }
  _write(chunk, encoding, done) {
    print(this._name, typeof chunk === 'string' ? chunk : chunk.toString());
    done();
  }
  _destroy(error, done) {
    done(error);
  }
  getColorDepth() {
    return 1;
  }
  hasColors() {
    return false;
  }
}
class Input extends Readable {
  constructor() {
    super({ read() {} });
    Object.assign(this, { fd: 0, isTTY: undefined });
  }
  setRawMode() {
    return this;
  }
  ref() {
    return this;
  }
  unref() {
    return this;
  }
}
for (const [name, make] of Object.entries({
  stdout: () => new Output('stdout', 1),
  stderr: () => new Output('stderr', 2),
  stdin: () => new Input(),
})) {
  const value = make();
  Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => value });
}
class TTYReadStream extends Duplex {}
class TTYWriteStream extends Output {
  constructor(fd) {
    super(fd === 2 ? 'stderr' : 'stdout', fd);
    this.isTTY = true;
    this.columns = 80;
    this.rows = 24;
  }
  clearLine() {
    return true;
  }
  cursorTo() {
    return true;
  }
  moveCursor() {
    return true;
  }
  getWindowSize() {
    return [80, 24];
  }
}
offer('tty', { isatty: () => false, ReadStream: TTYReadStream, WriteStream: TTYWriteStream });

class Interface extends EventEmitter {
  #lines = [];
  #waiting = [];
  constructor(input, output) {
    super();
    const options = input?.input ? input : { input, output };
    Object.assign(this, {
      input: options.input,
      output: options.output,
      terminal: false,
      line: '',
      closed: false,
      history: [],
    });
    let rest = '';
    this.input?.on?.('data', (chunk) => {
      const parts = (rest + chunk).split(/\r\n|\n|\r/);
      rest = parts.pop();
      parts.forEach((line) => this.#give(line));
    });
    this.input?.on?.('end', () => {
      if (rest) this.#give(rest);
      this.close();
    });
  }
  #give(line) {
    this.emit('line', line);
    const want = this.#waiting.shift();
    if (want) want({ value: line, done: false });
    else this.#lines.push(line);
  }
  close() {
    if (this.closed) return;
    this.closed = true;
    this.emit('close');
    for (const want of this.#waiting.splice(0)) want({ value: undefined, done: true });
  }
  question(query, options, callback) {
    const done = typeof options === 'function' ? options : callback;
    if (done) this.once('line', done);
    else return new Promise((resolve) => this.once('line', resolve));
    return undefined;
  }
  prompt() {}
  setPrompt() {}
  getPrompt() {
    return '> ';
  }
  pause() {
    this.input?.pause?.();
    return this;
  }
  resume() {
    this.input?.resume?.();
    return this;
  }
  write() {}
  getCursorPos() {
    return { rows: 0, cols: 0 };
  }
  [Symbol.asyncIterator]() {
    this.#lines.length = 0;
    return {
      next: () =>
        this.#lines.length
          ? Promise.resolve({ value: this.#lines.shift(), done: false })
          : this.closed
            ? Promise.resolve({ value: undefined, done: true })
            : new Promise((resolve) => this.#waiting.push(resolve)),
      return: () => Promise.resolve({ value: undefined, done: true }),
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}
const yes = () => true;
const readline = {
  Interface,
  createInterface: (input, output) => new Interface(input, output),
  clearLine: yes,
  clearScreenDown: yes,
  cursorTo: yes,
  moveCursor: yes,
  emitKeypressEvents() {},
};
offer('readline/promises', { ...readline, Readline: class Readline {} });
offer('readline', { ...readline, promises: { ...readline } });
