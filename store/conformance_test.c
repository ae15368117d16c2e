/*
 * conformance: what store.h promises, as one suite that runs against every
 * engine. A test is a function over an open store; CONFORM makes a TEST of it
 * for each engine.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/fault.h"
#include "store/store.h"

struct fixture {
	struct store *store;
	struct store_lease lease;
	uint64_t head;
	struct arena arena;
};

static void
run_on(const char *engine, void (*check)(struct fixture *f))
{
	struct store_conf conf = {.engine = engine,
				  .dir = "store",
				  .map_bytes = 1 << 30,
				  .is_created = true};
	struct fixture f = {0};

	arena_init(&f.arena, 64u << 20);
	CHECK_OK(store_open(&f.store, &conf, NULL));
	CHECK_OK(store_lease_take(f.store, &f.lease, NULL));
	CHECK_OK(store_head(f.store, &f.head));
	check(&f);
	store_lease_release(f.store, &f.lease);
	store_close(f.store);
	arena_fini(&f.arena);
}

#define CONFORM(fn)                                                            \
	static void fn(struct fixture *f);                                     \
	TEST(fn##_lmdb)                                                        \
	{                                                                      \
		run_on("lmdb", fn);                                            \
	}                                                                      \
	TEST(fn##_memory)                                                      \
	{                                                                      \
		run_on("memory", fn);                                          \
	}                                                                      \
	static void fn(struct fixture *f)

static enum err
write_one(struct fixture *f, const char *key, struct str value)
{
	struct store_write write = {str_of(key), value};
	struct store_group group = {.writes = &write, .write_count = 1};

	return store_commit(f->store, &f->lease, &f->head, &group);
}

static enum err
append(struct fixture *f, const char *const *events, size_t count)
{
	struct str bytes[16];
	struct store_group group = {.events = bytes, .event_count = count};

	CHECK(count <= 16);
	for (size_t i = 0; i < count; i++)
		bytes[i] = str_of(events[i]);
	return store_commit(f->store, &f->lease, &f->head, &group);
}

static struct str
read_one(struct fixture *f, const char *key)
{
	struct str name = str_of(key), value;

	CHECK_OK(store_load(f->store, &name, 1, &value, &f->arena));
	return value;
}

CONFORM(a_new_store_is_empty)
{
	struct store_row row;
	struct store_event event;
	size_t count = 9;

	CHECK_INT(f->head, 0);
	CHECK(read_one(f, "a").p == NULL);
	CHECK_OK(store_scan(f->store, STR("a"), STR_NONE, 1, &f->arena, &row,
			    &count));
	CHECK_INT(count, 0);
	CHECK_OK(store_last(f->store, STR("a"), &f->arena, &row));
	CHECK(row.key.p == NULL);
	CHECK_OK(store_tail(f->store, 0, 1, &f->arena, &event, &count));
	CHECK_INT(count, 0);
}

CONFORM(what_is_put_is_read_and_what_is_deleted_is_gone)
{
	CHECK_OK(write_one(f, "key", STR("one")));
	CHECK_STR(read_one(f, "key"), STR("one"));
	CHECK_OK(write_one(f, "key", STR("two and longer")));
	CHECK_STR(read_one(f, "key"), STR("two and longer"));
	CHECK_OK(write_one(f, "empty", STR("")));
	CHECK(read_one(f, "empty").p != NULL);
	CHECK_INT(read_one(f, "empty").n, 0);
	CHECK_OK(write_one(f, "key", STR_NONE));
	CHECK(read_one(f, "key").p == NULL);
	CHECK_OK(write_one(f, "key", STR_NONE));
	CHECK(read_one(f, "empty").p != NULL);
	CHECK_INT(f->head, 0);
}

CONFORM(many_keys_are_loaded_at_once_in_their_order)
{
	enum { COUNT = 150 };
	static char names[COUNT][16];
	struct str keys[COUNT], values[COUNT];

	for (int i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "k%03d", i);
		keys[i] = str_of(names[i]);
		if (i % 2)
			CHECK_OK(write_one(f, names[i], keys[i]));
	}
	CHECK_OK(store_load(f->store, keys, COUNT, values, &f->arena));
	for (int i = 0; i < COUNT; i++)
		if (i % 2)
			CHECK_STR(values[i], keys[i]);
		else
			CHECK(values[i].p == NULL);
}

/* As a subscription behind its licence: there, or not, or not right behind; on
 * the same page or the next one; in the wrong order. */
