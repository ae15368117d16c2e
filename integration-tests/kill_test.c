/*
 * kill: kill -9 of random processes under load, then the audit: every answer
 * of 200 is in the ledger once, nothing is left open, events have no gap, and
 * it serves again within a second. KILLS=n in the environment (default 20);
 * KILL_SEED picks the order.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "integration-tests/ask.h"

#define LOADERS 4
#define ANSWERS_MAX 200000
#define RECOVERY_MS 1000
#define BETWEEN_KILLS_MS 150 /* of load */

struct loader {
	pthread_t thread;
	const struct house *house;
	const char *key;
	int number;
	int asked;
	int answered; /* with 200 */
	bool *is_answered;
};

static atomic_bool is_over;

/* Asks with ids L-N until it is over; remembers which got a 200. */
static void *
load(void *context)
{
	struct loader *loader = context;
	char headers[64];

	while (!atomic_load(&is_over) && loader->asked < ANSWERS_MAX) {
		struct answer answer;
		int n = loader->asked++;

		snprintf(headers, sizeof(headers),
			 "Idempotency-Key: load-%d-%d\r\n", loader->number, n);
		chat(&answer, loader->house,
		     &(struct chat){.key = loader->key,
				    .headers = headers,
				    .is_stream = n % 4 == 0});
		/* A stream counts when its end came. */
		loader->is_answered[n] = answer.status == 200;
		loader->answered += answer.status == 200;
		if (answer.status == 0) /* refused: not as fast as it can */
			poll(NULL, 0, 1);
		answer_free(&answer);
	}
	return NULL;
}

static const char *const names[] = {"edge-0", "validate-0", "proxy-0",
				    "usage-0", "analytics-0"};

/* Until a validation and an AI request are answered: milliseconds. */
static long long
recovery_ms(const struct house *house, const char *key)
{
	long long began = now_ms();
	struct answer answer;
	bool is_up = false;

	while (!is_up && now_ms() - began < 20 * RECOVERY_MS) {
		chat(&answer, house, &(struct chat){.key = key});
		is_up = answer.status == 200 && validate(house, key) == 200;
		answer_free(&answer);
		if (!is_up)
			poll(NULL, 0, 2);
	}
	return now_ms() - began;
}

static void
check_ledger(const struct loader *loaders)
{
	json_t *ledger = house_ledger(), *line;
	json_t *by_id = json_object();
	int lost = 0, left = 0;
	size_t i;

	json_array_foreach(ledger, i, line)
	{
		const char *id = json_str_at(line, "request_id").p;

		CHECK(json_object_get(by_id, id) == NULL);
		json_object_set(by_id, id, line);
		left += str_eq(json_str_at(line, "status"), STR("reserved"));
	}
	for (int l = 0; l < LOADERS; l++)
		for (int n = 0; n < loaders[l].asked; n++) {
			char id[64];
			struct str status;

			if (!loaders[l].is_answered[n])
				continue;
			snprintf(id, sizeof(id), "load-%d-%d", l, n);
			status =
			    json_str_at(json_object_get(by_id, id), "status");
			/* interrupted: its answer left, its settlement died
			 * with the proxy; it counts as used */
			if (!str_eq(status, STR("settled")) &&
			    !str_eq(status, STR("interrupted"))) {
				fprintf(stderr, "%s is %.*s\n", id,
					STR_ARG(status));
				lost++;
			}
		}
	CHECK_INT(lost, 0);
	CHECK_INT(left, 0);
	json_decref(by_id);
	json_decref(ledger);
}

static void
check_log(void)
{
	struct output output = run("chatello", "event", "list", "--json", NULL);
	long long seq = 0;

	CHECK_INT(output.code, 0);
	for (char *at = output.out; *at; at++) {
		const char *number = strstr(at, "\"seq\":");

		CHECK(number);
		CHECK_INT(strtoll(number + 6, NULL, 10), ++seq);
		at = strchr(at, '\n');
		if (at == NULL)
			break;
	}
	CHECK(seq > 0);
	output_free(&output);
	output = run("chatello", "event", "verify", NULL);
	CHECK_INT(output.code, 0);
	output_free(&output);
}

static void
check_counts(const char *key)
{
	json_t *shown = tool("usage", "show", key, NULL);
	json_t *ledger = house_ledger(), *line;
	long long used = 0;
	size_t i;

	json_array_foreach(ledger, i, line)
	{
		struct str status = json_str_at(line, "status");

		used += str_eq(status, STR("settled")) ||
			str_eq(status, STR("interrupted"));
	}
	CHECK_JSON_INT(shown, "month.requests", used);
	CHECK_JSON_INT(shown, "reserved", 0);
	json_decref(shown);
	json_decref(ledger);
}

TEST_LIMITED(kill_random_processes_under_load, 1200)
{
	static struct loader loaders[LOADERS];
	const char *kills_text = getenv("KILLS");
	const char *seed_text = getenv("KILL_SEED");
	unsigned seed = seed_text ? (unsigned)atoi(seed_text) : 1;
	int kills = kills_text ? atoi(kills_text) : 20;
	long long worst = 0, answered = 0;
	struct house house;
	json_t *replayed;

	house_init(&house);
	house_sell();
	json_decref(tool("plan", "set", "big", "--limit",
			 "validations_hour=1000000", NULL));
	const char *key = house_license("big");

	house_up(&house);
	for (int i = 0; i < LOADERS; i++) {
		loaders[i] = (struct loader){
		    .house = &house,
		    .key = key,
		    .number = i,
		    .is_answered = calloc(ANSWERS_MAX, sizeof(bool))};
		CHECK(pthread_create(&loaders[i].thread, NULL, load,
				     &loaders[i]) == 0);
	}
	for (int i = 0; i < kills; i++) {
		const char *name;
		long long ms;

		poll(NULL, 0, BETWEEN_KILLS_MS);
		do /* analytics may still be on its way back */
			name = names[(unsigned)rand_r(&seed) % 5];
		while (!house_kill(&house, name, SIGKILL));
		ms = recovery_ms(&house, key);
		fprintf(stderr, "kill %d %s: serving again in %lld ms\n", i,
			name, ms);
		worst = ms > worst ? ms : worst;
	}
	atomic_store(&is_over, true);
	for (int i = 0; i < LOADERS; i++) {
		pthread_join(loaders[i].thread, NULL);
		answered += loaders[i].answered;
	}
	printf("%d kills, %lld answers of 200, serving again in at most "
	       "%lld ms\n",
	       kills, answered, worst);
	fflush(stdout);
	/* Nothing may be open behind a restart: owners are new. */
	CHECK_INT(house_down(&house), 0);
	house_up(&house);
	CHECK(recovery_ms(&house, key) < RECOVERY_MS);
	replayed = tool("analytics", "replay", NULL);
	CHECK(json_is_true(json_at(replayed, "identical")));
	json_decref(replayed);
	CHECK_INT(house_down(&house), 0);
	check_ledger(loaders);
	check_log();
	check_counts(key);
	CHECK(answered > kills);
	CHECK(worst <= RECOVERY_MS);
	for (int i = 0; i < LOADERS; i++)
		free(loaders[i].is_answered);
}
