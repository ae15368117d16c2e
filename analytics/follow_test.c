/*
 * follow_test: a log in, daily rows out, on both engines: what counts, what
 * does not, ends of days and of subscriptions, late events, restarts, replay.
 */
#include "analytics/follow.h"

#include "analytics/serve.h"
#include "lib/test.h"
#include "store/group.h"

#include <stdio.h>

#define EUR INT64_C(1000000)
#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)
/* 2026-11-21T00:00:00+01:00 */
#define DAY_ONE INT64_C(1795215600000)

struct house {
	struct store *log;
	struct store *rows;
	struct store_lease lease;
	struct group *group;
	struct follow *follow;
	struct arena arena;
	unsigned ids;
};

static void
house_open(struct house *h, const char *engine)
{
	struct store_conf log = {engine, "log", 1 << 28, true};
	struct store_conf rows = {engine, "rows", 1 << 28, true};
	struct why why = {"", ""};

	*h = (struct house){0};
	arena_init(&h->arena, 64u << 20);
	CHECK_OK(store_open(&h->log, &log, &why));
	CHECK_OK(store_open(&h->rows, &rows, &why));
	CHECK_OK(store_lease_take(h->log, &h->lease, &why));
	CHECK_OK(group_open(&h->group, h->log, &h->lease));
	CHECK_OK(follow_open(&h->follow, h->log, h->rows, &why));
}

static void
house_close(struct house *h)
{
	group_close(h->group);
	store_lease_release(h->log, &h->lease);
	follow_close(h->follow);
	arena_fini(&h->arena);
}