CONFORM(a_key_and_one_that_begins_with_it_are_loaded_at_once)
{
	enum { COUNT = 80 };
	static char names[COUNT][3][16];
	static char text[200];

	for (int i = 0; i < COUNT; i++) {
		bool is_there[3] = {i % 5 != 4, i % 3 == 1, i % 2 == 1};

		memset(text, 'a' + i % 26, sizeof(text) - 1);
		snprintf(names[i][0], 16, "k%03d", i);
		snprintf(names[i][1], 16, "k%03db", i);
		snprintf(names[i][2], 16, "k%03ds", i);
		for (int j = 0; j < 3; j++) {
			text[0] = (char)('0' + j);
			if (is_there[j])
				CHECK_OK(
				    write_one(f, names[i][j], str_of(text)));
		}
	}
	for (int i = 0; i < COUNT; i++) {
		bool has_first = i % 5 != 4, has_second = i % 2 == 1;
		struct str keys[] = {str_of(names[i][0]), str_of(names[i][2]),
				     str_of(names[i][0]), str_of(names[i][0])};
		struct str values[4];

		CHECK_OK(store_load(f->store, keys, 4, values, &f->arena));
		CHECK(has_first == (values[0].p != NULL));
		CHECK(has_second == (values[1].p != NULL));
		CHECK(!has_first || (values[0].p[0] == '0' &&
				     values[0].p[1] == 'a' + i % 26));
		CHECK(!has_second || (values[1].p[0] == '2' &&
				      values[1].p[1] == 'a' + i % 26));
		CHECK(str_eq(values[2], values[0]));
		CHECK(str_eq(values[3], values[0]));
	}
}

CONFORM(a_group_of_any_order_is_written_as_one)
{
	struct store_write writes[] = {
	    {STR("m"), STR("1")}, {STR("z"), STR("2")}, {STR("a"), STR("3")}};
	struct str events[] = {STR("e1"), STR("e2")};
	struct store_group group = {writes, 3, events, 2};

	CHECK_OK(store_commit(f->store, &f->lease, &f->head, &group));
	CHECK_INT(f->head, 2);
	CHECK_STR(read_one(f, "a"), STR("3"));
	CHECK_STR(read_one(f, "m"), STR("1"));
	CHECK_STR(read_one(f, "z"), STR("2"));
}

CONFORM(scans_go_in_order_by_pages_and_stay_in_their_prefix)
{
	const char *keys[] = {"b", "a\x7f", "c1", "b2", "b10", "b1", "c"};
	struct store_row rows[8];
	struct str after = STR_NONE;
	size_t count;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		CHECK_OK(write_one(f, keys[i], str_of(keys[i])));
	CHECK_OK(
	    store_scan(f->store, STR("b"), after, 8, &f->arena, rows, &count));
	CHECK_INT(count, 4);
	CHECK_STR(rows[0].key, STR("b"));
	CHECK_STR(rows[1].key, STR("b1"));
	CHECK_STR(rows[2].key, STR("b10"));
	CHECK_STR(rows[3].key, STR("b2"));
	CHECK_STR(rows[2].value, STR("b10"));
	CHECK_OK(store_scan(f->store, STR("b"), rows[1].key, 1, &f->arena, rows,
			    &count));
	CHECK_INT(count, 1);
	CHECK_STR(rows[0].key, STR("b10"));
	/* Behind a key that is not there, and behind the last one. */
	CHECK_OK(store_scan(f->store, STR("b"), STR("b11"), 8, &f->arena, rows,
			    &count));
	CHECK_INT(count, 1);
	CHECK_STR(rows[0].key, STR("b2"));
	CHECK_OK(store_scan(f->store, STR("b"), STR("b2"), 8, &f->arena, rows,
			    &count));
	CHECK_INT(count, 0);
	CHECK_OK(store_scan(f->store, STR("b"), STR("a"), 1, &f->arena, rows,
			    &count));
	CHECK_STR(rows[0].key, STR("b"));
	CHECK_OK(store_scan(f->store, STR(""), STR_NONE, 8, &f->arena, rows,
			    &count));
	CHECK_INT(count, 0);
	CHECK_OK(store_scan(f->store, STR("c"), STR_NONE, 8, &f->arena, rows,
			    &count));
	CHECK_INT(count, 2);
}

