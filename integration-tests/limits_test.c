/*
 * limits: exact under any concurrency.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "integration-tests/ask.h"

#define AT_ONCE 1000

static void
raise_descriptors(void)
{
	struct rlimit limit;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_cur < 4 * AT_ONCE)
		test_skip("not enough descriptors");
}

static void
check_budget(int budget)
{
	static struct client clients[AT_ONCE];
	struct house house;
	struct answer answer;
	int passed = 0, refused = 0;
	json_t *counts, *ledger, *shown;
	char limit[16];

	raise_descriptors();
	house_init(&house);
	house_sell();
	snprintf(limit, sizeof(limit), "%d", budget);
	house_plan("tight", limit, "1000000");
	const char *key = house_license("tight");

	house_up(&house);
	for (int i = 0; i < AT_ONCE; i++)
		CHECK(client_open(&clients[i], house.public));
	for (int i = 0; i < AT_ONCE; i++)
		CHECK(chat_send(&clients[i], &(struct chat){.key = key}));
	for (int i = 0; i < AT_ONCE; i++) {
		client_answer(&clients[i], &answer);
		passed += answer.status == 200;
		if (answer.status == 429) {
			refused++;
			CHECK_STR(str_of(answer_code(&answer)),
				  STR("LIMIT_REACHED"));
			CHECK(answer_header(&answer, "Retry-After").n > 0);
		}
		answer_free(&answer);
		client_close(&clients[i]);
	}
	CHECK_INT(passed, budget);
	CHECK_INT(refused, AT_ONCE - budget);
	counts = upstream_counts(&house);
	CHECK_JSON_INT(counts, "requests", budget);
	json_decref(counts);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(json_array_size(ledger), budget);
	CHECK_INT(ledger_count(ledger, "settled"), budget);
	json_decref(ledger);
	shown = tool("usage", "show", key, NULL);
	CHECK_JSON_INT(shown, "limits.requests_month.used", budget);
	CHECK_JSON_INT(shown, "limits.requests_month.remaining", 0);
	json_decref(shown);
}

TEST_LIMITED(limits_five_left_and_a_thousand_at_once, 90)
{
	check_budget(5);
}

TEST_LIMITED(limits_one_left_and_a_thousand_at_once, 90)
{
	check_budget(1);
}

TEST_LIMITED(limits_failures_give_the_request_back, 60)
{
	struct house house;
	struct answer answer;

	house_init(&house);
	house_sell();
	house_plan("tight", "1", "1000000");
	const char *key = house_license("tight");

	house_up(&house);
	for (int i = 0; i < 5; i++) {
		chat(&answer, &house,
		     &(struct chat){.key = key, .script = "status=400"});
		CHECK_INT(answer.status, 400);
		answer_free(&answer);
	}
	chat(&answer, &house, &(struct chat){.key = key});
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
	chat(&answer, &house, &(struct chat){.key = key});
	CHECK_INT(answer.status, 429);
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
}

TEST_LIMITED(limits_of_an_hour_say_when_to_come_back, 60)
{
	struct house house;
	struct answer answer;
	struct chat ask = {.script = NULL};

	house_init(&house);
	house_sell();
	house_plan("slow", "none", "3");
	ask.key = house_license("slow");
	house_up(&house);
	for (int i = 0; i < 3; i++) {
		chat(&answer, &house, &ask);
		CHECK_INT(answer.status, 200);
		CHECK_STR(answer_header(&answer, "RateLimit-Limit"), STR("3"));
		CHECK_INT(atoi(answer_header(&answer, "RateLimit-Remaining").p),
			  2 - i);
		answer_free(&answer);
	}
	chat(&answer, &house, &ask);
	CHECK_INT(answer.status, 429);
	CHECK_STR(str_of(answer_code(&answer)), STR("RATE_LIMITED"));
	CHECK(atoi(answer_header(&answer, "Retry-After").p) > 1000);
	CHECK(atoi(answer_header(&answer, "Retry-After").p) <= 1200);
	CHECK(answer_header(&answer, "RateLimit-Reset").n > 0);
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
}

/* --- tokens, money, requests at a time, workspaces ---------------------------
 */

static void
plan_limit(const char *code, const char *limit)
{
	json_decref(tool("plan", "set", code, "--limit", limit, NULL));
}

