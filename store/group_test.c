/*
 * group_test: what a group sees of itself and of the store, what it takes back,
 * what a commit leaves behind.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/fault.h"
#include "store/group.h"

static struct store *store;
static struct store_lease lease;
static struct group *group;
static struct arena arena;

static void
set_up(void)
{
	struct store_conf conf = {.engine = "memory"};

	arena_init(&arena, 16u << 20);
	CHECK_OK(store_open(&store, &conf, NULL));
	CHECK_OK(store_lease_take(store, &lease, NULL));
	CHECK_OK(group_open(&group, store, &lease));
}

static void
tear_down(void)
{
	group_close(group);
	store_lease_release(store, &lease);
	store_close(store);
	arena_fini(&arena);
}

static struct key
named(const char *id)
{
	struct key key;

	key_customer(&key, str_of(id));
	return key;
}

static void
put(const char *id, const char *text)
{
	struct key key = named(id);

	CHECK_OK(group_put_bytes(group, &key, str_of(text)));
}

static void
put_new(const char *id, const char *text)
{
	struct key key = named(id);

	CHECK_OK(group_put_new(group, &key, str_of(text)));
}

static void
drop(const char *id)
{
	struct key key = named(id);

	CHECK_OK(group_delete(group, &key));
}

static struct str
seen(const char *id)
{
	struct key key = named(id);
	struct str out = STR("unset");

	CHECK_OK(group_load_bytes(group, &key, &out, &arena));
	return out;
}

static bool
is_new(const char *id)
{
	struct key key = named(id);
	bool out = false;

	CHECK_OK(group_is_new(group, &key, &arena, &out));
	return out;
}

static struct str
stored(const char *id)
{
	struct key key = named(id);
	struct str name = key_str(&key), value;

	CHECK_OK(store_load(store, &name, 1, &value, &arena));
	return value;
}

static struct event
event_of(const char *type)
{
	struct event event;

	schema_clear(&event_schema, &event);
	event.id = STR("evt_1");
	event.type = str_of(type);
	return event;
}

TEST(a_group_sees_what_it_put_before_the_store_does)
{
	set_up();
	put("a", "1");
	CHECK_STR(seen("a"), STR("1"));
	CHECK(stored("a").p == NULL);
	put("a", "2");
	CHECK_STR(seen("a"), STR("2"));
	CHECK_OK(group_commit(group));
	CHECK_STR(stored("a"), STR("2"));
	CHECK_STR(seen("a"), STR("2"));
	drop("a");
	CHECK(seen("a").p == NULL);
	CHECK_STR(stored("a"), STR("2"));
	CHECK_OK(group_commit(group));
	CHECK(stored("a").p == NULL);
	tear_down();
}

/* The ids (of the customers that the tests use) with blanks between. */
static void
check_scan(const char *ids, size_t limit)
{
	struct store_row rows[128];
	struct key prefix = named("");
	char found[512] = "";
	size_t count = 0, at = 0;

	CHECK_OK(group_scan(group, &prefix, limit, &arena, rows, &count));
	for (size_t i = 0; i < count; i++)
		at += (size_t)snprintf(found + at, sizeof(found) - at, " %.*s",
				       STR_ARG(rows[i].value));
	CHECK_STR(str_of(found), str_of(ids));
}

TEST(a_scan_sees_what_the_group_put_and_deleted)
{
	struct group_mark mark;

	set_up();
	put("b", "b");
	put("d", "d");
	check_scan(" b d", 10);
	CHECK_OK(group_commit(group));
	mark = group_mark(group);
	put("c", "c");
	put("d", "changed");
	drop("b");
	check_scan(" c changed", 10);
	check_scan(" c changed", 2);
	group_undo(group, mark);
	check_scan(" b d", 10);
	put("a", "a");
	drop("d");
	CHECK_OK(group_journal(group));
	check_scan(" a b", 10);
	drop("a");
	check_scan(" b", 10);
	CHECK_OK(group_commit(group));
	check_scan(" b", 10);
	tear_down();
}

