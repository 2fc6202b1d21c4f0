// The module `assert`.

import { offer } from '../loader/builtins.js';
import { badArgument, coded } from '../core/errors.js';
import { inspect } from './inspect.js';
import { equal } from './equality.js';

const SAID = {
  deepStrictEqual: 'Expected values to be strictly deep-equal:',
  strictEqual: 'Expected values to be strictly equal:',
  deepEqual: 'Expected values to be loosely deep-equal:',
  notDeepStrictEqual: 'Expected "actual" not to be strictly deep-equal to:',
  notStrictEqual: 'Expected "actual" to be strictly unequal to:',
  notDeepEqual: 'Expected "actual" not to be loosely deep-equal to:',
};

export class AssertionError extends Error {
  constructor({ message, actual, expected, operator, stackStartFn }) {
    const said = SAID[operator];
    super(
      message ??
        (operator === '==' || operator === '!='
          ? `${inspect(actual)} ${operator} ${inspect(expected)}`
          : operator === 'strictEqual'
            ? `${said}\n\n${inspect(actual)} !== ${inspect(expected)}\n`
            : said
              ? `${said}\n\n${inspect(actual)}\n\nshould ${operator.startsWith('not') ? 'not ' : ''}equal\n\n${inspect(expected)}`
              : 'Failed'),
    );
    Object.defineProperty(this, 'name', {
      value: 'AssertionError',
      enumerable: false,
      writable: true,
      configurable: true,
    });
    Object.assign(this, {
      generatedMessage: message === undefined || message === null,
      code: 'ERR_ASSERTION',
      actual,
      expected,
      operator,
    });
    if (stackStartFn) Error.captureStackTrace(this, stackStartFn);
  }
  toString() {
    return `${this.name} [${this.code}]: ${this.message}`;
  }
}
function fail(actual, expected, message, operator, above) {
  if (message instanceof Error) throw message;
  throw new AssertionError({ message, actual, expected, operator, stackStartFn: above });
}
function ok(value, message) {
  if (!value)
    fail(
      value,
      true,
      arguments.length === 0
        ? 'No value argument passed to `assert.ok()`'
        : (message ?? 'The expression evaluated to a falsy value'),
      '==',
      ok,
    );
}
const assert = function assert(...args) {
  ok(...args);
};

/** Whether an error is what was expected of it. */
function matches(error, expected, message) {
  if (expected === undefined) return true;
  if (typeof expected === 'function') {
    if (expected.prototype !== undefined && error instanceof expected) return true;
    if (Object.prototype.isPrototypeOf.call(Error, expected)) throw error;
    return (
      Reflect.apply(expected, {}, [error]) === true ||
      fail(error, expected, message ?? 'The validation function is expected to return "true".', 'throws', assert.throws)
    );
  }
  if (expected instanceof RegExp)
    return (
      expected.test(`${error}`) ||
      fail(
        error,
        expected,
        message ??
          `The input did not match the regular expression ${inspect(expected)}. Input:\n\n${inspect(`${error}`)}\n`,
        'throws',
        assert.throws,
      )
    );
  for (const key of [...Object.keys(expected), ...(expected instanceof Error ? ['name', 'message'] : [])]) {
    const fine =
      expected[key] instanceof RegExp && typeof error[key] === 'string'
        ? expected[key].test(error[key])
        : equal(error[key], expected[key], true);
    if (!fine) fail(error, expected, message, 'throws', assert.throws);
  }
  return true;
}
const split = (expected, message) => (typeof expected === 'string' ? [undefined, expected] : [expected, message]);
function caught(callable) {
  if (typeof callable !== 'function') throw badArgument('fn', 'of type function', callable);
  try {
    callable();
  } catch (error) {
    return [error];
  }
  return null;
}
async function rejected(promise) {
  try {
    await (typeof promise === 'function' ? promise() : promise);
  } catch (error) {
    return [error];
  }
  return null;
}
const missing = (kind, expected, message) =>
  fail(
    undefined,
    expected,
    `Missing expected ${kind}${expected?.name ? ` (${expected.name})` : ''}${message ? `: ${message}` : '.'}`,
    kind === 'exception' ? 'throws' : 'rejects',
    assert.throws,
  );
