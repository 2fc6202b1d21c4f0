// One run, from the plan to its end: install scripts, registration, construction, messages, routes, time, closing.

import { call, record, short, text } from '../core/host.js';
import { guarded, pass, pending, within } from '../core/loop.js';
import { load, loadMain, pretendMain } from '../loader/commonjs.js';
import { importNow } from '../loader/esm.js';
import { Exit } from '../node/process.js';
import { sync as fs } from '../node/fs.js';
import { runtime } from '../red/runtime.js';
import { observed } from '../red/node.js';
import { askRoutes } from './admin.js';
import { configurations, VARIANTS } from './configure.js';
import { comparedWords, messages } from './messages.js';
import { compare, snapshot } from './tamper.js';

const SECOND = 1000;
const DAY = 86_400_000;
const phase = (name) => call('phase', { __proto__: null, phase: name });
const failed = (type, error) => record({ __proto__: null, kind: 'failed', node_type: type, said: short(`${error?.stack ?? error}`, 600) });

/** Runs foreign code at the top; what it throws is told. */
function attempt(type, action) {
  try {
    return { value: action() };
  } catch (error) {
    if (!(error instanceof Exit)) failed(type, error);
    return { error };
  }
}

async function install(plan) {
  for (const { name, file, args = [] } of plan.scripts ?? []) {
    phase({ install: name });
    process.argv = [process.execPath, file, ...args];
    attempt('', () => loadMain(file));
    await pass(30 * SECOND, false);
  }
}

/** The files that register nodes, as the manifest names them. */
function nodeFiles(plan) {
  if (plan.nodes) return plan.nodes;
  const manifest = JSON.parse(fs.readFile(`${plan.root}/package.json`, 'utf8').replace(/^\ufeff/, ''));
  const list = [];
  for (const [name, file] of Object.entries(manifest['node-red']?.nodes ?? {})) list.push({ name, file: `${plan.root}/${file.replace(/^\.?\//, '')}` });
  for (const [name, file] of Object.entries(manifest['node-red']?.plugins ?? {})) list.push({ name, file: `${plan.root}/${file.replace(/^\.?\//, '')}`, plugin: true });
  return list;
}

async function register(plan, world) {
  phase('register');
  pretendMain('/usr/local/lib/node_modules/node-red/red.js');
  for (const { name, file } of nodeFiles(plan)) {
    if (!/\.[cm]?js$/.test(file)) continue;
    const { value, error } = attempt(name, () => load(file, `${plan.user_dir}/-`));
    if (error) continue;
    let start = value;
    if (typeof start !== 'function' && typeof start?.default === 'function') start = start.default;
    if (typeof start !== 'function') continue;
    const { value: promise } = attempt(name, () => start(world.forFile(file, name)));
    if (typeof promise?.then === 'function') {
      promise.then(undefined, (reason) => failed(name, reason));
      await within(promise, 10 * SECOND);
    }
  }
  world.events.emit('flows:starting', {});
  await pass(2 * SECOND);
}

async function entries(plan) {
  for (const { path, module } of plan.entries ?? []) {
    phase({ load: path });
    attempt('', () => (module ? importNow(path) : load(path, `${plan.user_dir}/-`)));
    await pass(SECOND, false);
  }
}

function wordsOf(world, type) {
  const file = world.types.get(type)?.set?.file;
  if (!file) return [];
  try {
    return comparedWords(text('module.source', { __proto__: null, path: file }));
  } catch {
    return [];
  }
}

/** Makes one node of each type and variant; gives those that stand. */
async function construct(plan, world, canaries) {
  const standing = [];
  const told = plan.editor?.types ?? {};
  for (let variant = 0; variant < (plan.variants ?? VARIANTS); variant++) {
    const made = new Map();
    for (const type of world.types.keys()) {
      const list = configurations(type, told, world.types, canaries, variant, made);
      for (const { config, credentials, config_node: inner } of list) {
        phase({ construct: config.type });
        world.configs.set(config.id, { ...config });
        if (Object.keys(credentials).length > 0) world.credentials.set(config.id, credentials);
        const entry = world.types.get(config.type);
        if (!entry) continue;
        const { value, error } = attempt(config.type, () => new entry.constructor(structuredClone(config)));
        if (!error) standing.push({ node: value, config, variant, inner });
      }
      await pass(SECOND, false);
    }
    world.events.emit('flows:started', {});
    world.events.emit('nodes-started', {});
    await pass(5 * SECOND);
  }
  return standing;
}

async function feed(plan, world, standing, canaries) {
  const words = new Map();
  for (const { node, config, inner, variant } of standing) {
    if (inner || typeof node?.receive !== 'function') continue;
    phase({ message: config.type });
    if (!words.has(config.type)) words.set(config.type, wordsOf(world, config.type));
    // Later variants get the plain shapes only: what words do, the first two have shown.
    for (const msg of messages(variant < 2 ? words.get(config.type) : [], canaries)) {
      guarded(() => node.receive(msg), undefined, []);
      await pass(200, false);
    }
    await pass(3 * SECOND);
  }
}

async function close(standing) {
  for (const { node, config } of standing) {
    if (typeof node?.close !== 'function') continue;
    phase({ close: config.type });
    const { value } = attempt(config.type, () => node.close(true));
    if (typeof value?.then === 'function') await within(value, 15 * SECOND);
  }
  await pass(SECOND);
}

/** Canary values with what cannot be told in JSON. */
function canariesOf(plan) {
  const given = plan.canaries ?? {};
  return {
    host: 'plc-7.canary.example', address: '198.51.100.7', user: 'canary-user', secret: 'canary-secret', path: '/data/files/canary.txt', folder: '/data/files', name: 'Pump 7', flow: 'f10e000000000001', ...given,
    credential: (type, name) => given.credentials?.[name] ?? given.credential_default ?? `honey-${name}-5d1c`,
  };
}

/** Carries out a plan; gives what the driver itself saw. */
export async function run(plan) {
  const before = snapshot();
  const canaries = canariesOf(plan);
  const doing = (name) => !plan.phases || plan.phases.includes(name);
  if (doing('install')) await install(plan);
  const world = runtime(plan);
  const out = { types: [], constructed: [], fed: 0, sent: 0, routes: 0, tampered: 0, failed: observed.failed };
  if (doing('register')) await register(plan, world);
  out.types = [...world.types.keys()];
  if (doing('load')) await entries(plan);
  let standing = [];
  if (doing('construct')) standing = await construct(plan, world, canaries);
  out.constructed = [...new Set(standing.map(({ config }) => config.type))];
  if (doing('message')) {
    await feed(plan, world, standing, canaries);
    out.fed = standing.filter(({ inner }) => !inner).length;
  }
  if (doing('admin')) out.routes = await askRoutes(plan, world, standing, phase);
  if (doing('timer')) {
    phase('timer');
    await pass(plan.span_ms ?? 40 * DAY);
  }
  if (doing('close')) await close(standing);
  out.tampered = compare(before);
  out.sent = observed.sent.length;
  out.senders = [...new Set(observed.sent.map(({ type }) => type))];
  out.pending = pending();
  return out;
}