/* Also where the group remembers nothing of what the store has. */
TEST(a_scan_reads_all_pages_of_the_store)
{
	struct store_row rows[128];
	struct key prefix = named("");
	size_t count = 0;
	char id[16];

	set_up();
	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "%03d", i);
		put(id, id);
	}
	CHECK_OK(group_commit(group));
	group_close(group);
	CHECK_OK(group_open(&group, store, &lease));
	drop("050");
	put("0505", "0505");
	CHECK_OK(group_scan(group, &prefix, 128, &arena, rows, &count));
	CHECK_INT(count, 100);
	CHECK_STR(rows[49].value, STR("049"));
	CHECK_STR(rows[50].value, STR("0505"));
	CHECK_STR(rows[99].value, STR("099"));
	CHECK_OK(group_scan(group, &prefix, 5, &arena, rows, &count));
	CHECK_INT(count, 5);
	tear_down();
}

TEST(an_undo_brings_back_what_was_there_at_the_mark)
{
	struct group_mark mark, inner;
	struct event event = event_of("note");
	uint64_t head;

	set_up();
	put("kept", "old");
	put("gone", "old");
	CHECK_OK(group_commit(group));
	put("own", "before");
	CHECK_OK(group_event(group, &event));
	mark = group_mark(group);
	put("own", "after");
	put("kept", "new");
	drop("gone");
	put("fresh", "new");
	inner = group_mark(group);
	put("own", "again");
	drop("fresh");
	CHECK_OK(group_event(group, &event));
	group_undo(group, inner);
	CHECK_STR(seen("own"), STR("after"));
	CHECK_STR(seen("fresh"), STR("new"));
	group_undo(group, mark);
	CHECK_STR(seen("own"), STR("before"));
	CHECK_STR(seen("kept"), STR("old"));
	CHECK_STR(seen("gone"), STR("old"));
	CHECK(seen("fresh").p == NULL);
	CHECK_OK(group_commit(group));
	CHECK_STR(stored("own"), STR("before"));
	CHECK_STR(stored("kept"), STR("old"));
	CHECK_STR(stored("gone"), STR("old"));
	CHECK(stored("fresh").p == NULL);
	CHECK_OK(store_head(store, &head));
	CHECK_INT(head, 1);
	tear_down();
}

TEST(a_group_that_was_taken_back_wholly_is_empty)
{
	struct group_mark mark;
	struct event event = event_of("note");

	set_up();
	mark = group_mark(group);
	CHECK(group_is_empty(group));
	put("a", "1");
	CHECK_OK(group_event(group, &event));
	CHECK(!group_is_empty(group));
	group_undo(group, mark);
	CHECK(group_is_empty(group));
	CHECK_OK(group_commit(group));
	CHECK(stored("a").p == NULL);
	tear_down();
}

TEST(a_load_after_an_undo_asks_the_store_again)
{
	struct group_mark mark;

	set_up();
	put("a", "stored");
	CHECK_OK(group_commit(group));
	mark = group_mark(group);
	drop("a"); /* never loaded by this group */
	group_undo(group, mark);
	CHECK_STR(seen("a"), STR("stored"));
	tear_down();
}

TEST(records_and_events_go_through_their_schemas)
{
	struct meter in, out;
	struct event event = event_of("new_customer"), back;
	struct store_event events[2];
	struct key key;
	size_t count;

	set_up();
	schema_clear(&meter_schema, &in);
	in.month_used = 41;
	in.month_start = 1763704800000;
	key_meter(&key, STR("lic_A"));
	CHECK_ERR(group_load(group, &key, &meter_schema, &out, &arena),
		  ERR_NO_SUCH);
	CHECK_OK(group_put(group, &key, &meter_schema, &in));
	CHECK_OK(group_load(group, &key, &meter_schema, &out, &arena));
	CHECK_INT(out.month_used, 41);
	event.amount = 5;
	CHECK_OK(group_event(group, &event));
	CHECK_OK(group_commit(group));
	CHECK_OK(group_load(group, &key, &meter_schema, &out, &arena));
	CHECK_INT(out.month_start, in.month_start);
	CHECK_INT(out.month_reserved, SCHEMA_INT_NONE);
	CHECK_OK(store_tail(store, 0, 2, &arena, events, &count));
	CHECK_INT(count, 1);
	CHECK_OK(
	    schema_decode(&event_schema, events[0].bytes, &back, &arena, NULL));
	CHECK_STR(back.type, STR("new_customer"));
	CHECK_INT(back.amount, 5);
	put("x", "no record");
	key = named("x");
	CHECK_ERR(group_load(group, &key, &meter_schema, &out, &arena),
		  ERR_STORE_CORRUPT);
	tear_down();
}

