/*
 * damage_test: bytes of the database file are flipped one at a time; what is
 * read then is right, or an error, never wrong data.
 */
#include "lib/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"

#define MAP_BYTES (64 << 20)
#define KEYS 400
#define EVENTS 200
#define RUNS 300

static struct arena arena;

static struct store *
open_store(bool is_created)
{
	struct store_conf conf = {.engine = "lmdb",
				  .dir = "store",
				  .map_bytes = MAP_BYTES,
				  .is_created = is_created};
	struct store *store = NULL;

	return store_open(&store, &conf, NULL) == ERR_OK ? store : NULL;
}

static void
text_of(char out[256], const char *kind, int i)
{
	memset(out, 'a' + i % 26, 255);
	out[255] = '\0';
	snprintf(out, 16, "%s%05d", kind, i);
	out[strlen(out)] = '.';
}

/* Every second key begins with the one in front of it. */
static void
name_of(char out[16], int i)
{
	snprintf(out, 16, i % 2 ? "d%05ds" : "d%05d", i / 2);
}

/* Returns the bytes that are in use; behind them is written room. */
static int64_t
make_store(void)
{
	struct store_state state;
	struct store_lease lease;
	struct store *store = open_store(true);
	uint64_t head = 0;
	char name[16], text[256];

	CHECK_OK(store_lease_take(store, &lease, NULL));
	for (int i = 0; i < KEYS; i++) {
		struct store_write write;
		struct store_group group = {&write, 1, &write.value,
					    i < EVENTS};

		name_of(name, i);
		text_of(text, "v", i);
		write = (struct store_write){str_of(name), str_of(text)};
		CHECK_OK(store_commit(store, &lease, &head, &group));
	}
	CHECK_OK(store_state(store, &state));
	store_lease_release(store, &lease);
	store_close(store);
	return state.used_bytes;
}

/* Loads the i-th key with one that begins with it and may stand behind it, and
 * that one alone. 0, 1 and 2 as read_damaged. */
static int
load_two(struct store *store, int i, const char *tail)
{
	bool is_there = i % 2 == 0 && strcmp(tail, "s") == 0;
	char first[16], second[20], text[256];
	struct str keys[2], values[3];

	arena_reset(&arena);
	name_of(first, i);
	snprintf(second, sizeof(second), "%s%s", first, tail);
	keys[0] = str_of(first);
	keys[1] = str_of(second);
	if (store_load(store, keys, 2, values, &arena) != ERR_OK ||
	    store_load(store, keys + 1, 1, values + 2, &arena) != ERR_OK)
		return 1;
	text_of(text, "v", i);
	if (!str_eq(values[0], str_of(text)))
		return 2;
	text_of(text, "v", i + 1);
	for (int j = 1; j < 3; j++)
		if (is_there ? !str_eq(values[j], str_of(text))
			     : values[j].p != NULL)
			return 2;
	return 0;
}

/* Reads everything each way. 0 = all right, 1 = some of it failed and said so,
 * 2 = wrong data. */
static int
read_damaged(void)
{
	struct store *store = open_store(false);
	static struct store_row rows[KEYS + 1];
	static struct store_event events[EVENTS + 1];
	char text[256];
	int outcome = 0;
	size_t count = 0;

	if (store == NULL)
		return 1;
	for (int i = 0; i < 2 * KEYS; i++) {
		int loaded = load_two(store, i / 2, i % 2 ? "a" : "s");

		if (loaded == 2)
			return 2;
		outcome |= loaded;
	}
	if (store_scan(store, STR("d"), STR_NONE, KEYS + 1, &arena, rows,
		       &count) != ERR_OK)
		outcome = 1;
	else if (count != KEYS)
		return 3;
	for (size_t i = 0; i < count; i++) {
		text_of(text, "v", (int)i);
		if (!str_eq(rows[i].value, str_of(text)))
			return 4;
	}
	count = 0;
	if (store_tail(store, 0, EVENTS + 1, &arena, events, &count) != ERR_OK)
		outcome = 1;
	else if (count != EVENTS)
		return 5;
	for (size_t i = 0; i < count; i++) {
		text_of(text, "v", (int)i);
		if (!str_eq(events[i].bytes, str_of(text)))
			return 6;
	}
	store_close(store);
	return outcome;
}

/* What a flipped byte did, as the exit code of a child that read it all. */
static int
run_with_flip(int fd, off_t at, unsigned char bits)
{
	unsigned char byte, flipped;
	int status;
	pid_t pid;

	CHECK(pread(fd, &byte, 1, at) == 1);
	flipped = byte ^ bits;
	CHECK(pwrite(fd, &flipped, 1, at) == 1);
	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 2); /* the engine's assertion, should one fail */
		signal(SIGSEGV, SIG_DFL); /* not a sanitizer's */
		signal(SIGBUS, SIG_DFL);
		_exit(read_damaged());
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(pwrite(fd, &byte, 1, at) == 1);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

TEST_LIMITED(a_flipped_byte_is_never_wrong_data, 120)
{
	int outcomes[101] = {0};
	unsigned seed = 3;
	int64_t used_bytes;
	int fd;

	arena_init(&arena, 64u << 20);
	used_bytes = make_store();
	CHECK_INT(read_damaged(), 0);
	fd = open("store/data.mdb", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	for (int i = 0; i < RUNS; i++) {
		off_t at = rand_r(&seed) % used_bytes;
		int outcome =
		    run_with_flip(fd, at, (unsigned char)(1 << i % 8));

		outcomes[outcome]++;
		if (outcome > 1 && outcome < 100)
			test_fail(__FILE__, __LINE__, "byte %lld: kind %d",
				  (long long)at, outcome);
	}
	CHECK_INT(read_damaged(), 0);
	CHECK(outcomes[1] > 0);
	printf("flips: %d no effect, %d said, %d ended the process\n",
	       outcomes[0], outcomes[1], outcomes[100]);
	close(fd);
}
