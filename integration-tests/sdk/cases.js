/*
 * cases: what each official client does with each provider. A case is
 * {name, run(it)}, and where it differs:
 *   asks      how many requests the provider has got behind it, no more and no
 *             fewer: a number (1), or a function of `it`
 *   ledger(lines, it)  what its licence's lines must be, once the house is down
 *   plan      of its licence, instead of a big one
 *   domain    of its licence, instead of any
 *   client    it is for that one alone
 *   isAlone   it has a house of its own: it puts the provider's key aside, or
 *             has settings
 *   settings  of that house, beside the usual ones
 *   isDemo    it is for the demo as well
 * `it` (sdk.test.js) is of one pair and has a licence of its own.
 */
'use strict';

const assert = require('node:assert/strict');

const {answerCases} = require('./answer_cases.js');
const {endCases} = require('./end_cases.js');
const {errorCases} = require('./error_cases.js');
const {helperCases} = require('./helper_cases.js');
const {listCases} = require('./list_cases.js');
const {retryCases} = require('./retry_cases.js');

const cases = [
  ...answerCases, ...endCases, ...errorCases, ...retryCases, ...helperCases,
  ...listCases
];

/* The demo answers while no provider is switched on. */
const demoCases = [
  {
    name: 'demo: chat and stream',
    asks: 0,
    async run(it) {
      const answer = await it.ask({prompt: 'Hi', system: 'Be brief'});
      const pieces = [];
      const stream = await it.stream('Hi', {}, (piece) => pieces.push(piece));

      assert.match(answer.text, /^\[demo\] .+counted\.$/);
      assert.equal(stream.text, answer.text);
      assert.ok(pieces.length > 10);
      for (const {finish, usage, model} of [answer, stream]) {
        assert.equal(finish, 'stop');
        assert.equal(model, 'demo');
        assert.ok(usage.input > 0 && usage.output > 0);
      }
    },
    ledger: (lines) => assert.deepEqual(
        lines.map(({status}) => status), ['settled', 'settled'])
  },
  ...cases.filter(({isDemo}) => isDemo),
];

module.exports = {
  cases,
  demoCases
};
