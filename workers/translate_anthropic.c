/*
 * translate_anthropic: a chat completions request as a messages request: all
 * of it but system and messages (translate_turns) and tools (translate_tools).
 * See translate_parts.h.
 */
#include "workers/translate_parts.h"

/* Whether an answer as JSON text is asked for, and by which schema. */
struct format {
	bool is_json_only;
	struct json_value schema;
};

static enum err
read_format(struct translation *t, struct format *out)
{
	static const struct str names[] = {PICK("type"), PICK("json_schema")};
	static const struct str schema_names[] = {PICK("schema")};
	struct json_value value = t->fields[OPENAI_response_format];
	struct json_value parts[2];

	memset(out, 0, sizeof(*out));
	if (!translate_is_there(value))
		return ERR_OK;
	translate_pick(value, names, 2, parts);
	if (translate_string_is(parts[0], STR("text")))
		return ERR_OK;
	if (translate_string_is(parts[0], STR("json_object"))) {
		out->is_json_only = true;
		return ERR_OK;
	}
	if (!translate_string_is(parts[0], STR("json_schema")))
		return translate_refuse(t, "response_format",
					"response_format.type must be text, "
					"json_object or json_schema");
	translate_pick(parts[1], schema_names, 1, &out->schema);
	if (out->schema.type != JSON_OBJECT)
		return translate_refuse(t, "response_format",
					"response_format.json_schema.schema "
					"must be an object");
	return ERR_OK;
}

static void
write_model(struct translation *t)
{
	struct str model = t->call->target.model;

	buf_add_z(t->out, "{\"model\":");
	if (model.p)
		json_write_string(t->out, model);
	else
		buf_add_str(t->out, t->fields[OPENAI_model].raw);
}

static enum err
write_max_tokens(struct translation *t)
{
	int64_t limit = t->call->target.max_tokens;
	int64_t tokens = TRANSLATE_MAX_TOKENS;
	enum err err;

	err =
	    translate_take_tokens(t, OPENAI_max_tokens, "max_tokens", &tokens);
	if (err == ERR_OK)
		err = translate_take_tokens(t, OPENAI_max_completion_tokens,
					    "max_completion_tokens", &tokens);
	if (err != ERR_OK)
		return err;
	if (limit > 0 && tokens > limit)
		tokens = limit;
	t->call->max_tokens = tokens;
	buf_add_z(t->out, ",\"max_tokens\":");
	buf_add_int(t->out, tokens);
	return ERR_OK;
}

static enum err
write_stop(struct translation *t)
{
	struct json_value stop = t->fields[OPENAI_stop], item = stop;
	struct json_walk walk = json_walk(stop);
	const char *comma = ",\"stop_sequences\":[";
	bool is_one = translate_is_string(stop);

	if (!translate_is_there(stop))
		return ERR_OK;
	if (!is_one && stop.type != JSON_ARRAY)
		return translate_refuse(
		    t, "stop", "stop must be a string or an array of them");
	while (is_one || json_next_item(&walk, &item)) {
		if (item.type != JSON_STRING)
			return translate_refuse(t, "stop",
						"stop must hold strings");
		if (!translate_is_blank(item)) {
			buf_add_z(t->out, comma);
			buf_add_str(t->out, item.raw);
			comma = ",";
		}
		if (is_one)
			break;
	}
	if (comma[1] == '\0')
		buf_add_char(t->out, ']');
	return ERR_OK;
}

static enum err
write_sampling(struct translation *t)
{
	struct json_value temperature = t->fields[OPENAI_temperature];
	struct json_value top_p = t->fields[OPENAI_top_p];

	if (translate_is_there(temperature) && temperature.type != JSON_NUMBER)
		return translate_refuse(t, "temperature",
					"temperature must be a number");
	if (translate_is_there(top_p) && top_p.type != JSON_NUMBER)
		return translate_refuse(t, "top_p", "top_p must be a number");
	if (t->call->target.refuses_sampling)
		return ERR_OK;
	if (translate_is_there(temperature)) {
		bool is_above = translate_compare_to_one(temperature) > 0;

		buf_add_z(t->out, ",\"temperature\":");
		if (temperature.raw.p[0] == '-')
			buf_add_char(t->out, '0');
		else
			buf_add_str(t->out,
				    is_above ? STR("1") : temperature.raw);
	}
	/* Some models refuse the two together, and 1 asks for nothing. */
	if (translate_is_there(top_p) && translate_compare_to_one(top_p) != 0) {
		buf_add_z(t->out, ",\"top_p\":");
		buf_add_str(t->out, top_p.raw);
	}
	return ERR_OK;
}

static enum err
write_user(struct translation *t)
{
	struct json_value user = t->fields[OPENAI_safety_identifier];
	const char *name = "safety_identifier";
	enum err err;

	if (!translate_is_there(user)) {
		user = t->fields[OPENAI_user];
		name = "user";
	}
	if (!translate_is_there(user))
		return ERR_OK;
	if (user.type != JSON_STRING)
		return translate_refuse(t, name, "%s must be a string", name);
	if (t->call->target.hash == NULL)
		return ERR_OK;
	buf_add_z(t->out, ",\"metadata\":{\"user_id\":");
	err = translate_write_hashed(t, user);
	buf_add_char(t->out, '}');
	return err;
}

static enum err
write_output_config(struct translation *t, const struct format *format)
{
	struct json_value effort = t->fields[OPENAI_reasoning_effort];
	const char *comma = ",\"output_config\":{";

	if (translate_is_there(effort) && effort.type != JSON_STRING)
		return translate_refuse(t, "reasoning_effort",
					"reasoning_effort must be a string");
	if (translate_is_there(effort) && t->call->target.takes_effort) {
		bool is_least = translate_string_is(effort, STR("none")) ||
				translate_string_is(effort, STR("minimal"));

		buf_add_z(t->out, comma);
		buf_add_z(t->out, "\"effort\":");
		buf_add_str(t->out, is_least ? STR("\"low\"") : effort.raw);
		comma = ",";
	}
	if (translate_is_there(format->schema)) {
		buf_add_z(t->out, comma);
		buf_add_z(t->out, "\"format\":{\"type\":\"json_schema\","
				  "\"schema\":");
		buf_add_str(t->out, format->schema.raw);
		buf_add_char(t->out, '}');
		comma = ",";
	}
	if (comma[1] == '\0')
		buf_add_char(t->out, '}');
	return ERR_OK;
}

enum err
translate_to_anthropic(struct translation *t)
{
	struct format format;
	enum err err;

	if (!translate_is_string(t->fields[OPENAI_model]))
		return translate_refuse(t, "model", "model must be a string");
	err = read_format(t, &format);
	if (err == ERR_OK)
		err = translate_collect_messages(t);
	if (err != ERR_OK)
		return err;
	write_model(t);
	if ((err = write_max_tokens(t)) != ERR_OK ||
	    (err = translate_write_system(t, format.is_json_only)) != ERR_OK ||
	    (err = translate_write_turns(t)) != ERR_OK ||
	    (err = translate_write_tools_anthropic(t)) != ERR_OK ||
	    (err = write_stop(t)) != ERR_OK ||
	    (err = write_sampling(t)) != ERR_OK ||
	    (err = write_user(t)) != ERR_OK ||
	    (err = write_output_config(t, &format)) != ERR_OK)
		return err;
	translate_write_kept(t);
	buf_add_char(t->out, '}');
	return ERR_OK;
}
