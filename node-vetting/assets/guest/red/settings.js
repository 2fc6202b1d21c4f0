// RED.settings: what is read of it is told, by its key.

import { record, short } from '../core/host.js';
import { USER_DIR } from '../drive/plan.js';

const PLAIN = new Set([
  'get',
  'set',
  'available',
  'available',
  'loadUserSettings',
  'registerNodeSettings',
  'exportNodeSettings',
  'enableNodeSettings',
  'disableNodeSettings',
  'getUserSettings',
  'setUserSettings',
  'then',
  'toJSON',
  'constructor',
]);

/** The settings of the plan behind a view that tells. */
export function guardSettings(plan) {
  const values = {
    userDir: USER_DIR,
    httpRoot: '/',
    httpAdminRoot: '/',
    httpNodeRoot: '/',
    httpStatic: undefined,
    uiPort: 1880,
    uiHost: '0.0.0.0',
    flowFile: 'flows.json',
    functionGlobalContext: {},
    functionExternalModules: true,
    nodesDir: `${USER_DIR}/nodes`,
    nodeMessageBufferMaxLength: 0,
    debugMaxLength: 1000,
    mqttReconnectTime: 15_000,
    serialReconnectTime: 15_000,
    socketReconnectTime: 10_000,
    paletteCategories: undefined,
    logging: { console: { level: 'info', metrics: false, audit: false } },
    editorTheme: { projects: { enabled: false } },
    apiMaxLength: '5mb',
    exportGlobalContextKeys: false,
    contextStorage: { default: { module: 'memory' } },
    coreNodesDir: '/usr/local/lib/node_modules/node-red/node_modules/@node-red/nodes',
    version: plan.node_red ?? '4.1.0',
    settingsFile: `${USER_DIR}/settings.js`,
    ...plan.settings,
  };
  const tell = (key) => {
    if (!PLAIN.has(key)) record({ __proto__: null, kind: 'red-setting', key: short(key, 80) });
  };
  const methods = {
    get(key) {
      tell(key);
      return values[key];
    },
    set(key, value) {
      record({ __proto__: null, kind: 'red-storage' });
      values[key] = value;
      return Promise.resolve();
    },
    available: () => true,
    delete: (key) => {
      delete values[key];
      return Promise.resolve();
    },
    registerNodeSettings() {},
    exportNodeSettings: (out) => out,
    getUserSettings: () => null,
    setUserSettings: () => Promise.resolve(),
  };
  const view = new Proxy(values, {
    get(target, key) {
      if (typeof key === 'string' && key in methods) return methods[key];
      if (typeof key === 'string') tell(key);
      return target[key];
    },
    has(target, key) {
      if (typeof key === 'string') tell(key);
      return key in target || key in methods;
    },
    ownKeys(target) {
      tell('*');
      return Reflect.ownKeys(target);
    },
  });
  return {
    view,
    declare: (name, definition) => {
      if (!(name in values) && definition?.value !== undefined) values[name] = definition.value;
    },
  };
}
