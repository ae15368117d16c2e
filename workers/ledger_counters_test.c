/*
 * ledger_counters_test: what is found, changed, taken back, written; when that
 * is due; and that what is kept has a bound. What a ledger makes of it, and
 * what it recovers: ledger_test, ledger_property_test.
 */
#include "workers/ledger_counters.h"

#include "lib/test.h"

#include <stdio.h>

struct house {
	struct store *store;
	struct store_lease lease;
	struct group *group;
	struct counters *counters;
	struct arena arena;
};

static void
house_open(struct house *h)
{
	struct store_conf conf = {.engine = "memory"};

	arena_init(&h->arena, 16u << 20);
	CHECK_OK(store_open(&h->store, &conf, NULL));
	CHECK_OK(store_lease_take(h->store, &h->lease, NULL));
	CHECK_OK(group_open(&h->group, h->store, &h->lease));
	CHECK_OK(counters_open(&h->counters, h->store));
}

static void
house_close(struct house *h)
{
	counters_close(h->counters);
	group_close(h->group);
	store_lease_release(h->store, &h->lease);
	store_close(h->store);
	arena_fini(&h->arena);
}

static struct key
key_at(uint32_t n)
{
	char id[16];
	struct key key;
	int length = snprintf(id, sizeof(id), "lic_%u", n);

	key_meter(&key, str_bytes(id, (size_t)length));
	return key;
}

static struct counter *
find(struct house *h, uint32_t n)
{
	struct counter *counter;
	struct key key = key_at(n);

	CHECK_OK(counters_find(h->counters, &key, &meter_schema, &counter));
	return counter;
}

static void
use(struct house *h, uint32_t n, int64_t used)
{
	struct counter *counter = find(h, n);
	union counter_record record = counter->record;

	record.meter.month_used = used;
	CHECK_OK(counters_change(h->counters, counter, &record));
}

static int64_t
used(struct house *h, uint32_t n)
{
	return find(h, n)->record.meter.month_used;
}

static void
say(struct house *h)
{
	struct event event;

	schema_clear(&event_schema, &event);
	event.id = STR("evt_1");
	event.type = STR("note");
	CHECK_OK(group_event(h->group, &event));
}

static void
write_all(struct house *h)
{
	CHECK_OK(counters_put(h->counters, h->group, group_seq(h->group)));
	CHECK_OK(group_commit(h->group));
	counters_committed(h->counters, true);
}

/* What the store has; ERR_NO_SUCH: nothing. */
static enum err
stored(struct house *h, uint32_t n, struct meter *out)
{
	struct key key = key_at(n);

	return group_load(h->group, &key, &meter_schema, out, &h->arena);
}

TEST(counters_are_taken_back_to_a_mark)
{
	struct house h;
	size_t mark;

	house_open(&h);
	CHECK_INT(used(&h, 1), SCHEMA_INT_NONE);
	use(&h, 1, 5);
	mark = counters_mark(h.counters);
	use(&h, 1, 5); /* is so already */
	CHECK_INT(counters_mark(h.counters), mark);
	use(&h, 1, 6);
	use(&h, 2, 7);
	use(&h, 2, 8);
	counters_undo(h.counters, mark);
	CHECK_INT(used(&h, 1), 5);
	CHECK_INT(used(&h, 2), SCHEMA_INT_NONE);
	CHECK(counters_wait(h.counters));
	counters_undo(h.counters, 0);
	CHECK_INT(used(&h, 1), SCHEMA_INT_NONE);
	CHECK(!counters_wait(h.counters));
	/* A commit is not taken back, also one that did not write them. */
	use(&h, 1, 9);
	counters_committed(h.counters, false);
	counters_undo(h.counters, 0);
	CHECK_INT(used(&h, 1), 9);
	CHECK(counters_wait(h.counters));
	house_close(&h);
}

