// The module `stream` and its parts: a pinned package over our events and buffers.

import { offer } from '../loader/builtins.js';
import { dep, depFolder } from '../loader/deps.js';
import './pure.js';
import { classes, ReadableStream, WritableStream } from '../web/streams.js';

const stream = dep('readable-stream/lib/ours/browser.js');
depFolder('readable-stream/lib/internal/streams', ['lazy_transform.js']);
const { Readable, Writable, Duplex } = stream;

// What the package leaves to Node.js itself.
Readable.toWeb ??= (readable) => ReadableStream.from(readable);
Readable.toWeb = (readable) => ReadableStream.from(readable);
Readable.fromWeb = (web, options) => Readable.from(web, { objectMode: true, ...options });
Writable.toWeb = (writable) =>
  new WritableStream({
    write: (chunk) =>
      new Promise((resolve, reject) => writable.write(chunk, (error) => (error ? reject(error) : resolve()))),
    close: () => new Promise((resolve) => writable.end(resolve)),
    abort: (reason) => void writable.destroy(reason),
  });
Writable.fromWeb = (web, options) => {
  const writer = web.getWriter();
  return new Writable({
    ...options,
    write(chunk, _, done) {
      writer.write(chunk).then(() => done(), done);
    },
    final(done) {
      writer.close().then(() => done(), done);
    },
  });
};
Duplex.toWeb = (duplex) => ({ readable: Readable.toWeb(duplex), writable: Writable.toWeb(duplex) });

async function all(source) {
  const { Buffer } = globalThis;
  const parts = [];
  for await (const part of source) parts.push(typeof part === 'string' ? Buffer.from(part) : part);
  return Buffer.concat(parts);
}
const consumers = {
  buffer: all,
  text: async (source) => (await all(source)).toString('utf8'),
  json: async (source) => JSON.parse((await all(source)).toString('utf8')),
  arrayBuffer: async (source) => {
    const data = await all(source);
    return data.buffer.slice(data.byteOffset, data.byteOffset + data.length);
  },
  blob: async (source) => new Blob([await all(source)]),
};
offer('stream', stream);
offer('stream/promises', stream.promises);
offer('stream/consumers', consumers);
offer('stream/web', classes);
export { Readable, Writable, Duplex };
export const { Transform, PassThrough, pipeline, finished } = stream;
export default stream;
