/*
 * clients: the two official clients behind one face, so that a case is told
 * once: a question in, {text, calls, finish, usage, model} out. What a question
 * may have: prompt (or turns), system, tools, choice, isOneAtATime, format,
 * image, maxTokens.
 */
'use strict';

const OpenAI = require('openai');
const Anthropic = require('@anthropic-ai/sdk');

const SCHEMA = {
  type: 'object',
  properties: {city: {type: 'string'}, days: {type: 'integer'}},
  required: ['city', 'days'],
  additionalProperties: false,
};

const MAX_TOKENS = 777;

/* --- OpenAI's ------------------------------------------------------------- */

function openaiTurn(turn) {
  switch (turn.role) {
    case 'calls':
      return [{
        role: 'assistant',
        content: null,
        tool_calls:
            turn.calls.map(({id, name, input}) => ({
                             id,
                             type: 'function',
                             function: {name, arguments: JSON.stringify(input)},
                           }))
      }];
    case 'results':
      return turn.results.map(
          ({id, text}) => ({role: 'tool', tool_call_id: id, content: text}));
    default:
      return [{role: turn.role, content: turn.text}];
  }
}

function openaiUser(question) {
  if (!question.image) return {role: 'user', content: question.prompt};
  return {
    role: 'user',
    content: [
      {type: 'text', text: question.prompt},
      {
        type: 'image_url',
        image_url: {
          url: question.image.url ||
              `data:${question.image.type};base64,${question.image.data}`
        }
      },
    ]
  };
}

const openaiChoices = {
  auto: 'auto',
  any: 'required',
  none: 'none',
  named: {type: 'function', function: {name: 'get_weather'}},
};

const openaiFormats = {
  object: {type: 'json_object'},
  schema: {
    type: 'json_schema',
    json_schema: {name: 'place', strict: true, schema: SCHEMA}
  },
};

function openaiBody(model, question) {
  const body = {
    model,
    messages: [
      ...(question.system ? [{role: 'system', content: question.system}] : []),
      ...(question.turns || []).flatMap(openaiTurn),
      openaiUser(question),
    ]
  };

  if (question.tools)
    body.tools = question.tools.map(
        (name) => ({
          type: 'function',
          function: {name, description: `does ${name}`, parameters: SCHEMA}
        }));
  if (question.choice) body.tool_choice = openaiChoices[question.choice];
  if (question.isOneAtATime) body.parallel_tool_calls = false;
  if (question.format) body.response_format = openaiFormats[question.format];
  if (question.maxTokens) body.max_completion_tokens = question.maxTokens;
  return body;
}

const openaiFinishes = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'tools',
  content_filter: 'refusal'
};

function openaiAnswer(completion) {
  const {message, finish_reason} = completion.choices[0];
  const {usage} = completion;

  return {
    text: message.content || '',
    calls: (message.tool_calls ||
            []).map((call) => ({
                      id: call.id,
                      name: call.function.name,
                      input: JSON.parse(call.function.arguments),
                    })),
    finish: openaiFinishes[finish_reason],
    usage: usage && {
      input: usage.prompt_tokens,
      output: usage.completion_tokens,
      cached: usage.prompt_tokens_details?.cached_tokens,
    },
    model: completion.model,
    raw: completion,
  };
}

const openai = {
  name: 'openai',
  module: OpenAI,
  client: (house, key, options) => new OpenAI.OpenAI({
    apiKey: key,
    baseURL: `${house.url}/v1`,
    maxRetries: 0,
    timeout: 15000,
    ...options
  }),
  formats: ['object', 'schema'],
  statuses: {
    400: OpenAI.BadRequestError,
    401: OpenAI.AuthenticationError,
    403: OpenAI.PermissionDeniedError,
    404: OpenAI.NotFoundError,
    409: OpenAI.ConflictError,
    413: OpenAI.APIError,
    422: OpenAI.UnprocessableEntityError,
    429: OpenAI.RateLimitError,
    500: OpenAI.InternalServerError,
    504: OpenAI.InternalServerError,
  },
  /* Of an error, what its shape has to be told apart by. */
  errorMembers: (error) => ({message: error.error.message, code: error.code}),
  send: (client, body, options) =>
      client.chat.completions.create(body, options),
  async ask(client, model, question, options) {
    return openaiAnswer(await client.chat.completions.create(
        openaiBody(model, question), options));
  },
  /* onText(piece) for each piece; what its collector makes of them. */
  async stream(client, model, question, options, onText) {
    const stream = client.chat.completions.stream(
        {
          ...openaiBody(model, question),
          stream_options: {include_usage: true},
        },
        options);

    stream.on('content', (piece) => onText?.(piece, stream));
    return openaiAnswer(await stream.finalChatCompletion());
  },
  async runTools(client, body, run, {stream}) {
    const runner = client.chat.completions.runTools({
      ...body,
      stream,
      tools: [{
        type: 'function',
        function: {
          name: 'get_weather',
          function: run,
          parse: JSON.parse,
          parameters: SCHEMA
        }
      }]
    });

    return runner.finalContent();
  },
  body: openaiBody,
};

