// Asks every route that a package added, as somebody who has not signed in would: each field that a handler looks for is there,
// and says by its value that the caller chose it.

import { short } from '../core/host.js';
import { within } from '../core/loop.js';
import { ask } from '../red/router.js';

/** Fields by any name. What a handler does with their values shows whether a caller can direct it. */
export function chosenByCaller(mark, known = {}) {
  return new Proxy(
    { ...known },
    {
      get: (target, key) =>
        key in target || typeof key !== 'string' || key === 'toJSON' || key === 'then' || key === 'length'
          ? target[key]
          : `${mark}-${key}`,
      has: (target, key) => typeof key === 'string' || key in target,
    },
  );
}

export async function askRoutes(plan, world, standing, phase) {
  const mark = plan.caller;
  let asked = 0;
  for (const [kind, app] of [
    ['admin', world.adminApp],
    ['http', world.httpNode],
  ]) {
    for (const route of [...app.routes].slice(0, 60)) {
      if (typeof route.path !== 'string' || route.method === 'USE') continue;
      const methods = route.method === 'ALL' ? ['GET', 'POST'] : [route.method];
      const fitting =
        standing.find(({ config }) => route.path.includes(config.type))?.config.id ??
        standing[0]?.config.id ??
        'f00d000000001000';
      for (const method of methods) {
        phase({ admin: `${method} ${short(route.path, 120)}` });
        for (const id of [fitting, `${mark}-id`]) {
          const url = route.path
            .replace(/\{|\}/g, '')
            .replace(/:(\w+)(\([^)]*\))?\??/g, (_, name) => (/^(id|node|nodeid)$/i.test(name) ? id : `${mark}-${name}`))
            .replace(/\*/g, `${mark}-rest`);
          const extra = { query: chosenByCaller(mark, { id }), body: chosenByCaller(mark, { id }) };
          const answer = ask(app, {
            method,
            url: url.startsWith('/') ? url : `/${url}`,
            headers: { 'content-type': 'application/json' },
            body: method === 'GET' ? undefined : '{}',
            extra,
          });
          await within(answer, 2000);
          asked++;
        }
      }
    }
    void kind;
  }
  return asked;
}
