/*
 * anthropic: reads answers in the shape of Anthropic's messages. Source: the
 * provider's published specification. Its three classes of input are disjoint;
 * here they are added up to prompt, field by field, so that a later number of
 * one class replaces an earlier one of that class only. After a number that
 * cannot be (negative, beyond PROVIDER_TOKENS_MAX) its field is not known,
 * whatever was said before.
 */
#include "workers/providers/providers.h"

/* --- usage ---------------------------------------------------------------- */

struct classes {
	int64_t fresh;
	int64_t read;
	int64_t write;
	int64_t write_5m;
	int64_t write_1h;
};

static struct classes
classes_of(const struct provider_usage *usage)
{
	struct classes classes = {
	    .fresh = PROVIDER_TOKENS_NONE,
	    .read = usage->cache_read,
	    .write = usage->cache_write,
	    .write_5m = PROVIDER_TOKENS_NONE,
	    .write_1h = usage->cache_write_1h,
	};

	if (usage->prompt != PROVIDER_TOKENS_NONE)
		classes.fresh = usage->prompt -
				schema_count(usage->cache_read) -
				schema_count(usage->cache_write);
	return classes;
}

/* What cannot be in total is not believed at all. */
static void
classes_keep(const struct classes *classes, struct provider_usage *usage)
{
	int64_t parts =
	    schema_count(classes->read) + schema_count(classes->write);
	int64_t prompt = schema_count(classes->fresh) + parts;

	usage->prompt = PROVIDER_TOKENS_NONE;
	if (prompt > PROVIDER_TOKENS_MAX) {
		usage->cache_read = PROVIDER_TOKENS_NONE;
		usage->cache_write = PROVIDER_TOKENS_NONE;
		usage->cache_write_1h = PROVIDER_TOKENS_NONE;
		return;
	}
	if (classes->fresh != PROVIDER_TOKENS_NONE)
		usage->prompt = prompt;
	usage->cache_read = classes->read;
	usage->cache_write = classes->write;
	usage->cache_write_1h = classes->write_1h;
	if (classes->write_1h > schema_count(classes->write))
		usage->cache_write_1h = classes->write;
}

static void
read_cache_creation(struct json_value value, struct classes *out)
{
	struct json_walk walk = json_walk(value);
	struct json_value tokens;
	struct str key;

	if (value.type != JSON_OBJECT)
		return;
	while (json_next_member(&walk, &key, &tokens)) {
		if (str_eq(key, STR("ephemeral_5m_input_tokens")))
			provider_take_tokens(tokens, &out->write_5m);
		else if (str_eq(key, STR("ephemeral_1h_input_tokens")))
			provider_take_tokens(tokens, &out->write_1h);
	}
}

static void
read_usage(struct json_value value, struct provider_usage *usage)
{
	struct json_walk walk = json_walk(value);
	struct classes classes = classes_of(usage);
	struct json_value tokens, detail;
	bool has_write = false;
	struct str key;

	if (value.type != JSON_OBJECT)
		return;
	while (json_next_member(&walk, &key, &tokens)) {
		if (str_eq(key, STR("input_tokens"))) {
			provider_take_tokens(tokens, &classes.fresh);
		} else if (str_eq(key, STR("cache_read_input_tokens"))) {
			provider_take_tokens(tokens, &classes.read);
		} else if (str_eq(key, STR("cache_creation_input_tokens"))) {
			provider_take_tokens(tokens, &classes.write);
			has_write = tokens.type == JSON_NUMBER;
		} else if (str_eq(key, STR("cache_creation"))) {
			read_cache_creation(tokens, &classes);
		} else if (str_eq(key, STR("output_tokens"))) {
			provider_take_tokens(tokens, &usage->output);
		} else if (str_eq(key, STR("output_tokens_details")) &&
			   json_get(tokens, STR("thinking_tokens"), &detail)) {
			provider_take_tokens(detail, &usage->reasoning);
		}
	}
	if (!has_write && classes.write_5m != PROVIDER_TOKENS_NONE)
		classes.write =
		    classes.write_5m + schema_count(classes.write_1h);
	classes_keep(&classes, usage);
}

/* --- content -------------------------------------------------------------- */

struct block {
	struct str text; /* raw, when it is a text */
	size_t bytes;	 /* generated */
};

/* A content block, or a delta of one: of both, the members that hold what was
 * generated have one name each. */
static struct block
read_block(struct json_value value)
{
	struct json_walk walk = json_walk(value);
	struct block block = {STR_NONE, 0};
	struct json_value member;
	struct str key;

	if (value.type != JSON_OBJECT)
		return block;
	while (json_next_member(&walk, &key, &member)) {
		if (str_eq(key, STR("input")) && member.type == JSON_OBJECT) {
			/* {} also stands where the input is to come. */
			block.bytes += member.raw.n > 2 ? member.raw.n : 0;
		} else if (member.type != JSON_STRING) {
			continue;
		} else if (str_eq(key, STR("text"))) {
			block.text = member.raw;
			block.bytes += member.raw.n - 2;
		} else if (str_eq(key, STR("thinking")) ||
			   str_eq(key, STR("partial_json")) ||
			   str_eq(key, STR("name"))) {
			block.bytes += member.raw.n - 2;
		}
	}
	return block;
}

static void
read_content(struct json_value content, struct provider_answer *out)
{
	struct json_walk walk = json_walk(content);
	struct json_value item;

	if (content.type != JSON_ARRAY)
		return;
	while (json_next_item(&walk, &item)) {
		struct block block = read_block(item);

		if (out->text.p == NULL)
			out->text = block.text;
		out->text_bytes += block.bytes;
	}
}

