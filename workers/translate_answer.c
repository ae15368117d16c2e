/*
 * translate_answer: whole JSON answers, both ways, and the words for usage and
 * for the end of an answer that streams have in common with them. See
 * translate_parts.h.
 */
#include "workers/translate_parts.h"

#define NAME_BYTES_MAX 256u /* of an id or a model */

void
translate_write_name(struct json_value raw, struct str otherwise,
		     struct buf *out)
{
	if (translate_has_text(raw) && raw.raw.n <= NAME_BYTES_MAX)
		buf_add_str(out, raw.raw);
	else
		json_write_string(out, otherwise);
}

/* --- why it ended --------------------------------------------------------- */

const char *
translate_stop_for_openai(struct json_value reason)
{
	if (translate_string_is(reason, STR("max_tokens")) ||
	    translate_string_is(reason, STR("model_context_window_exceeded")))
		return "length";
	if (translate_string_is(reason, STR("tool_use")))
		return "tool_calls";
	if (translate_string_is(reason, STR("refusal")))
		return "content_filter";
	return "stop"; /* end_turn, stop_sequence, pause_turn */
}

const char *
translate_stop_for_anthropic(struct json_value reason, bool has_tools)
{
	if (translate_string_is(reason, STR("length")))
		return "max_tokens";
	if (translate_string_is(reason, STR("content_filter")))
		return "refusal";
	/* A call that was forced by name ends with stop. */
	return has_tools ? "tool_use" : "end_turn";
}

/* --- usage ---------------------------------------------------------------- */

static void
write_count(const char *name, int64_t n, const char **comma, struct buf *out)
{
	if (n == PROVIDER_TOKENS_NONE)
		return;
	buf_add_z(out, *comma);
	buf_add_z(out, name);
	buf_add_int(out, n);
	*comma = ",";
}

void
translate_write_usage_openai(const struct provider_usage *usage,
			     struct buf *out)
{
	int64_t total =
	    schema_count(usage->prompt) + schema_count(usage->output);
	const char *comma = ",\"prompt_tokens_details\":{";

	buf_add_z(out, "{\"prompt_tokens\":");
	buf_add_int(out, schema_count(usage->prompt));
	buf_add_z(out, ",\"completion_tokens\":");
	buf_add_int(out, schema_count(usage->output));
	buf_add_z(out, ",\"total_tokens\":");
	buf_add_int(out, total);
	write_count("\"cached_tokens\":", usage->cache_read, &comma, out);
	write_count("\"cache_write_tokens\":", usage->cache_write, &comma, out);
	buf_add_z(out, comma[1] ? "" : "}");
	comma = ",\"completion_tokens_details\":{";
	write_count("\"reasoning_tokens\":", usage->reasoning, &comma, out);
	buf_add_z(out, comma[1] ? "}" : "}}");
}

void
translate_write_usage_anthropic(const struct provider_usage *usage,
				int64_t prompt_estimate, struct buf *out)
{
	int64_t prompt = usage->prompt == PROVIDER_TOKENS_NONE ? prompt_estimate
							       : usage->prompt;
	int64_t fresh = prompt - schema_count(usage->cache_read) -
			schema_count(usage->cache_write);

	buf_add_z(out, "{\"input_tokens\":");
	buf_add_int(out, fresh > 0 ? fresh : 0);
	buf_add_z(out, ",\"cache_creation_input_tokens\":");
	buf_add_int(out, schema_count(usage->cache_write));
	buf_add_z(out, ",\"cache_read_input_tokens\":");
	buf_add_int(out, schema_count(usage->cache_read));
	buf_add_z(out, ",\"output_tokens\":");
	buf_add_int(out, schema_count(usage->output));
	if (usage->reasoning != PROVIDER_TOKENS_NONE) {
		buf_add_z(out, ",\"output_tokens_details\":{"
			       "\"thinking_tokens\":");
		buf_add_int(out, usage->reasoning);
		buf_add_char(out, '}');
	}
	buf_add_char(out, '}');
}

