/*
 * analytics: the daily rows follow the log, and a replay gives the same bytes.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "integration-tests/ask.h"

static char *
rows(void)
{
	struct output output =
	    run("chatello", "analytics", "show", "--json", NULL);

	CHECK_INT(output.code, 0);
	free(output.err);
	return output.out;
}

TEST_LIMITED(analytics_replay_gives_the_same_bytes, 90)
{
	struct house house;
	struct answer answer;
	char *live, *again;
	json_t *replayed;

	house_init(&house);
	house_sell();
	house_up(&house);
	const char *key = house_license("big");

	json_decref(tool("license", "suspend", house_license("pro"), NULL));
	json_decref(tool("license", "cancel", house_license("agency"), NULL));
	for (int i = 0; i < 10; i++) {
		chat(&answer, &house, &(struct chat){.key = key});
		CHECK_INT(answer.status, 200);
		answer_free(&answer);
	}
	/* It is killed and follows on from where it was. */
	CHECK(house_kill(&house, "analytics-0", SIGKILL));
	chat(&answer, &house, &(struct chat){.key = key});
	CHECK_INT(answer.status, 200);
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
	house_up(&house); /* catches up at its start */
	replayed = tool("analytics", "replay", NULL);
	CHECK(json_is_true(json_at(replayed, "identical")));
	CHECK_INT(json_str_at(replayed, "digest").n, 64);
	live = rows();
	json_decref(replayed);
	replayed = tool("analytics", "replay", NULL);
	again = rows();
	CHECK_STR(str_of(again), str_of(live));
	CHECK(strstr(live, "\"ai_requests\""));
	json_decref(replayed);
	CHECK_INT(house_down(&house), 0);
	free(live);
	free(again);
}