const unwanted = (kind, error, message) =>
  fail(
    error,
    undefined,
    `Got unwanted ${kind}${message ? `: ${message}` : '.'}\nActual message: "${error?.message}"`,
    kind === 'exception' ? 'doesNotThrow' : 'doesNotReject',
    assert.doesNotThrow,
  );

const compare = (name, test) => {
  assert[name] = {
    [name](actual, expected, message) {
      if (arguments.length < 2)
        throw coded(TypeError, 'ERR_MISSING_ARGS', 'The "actual" and "expected" arguments must be specified');
      if (!test(actual, expected))
        fail(actual, expected, message, name === 'equal' ? '==' : name === 'notEqual' ? '!=' : name, assert[name]);
    },
  }[name];
};
compare('equal', (a, b) => a == b || (a !== a && b !== b)); // eslint-disable-line eqeqeq
compare('notEqual', (a, b) => !(a == b || (a !== a && b !== b))); // eslint-disable-line eqeqeq
compare('strictEqual', Object.is);
compare('notStrictEqual', (a, b) => !Object.is(a, b));
compare('deepEqual', (a, b) => equal(a, b, false));
compare('notDeepEqual', (a, b) => !equal(a, b, false));
compare('deepStrictEqual', (a, b) => equal(a, b, true));
compare('notDeepStrictEqual', (a, b) => !equal(a, b, true));
Object.assign(assert, {
  ok,
  AssertionError,
  fail(actual, expected, message, operator) {
    if (arguments.length <= 1) fail(undefined, undefined, actual ?? 'Failed', 'fail', assert.fail);
    fail(actual, expected, message, operator ?? '!=', assert.fail);
  },
  throws(callable, expected, message) {
    const [want, said] = split(expected, message);
    const got = caught(callable);
    if (got === null) missing('exception', want, said);
    else matches(got[0], want, said);
  },
  doesNotThrow(callable, expected, message) {
    const got = caught(callable);
    if (got !== null) unwanted('exception', got[0], split(expected, message)[1]);
  },
  async rejects(promise, expected, message) {
    const [want, said] = split(expected, message);
    const got = await rejected(promise);
    if (got === null) missing('rejection', want, said);
    else matches(got[0], want, said);
  },
  async doesNotReject(promise, expected, message) {
    const got = await rejected(promise);
    if (got !== null) unwanted('rejection', got[0], split(expected, message)[1]);
  },
  ifError(value) {
    if (value !== null && value !== undefined) {
      const error = new AssertionError({
        message: `ifError got unwanted exception: ${value?.message ?? inspect(value)}`,
        actual: value,
        expected: null,
        operator: 'ifError',
      });
      error.generatedMessage = true;
      throw error;
    }
  },
  match(text, pattern, message) {
    if (typeof text !== 'string' || !pattern.test(text))
      fail(
        text,
        pattern,
        message ?? `The input did not match the regular expression ${inspect(pattern)}. Input:\n\n${inspect(text)}\n`,
        'match',
        assert.match,
      );
  },
  doesNotMatch(text, pattern, message) {
    if (typeof text === 'string' && pattern.test(text))
      fail(
        text,
        pattern,
        message ??
          `The input was expected to not match the regular expression ${inspect(pattern)}. Input:\n\n${inspect(text)}\n`,
        'doesNotMatch',
        assert.doesNotMatch,
      );
  },
  partialDeepStrictEqual(actual, expected, message) {
    for (const key of Object.keys(expected))
      if (!equal(actual?.[key], expected[key], true))
        fail(actual, expected, message, 'partialDeepStrictEqual', assert.partialDeepStrictEqual);
  },
});
const strict = Object.assign(
  function strict(...args) {
    ok(...args);
  },
  assert,
  {
    equal: assert.strictEqual,
    notEqual: assert.notStrictEqual,
    deepEqual: assert.deepStrictEqual,
    notDeepEqual: assert.notDeepStrictEqual,
  },
);
strict.strict = assert.strict = strict;
offer('assert', assert);
offer('assert/strict', strict);
export default assert;
