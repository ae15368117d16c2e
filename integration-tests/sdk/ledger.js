/*
 * ledger: what the lines of a case's licence must be, once the house is down.
 * Each is a function of the lines and the case's It (sdk.test.js).
 */
'use strict';

const assert = require('node:assert/strict');

/* The one line of a good answer. */
function isSettled(tokens = {}) {
  return (lines, it) => {
    assert.equal(lines.length, 1);
    assert.equal(lines[0].provider, it.pair.provider);
    assert.equal(lines[0].model, it.model);
    assert.equal(lines[0].status, 'settled');
    assert.equal(lines[0].source, 'provider');
    assert.equal(lines[0].error, null);
    assert.ok(lines[0].cost > 0);
    for (const [name, value] of Object.entries({
           input_tokens: 12,
           output_tokens: 34,
           cache_read_tokens: 0,
           ...tokens
         }))
      assert.equal(lines[0][name], value, name);
  };
}

/* As many good answers as the provider was asked for. */
function areSettled(lines, it) {
  assert.equal(lines.length, it.asks);
  for (const line of lines) {
    assert.equal(line.status, 'settled');
    assert.equal(line.source, 'provider');
  }
}

/* One line that the provider may bill, though it broke off. */
function isPartial(lines) {
  assert.equal(lines.length, 1);
  assert.equal(lines[0].status, 'settled');
  assert.equal(lines[0].source, 'partial');
  assert.ok(lines[0].output_tokens > 0, 'output');
  assert.ok(lines[0].cost > 0, 'cost');
}

/* The same, where nothing is known of an answer but the prompt. */
function areUnanswered(count) {
  return (lines) => {
    assert.equal(lines.length, count);
    for (const line of lines) {
      assert.equal(line.status, 'settled');
      assert.equal(line.source, 'partial');
      assert.ok(line.input_tokens > 0, 'input');
      assert.ok(line.cost > 0, 'cost');
    }
  };
}

function areFailed(count) {
  return (lines) => {
    assert.equal(lines.length, count);
    for (const line of lines) {
      assert.equal(line.status, 'failed');
      assert.equal(line.cost, 0);
    }
  };
}

/* One failed, and the next went well. */
function isRecovered(lines) {
  assert.deepEqual(
      lines.map(({status}) => status).sort(), ['failed', 'settled']);
}

const isUnasked = areFailed(0);

module.exports = {
  isSettled,
  areSettled,
  isPartial,
  areUnanswered,
  areFailed,
  isRecovered,
  isUnasked
};
