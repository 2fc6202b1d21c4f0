// Loads one file and gives what the function that it exports comes to. For tests that compare this world with Node.js.

import { within } from '../core/loop.js';
import { load } from '../loader/commonjs.js';
import { USER_DIR } from './plan.js';

const SPAN = 600_000;

/** The answer of `plan.path`, or why there is none. */
export async function answer(plan) {
  let out;
  const promise = load(plan.path, `${USER_DIR}/-`)();
  promise.then(
    (value) => {
      out = { answer: value };
    },
    (error) => {
      out = { error: `${error?.stack ?? error}` };
    },
  );
  await within(promise, SPAN);
  return out ?? { error: 'it never answers' };
}
