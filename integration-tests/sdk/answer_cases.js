/*
 * answer_cases: what goes well: chats, streams, tools, JSON mode, images,
 * odd and long texts, many at once. See cases.js.
 */
'use strict';

const assert = require('node:assert/strict');

const {CANARIES} = require('./house.js');
const {SCHEMA} = require('./clients.js');
const {isSettled, areSettled} = require('./ledger.js');

const HELLO = 'Hello from upstream. ';
const UNICODE = 'Grüße, Привет, 你好, \u2028 👩‍🚀 😀 "q" ';
const KIB_100 = 102400;
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhf' +
    'DwAChwGA60e6kgAAAABJRU5ErkJggg==';
const TURNS = [
  {role: 'user', text: 'Weather in Zürich?'},
  {
    role: 'calls',
    calls: [
      {id: 'call_a', name: 'get_weather', input: {city: 'Zürich'}},
      {id: 'call_b', name: 'get_time', input: {}},
    ]
  },
  {
    role: 'results',
    results: [
      {id: 'call_a', text: '12 °C'},
      {id: 'call_b', text: '"noon"'},
    ]
  },
  {role: 'assistant', text: 'It is 12 °C.'},
];

/* As the upstream's `size` fills it. */
function letters(count) {
  const all = 'abcdefghijklmnopqrstuvwxyz';

  return all.repeat(count / 26 + 1).slice(0, count);
}

function calls(prefix, count) {
  return Array.from(
      {length: count}, (_, i) => ({
                         id: `${prefix}_${i}`,
                         name: 'get_weather',
                         input: {city: `Zürich "${i}"`, days: i + 1}
                       }));
}