/* A message: a whole answer, or what message_start holds. */
static void
read_message(struct json_value message, struct provider_usage *usage,
	     struct provider_answer *out)
{
	struct json_walk walk = json_walk(message);
	struct json_value value;
	struct str key;

	if (message.type != JSON_OBJECT)
		return;
	while (json_next_member(&walk, &key, &value)) {
		if (str_eq(key, STR("content")))
			read_content(value, out);
		else if (str_eq(key, STR("usage")))
			read_usage(value, usage);
		else if (str_eq(key, STR("model")) && value.type == JSON_STRING)
			out->model = value.raw;
	}
}

static bool
read_answer(struct str body, struct provider_usage *usage,
	    struct provider_answer *out)
{
	struct json_value root, value;

	memset(out, 0, sizeof(*out));
	if (!json_check(body, &root) || root.type != JSON_OBJECT)
		return false;
	if (json_get(root, STR("error"), &value) && value.type != JSON_NULL) {
		out->is_failure = true;
		return true;
	}
	if (!json_get(root, STR("content"), &value) || value.type != JSON_ARRAY)
		return false;
	read_message(root, usage, out);
	return true;
}

/* --- events --------------------------------------------------------------- */

struct event_members {
	struct str type; /* raw text between its quotes */
	struct json_value message;
	struct json_value block;
	struct json_value delta;
	struct json_value usage;
	bool has_error;
};

static void
read_members(struct json_value root, struct event_members *out)
{
	struct json_walk walk = json_walk(root);
	struct json_value value;
	struct str key;

	while (json_next_member(&walk, &key, &value)) {
		if (str_eq(key, STR("type")) && value.type == JSON_STRING)
			out->type = str_bytes(value.raw.p + 1, value.raw.n - 2);
		else if (str_eq(key, STR("message")))
			out->message = value;
		else if (str_eq(key, STR("content_block")))
			out->block = value;
		else if (str_eq(key, STR("delta")))
			out->delta = value;
		else if (str_eq(key, STR("usage")))
			out->usage = value;
		else if (str_eq(key, STR("error")))
			out->has_error = value.type != JSON_NULL;
	}
}

static void
take_block(struct json_value value, struct provider_event *out)
{
	struct block block = {STR_NONE, 0};

	if (value.raw.p)
		block = read_block(value);
	out->text = block.text;
	out->text_bytes = block.bytes;
}

static void
read_event(const struct sse_event *event, struct provider_usage *usage,
	   struct provider_event *out)
{
	struct event_members members = {.has_error = false};
	struct provider_answer message = {.is_failure = false};
	struct json_value root;

	memset(out, 0, sizeof(*out));
	if (event->data.p == NULL || !json_check(event->data, &root) ||
	    root.type != JSON_OBJECT)
		return;
	read_members(root, &members);
	if (str_eq(members.type, STR("content_block_delta"))) {
		take_block(members.delta, out);
	} else if (str_eq(members.type, STR("content_block_start"))) {
		take_block(members.block, out);
	} else if (str_eq(members.type, STR("message_start"))) {
		if (members.message.raw.p)
			read_message(members.message, usage, &message);
		out->model = message.model;
	} else if (str_eq(members.type, STR("message_delta"))) {
		if (members.usage.raw.p)
			read_usage(members.usage, usage);
	} else if (str_eq(members.type, STR("message_stop"))) {
		out->is_done = true;
	}
	out->is_failure =
	    members.has_error || str_eq(members.type, STR("error"));
}

/* --- errors --------------------------------------------------------------- */

/* The account is out of money, or at the limit that its owner set. Beside the
 * type there are only the provider's sentences in errors of a general type;
 * their beginnings are looked at, since an error may quote the request. */
static bool
is_out_of_money(struct str body)
{
	static const char *const signs[] = {
	    "\"Your credit balance is too low",
	    "\"You have reached your specified API usage limits",
	    "\"You have reached your specified workspace API usage limits",
	};
	struct json_value root, error, value;

	if (!json_check(body, &root) || !json_get(root, STR("error"), &error))
		return false;
	if (json_get(error, STR("type"), &value) &&
	    str_eq(value.raw, STR("\"billing_error\"")))
		return true;
	if (!json_get(error, STR("message"), &value))
		return false;
	for (unsigned i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		if (str_starts(value.raw, str_of(signs[i])))
			return true;
	}
	return false;
}

static enum provider_verdict
judge(int status, struct str body)
{
	switch (status) {
	case 400:
		return is_out_of_money(body) ? PROVIDER_ALARM : PROVIDER_PASS;
	case 404:
	case 413:
	case 422:
		return PROVIDER_PASS;
	case 401:
	case 402:
	case 403:
		return PROVIDER_ALARM;
	case 408:
	case 409:
		return PROVIDER_RETRY;
	case 429:
		return is_out_of_money(body) ? PROVIDER_ALARM : PROVIDER_LIMIT;
	default: /* 529 among them: overloaded */
		return status >= 500 && status <= 599 ? PROVIDER_RETRY
						      : PROVIDER_FAIL;
	}
}

const struct provider_wire anthropic_wire = {
    .shape = AI_ANTHROPIC,
    .path = "/v1/messages",
    .count_path = "/v1/messages/count_tokens",
    .list_path = "/v1/models",
    .read_answer = read_answer,
    .read_event = read_event,
    .judge = judge,
};
