// What the host calls: one run, from the text of a plan to the text of what came of it.

import { probe } from '../core/compared.js';
import { call } from '../core/host.js';
import { finish, refresh, turn } from '../core/loop.js';
import { tellRejections } from '../node/rejections.js';
import { planOf } from './plan.js';
import { parseJson, promises, stringify } from '../core/primordials.js';
import { ready } from '../node/process.js';
import { run } from './run.js';
import { answer as answerOf } from './answer.js';
import { edit } from '../editor/edit.js';

/** Carries out one run. Promises are pumped here, so that nothing is left when it returns. */
export function drive(text) {
  const plan = planOf(parseJson(text));
  ready();
  probe(plan.probes);
  refresh();
  let answer = { error: 'the run did not end' };
  const carry = { __proto__: null, editor: edit, answer: answerOf }[plan.half] ?? run;
  promises.then(
    carry(plan),
    (value) => {
      answer = value;
      finish();
    },
    (error) => {
      answer = { error: `${error?.stack ?? error}` };
      finish();
    },
  );
  do {
    call('jobs');
    if (tellRejections()) call('jobs');
  } while (turn());
  return stringify(answer);
}