/* --- to an OpenAI client -------------------------------------------------- */

struct found {
	bool has_text;
	bool has_thinking;
	bool has_call;
};

static struct found
look_at_content(struct translation *t, struct json_value content)
{
	struct json_walk walk = translate_blocks_of(t, content);
	struct found found = {false, false, false};
	struct translate_block block;

	while (translate_next_block(t, &walk, &block)) {
		found.has_text |=
		    translate_has_text(translate_block_text(&block));
		found.has_thinking |= translate_has_text(block.thinking);
		found.has_call |= translate_block_is(&block, STR("tool_use"));
	}
	return found;
}

static void
write_message(struct translation *t, struct json_value content)
{
	struct found found = look_at_content(t, content);

	buf_add_z(t->out, "{\"role\":\"assistant\",\"content\":");
	if (found.has_text || !found.has_call)
		translate_write_joined(t, content, "", "");
	else
		buf_add_z(t->out, "null");
	buf_add_z(t->out, ",\"refusal\":null");
	if (found.has_thinking)
		translate_write_thoughts(t, content);
	if (found.has_call)
		translate_write_calls(t, content);
	buf_add_char(t->out, '}');
}

static enum err
answer_for_openai(const struct translate_how *how, struct json_value root,
		  const struct provider_usage *usage, struct buf *out)
{
	static const struct str names[] = {
	    PICK("id"), PICK("model"), PICK("content"), PICK("stop_reason")};
	struct translation t = {.out = out};
	struct json_value members[4];

	translate_pick(root, names, 4, members);
	if (!translate_is_there(members[2]) || members[2].type != JSON_ARRAY)
		return ERR_UPSTREAM_FAILED;
	buf_add_z(out, "{\"id\":");
	translate_write_name(members[0], how->id, out);
	buf_add_z(out, ",\"object\":\"chat.completion\",\"created\":");
	buf_add_int(out, how->created_s);
	buf_add_z(out, ",\"model\":");
	translate_write_name(members[1], how->model, out);
	buf_add_z(out, ",\"choices\":[{\"index\":0,\"message\":");
	write_message(&t, members[2]);
	buf_add_z(out, ",\"logprobs\":null,\"finish_reason\":\"");
	buf_add_z(out, translate_stop_for_openai(members[3]));
	buf_add_z(out, "\"}]");
	if (provider_usage_is_whole(usage)) {
		buf_add_z(out, ",\"usage\":");
		translate_write_usage_openai(usage, out);
	}
	buf_add_char(out, '}');
	return ERR_OK;
}

/* --- to an Anthropic client ----------------------------------------------- */

/* What a model wrote that is no JSON object still has to be an object here. */
static enum err
write_tool_use(struct json_value call, struct arena *arena, struct buf *out)
{
	static const struct str names[] = {PICK("id"), PICK("function")};
	static const struct str function_names[] = {PICK("name"),
						    PICK("arguments")};
	struct json_value members[2], function[2];
	struct str input;

	translate_pick(call, names, 2, members);
	translate_pick(members[1], function_names, 2, function);
	if (!translate_arguments(function[1], arena, &input))
		return ERR_NO_MEMORY;
	buf_add_z(out, "{\"type\":\"tool_use\",\"id\":");
	buf_add_str(out, translate_raw_string(members[0]));
	buf_add_z(out, ",\"name\":");
	buf_add_str(out, translate_raw_string(function[0]));
	buf_add_z(out, ",\"input\":");
	if (input.p) {
		buf_add_str(out, input);
	} else {
		buf_add_z(out, "{\"arguments\":");
		buf_add_str(out, translate_is_there(function[1])
				     ? function[1].raw
				     : STR("null"));
		buf_add_char(out, '}');
	}
	buf_add_char(out, '}');
	return ERR_OK;
}