CONFORM(the_last_key_of_a_prefix_is_found)
{
	struct store_row row;

	CHECK_OK(write_one(f, "a1", STR("x")));
	CHECK_OK(write_one(f, "a2", STR("y")));
	CHECK_OK(write_one(f, "c", STR("z")));
	CHECK_OK(store_last(f->store, STR("a"), &f->arena, &row));
	CHECK_STR(row.key, STR("a2"));
	CHECK_STR(row.value, STR("y"));
	CHECK_OK(store_last(f->store, STR("c"), &f->arena, &row));
	CHECK_STR(row.key, STR("c"));
	CHECK_OK(store_last(f->store, STR("b"), &f->arena, &row));
	CHECK(row.key.p == NULL);
	CHECK_OK(store_last(f->store, STR("A"), &f->arena, &row));
	CHECK(row.key.p == NULL);
	CHECK_OK(store_last(f->store, STR("a1\xff\xff"), &f->arena, &row));
	CHECK(row.key.p == NULL);
}

CONFORM(events_are_numbered_without_gaps_and_followed_in_pages)
{
	const char *first[] = {"one", "two", "three"};
	const char *second[] = {"four"};
	struct store_event events[8];
	uint64_t head;
	size_t count;

	CHECK_OK(append(f, first, 3));
	CHECK_OK(append(f, second, 1));
	CHECK_INT(f->head, 4);
	CHECK_OK(store_head(f->store, &head));
	CHECK_INT(head, 4);
	CHECK_OK(store_tail(f->store, 1, 2, &f->arena, events, &count));
	CHECK_INT(count, 2);
	CHECK_INT(events[0].seq, 2);
	CHECK_STR(events[0].bytes, STR("two"));
	CHECK_INT(events[1].seq, 3);
	CHECK_OK(store_tail(f->store, 3, 8, &f->arena, events, &count));
	CHECK_INT(count, 1);
	CHECK_INT(events[0].seq, 4);
	CHECK_STR(events[0].bytes, STR("four"));
	CHECK_OK(store_tail(f->store, 4, 8, &f->arena, events, &count));
	CHECK_INT(count, 0);
	CHECK_OK(store_tail(f->store, 99, 8, &f->arena, events, &count));
	CHECK_INT(count, 0);
}

CONFORM(an_old_head_and_an_old_lease_are_fenced)
{
	const char *event[] = {"e"};
	struct store_lease old = f->lease, no_lease = {0};
	struct store_write write = {STR("k"), STR("v")};
	struct store_group group = {.writes = &write, .write_count = 1};
	uint64_t stale = 0;

	CHECK_OK(append(f, event, 1));
	CHECK_ERR(store_commit(f->store, &f->lease, &stale, &group),
		  ERR_FENCED);
	CHECK_INT(stale, 0);
	CHECK_ERR(store_commit(f->store, &no_lease, &f->head, &group),
		  ERR_FENCED);
	store_lease_release(f->store, &f->lease);
	CHECK_ERR(store_commit(f->store, &old, &f->head, &group), ERR_FENCED);
	CHECK_OK(store_lease_take(f->store, &f->lease, NULL));
	CHECK(f->lease.token > old.token);
	CHECK_ERR(store_commit(f->store, &old, &f->head, &group), ERR_FENCED);
	CHECK(read_one(f, "k").p == NULL);
	CHECK_OK(store_commit(f->store, &f->lease, &f->head, &group));
	CHECK_STR(read_one(f, "k"), STR("v"));
}

static enum err
journal_one(struct fixture *f, uint64_t head, const char *key, const char *text)
{
	struct store_write write = {str_of(key),
				    text ? str_of(text) : STR_NONE};
	struct str event = STR("e");
	struct store_group group = {&write, 1, &event, 1};

	return store_journal(f->store, &f->lease, head, &group);
}

static bool
is_behind(struct fixture *f)
{
	bool is;

	CHECK_OK(store_is_behind(f->store, &is));
	return is;
}

