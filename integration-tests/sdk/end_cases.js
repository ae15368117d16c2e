/*
 * end_cases: what ends before its end, whoever ends it: the client that leaves
 * or waits no longer, a provider that is silent or breaks off; and what does
 * not, though it takes its time. See cases.js.
 */
'use strict';

const assert = require('node:assert/strict');

const {isPartial, areUnanswered} = require('./ledger.js');

const endCases = [
  {
    name: 'abort in mid-stream',
    async run(it) {
      const before = (await it.house.counts()).closed_early;
      let left;

      await assert.rejects(
          it.stream('#up events=2000 gap=20', {}, (piece, stream) => {
            if (left || !piece) return;
            left = Date.now();
            stream.abort();
          }), it.module.APIUserAbortError);
      await it.house.waitFor('closed_early', before + 1);
      assert.ok(Date.now() - left < 1000, `${Date.now() - left} ms`);
    },
    ledger: isPartial
  },

  {
    name: 'break out of a raw stream',
    async run(it) {
      const before = (await it.house.counts()).closed_early;
      let left;

      for await (const event of await it.send(
          '#up events=2000 gap=20', {stream: true})) {
        if (!it.textOf(event)) continue;
        left = Date.now();
        break;
      }
      await it.house.waitFor('closed_early', before + 1);
      assert.ok(Date.now() - left < 1000, `${Date.now() - left} ms`);
    },
    ledger: isPartial
  },

  {
    name: 'abort of a JSON answer',
    async run(it) {
      const {closed_early, requests} = await it.house.counts();
      const controller = new AbortController();
      const asked = assert.rejects(
          it.ask('#up delay=10000', {signal: controller.signal}),
          it.module.APIUserAbortError);

      await it.house.waitFor('requests', requests + 1);
      const left = Date.now();

      controller.abort();
      await asked;
      await it.house.waitFor('closed_early', closed_early + 1);
      assert.ok(Date.now() - left < 1000, `${Date.now() - left} ms`);
    },
    ledger: areUnanswered(1)
  },

  {
    name: 'the client\'s time is up',
    async run(it) {
      const {closed_early} = await it.house.counts();

      await assert.rejects(
          it.ask('#up delay=10000', {timeout: 300}),
          it.module.APIConnectionTimeoutError);
      await it.house.waitFor('closed_early', closed_early + 1);
    },
    ledger: areUnanswered(1)
  },

  ...['ask', 'stream'].map((how) => ({
                             name: `${how}: a provider that says nothing`,
                             async run(it) {
                               await it.fails(
                                   it[how]('#up cut=head by=silence'), 504,
                                   /not answer in time/);
                             },
                             ledger(lines) {
                               areUnanswered(1)(lines);
                               assert.equal(lines[0].error, 'UPSTREAM_TIMEOUT');
                             }
                           })),

  ...['cut=mid by=reset', 'cut=mid by=close', 'cut=mid by=silence', 'nodone',
      'error']
      .map((script) => ({
             name: `a stream that breaks off: ${script}`,
             async run(it) {
               const pieces = [];

               await assert.rejects(
                   it.stream(
                       `#up events=6 gap=10 ${script}`, {},
                       (piece) => pieces.push(piece)),
                   it.module.APIError);
               assert.ok(pieces.length >= 3, `${pieces.length} pieces`);
             },
             ledger: isPartial
           })),

  /* In its own shape's way, also before the first event. */
  {
    name: 'a stream is kept alive while the provider thinks',
    isAlone: true,
    settings: {CHATELLO_KEEP_ALIVE_MS: '50'},
    asks: 2,
    async run(it) {
      const slow = '#up delay=400 events=3 gap=200';
      const sign = it.pair.client === 'anthropic' ?
          'event: ping\ndata: {"type": "ping"}\n\n' :
          ': keep-alive\n\n';
      const raw = await it.send(slow, {stream: true}).asResponse();
      const text = await raw.text();
      const answer = await it.stream(slow);

      assert.ok(text.startsWith(sign + sign), text.slice(0, 100));
      assert.ok(text.split(sign).length > 4);
      assert.equal(text.includes(': keep-alive'), it.pair.client === 'openai');
      assert.equal(answer.finish, 'stop');
      assert.ok(answer.text.length > 0);
      for (const piece of answer.text.split(' ').filter(Boolean))
        assert.ok(text.includes(piece), piece);
    },
    ledger: (lines) => assert.deepEqual(
        lines.map(({status}) => status), ['settled', 'settled'])
  },

  {
    name: 'a JSON answer that breaks off',
    async run(it) {
      await it.fails(it.ask('#up cut=mid by=close'), 500);
    },
    ledger: isPartial
  },

  {
    name: 'an answer that is no JSON',
    async run(it) {
      await it.fails(it.ask('#up garbage'), 500);
    },
    ledger(lines) {
      assert.equal(lines.length, 1);
      assert.equal(lines[0].error, 'UPSTREAM_FAILED');
    }
  },
];

module.exports = {endCases};