TEST(limits_are_answers_and_leave_the_group_usable)
{
	static char big[STORE_VALUE_BYTES_MAX + 1];
	struct key key = named("a"), impossible;
	struct str out = STR("unset");

	set_up();
	memset(big, 'x', sizeof(big));
	CHECK_ERR(group_put_bytes(group, &key, str_bytes(big, sizeof(big))),
		  ERR_TOO_LARGE);
	key_customer(&impossible, STR("a\0b"));
	CHECK_ERR(group_put_bytes(group, &impossible, STR("1")), ERR_TOO_LARGE);
	CHECK_OK(group_load_bytes(group, &impossible, &out, &arena));
	CHECK(out.p == NULL);
	for (size_t i = 0; i < GROUP_WRITES_MAX; i++)
		CHECK_OK(group_put_bytes(group, &key, STR("1")));
	CHECK_ERR(group_put_bytes(group, &key, STR("2")), ERR_OVERLOADED);
	CHECK_STR(seen("a"), STR("1"));
	CHECK_OK(group_commit(group));
	CHECK_STR(stored("a"), STR("1"));
	put("a", "2");
	CHECK_OK(group_commit(group));
	CHECK_STR(stored("a"), STR("2"));
	tear_down();
}

TEST(what_was_read_is_remembered_until_it_is_too_much)
{
	struct key key = named("a");
	struct str first, again;
	char name[16];

	set_up();
	put("a", "1");
	put("gone", "1");
	CHECK_OK(group_commit(group));
	CHECK_OK(group_load_bytes(group, &key, &first, &arena));
	drop("gone");
	CHECK_OK(group_commit(group));
	CHECK_OK(group_load_bytes(group, &key, &again, &arena));
	CHECK(again.p == first.p);
	CHECK(seen("gone").p == NULL);
	for (unsigned i = 0; i <= GROUP_KEPT; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		CHECK(seen(name).p == NULL);
	}
	CHECK_OK(group_commit(group));
	CHECK(seen("n1").p == NULL); /* takes the place of what was forgotten */
	CHECK_OK(group_load_bytes(group, &key, &again, &arena));
	CHECK(again.p != first.p);
	CHECK_STR(again, STR("1"));
	tear_down();
}

TEST(what_was_written_is_forgotten_beside_what_was_read)
{
	struct key read = named("read");
	struct str first, again;
	char name[16], text[16];

	set_up();
	put("read", "1");
	CHECK_OK(group_commit(group));
	for (int i = 0; i < 100; i++) /* more than one round writes */
		seen((snprintf(name, sizeof(name), "r%d", i), name));
	CHECK_OK(group_load_bytes(group, &read, &first, &arena));
	for (int round = 1; round <= 30; round++) {
		for (int i = 0; i < 20; i++) {
			snprintf(name, sizeof(name), "k%d", i * round % 50);
			snprintf(text, sizeof(text), "%d", round);
			put(name, text);
		}
		drop("k0");
		CHECK_OK(group_commit(group));
		CHECK(seen("k0").p == NULL);
		CHECK_STR(seen(name), str_of(text));
		CHECK_STR(stored(name), str_of(text));
		CHECK_OK(group_load_bytes(group, &read, &again, &arena));
		CHECK(again.p == first.p);
	}
	tear_down();
}

