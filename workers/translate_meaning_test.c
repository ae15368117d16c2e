/*
 * Properties of translated requests, over random ones: OpenAI's to Anthropic's
 * and back means the same, where "the same" is written down once more, from
 * the rules in translate.h; and once it came back it does not change any more.
 */
#include "workers/translate_client_test.h"
#include "workers/translate_random_test.h"

#include "lib/test.h"

#define REQUESTS 3000

/* --- random requests ------------------------------------------------------ */

static json_t *
text_part(struct dice *dice)
{
	return json_pack("{s:s, s:o}", "type", "text", "text",
			 random_text(dice, 9));
}

static json_t *
user_part(struct dice *dice)
{
	switch (dice_roll(dice, 8)) {
	case 0:
		return json_pack("{s:s, s:{s:s}}", "type", "image_url",
				 "image_url", "url",
				 "data:image/png;base64,iVBO/+8=");
	case 1:
		return json_pack("{s:s, s:{s:s}}", "type", "image_url",
				 "image_url", "url",
				 "https://shop.example/a.png?x=1");
	case 2:
		return json_pack("{s:s, s:{s:s, s:s}}", "type", "file", "file",
				 "filename", "a.pdf", "file_data",
				 "data:application/pdf;base64,JVBE");
	default:
		return text_part(dice);
	}
}

static json_t *
random_content(struct dice *dice, json_t *(*part)(struct dice *dice))
{
	json_t *parts;

	if (dice_roll(dice, 2))
		return random_text(dice, 12);
	parts = json_array();
	for (unsigned n = dice_roll(dice, 4); n > 0; n--)
		json_array_append_new(parts, part(dice));
	return parts;
}

static void
add_message(json_t *messages, const char *role, json_t *content)
{
	json_array_append_new(messages, json_pack("{s:s, s:o}", "role", role,
						  "content", content));
}

static json_t *
random_call(struct dice *dice, unsigned number)
{
	json_t *input = random_object(dice), *call;
	char *text = json_dumps(input, dice_roll(dice, 2) ? JSON_COMPACT : 0);
	char id[24];

	CHECK(text != NULL);
	snprintf(id, sizeof(id), "call_%u", number);
	if (json_object_size(input) == 0 && dice_roll(dice, 2))
		text[0] = '\0';
	call =
	    json_pack("{s:s, s:s, s:{s:s, s:s}}", "id", id, "type", "function",
		      "function", "name", "f", "arguments", text);
	free(text);
	json_decref(input);
	return call;
}

static void
add_assistant(struct dice *dice, json_t *messages, unsigned *calls)
{
	json_t *message = json_pack("{s:s}", "role", "assistant");
	json_t *list = json_array();

	*calls = dice_roll(dice, 2) ? dice_roll(dice, 4) : 0;
	json_object_set_new(message, "content",
			    dice_roll(dice, 4) ? random_content(dice, text_part)
					       : json_null());
	for (unsigned i = 0; i < *calls; i++)
		json_array_append_new(list, random_call(dice, i));
	if (*calls)
		json_object_set(message, "tool_calls", list);
	json_decref(list);
	json_array_append_new(messages, message);
}

static void
add_result(struct dice *dice, json_t *messages, unsigned call)
{
	char id[24];

	snprintf(id, sizeof(id), "call_%u", call);
	add_message(messages, "tool", random_content(dice, text_part));
	json_object_set_new(
	    json_array_get(messages, json_array_size(messages) - 1),
	    "tool_call_id", json_pack("s", id));
}

static json_t *
random_messages(struct dice *dice)
{
	json_t *messages = json_array();
	unsigned calls = 0;

	add_message(messages, "user", json_pack("s", "first"));
	for (unsigned n = dice_roll(dice, 12); n > 0; n--) {
		unsigned kind = dice_roll(dice, 6);

		if (calls > 0 && dice_roll(dice, 4))
			add_result(dice, messages, --calls);
		else if (kind == 0)
			add_message(messages,
				    dice_roll(dice, 2) ? "system" : "developer",
				    random_content(dice, text_part));
		else if (kind < 3)
			add_assistant(dice, messages, &calls);
		else
			add_message(messages, "user",
				    random_content(dice, user_part));
	}
	return messages;
}

