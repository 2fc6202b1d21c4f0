// The editor half of a package: its HTML is read and its scripts run, which tells what types it has, which properties they
// have, and which values their own validators accept.

import { call, compile, record, short, sourceOf } from '../core/host.js';
import { apply, global, ownKeys } from '../core/primordials.js';
import { later, pass } from '../core/loop.js';
import { canariesOf } from '../drive/plan.js';
import { candidates } from '../drive/values.js';
import { fields, isCode, scripts } from './html.js';
import { anything, click, markup, network, script } from './page.js';
import { enter } from './world.js';

const SECOND = 1000;
const DAY = 86_400_000;
const phase = (type) => call('phase', { __proto__: null, phase: { editor: type } });
const failed = (type, error) =>
  record({ __proto__: null, kind: 'failed', node_type: type, said: short(`${error?.stack ?? error}`, 500) });
const read = (path) => {
  try {
    return sourceOf(path);
  } catch {
    return null;
  }
};
function attempt(type, action) {
  try {
    return action();
  } catch (error) {
    failed(type, error);
    return undefined;
  }
}

/** RED as the browser has it. */
function editorOf(types) {
  const validators = {
    number: (blank) => (v) => (blank && (v === '' || v === undefined)) || (v !== '' && !Number.isNaN(Number(v))),
    regex: (pattern) => (v) => pattern.test(v),
    typedInput: () => () => true,
  };
  const settings = anything({
    get: (key) => {
      if (/auth|token/i.test(`${key}`)) record({ __proto__: null, kind: 'editor-token' });
      return undefined;
    },
    set() {},
    remove() {},
    theme: (_, fallback) => fallback,
    user: undefined,
    version: '4.1.0',
    httpNodeRoot: '/',
    apiRootUrl: '',
  });
  return anything({
    nodes: anything({
      registerType(type, definition) {
        types[`${type}`] = definition;
      },
      getType: (type) => types[type],
      node: () => null,
      eachNode() {},
      eachConfig() {},
      eachWire() {},
      filterNodes: () => [],
      filterLinks: () => [],
      workspace: () => ({ id: 'f10e000000000001', label: 'Flow 1' }),
      subflow: () => null,
      junction: () => null,
      group: () => null,
      dirty: () => false,
      id: () => 'f00d0000deadbeef',
      createCompleteNodeSet: () => [],
      getWorkspaceOrder: () => ['f10e000000000001'],
      registry: anything({ getModule: () => undefined, getNodeSetForType: () => undefined }),
      getNodeLinks: () => [],
    }),
    settings,
    validators,
    _: (key) => `${key}`,
    version: '4.1.0',
    util: anything({
      validatePropertyExpression: () => true,
      validateTypedProperty: () => true,
      getObjectProperty: (o, p) => o?.[p],
    }),
    plugins: anything({
      registerPlugin: (id, definition) => attempt(`${id}`, () => definition?.onadd?.()),
      getPlugin: () => undefined,
      getPluginsByType: () => [],
    }),
    events: anything({
      on: (_, handler) => {
        if (typeof handler === 'function') later(10, () => attempt('', () => handler(anything())));
      },
      off() {},
      emit() {},
    }),
    comms: anything({
      subscribe: (_, handler) => {
        if (typeof handler === 'function') later(10, () => attempt('', () => handler('topic', anything())));
      },
      unsubscribe() {},
    }),
    user: anything({ hasPermission: () => true }),
    text: anything({ bidi: anything() }),
    editor: anything({
      createEditor: () => anything({ getValue: () => '', session: anything() }),
      validateNode: () => true,
    }),
    hooks: anything({ add() {} }),
  });
}

/** What of a property can be told in JSON, with values that its validator accepts. */
function property(node, name, given, field, canaries) {
  const out = {
    required: given.required === true,
    type:
      typeof given.type === 'string'
        ? given.type
        : Array.isArray(given.type)
          ? given.type.find((one) => typeof one === 'string')
          : undefined,
  };
  let { value } = given;
  try {
    value = value === undefined ? undefined : JSON.parse(JSON.stringify(value));
  } catch {
    value = undefined;
  }
  out.value = value;
  if (field?.options?.length) out.options = field.options;
  if (field?.kind === 'checkbox' && typeof value !== 'boolean') out.options = undefined;
  out.field = field?.kind;
  if (out.type) return out;
  const list =
    field?.kind === 'number'
      ? [value, '1', '10', '1000', '502'].filter((one) => one !== undefined && one !== '')
      : candidates(name, value, canaries, out.options ?? [], field ?? null);
  const accepted = list.filter((one) => {
    if (out.required && one === '') return false;
    if (typeof given.validate !== 'function') return true;
    try {
      return apply(given.validate, { ...node, [name]: one }, [one]) === true;
    } catch {
      return true;
    }
  });
  out.candidates = accepted.length > 0 ? accepted : list;
  return out;
}