const answerCases = [
  {
    name: 'chat',
    async run(it) {
      const before = await it.house.counts();
      const answer =
          await it.ask({prompt: 'Hi #up cached=5', system: 'Be "brief".'});
      const counts = await it.house.counts();
      const got = it.read(counts);
      const {provider} = it.pair;

      assert.equal(answer.text, HELLO);
      assert.equal(answer.finish, 'stop');
      assert.deepEqual(answer.usage, {input: 12, output: 34, cached: 5});
      assert.equal(answer.model, it.model);
      assert.ok(answer.raw.id);
      assert.match(answer.raw._request_id, /^[0-9A-Z]{26}$/);
      assert.equal(counts.requests, before.requests + 1);
      assert.equal(got.system, 'Be "brief".');
      assert.deepEqual(got.turns, [{role: 'user', text: 'Hi #up cached=5'}]);
      assert.equal(got.model, it.model);
      assert.equal(got.isStream, false);
      if (provider === 'anthropic')
        assert.equal(got.headers['x-api-key'], CANARIES[provider]);
      else
        assert.equal(got.headers.authorization, `Bearer ${CANARIES[provider]}`);
    },
    ledger: isSettled({input_tokens: 7, cache_read_tokens: 5})
  },

  {
    name: 'headers of an answer',
    async run(it) {
      const {response} = await it.send('Hi', {}).withResponse();

      assert.equal(response.status, 200);
      assert.match(response.headers.get('x-request-id'), /^[0-9A-Z]{26}$/);
      for (const name of ['set-cookie', 'openai-organization'])
        assert.equal(response.headers.get(name), null, name);
    },
    ledger: isSettled()
  },

  {
    name: 'stream',
    async run(it) {
      const pieces = [];
      const answer =
          await it.stream('Hi #up cached=5', {}, (piece) => pieces.push(piece));
      const got = it.read(await it.house.counts());

      assert.deepEqual(pieces.filter(Boolean), [HELLO, HELLO, HELLO]);
      assert.equal(answer.text, HELLO.repeat(3));
      assert.equal(answer.finish, 'stop');
      assert.deepEqual(answer.usage, {input: 12, output: 34, cached: 5});
      assert.equal(answer.model, it.model);
      assert.equal(got.isStream, true);
    },
    ledger: isSettled({input_tokens: 7, cache_read_tokens: 5})
  },

  {
    name: 'raw stream',
    async run(it) {
      const kinds = [];
      let usage = 0;

      for await (const event of await it.send('Hi', {stream: true})) {
        kinds.push(event.type || event.object);
        usage += event.usage?.prompt_tokens !== undefined;
        if (it.pair.client === 'openai') assert.equal(event.choices.length, 1);
      }
      /* It was not asked for; DeepSeek says it beside the
       * end. */
      assert.equal(
          usage,
          it.pair.client === 'openai' && it.pair.provider === 'deepseek' ? 1 :
                                                                           0);
      if (it.pair.client === 'anthropic')
        assert.deepEqual(kinds, [
          'message_start', 'content_block_start', 'content_block_delta',
          'content_block_delta', 'content_block_delta', 'content_block_stop',
          'message_delta', 'message_stop'
        ]);
      else
        assert.ok(
            kinds.length >= 4 &&
                kinds.every((kind) => kind === 'chat.completion.chunk'),
            kinds.join());
    },
    ledger: isSettled()
  },

  ...[1, 2].flatMap(
      (count) => ['ask', 'stream'].map(
          (how) => ({
            name: `${how}: ${count === 1 ? 'one tool' : 'tools at once'}`,
            async run(it) {
              const answer = await it[how]({
                prompt: `Hi #up tools=${count}`,
                tools: ['get_weather', 'get_time']
              });
              const got = it.read(await it.house.counts());

              assert.equal(answer.text, '');
              assert.equal(answer.finish, 'tools');
              assert.deepEqual(
                  answer.calls,
                  calls(
                      it.pair.provider === 'anthropic' ? 'toolu' : 'call',
                      count));
              assert.deepEqual(
                  answer.usage, {input: 12, output: 34, cached: 0});
              assert.deepEqual(
                  got.tools,
                  ['get_weather', 'get_time'].map((name) => ({
                                                    name,
                                                    description: `does ${name}`,
                                                    schema: SCHEMA
                                                  })));
            },
            ledger: isSettled()
          }))),

  {
    name: 'tool arguments come in pieces',
    async run(it) {
      const body =
          it.body({prompt: 'Hi #up tools=2 split=5', tools: ['get_weather']});
      const texts = [];
      let count = 0;

      for await (const event of await it.send(null, {...body, stream: true})) {
        for (const [at, piece] of it.argumentPieces(event)) {
          texts[at] = (texts[at] || '') + piece;
          count += piece !== '';
        }
      }
      /* The places in a message, or the numbers of the calls.
       */
      assert.deepEqual(
          texts.filter(Boolean).map(JSON.parse),
          calls('', 2).map(({input}) => input));
      assert.ok(count >= 4, `${count} pieces`);
    },
    ledger: isSettled()
  },

  {
    name: 'tool results',
    async run(it) {
      const answer = await it.ask({
        prompt: 'And now? #up events=1',
        turns: TURNS,
        tools: ['get_weather', 'get_time']
      });
      const got = it.read(await it.house.counts());

      assert.equal(answer.text, HELLO);
      assert.deepEqual(
          got.turns, [...TURNS, {role: 'user', text: 'And now? #up events=1'}]);
    },
    ledger: isSettled()
  },

  {
    name: 'tool choices',
    asks: 5,
    async run(it) {
      const wanted =
          {auto: 'auto', any: 'any', none: 'none', named: 'named get_weather'};

      for (const [choice, want] of Object.entries(wanted)) {
        await it.ask({prompt: 'Hi', choice, tools: ['get_weather']});
        assert.equal(it.read(await it.house.counts()).choice, want);
      }
      await it.ask({prompt: 'Hi', isOneAtATime: true, tools: ['get_weather']});
      assert.equal(it.read(await it.house.counts()).isOneAtATime, true);
    },
    ledger: areSettled
  },

  {
    name: 'JSON mode',
    asks: (it) => 2 * it.clientKind.formats.length,
    async run(it) {
      for (const format of it.clientKind.formats) {
        const question = {prompt: 'JSON please #up say=json events=1', format};
        const answer = await it.ask(question);
        const got = it.read(await it.house.counts());
        const stream = await it.stream(question);

        for (const {text} of [answer, stream])
          assert.deepEqual(JSON.parse(text), {answer: 42, names: ['Zoë']});
        if (format === 'schema')
          assert.deepEqual(got.format, SCHEMA);
        else if (it.pair.provider === 'anthropic')
          assert.match(got.system, /JSON/);
        else
          assert.equal(got.format, 'json_object');
      }
    },
    ledger: areSettled
  },

  {
    name: 'images',
    asks: 2,
    async run(it) {
      const url = 'https://images.example/cat.png?a=1&b="2"';

      await it.ask({prompt: 'What?', image: {url}});
      assert.deepEqual(it.read(await it.house.counts()).images, [url]);
      await it.ask({prompt: 'What?', image: {type: 'image/png', data: PNG}});
      assert.deepEqual(
          it.read(await it.house.counts()).images,
          [`data:image/png;base64,${PNG}`]);
    },
    ledger: areSettled
  },

  ...[1, 2, 7].map(
      (split) => ({
        name: `unicode in pieces of ${split} bytes`,
        asks: 2,
        async run(it) {
          const prompt = `${UNICODE}#up say=unicode split=${split}`;

          assert.equal((await it.ask({prompt})).text, UNICODE);
          assert.equal(it.read(await it.house.counts()).turns[0].text, prompt);
          assert.equal((await it.stream({prompt})).text, UNICODE.repeat(3));
        },
        ledger: areSettled
      })),

  {
    name: '100 KB',
    asks: 4,
    async run(it) {
      const prompt = `#up size=${KIB_100} events=1 `;
      const long = letters(KIB_100);

      assert.equal((await it.ask({prompt})).text, long);
      assert.equal((await it.stream({prompt})).text, long);
      assert.equal(
          (await it.stream('#up size=1000 events=100')).text,
          letters(1000).repeat(100));
      assert.equal((await it.ask(`${long} #up say=ok`)).text, 'ok');
    },
    ledger: areSettled
  },

  {
    name: 'the most tokens, and why an answer stopped',
    asks: (it) => it.pair.client === 'openai' ? 2 : 4,
    async run(it) {
      const finishes = it.pair.provider === 'anthropic' ?
          {max_tokens: 'length', refusal: 'refusal'} :
          {length: 'length', content_filter: 'refusal'};

      for (const [finish, want] of Object.entries(finishes)) {
        const question = {prompt: `#up finish=${finish}`, maxTokens: 55};

        assert.equal((await it.ask(question)).finish, want);
        assert.equal(it.read(await it.house.counts()).maxTokens, 55);
        if (it.pair.client === 'openai')
          continue; /* its collector throws there
                     */
        assert.equal((await it.stream(question)).finish, want);
      }
    },
    ledger: areSettled
  },

  {
    name: '50 streams at once',
    asks: 50,
    async run(it) {
      const answers = await Promise.all(Array.from(
          {length: 50},
          (_, i) => it.stream(
              `#up say=<${i}> events=20 gap=5 split=11 in=${i + 1}`)));

      answers.forEach(({text, usage}, i) => {
        assert.equal(text, `<${i}>`.repeat(20));
        assert.equal(usage.input, i + 1);
      });
    },
    ledger(lines, it) {
      areSettled(lines, it);
      assert.deepEqual(
          lines.map((line) => line.input_tokens).sort((a, b) => a - b),
          Array.from({length: 50}, (_, i) => i + 1));
    }
  },
];

module.exports = {answerCases};
