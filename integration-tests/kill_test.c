/*
 * kill: kill -9 of random processes under load, then the audit: every answer
 * of 200 is in the ledger once, nothing is left open, events have no gap, and
 * it serves again within a second. KILLS=n in the environment (default 20);
 * KILL_SEED picks the order.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

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

/* Every answer of 200 is in the ledger, once; may_be_open: its settlement may
 * have died with the proxy, and nobody has closed it yet. */
static void
check_ledger(const struct loader *loaders, bool may_be_open)
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
			snprintf(id, sizeof(id), "load-%d-%d",
				 loaders[l].number, n);
			status =
			    json_str_at(json_object_get(by_id, id), "status");
			/* interrupted: its answer left, its settlement died
			 * with the proxy; it counts as used */
			if (!str_eq(status, STR("settled")) &&
			    !str_eq(status, STR("interrupted")) &&
			    !(may_be_open && str_eq(status, STR("reserved")))) {
				fprintf(stderr, "%s is %.*s\n", id,
					STR_ARG(status));
				lost++;
			}
		}
	CHECK_INT(lost, 0);
	if (!may_be_open)
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

/* first: the number of the first one, for ids of their own. */
static void
loaders_start(struct loader *loaders, int first, const struct house *house,
	      const char *key)
{
	atomic_store(&is_over, false);
	for (int i = 0; i < LOADERS; i++) {
		loaders[i] = (struct loader){
		    .house = house,
		    .key = key,
		    .number = first + i,
		    .is_answered = calloc(ANSWERS_MAX, sizeof(bool))};
		CHECK(pthread_create(&loaders[i].thread, NULL, load,
				     &loaders[i]) == 0);
	}
}

static long long
loaders_join(struct loader *loaders)
{
	long long answered = 0;

	atomic_store(&is_over, true);
	for (int i = 0; i < LOADERS; i++) {
		pthread_join(loaders[i].thread, NULL);
		answered += loaders[i].answered;
	}
	return answered;
}

static void
loaders_free(struct loader *loaders)
{
	for (int i = 0; i < LOADERS; i++)
		free(loaders[i].is_answered);
}

/* Until the ledger is gone, too: it dies by the launcher's death. */
static void
wait_for_ledger(void)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/store/writer.lock",
		 getenv("CHATELLO_DATA"));
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_INT(flock(fd, LOCK_EX), 0);
	close(fd);
}

/* All processes at once. What the ledger had only journalled is there for the
 * tools, and for the next ledger. */
TEST_LIMITED(kill_of_the_whole_house_loses_no_answer, 120)
{
	static struct loader loaders[LOADERS];
	struct house house;
	const char *key;

	house_init(&house);
	house_sell();
	key = house_license("big");
	for (int round = 0; round < 3; round++) {
		house_up(&house);
		loaders_start(loaders, round * LOADERS, &house, key);
		poll(NULL, 0, 2 * BETWEEN_KILLS_MS);
		CHECK(kill(house.up, SIGKILL) == 0);
		CHECK_INT(wait_for(house.up), 128 + SIGKILL);
		close(house.up_out);
		house.up = 0;
		CHECK(loaders_join(loaders) > 0);
		wait_for_ledger();
		check_ledger(loaders, true);
		check_log();
		house_up(&house);
		CHECK(recovery_ms(&house, key) < RECOVERY_MS);
		CHECK_INT(house_down(&house), 0);
		check_ledger(loaders, false);
		check_counts(key);
		loaders_free(loaders);
	}
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
	loaders_start(loaders, 0, &house, key);
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
	answered = loaders_join(loaders);
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
	check_ledger(loaders, false);
	check_log();
	check_counts(key);
	CHECK(answered > kills);
	CHECK(worst <= RECOVERY_MS);
	loaders_free(loaders);
}
