// The streams of the web platform: the parts that server code uses, without byte streams and backpressure signals.

import { globals, tag } from '../core/define.js';
import { deferred } from '../core/primordials.js';
import { TextDecoder, TextEncoder } from './encoding.js';

class ReadableStreamDefaultController {
  constructor(stream) {
    this._stream = stream;
  }
  get desiredSize() {
    return 1 - this._stream._queue.length;
  }
  enqueue(chunk) {
    this._stream._give(chunk);
  }
  close() {
    this._stream._end();
  }
  error(reason) {
    this._stream._fail(reason);
  }
}
class ReadableStreamDefaultReader {
  constructor(stream) {
    if (stream.locked) throw new TypeError('ReadableStream is locked');
    this._stream = stream;
    stream._reader = this;
  }
  get closed() {
    return this._stream._closed.promise;
  }
  read() {
    return this._stream._take();
  }
  cancel(reason) {
    return this._stream.cancel(reason, this);
  }
  releaseLock() {
    if (this._stream) this._stream._reader = null;
  }
}
class ReadableStream {
  constructor(source = {}) {
    for (const [name, value] of Object.entries({
      _queue: [],
      _wanted: [],
      _state: 'readable',
      _reason: undefined,
      _reader: null,
      _source: source,
      _closed: deferred(),
      _pulling: false,
      _control: null,
    })) {
      Object.defineProperty(this, name, { value, writable: true });
    }
    this._closed.promise.catch(() => {});
    this._control = new ReadableStreamDefaultController(this);
    const started = source?.start?.(this._control);
    Object.defineProperty(this, '_started', { value: Promise.resolve(started) });
    this._started.catch((error) => this._fail(error));
  }
  static from(iterable) {
    const iterator = iterable[Symbol.asyncIterator]?.() ?? iterable[Symbol.iterator]();
    return new ReadableStream({
      async pull(control) {
        const { done, value } = await iterator.next();
        if (done) control.close();
        else control.enqueue(value);
      },
      async cancel(reason) {
        await iterator.return?.(reason);
      },
    });
  }
  get locked() {
    return this._reader !== null;
  }
  _give(chunk) {
    if (this._wanted.length > 0) this._wanted.shift().resolve({ value: chunk, done: false });
    else this._queue.push(chunk);
  }
  _end() {
    if (this._state !== 'readable') return;
    this._state = 'closed';
    for (const want of this._wanted.splice(0)) want.resolve({ value: undefined, done: true });
    if (this._queue.length === 0) this._closed.resolve();
  }
  _fail(reason) {
    if (this._state !== 'readable') return;
    this._state = 'errored';
    this._reason = reason;
    this._queue.length = 0;
    for (const want of this._wanted.splice(0)) want.reject(reason);
    this._closed.reject(reason);
  }
  async _take() {
    if (this._queue.length > 0) return { value: this._queue.shift(), done: false };
    if (this._state === 'errored') throw this._reason;
    if (this._state === 'closed') {
      this._closed.resolve();
      return { value: undefined, done: true };
    }
    const want = deferred();
    this._wanted.push(want);
    this._pull();
    return want.promise;
  }
  async _pull() {
    if (this._pulling || typeof this._source?.pull !== 'function') return;
    this._pulling = true;
    try {
      await this._started;
      while (this._wanted.length > 0 && this._state === 'readable') {
        const before = this._wanted.length;
        await this._source.pull(this._control);
        if (this._wanted.length === before) break;
      }
    } catch (error) {
      this._fail(error);
    } finally {
      this._pulling = false;
    }
  }
  getReader() {
    return new ReadableStreamDefaultReader(this);
  }
  async cancel(reason) {
    this._queue.length = 0;
    this._end();
    await this._source?.cancel?.(reason);
  }
  tee() {
    const reader = this.getReader();
    const sides = [];
    for (let i = 0; i < 2; i++) sides.push(new ReadableStream());
    (async () => {
      for (;;) {
        const { done, value } = await reader.read();
        for (const side of sides) {
          if (done) side._end();
          else side._give(value);
        }
        if (done) break;
      }
    })();
    return sides;
  }
  async pipeTo(target) {
    const writer = target.getWriter();
    for await (const chunk of this) await writer.write(chunk);
    await writer.close();
  }
  pipeThrough({ readable, writable }) {
    this.pipeTo(writable).catch((error) => readable._fail(error));
    return readable;
  }
  async *values() {
    const reader = this.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        yield value;
      }
    } finally {
      reader.releaseLock();
      await this.cancel();
    }
  }
  [Symbol.asyncIterator]() {
    return this.values();
  }
}

