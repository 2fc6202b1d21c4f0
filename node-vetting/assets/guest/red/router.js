// The web applications that nodes hang their routes on: as express gives them, and each route is told.

import { record, short } from '../core/host.js';
import { METHODS, STATUS_CODES } from '../node/http-messages.js';
import { ServerResponse_, inject } from '../node/http.js';
import { EventEmitter } from '../node/events.js';
import { sync as fs } from '../node/fs.js';
import { guarded } from '../core/loop.js';

/** The pattern of a route's path: names in it, and what of a path it matches. */
function compile(path, whole) {
  if (path instanceof RegExp)
    return {
      test: (text) => {
        const match = path.exec(text);
        return match && { params: { ...match.slice(1), ...match.groups }, used: match[0] };
      },
    };
  const names = [];
  const source = `${path}`
    .replace(/\/$/, '')
    .replace(/([.+$^=!|])/g, '\\$1')
    .replace(/\/:(\w+)(\([^)]*\))?(\?)?|\{?\*(\w+)?\}?|:(\w+)/g, (_, name, pattern, optional, star, bare) => {
      if (name !== undefined) {
        names.push(name);
        return optional ? `(?:/${pattern ?? '([^/]+?)'})?` : `/${pattern ?? '([^/]+?)'}`;
      }
      if (bare !== undefined) {
        names.push(bare);
        return '([^/]+?)';
      }
      names.push(star ?? `${names.length}`);
      return '(.*)';
    });
  let pattern;
  try {
    pattern = new RegExp(`^${source}${whole ? '/?$' : '(?=/|$)'}`, 'i');
  } catch {
    return { test: () => null };
  }
  return {
    test: (text) => {
      const match = pattern.exec(text);
      return match && { params: Object.fromEntries(names.map((name, i) => [name, match[i + 1]])), used: match[0] };
    },
  };
}

function extend(request, response) {
  const [path, query = ''] = request.url.split('?');
  Object.assign(request, {
    path,
    originalUrl: request.originalUrl ?? request.url,
    baseUrl: '',
    params: {},
    query: request.query ?? Object.fromEntries(new URLSearchParams(query)),
    body: request.body ?? {},
    cookies: {},
    signedCookies: {},
    ip: '192.0.2.99',
    ips: [],
    hostname: 'localhost',
    protocol: 'http',
    secure: false,
    xhr: false,
    fresh: false,
    stale: true,
    subdomains: [],
    route: undefined,
    res: response,
    get: (name) => request.headers[`${name}`.toLowerCase()],
    header: (name) => request.headers[`${name}`.toLowerCase()],
    is: (type) => `${request.headers['content-type'] ?? ''}`.includes(`${type}`.replace('*/', '')) && type,
    accepts: (...types) => types.flat()[0] ?? false,
    acceptsEncodings: () => 'identity',
    acceptsLanguages: () => 'en-US',
    range: () => undefined,
    param: (name) => request.params[name] ?? request.query[name],
  });
  response.locals = {};
  response.req = request;
}
const out = ServerResponse_.prototype;
const put = (methods) => {
  for (const name of Object.keys(methods))
    Object.defineProperty(out, name, { value: methods[name], writable: true, configurable: true });
};
put({
  status(code) {
    this.statusCode = code;
    return this;
  },
  sendStatus(code) {
    this.statusCode = code;
    return this.send(STATUS_CODES[code] ?? `${code}`);
  },
  set(name, value) {
    if (typeof name === 'object') for (const key of Object.keys(name)) this.setHeader(key, name[key]);
    else if (!this.headersSent) this.setHeader(name, value);
    return this;
  },
  header(name, value) {
    return this.set(name, value);
  },
  get(name) {
    return this.getHeader(name);
  },
  type(kind) {
    return this.set('Content-Type', kind.includes('/') ? kind : `text/${kind}`);
  },
  contentType(kind) {
    return this.type(kind);
  },
  json(value) {
    if (!this.hasHeader('content-type')) this.set('Content-Type', 'application/json; charset=utf-8');
    return this.end(JSON.stringify(value));
  },
  jsonp(value) {
    return this.json(value);
  },
  send(value) {
    if (typeof value === 'number' && arguments.length === 1) return this.sendStatus(value);
    if (Buffer.isBuffer(value) || typeof value === 'string') return this.end(value);
    return value === undefined ? this.end() : this.json(value);
  },
  redirect(status, url) {
    this.statusCode = typeof status === 'number' ? status : 302;
    this.set('Location', `${typeof status === 'number' ? url : status}`);
    return this.end();
  },
  sendFile(path, options, callback) {
    const done = typeof options === 'function' ? options : callback;
    try {
      const file = options?.root ? `${options.root}/${path}` : path;
      this.end(fs.readFile(file));
      done?.();
    } catch (error) {
      if (done) done(error);
      else this.status(404).end('Not Found');
    }
  },
  sendfile(...args) {
    return this.sendFile(...args);
  },
  download(path, name, callback) {
    return this.sendFile(path, {}, typeof name === 'function' ? name : callback);
  },
  render(view) {
    return this.end(`${view}`);
  },
  cookie(name, value) {
    this.appendHeader('Set-Cookie', `${name}=${value}`);
    return this;
  },
  clearCookie() {
    return this;
  },
  append(name, value) {
    this.appendHeader(name, value);
    return this;
  },
  vary() {
    return this;
  },
  links() {
    return this;
  },
  location(url) {
    return this.set('Location', url);
  },
  attachment() {
    return this;
  },
  format(object) {
    (object.json ?? object['application/json'] ?? object.default ?? Object.values(object)[0])?.(this.req, this);
    return this;
  },
});

