/*
 * request: see request.h.
 */
#include "workers/request.h"

#include "workers/images.h"

#define BYTES_PER_TOKEN 4 /* of English text, roughly */

/* The members that are looked at. */
enum member {
	MEMBER_MODEL,
	MEMBER_STREAM,
	MEMBER_STREAM_OPTIONS,
	MEMBER_MESSAGES,
	MEMBER_SYSTEM,
	MEMBER_TOOLS,
	MEMBER_API_PROVIDER,
	MEMBER_DOMAIN,
	MEMBER_TEMPERATURE,
	MEMBER_MAX_TOKENS,
	MEMBER_MAX_COMPLETION_TOKENS,
	MEMBER_N,
	MEMBER_THINKING,
	MEMBER_BASE_URL,
	MEMBER_API_BASE,
	MEMBER_API_KEY,
	MEMBER_COUNT,
};

static const char *const member_names[MEMBER_COUNT] = {
    [MEMBER_MODEL] = "model",
    [MEMBER_STREAM] = "stream",
    [MEMBER_STREAM_OPTIONS] = "stream_options",
    [MEMBER_MESSAGES] = "messages",
    [MEMBER_SYSTEM] = "system",
    [MEMBER_TOOLS] = "tools",
    [MEMBER_API_PROVIDER] = "api_provider",
    [MEMBER_DOMAIN] = "domain",
    [MEMBER_TEMPERATURE] = "temperature",
    [MEMBER_MAX_TOKENS] = "max_tokens",
    [MEMBER_MAX_COMPLETION_TOKENS] = "max_completion_tokens",
    [MEMBER_N] = "n",
    [MEMBER_THINKING] = "thinking",
    [MEMBER_BASE_URL] = "base_url",
    [MEMBER_API_BASE] = "api_base",
    [MEMBER_API_KEY] = "api_key",
};

struct reading {
	struct request *out;
	struct json_value members[MEMBER_COUNT];
	struct arena *arena;
	struct why *why;
};

bool
request_shape_of(struct str name, enum request_shape *out)
{
	if (str_eq(name, STR("chat")))
		*out = REQUEST_CHAT;
	else if (str_eq(name, STR("openai")))
		*out = REQUEST_OPENAI;
	else if (str_eq(name, STR("anthropic")))
		*out = REQUEST_ANTHROPIC;
	else
		return false;
	return true;
}