static long long
told(const struct answer *answer, const char *name)
{
	struct str value = answer_header(answer, name);

	return value.n ? strtoll(value.p, NULL, 10) : -1;
}

/* Before the body, be it JSON or a stream. */
TEST_LIMITED(limits_tell_what_remains, 60)
{
	struct chat ask = {.script = NULL};
	struct house house;
	struct answer answer;

	house_init(&house);
	house_sell();
	house_plan("tight", "9", "none");
	plan_limit("tight", "spend_month=40000"); /* 5000 a request */
	ask.key = house_license("tight");
	house_up(&house);
	for (int i = 1; i <= 3; i++) {
		ask.is_stream = i == 2;
		chat(&answer, &house, &ask);
		CHECK_INT(answer.status, 200);
		CHECK_INT(told(&answer, "x-ratelimit-limit-requests-month"), 9);
		CHECK_INT(told(&answer, "x-ratelimit-remaining-requests-month"),
			  9 - i);
		CHECK_INT(told(&answer, "x-ratelimit-limit-spend-month"),
			  40000);
		CHECK_INT(told(&answer, "x-ratelimit-remaining-spend-month"),
			  40000 - 5000 * i);
		CHECK_INT(told(&answer, "x-ratelimit-limit-concurrent"), -1);
		answer_free(&answer);
	}
	json_decref(tool("workspace", "set", "--limit", "concurrent=4", NULL));
	chat(&answer, &house, &ask);
	CHECK_INT(told(&answer, "x-ratelimit-limit-concurrent"), 4);
	CHECK_INT(told(&answer, "x-ratelimit-remaining-concurrent"), 3);
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
}

/* Sends all, then reads all: how many were answered, and how the others were
 * refused. */
static int
send_at_once(const struct house *house, const struct chat *asks, int ask_count,
	     int count, const char *code)
{
	static struct client clients[AT_ONCE];
	struct answer answer;
	int passed = 0;

	for (int i = 0; i < count; i++)
		CHECK(client_open(&clients[i], house->public));
	for (int i = 0; i < count; i++)
		CHECK(chat_send(&clients[i], &asks[i % ask_count]));
	for (int i = 0; i < count; i++) {
		client_answer(&clients[i], &answer);
		passed += answer.status == 200;
		if (answer.status != 200) {
			CHECK_INT(answer.status, 429);
			CHECK_STR(str_of(answer_code(&answer)), str_of(code));
			CHECK(answer_header(&answer, "Retry-After").n > 0);
		}
		answer_free(&answer);
		client_close(&clients[i]);
	}
	return passed;
}

static long long
sum_of(const json_t *ledger, const char *name)
{
	long long sum = 0;
	json_t *line;
	size_t i;

	json_array_foreach(ledger, i, line) sum += json_int_at(line, name);
	return sum;
}

TEST_LIMITED(limits_money_is_exact_at_once, 90)
{
	struct house house;
	struct chat ask = {.script = NULL};
	json_t *ledger, *shown;

	raise_descriptors();
	house_init(&house);
	house_sell();
	house_plan("tight", "none", "1000000");
	plan_limit("tight", "spend_month=35000"); /* 5000 a request */
	ask.key = house_license("tight");
	house_up(&house);
	CHECK_INT(send_at_once(&house, &ask, 1, 300, "LIMIT_REACHED"), 7);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(sum_of(ledger, "price"), 35000);
	json_decref(ledger);
	shown = tool("usage", "show", ask.key, NULL);
	CHECK_JSON_INT(shown, "limits.spend_month.used", 35000);
	CHECK_JSON_INT(shown, "limits.spend_month.remaining", 0);
	CHECK_JSON_INT(shown, "month.price", 35000);
	json_decref(shown);
}