/* --- Anthropic's ---------------------------------------------------------- */

function anthropicTurn(turn) {
  switch (turn.role) {
    case 'calls':
      return {
        role: 'assistant',
        content: turn.calls.map((call) => ({type: 'tool_use', ...call}))
      };
    case 'results':
      return {
        role: 'user',
        content: turn.results.map(
            ({id, text}) =>
                ({type: 'tool_result', tool_use_id: id, content: text}))
      };
    default:
      return {role: turn.role, content: turn.text};
  }
}

function anthropicUser({prompt, image}) {
  if (!image) return {role: 'user', content: prompt};
  return {
    role: 'user',
    content: [
      {type: 'text', text: prompt},
      {
        type: 'image',
        source: image.url ?
            {type: 'url', url: image.url} :
            {type: 'base64', media_type: image.type, data: image.data}
      },
    ]
  };
}

const anthropicChoices = {
  auto: {type: 'auto'},
  any: {type: 'any'},
  none: {type: 'none'},
  named: {type: 'tool', name: 'get_weather'},
};

function anthropicBody(model, question) {
  const body = {
    model,
    max_tokens: question.maxTokens || MAX_TOKENS,
    messages:
        [...(question.turns || []).map(anthropicTurn), anthropicUser(question)]
  };

  if (question.system) body.system = question.system;
  if (question.tools)
    body.tools = question.tools.map(
        (name) => ({name, description: `does ${name}`, input_schema: SCHEMA}));
  if (question.choice)
    body.tool_choice = {...anthropicChoices[question.choice]};
  if (question.isOneAtATime)
    body.tool_choice = {
      ...(body.tool_choice || {type: 'auto'}),
      disable_parallel_tool_use: true
    };
  if (question.format)
    body.output_config = {format: {type: 'json_schema', schema: SCHEMA}};
  return body;
}

const anthropicFinishes = {
  end_turn: 'stop',
  max_tokens: 'length',
  tool_use: 'tools',
  refusal: 'refusal'
};

function anthropicAnswer(message) {
  const {usage} = message;
  const cached = usage.cache_read_input_tokens || 0;

  return {
    text: message.content.filter(({type}) => type === 'text')
              .map(({text}) => text)
              .join(''),
    calls: message.content.filter(({type}) => type === 'tool_use')
               .map(({id, name, input}) => ({id, name, input})),
    finish: anthropicFinishes[message.stop_reason],
    usage: {
      input: usage.input_tokens + cached +
          (usage.cache_creation_input_tokens || 0),
      output: usage.output_tokens,
      cached,
    },
    model: message.model,
    raw: message,
  };
}

const anthropic = {
  name: 'anthropic',
  module: Anthropic,
  client: (house, key, options) => new Anthropic.Anthropic({
    apiKey: key,
    baseURL: house.url,
    maxRetries: 0,
    timeout: 15000,
    ...options
  }),
  formats: ['schema'],
  statuses: {
    400: Anthropic.BadRequestError,
    401: Anthropic.AuthenticationError,
    403: Anthropic.PermissionDeniedError,
    404: Anthropic.NotFoundError,
    409: Anthropic.ConflictError,
    413: Anthropic.ContentTooLargeError,
    422: Anthropic.UnprocessableEntityError,
    429: Anthropic.RateLimitError,
    500: Anthropic.InternalServerError,
    504: Anthropic.InternalServerError,
  },
  errorMembers: (error) =>
      ({message: error.error.error.message, type: error.error.error.type}),
  send: (client, body, options) => client.messages.create(body, options),
  async ask(client, model, question, options) {
    return anthropicAnswer(
        await client.messages.create(anthropicBody(model, question), options));
  },
  async stream(client, model, question, options, onText) {
    const stream =
        client.messages.stream(anthropicBody(model, question), options);

    stream.on('text', (piece) => onText?.(piece, stream));
    return anthropicAnswer(await stream.finalMessage());
  },
  async runTools(client, body, run, {stream}) {
    const runner = client.beta.messages.toolRunner({
      ...body,
      stream,
      tools: [{
        name: 'get_weather',
        description: 'does get_weather',
        input_schema: SCHEMA,
        parse: (input) => input,
        run
      }]
    });

    return anthropicAnswer(await runner.runUntilDone()).text;
  },
  body: anthropicBody,
};

const clients = {
  openai,
  anthropic
};

module.exports = {
  clients,
  SCHEMA
};