/* Tables grow while the group holds entries, and shrink back to use. */
TEST(large_groups_and_small_ones_alternate)
{
	enum { COUNT = 9000 };
	char name[16];
	uint64_t records, bad;

	set_up();
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < COUNT; i++) {
			snprintf(name, sizeof(name), "k%d", i);
			put(name, name);
		}
		for (int i = 0; i < COUNT; i += 7) {
			snprintf(name, sizeof(name), "k%d", i);
			CHECK_STR(seen(name), str_of(name));
		}
		CHECK(seen("nobody").p == NULL);
		CHECK_OK(group_commit(group));
		CHECK(seen("nobody").p == NULL);
		put("small", "1");
		CHECK_OK(group_commit(group));
	}
	CHECK_OK(store_verify(store, &records, &bad, NULL));
	CHECK_INT(records, COUNT + 1);
	tear_down();
}

/* A random run of puts, deletes, marks, undos and commits against an array. */
TEST(random_use_agrees_with_a_model)
{
	enum { KEYS = 40 };
	int committed[KEYS] = {0}, now[KEYS] = {0}, marked[KEYS] = {0};
	int durable[KEYS] = {0};
	struct group_mark mark = {0, 0};
	unsigned seed = 11;
	char name[8], text[12];

	set_up();
	for (int step = 1; step <= 20000; step++) {
		int i = rand_r(&seed) % KEYS, dice = rand_r(&seed) % 100;
		struct str got;

		snprintf(name, sizeof(name), "k%d", i);
		snprintf(text, sizeof(text), "%d", step);
		if (dice < 45) {
			if (now[i] == 0 && dice < 20)
				put_new(name, text);
			else
				put(name, text);
			now[i] = step;
		} else if (dice < 60) {
			drop(name);
			now[i] = 0;
		} else if (dice < 70) {
			mark = group_mark(group);
			memcpy(marked, now, sizeof(now));
		} else if (dice < 76) {
			group_undo(group, mark);
			memcpy(now, marked, sizeof(now));
		} else if (dice < 82) {
			CHECK_OK(dice < 78 ? group_commit(group)
					   : group_journal(group));
			if (!group_is_late(group))
				memcpy(committed, now, sizeof(now));
			memcpy(durable, now, sizeof(now));
			memcpy(marked, now, sizeof(now));
			mark = group_mark(group);
		} else if (dice < 83) { /* a kill */
			group_close(group);
			store_lease_release(store, &lease);
			CHECK_OK(store_lease_take(store, &lease, NULL));
			CHECK_OK(group_open(&group, store, &lease));
			memcpy(committed, durable, sizeof(now));
			memcpy(now, durable, sizeof(now));
			memcpy(marked, durable, sizeof(now));
			mark = group_mark(group);
		} else {
			if (dice < 92)
				CHECK(is_new(name) == (now[i] == 0));
			got = seen(name);
			CHECK((got.p != NULL) == (now[i] != 0));
			if (got.p)
				CHECK_INT(atoi(arena_str(&arena, got).p),
					  now[i]);
			got = stored(name);
			CHECK((got.p != NULL) == (committed[i] != 0));
		}
		arena_reset(&arena);
	}
	tear_down();
}

static uint64_t
rows(void)
{
	uint64_t records, bad;

	CHECK_OK(store_verify(store, &records, &bad, NULL));
	return records;
}

/* What came and went between two commits is never in the store, wherever it was
 * journalled; what the store has got is deleted there. */