TEST_LIMITED(limits_of_a_workspace_are_exact_at_once, 90)
{
	struct house house;
	struct chat asks[2] = {{.script = NULL}, {.script = NULL}};
	json_t *ledger;

	raise_descriptors();
	house_init(&house);
	house_sell();
	asks[0].key = house_license("big");
	asks[1].key = house_license("big");
	house_up(&house);
	/* While it runs: it counts from now on. */
	json_decref(
	    tool("workspace", "set", "--limit", "requests_month=5", NULL));
	CHECK_INT(send_at_once(&house, asks, 2, 200, "LIMIT_REACHED"), 5);
	json_decref(
	    tool("workspace", "set", "--limit", "requests_month=8", NULL));
	CHECK_INT(send_at_once(&house, asks, 2, 20, "LIMIT_REACHED"), 3);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(ledger_count(ledger, "settled"), 8);
	json_decref(ledger);
}

/* The number that the provider was asked for. */
static long long
asked_output(const struct house *house)
{
	json_t *counts = upstream_counts(house), *body;
	long long n;

	body = json_loads(json_str_at(counts, "last_body").p, 0, NULL);
	CHECK(body);
	n = json_int_at(body, "max_completion_tokens");
	json_decref(body);
	json_decref(counts);
	return n;
}

TEST_LIMITED(limits_clamp_the_output_and_end_the_stream, 60)
{
	struct chat ask = {.script = "events=3000 nousage", .is_stream = true};
	bool is_done = false, is_length = false;
	struct house house;
	struct client client;
	struct answer answer;
	long long granted;
	json_t *ledger;
	int events = 0;

	house_init(&house);
	house_sell();
	json_decref(tool("price", "set", "openai", MODEL, "--per-request", "0",
			 "--charge-bp", "10000", NULL));
	house_plan("tight", "none", "1000000");
	plan_limit("tight", "spend_month=1000"); /* a token out costs 2 */
	plan_limit("tight", "tokens_minute=100000");
	ask.key = house_license("tight");
	house_up(&house);
	CHECK(client_open(&client, house.public));
	CHECK(chat_send(&client, &ask));
	client_head(&client, &answer);
	CHECK_INT(answer.status, 200);
	CHECK_STR(answer_header(&answer, "x-ratelimit-limit-tokens"),
		  STR("100000"));
	CHECK(answer_header(&answer, "x-ratelimit-remaining-tokens").n > 0);
	CHECK(answer_header(&answer, "x-ratelimit-reset-requests").n > 0);
	while (client_event(&client, &answer)) {
		events++;
		is_done |= str_eq(answer.body, STR("data: [DONE]"));
		is_length |= memmem(answer.body.p, answer.body.n,
				    "\"finish_reason\":\"length\"", 24) != NULL;
	}
	CHECK(is_done && is_length);
	granted = asked_output(&house);
	CHECK(granted > 400 && granted < 500);
	CHECK(events > granted / 4 && events < granted + 5);
	answer_free(&answer);
	client_close(&client);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(json_array_size(ledger), 1);
	CHECK_JSON_STR(json_array_get(ledger, 0), "status", "settled");
	CHECK_JSON_STR(json_array_get(ledger, 0), "source", "partial");
	CHECK(sum_of(ledger, "price") <= 1000);
	CHECK(sum_of(ledger, "price") > 900);
	json_decref(ledger);
}

/* The ledger dies while a request is in flight: its place stays taken. */
TEST_LIMITED(limits_concurrent_hold_behind_a_kill, 60)
{
	struct chat slow = {.script = "delay=4000"}, quick = {.script = NULL};
	struct house house;
	struct client client;
	struct answer answer;
	int status = 503;

	house_init(&house);
	house_sell();
	house_plan("tight", "none", "1000000");
	plan_limit("tight", "concurrent=1");
	slow.key = quick.key = house_license("tight");
	house_up(&house);
	CHECK(client_open(&client, house.public));
	CHECK(chat_send(&client, &slow));
	json_decref(upstream_wait(&house, "requests", 1));
	chat(&answer, &house, &quick);
	CHECK_INT(answer.status, 429);
	CHECK_STR(str_of(answer_code(&answer)), STR("RATE_LIMITED"));
	CHECK_STR(answer_header(&answer, "Retry-After"), STR("1"));
	answer_free(&answer);
	CHECK(house_kill(&house, "usage-0", SIGKILL));
	while (status == 503) {
		chat(&answer, &house, &quick);
		status = answer.status;
		answer_free(&answer);
	}
	CHECK_INT(status, 429);
	client_answer(&client, &answer);
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
	client_close(&client);
	chat(&answer, &house, &quick);
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
}
