/*
 * cases: what each official client does with each provider. A case is
 * {name, run(it)}, and ledger(lines, it) for its licence's lines once the house
 * is down. `it` (sdk.test.js) is of one pair and has a licence of its own, on
 * the plan `plan` or a big one. client: only that one's; isAlone: in a house of
 * its own, since it puts the provider's key aside; isDemo: also of the demo.
 */
'use strict';

const assert = require('node:assert/strict');

const {areSettled} = require('./ledger.js');
const {answerCases} = require('./answer_cases.js');
const {endCases} = require('./end_cases.js');
const {errorCases} = require('./error_cases.js');
const {listCases} = require('./list_cases.js');

const cases = [...answerCases, ...endCases, ...errorCases, ...listCases];

/* The demo answers while no provider is switched on. */
const demoCases = [
  {
    name: 'demo: chat and stream',
    async run(it) {
      const answer = await it.ask({prompt: 'Hi', system: 'Be brief'});
      const pieces = [];
      const stream = await it.stream('Hi', (piece) => pieces.push(piece));

      assert.match(answer.text, /^\[demo\] .+counted\.$/);
      assert.equal(stream.text, answer.text);
      assert.ok(pieces.length > 10);
      for (const {finish, usage, model} of [answer, stream]) {
        assert.equal(finish, 'stop');
        assert.equal(model, 'demo');
        assert.ok(usage.input > 0 && usage.output > 0);
      }
    },
    ledger: areSettled(2)
  },
  ...cases.filter(({isDemo}) => isDemo),
];

module.exports = {
  cases,
  demoCases
};
