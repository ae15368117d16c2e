/*
 * received: a request as the provider got it, read in its own shape, so that a
 * case says once what must have arrived: {system, turns, tools, choice,
 * isOneAtATime, format, images, maxTokens, isStream}.
 */
'use strict';

const OPENAI_CHOICES = {
  auto: 'auto',
  required: 'any',
  none: 'none'
};

function openaiTurns(messages) {
  const turns = [];

  for (const message of messages) {
    const last = turns[turns.length - 1];

    if (message.role === 'tool') {
      const result = {id: message.tool_call_id, text: message.content};

      if (last?.role === 'results')
        last.results.push(result);
      else
        turns.push({role: 'results', results: [result]});
    } else if (message.tool_calls) {
      turns.push({
        role: 'calls',
        calls: message.tool_calls.map(
            ({id, function: f}) =>
                ({id, name: f.name, input: JSON.parse(f.arguments)}))
      });
    } else if (message.role !== 'system' && message.role !== 'developer') {
      turns.push({
        role: message.role,
        text: typeof message.content === 'string' ?
            message.content :
            message.content.filter((p) => p.type === 'text')
                .map((p) => p.text)
                .join('')
      });
    }
  }
  return turns;
}

function openaiRequest(body) {
  const parts = body.messages.flatMap(
      ({content}) => Array.isArray(content) ? content : []);
  const choice = body.tool_choice;

  return {
    model: body.model,
    isStream: body.stream === true,
    system: body.messages
                .filter(({role}) => role === 'system' || role === 'developer')
                .map(({content}) => content)
                .join('\n'),
    turns: openaiTurns(body.messages),
    tools: (body.tools || []).map(({function: f}) => ({
                                    name: f.name,
                                    description: f.description,
                                    schema: f.parameters
                                  })),
    choice: choice?.function ? `named ${choice.function.name}` :
                               OPENAI_CHOICES[choice],
    isOneAtATime: body.parallel_tool_calls === false,
    format: body.response_format?.type === 'json_schema' ?
        body.response_format.json_schema.schema :
        body.response_format?.type,
    images: parts.filter(({type}) => type === 'image_url')
                .map(({image_url: {url}}) => url),
    maxTokens: body.max_completion_tokens || body.max_tokens,
  };
}

function anthropicTurns(messages) {
  const turns = [];

  for (const {role, content} of messages) {
    const blocks =
        typeof content === 'string' ? [{type: 'text', text: content}] : content;
    const of = (type) => blocks.filter((b) => b.type === type);
    const text = of('text').map((b) => b.text).join('');

    if (of('tool_result').length)
      turns.push({
        role: 'results',
        results: of('tool_result').map((b) => ({
                                         id: b.tool_use_id,
                                         text: typeof b.content === 'string' ?
                                             b.content :
                                             b.content[0].text
                                       }))
      });
    if (of('tool_use').length)
      turns.push({
        role: 'calls',
        calls: of('tool_use').map(({id, name, input}) => ({id, name, input}))
      });
    if (text) turns.push({role, text});
  }
  return turns;
}

function anthropicRequest(body) {
  const blocks = body.messages.flatMap(
      ({content}) => Array.isArray(content) ? content : []);
  const choice = body.tool_choice;

  return {
    model: body.model,
    isStream: body.stream === true,
    system: typeof body.system === 'string' ?
        body.system :
        (body.system || []).map(({text}) => text).join('\n'),
    turns: anthropicTurns(body.messages),
    tools: (body.tools || []).map((tool) => ({
                                    name: tool.name,
                                    description: tool.description,
                                    schema: tool.input_schema
                                  })),
    choice: choice?.type === 'tool' ? `named ${choice.name}` : choice?.type,
    isOneAtATime: choice?.disable_parallel_tool_use === true,
    format: body.output_config?.format?.schema,
    images: blocks.filter(({type}) => type === 'image')
                .map(
                    ({source}) => source.url ||
                        `data:${source.media_type};base64,${source.data}`),
    maxTokens: body.max_tokens,
  };
}

/* counts: of the upstream. The head's header names in lower case. */
function received(counts) {
  const [first, ...lines] = counts.last_head.trim().split('\r\n');
  const headers = Object.fromEntries(lines.map((line) => {
    const colon = line.indexOf(':');

    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  }));
  const path = first.split(' ')[1];
  const body = JSON.parse(counts.last_body);

  return {
    path,
    headers,
    body,
    text: counts.last_head + counts.last_body,
    ...(path.startsWith('/anthropic') ? anthropicRequest(body) :
                                        openaiRequest(body))
  };
}

module.exports = {received};