TEST(counters_are_due_when_few_many_or_hastened)
{
	struct house h;

	house_open(&h);
	CHECK(!counters_are_due(h.counters, h.group));
	say(&h);
	CHECK(!counters_are_due(h.counters, h.group)); /* nothing changed */
	CHECK_OK(group_commit(h.group));
	use(&h, 0, 1);
	CHECK(!counters_are_due(h.counters, h.group)); /* nothing settled */
	say(&h);
	CHECK(counters_are_due(h.counters, h.group));
	for (uint32_t i = 1; i < COUNTERS_FEW; i++)
		use(&h, i, 1);
	CHECK(counters_are_due(h.counters, h.group));
	use(&h, COUNTERS_FEW, 1);
	CHECK(!counters_are_due(h.counters, h.group));
	counters_hasten(h.counters);
	CHECK(counters_are_due(h.counters, h.group));
	write_all(&h);
	CHECK(!counters_wait(h.counters));
	CHECK(!counters_are_due(h.counters, h.group));
	for (uint32_t i = 0; i <= COUNTERS_CHANGED_MAX; i++) {
		CHECK(!counters_are_due(h.counters, h.group));
		use(&h, i, 2);
	}
	CHECK(counters_are_due(h.counters, h.group));
	house_close(&h);
}

TEST(counters_are_due_when_the_log_is_far_ahead)
{
	struct house h;

	house_open(&h);
	for (uint32_t i = 0; i < COUNTERS_EVENTS_MAX; i++) {
		say(&h);
		if (i % 4096 == 0)
			CHECK_OK(group_commit(h.group));
	}
	CHECK(!counters_are_due(h.counters, h.group));
	say(&h);
	CHECK(counters_are_due(h.counters, h.group));
	write_all(&h);
	CHECK(!counters_are_due(h.counters, h.group));
	house_close(&h);
}

TEST(counters_are_written_with_the_event_they_have)
{
	struct counted counted;
	struct meter meter;
	struct house h;
	struct key key;

	house_open(&h);
	use(&h, 1, 4);
	say(&h);
	say(&h);
	CHECK_ERR(stored(&h, 1, &meter), ERR_NO_SUCH);
	write_all(&h);
	CHECK_OK(stored(&h, 1, &meter));
	CHECK_INT(meter.month_used, 4);
	key_counted(&key);
	CHECK_OK(
	    group_load(h.group, &key, &counted_schema, &counted, &h.arena));
	CHECK_INT(counted.seq, 2);
	house_close(&h);
}

TEST(counters_have_a_bound_and_are_found_again)
{
	struct counter *counter;
	struct house h;
	struct key key;

	house_open(&h);
	use(&h, 0, 77);
	for (uint32_t i = 1; i < COUNTERS_MAX; i++)
		find(&h, i);
	key = key_at(COUNTERS_MAX);
	CHECK_ERR(counters_find(h.counters, &key, &meter_schema, &counter),
		  ERR_OVERLOADED);
	CHECK_INT(used(&h, 0), 77);
	CHECK(counters_are_due(h.counters, h.group));
	write_all(&h);
	CHECK_OK(counters_find(h.counters, &key, &meter_schema, &counter));
	CHECK_INT(used(&h, 0), 77); /* from the store */
	house_close(&h);
}

TEST(counters_that_rest_are_read_again_when_all_are_written)
{
	struct house h;

	house_open(&h);
	for (uint32_t i = 0; i < 100; i++)
		use(&h, i, 40 + i);
	counters_rest(h.counters);
	CHECK(counters_wait(h.counters));
	CHECK_INT(used(&h, 7), 47);
	write_all(&h);
	use(&h, 7, 50);
	counters_rest(h.counters);
	counters_undo(h.counters, 0);
	CHECK_INT(used(&h, 7), 47);
	counters_rest(h.counters);
	for (uint32_t i = 0; i < 100; i++)
		CHECK_INT(used(&h, i), 40 + i);
	use(&h, 7, 60);
	write_all(&h);
	counters_rest(h.counters);
	CHECK_INT(used(&h, 7), 60);
	house_close(&h);
}