CONFORM(what_was_journalled_is_the_next_lease_s)
{
	CHECK_OK(write_one(f, "gone", STR("0")));
	CHECK(!is_behind(f));
	CHECK_OK(journal_one(f, 0, "a", "1"));
	CHECK_OK(journal_one(f, 1, "gone", NULL));
	CHECK_OK(journal_one(f, 2, "a", "2"));
	CHECK(is_behind(f));
	CHECK(read_one(f, "a").p == NULL);
	CHECK_STR(read_one(f, "gone"), STR("0"));
	store_lease_release(f->store, &f->lease);
	CHECK(is_behind(f));
	CHECK_OK(store_lease_take(f->store, &f->lease, NULL));
	CHECK(!is_behind(f));
	CHECK_STR(read_one(f, "a"), STR("2"));
	CHECK(read_one(f, "gone").p == NULL);
	CHECK_OK(store_head(f->store, &f->head));
	CHECK_INT(f->head, 3);
	CHECK_OK(journal_one(f, 3, "a", "3"));
}

CONFORM(a_commit_takes_the_journal_s_place)
{
	struct store_write write = {STR("a"), STR("both")};
	struct str events[] = {STR("e"), STR("f")};
	struct store_group group = {&write, 1, events, 2};

	CHECK_OK(journal_one(f, 0, "a", "1"));
	CHECK_OK(store_commit(f->store, &f->lease, &f->head, &group));
	CHECK_INT(f->head, 2);
	CHECK(!is_behind(f));
	store_lease_release(f->store, &f->lease);
	CHECK_OK(store_lease_take(f->store, &f->lease, NULL));
	CHECK_STR(read_one(f, "a"), STR("both"));
	CHECK_OK(store_head(f->store, &f->head));
	CHECK_INT(f->head, 2);
	CHECK_OK(journal_one(f, 2, "b", "1"));
	store_lease_release(f->store, &f->lease);
	CHECK_OK(store_lease_take(f->store, &f->lease, NULL));
	CHECK_STR(read_one(f, "b"), STR("1"));
}

CONFORM(an_old_head_and_an_old_lease_do_not_journal)
{
	struct store_lease old = f->lease;

	CHECK_OK(journal_one(f, 0, "a", "1"));
	CHECK_ERR(journal_one(f, 0, "a", "2"), ERR_FENCED);
	CHECK_ERR(journal_one(f, 2, "a", "2"), ERR_FENCED);
	store_lease_release(f->store, &f->lease);
	CHECK_ERR(journal_one(f, 1, "a", "2"), ERR_FENCED);
	CHECK_OK(store_lease_take(f->store, &f->lease, NULL));
	CHECK_STR(read_one(f, "a"), STR("1"));
	f->lease = old;
	CHECK_ERR(journal_one(f, 1, "a", "2"), ERR_FENCED);
}

CONFORM(the_lease_has_one_holder)
{
	struct store_lease second = {0};
	struct why why = {.text = ""};

	CHECK_ERR(store_lease_take(f->store, &second, &why), ERR_STORE_LOCKED);
	CHECK_INT(second.token, 0);
	CHECK(why.text[0] != '\0');
	CHECK_OK(write_one(f, "still", STR("mine")));
}

CONFORM(what_is_too_large_is_refused_as_a_whole)
{
	static char big[STORE_VALUE_BYTES_MAX + 1];
	struct str fits = str_bytes(big, STORE_VALUE_BYTES_MAX);
	struct store_write writes[] = {{STR("a"), STR("1")},
				       {STR("b"), str_bytes(big, sizeof(big))}};
	struct str event = str_bytes(big, sizeof(big));
	struct store_group group = {.writes = writes, .write_count = 2};
	struct store_group log = {.events = &event, .event_count = 1};
	struct store_write nameless = {STR(""), STR("1")};
	struct store_group bad = {.writes = &nameless, .write_count = 1};

	memset(big, 'x', sizeof(big));
	CHECK_ERR(store_commit(f->store, &f->lease, &f->head, &group),
		  ERR_TOO_LARGE);
	CHECK_ERR(store_commit(f->store, &f->lease, &f->head, &log),
		  ERR_TOO_LARGE);
	CHECK_ERR(store_commit(f->store, &f->lease, &f->head, &bad),
		  ERR_TOO_LARGE);
	CHECK(read_one(f, "a").p == NULL);
	CHECK_INT(f->head, 0);
	CHECK_OK(write_one(f, "b", fits));
	CHECK_STR(read_one(f, "b"), fits);
}