static void
add_tools(struct dice *dice, json_t *request)
{
	static const char *const choices[] = {"auto", "required", "none"};
	json_t *tools = json_array();

	for (unsigned n = 1 + dice_roll(dice, 3); n > 0; n--)
		json_array_append_new(
		    tools, json_pack("{s:s, s:{s:s, s:o, s:{s:s, s:o}, s:b}}",
				     "type", "function", "function", "name",
				     "f", "description", random_text(dice, 9),
				     "parameters", "type", "object",
				     "properties", random_object(dice),
				     "strict", (int)dice_roll(dice, 2)));
	json_object_set_new(request, "tools", tools);
	if (dice_roll(dice, 2))
		json_object_set_new(request, "parallel_tool_calls",
				    json_boolean(dice_roll(dice, 2)));
	json_object_set_new(
	    request, "tool_choice",
	    dice_roll(dice, 4) ? json_pack("s", choices[dice_roll(dice, 3)])
			       : json_pack("{s:s, s:{s:s}}", "type", "function",
					   "function", "name", "f"));
}

static json_t *
random_request(struct dice *dice)
{
	json_t *request = json_pack("{s:s, s:o}", "model", "gpt-x", "messages",
				    random_messages(dice));

	if (dice_roll(dice, 2))
		json_object_set_new(
		    request,
		    dice_roll(dice, 2) ? "max_tokens" : "max_completion_tokens",
		    json_integer(1 + dice_roll(dice, 5000)));
	if (dice_roll(dice, 2))
		json_object_set_new(request, "temperature",
				    json_real(dice_roll(dice, 9) / 4.0));
	if (dice_roll(dice, 2))
		json_object_set_new(request, "top_p",
				    json_real((1 + dice_roll(dice, 4)) / 4.0));
	if (dice_roll(dice, 2))
		json_object_set_new(request, "stop",
				    json_pack("[o, o]", random_text(dice, 3),
					      random_text(dice, 3)));
	if (dice_roll(dice, 2))
		json_object_set_new(request, "stream",
				    json_boolean(dice_roll(dice, 2)));
	if (dice_roll(dice, 3) == 0)
		json_object_set_new(
		    request, "response_format",
		    json_pack("{s:s, s:{s:s, s:b, s:o}}", "type", "json_schema",
			      "json_schema", "name", "answer", "strict", 1,
			      "schema", random_object(dice)));
	if (dice_roll(dice, 2))
		add_tools(dice, request);
	return request;
}

/* --- what a request means ------------------------------------------------- */

static bool
is_blank(const json_t *text)
{
	const char *s = json_string_value(text);

	return s[strspn(s, " \t\r\n")] == '\0';
}

static void
join(struct buf *to, const json_t *text, const char *separator)
{
	if (to->n)
		buf_add_z(to, separator);
	buf_add(to, json_string_value(text), json_string_length(text));
}

static bool
is_text(const json_t *part)
{
	return strcmp(json_string_value(json_object_get(part, "type")),
		      "text") == 0;
}

/* The parts of content that say something. */
static void
add_parts(json_t *to, json_t *content)
{
	json_t *part;
	size_t i;

	if (json_is_string(content) && !is_blank(content))
		json_array_append_new(to, json_pack("{s:s, s:O}", "type",
						    "text", "text", content));
	json_array_foreach(content, i, part)
	{
		if (!is_text(part) || !is_blank(json_object_get(part, "text")))
			json_array_append(to, part);
	}
}

