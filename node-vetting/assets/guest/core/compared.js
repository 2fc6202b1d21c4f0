// What packages compare the names with that this world was given: host, user, values of the environment, texts of messages.
// Only while a run is watched for it; the next runs are then given the names that the code waits for.

import { Map, RegExp, Set, arrays, getOwnPropertyDescriptor, isArray, maps, sets, strings, uncurry } from './primordials.js';
import { record, short } from './host.js';

const MOST = 200; // names that are told in a run
const LONGEST = 200; // characters of a text that is looked at
const LISTED = 32; // members of a list that are looked at

const patternOf = uncurry(getOwnPropertyDescriptor(RegExp.prototype, 'source').get);

/** Texts, in small letters, with what they are and what stands around them in it. */
const exact = new Map();
/** What may also stand in the middle of a text. */
const inner = [];
const told = new Set();
let most = 0;

/** Sets the probes: `{name: text}`. Parts of names count as well, for code that splits them. */
export function probe(probes) {
  for (const name of Object.keys(probes)) {
    const text = strings.toLowerCase(probes[name]);
    const whole = { __proto__: null, name, before: '', after: '' };
    maps.set(exact, text, whole);
    most += 1;
    if (name !== 'host' && name !== 'user') continue;
    arrays.push(inner, { __proto__: null, name, text });
    const parts = strings.split(text, /[-_.]/);
    if (parts.length < 2) continue;
    let at = 0;
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i];
      const before = strings.slice(text, 0, at);
      at += part.length + 1;
      maps.set(exact, part, { __proto__: null, name, before, after: strings.slice(text, at - 1) });
    }
  }
}

function tell(name, text) {
  const key = `${name}=${text}`;
  if (text.length === 0 || told.size >= MOST || sets.has(told, key)) return;
  sets.add(told, key);
  record({ __proto__: null, kind: 'compared', probe: name, with: short(text, LONGEST) });
}

/** What a probe has to be for the text in which it stands to be the other one. */
function answer(value, other) {
  const text = strings.toLowerCase(value);
  const known = maps.get(exact, text);
  if (known !== undefined) {
    tell(known.name, known.before + other + known.after);
    return;
  }
  let fitted = false;
  for (let i = 0; i < inner.length; i++) {
    const at = strings.indexOf(text, inner[i].text);
    if (at < 0) continue;
    const before = strings.slice(text, 0, at);
    const after = strings.slice(text, at + inner[i].text.length);
    if (!strings.startsWith(strings.toLowerCase(other), before) || !strings.endsWith(other, after)) continue;
    fitted = true;
    tell(inner[i].name, strings.slice(other, before.length, other.length - after.length));
  }
  // Where it stands among other things, it is looked for by a part.
  for (let i = 0; i < inner.length && !fitted; i++)
    if (strings.includes(text, inner[i].text) && !strings.includes(strings.toLowerCase(other), inner[i].text))
      tell(inner[i].name, other);
}

function look(value, other) {
  if (typeof value !== 'string' || value.length < 2 || value.length > LONGEST) return;
  if (typeof other === 'string') {
    if (other.length <= LONGEST && other !== value) answer(value, other);
    return;
  }
  if (other === null || typeof other !== 'object') return;
  try {
    if (isArray(other)) {
      for (let i = 0; i < other.length && i < LISTED; i++) if (typeof other[i] === 'string') look(value, other[i]);
      return;
    }
    let left = LISTED;
    sets.forEach(other, (member) => {
      if (left-- > 0 && typeof member === 'string') look(value, member);
    });
  } catch {
    try {
      // What matches a pattern, the host finds.
      answer(value, `/${patternOf(other)}/`);
    } catch {
      /* neither a list nor a set nor a pattern */
    }
  }
}

/** A function that tells what one file compares. It gives back the value that it is handed. */
export function compared() {
  const sides = new Map();
  return function (side, value, third) {
    if (side === 2) {
      if (most > 0) for (let i = 2; i < arguments.length; i++) look(value, arguments[i]);
      return value;
    }
    // The second argument is the place then.
    if (side === 0) maps.set(sides, value, third);
    else if (most > 0) {
      const left = maps.get(sides, value);
      look(left, third);
      look(third, left);
    }
    return third;
  };
}
