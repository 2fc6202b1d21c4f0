// HTTP as the host offers it: one question, one answer. Used by fetch and by the modules http, https and http2.

import { call } from './host.js';
import { Uint8Array } from './primordials.js';

/** Asks. `headers` is a list of pairs. Gives `{status, message, headers, body}`, or throws with `code`. */
export function exchange({ method, url, headers, insecure = false, protocol }, body) {
  const pairs = [];
  for (let i = 0; i < headers.length; i++) pairs[i] = [`${headers[i][0]}`, `${headers[i][1]}`];
  const answer = call('http.request', { __proto__: null, method, url, headers: pairs, insecure, protocol }, body);
  const content = call('http.body', { __proto__: null, id: answer.id });
  return {
    status: answer.status,
    message: answer.message ?? '',
    headers: answer.headers ?? [],
    body: content ?? new Uint8Array(0),
  };
}