CONFORM(the_longest_key_with_the_longest_value_is_kept)
{
	static char key[STORE_KEY_BYTES_MAX], value[STORE_VALUE_BYTES_MAX];
	struct store_write write = {str_bytes(key, sizeof(key)),
				    str_bytes(value, sizeof(value))};
	struct store_group group = {.writes = &write, .write_count = 1};
	struct store_row row;

	memset(key, 'k', sizeof(key));
	memset(value, 'v', sizeof(value));
	CHECK_OK(store_commit(f->store, &f->lease, &f->head, &group));
	CHECK_OK(store_last(f->store, STR("kk"), &f->arena, &row));
	CHECK_STR(row.key, write.key);
	CHECK_STR(row.value, write.value);
}

CONFORM(a_view_reads_and_ends_and_begins_again)
{
	uint64_t head;

	CHECK_OK(write_one(f, "a", STR("1")));
	CHECK_OK(store_view_begin(f->store));
	CHECK_STR(read_one(f, "a"), STR("1"));
	CHECK_OK(store_head(f->store, &head));
	CHECK_INT(head, 0);
	store_view_end(f->store);
	CHECK_OK(write_one(f, "a", STR("2")));
	CHECK_OK(store_view_begin(f->store));
	CHECK_STR(read_one(f, "a"), STR("2"));
	store_view_end(f->store);
}

static uint64_t
view_number(struct fixture *f)
{
	uint64_t number;

	CHECK_OK(store_view_begin(f->store));
	number = store_view_number(f->store);
	store_view_end(f->store);
	return number;
}

CONFORM(views_of_one_number_see_the_same)
{
	const char *event = "event";
	uint64_t number = view_number(f);

	CHECK(number > 0);
	CHECK_INT(view_number(f), number);
	CHECK_OK(write_one(f, "a", STR("1")));
	CHECK(view_number(f) > number);
	number = view_number(f);
	CHECK_STR(read_one(f, "a"), STR("1"));
	CHECK_INT(view_number(f), number);
	CHECK_OK(write_one(f, "a", STR("2")));
	CHECK(view_number(f) > number);
	number = view_number(f);
	CHECK_OK(write_one(f, "a", STR_NONE));
	CHECK(view_number(f) > number);
	number = view_number(f);
	CHECK_OK(append(f, &event, 1));
	CHECK(view_number(f) > number);
	number = view_number(f);
	CHECK_OK(store_rest(f->store));
	CHECK_INT(view_number(f), number);
}

/* Between any two calls, also behind what was journalled only. */
CONFORM(rest_changes_nothing)
{
	const char *events[] = {"one", "two"};
	struct store_event tail[3];
	uint64_t records, bad;
	size_t count;

	CHECK_OK(store_rest(f->store));
	CHECK_OK(write_one(f, "a", STR("1")));
	CHECK_OK(store_rest(f->store));
	CHECK_OK(store_rest(f->store));
	CHECK_STR(read_one(f, "a"), STR("1"));
	CHECK_OK(append(f, events, 2));
	CHECK_OK(store_rest(f->store));
	CHECK_OK(store_view_begin(f->store));
	CHECK_OK(store_tail(f->store, 0, 3, &f->arena, tail, &count));
	CHECK_INT(count, 2);
	CHECK_STR(tail[1].bytes, STR("two"));
	store_view_end(f->store);
	CHECK_OK(journal_one(f, 2, "b", "2"));
	CHECK_OK(store_rest(f->store));
	CHECK_OK(journal_one(f, 3, "c", "3"));
	CHECK_OK(store_rest(f->store));
	CHECK(is_behind(f));
	CHECK(read_one(f, "b").p == NULL);
	store_lease_release(f->store, &f->lease);
	CHECK_OK(store_rest(f->store));
	CHECK_OK(store_lease_take(f->store, &f->lease, NULL));
	CHECK_OK(store_head(f->store, &f->head));
	CHECK_INT(f->head, 4);
	CHECK_OK(store_rest(f->store));
	CHECK_STR(read_one(f, "b"), STR("2"));
	CHECK_STR(read_one(f, "c"), STR("3"));
	CHECK_OK(write_one(f, "b", STR("4")));
	CHECK_STR(read_one(f, "b"), STR("4"));
	CHECK_OK(store_verify(f->store, &records, &bad, NULL));
	CHECK_INT(bad, 0);
}

