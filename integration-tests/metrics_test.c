/*
 * metrics: /metrics of a house as a scraper reads it, and its numbers beside
 * those of the ledger, of the upstream and of the calls that were made.
 */
#include <stdio.h>
#include <stdlib.h>

#include "integration-tests/ask.h"
#include "integration-tests/exposition.h"

#define MICRO 1000000

/* The page, kept in answer; its samples in static storage. */
static const struct exposition *
metrics(const struct house *house, struct answer *answer)
{
	static struct exposition page;

	http(answer, house->internal, "GET", "/metrics", "", STR(""));
	CHECK_INT(answer->status, 200);
	CHECK_STR(answer_header(answer, "Content-Type"),
		  STR("text/plain; version=0.0.4"));
	exposition_read(&page, answer->body);
	return &page;
}

static void
check_sum(const struct exposition *page, const char *name, const char *label,
	  const char *other, long long want)
{
	long long found = exposition_sum(page, name, label, other);

	if (found != want)
		test_fail(__FILE__, __LINE__, "%s %s %s: %lld, not %lld", name,
			  label ? label : "", other ? other : "", found, want);
}

/* What the ledger's lines of that provider come to. */
static long long
ledger_sum(const json_t *ledger, const char *provider, const char *field)
{
	long long sum = 0;
	json_t *line;
	size_t i;

	json_array_foreach(ledger, i, line)
	{
		struct str status = json_str_at(line, "status");

		if (!str_eq(json_str_at(line, "provider"), str_of(provider)) ||
		    str_eq(status, STR("failed")))
			continue;
		sum += json_int_at(line, field);
	}
	return sum;
}

static void
check_against_ledger(const struct exposition *page, const char *provider)
{
	static const char *const classes[][2] = {
	    {"class=\"input\"", "input_tokens"},
	    {"class=\"output\"", "output_tokens"},
	    {"class=\"cache_read\"", "cache_read_tokens"},
	    {"class=\"cache_write\"", "cache_write_tokens"}};
	json_t *ledger = house_ledger();
	char label[64];

	snprintf(label, sizeof(label), "provider=\"%s\"", provider);
	for (int i = 0; i < 4; i++)
		check_sum(page, "chatello_ai_tokens_total", label,
			  classes[i][0],
			  MICRO * ledger_sum(ledger, provider, classes[i][1]));
	check_sum(page, "chatello_ai_cost_total", label, "currency=\"EUR\"",
		  ledger_sum(ledger, provider, "cost"));
	check_sum(page, "chatello_ai_price_total", label, "currency=\"EUR\"",
		  ledger_sum(ledger, provider, "price"));
	json_decref(ledger);
}

static void
ask_some(const struct house *house, const char *key)
{
	static const struct {
		const char *script, *model;
		bool is_stream;
		int status;
	} calls[] = {
	    {"in=9 out=4", MODEL, false, 200},
	    {"in=100 cached=40 out=7", MODEL, true, 200},
	    {"in=3 out=2", DEEPSEEK_MODEL, true, 200},
	    {"in=5 out=1", CLAUDE_MODEL, false, 200},
	    {"status=503 times=1 key=again in=1 out=1", MODEL, false, 200},
	    {"status=500", CLAUDE_MODEL, false, 502},
	};
	struct answer answer;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		chat(&answer, house,
		     &(struct chat){.key = key,
				    .script = calls[i].script,
				    .model = calls[i].model,
				    .is_stream = calls[i].is_stream});
		CHECK_INT(answer.status, calls[i].status);
		answer_free(&answer);
	}
}

/* The ledger counts a settlement that goes beside the answer. */
static const struct exposition *
metrics_of_lines(const struct house *house, struct answer *answer, int lines)
{
	const struct exposition *page;
	long long until_ms = now_ms() + 10000;

	while (page = metrics(house, answer),
	       exposition_sum(page, "chatello_ai_requests_total", NULL, NULL) !=
		   (long long)lines * MICRO) {
		CHECK(now_ms() < until_ms);
		answer_free(answer);
	}
	return page;
}

