// Messages to try a node with: shapes of payload, and topics that the node's own code compares with.

/** The messages for one node. `words` are short strings that stand in comparisons of its code. */
export function messages(words, canaries) {
  const list = [
    { payload: Date.UTC(2026, 10, 2, 9, 30), topic: '' },
    { payload: 'hello', topic: 'plant/line1/temperature' },
    { payload: 21.5, topic: 'temperature' },
    { payload: true, topic: 'on' },
    { payload: false },
    {
      payload: { value: 42, temperature: 21.5, name: 'pump', id: 1, items: [1, 2, 3], host: canaries.host },
      topic: 'object',
    },
    { payload: [1, 2, 3] },
    {
      payload: [
        { id: 1, value: 2 },
        { id: 2, value: 3 },
      ],
    },
    { payload: Buffer.from([1, 2, 3, 4, 0, 255]) },
    { payload: '{"a":1,"b":[true]}' },
    { payload: '42' },
    { payload: '' },
    { payload: null },
    { topic: 'no payload' },
    { payload: 'on', complete: true, reset: true },
    {
      payload: 'x',
      filename: canaries.file,
      url: canaries.url,
      host: canaries.host,
      port: 502,
      method: 'GET',
      headers: { 'x-test': '1' },
      query: 'SELECT 1',
      to: canaries.mail,
      cmd: 'status',
      command: 'status',
      action: 'read',
    },
  ];
  for (const word of words) {
    list.push({ payload: word, topic: word });
    list.push({
      payload: { command: word, cmd: word, action: word, type: word, [word]: 1 },
      topic: word,
      command: word,
      action: word,
      operation: word,
    });
  }
  return list;
}

const COMPARED =
  /(?:[=!]==?\s*|case\s+|\.(?:includes|startsWith|indexOf)\(\s*)(["'])([^"'\\\n]{1,40})\1|(["'])([^"'\\\n]{1,40})\3\s*[=!]==?/g;
const TYPEOF = new Set([
  'string',
  'number',
  'object',
  'undefined',
  'function',
  'boolean',
  'symbol',
  'bigint',
  'utf8',
  'utf-8',
  'default',
  '__proto__',
  '',
  ' ',
]);

/** The words that code compares something with, in order of appearance. */
export function comparedWords(source, most = 24) {
  const out = [];
  for (const match of source.matchAll(COMPARED)) {
    const word = match[2] ?? match[4];
    if (!TYPEOF.has(word) && !out.includes(word)) out.push(word);
    if (out.length >= most) break;
  }
  return out;
}