/** The permission that a chain of handlers asks for. */
const permissionOf = (handlers) =>
  handlers.find((handler) => typeof handler === 'function' && typeof handler.permission === 'string')?.permission ??
  (handlers.some((handler) => handler?.authenticates) ? 'login' : null);

/**
 * An application. `kind` names where its routes are told: `admin`, `http`, or null for one of a package's own.
 */
export function application(kind, root = '') {
  const layers = [];
  const routes = [];
  const settings = { 'x-powered-by': true, env: 'production', 'etag fn': undefined };
  const tell = (method, path, handlers) => {
    const shown = root + (path instanceof RegExp ? String(path) : `${path}`);
    if (kind === 'admin')
      record({
        __proto__: null,
        kind: 'red-admin-route',
        method,
        path: short(shown, 200),
        permission: permissionOf(handlers),
      });
    else if (kind === 'http') record({ __proto__: null, kind: 'red-http-route', method, path: short(shown, 200) });
  };
  function app(request, response, next = () => response.status(404).end('Not Found')) {
    if (request.params === undefined || request.res === undefined) extend(request, response);
    const [path] = request.url.split('?');
    let at = 0;
    let handler = 0;
    let layer = null;
    const step = (error) => {
      if (error === 'route') {
        handler = Infinity;
        error = undefined;
      }
      while (layer === null || handler >= layer.handlers.length) {
        if (at >= layers.length) return error ? response.status(error.status ?? 500).end(`${error}`) : next();
        layer = layers[at++];
        handler = 0;
        const found = layer.pattern.test(path);
        if (
          !found ||
          (layer.method !== 'ALL' &&
            layer.method !== 'USE' &&
            layer.method !== request.method &&
            !(layer.method === 'GET' && request.method === 'HEAD'))
        )
          layer = null;
        else
          Object.assign(
            request,
            layer.method === 'USE'
              ? { params: { ...found.params } }
              : { params: found.params, route: { path: layer.path } },
          );
        if (layer !== null && layer.method === 'USE' && layer.path !== '/') {
          request.url = path.slice(found.used.length) || '/';
          request.baseUrl = found.used;
        }
      }
      const callable = layer.handlers[handler++];
      if (typeof callable !== 'function' || (callable.length === 4) !== Boolean(error)) return step(error);
      return guarded(
        error ? () => callable(error, request, response, step) : () => callable(request, response, step),
        undefined,
        [],
      );
    };
    step();
  }
  const add = (method, given) => {
    const args = [...given];
    const path =
      typeof args[0] === 'function' || (Array.isArray(args[0]) && typeof args[0][0] === 'function')
        ? '/'
        : args.shift();
    const handlers = args
      .flat(Infinity)
      .map((one) => (typeof one === 'function' ? one : typeof one?.handle === 'function' ? one.handle.bind(one) : one));
    for (const one of Array.isArray(path) ? path : [path]) {
      const layer = {
        method,
        path: one,
        handlers,
        pattern: compile(one, method !== 'USE'),
        permission: permissionOf(handlers),
        handle: handlers.at(-1),
        name: method === 'USE' ? 'router' : 'bound dispatch',
        regexp: /^/,
        route:
          method === 'USE'
            ? undefined
            : {
                path: one,
                methods: { [method.toLowerCase()]: true },
                stack: handlers.map((handle) => ({ handle, method: method.toLowerCase() })),
              },
      };
      layers.push(layer);
      routes.push(layer);
      tell(method, one, handlers);
      if (method === 'USE') for (const handler of handlers) handler?.emit?.('mount', app);
    }
    return app;
  };
  const emitter = new EventEmitter();
  for (const name of ['on', 'once', 'emit', 'off', 'removeListener', 'listeners', 'addListener', 'removeAllListeners'])
    app[name] = emitter[name].bind(emitter);
  for (const method of METHODS) {
    app[method.toLowerCase()] = (...args) =>
      method === 'GET' && args.length === 1 && typeof args[0] === 'string' ? settings[args[0]] : add(method, args);
  }
  Object.assign(app, {
    use: (...args) => add('USE', args),
    all: (...args) => add('ALL', args),
    del: app.delete,
    route: (path) => {
      const out = {};
      for (const method of [...METHODS, 'ALL'])
        out[method.toLowerCase()] = (...handlers) => {
          add(method, [path, ...handlers]);
          return out;
        };
      return out;
    },
    param: () => app,
    engine: () => app,
    set: (name, value) => {
      settings[name] = value;
      return app;
    },
    enable: (name) => app.set(name, true),
    disable: (name) => app.set(name, false),
    enabled: (name) => Boolean(settings[name]),
    disabled: (name) => !settings[name],
    render: (_, __, callback) => (callback ?? __)(null, ''),
    listen: () => new EventEmitter(),
    handle: (request, response, next) => app(request, response, next),
    path: () => root,
    mountpath: root || '/',
    settings,
    locals: { settings },
    _router: { stack: layers },
    router: { stack: layers },
    stack: layers,
    routes,
  });
  return app;
}

/** Asks a route; gives `{status, headers, body}`, or a promise that never settles where the handler never answers. */
export const ask = (app, request) =>
  inject((req, res) => {
    Object.assign(req, request.extra);
    app(req, res);
  }, request);
