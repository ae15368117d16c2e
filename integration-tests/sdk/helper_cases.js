/*
 * helper_cases: what the clients have beside plain questions: helpers that call
 * tools and ask on, features behind beta headers, and the customer's own key
 * at the provider. See cases.js.
 */
'use strict';

const assert = require('node:assert/strict');

const {CANARIES} = require('./house.js');
const {SCHEMA} = require('./clients.js');
const {isSettled, areSettled} = require('./ledger.js');
const {received} = require('./received.js');

const HELLO = 'Hello from upstream. ';
const CALL = {
  name: 'get_weather',
  input: {city: 'Zürich "0"', days: 1}
};
const OWN_KEY = 'sk-own-canary-1d5fa0';

/* The client's helper with one tool; what the tool was called with. */
function runTools(it, options) {
  const calls = [];
  const run = (input) => {
    calls.push(input);
    return 'sunny';
  };
  const body = it.body('Hi #up tools=1');

  return {
    calls,
    answer: it.clientKind.runTools(it.client(), body, run, options)
  };
}

/* Sets the customer's own key, and asks with it. */
async function setOwnKey(it) {
  const answer = await fetch(`${it.house.url}/api/keys/${it.pair.provider}`, {
    method: 'PUT',
    headers: {'X-License-Key': it.key, 'Content-Type': 'application/json'},
    body: JSON.stringify({api_key: OWN_KEY})
  });

  assert.equal(answer.status, 200);
}

function hasOnlyOwnKey(counts) {
  const got = received(counts);

  assert.ok(got.text.includes(OWN_KEY));
  for (const canary of Object.values(CANARIES))
    assert.ok(!got.text.includes(canary));
}

const helperCases = [
  ...[false, true].map(
      (isStream) => ({
        name: `a helper that runs tools${isStream ? ', streamed' : ''}`,
        asks: 2,
        async run(it) {
          const {calls, answer} = runTools(it, {stream: isStream});

          assert.equal(await answer, isStream ? HELLO.repeat(3) : HELLO);
          assert.deepEqual(calls, [CALL.input]);

          const got = it.read(await it.house.counts());
          const results = got.turns.find(({role}) => role === 'results');

          assert.equal(results.results[0].text, 'sunny');
          /* Anthropic keeps the conversation for its own client; what the
           * others get is whole. */
          if (it.pair.client === 'anthropic' &&
              it.pair.provider === 'anthropic') {
            assert.deepEqual(
                got.body.thread,
                {type: 'continue', previous_message_id: 'msg_1'});
          } else {
            assert.equal(got.body.thread, undefined);
            assert.deepEqual(
                got.turns.map(({role}) => role), ['user', 'calls', 'results']);
            assert.deepEqual(got.tools.map(({schema}) => schema), [SCHEMA]);
          }
        },
        ledger: areSettled
      })),

  {
    name: 'a beta feature',
    client: 'anthropic',
    async run(it) {
      const message = await it.client().beta.messages.create(
          {...it.body('Hi'), betas: ['a-2026-01-01', 'b-2026-02-02']});
      const {headers} = it.read(await it.house.counts());
      const isItsOwn = it.pair.provider === 'anthropic';

      assert.equal(message.content[0].text, HELLO);
      assert.equal(
          headers['anthropic-beta'],
          isItsOwn ? 'a-2026-01-01,b-2026-02-02' : undefined);
      assert.equal(headers['anthropic-version'] !== undefined, isItsOwn);
    },
    ledger: isSettled()
  },

  {
    name: 'the customer\'s own key',
    async run(it) {
      await setOwnKey(it);
      assert.equal((await it.ask('Hi')).text, HELLO);
      hasOnlyOwnKey(await it.house.counts());
    },
    ledger(lines) {
      assert.equal(lines.length, 1);
      assert.equal(lines[0].status, 'settled');
      assert.equal(lines[0].own_key, true);
      assert.equal(lines[0].cost, 0);
    }
  },

  {
    name: 'the customer\'s own key, refused',
    async run(it) {
      await setOwnKey(it);
      await it.fails(
          it.ask('#up status=401', {maxRetries: 2}), 403, /your own key/,
          {code: 'OWN_KEY_REFUSED', type: 'permission_error'});
      hasOnlyOwnKey(await it.house.counts());
    },
    ledger(lines) {
      assert.equal(lines.length, 1);
      assert.equal(lines[0].status, 'failed');
    }
  },
];

module.exports = {helperCases};
