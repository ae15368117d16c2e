/*
 * list_cases: what costs nothing: the list of models, and counting tokens.
 * See cases.js.
 */
'use strict';

const assert = require('node:assert/strict');

const {CANARIES} = require('./house.js');
const {isUnasked} = require('./ledger.js');

const NO_KEY = 'CHA-AAAA-BBBB-CCCC-DDDD';

const listCases = [
  {
    name: 'models',
    asks: 0,
    isDemo: true,
    async run(it) {
      const models = [];

      for await (const model of it.client().models.list()) models.push(model);
      const ids = models.map(({id}) => id);
      const model = models.find(({id}) => id === it.model);

      assert.equal(new Set(ids).size, ids.length);
      assert.ok(!ids.includes('nobody-1'));
      if (it.pair.client === 'anthropic') {
        assert.equal(model.type, 'model');
        assert.ok(model.display_name);
        assert.ok(Date.parse(model.created_at) > 0);
      } else {
        assert.equal(model.object, 'model');
        assert.equal(model.owned_by, it.pair.provider);
        assert.ok(Number.isInteger(model.created));
      }
      assert.deepEqual(
          {...await it.client().models.retrieve(it.model)}, {...model});
      await it.fails(it.client().models.retrieve('nobody-1'), 404);
      await it.fails(it.as(NO_KEY).client().models.list(), 401);
    },
    ledger: isUnasked
  },

  {
    name: 'models of a plan without AI',
    asks: 0,
    plan: 'bare',
    isDemo: true,
    async run(it) {
      for await (const model of it.client().models.list())
        assert.fail(model.id);
    },
    ledger: isUnasked
  },

  {
    name: 'tokens are counted',
    asks: (it) => it.pair.provider === 'anthropic' ? 1 : 0,
    client: 'anthropic',
    isDemo: true,
    async run(it) {
      const {max_tokens, ...body} = it.body({
        prompt: 'Hi '.repeat(300),
        system: 'Be brief',
        tools: ['get_weather']
      });
      const count = await it.client().messages.countTokens(body);

      if (it.pair.provider === 'anthropic') {
        const got = it.read(await it.house.counts());

        assert.equal(count.input_tokens, 4321);
        assert.equal(count.estimated, undefined);
        assert.equal(got.path, '/anthropic/v1/messages/count_tokens');
        assert.equal(got.headers['x-api-key'], CANARIES.anthropic);
        assert.equal(got.system, 'Be brief');
      } else {
        assert.ok(count.input_tokens > 150);
        assert.equal(count.estimated, true);
      }
      await it.fails(it.as(NO_KEY).client().messages.countTokens(body), 401);
    },
    ledger: isUnasked
  },
];

module.exports = {listCases};
