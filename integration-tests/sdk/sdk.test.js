/*
 * The official clients of OpenAI and Anthropic, unchanged, against `chatello
 * up`: every case (cases.js) with every pair of client and provider, each pair
 * in a house of its own. SDK_ONLY=text runs the pairs whose name has it.
 */
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const {describe, it: test, before, after} = require('node:test');

const {House, CANARIES, MODELS} = require('./house.js');
const {clients} = require('./clients.js');
const {cases, demoCases} = require('./cases.js');
const {received} = require('./received.js');

const CASE_MS = 20000;
const EXIT_MS = 5000;
const PAIRS_AT_ONCE = 4; /* most of the time passes in waiting */
const SETTINGS = {
  CHATELLO_UPSTREAM_SILENCE_MS: '1000',
  CHATELLO_UPSTREAM_FIRST_BYTE_MS: '1000'
};

/* No setting of the caller's reaches the clients. */
for (const name of Object.keys(process.env))
  if (/^(OPENAI|ANTHROPIC)_/.test(name)) delete process.env[name];

function whole(question) {
  return typeof question === 'string' ? {prompt: question} : question;
}

/* What a case has in its hands. */
class It {
  constructor(pair, house, licence, key) {
    this.pair = pair;
    this.house = house;
    this.licence = licence;
    this.key = key || licence.license_key;
    this.model = MODELS[pair.provider];
    this.clientKind = clients[pair.client];
    this.module = this.clientKind.module;
  }

  /* The same with another key. */
  as(key) {
    return new It(this.pair, this.house, this.licence, key);
  }

  client(options) {
    return this.clientKind.client(this.house, this.key, options);
  }

  /* question: as in clients.js, or only its prompt. options: of the client's
   * call. */
  ask(question, options = {}, model = this.model) {
    return this.clientKind.ask(this.client(), model, whole(question), options);
  }

  stream(question, options = {}, onText = undefined) {
    return this.clientKind.stream(
        this.client(), this.model, whole(question), options, onText);
  }

  body(question) {
    return this.clientKind.body(this.model, whole(question));
  }

  /* The client's own call with a body as it is, but for the prompt. */
  send(prompt, members) {
    return this.clientKind.send(
        this.client(),
        prompt === null ? members : {...this.body({prompt}), ...members});
  }

  /* The text of a raw event, and [place, text] of arguments in it. */
  textOf(event) {
    return event.delta?.text || event.choices?.[0]?.delta?.content;
  }

  argumentPieces(event) {
    if (event.delta?.type === 'input_json_delta')
      return [[event.index, event.delta.partial_json]];
    return (event.choices?.[0]?.delta?.tool_calls || [])
        .map((call) => [call.index, call.function?.arguments || '']);
  }

  /* The last request at the provider; no key of ours is in it. */
  read(counts) {
    const got = received(counts);

    assert.ok(!got.text.includes(this.licence.license_key));
    assert.equal(got.headers['x-license-key'], undefined);
    for (const [provider, canary] of Object.entries(CANARIES))
      assert.equal(
          got.text.includes(canary), provider === this.pair.provider, provider);
    return got;
  }

  /* It is rejected with the client's class for the status (500: any from
   * 500 on). members: code, in OpenAI's shape, and type, in Anthropic's.
   */
  async fails(promise, status, pattern, members = {}) {
    const Class = this.clientKind.statuses[status];
    const error =
        await promise.then(() => assert.fail('it went well'), (e) => e);

    assert.ok(error instanceof Class, error.stack);
    if (status === 500)
      assert.ok(error.status >= 500);
    else
      assert.equal(error.status, status);
    const said = this.clientKind.errorMembers(error);

    assert.match(said.message, pattern || /./);
    for (const [name, value] of Object.entries(members))
      if (name in said) assert.equal(said[name], value, name);
    assert.match(error.requestID, /^(twice|[0-9A-Z]{26})$/);
    for (const canary of Object.values(CANARIES))
      assert.ok(!JSON.stringify(error).includes(canary));
    return error;
  }
}

async function runCase(pair, house, one) {
  const licence = await house.licence(one.plan || 'big', one.domain);
  const it = new It(pair, house, licence);
  const {requests} = await house.counts();

  one.it = it;
  it.asks = asksOf(one, it);
  await one.run(it);
  assert.equal(
      (await house.counts()).requests - requests, it.asks,
      'requests at the provider');
}

function asksOf({asks = 1}, it) {
  return typeof asks === 'function' ? asks(it) : asks;
}

/* One pair: its cases, then the ledger behind the drain, then the logs. */
function describePair(pair, all) {
  const name = `${pair.client} → ${pair.provider}`;
  const providers = pair.provider === 'demo' ? [] : [pair.provider];
  const own = all.filter((one) => !one.client || one.client === pair.client)
                  .map((one) => ({...one}));
  const shared = own.filter(({isAlone}) => !isAlone);
  const alone = own.filter(({isAlone}) => isAlone);

  describe(name, {concurrency: 1}, () => {
    let house, lines;

    before(async () => {
      house = await House.start(providers, SETTINGS);
    });
    after(() => house?.remove());
    for (const one of shared)
      test(one.name, {timeout: CASE_MS}, () => runCase(pair, house, one));
    test('the house stops', {timeout: CASE_MS}, async () => {
      assert.equal(await house.stop(), 0);
      lines = await house.ledger();
      assert.ok(lines.every(({status}) => status !== 'reserved'));
    });
    for (const one of shared)
      test(`${one.name}: ledger`, () => checkLedger(one, lines));
    test('no key and no prompt is in the log', () => {
      const log = fs.readFileSync(house.log, 'utf8');

      for (const secret
               of [...Object.values(CANARIES), '#up',
                   ...shared.map((one) => one.it.key)])
        assert.ok(!log.includes(secret));
    });
    /* What puts the provider's key aside, or has settings of its own, has a
     * house for itself. */
    for (const one of alone)
      test(one.name, {timeout: CASE_MS}, async () => {
        const own =
            await House.start(providers, {...SETTINGS, ...one.settings});

        try {
          await runCase(pair, own, one);
          assert.equal(await own.stop(), 0);
          checkLedger(one, await own.ledger());
        } finally {
          await own.remove();
        }
      });
  });
}

function checkLedger(one, lines) {
  const id = one.it.licence.license_id;

  one.ledger(lines.filter((line) => line.license_id === id), one.it);
}

describe('official clients', {concurrency: PAIRS_AT_ONCE}, () => {
  /* A client that sleeps for as long as it was told would hold us up. */
  after(() => setTimeout(() => process.exit(), EXIT_MS).unref());
  for (const provider of Object.keys(MODELS))
    for (const client of Object.keys(clients))
      if (`${client} → ${provider}`.includes(process.env.SDK_ONLY || ''))
        describePair(
            {client, provider}, provider === 'demo' ? demoCases : cases);
});