int64_t
request_estimate_tokens(size_t bytes)
{
	return (int64_t)((bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN);
}

int64_t
request_prompt_tokens(const struct request *request, int64_t image_tokens)
{
	return request->prompt_tokens + request->images * image_tokens;
}

/* Refuses an escaped spelling of a name that is looked at ("mod\u0065l"), so
 * that nobody sees another request than the provider does. */
static enum err
refuse_escaped(struct str key, const char *name, struct why *why)
{
	return why_field(why, ERR_BAD_FIELD, name,
			 "%s is written with escapes (%.*s): write it plainly",
			 name, (int)(key.n < 100 ? key.n : 100), key.p);
}

static enum member
member_of(struct str key)
{
	for (unsigned i = 0; i < MEMBER_COUNT; i++) {
		if (json_key_is(key, str_of(member_names[i])))
			return (enum member)i;
	}
	return MEMBER_COUNT;
}

static enum err
collect(struct reading *reading)
{
	struct json_walk walk = json_walk(reading->out->root);
	struct json_value value;
	struct str key;

	while (json_next_member(&walk, &key, &value)) {
		enum member member = member_of(key);

		if (member == MEMBER_COUNT)
			continue;
		if (memchr(key.p, '\\', key.n))
			return refuse_escaped(key, member_names[member],
					      reading->why);
		if (reading->members[member].raw.p)
			return why_field(reading->why, ERR_BAD_FIELD,
					 member_names[member],
					 "%s is there twice: send it once",
					 member_names[member]);
		reading->members[member] = value;
	}
	return ERR_OK;
}

static enum err
refuse_redirects(const struct reading *reading)
{
	for (unsigned i = MEMBER_BASE_URL; i <= MEMBER_API_KEY; i++) {
		if (reading->members[i].raw.p)
			return why_field(
			    reading->why, ERR_BAD_FIELD, member_names[i],
			    "%s is the operator's to set: leave it out",
			    member_names[i]);
	}
	return ERR_OK;
}

/* A string member, 1 to max_bytes long; absent or null leaves *out absent. */
static enum err
take_text(const struct reading *reading, enum member member, size_t max_bytes,
	  struct str *out)
{
	const struct json_value *value = &reading->members[member];
	const char *name = member_names[member];
	struct str text;

	if (value->raw.p == NULL || value->type == JSON_NULL)
		return ERR_OK;
	if (value->type != JSON_STRING)
		return why_field(reading->why, ERR_BAD_FIELD, name,
				 "%s must be a string", name);
	text = json_string(*value, reading->arena);
	if (text.p == NULL)
		return ERR_NO_MEMORY;
	if (text.n == 0 || text.n > max_bytes || memchr(text.p, 0, text.n))
		return why_field(reading->why, ERR_BAD_FIELD, name,
				 "%s must have 1 to %zu characters", name,
				 max_bytes);
	*out = text;
	return ERR_OK;
}

static enum err
take_bool(const struct reading *reading, enum member member, bool *out)
{
	const struct json_value *value = &reading->members[member];

	if (value->raw.p == NULL || value->type == JSON_NULL)
		return ERR_OK;
	if (value->type != JSON_TRUE && value->type != JSON_FALSE)
		return why_field(
		    reading->why, ERR_BAD_FIELD, member_names[member],
		    "%s must be true or false", member_names[member]);
	*out = value->type == JSON_TRUE;
	return ERR_OK;
}

static void
take_prompt(const struct reading *reading)
{
	struct request *out = reading->out;
	enum ai_shape shape =
	    out->shape == REQUEST_ANTHROPIC ? AI_ANTHROPIC : AI_OPENAI;
	struct images images = images_in(shape, out->messages);

	out->images = images.count;
	out->prompt_tokens =
	    request_estimate_tokens(out->messages.raw.n - images.inline_bytes +
				    reading->members[MEMBER_SYSTEM].raw.n +
				    reading->members[MEMBER_TOOLS].raw.n);
}

static enum err
take_messages(const struct reading *reading)
{
	struct json_value value = reading->members[MEMBER_MESSAGES];
	struct json_walk walk;
	struct json_value item;

	if (value.raw.p == NULL || value.type != JSON_ARRAY)
		return why_field(reading->why, ERR_BAD_FIELD, "messages",
				 "messages must be an array of messages");
	walk = json_walk(value);
	if (!json_next_item(&walk, &item))
		return why_field(reading->why, ERR_BAD_FIELD, "messages",
				 "messages is empty: send at least one");
	reading->out->messages = value;
	take_prompt(reading);
	return ERR_OK;
}

static enum err
take_stream_options(const struct reading *reading)
{
	struct json_value value = reading->members[MEMBER_STREAM_OPTIONS];
	struct json_walk walk;
	struct json_value wanted;
	struct str key;
	bool is_seen = false;

	if (value.raw.p == NULL || value.type == JSON_NULL)
		return ERR_OK;
	if (value.type != JSON_OBJECT)
		return why_field(reading->why, ERR_BAD_FIELD, "stream_options",
				 "stream_options must be an object");
	walk = json_walk(value);
	while (json_next_member(&walk, &key, &wanted)) {
		if (!json_key_is(key, STR("include_usage")))
			continue;
		if (memchr(key.p, '\\', key.n))
			return refuse_escaped(key, "include_usage",
					      reading->why);
		if (is_seen)
			return why_field(reading->why, ERR_BAD_FIELD,
					 "stream_options",
					 "include_usage is there twice");
		is_seen = true;
		reading->out->is_usage_wanted = wanted.type == JSON_TRUE;
	}
	reading->out->stream_options = value;
	return ERR_OK;
}

/* What /api/chat has beside the messages. */
static enum err
take_chat(const struct reading *reading)
{
	struct json_value temperature = reading->members[MEMBER_TEMPERATURE];
	struct json_value max_tokens = reading->members[MEMBER_MAX_TOKENS];
	int64_t tokens;

	if (temperature.raw.p && temperature.type != JSON_NULL) {
		if (temperature.type != JSON_NUMBER)
			return why_field(reading->why, ERR_BAD_FIELD,
					 "temperature",
					 "temperature must be a number");
		reading->out->temperature = temperature;
	}
	if (max_tokens.raw.p == NULL || max_tokens.type == JSON_NULL)
		return ERR_OK;
	if (max_tokens.type != JSON_NUMBER || !json_int(max_tokens, &tokens) ||
	    tokens < 1 || tokens > REQUEST_OUTPUT_TOKENS_MAX)
		return why_field(reading->why, ERR_BAD_FIELD, "max_tokens",
				 "max_tokens must be a whole number from 1 "
				 "to %d",
				 REQUEST_OUTPUT_TOKENS_MAX);
	reading->out->max_tokens = max_tokens;
	return ERR_OK;
}

static int64_t
number_of(const struct reading *reading, enum member member)
{
	struct json_value value = reading->members[member];
	int64_t n;

	if (value.raw.p == NULL || value.type != JSON_NUMBER ||
	    !json_int(value, &n) || n < 1)
		return SCHEMA_INT_NONE;
	return n;
}

/* Anthropic's thinking comes out of max_tokens, which must be more. */
static int64_t
thinking_of(const struct reading *reading)
{
	struct json_value thinking = reading->members[MEMBER_THINKING], budget;
	int64_t n;

	if (thinking.raw.p == NULL || thinking.type != JSON_OBJECT ||
	    !json_get(thinking, STR("budget_tokens"), &budget) ||
	    budget.type != JSON_NUMBER || !json_int(budget, &n) || n < 1 ||
	    n == INT64_MAX)
		return SCHEMA_INT_NONE;
	return n + 1;
}

/* What is counted by it has to be a number. */
static enum err
check_number(const struct reading *reading, enum member member)
{
	struct json_value value = reading->members[member];

	if (value.raw.p == NULL || value.type == JSON_NULL ||
	    number_of(reading, member) != SCHEMA_INT_NONE)
		return ERR_OK;
	return why_field(reading->why, ERR_BAD_FIELD, member_names[member],
			 "%s must be a whole number from 1",
			 member_names[member]);
}

/* Of two names for the output whichever says more: the provider takes one. */
static void
take_output(const struct reading *reading)
{
	struct output_wish *output = &reading->out->output;
	int64_t tokens = number_of(reading, MEMBER_MAX_TOKENS);
	int64_t other = number_of(reading, MEMBER_MAX_COMPLETION_TOKENS);

	output->tokens = tokens > other ? tokens : other;
	output->min = output->choices = SCHEMA_INT_NONE;
	if (reading->out->shape == REQUEST_OPENAI)
		output->choices = number_of(reading, MEMBER_N);
	if (reading->out->shape == REQUEST_ANTHROPIC)
		output->min = thinking_of(reading);
}

static enum err
take_all(const struct reading *reading)
{
	struct request *out = reading->out;
	enum err err;

	if ((err = refuse_redirects(reading)) != ERR_OK ||
	    (err = take_text(reading, MEMBER_MODEL, REQUEST_MODEL_BYTES_MAX,
			     &out->model)) != ERR_OK ||
	    (err = take_text(reading, MEMBER_API_PROVIDER, 32,
			     &out->api_provider)) != ERR_OK ||
	    (err = take_text(reading, MEMBER_DOMAIN, 253, &out->domain)) !=
		ERR_OK ||
	    (err = take_bool(reading, MEMBER_STREAM, &out->is_stream)) !=
		ERR_OK ||
	    (err = take_messages(reading)) != ERR_OK)
		return err;
	out->has_own_members = reading->members[MEMBER_API_PROVIDER].raw.p ||
			       reading->members[MEMBER_DOMAIN].raw.p;
	take_output(reading);
	if (out->shape == REQUEST_CHAT)
		return take_chat(reading);
	if ((err = check_number(reading, MEMBER_MAX_TOKENS)) != ERR_OK ||
	    (err = check_number(reading, MEMBER_MAX_COMPLETION_TOKENS)) !=
		ERR_OK ||
	    (out->shape == REQUEST_OPENAI &&
	     (err = check_number(reading, MEMBER_N)) != ERR_OK))
		return err;
	if (out->model.p == NULL)
		return why_field(reading->why, ERR_BAD_FIELD, "model",
				 "model is missing: name one of /v1/models");
	return out->shape == REQUEST_OPENAI ? take_stream_options(reading)
					    : ERR_OK;
}

enum err
request_read(struct request *out, enum request_shape shape, struct str body,
	     struct arena *arena, struct why *why)
{
	struct reading reading = {.out = out, .arena = arena, .why = why};
	enum err err;

	memset(out, 0, sizeof(*out));
	out->shape = shape;
	if (!json_check(body, &out->root) || out->root.type != JSON_OBJECT)
		return why_set(why, ERR_BAD_REQUEST,
			       "the body must be one JSON object");
	err = collect(&reading);
	return err == ERR_OK ? take_all(&reading) : err;
}

/* --- the body that goes out ------------------------------------------ */

static void
write_comma(struct buf *out, bool *is_first)
{
	if (!*is_first)
		buf_add_char(out, ',');
	*is_first = false;
}

static void
write_raw_member(struct buf *out, bool *is_first, struct str key,
		 struct str raw)
{
	write_comma(out, is_first);
	buf_add_char(out, '"');
	buf_add_str(out, key);
	buf_add_z(out, "\":");
	buf_add_str(out, raw);
}

/* stream_options with include_usage: true and whatever else it had. */
static void
write_stream_options(const struct request *request, struct buf *out)
{
	bool is_first = true;
	struct json_walk walk;
	struct json_value value;
	struct str key;

	buf_add_char(out, '{');
	if (request->stream_options.raw.p) {
		walk = json_walk(request->stream_options);
		while (json_next_member(&walk, &key, &value)) {
			if (!str_eq(key, STR("include_usage")))
				write_raw_member(out, &is_first, key,
						 value.raw);
		}
	}
	write_raw_member(out, &is_first, STR("include_usage"), STR("true"));
	buf_add_char(out, '}');
}

static void
write_as_it_came(const struct request *request, struct str model,
		 struct buf *out)
{
	bool is_renamed = !str_eq(model, request->model);
	bool is_forced = request->shape == REQUEST_OPENAI &&
			 request->is_stream && !request->is_usage_wanted;
	struct json_walk walk = json_walk(request->root);
	bool is_first = true;
	struct json_value value;
	struct str key;

	if (!is_forced && !is_renamed && !request->has_own_members) {
		buf_add_str(out, request->root.raw);
		return;
	}
	buf_add_char(out, '{');
	while (json_next_member(&walk, &key, &value)) {
		if (str_eq(key, STR("api_provider")) ||
		    str_eq(key, STR("domain")) ||
		    (is_forced && str_eq(key, STR("stream_options"))))
			continue;
		if (is_renamed && str_eq(key, STR("model"))) {
			write_comma(out, &is_first);
			buf_add_z(out, "\"model\":");
			json_write_string(out, model);
			continue;
		}
		write_raw_member(out, &is_first, key, value.raw);
	}
	if (is_forced) {
		write_comma(out, &is_first);
		buf_add_z(out, "\"stream_options\":");
		write_stream_options(request, out);
	}
	buf_add_char(out, '}');
}

static void
write_chat(const struct request *request, struct str model,
	   const char *max_tokens_name, struct buf *out)
{
	bool is_first = false;

	buf_add_z(out, "{\"model\":");
	json_write_string(out, model);
	write_raw_member(out, &is_first, STR("messages"),
			 request->messages.raw);
	if (request->temperature.raw.p)
		write_raw_member(out, &is_first, STR("temperature"),
				 request->temperature.raw);
	if (request->max_tokens.raw.p)
		write_raw_member(out, &is_first, str_of(max_tokens_name),
				 request->max_tokens.raw);
	if (request->is_stream)
		buf_add_z(out, ",\"stream\":true,\"stream_options\":"
			       "{\"include_usage\":true}");
	buf_add_char(out, '}');
}

void
request_write(const struct request *request, struct str model,
	      const char *max_tokens_name, struct buf *out)
{
	if (request->shape == REQUEST_CHAT)
		write_chat(request, model, max_tokens_name, out);
	else
		write_as_it_came(request, model, out);
}

/* So is what is no such number: a provider may take it for one, or for none. */
static bool
is_too_much(struct json_value value, int64_t max)
{
	int64_t n;

	return value.type != JSON_NUMBER || !json_int(value, &n) || n < 1 ||
	       n > max;
}

void
request_clamp(struct json_value root, const char *name, int64_t max,
	      struct buf *out)
{
	const char *at = root.raw.p, *end = at + root.raw.n - 1;
	struct json_walk walk = json_walk(root);
	bool is_there = false, is_empty = true;
	struct json_value value;
	struct str key;

	while (json_next_member(&walk, &key, &value)) {
		is_empty = false;
		if (!str_eq(key, STR("max_tokens")) &&
		    !str_eq(key, STR("max_completion_tokens")))
			continue;
		/* null is as good as absent; it is not the name to say it by */
		if (value.type == JSON_NULL && !str_eq(key, str_of(name)))
			continue;
		is_there = true;
		if (!is_too_much(value, max))
			continue;
		buf_add(out, at, (size_t)(value.raw.p - at));
		buf_add_int(out, max);
		at = value.raw.p + value.raw.n;
	}
	buf_add(out, at, (size_t)(end - at));
	if (!is_there) {
		buf_add_z(out, is_empty ? "\"" : ",\"");
		buf_add_z(out, name);
		buf_add_z(out, "\":");
		buf_add_int(out, max);
	}
	buf_add_char(out, '}');
}