static void
write_block(const char *before, struct json_value text, const char *behind,
	    const char **comma, struct buf *out)
{
	if (!translate_has_text(text))
		return;
	buf_add_z(out, *comma);
	buf_add_z(out, before);
	buf_add_str(out, text.raw);
	buf_add_z(out, behind);
	*comma = ",";
}

/* *has_calls: there was a tool call. */
static enum err
write_content(const struct translate_how *how, struct json_value message,
	      struct arena *arena, struct buf *out, bool *has_calls)
{
	static const struct str names[] = {PICK("content"), PICK("refusal"),
					   PICK("reasoning_content"),
					   PICK("tool_calls")};
	struct json_value members[4], call;
	const char *comma = "";
	struct json_walk walk;
	enum err err = ERR_OK;

	translate_pick(message, names, 4, members);
	if (how->is_thinking_wanted)
		write_block("{\"type\":\"thinking\",\"thinking\":", members[2],
			    ",\"signature\":\"\"}", &comma, out);
	write_block("{\"type\":\"text\",\"text\":", members[0], "}", &comma,
		    out);
	write_block("{\"type\":\"text\",\"text\":", members[1], "}", &comma,
		    out);
	*has_calls = false;
	if (!translate_is_there(members[3]) || members[3].type != JSON_ARRAY)
		return ERR_OK;
	walk = json_walk(members[3]);
	while (err == ERR_OK && json_next_item(&walk, &call)) {
		buf_add_z(out, comma);
		err = write_tool_use(call, arena, out);
		comma = ",";
		*has_calls = true;
	}
	return err;
}

/* The choice with index 0, or the first. */
static bool
first_choice(struct json_value choices, struct json_value *out)
{
	struct json_walk walk = json_walk(choices);

	return translate_is_there(choices) && choices.type == JSON_ARRAY &&
	       json_next_item(&walk, out) && out->type == JSON_OBJECT;
}

static enum err
answer_for_anthropic(const struct translate_how *how, struct json_value root,
		     const struct provider_usage *usage, struct arena *arena,
		     struct buf *out)
{
	static const struct str names[] = {PICK("id"), PICK("model"),
					   PICK("choices")};
	static const struct str choice_names[] = {PICK("message"),
						  PICK("finish_reason")};
	struct json_value members[3], choice, parts[2];
	bool has_calls;
	enum err err;

	translate_pick(root, names, 3, members);
	if (!first_choice(members[2], &choice))
		return ERR_UPSTREAM_FAILED;
	translate_pick(choice, choice_names, 2, parts);
	buf_add_z(out, "{\"id\":");
	translate_write_name(members[0], how->id, out);
	buf_add_z(out, ",\"type\":\"message\",\"role\":\"assistant\","
		       "\"model\":");
	translate_write_name(members[1], how->model, out);
	buf_add_z(out, ",\"content\":[");
	err = write_content(how, parts[0], arena, out, &has_calls);
	buf_add_z(out, "],\"stop_reason\":\"");
	buf_add_z(out, translate_stop_for_anthropic(parts[1], has_calls));
	buf_add_z(out, "\",\"stop_sequence\":null,\"usage\":");
	translate_write_usage_anthropic(usage, how->prompt_tokens, out);
	buf_add_char(out, '}');
	return err;
}

enum err
translate_answer(const struct translate_how *how, struct str body,
		 const struct provider_usage *usage, struct arena *arena,
		 struct buf *out)
{
	struct json_value root;
	enum err err;

	if (!json_check(body, &root) || root.type != JSON_OBJECT)
		return ERR_UPSTREAM_FAILED;
	err = how->to == AI_OPENAI
		  ? answer_for_openai(how, root, usage, out)
		  : answer_for_anthropic(how, root, usage, arena, out);
	return err == ERR_OK && out->is_failed ? ERR_NO_MEMORY : err;
}