function describe(type, definition, templates, canaries) {
  const edited = fields(templates[type] ?? '');
  const out = {
    category: `${definition.category ?? ''}`,
    inputs: Number(definition.inputs) || 0,
    outputs: Number.isInteger(Number(definition.outputs)) ? Number(definition.outputs) : 1,
    defaults: {},
    credentials: {},
  };
  const node = { type, id: 'f00d0000deadbeef', z: canaries.flow };
  for (const [name, given] of Object.entries(definition.defaults ?? {})) node[name] = given?.value;
  for (const [name, given] of Object.entries(definition.defaults ?? {}))
    if (given && typeof given === 'object') out.defaults[name] = property(node, name, given, edited[name], canaries);
  for (const [name, given] of Object.entries(definition.credentials ?? {}))
    out.credentials[name] = { type: `${given?.type ?? 'text'}` };
  return out;
}

/** Uses a type as somebody would who drags it from the palette and opens its dialog. */
function use(type, definition, canaries) {
  phase(type);
  const node = {
    id: 'f00d0000deadbeef',
    type,
    z: canaries.flow,
    _def: definition,
    _: (key) => `${key}`,
    credentials: {},
    outputs: definition.outputs,
    inputs: definition.inputs,
  };
  for (const [name, given] of Object.entries(definition.defaults ?? {})) node[name] = given?.value;
  for (const name of [
    'label',
    'paletteLabel',
    'labelStyle',
    'inputLabels',
    'outputLabels',
    'icon',
    'onadd',
    'onpaletteadd',
    'oneditprepare',
    'oneditresize',
    'oneditsave',
    'oneditcancel',
    'oneditdelete',
    'onpaletteremove',
  ]) {
    const action = definition[name];
    if (typeof action !== 'function') continue;
    try {
      apply(action, node, name === 'oneditresize' ? [{ width: 500, height: 500 }] : []);
    } catch {
      /* a dialog without a page fails early, which says nothing */
    }
    if (name === 'oneditprepare') click();
  }
  if (typeof definition.button?.onclick === 'function') attempt(type, () => apply(definition.button.onclick, node, []));
}

/** What of the page's own functions is another one than before. */
function replaced(before) {
  for (const [name, target] of Object.entries({
    '': global,
    '$.': global.$,
    '$.fn.': global.$?.fn,
    'XMLHttpRequest.prototype.': before.xhr,
  })) {
    const old = before.kept[name];
    if (old === undefined || target === undefined || target === null) continue;
    for (const key of ownKeys(old))
      if (typeof old[key] === 'function' && target[key] !== old[key])
        record({ __proto__: null, kind: 'editor-global', what: `${name}${String(key)}` });
  }
}
const functionsOf = (target) => {
  const out = { __proto__: null };
  for (const key of ownKeys(target)) {
    const own = Object.getOwnPropertyDescriptor(target, key);
    if (typeof own?.value === 'function') out[key] = own.value;
  }
  return out;
};

/** Carries out a plan of the editor half. */
export async function edit(plan) {
  const canaries = canariesOf(plan);
  const types = {};
  const templates = {};
  const files = [...plan.nodes, ...plan.plugins].map(({ html }) => html).filter(Boolean);
  const values = enter(editorOf(types), (name) => canaries[name] ?? '1', plan.editor_token);
  const before = {
    xhr: values.XMLHttpRequest.prototype,
    kept: {
      '': functionsOf(global),
      '$.': functionsOf(values.$),
      'XMLHttpRequest.prototype.': functionsOf(values.XMLHttpRequest.prototype),
    },
  };
  phase('');
  for (const file of [...new Set(files)]) {
    const html = read(file);
    if (html === null) continue;
    const { scripts: list, outside } = scripts(html);
    markup(outside);
    for (const { attributes, content, line } of list) {
      if (!isCode(attributes)) {
        const name = attributes['data-template-name'];
        if (name) templates[name] = content;
        markup(content);
        continue;
      }
      if (attributes.src !== undefined) await external(plan, attributes.src);
      else
        attempt('', () =>
          runScript(`${'\n'.repeat(Math.max(line - 1, 0))}${content}`, file, attributes.type === 'module'),
        );
    }
    await pass(SECOND);
  }
  const described = {};
  for (const [type, definition] of Object.entries(types))
    if (definition && typeof definition === 'object')
      described[type] = attempt(type, () => describe(type, definition, templates, canaries));
  for (const [type, definition] of Object.entries(types)) {
    if (definition && typeof definition === 'object') use(type, definition, canaries);
    await pass(SECOND);
  }
  phase('');
  await pass(plan.days * DAY);
  replaced(before);
  return { types: described };
}

function runScript(source, file, module) {
  if (!module) return compile(source, file);
  // Modules of a page see their own scope only; imports of theirs are not followed.
  return compile(`(async () => {${source.replace(/^\s*import\s.*$/gm, '').replace(/^\s*export\s+/gm, '')}\n})()`, file);
}

/** A script by address: one of the package's own resources runs, any other is told. */
async function external(plan, src) {
  const name = plan.folder.slice(plan.folder.indexOf('/node_modules/') + '/node_modules/'.length);
  const start = `resources/${name}/`;
  const bare = src.replace(/^\//, '').replace(/\?.*$/, '');
  const file = bare.startsWith(start) ? `${plan.folder}/resources/${bare.slice(start.length)}` : null;
  const source = file ? read(file) : null;
  if (source !== null) attempt('', () => runScript(source, file, false));
  else {
    script(src);
    network(src);
  }
}
