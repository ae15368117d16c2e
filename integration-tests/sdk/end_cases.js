/*
 * end_cases: what ends before its end, whoever ends it: the client that leaves
 * or waits no longer, a provider that is silent or breaks off. See cases.js.
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