TEST(what_is_new_is_deleted_where_it_is)
{
	struct group_mark mark;

	set_up();
	put_new("a", "1");
	put_new("b", "1");
	put_new("c", "1");
	mark = group_mark(group);
	put_new("d", "1");
	group_undo(group, mark);
	CHECK_OK(group_journal(group));
	drop("a");
	CHECK_OK(group_journal(group));
	CHECK(seen("a").p == NULL);
	drop("b");
	put("d", "2");
	CHECK_OK(group_commit(group));
	CHECK(stored("a").p == NULL && stored("b").p == NULL);
	CHECK_STR(stored("c"), STR("1"));
	CHECK_STR(stored("d"), STR("2"));
	drop("c");
	put_new("c", "3"); /* the store has it still */
	drop("c");
	drop("d");
	CHECK_OK(group_commit(group));
	CHECK(stored("c").p == NULL && stored("d").p == NULL);
	CHECK_INT(rows(), 0);
	put_new("a", "4");
	drop("a");
	CHECK_OK(group_commit(group)); /* nothing at all */
	CHECK(seen("a").p == NULL);
	tear_down();
}

TEST(what_is_new_is_known_around_what_is_not)
{
	struct key other;
	bool is_there = true;

	set_up();
	put("b", "1");
	put("m", "1");
	CHECK(is_new("c")); /* up to the end of its kind, until the commit */
	CHECK_OK(group_commit(group));
	CHECK(is_new("d") && is_new("f") && is_new("lz") && is_new("c"));
	CHECK(!is_new("b") && !is_new("m"));
	CHECK(is_new("n") && is_new("zzz"));
	CHECK(!is_new("m"));
	put("e", "1");
	CHECK(!is_new("e") && is_new("f"));
	CHECK_OK(group_journal(group));
	CHECK(!is_new("e") && is_new("dz"));
	drop("m");
	CHECK(is_new("m"));
	CHECK_OK(group_commit(group));
	CHECK(!is_new("e") && is_new("m") && is_new("x"));
	key_customer(&other, STR("a\0b"));
	CHECK_OK(group_is_new(group, &other, &arena, &is_there));
	CHECK(is_there);
	put("x", "1");
	CHECK_OK(group_commit(group));
	CHECK(!is_new("x") && is_new("y"));
	tear_down();
}

/* Journalled and gone: a ledger that is killed behind it leaves nothing. */
TEST(what_came_and_went_is_gone_behind_a_kill)
{
	set_up();
	put_new("a", "1");
	CHECK_OK(group_journal(group));
	drop("a");
	CHECK_OK(group_journal(group));
	group_close(group);
	store_lease_release(store, &lease);
	CHECK_OK(store_lease_take(store, &lease, NULL));
	CHECK_OK(group_open(&group, store, &lease));
	CHECK(stored("a").p == NULL);
	tear_down();
}

TEST(what_was_journalled_is_loaded_and_committed_once)
{
	struct event event;

	set_up();
	schema_clear(&event_schema, &event);
	put("a", "1");
	put("b", "1");
	CHECK_OK(group_event(group, &event));
	CHECK_OK(group_journal(group));
	CHECK(group_is_late(group) && group_is_empty(group));
	CHECK(!group_has_events(group));
	CHECK_INT(group_seq(group), 1);
	CHECK(stored("a").p == NULL);
	CHECK_STR(seen("a"), STR("1"));
	put("a", "2");
	drop("b");
	CHECK_OK(group_event(group, &event));
	group_undo_all(group); /* not what is durable */
	CHECK_STR(seen("a"), STR("1"));
	CHECK_INT(group_seq(group), 1);
	drop("b");
	CHECK_OK(group_journal(group));
	put("a", "3");
	CHECK_OK(group_event(group, &event));
	CHECK_OK(group_commit(group));
	CHECK(!group_is_late(group));
	CHECK_STR(stored("a"), STR("3"));
	CHECK(stored("b").p == NULL);
	CHECK_INT(group_seq(group), 2);
	tear_down();
}

