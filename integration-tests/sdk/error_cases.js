/*
 * error_cases: each refusal with the client's own class for it, ours and the
 * provider's. See cases.js.
 */
'use strict';

const assert = require('node:assert/strict');

const {isSettled, areFailed, isRecovered, isUnasked} = require('./ledger.js');

const HELLO = 'Hello from upstream. ';
const TOO_LARGE = 13 << 20;
const NO_KEY = 'CHA-AAAA-BBBB-CCCC-DDDD';

const errorCases = [
  {
    name: 'no such licence',
    asks: 0,
    isDemo: true,
    async run(it) {
      for (const how of ['ask', 'stream'])
        await it.fails(
            it.as(NO_KEY)[how]('Hi'), 401, /licence key/,
            {code: 'NOT_FOUND', type: 'authentication_error'});
    },
    ledger: isUnasked
  },

  {
    name: 'a suspended licence',
    async run(it) {
      await it.house.tool('license', 'suspend', it.licence.license_id);
      await it.fails(
          it.ask('Hi'), 403, /suspended/,
          {code: 'SUSPENDED', type: 'permission_error'});
      await it.house.tool('license', 'resume', it.licence.license_id);
      assert.equal((await it.ask('Hi')).text, HELLO);
    },
    ledger: isSettled()
  },

  {
    name: 'a plan without AI',
    asks: 0,
    plan: 'bare',
    async run(it) {
      await it.fails(
          it.ask('Hi'), 403, /feature/,
          {code: 'FEATURE_MISSING', type: 'permission_error'});
    },
    ledger: isUnasked
  },

  {
    name: 'another site',
    asks: 0,
    domain: 'shop.example',
    async run(it) {
      await it.fails(
          it.ask('Hi', {headers: {'X-Site-Url': 'https://other.example'}}), 403,
          /domain/, {code: 'DOMAIN_MISMATCH', type: 'permission_error'});
    },
    ledger: isUnasked
  },

  {
    name: 'a body that is too large',
    asks: 0,
    async run(it) {
      for (const how of ['ask', 'stream'])
        await it.fails(
            it[how]('x'.repeat(TOO_LARGE)), 413, /too large/,
            {type: 'request_too_large'});
    },
    ledger: isUnasked
  },

  {
    name: 'no such model',
    asks: 0,
    isDemo: true,
    async run(it) {
      await it.fails(
          it.ask('Hi', {}, 'nobody-1'), 404, /nobody-1/,
          {code: 'MODEL_UNKNOWN', type: 'not_found_error'});
    },
    ledger: isUnasked
  },

  {
    name: 'a model without a price',
    asks: 0,
    async run(it) {
      const model = it.model.replace('test', 'unpriced-9');

      await it.fails(
          it.ask('Hi', {}, model), 422, /price set/,
          {code: 'MODEL_NOT_PRICED', type: 'invalid_request_error'});
    },
    ledger: isUnasked
  },

  {
    name: 'a bad field',
    asks: 0,
    async run(it) {
      await it.fails(
          it.send(null, {model: it.model, max_tokens: 9, messages: 'Hi'}), 400,
          /messages/, {code: 'BAD_FIELD', type: 'invalid_request_error'});
    },
    ledger: isUnasked
  },

  {
    name: 'the same request twice',
    async run(it) {
      const options = {headers: {'Idempotency-Key': 'twice'}};

      await it.ask('Hi', options);
      await it.fails(
          it.ask('Hi', options), 409, /settled/,
          {code: 'DUPLICATE_REQUEST', type: 'invalid_request_error'});
    },
    ledger: isSettled()
  },

  {
    name: 'the plan\'s limit',
    plan: 'hourly',
    async run(it) {
      assert.equal((await it.ask('Hi')).text, HELLO);
      const error = await it.fails(
          it.ask('Hi'), 429, undefined,
          {code: 'RATE_LIMITED', type: 'rate_limit_error'});

      assert.ok(error.headers.get('retry-after') > 1000);
    },
    ledger: isSettled()
  },

  ...[400, 404].map((status) => ({
                      name: `the provider's ${status}`,
                      asks: 2,
                      async run(it) {
                        const type = status === 400 ? 'invalid_request_error' :
                                                      'not_found_error';

                        for (const how of ['ask', 'stream'])
                          await it.fails(
                              it[how](`#up status=${status} code=${type}`),
                              status, /scripted failure/, {type});
                      },
                      ledger: areFailed(2)
                    })),

  ...[500, 503, 529].map(
      (status) => ({
        name: `the provider's ${status}`,
        asks: 4, /* nothing was billed: the house asked three times */
        async run(it) {
          await it.fails(it.ask(`#up status=${status}`), 500);
          assert.equal((await it.ask('Hi')).text, HELLO);
        },
        ledger: isRecovered
      })),

  {
    name: 'a provider that keeps failing',
    asks: 20,
    async run(it) {
      for (let i = 0; i < 7; i++)
        await it.fails(it.stream('#up status=500'), 500);
      const error = await it.fails(
          it.ask('Hi'), 500, /left alone/, {code: 'UPSTREAM_RESTING'});

      assert.equal(error.status, 503);
      assert.ok(error.headers.get('retry-after') <= 60);
    },
    ledger: areFailed(8),
    isAlone: true
  },

  {
    name: 'one failure of the provider is not seen',
    asks: 2,
    async run(it) {
      const key = `once-${it.pair.client}`;

      assert.equal(
          (await it.stream(`#up status=529 times=1 key=${key} events=1`)).text,
          HELLO);
    },
    ledger(lines, it) {
      isSettled()(lines, it);
      assert.equal(lines[0].attempts, 2);
    }
  },

  {
    name: 'the provider\'s 429',
    async run(it) {
      const error = await it.fails(
          it.ask('#up status=429 retry-after-ms=9001 times=1 key=long'), 429,
          undefined, {type: 'rate_limit_error'});

      assert.equal(error.headers.get('retry-after'), '10');
      assert.ok(!error.message.includes('scripted'));
    },
    ledger: areFailed(1),
    isAlone: true
  },

  {
    name: 'the provider\'s 401 is the vendor\'s trouble',
    async run(it) {
      const error = await it.fails(
          it.ask('#up status=401 code=authentication_error'), 500);

      assert.ok(!(error instanceof it.module.AuthenticationError));
      assert.ok(!error.message.includes('scripted'));

      /* It was the vendor's only key. */
      const resting =
          await it.fails(it.ask('Hi'), 500, undefined, {code: 'KEYS_RESTING'});

      assert.equal(resting.status, 503);
      assert.ok(resting.headers.get('retry-after') > 0);
    },
    ledger: areFailed(2),
    isAlone: true
  },
];

module.exports = {errorCases};