CONFORM(an_arena_that_is_too_small_is_an_error_not_a_short_answer)
{
	struct arena small;
	struct str key = STR("a"), value = STR("untouched");
	struct store_row row;
	size_t count = 7;

	CHECK_OK(write_one(f, "a", STR("a value of some length, say thirty")));
	arena_init(&small, 16);
	CHECK_ERR(store_load(f->store, &key, 1, &value, &small), ERR_NO_MEMORY);
	CHECK_ERR(
	    store_scan(f->store, STR("a"), STR_NONE, 1, &small, &row, &count),
	    ERR_NO_MEMORY);
	CHECK_INT(count, 7);
	arena_fini(&small);
}

/* The same random groups as a plain array of what must be there. */
CONFORM(random_groups_agree_with_a_model)
{
	enum { KEYS = 200, ROUNDS = 300 };
	static int model[KEYS]; /* 0 = absent */
	static char names[KEYS][16], texts[KEYS][12];
	unsigned seed = 7;
	uint64_t records, bad;
	struct why why = {.text = ""};
	int present = 0;

	for (int i = 0; i < KEYS; i++)
		snprintf(names[i], sizeof(names[i]), "r%03d", i);
	for (int round = 1; round <= ROUNDS; round++) {
		struct store_write writes[KEYS];
		struct str event = STR("event");
		struct store_group group = {writes, 0, &event, 1};

		for (int i = 0; i < KEYS; i++) {
			int dice = rand_r(&seed) % 10;

			if (dice > 2)
				continue;
			model[i] = dice == 0 ? 0 : round;
			snprintf(texts[i], sizeof(texts[i]), "%d", round);
			writes[group.write_count++] = (struct store_write){
			    str_of(names[i]),
			    dice == 0 ? STR_NONE : str_of(texts[i])};
		}
		CHECK_OK(store_commit(f->store, &f->lease, &f->head, &group));
	}
	CHECK_INT(f->head, ROUNDS);
	for (int i = 0; i < KEYS; i++) {
		struct str got = read_one(f, names[i]);

		CHECK((got.p != NULL) == (model[i] != 0));
		if (got.p)
			CHECK_INT(atoi(arena_str(&f->arena, got).p), model[i]);
		present += got.p != NULL;
	}
	CHECK_OK(store_verify(f->store, &records, &bad, &why));
	CHECK_INT(records, present + ROUNDS);
	CHECK_INT(bad, 0);
}

CONFORM(the_state_says_where_the_store_stands)
{
	const char *event[] = {"e"};
	struct store_state state;
	unsigned cleared = 9;

	CHECK_OK(append(f, event, 1));
	CHECK_OK(store_state(f->store, &state));
	CHECK_INT(state.head_seq, 1);
	CHECK(state.used_bytes > 0);
	CHECK(!state.is_refusing_writes);
	CHECK_OK(store_check_readers(f->store, &cleared));
	CHECK_INT(cleared, 0);
}

#ifdef CHATELLO_FAULTS
CONFORM(a_full_disk_and_a_failed_flush_write_nothing)
{
	fault_set("store-full:1");
	CHECK_ERR(write_one(f, "a", STR("1")), ERR_STORE_FULL);
	CHECK_OK(write_one(f, "b", STR("1")));
	fault_set("store-flush:1");
	CHECK_ERR(write_one(f, "a", STR("1")), ERR_COMMIT_UNKNOWN);
	fault_set(NULL);
	CHECK(read_one(f, "a").p == NULL);
	CHECK_STR(read_one(f, "b"), STR("1"));
}
#endif

TEST(an_unknown_engine_is_named)
{
	struct store_conf conf = {.engine = "paper", .dir = "x"};
	struct store *store = NULL;
	struct why why = {.text = ""};

	CHECK_ERR(store_open(&store, &conf, &why), ERR_CONFIG);
	CHECK(store == NULL);
	CHECK(strstr(why.text, "paper") != NULL);
}
