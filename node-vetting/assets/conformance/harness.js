// What each conformance file uses: it says values and errors line by line, and both worlds' lines are compared.
'use strict';
const { inspect } = require('util');

const shown = (value) => inspect(value, { depth: 6, breakLength: 100, maxArrayLength: 40 });
const failure = (error) => `throws ${error.name} ${error.code ?? ''} ${error.message}`.split('\n')[0];

module.exports = function harness(run) {
  return async () => {
    const lines = [];
    const say = async (label, action) => {
      try {
        lines.push(`${label}: ${shown(await action())}`);
      } catch (error) {
        lines.push(`${label}: ${failure(error)}`);
      }
    };
    await run(say);
    return lines.join('\n');
  };
};
