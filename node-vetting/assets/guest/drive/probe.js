// temporary
import { load } from '../loader/commonjs.js';
import { call } from '../core/host.js';
import { turn, pass, finish } from '../core/loop.js';
import { ready } from '../node/process.js';
ready();
export function drive(plan) {
  const { path } = JSON.parse(plan);
  let out = 'ok';
  (async () => { try { load(path); await pass(60000); } catch (e) { out = 'THREW ' + (e && e.stack); } finish(); })();
  for (;;) { call('jobs'); if (!turn()) break; }
  return out;
}