#define ON_ENGINES(fn)                                                         \
	static void fn(struct house *h);                                       \
	TEST(fn##_lmdb)                                                        \
	{                                                                      \
		struct house h;                                                \
		house_open(&h, "lmdb");                                        \
		fn(&h);                                                        \
		house_close(&h);                                               \
	}                                                                      \
	TEST(fn##_memory)                                                      \
	{                                                                      \
		struct house h;                                                \
		house_open(&h, "memory");                                      \
		fn(&h);                                                        \
		house_close(&h);                                               \
	}                                                                      \
	static void fn(struct house *h)

/* --- writing the log ------------------------------------------------------ */

static void
say(struct house *h, const char *type, int64_t ms, const struct schema *schema,
    const void *state, const char *customer_id)
{
	struct event event;
	struct buf bytes;
	char id[32];

	snprintf(id, sizeof(id), "evt_%026u", h->ids++);
	buf_init(&bytes, 4096);
	schema_clear(&event_schema, &event);
	event.id = str_of(id);
	event.type = str_of(type);
	event.event_date = event.recorded_at = ms;
	event.workspace = STR("default");
	event.auto_generated = true;
	if (schema == &subscription_schema &&
	    str_eq(str_of(type), STR("plan_upgrade")))
		event.metadata = STR("{\"plan_name\":\"Pro \\u2013 plus\"}");
	if (customer_id)
		event.customer_id = str_of(customer_id);
	if (schema) {
		schema_encode(schema, state, &bytes);
		event.state_kind = schema->number;
		event.state = buf_str(&bytes);
	}
	if (schema == &subscription_schema)
		event.plan = ((const struct subscription *)state)->plan;
	CHECK_OK(group_event(h->group, &event));
	buf_fini(&bytes);
}

static void
say_workspace(struct house *h, const char *locale)
{
	struct workspace workspace;

	schema_clear(&workspace_schema, &workspace);
	workspace.code = STR("default");
	workspace.timezone = STR("Europe/Rome");
	workspace.currency = STR("EUR");
	workspace.locale = str_of(locale);
	say(h, "technical", DAY_ONE, &workspace_schema, &workspace, NULL);
}

static void
say_customer(struct house *h, const char *id, const char *name, int64_t ms)
{
	struct customer customer;

	schema_clear(&customer_schema, &customer);
	customer.id = str_of(id);
	customer.workspace = STR("default");
	customer.name = str_of(name);
	say(h, "new_customer", ms, &customer_schema, &customer, id);
}

static struct subscription
subscription(const char *id, const char *customer_id, int64_t price)
{
	struct subscription s;

	schema_clear(&subscription_schema, &s);
	s.id = str_of(id);
	s.workspace = STR("default");
	s.customer_id = str_of(customer_id);
	s.plan = STR("pro");
	s.status = STR("active");
	s.cycle = STR("month");
	s.price = price;
	s.currency = STR("EUR");
	return s;
}

static void
say_subscription(struct house *h, const char *type,
		 const struct subscription *s, int64_t ms)
{
	char customer_id[33];

	snprintf(customer_id, sizeof(customer_id), "%.*s",
		 STR_ARG(s->customer_id));
	say(h, type, ms, &subscription_schema, s, customer_id);
}

static void
say_usage(struct house *h, const char *request_id, const char *status,
	  int64_t tokens, int64_t ms)
{
	struct usage_line line;

	schema_clear(&usage_line_schema, &line);
	line.request_id = str_of(request_id);
	line.license_id = STR("lic_1");
	line.workspace = STR("default");
	line.status = str_of(status);
	line.input_tokens = tokens;
	line.output_tokens = 2;
	line.cache_read_tokens = 1;
	line.cost = 30;
	say(h, "ai_request", ms, &usage_line_schema, &line, NULL);
}

static void
say_day_closed(struct house *h, int64_t end_ms)
{
	say(h, "day_closed", end_ms - 1, NULL, NULL, NULL);
}

/* --- reading the rows ----------------------------------------------------- */

static void
catch_up(struct house *h)
{
	bool is_behind = true;
	uint64_t head;

	CHECK_OK(group_commit(h->group));
	while (is_behind)
		CHECK_OK(follow_step(h->follow, &is_behind));
	CHECK_OK(follow_head(h->follow, &head));
	CHECK_INT(follow_seq(h->follow), head);
}

static size_t
read_all(struct house *h, struct daily_row **rows)
{
	size_t count;

	CHECK_OK(analytics_read(h->rows, STR("default"), STR_NONE, STR_NONE,
				&h->arena, rows, &count));
	return count;
}

/* --- what counts ---------------------------------------------------------- */

ON_ENGINES(follow_counts_customers_and_revenue)
{
	struct subscription s = subscription("sub_1", "cus_1", 7990000);
	struct subscription year = subscription("sub_2", "cus_2", 290 * EUR);
	struct subscription trial = subscription("sub_3", "cus_1", 29 * EUR);
	struct daily_row *rows;

	say_workspace(h, "it");
	say_customer(h, "cus_1", "TechCorp Italia", DAY_ONE + HOUR);
	say_subscription(h, "license_created", &s, DAY_ONE + HOUR);
	say_customer(h, "cus_2", "StartupMilano", DAY_ONE + HOUR);
	year.cycle = STR("year");
	say_subscription(h, "license_created", &year, DAY_ONE + HOUR);
	trial.status = STR("trial");
	say_subscription(h, "trial_started", &trial, DAY_ONE + HOUR);
	catch_up(h);
	CHECK_INT(read_all(h, &rows), 1);
	CHECK_STR(rows[0].date, STR("2026-11-21"));
	CHECK_INT(rows[0].customers, 2);
	CHECK_INT(rows[0].paying_customers, 2);
	CHECK_INT(rows[0].new_mrr, 7990000 + 24166667);
	CHECK_INT(rows[0].mrr, 7990000 + 24166667);
	CHECK_INT(rows[0].ai_requests, 0);
	CHECK_INT(rows[0].revision, 0);
	CHECK_STR(rows[0].currency, STR("EUR"));
	CHECK_STR(rows[0].notes,
		  STR("🎉 Nuovo cliente: TechCorp Italia • "
		      "🎉 Nuovo cliente: StartupMilano • "
		      "🎫 Nuova licenza Pro: TechCorp Italia • "
		      "🎫 Nuova licenza Pro: StartupMilano • "
		      "🧪 Inizia la prova di Pro: TechCorp Italia"));
}

ON_ENGINES(follow_tells_movements_apart)
{
	struct subscription s = subscription("sub_1", "cus_1", 10 * EUR);
	struct daily_row *rows;

	say_workspace(h, "en");
	say_customer(h, "cus_1", "A", DAY_ONE);
	say_subscription(h, "license_created", &s, DAY_ONE);
	s.price = 30 * EUR;
	say_subscription(h, "plan_upgrade", &s, DAY_ONE + DAY);
	s.price = 25 * EUR;
	say_subscription(h, "plan_downgrade", &s, DAY_ONE + 2 * DAY);
	s.status = STR("suspended");
	say_subscription(h, "license_suspended", &s, DAY_ONE + 3 * DAY);
	s.status = STR("active");
	say_subscription(h, "license_resumed", &s, DAY_ONE + 4 * DAY);
	catch_up(h);
	CHECK_INT(read_all(h, &rows), 5);
	CHECK_INT(rows[0].new_mrr, 10 * EUR);
	CHECK_INT(rows[1].expansion_mrr, 20 * EUR);
	CHECK_INT(rows[1].mrr, 30 * EUR);
	CHECK_INT(rows[2].contraction_mrr, 5 * EUR);
	CHECK_INT(rows[3].churn_mrr, 25 * EUR);
	CHECK_INT(rows[3].mrr, 0);
	CHECK_INT(rows[3].paying_customers, 0);
	CHECK_INT(rows[3].customers, 1);
	CHECK_INT(rows[4].reactivation_mrr, 25 * EUR);
	CHECK_INT(rows[4].new_mrr, 0);
	CHECK_INT(rows[4].paying_customers, 1);
	CHECK_STR(rows[1].notes, STR("📈 Upgrade to Pro – plus: A"));
	CHECK_STR(rows[3].notes, STR("⛔ Pro licence suspended: A"));
}

ON_ENGINES(follow_ends_what_has_ended)
{
	struct subscription s = subscription("sub_1", "cus_1", 10 * EUR);
	struct subscription other = subscription("sub_2", "cus_2", 5 * EUR);
	struct daily_row *rows;

	say_workspace(h, "it");
	s.ends_at = DAY_ONE + DAY + 15 * HOUR; /* in the second day */
	s.cancels_at_end = true;
	other.ends_at = DAY_ONE + 3 * DAY; /* with the end of the third */
	say_subscription(h, "license_created", &s, DAY_ONE);
	say_subscription(h, "license_created", &other, DAY_ONE);
	say_day_closed(h, DAY_ONE + DAY);
	say_day_closed(h, DAY_ONE + 2 * DAY);
	catch_up(h);
	CHECK_INT(read_all(h, &rows), 2);
	CHECK_INT(rows[0].mrr, 15 * EUR);
	CHECK(rows[0].is_closed);
	CHECK_INT(rows[1].churn_mrr, 10 * EUR);
	CHECK_INT(rows[1].mrr, 5 * EUR);
	CHECK_INT(rows[1].paying_customers, 1);
	CHECK_INT(rows[1].revision, 0);
	/* Renewed before its day is closed: it does not end. */
	other.ends_at += 30 * DAY;
	say_subscription(h, "subscription_renewed", &other,
			 DAY_ONE + 2 * DAY + HOUR);
	say_day_closed(h, DAY_ONE + 3 * DAY);
	/* And back after a churn: not new. */
	s.ends_at = DAY_ONE + 60 * DAY;
	s.cancels_at_end = false;
	say_subscription(h, "subscription_renewed", &s,
			 DAY_ONE + 3 * DAY + HOUR);
	catch_up(h);
	CHECK_INT(read_all(h, &rows), 4);
	CHECK_INT(rows[2].churn_mrr, 0);
	CHECK_INT(rows[3].reactivation_mrr, 10 * EUR);
	CHECK_INT(rows[3].mrr, 15 * EUR);
}

ON_ENGINES(follow_counts_ai_requests_once)
{
	struct daily_row *rows;

	say_workspace(h, "it");
	say_usage(h, "a", "settled", 10, DAY_ONE + HOUR);
	say_usage(h, "b", "failed", 10, DAY_ONE + HOUR);
	say_usage(h, "c", "interrupted", 7, DAY_ONE + 23 * HOUR);
	say_usage(h, "d", "interrupted", 5, DAY_ONE + 23 * HOUR);
	catch_up(h);
	CHECK_INT(read_all(h, &rows), 1);
	CHECK_INT(rows[0].ai_requests, 3);
	CHECK_INT(rows[0].input_tokens,
		  10 + 7 + 5); /* not what came from a cache */
	CHECK_INT(rows[0].cost, 90);
	/* One is settled after all, on the next day; one was a failure. */
	say_usage(h, "c", "settled", 9, DAY_ONE + DAY + HOUR);
	say_usage(h, "d", "failed", 0, DAY_ONE + DAY + HOUR);
	catch_up(h);
	CHECK_INT(read_all(h, &rows), 2);
	CHECK_INT(rows[0].ai_requests, 1);
	CHECK_INT(rows[0].input_tokens, 10);
	CHECK_INT(rows[0].cost, 30);
	CHECK_INT(rows[1].ai_requests, 1);
	CHECK_INT(rows[1].input_tokens, 9);
	CHECK_STR(rows[1].notes, STR(""));
}

ON_ENGINES(follow_amends_closed_days)
{
	struct daily_row *rows;

	say_workspace(h, "en");
	say_customer(h, "cus_1", "A", DAY_ONE);
	say_day_closed(h, DAY_ONE + DAY);
	say_day_closed(h, DAY_ONE + 2 * DAY);
	say_usage(h, "a", "settled", 10, DAY_ONE + HOUR);
	catch_up(h);
	CHECK_INT(read_all(h, &rows), 2);
	CHECK_INT(rows[0].revision, 1);
	CHECK_STR(rows[0].notes, STR("🎉 New customer: A"));
	say_customer(h, "cus_2", "B", DAY_ONE + HOUR);
	catch_up(h);
	CHECK_INT(read_all(h, &rows), 2);
	CHECK_INT(rows[0].revision, 2);
	CHECK_INT(rows[0].customers, 2);
	CHECK_INT(rows[1].customers, 2);
	CHECK_INT(rows[1].revision, 0);
	CHECK_STR(rows[0].notes, STR("🎉 New customer: A • 🎉 New customer: B • "
				     "✏️ Amended after the close"));
}

ON_ENGINES(follow_tells_milestones_once)
{
	struct subscription s;
	struct daily_row *rows;
	char id[16], customer_id[16];

	say_workspace(h, "it");
	for (int i = 0; i < 10; i++) {
		snprintf(customer_id, sizeof(customer_id), "cus_%d", i);
		say_customer(h, customer_id, "X", DAY_ONE + i * DAY);
		if (i >= 5)
			continue;
		snprintf(id, sizeof(id), "sub_%d", i);
		s = subscription(id, customer_id, EUR);
		say_subscription(h, "license_created", &s, DAY_ONE + i * DAY);
	}
	catch_up(h);
	CHECK_INT(read_all(h, &rows), 10);
	CHECK(str_ends(rows[4].notes, STR("🏆 Superate 5 licenze attive!")));
	CHECK_STR(rows[9].notes, STR("🎉 Nuovo cliente: X • "
				     "🏆 Superati 10 clienti!"));
	/* Down and up again: told once. */
	s.status = STR("suspended");
	say_subscription(h, "license_suspended", &s, DAY_ONE + 11 * DAY);
	s.status = STR("active");
	say_subscription(h, "license_resumed", &s, DAY_ONE + 11 * DAY);
	catch_up(h);
	CHECK_INT(read_all(h, &rows), 11);
	CHECK(!memmem(rows[10].notes.p, rows[10].notes.n, "🏆", 4));
}

ON_ENGINES(follow_forgets_deleted_customers)
{
	struct subscription s = subscription("sub_1", "cus_1", 10 * EUR);
	struct daily_row *rows;

	say_workspace(h, "it");
	say_customer(h, "cus_1", "A", DAY_ONE);
	s.ends_at = DAY_ONE + DAY;
	say_subscription(h, "license_created", &s, DAY_ONE);
	say(h, "customer_deleted", DAY_ONE + HOUR, NULL, NULL, "cus_1");
	say_day_closed(h, DAY_ONE + DAY);
	catch_up(h);
	CHECK_INT(read_all(h, &rows), 1);
	CHECK_INT(rows[0].customers, 0);
	CHECK_INT(rows[0].paying_customers, 0);
	CHECK_INT(rows[0].mrr, 0);
	CHECK_INT(rows[0].churn_mrr, 10 * EUR);
}

/* --- much, restarts, replay ----------------------------------------------- */

/* A log of many kinds over three days, longer than two chunks. */
static void
say_much(struct house *h)
{
	char id[24], customer_id[24];
	struct subscription s;

	say_workspace(h, "it");
	for (int i = 0; i < 700; i++) {
		int64_t ms = DAY_ONE + (i / 250) * DAY + i;

		snprintf(customer_id, sizeof(customer_id), "cus_%04d", i);
		snprintf(id, sizeof(id), "sub_%04d", i);
		say_customer(h, customer_id, "Società", ms);
		s = subscription(id, customer_id, (i % 7) * EUR);
		s.ends_at = i % 2 ? DAY_ONE + 2 * DAY : SCHEMA_INT_NONE;
		say_subscription(h, "license_created", &s, ms);
		say_usage(h, id, i % 10 ? "settled" : "interrupted", i, ms);
		if (i % 20 == 0)
			say_usage(h, id, "settled", i, ms + HOUR);
		if (i % 250 == 249)
			say_day_closed(h, DAY_ONE + (i / 250 + 1) * DAY);
		if (i % 100 == 99)
			CHECK_OK(group_commit(h->group));
	}
}

static void
check_much(struct house *h)
{
	struct daily_row *rows;

	CHECK_INT(read_all(h, &rows), 3);
	CHECK_INT(rows[2].customers, 700);
	CHECK_INT(rows[0].ai_requests, 250);
	CHECK_INT(rows[1].ai_requests, 250);
	CHECK_INT(rows[2].ai_requests, 200);
	CHECK(rows[1].churn_mrr > 0);
	CHECK_INT(rows[2].churn_mrr, 0);
	CHECK(memmem(rows[0].notes.p, rows[0].notes.n, "e altri", 7) != NULL);
}

ON_ENGINES(follow_replays_byte_for_byte)
{
	struct follow_replayed replayed, again;
	bool is_done = false, is_behind;
	struct store_row left[4];
	struct key prefix;
	size_t count;

	say_much(h);
	catch_up(h);
	check_much(h);
	CHECK_OK(follow_replay_begin(h->follow));
	CHECK_ERR(follow_replay_begin(h->follow), ERR_CONFLICT);
	CHECK_OK(follow_replay_step(h->follow, &is_done, &replayed));
	CHECK(!is_done);
	CHECK_OK(follow_rest(h->follow));
	/* The log and the live rows go on meanwhile. */
	say_usage(h, "meanwhile", "settled", 1, DAY_ONE);
	CHECK_OK(group_commit(h->group));
	CHECK_OK(follow_step(h->follow, &is_behind));
	say_usage(h, "meanwhile too", "settled", 1, DAY_ONE + 2 * DAY);
	CHECK_OK(group_commit(h->group));
	while (!is_done)
		CHECK_OK(follow_replay_step(h->follow, &is_done, &replayed));
	CHECK(replayed.is_identical);
	CHECK_INT(replayed.rows, 3);
	CHECK_INT(replayed.seq, follow_seq(h->follow));
	CHECK(!follow_is_replaying(h->follow));
	CHECK_OK(follow_rest(h->follow));
	/* The old generation goes, the new one stays. */
	catch_up(h);
	row_key_generation(&prefix, 1);
	CHECK_OK(store_scan(h->rows, key_str(&prefix), STR_NONE, 4, &h->arena,
			    left, &count));
	CHECK_INT(count, 0);
	/* And once more the same bytes. */
	CHECK_OK(follow_replay_begin(h->follow));
	for (is_done = false; !is_done;)
		CHECK_OK(follow_replay_step(h->follow, &is_done, &again));
	CHECK_STR(str_of(again.digest), str_of(replayed.digest));
}

static void
reopen(struct house *h)
{
	house_close(h);
	house_open(h, "lmdb");
}

TEST(follow_goes_on_from_its_checkpoint)
{
	struct house h;
	bool is_behind;

	house_open(&h, "lmdb");
	say_much(&h);
	CHECK_OK(group_commit(h.group));
	CHECK_OK(follow_step(h.follow, &is_behind));
	CHECK(is_behind);
	CHECK(follow_seq(h.follow) > 0);
	reopen(&h);
	catch_up(&h);
	check_much(&h);
	reopen(&h);
	catch_up(&h);
	check_much(&h);
	house_close(&h);
}

TEST(follow_drops_a_replay_that_was_cut_short)
{
	struct follow_replayed replayed;
	struct store_row left[4];
	bool is_done = false;
	struct key prefix;
	struct house h;
	size_t count;

	house_open(&h, "lmdb");
	say_much(&h);
	catch_up(&h);
	CHECK_OK(follow_replay_begin(h.follow));
	CHECK_OK(follow_replay_step(h.follow, &is_done, &replayed));
	reopen(&h);
	CHECK(!follow_is_replaying(h.follow));
	catch_up(&h);
	check_much(&h);
	row_key_generation(&prefix, 2);
	CHECK_OK(store_scan(h.rows, key_str(&prefix), STR_NONE, 4, &h.arena,
			    left, &count));
	CHECK_INT(count, 0);
	house_close(&h);
}

/* Writes a day that the log does not give. */
static void
tamper(void)
{
	struct store_conf conf = {"lmdb", "rows", 1 << 28, false};
	struct store_lease lease;
	struct store_write write;
	struct store_group group = {.writes = &write, .write_count = 1};
	struct store *rows;
	uint64_t head;
	struct buf bytes;
	struct key key;
	struct day day;

	CHECK_OK(store_open(&rows, &conf, NULL));
	CHECK_OK(store_lease_take(rows, &lease, NULL));
	CHECK_OK(store_head(rows, &head));
	day_clear(&day);
	day.customers = 99;
	buf_init(&bytes, 4096);
	schema_encode(&day_schema, &day, &bytes);
	row_key_day(&key, 1, STR("default"), STR("2026-11-21"));
	write = (struct store_write){key_str(&key), buf_str(&bytes)};
	CHECK_OK(store_commit(rows, &lease, &head, &group));
	store_lease_release(rows, &lease);
	store_close(rows);
	buf_fini(&bytes);
}

TEST(follow_replay_finds_a_difference)
{
	struct follow_replayed replayed;
	struct daily_row *rows;
	bool is_done = false;
	struct house h;

	house_open(&h, "lmdb");
	say_workspace(&h, "it");
	say_customer(&h, "cus_1", "A", DAY_ONE);
	catch_up(&h);
	house_close(&h);
	tamper();
	house_open(&h, "lmdb");
	CHECK_INT(read_all(&h, &rows), 1);
	CHECK_INT(rows[0].customers, 99);
	CHECK_OK(follow_replay_begin(h.follow));
	while (!is_done)
		CHECK_OK(follow_replay_step(h.follow, &is_done, &replayed));
	CHECK(!replayed.is_identical);
	CHECK_INT(read_all(&h, &rows), 1);
	CHECK_INT(rows[0].customers, 1);
	house_close(&h);
}

TEST(follow_keeps_to_its_log)
{
	struct store_conf log = {"lmdb", "another", 1 << 28, true};
	struct store_conf rows = {"lmdb", "rows", 1 << 28, true};
	struct store *another, *same;
	struct follow *follow;
	struct house h;
	struct why why;

	house_open(&h, "lmdb");
	say_workspace(&h, "it");
	catch_up(&h);
	house_close(&h);
	CHECK_OK(store_open(&another, &log, NULL));
	CHECK_OK(store_open(&same, &rows, NULL));
	CHECK_ERR(follow_open(&follow, another, same, &why), ERR_CONFIG);
	CHECK(strstr(why.text, "ahead of the log") != NULL);
	store_close(another);
	store_close(same);
}

TEST(analytics_show_filters_and_carries_totals)
{
	struct daily_row *rows;
	struct house h;
	size_t count;

	house_open(&h, "memory");
	say_much(&h);
	catch_up(&h);
	CHECK_OK(analytics_read(h.rows, STR("default"), STR("2026-11-22"),
				STR("2026-11-22"), &h.arena, &rows, &count));
	CHECK_INT(count, 1);
	CHECK_STR(rows[0].date, STR("2026-11-22"));
	CHECK_INT(rows[0].customers, 500);
	CHECK_OK(analytics_read(h.rows, STR("other"), STR_NONE, STR_NONE,
				&h.arena, &rows, &count));
	CHECK_INT(count, 0);
	house_close(&h);
}
