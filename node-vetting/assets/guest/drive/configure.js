// From what the editor half told of a type to configurations of it: some variants of each, config nodes first.

import { candidates } from './values.js';

function choose(name, property, variant, canaries) {
  const list = property.candidates?.length
    ? property.candidates
    : candidates(name, property.value, canaries, property.options ?? []);
  if (property.options?.length) return list[variant % list.length];
  if (typeof property.value === 'boolean')
    return variant === 0 ? property.value : variant === 1 ? !property.value : (variant + name.length) % 2 === 0;
  if (variant === 0 || variant === 2 || list.length === 1) return list[0];
  return variant === 3 && property.value !== undefined && !property.required
    ? property.value
    : list[Math.min(1, list.length - 1)];
}

/** What a credential is that is none: who signs in, where. */
function credentialValue(name, variant, canaries) {
  const list = candidates(name, '', canaries, []).filter((value) => value !== '');
  return /host|url|server|user|login|account|mail/i.test(name) && list.length > 0
    ? list[variant % list.length]
    : canaries.user;
}

let serial = 0x1000;
const fresh = () => `f00d${(serial++).toString(16).padStart(12, '0')}`;

/**
 * Configurations of one type. Those of config nodes that it wants come before it in the list.
 * `told` are the types as the editor half told them, `known` the registered ones with their credentials.
 */
export function configurations(type, told, known, canaries, variant, made = new Map(), depth = 0) {
  const definition = told[type] ?? { defaults: {} };
  const config = {
    id: fresh(),
    type,
    z: definition.category === 'config' ? '' : canaries.flow,
    x: 100,
    y: 100,
    wires: Array.from({ length: Math.max(definition.outputs ?? 1, 0) }, () => []),
  };
  if (definition.category === 'config') for (const name of ['x', 'y', 'wires', 'z']) delete config[name];
  const list = [];
  for (const [name, property] of Object.entries(definition.defaults ?? {})) {
    if (property.type && property.type !== 'num' && (told[property.type] || known.has(property.type))) {
      if (depth > 4) continue;
      const key = `${property.type}:${variant}`;
      if (!made.has(key)) {
        const wanted = configurations(property.type, told, known, canaries, variant, made, depth + 1);
        made.set(key, wanted.at(-1).config.id);
        list.push(...wanted);
      }
      config[name] = made.get(key);
    } else if (property.type && property.type.includes?.('-') && !known.has(property.type)) {
      config[name] = canaries.foreign?.[property.type] ?? '';
    } else config[name] = structuredClone(choose(name, property, variant, canaries));
  }
  config.name ??= `${type} ${variant + 1}`;
  const wanted = { ...known.get(type)?.options?.credentials, ...definition.credentials };
  const credentials = {};
  for (const [name, kind] of Object.entries(wanted))
    credentials[name] =
      kind?.type === 'password' || /pass|secret|token|key/i.test(name)
        ? canaries.credential
        : kind?.type === 'boolean' || kind?.boolean
          ? false
          : credentialValue(name, variant, canaries);
  list.push({ config, credentials, config_node: definition.category === 'config' });
  return list;
}
