/*
 * limits: exact under any concurrency.
 */
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
