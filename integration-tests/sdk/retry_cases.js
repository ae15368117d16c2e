/*
 * retry_cases: what the clients do of themselves, with the two retries that
 * they have unless told otherwise: asked again is what cost nothing, at the
 * time that was named, and never what may be billed, or can only fail, or is
 * for another day. See cases.js.
 */
'use strict';

const assert = require('node:assert/strict');

const {isSettled, isPartial, isRecovered, areUnanswered} =
    require('./ledger.js');

const HELLO = 'Hello from upstream. ';
const RETRIES = {
  maxRetries: 2
};

const retryCases = [
  {
    name: 'the client asks again behind a failure',
    asks: 4,
    async run(it) {
      assert.equal(
          (await it.ask('#up status=500 times=3 key=again', {maxRetries: 1}))
              .text,
          HELLO);
    },
    ledger: isRecovered
  },

  {
    name: 'the provider\'s 429 says when to come back',
    asks: 4,
    async run(it) {
      const began = Date.now();

      /* Three calls of the first request; retry-after of a
       * second. */
      assert.equal(
          (await it.ask('#up status=429 times=3 key=limit', {maxRetries: 1}))
              .text,
          HELLO);
      assert.ok(Date.now() - began >= 1000, `${Date.now() - began} ms`);
    },
    ledger: isRecovered
  },


  ...['hourly', 'monthly'].map(
      (plan) => ({
        name: `retries: the ${plan} limit is for another day`,
        plan,
        async run(it) {
          assert.equal((await it.ask('Hi', RETRIES)).text, HELLO);
          for (const how of ['ask', 'stream']) {
            const error = await it.fails(it[how]('Hi', RETRIES), 429);

            assert.ok(error.headers.get('retry-after') > 60);
          }
        },
        ledger: isSettled()
      })),

  {
    name: 'retries: the same request twice',
    async run(it) {
      const options = {headers: {'Idempotency-Key': 'twice'}, ...RETRIES};

      await it.ask('Hi', options);
      await it.fails(it.ask('Hi', options), 409);
    },
    ledger: isSettled()
  },

  {
    name: 'retries: a JSON answer that breaks off',
    async run(it) {
      await it.fails(it.ask('#up cut=mid by=close', RETRIES), 500);
    },
    ledger: isPartial
  },

  {
    name: 'retries: a stream that breaks off',
    async run(it) {
      await assert.rejects(
          it.stream('#up events=6 cut=mid', RETRIES), it.module.APIError);
    },
    ledger: isPartial
  },

  ...['silence', 'close'].map(
      (by) => ({
        name: `retries: no answer, by ${by}`,
        asks: 2,
        async run(it) {
          for (const how of ['ask', 'stream'])
            await it.fails(it[how](`#up cut=head by=${by}`, RETRIES), 500);
        },
        ledger: areUnanswered(2),
        /* A kept connection that closes may have been closed before. */
        isAlone: by === 'close'
      })),
];

module.exports = {retryCases};