TEST_LIMITED(metrics_are_what_the_ledger_says, 60)
{
	const struct exposition *page;
	struct house house;
	struct answer answer;

	house_init(&house);
	house_sell();
	house_up(&house);
	ask_some(&house, house_license("big"));
	page = metrics_of_lines(&house, &answer, 6);
	check_sum(page, "chatello_up", NULL, NULL, 5 * MICRO);
	check_sum(page, "chatello_up", "process=\"analytics-0\"", NULL,
		  1 * MICRO);
	check_sum(page, "chatello_ai_requests_total", "model=\"" MODEL "\"",
		  "status=\"settled\"", 3 * MICRO);
	check_sum(page, "chatello_ai_requests_total", "provider=\"anthropic\"",
		  "status=\"failed\"", 1 * MICRO);
	check_sum(page, "chatello_ai_reservations_total", NULL, NULL,
		  6 * MICRO);
	check_against_ledger(page, "openai");
	check_against_ledger(page, "deepseek");
	check_against_ledger(page, "anthropic");
	/* One of openai's calls came twice, anthropic's failure three times. */
	check_sum(page, "chatello_upstream_calls_total", "provider=\"openai\"",
		  NULL, 4 * MICRO);
	check_sum(page, "chatello_upstream_retries_total",
		  "provider=\"openai\"", NULL, 1 * MICRO);
	check_sum(page, "chatello_upstream_retries_total",
		  "provider=\"anthropic\"", NULL, 2 * MICRO);
	check_sum(page, "chatello_upstream_errors_total", NULL, NULL,
		  1 * MICRO);
	check_sum(page, "chatello_ai_upstream_seconds_count",
		  "model=\"" MODEL "\"", NULL, 3 * MICRO);
	check_sum(page, "chatello_ai_overhead_seconds_count",
		  "process=\"edge-0\"", NULL, 5 * MICRO);
	check_sum(page, "chatello_ai_time_to_first_token_seconds_count", NULL,
		  NULL, 2 * MICRO);
	check_sum(page, "chatello_provider_key_available",
		  "key=\"environment\"", NULL, 3 * MICRO);
	check_sum(page, "chatello_ai_open_streams", NULL, NULL, 0);
	CHECK_INT(
	    exposition_count(page, "chatello_ai_open_streams", NULL, NULL), 3);
	CHECK(!memmem(answer.body.p, answer.body.n, "canary", 6));
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
}

/* Open streams while they are; a key that is refused; a worker that is gone. */
TEST_LIMITED(metrics_show_how_it_stands, 60)
{
	const struct exposition *page;
	struct client client;
	struct house house;
	struct answer answer;
	const char *key;

	house_set("CHATELLO_EDGES", "2");
	house_init(&house);
	house_sell();
	key = house_license("big");
	house_up(&house);
	CHECK(client_open(&client, house.public));
	CHECK(chat_send(&client, &(struct chat){.key = key,
						.script = "events=3 cut=mid "
							  "by=silence",
						.is_stream = true}));
	client_head(&client, &answer);
	answer_free(&answer);
	CHECK(client_event(&client, &answer));
	answer_free(&answer);
	chat(&answer, &house,
	     &(struct chat){.key = key,
			    .model = DEEPSEEK_MODEL,
			    .script = "status=401 retry-after-ms=60000"});
	CHECK_INT(answer.status, 502);
	answer_free(&answer);
	do { /* until it is left alone */
		chat(&answer, &house,
		     &(struct chat){.key = key,
				    .model = CLAUDE_MODEL,
				    .script = "status=500"});
		CHECK(answer.status == 502 || answer.status == 503);
		answer_free(&answer);
	} while (answer.status == 502);
	page = metrics(&house, &answer);
	check_sum(page, "chatello_provider_breaker_state",
		  "provider=\"openai\"", NULL, 0);
	CHECK(exposition_sum(page, "chatello_provider_breaker_state",
			     "provider=\"anthropic\"", NULL) > 0);
	check_sum(page, "chatello_up", NULL, NULL, 6 * MICRO);
	check_sum(page, "chatello_up", "process=\"edge-1\"", NULL, 1 * MICRO);
	check_sum(page, "chatello_ai_open_streams", "provider=\"openai\"", NULL,
		  1 * MICRO);
	check_sum(page, "chatello_upstream_open", NULL, NULL, 1 * MICRO);
	check_sum(page, "chatello_provider_key_available",
		  "provider=\"deepseek\"", NULL, 0);
	check_sum(page, "chatello_provider_key_available",
		  "provider=\"openai\"", NULL, 1 * MICRO);
	answer_free(&answer);
	client_close(&client);
	CHECK_INT(house_down(&house), 0);
}

/* Each model that was called has its time; the ledger's line is of the last. */
TEST_LIMITED(metrics_tell_who_answered_in_place_of_whom, 60)
{
	const struct exposition *page;
	struct house house;
	struct answer answer;
	const char *key;

	house_init(&house);
	house_sell();
	key = house_license("big");
	json_decref(tool("route", "set", DEEPSEEK_MODEL, "--fallback",
			 CLAUDE_MODEL, NULL));
	house_up(&house);
	/* Only what is asked of DeepSeek fails: its key ends so. */
	chat(&answer, &house,
	     &(struct chat){.key = key,
			    .model = DEEPSEEK_MODEL,
			    .script = "status=503 auth=55be20 in=9 out=4"});
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
	page = metrics_of_lines(&house, &answer, 1);
	check_sum(page, "chatello_ai_fallbacks_total",
		  "model=\"" DEEPSEEK_MODEL "\"", NULL, 1 * MICRO);
	check_sum(page, "chatello_ai_fallbacks_total", NULL, NULL, 1 * MICRO);
	check_sum(page, "chatello_ai_upstream_seconds_count",
		  "model=\"" DEEPSEEK_MODEL "\"", NULL, 1 * MICRO);
	check_sum(page, "chatello_ai_upstream_seconds_count",
		  "model=\"" CLAUDE_MODEL "\"", NULL, 1 * MICRO);
	check_sum(page, "chatello_upstream_retries_total",
		  "provider=\"deepseek\"", NULL, 2 * MICRO);
	check_sum(page, "chatello_ai_requests_total", "provider=\"anthropic\"",
		  "status=\"settled\"", 1 * MICRO);
	check_against_ledger(page, "anthropic");
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
}
