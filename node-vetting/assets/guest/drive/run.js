// One run, from the plan to its end: install scripts, registration, construction, messages, routes, time, closing.

import { call, record, short, sourceOf } from '../core/host.js';
import { guarded, limitFirings, pass, pending, within } from '../core/loop.js';
import { load, loadMain, pretendMain } from '../loader/commonjs.js';
import { importNow } from '../loader/esm.js';
import { Exit } from '../node/process.js';
import { runtime } from '../red/runtime.js';
import { observed } from '../red/node.js';
import { askRoutes } from './admin.js';
import { configurations } from './configure.js';
import { canariesOf, USER_DIR } from './plan.js';
import { comparedWords, messages } from './messages.js';
import { compare, snapshot } from './tamper.js';

const SECOND = 1000;
const DAY = 86_400_000;
const phase = (name) => call('phase', { __proto__: null, phase: name });
const failed = (type, error) =>
  record({ __proto__: null, kind: 'failed', node_type: type, said: short(`${error?.stack ?? error}`, 600) });

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
  for (const { script, path: file, arguments: args } of plan.installs) {
    phase({ install: script });
    process.argv = [process.execPath, file, ...args];
    attempt('', () => loadMain(file));
    await pass(30 * SECOND, false);
  }
}

async function register(plan, world) {
  phase('register');
  pretendMain('/usr/local/lib/node_modules/node-red/red.js');
  for (const { set: name, path: file } of [...plan.nodes, ...plan.plugins]) {
    if (!/\.[cm]?js$/.test(file)) continue;
    const { value, error } = attempt(name, () => load(file, `${USER_DIR}/-`));
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
  for (const { path, import: module } of plan.loads) {
    phase({ load: path });
    attempt('', () => (module ? importNow(path) : load(path, `${USER_DIR}/-`)));
    await pass(SECOND, false);
  }
}

function wordsOf(world, type) {
  const file = world.types.get(type)?.set?.file;
  if (!file) return [];
  try {
    return comparedWords(sourceOf(file));
  } catch {
    return [];
  }
}

/** Makes one node of each type and variant; gives those that stand. */
async function construct(plan, world, canaries) {
  const standing = [];
  // A type counts as failed when no configuration of it works: some are refused by design.
  const refused = new Map();
  const told = plan.types ?? {};
  for (let variant = 0; variant < plan.variants; variant++) {
    const made = new Map();
    for (const type of world.types.keys()) {
      const list = configurations(type, told, world.types, canaries, variant, made);
      for (const { config, credentials, config_node: inner } of list) {
        phase({ construct: config.type });
        world.configs.set(config.id, { ...config });
        if (Object.keys(credentials).length > 0) world.credentials.set(config.id, credentials);
        const entry = world.types.get(config.type);
        if (!entry) continue;
        try {
          const node = new entry.constructor(structuredClone(config));
          standing.push({ node, config, variant, inner });
        } catch (error) {
          if (!(error instanceof Exit) && !refused.has(config.type)) refused.set(config.type, error);
        }
      }
      await pass(SECOND, false);
    }
    world.events.emit('flows:started', {});
    world.events.emit('nodes-started', {});
    await pass(5 * SECOND);
  }
  for (const [type, error] of refused)
    if (!standing.some(({ config }) => config.type === type)) {
      phase({ construct: type });
      failed(type, error);
    }
  return standing;
}

async function feed(plan, world, standing, canaries) {
  const words = new Map();
  for (const { node, config, inner, variant } of standing) {
    if (inner || typeof node?.receive !== 'function') continue;
    phase({ message: config.type });
    if (!words.has(config.type)) words.set(config.type, [...wordsOf(world, config.type), ...plan.words]);
    // Later variants get the first shapes only: what the others and words do, the first two have shown.
    const all = messages(words.get(config.type), canaries);
    for (const msg of variant < 2 ? all : all.slice(0, plan.messages)) {
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

/** Carries out a plan; gives what the driver itself saw. */
export async function run(plan) {
  const before = snapshot();
  limitFirings(plan.firings);
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
    await pass(plan.days * DAY);
  }
  if (doing('close')) await close(standing);
  out.tampered = compare(before);
  out.sent = observed.sent.length;
  out.senders = [...new Set(observed.sent.map(({ type }) => type))];
  out.pending = pending();
  return out;
}