TEST(rest_forgets_what_the_store_has_and_nothing_else)
{
	struct key key = named("a");
	struct str first, again;
	struct event event;
	char name[16];

	set_up();
	schema_clear(&event_schema, &event);
	put("a", "1");
	for (int i = 0; i < 3000;
	     i++) { /* more than a new group has room for */
		snprintf(name, sizeof(name), "k%d", i);
		put(name, name);
	}
	CHECK_OK(group_event(group, &event));
	group_rest(group); /* nothing of it is durable */
	CHECK_STR(seen("a"), STR("1"));
	CHECK_OK(group_journal(group));
	group_rest(group); /* it is not in the store */
	CHECK(group_is_late(group));
	CHECK_STR(seen("a"), STR("1"));
	CHECK_OK(group_commit(group));
	CHECK_OK(group_load_bytes(group, &key, &first, &arena));
	group_rest(group);
	CHECK_OK(group_load_bytes(group, &key, &again, &arena));
	CHECK(again.p != first.p);
	CHECK_STR(again, STR("1"));
	CHECK_INT(group_seq(group), 1);
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		CHECK_STR(seen(name), str_of(name));
		arena_reset(&arena);
	}
	put("a", "2");
	CHECK_OK(group_event(group, &event));
	CHECK_OK(group_journal(group));
	CHECK_OK(group_commit(group));
	CHECK_STR(stored("a"), STR("2"));
	CHECK_INT(group_seq(group), 2);
	group_rest(group);
	group_rest(group);
	tear_down();
}

/* Turns that only read, since all of it was refused, do not grow for ever. */
TEST(what_was_read_is_forgotten_without_a_write)
{
	struct key key = named("a");
	struct str first, again;
	char name[16];

	set_up();
	put("a", "1");
	CHECK_OK(group_commit(group));
	CHECK_OK(group_load_bytes(group, &key, &first, &arena));
	for (unsigned i = 0; i <= GROUP_KEPT; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		CHECK(seen(name).p == NULL);
	}
	CHECK_OK(group_journal(group));
	CHECK(seen("n1").p == NULL); /* takes the place of what was forgotten */
	CHECK_OK(group_load_bytes(group, &key, &again, &arena));
	CHECK(again.p != first.p);
	CHECK_STR(again, STR("1"));
	tear_down();
}

/* Behind the limits a journalled group is committed, and nothing is lost. */
TEST(what_is_late_has_its_limits)
{
	char name[16];
	bool was_committed = false;

	set_up();
	for (int i = 0; i < 3 * (int)GROUP_LATE_MAX; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		put(name, name);
		CHECK_OK(group_journal(group));
		was_committed |= !group_is_late(group);
	}
	CHECK(was_committed);
	CHECK_OK(group_commit(group));
	for (int i = 0; i < 3 * (int)GROUP_LATE_MAX; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		CHECK_STR(stored(name), str_of(name));
		arena_reset(&arena);
	}
	tear_down();
}

#ifdef CHATELLO_FAULTS
TEST(a_journal_that_failed_takes_its_turn_back)
{
	set_up();
	put("a", "1");
	CHECK_OK(group_journal(group));
	put("a", "2");
	put("b", "2");
	fault_set("store-full:1");
	CHECK_ERR(group_journal(group), ERR_STORE_FULL);
	CHECK(group_is_empty(group) && group_is_late(group));
	CHECK_STR(seen("a"), STR("1"));
	CHECK(seen("b").p == NULL);
	put("b", "3");
	fault_set("store-full:1");
	CHECK_ERR(group_commit(group), ERR_STORE_FULL);
	fault_set(NULL);
	CHECK(group_is_late(group));
	CHECK_OK(group_commit(group));
	CHECK_STR(stored("a"), STR("1"));
	CHECK(stored("b").p == NULL);
	tear_down();
}

TEST(a_commit_that_failed_leaves_an_empty_group_that_goes_on)
{
	set_up();
	put("a", "1");
	fault_set("store-full:1");
	CHECK_ERR(group_commit(group), ERR_STORE_FULL);
	fault_set(NULL);
	CHECK(group_is_empty(group));
	CHECK(seen("a").p == NULL);
	put("b", "2");
	CHECK_OK(group_commit(group));
	CHECK(stored("a").p == NULL);
	CHECK_STR(stored("b"), STR("2"));
	tear_down();
}
#endif