/* One string when there is nothing but texts. Takes parts. */
static json_t *
said(json_t *parts, const char *separator)
{
	struct buf text;
	json_t *part, *out;
	size_t i;

	buf_init(&text, 1u << 20);
	json_array_foreach(parts, i, part)
	{
		if (!is_text(part)) {
			buf_fini(&text);
			return parts;
		}
		join(&text, json_object_get(part, "text"), separator);
	}
	out = json_stringn(buf_str(&text).p, text.n);
	buf_fini(&text);
	json_decref(parts);
	return out;
}

static json_t *
said_by(json_t *message, const char *separator)
{
	json_t *parts = json_array();

	add_parts(parts, json_object_get(message, "content"));
	return said(parts, separator);
}

static void
add_if_said(json_t *to, const char *role, json_t *content)
{
	if (!json_is_string(content) || json_string_length(content))
		add_message(to, role, content);
	else
		json_decref(content);
}

/* What stands between two assistant messages. */
static void
mean_run(json_t *to, json_t *run)
{
	json_t *message, *parts = json_array();
	bool has_results = false;
	size_t i;

	json_array_foreach(run, i, message)
	{
		json_t *id = json_object_get(message, "tool_call_id");

		if (id == NULL)
			continue;
		has_results = true;
		add_message(
		    to, "tool",
		    json_is_string(json_object_get(message, "content"))
			? json_incref(json_object_get(message, "content"))
			: said_by(message, "\n"));
		json_object_set(json_array_get(to, json_array_size(to) - 1),
				"tool_call_id", id);
	}
	json_array_foreach(run, i, message)
	{
		if (json_object_get(message, "tool_call_id"))
			continue;
		if (has_results)
			add_parts(parts, json_object_get(message, "content"));
		else
			add_if_said(to, "user", said_by(message, "\n"));
	}
	add_if_said(to, "user", said(parts, "\n"));
	json_array_clear(run);
}

static void
mean_assistant(json_t *to, json_t *message)
{
	json_t *calls = json_object_get(message, "tool_calls"), *call;
	json_t *meant, *list = json_array();
	size_t i;

	if (json_array_size(calls) == 0) {
		json_decref(list);
		add_if_said(to, "assistant", said_by(message, ""));
		return;
	}
	json_array_foreach(calls, i, call)
	{
		json_t *function = json_object_get(call, "function");
		const char *text =
		    json_string_value(json_object_get(function, "arguments"));
		json_t *input = json_loads(text[0] ? text : "{}", 0, NULL);

		CHECK(json_is_object(input));
		json_array_append_new(
		    list, json_pack("{s:O, s:O, s:o}", "id",
				    json_object_get(call, "id"), "name",
				    json_object_get(function, "name"), "input",
				    input));
	}
	meant = json_pack("{s:s, s:o, s:o}", "role", "assistant", "content",
			  said_by(message, ""), "calls", list);
	json_array_append_new(to, meant);
}

/* An assistant message that says nothing is as good as none. */
static bool
is_silent(json_t *message)
{
	json_t *text = said_by(message, "");
	bool is_empty = json_string_length(text) == 0;

	json_decref(text);
	return is_empty && json_object_get(message, "tool_calls") == NULL;
}

static json_t *
mean_messages(json_t *messages)
{
	json_t *to = json_array(), *run = json_array(), *message;
	struct buf system;
	size_t i;

	buf_init(&system, 1u << 20);
	json_array_foreach(messages, i, message)
	{
		const char *role =
		    json_string_value(json_object_get(message, "role"));

		if (strcmp(role, "system") == 0 ||
		    strcmp(role, "developer") == 0) {
			json_t *text = said_by(message, "\n");

			if (json_string_length(text))
				join(&system, text, "\n");
			json_decref(text);
		} else if (strcmp(role, "assistant") != 0) {
			json_array_append(run, message);
		} else if (!is_silent(message)) {
			mean_run(to, run);
			mean_assistant(to, message);
		}
	}
	mean_run(to, run);
	json_decref(run);
	add_if_said(to, "system", json_stringn(buf_str(&system).p, system.n));
	buf_fini(&system);
	return to;
}

