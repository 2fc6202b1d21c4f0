// RED as a node's file gets it. Each way in which it reaches beyond the node itself is told to the host.

import { record, short, call } from '../core/host.js';
import { later, guarded } from '../core/loop.js';
import { EventEmitter } from '../node/events.js';
import { sync as fs } from '../node/fs.js';
import { Server_ } from '../node/http.js';
import util from '../node/util.js';
import { load } from '../loader/commonjs.js';
import { importNow } from '../loader/esm.js';
import { application } from './router.js';
import { log, translator } from './log.js';
import { Node } from './node.js';
import { redUtil } from './util.js';
import { guardSettings } from './settings.js';
import { CORE_TYPES } from './core-types.js';
import { USER_DIR } from '../drive/plan.js';

const tell = (kind, rest) => record({ __proto__: null, kind, ...rest });

/**
 * The runtime of one run.
 * `plan` gives the user directory, settings, credentials; `bystanders` are nodes of others, with secrets of their own.
 */
export function runtime(plan) {
  const types = new Map();
  const nodes = new Map();
  const configs = new Map();
  const credentials = new Map();
  const bystanders = new Map();
  const settings = guardSettings(plan);
  const server = new Server_();
  const adminApp = application('admin', '');
  const httpNode = application('http', '');
  const events = watched(new EventEmitter(), (name) => tell('red-event', { name: short(name, 80) }));
  let set = null;

  for (const config of plan.bystanders ?? []) {
    const node = Object.assign(Object.create(Node.prototype), {
      id: config.id,
      type: config.type,
      name: config.name,
      z: config.z,
      wires: [],
    });
    Object.defineProperty(node, 'credentials', {
      configurable: true,
      enumerable: true,
      get() {
        tell('red-credentials', { own: false });
        return { ...config.credentials };
      },
    });
    bystanders.set(config.id, { node, config });
  }

  const needsPermission = (permission) => {
    const check = function (request, response, next) {
      next();
    };
    Object.defineProperty(check, 'permission', { value: `${permission ?? ''}` });
    return check;
  };

  const RED = { version: () => plan.node_red ?? '4.1.0' };
  const api = {
    registerType(type, constructor, options = {}) {
      // Plugins and very old nodes give the set first.
      if (typeof constructor === 'string') [type, constructor, options] = [constructor, options, arguments[3] ?? {}];
      tell('red-register', { node_type: short(type, 100), core: CORE_TYPES.includes(type) });
      if (typeof constructor !== 'function') throw new Error(`${type} is registered without a constructor`);
      if (!(constructor.prototype instanceof Node)) {
        const parent = Object.getPrototypeOf(constructor.prototype ?? {});
        if (parent === Object.prototype || parent === null) util.inherits(constructor, Node);
        else {
          let at = constructor.prototype;
          while (Object.getPrototypeOf(at) !== Object.prototype && Object.getPrototypeOf(at) !== null)
            at = Object.getPrototypeOf(at);
          if (at !== Node.prototype && !(at instanceof EventEmitter)) Object.setPrototypeOf(at, Node.prototype);
        }
      }
      types.set(type, { constructor, options: options ?? {}, set });
      for (const name of Object.keys(options?.settings ?? {})) settings.declare(name, options.settings[name]);
    },
    registerSubflow() {},
    createNode(node, config) {
      Node.call(node, config);
      const own = credentials.get(config.id);
      if (own) node.credentials = { ...own };
      else if (types.get(config.type)?.options?.credentials) node.credentials = {};
      nodes.set(config.id, node);
    },
    getNode(id) {
      if (nodes.has(id)) return nodes.get(id);
      if (bystanders.has(id)) {
        tell('red-flows', { write: false });
        return bystanders.get(id).node;
      }
      return null;
    },
    eachNode(callback) {
      tell('red-flows', { write: false });
      for (const { config } of bystanders.values()) {
        const { credentials: hidden, ...shown } = config;
        void hidden;
        guarded(callback, undefined, [{ ...shown }]);
      }
      for (const config of configs.values()) guarded(callback, undefined, [{ ...config }]);
    },
    getType: (type) => types.get(type)?.constructor,
    getNodeInfo: () => null,
    getNodeList: () => [],
    getModuleInfo: () => null,
    getNodeConfigs: () => '',
    getNodeConfig: () => '',
    getNodeIconPath: () => '',
    getNodeIcons: () => ({}),
    getNodeExampleFlows: () => ({}),
    getNodeExampleFlowPath: () => '',
    enableNode: () => Promise.resolve(),
    disableNode: () => Promise.resolve(),
    addModule: (name) => {
      tell('red-storage', {});
      void name;
      return Promise.reject(new Error('not allowed'));
    },
    removeModule: () => Promise.reject(new Error('not allowed')),
    installModule: () => {
      tell('red-storage', {});
      return Promise.reject(new Error('not allowed'));
    },
    uninstallModule: () => Promise.reject(new Error('not allowed')),
    getFlows: () => {
      tell('red-flows', { write: false });
      return {
        flows: [...bystanders.values()].map(({ config }) => {
          const { credentials: hidden, ...shown } = config;
          void hidden;
          return shown;
        }),
        rev: '1',
      };
    },
    getFlow: (id) => {
      tell('red-flows', { write: false });
      return { id, nodes: [] };
    },
    setFlows: () => {
      tell('red-flows', { write: true });
      return Promise.resolve('2');
    },
    loadFlows: () => {
      tell('red-flows', { write: false });
      return Promise.resolve();
    },
    startFlows: () => {
      tell('red-flows', { write: true });
      return Promise.resolve();
    },
    stopFlows: () => {
      tell('red-flows', { write: true });
      return Promise.resolve();
    },
    addFlow: () => {
      tell('red-flows', { write: true });
      return Promise.resolve('f2');
    },
    updateFlow: () => {
      tell('red-flows', { write: true });
      return Promise.resolve();
    },
    removeFlow: () => {
      tell('red-flows', { write: true });
      return Promise.resolve();
    },
    addCredentials(id, given) {
      tell('red-credentials', { own: nodes.has(id) || configs.has(id) });
      credentials.set(id, { ...given });
      return Promise.resolve();
    },
    getCredentials(id) {
      const other = bystanders.get(id);
      if (other) return other.node.credentials;
      tell('red-credentials', { own: true });
      const own = credentials.get(id);
      return own ? { ...own } : undefined;
    },
    deleteCredentials(id) {
      tell('red-credentials', { own: configs.has(id) });
      credentials.delete(id);
    },
    registerCredentials() {},
    getCredentialDefinition: (type) => types.get(type)?.options?.credentials,
    eachType: () => {},
    Node,
    getContext: (id) => nodes.get(id)?.context(),
    library: undefined,
  };

  const library = {
    register() {},
    addStore() {},
    getEntry: () => Promise.reject(new Error('not found')),
    saveEntry: () => {
      tell('red-storage', {});
      return Promise.resolve();
    },
  };
  const plugins = new Map();
  Object.assign(RED, {
    nodes: api,
    log,
    settings: settings.view,
    events,
    util: redUtil,
    server,
    httpAdmin: adminApp,
    httpNode,
    app: httpNode,
    library,
    auth: { needsPermission },
    comms: { publish() {}, subscribe() {}, on() {} },
    hooks: {
      add: (name, callback) => {
        tell('red-hook', { name: short(name, 80) });
        if (typeof callback !== 'function') return;
      },
      remove() {},
      has: () => false,
      trigger: () => Promise.resolve(),
      clear() {},
    },
    plugins: {
      registerPlugin(id, definition) {
        plugins.set(id, definition);
        if (/storage|context/i.test(`${definition?.type ?? ''}`)) tell('red-storage', {});
        guarded(() => definition?.onadd?.(), undefined, []);
      },
      get: (id) => plugins.get(id),
      getByType: (type) => [...plugins.values()].filter((one) => one.type === type),
      getPlugin: (id) => plugins.get(id),
    },
    import: async (name) => importNow(name),
    require: (name) => load(name, `${USER_DIR}/-`),
    _: translator((space) => readCatalogue(plan, set, space)),
    httpNodeRoot: '/',
    httpAdminRoot: '/',
    runtime: undefined,
  });

  Node.find = (id) => nodes.get(id) ?? null;
  /** RED for one file: texts come from the catalogue beside it. */
  function forFile(file, name) {
    const own = { ...RED };
    own._ = translator((space) => catalogueBeside(plan, file, space ?? name));
    own.require = (id) => load(id, file);
    own.import = async (id) =>
      importNow(call('module.resolve', { __proto__: null, from: file, name: id, import: true }).path);
    own.nodes = {
      ...api,
      registerType: (type, constructor, options) => {
        set = { file, name };
        return typeof constructor === 'string'
          ? api.registerType(type, constructor, options)
          : api.registerType(type, constructor, options);
      },
    };
    return own;
  }
  return {
    RED,
    forFile,
    types,
    nodes,
    configs,
    credentials,
    bystanders,
    adminApp,
    httpNode,
    events,
    plugins,
    server,
    later,
  };
}

/** Tells who listens to the runtime's events, except to those of the node's own making. */
function watched(emitter, onListen) {
  const on = emitter.on.bind(emitter);
  const known = new Set();
  emitter.on = emitter.addListener = (name, callback) => {
    if (!known.has(name)) {
      known.add(name);
      onListen(name);
    }
    return on(name, callback);
  };
  return emitter;
}

function readCatalogue() {
  return undefined;
}
function catalogueBeside(plan, file, space) {
  const folder = file.slice(0, file.lastIndexOf('/'));
  const name = file.slice(folder.length + 1).replace(/\.[cm]?js$/, '');
  void space;
  try {
    return JSON.parse(fs.readFile(`${folder}/locales/en-US/${name}.json`, 'utf8').replace(/^\ufeff/, ''));
  } catch {
    return undefined;
  }
}