class WritableStreamDefaultWriter {
  constructor(stream) {
    this._stream = stream;
    stream._writer = this;
  }
  get ready() {
    return Promise.resolve();
  }
  get closed() {
    return this._stream._closed.promise;
  }
  get desiredSize() {
    return 1;
  }
  write(chunk) {
    return this._stream._write(chunk);
  }
  close() {
    return this._stream.close();
  }
  abort(reason) {
    return this._stream.abort(reason);
  }
  releaseLock() {
    this._stream._writer = null;
  }
}
class WritableStream {
  constructor(sink = {}) {
    const control = { error: (reason) => this._closed.reject(reason), signal: new AbortController().signal };
    for (const [name, value] of Object.entries({
      _sink: sink,
      _closed: deferred(),
      _writer: null,
      _control: control,
      _last: Promise.resolve(sink?.start?.(control)),
    }))
      Object.defineProperty(this, name, { value, writable: true });
    this._closed.promise.catch(() => {});
  }
  get locked() {
    return this._writer !== null;
  }
  getWriter() {
    return new WritableStreamDefaultWriter(this);
  }
  _write(chunk) {
    return (this._last = this._last.then(() => this._sink?.write?.(chunk, this._control)));
  }
  close() {
    return (this._last = this._last.then(() => this._sink?.close?.(this._control)).then(() => this._closed.resolve()));
  }
  async abort(reason) {
    await this._sink?.abort?.(reason);
    this._closed.reject(reason);
  }
}
class TransformStream {
  constructor(transformer = {}) {
    this.readable = new ReadableStream();
    const control = {
      enqueue: (chunk) => this.readable._give(chunk),
      error: (reason) => this.readable._fail(reason),
      terminate: () => this.readable._end(),
      desiredSize: 1,
    };
    this.writable = new WritableStream({
      start: () => transformer.start?.(control),
      write: (chunk) => (transformer.transform ? transformer.transform(chunk, control) : control.enqueue(chunk)),
      close: async () => {
        await transformer.flush?.(control);
        this.readable._end();
      },
    });
  }
}
class TextDecoderStream extends TransformStream {
  constructor(label, options) {
    const decoder = new TextDecoder(label, options);
    super({
      transform: (chunk, control) => control.enqueue(decoder.decode(chunk, { stream: true })),
      flush: (control) => control.enqueue(decoder.decode()),
    });
  }
}
class TextEncoderStream extends TransformStream {
  constructor() {
    const encoder = new TextEncoder();
    super({ transform: (chunk, control) => control.enqueue(encoder.encode(chunk)) });
  }
}
class ByteLengthQueuingStrategy {
  constructor({ highWaterMark }) {
    this.highWaterMark = highWaterMark;
  }
  size(chunk) {
    return chunk.byteLength;
  }
}
class CountQueuingStrategy {
  constructor({ highWaterMark }) {
    this.highWaterMark = highWaterMark;
  }
  size() {
    return 1;
  }
}

export const classes = {
  ReadableStream,
  ReadableStreamDefaultReader,
  ReadableStreamDefaultController,
  WritableStream,
  WritableStreamDefaultWriter,
  TransformStream,
  TextDecoderStream,
  TextEncoderStream,
  ByteLengthQueuingStrategy,
  CountQueuingStrategy,
};
for (const Class of Object.values(classes)) tag(Class);
globals(classes);
export { ReadableStream, WritableStream, TransformStream };