static void
mean_numbers(json_t *request)
{
	json_t *max = json_object_get(request, "max_completion_tokens");
	const json_t *heat = json_object_get(request, "temperature");
	const json_t *top_p = json_object_get(request, "top_p");

	if (max == NULL)
		max = json_object_get(request, "max_tokens");
	json_object_set_new(request, "max",
			    max ? json_incref(max) : json_integer(4096));
	json_object_del(request, "max_tokens");
	json_object_del(request, "max_completion_tokens");
	if (heat)
		json_object_set_new(request, "temperature",
				    json_real(json_number_value(heat) > 1
						  ? 1
						  : json_number_value(heat)));
	if (top_p && json_number_value(top_p) == 1)
		json_object_del(request, "top_p");
}

static void
mean_tools(json_t *request)
{
	json_t *tools = json_object_get(request, "tools"), *tool;
	const json_t *choice = json_object_get(request, "tool_choice");
	const json_t *parallel =
	    json_object_get(request, "parallel_tool_calls");
	size_t i;

	json_array_foreach(tools, i, tool)
	{
		json_t *function = json_object_get(tool, "function");

		if (!json_is_true(json_object_get(function, "strict")))
			json_object_del(function, "strict");
	}
	if (!json_is_false(parallel) ||
	    (json_is_string(choice) &&
	     strcmp(json_string_value(choice), "none") == 0))
		json_object_del(request, "parallel_tool_calls");
}

/* Takes the request, gives what it means. */
static json_t *
meaning(json_t *request)
{
	json_t *stop = json_object_get(request, "stop");

	for (size_t i = json_array_size(stop); i-- > 0;) {
		if (is_blank(json_array_get(stop, i)))
			json_array_remove(stop, i);
	}
	if (json_array_size(stop) == 0)
		json_object_del(request, "stop");
	if (json_is_true(json_object_get(request, "stream")))
		json_object_set_new(request, "stream_options",
				    json_pack("{s:b}", "include_usage", 1));
	else
		json_object_del(request, "stream");
	mean_numbers(request);
	mean_tools(request);
	json_object_set_new(
	    request, "messages",
	    mean_messages(json_object_get(request, "messages")));
	return request;
}

static json_t *
parsed(struct str text)
{
	json_t *json = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);

	CHECK(json != NULL);
	return json;
}

TEST(translate_there_and_back_means_the_same)
{
	for (unsigned i = 0; i < REQUESTS; i++) {
		struct dice dice = dice_of(i);
		json_t *request = random_request(&dice), *back;
		struct str text = random_print(&dice, request);
		struct str there = world_request_ok(AI_OPENAI, text);
		struct str again = world_request_ok(AI_ANTHROPIC, there);

		request = meaning(request);
		back = meaning(parsed(again));
		if (!json_equal(request, back))
			test_fail(
			    __FILE__, __LINE__, "seed %u:\n%.*s\n%.*s\n%.*s", i,
			    STR_ARG(text), STR_ARG(there), STR_ARG(again));
		json_decref(request);
		json_decref(back);
		arena_reset(client_arena());
	}
}

/* What came back once stays as it is: nothing wears off on the way. */
TEST(translate_there_and_back_is_stable)
{
	for (unsigned i = 0; i < REQUESTS; i++) {
		struct dice dice = dice_of(i + 7777);
		json_t *request = random_request(&dice);
		struct str there, once, twice;

		there =
		    world_request_ok(AI_OPENAI, random_print(&dice, request));
		once = world_request_ok(AI_ANTHROPIC, there);
		twice = world_request_ok(AI_ANTHROPIC,
					 world_request_ok(AI_OPENAI, once));
		CHECK_STR(twice, once);
		json_decref(request);
		arena_reset(client_arena());
	}
}
