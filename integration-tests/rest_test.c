/*
 * rest: a process that has nothing to do gives back what it holds for speed
 * only, and is then what it was.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "integration-tests/ask.h"

#define LICENSES "20000" /* some 40 MB */
#define REST_MS 10000	 /* one to two seconds, on a slow machine */

/* What /proc/PID/status says of one of the house's processes. */
static long
kib_of(const struct house *house, const char *process, const char *what)
{
	char path[64], line[256];
	size_t n = strlen(what);
	long kib = -1;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status",
		 (int)house_pid(house, process));
	status = fopen(path, "re");
	CHECK(status);
	while (kib < 0 && fgets(line, sizeof(line), status))
		if (strncmp(line, what, n) == 0)
			kib = strtol(line + n, NULL, 10);
	fclose(status);
	CHECK(kib > 0);
	return kib;
}

/* Every fortieth of them, so some from each 2 MiB of the store. Returns the
 * most that its page tables were meanwhile. */
static long
read_the_store(const struct house *house, char *keys)
{
	long kib, most = 0;
	char *rest, *key = strtok_r(keys, "\n", &rest);

	for (int i = 0; key; i++, key = strtok_r(NULL, "\n", &rest)) {
		if (i % 40 != 0)
			continue;
		CHECK_INT(validate(house, key), 200);
		kib = kib_of(house, "validate-0", "VmPTE:");
		most = kib > most ? kib : most;
	}
	return most;
}

TEST_LIMITED(rest_gives_page_tables_back_and_answers_stay_right, 120)
{
	struct house house;
	struct output filled;
	long most, fresh;
	const char *key;
	long long began;

	house_init(&house);
	house_sell();
	filled = run("fill", LICENSES, "big", NULL);
	CHECK_INT(filled.code, 0);
	key = house_license("big");
	house_up(&house);
	fresh = kib_of(&house, "validate-0", "VmPTE:");
	most = read_the_store(&house, filled.out);
	output_free(&filled);
	CHECK(most >= fresh + 40);
	began = now_ms();
	while (kib_of(&house, "validate-0", "VmPTE:") > most - 40) {
		CHECK(now_ms() - began < REST_MS);
		sched_yield();
	}
	CHECK_INT(validate(&house, key), 200);
	CHECK_INT(validate(&house, "CHA-BADC-ANAR-Y7Q2-6MZT"), 401);
	/* The ledger rests, too; it takes up where it was. */
	for (int i = 0; i < 3; i++) {
		struct answer answer;

		chat(&answer, &house, &(struct chat){.key = key});
		CHECK_INT(answer.status, 200);
		answer_free(&answer);
	}
	CHECK_INT(house_down(&house), 0);
}
