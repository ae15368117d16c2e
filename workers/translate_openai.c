/*
 * translate_openai: a messages request as a chat completions request: all of
 * it but the messages (translate_messages) and tools (translate_tools). See
 * translate_parts.h.
 */
#include "workers/translate_parts.h"

static void
write_model(struct translation *t)
{
	struct str model = t->call->target.model;

	buf_add_z(t->out, "{\"model\":");
	if (model.p)
		json_write_string(t->out, model);
	else
		buf_add_str(t->out, t->fields[ANTHROPIC_model].raw);
}

static enum err
write_max_tokens(struct translation *t)
{
	const struct translate_target *target = &t->call->target;
	int64_t tokens = 0;
	enum err err = translate_take_tokens(t, ANTHROPIC_max_tokens,
					     "max_tokens", &tokens);

	if (err != ERR_OK)
		return err;
	if (tokens == 0)
		return translate_refuse(t, "max_tokens",
					"max_tokens is missing: say how many "
					"the answer may have");
	if (target->max_tokens > 0 && tokens > target->max_tokens)
		tokens = target->max_tokens;
	t->call->max_tokens = tokens;
	buf_add_z(t->out, ",\"");
	buf_add_z(t->out, target->max_tokens_name);
	buf_add_z(t->out, "\":");
	buf_add_int(t->out, tokens);
	return ERR_OK;
}

static enum err
write_stop(struct translation *t)
{
	struct json_value stop = t->fields[ANTHROPIC_stop_sequences], item;
	struct json_walk walk = json_walk(stop);
	const char *comma = ",\"stop\":[";

	if (!translate_is_there(stop))
		return ERR_OK;
	if (stop.type != JSON_ARRAY)
		return translate_refuse(t, "stop_sequences",
					"stop_sequences must be an array");
	while (json_next_item(&walk, &item)) {
		if (item.type != JSON_STRING)
			return translate_refuse(
			    t, "stop_sequences",
			    "stop_sequences must hold strings");
		if (translate_is_blank(item))
			continue;
		buf_add_z(t->out, comma);
		buf_add_str(t->out, item.raw);
		comma = ",";
	}
	if (comma[1] == '\0')
		buf_add_char(t->out, ']');
	return ERR_OK;
}

static enum err
write_number(struct translation *t, unsigned field, const char *name)
{
	struct json_value value = t->fields[field];

	if (!translate_is_there(value))
		return ERR_OK;
	if (value.type != JSON_NUMBER)
		return translate_refuse(t, name, "%s must be a number", name);
	if (t->call->target.refuses_sampling)
		return ERR_OK;
	buf_add_z(t->out, ",\"");
	buf_add_z(t->out, name);
	buf_add_z(t->out, "\":");
	buf_add_str(t->out, value.raw);
	return ERR_OK;
}

static enum err
write_user(struct translation *t)
{
	static const struct str names[] = {PICK("user_id")};
	struct json_value user;

	translate_pick(t->fields[ANTHROPIC_metadata], names, 1, &user);
	if (!translate_is_there(user) || t->call->target.hash == NULL)
		return ERR_OK;
	if (user.type != JSON_STRING)
		return translate_refuse(t, "metadata.user_id",
					"metadata.user_id must be a string");
	buf_add_z(t->out, ",\"user\":");
	return translate_write_hashed(t, user);
}

static enum err
write_format(struct translation *t, struct json_value format)
{
	static const struct str names[] = {PICK("type"), PICK("schema")};
	struct json_value members[2];

	if (!translate_is_there(format))
		return ERR_OK;
	translate_pick(format, names, 2, members);
	if (!translate_string_is(members[0], STR("json_schema")) ||
	    !translate_is_there(members[1]) || members[1].type != JSON_OBJECT)
		return translate_refuse(t, "output_config.format",
					"output_config.format must be of type "
					"json_schema and have a schema");
	buf_add_z(t->out, ",\"response_format\":{\"type\":\"json_schema\","
			  "\"json_schema\":{\"name\":\"answer\","
			  "\"strict\":true,\"schema\":");
	buf_add_str(t->out, members[1].raw);
	buf_add_z(t->out, "}}");
	return ERR_OK;
}

static enum err
write_output_config(struct translation *t)
{
	static const struct str names[] = {PICK("effort"), PICK("format")};
	struct json_value members[2];

	translate_pick(t->fields[ANTHROPIC_output_config], names, 2, members);
	if (translate_is_there(members[0]) && members[0].type != JSON_STRING)
		return translate_refuse(t, "output_config.effort",
					"output_config.effort must be a "
					"string");
	if (translate_is_there(members[0]) && t->call->target.takes_effort) {
		buf_add_z(t->out, ",\"reasoning_effort\":");
		buf_add_str(t->out, members[0].raw);
	}
	if (!translate_is_there(members[1]))
		members[1] = t->fields[ANTHROPIC_output_format];
	return write_format(t, members[1]);
}

/* Switched off where nobody asked for it: the provider would want back, in the
 * next request, what the client was not given. */
static void
write_thinking(struct translation *t)
{
	if (!t->call->target.takes_thinking)
		return;
	buf_add_z(t->out, ",\"thinking\":{\"type\":");
	buf_add_z(t->out, t->call->is_thinking_wanted ? "\"enabled\"}"
						      : "\"disabled\"}");
}

static void
read_thinking(struct translation *t)
{
	static const struct str names[] = {PICK("type")};
	struct json_value type;

	translate_pick(t->fields[ANTHROPIC_thinking], names, 1, &type);
	t->call->is_thinking_wanted =
	    translate_string_is(type, STR("enabled")) ||
	    translate_string_is(type, STR("adaptive"));
}

static enum err
write_stream(struct translation *t)
{
	struct json_value stream = t->fields[ANTHROPIC_stream];

	if (!translate_is_there(stream) || stream.type == JSON_FALSE)
		return ERR_OK;
	if (stream.type != JSON_TRUE)
		return translate_refuse(t, "stream",
					"stream must be true or false");
	buf_add_z(t->out, ",\"stream\":true,\"stream_options\":{"
			  "\"include_usage\":true}");
	return ERR_OK;
}

enum err
translate_to_openai(struct translation *t)
{
	enum err err;

	if (!translate_is_string(t->fields[ANTHROPIC_model]))
		return translate_refuse(t, "model", "model must be a string");
	read_thinking(t);
	write_model(t);
	if ((err = write_max_tokens(t)) != ERR_OK ||
	    (err = translate_write_messages(t)) != ERR_OK ||
	    (err = translate_write_tools_openai(t)) != ERR_OK ||
	    (err = write_stop(t)) != ERR_OK ||
	    (err = write_number(t, ANTHROPIC_temperature, "temperature")) !=
		ERR_OK ||
	    (err = write_number(t, ANTHROPIC_top_p, "top_p")) != ERR_OK ||
	    (err = write_user(t)) != ERR_OK ||
	    (err = write_output_config(t)) != ERR_OK ||
	    (err = write_stream(t)) != ERR_OK)
		return err;
	write_thinking(t);
	translate_write_kept(t);
	buf_add_char(t->out, '}');
	return ERR_OK;
}
