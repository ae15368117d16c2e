/*
 * capture: the sealed debug capture of a licence: what is shown of it, that
 * nothing of it is readable anywhere, and that none is left behind it.
 */

#include "integration-tests/ask.h"
#include "lib/bus.h"
#include "lib/msg.h"

#define CANARY "canary-prompt-71c0de"

/* Says the canary; the status. */
static int
say(const struct house *house, const char *key, bool is_stream)
{
	struct answer answer;

	chat(&answer, house,
	     &(struct chat){.key = key,
			    .is_stream = is_stream,
			    .members = ",\"user\":\"" CANARY "\""});
	answer_free(&answer);
	return answer.status;
}

static struct output
show(const char *key)
{
	return run("chatello", "capture", "show", key, "--json", NULL);
}

/* Until the capture has arrived at the ledger, beside the answer. */
static void
show_until(const char *key, const char *text)
{
	long long began = now_ms();
	bool is_there = false;

	while (!is_there) {
		struct output output = show(key);

		CHECK_INT(output.code, 0);
		is_there = strstr(output.out, text) != NULL;
		output_free(&output);
		CHECK(now_ms() - began < 10000);
	}
}

static void
check_nothing_is_shown(const char *key)
{
	struct output output = show(key);

	CHECK_INT(output.code, 1);
	CHECK(strstr(output.err, "capture is off"));
	CHECK(!strstr(output.out, CANARY));
	output_free(&output);
}

TEST_LIMITED(capture_is_sealed_and_only_while_it_is_on, 60)
{
	struct house house;
	struct output output;
	const char *key, *other;
	json_t *view;

	house_init(&house);
	house_sell();
	key = house_license("big");
	other = house_license("big");
	house_up(&house);
	CHECK_INT(say(&house, key, false), 200);
	check_nothing_is_shown(key);
	view = tool("capture", "on", key, "--for", "30m", NULL);
	CHECK(json_str_at(view, "until").n > 0);
	json_decref(view);
	CHECK_INT(say(&house, key, false), 200);
	CHECK_INT(say(&house, other, false), 200);
	show_until(key, "\"asked\":\"{");
	CHECK_INT(say(&house, key, true), 200);
	show_until(key, "data: ");
	output = show(key);
	CHECK(strstr(output.out, CANARY));
	CHECK(strstr(output.out, "\"status\":200"));
	output_free(&output);
	output = run("chatello", "capture", "show", key, NULL);
	CHECK(strstr(output.out, "\nsaid\n  data: {"));
	CHECK(strstr(output.out, "\n  data: [DONE]\n"));
	output_free(&output);
	check_nothing_is_shown(other);
	/* On disk and in the logs there is not a word of it. */
	CHECK_INT(files_with("data", CANARY), 0);
	json_decref(tool("key", "rotate", NULL));
	show_until(key, CANARY);
	CHECK_INT(files_with(".", CANARY), 0);
	json_decref(tool("capture", "off", key, NULL));
	check_nothing_is_shown(key);
	CHECK_INT(say(&house, key, false), 200);
	check_nothing_is_shown(key);
	output = run("chatello", "capture", "on", key, "--for", "25h", NULL);
	CHECK_INT(output.code, 2);
	output_free(&output);
	output = run("chatello", "capture", "on", "lic_none", NULL);
	CHECK_INT(output.code, 1);
	output_free(&output);
	CHECK_INT(house_down(&house), 0);
	CHECK_INT(files_with(".", CANARY), 0);
}

/* The first model is down at its provider; it says so in 503 tries. */
TEST_LIMITED(capture_is_of_the_call_that_answered, 60)
{
	struct house house;
	struct answer answer;
	struct output output;
	const char *key;

	house_init(&house);
	house_sell();
	key = house_license("big");
	json_decref(
	    tool("route", "set", MODEL, "--fallback", CLAUDE_MODEL, NULL));
	house_up(&house);
	json_decref(tool("capture", "on", key, NULL));
	chat(&answer, &house,
	     &(struct chat){.key = key,
			    .script = "status=503 auth=7f3a91",
			    .members = ",\"user\":\"" CANARY "\""});
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
	show_until(key, "\"asked\":\"{");
	output = show(key);
	CHECK(strstr(output.out, "\"status\":200"));
	CHECK(strstr(output.out, "\\\"" CLAUDE_MODEL "\\\""));
	CHECK(strstr(output.out, "user_id")); /* as Anthropic has it */
	CHECK(!strstr(output.out, "\\\"" MODEL "\\\""));
	CHECK(!strstr(output.out, CANARY)); /* hashed for Anthropic */
	CHECK(strstr(output.out, "stop_reason"));
	CHECK(!strstr(output.out, "\\\"error\\\""));
	output_free(&output);
	CHECK_INT(house_down(&house), 0);
}

/* On for less than the command line has words for. */
static void
switch_on_for(const char *key, int64_t ms)
{
	struct capture_set in = {str_of(key), ms};
	struct buf body, answer;
	enum err err = ERR_INTERNAL;
	struct why why;

	buf_init(&body, 4096);
	buf_init(&answer, 4096);
	schema_encode(&capture_set_schema, &in, &body);
	CHECK_OK(bus_tool_call("data/run", "usage-0", MSG_capture_set,
			       buf_str(&body), 5000, &err, &answer, &why));
	CHECK_OK(err);
	buf_fini(&body);
	buf_fini(&answer);
}

static long long
records(void)
{
	json_t *verified = tool("event", "verify", NULL);
	long long count = json_int_at(verified, "records");

	json_decref(verified);
	return count;
}

/* Its time is over: nothing is shown, and the ledger erases by itself. */
TEST_LIMITED(capture_ends_by_itself_and_is_erased, 60)
{
	struct house house;
	struct output output;
	const char *key;
	long long most, began = now_ms();
	int shown = 0;

	house_init(&house);
	house_sell();
	key = house_license("big");
	house_up(&house);
	switch_on_for(key, 4000);
	for (int i = 0; i < 10; i++)
		CHECK_INT(say(&house, key, false), 200);
	while (shown < 10) {
		output = show(key);
		shown = 0;
		for (const char *at = output.out;
		     (at = strstr(at, CANARY)) != NULL; at++)
			shown++;
		output_free(&output);
		CHECK(now_ms() - began < 20000);
	}
	most = records();
	do {
		output = show(key);
		shown = strstr(output.out, CANARY) != NULL;
		output_free(&output);
		CHECK(now_ms() - began < 20000);
	} while (shown);
	check_nothing_is_shown(key);
	CHECK_INT(say(&house, key, false), 200);
	/* Two pieces of each request, and the line that says when it ends. */
	while (records() > most - 19)
		CHECK(now_ms() - began < 30000);
	CHECK_INT(house_down(&house), 0);
	CHECK_INT(files_with(".", CANARY), 0);
}
