/*
 * openai: reads answers in the shape of OpenAI's chat completions, which
 * DeepSeek speaks too. Sources: the providers' published specifications.
 * After a number that cannot be (negative, beyond PROVIDER_TOKENS_MAX) its
 * field is not known, whatever was said before.
 */
#include "workers/providers/providers.h"

#define FAILED_FINISH STR("\"insufficient_system_resource\"") /* DeepSeek */

/* One member of a details object: prompt_tokens_details.cached_tokens. */
static void
take_detail(struct json_value details, struct str name, int64_t *out)
{
	struct json_value value;

	if (details.type == JSON_OBJECT && json_get(details, name, &value))
		provider_take_tokens(value, out);
}

static void
read_usage(struct json_value usage, struct provider_usage *out)
{
	struct json_walk walk = json_walk(usage);
	struct json_value value;
	struct str key;

	while (json_next_member(&walk, &key, &value)) {
		if (str_eq(key, STR("prompt_tokens")))
			provider_take_tokens(value, &out->prompt);
		else if (str_eq(key, STR("completion_tokens")))
			provider_take_tokens(value, &out->output);
		else if (str_eq(key, STR("prompt_cache_hit_tokens")))
			provider_take_tokens(value, &out->cache_read);
		else if (str_eq(key, STR("prompt_tokens_details"))) {
			take_detail(value, STR("cached_tokens"),
				    &out->cache_read);
			take_detail(value, STR("cache_write_tokens"),
				    &out->cache_write);
		} else if (str_eq(key, STR("completion_tokens_details")))
			take_detail(value, STR("reasoning_tokens"),
				    &out->reasoning);
	}
}

/* What the members of a message or a delta generated. */
static size_t
generated_bytes(struct json_value message)
{
	struct json_walk walk = json_walk(message);
	struct json_value value;
	struct str key;
	size_t bytes = 0;

	while (json_next_member(&walk, &key, &value)) {
		if (str_eq(key, STR("role")))
			continue;
		if (value.type == JSON_STRING)
			bytes += value.raw.n - 2;
		else if (value.type == JSON_ARRAY || value.type == JSON_OBJECT)
			bytes += value.raw.n;
	}
	return bytes;
}

struct choices {
	struct str text; /* of the first one, raw */
	size_t text_bytes;
	unsigned count;
	bool is_failure;
};

static void
read_choice(struct json_value choice, struct str part, struct choices *out)
{
	struct json_value message, content, reason;

	if (choice.type != JSON_OBJECT)
		return;
	if (json_get(choice, part, &message) && message.type == JSON_OBJECT) {
		if (out->count == 0 &&
		    json_get(message, STR("content"), &content) &&
		    content.type == JSON_STRING)
			out->text = content.raw;
		out->text_bytes += generated_bytes(message);
	}
	if (json_get(choice, STR("finish_reason"), &reason) &&
	    str_eq(reason.raw, FAILED_FINISH))
		out->is_failure = true;
	out->count++;
}

static void
read_choices(struct json_value choices, struct str part, struct choices *out)
{
	struct json_walk walk = json_walk(choices);
	struct json_value choice;

	while (json_next_item(&walk, &choice))
		read_choice(choice, part, out);
}

/* What both a whole answer and a chunk are made of. */
struct reading {
	struct choices choices;
	struct str model;
	bool has_choices;
	bool has_usage;
	bool has_error;
};

static void
read_members(struct json_value root, struct str part,
	     struct provider_usage *usage, struct reading *out)
{
	struct json_walk walk = json_walk(root);
	struct json_value value;
	struct str key;

	while (json_next_member(&walk, &key, &value)) {
		if (str_eq(key, STR("choices")) && value.type == JSON_ARRAY) {
			read_choices(value, part, &out->choices);
			out->has_choices = true;
		} else if (str_eq(key, STR("usage")) &&
			   value.type == JSON_OBJECT) {
			read_usage(value, usage);
			out->has_usage = true;
		} else if (str_eq(key, STR("model")) &&
			   value.type == JSON_STRING) {
			out->model = value.raw;
		} else if (str_eq(key, STR("error")) &&
			   value.type != JSON_NULL) {
			out->has_error = true;
		}
	}
}

static bool
read_answer(struct str body, struct provider_usage *usage,
	    struct provider_answer *out)
{
	struct reading reading = {.has_choices = false};
	struct json_value root;

	memset(out, 0, sizeof(*out));
	if (!json_check(body, &root) || root.type != JSON_OBJECT)
		return false;
	read_members(root, STR("message"), usage, &reading);
	out->model = reading.model;
	out->text = reading.choices.text;
	out->text_bytes = reading.choices.text_bytes;
	out->is_failure = reading.choices.is_failure || reading.has_error;
	return reading.has_choices || reading.has_error;
}

static void
read_event(const struct sse_event *event, struct provider_usage *usage,
	   struct provider_event *out)
{
	struct reading reading = {.has_choices = false};
	struct json_value root;

	memset(out, 0, sizeof(*out));
	if (event->data.p == NULL)
		return;
	if (str_eq(str_trim(event->data), STR("[DONE]"))) {
		out->is_done = true;
		return;
	}
	if (!json_check(event->data, &root) || root.type != JSON_OBJECT)
		return;
	read_members(root, STR("delta"), usage, &reading);
	out->model = reading.model;
	out->text = reading.choices.text;
	out->text_bytes = reading.choices.text_bytes;
	out->is_usage_only = reading.has_usage && reading.choices.count == 0;
	out->is_failure = reading.choices.is_failure || reading.has_error;
}

/* A 429 that waiting does not help: the account is out of money or quota. */
static bool
is_out_of_quota(struct str body)
{
	struct json_value root, error, code;

	if (!json_check(body, &root) || root.type != JSON_OBJECT ||
	    !json_get(root, STR("error"), &error) || error.type != JSON_OBJECT)
		return false;
	return (json_get(error, STR("code"), &code) &&
		str_eq(code.raw, STR("\"insufficient_quota\""))) ||
	       (json_get(error, STR("type"), &code) &&
		str_eq(code.raw, STR("\"insufficient_quota\""))) ||
	       (json_get(error, STR("code"), &code) &&
		str_eq(code.raw, STR("\"billing_hard_limit_reached\"")));
}

static enum provider_verdict
judge(int status, struct str body)
{
	switch (status) {
	case 400:
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
		return is_out_of_quota(body) ? PROVIDER_ALARM : PROVIDER_LIMIT;
	default:
		return status >= 500 && status <= 599 ? PROVIDER_RETRY
						      : PROVIDER_FAIL;
	}
}

const struct provider_wire openai_wire = {
    .shape = AI_OPENAI,
    .path = "/chat/completions",
    .list_path = "/models",
    .read_answer = read_answer,
    .read_event = read_event,
    .judge = judge,
};
