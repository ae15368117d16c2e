/*
 * ledger_property_test: random lives of AI requests over a few licences. After
 * every step: used + reserved <= limit. After every commit: meters, rollups and
 * the log equal the fold of the lines. A failing run names its seed.
 */
#include "workers/ledger_parts.h"

#include "lib/test.h"

#include <stdio.h>

#define T0 INT64_C(1795248000000) /* 2026-11-21T08:00:00Z */
#define LICENSES 3
#define REQUESTS 24
#define STEPS 1500
#define MONTH_LIMIT 12
#define ROWS_MAX 8192
#define EVENTS_MAX 8192

struct run {
	struct ledger ledger;
	struct arena arena; /* of a step */
	struct arena kept;
	int64_t now_ms;
	uint64_t seed;
	uint64_t random;
	struct str keys[LICENSES];
	struct str ids[LICENSES];
	int64_t attempt;
};

static uint32_t
pick(struct run *run, uint32_t below)
{
	run->random = run->random * UINT64_C(6364136223846793005) +
		      UINT64_C(1442695040888963407);
	return (uint32_t)(run->random >> 33) % below;
}

static struct context
context_of(struct run *run)
{
	struct context context = {.state = &run->ledger,
				  .arena = &run->arena,
				  .now_ms = run->now_ms,
				  .peer = "proxy-0"};

	schema_clear(&failure_schema, &context.failure);
	return context;
}

static void
run_open(struct run *run, uint64_t seed)
{
	struct limit limits[] = {{STR("requests_month"), MONTH_LIMIT},
				 {STR("requests_hour"), 50}};
	struct store_conf conf = {.engine = "memory"};
	struct ledger_init init;
	struct crypto *crypto;
	struct store *store;
	struct context context;
	struct license_issue issue;
	struct license_issued issued;
	struct plan_set plan;
	struct plan_view view;
	unsigned events;

	*run = (struct run){.now_ms = T0, .seed = seed, .random = seed};
	arena_init(&run->arena, 64u << 20);
	arena_init(&run->kept, 1u << 20);
	CHECK_OK(store_open(&store, &conf, NULL));
	CHECK_OK(crypto_make_master_key("master.key", NULL));
	CHECK_OK(crypto_open(&crypto, "master.key", NULL));
	CHECK_OK(ledger_seed(store, crypto, T0, &run->arena, &init, NULL));
	CHECK_OK(ledger_attach(&run->ledger, store, crypto, NULL));
	context = context_of(run);
	schema_clear(&plan_set_schema, &plan);
	plan.code = STR("pro");
	plan.limits = limits;
	plan.limits_count = 2;
	CHECK_OK(ledger_plan_set(&context, &plan, &view));
	schema_clear(&license_issue_schema, &issue);
	issue.email = STR("owner@shop.example");
	issue.plan = STR("pro");
	for (int i = 0; i < LICENSES; i++) {
		CHECK_OK(ledger_license_issue(&context, &issue, &issued));
		run->keys[i] = arena_str(&run->kept, issued.license_key);
		run->ids[i] = arena_str(&run->kept, issued.license_id);
	}
	CHECK_OK(ledger_commit(&run->ledger, &events));
}

static void
run_close(struct run *run)
{
	ledger_close(&run->ledger);
	arena_fini(&run->arena);
	arena_fini(&run->kept);
}

/* --- the steps ----------------------------------------------------------- */

static struct str
request_id(struct run *run, char out[16])
{
	int n = snprintf(out, 16, "r%u", pick(run, REQUESTS));

	return str_bytes(out, (size_t)n);
}

/* Asks; then asks the same again, which must answer the same and put nothing.
 */
static void
step_reserve(struct run *run)
{
	struct context context = context_of(run);
	struct reserved first, again;
	struct reserve in;
	struct group_mark mark;
	char id[16];
	enum err e;

	schema_clear(&reserve_schema, &in);
	in.request_id = request_id(run, id);
	in.key = run->keys[pick(run, LICENSES)];
	in.provider = STR("openai");
	in.model = pick(run, 2) ? STR("gpt-4o") : STR("gpt-4.1");
	in.owner = STR("proxy-0");
	in.owner_start = pick(run, 2);
	in.attempt = run->attempt++;
	in.expires_ms = 1000 + pick(run, 100000);
	in.input_tokens = pick(run, 10000);
	mark = group_mark(run->ledger.group);
	e = ledger_reserve(&context, &in, &first);
	if (e != ERR_OK) {
		CHECK(e == ERR_LIMIT_REACHED || e == ERR_RATE_LIMITED ||
		      e == ERR_DUPLICATE_REQUEST);
		CHECK_INT(group_mark(run->ledger.group).undo_at, mark.undo_at);
		return;
	}
	mark = group_mark(run->ledger.group);
	CHECK_OK(ledger_reserve(&context, &in, &again));
	CHECK_INT(again.rate_remaining, first.rate_remaining);
	CHECK_INT(group_mark(run->ledger.group).undo_at, mark.undo_at);
}

static void
step_settle(struct run *run)
{
	struct context context = context_of(run);
	struct settled first, again;
	struct usage_line line;
	struct settle in;
	struct group_mark mark;
	struct key key;
	char id[16];
	enum err e;

	schema_clear(&settle_schema, &in);
	in.license_id = run->ids[pick(run, LICENSES)];
	in.request_id = request_id(run, id);
	key_usage_line(&key, in.request_id, in.license_id);
	e = group_load(run->ledger.group, &key, &usage_line_schema, &line,
		       &run->arena);
	in.attempt = e == ERR_OK ? line.attempt : 0;
	in.status = pick(run, 3) ? STR("settled") : STR("failed");
	in.model = pick(run, 4) ? STR_NONE : STR("gpt-4o-mini");
	in.input_tokens = pick(run, 10000);
	in.output_tokens = pick(run, 10000);
	in.cache_read_tokens = pick(run, 10000);
	if (e == ERR_NO_SUCH) {
		CHECK_ERR(ledger_settle(&context, &in, &first), ERR_NO_SUCH);
		return;
	}
	CHECK_OK(ledger_settle(&context, &in, &first));
	mark = group_mark(run->ledger.group);
	CHECK_OK(ledger_settle(&context, &in, &again));
	CHECK_INT(again.cost, first.cost);
	CHECK_INT(again.price, first.price);
	CHECK_INT(group_mark(run->ledger.group).undo_at, mark.undo_at);
	CHECK_INT(group_mark(run->ledger.group).event_count, mark.event_count);
	in.attempt = -1;
	CHECK_ERR(ledger_settle(&context, &in, &again), ERR_CONFLICT);
}

static void
step_sweep(struct run *run, bool is_last)
{
	struct ledger_sweep sweep = {.now_ms = run->now_ms,
				     .recorded_ms = run->now_ms,
				     .limit =
					 is_last ? 1000 : 1 + pick(run, 4)};
	int64_t next_ms;
	size_t closed;

	if (pick(run, 2)) {
		sweep.owner = STR("proxy-0");
		sweep.owner_start = pick(run, 2);
	}
	CHECK_OK(ledger_close_open(&run->ledger, &sweep, &closed, &next_ms));
	CHECK(closed <= sweep.limit);
}

/* --- what must hold ------------------------------------------------------ */

static void
check_limits(struct run *run)
{
	for (int i = 0; i < LICENSES; i++) {
		struct meter meter;
		struct key key;
		enum err e;

		key_meter(&key, run->ids[i]);
		e = group_load(run->ledger.group, &key, &meter_schema, &meter,
			       &run->arena);
		if (e == ERR_NO_SUCH)
			continue;
		CHECK_OK(e);
		CHECK(meter.month_used >= 0 && meter.month_reserved >= 0);
		CHECK(meter.month_used + meter.month_reserved <= MONTH_LIMIT);
	}
}

static size_t
scan(struct run *run, char kind, struct store_row *rows)
{
	size_t count;

	CHECK_OK(store_scan(run->ledger.store, str_bytes(&kind, 1), STR_NONE,
			    ROWS_MAX, &run->arena, rows, &count));
	CHECK(count < ROWS_MAX);
	return count;
}

static size_t
load_lines(struct run *run, struct usage_line *lines)
{
	static struct store_row rows[ROWS_MAX];
	size_t count = scan(run, KEY_USAGE_LINE, rows);

	CHECK(count <= LICENSES * REQUESTS);
	for (size_t i = 0; i < count; i++)
		CHECK_OK(schema_decode(&usage_line_schema, rows[i].value,
				       &lines[i], &run->arena, NULL));
	return count;
}

static bool
is(const struct usage_line *line, const char *status)
{
	return str_eq(line->status, str_of(status));
}

static bool
is_used(const struct usage_line *line)
{
	return is(line, "settled") || is(line, "interrupted");
}

static int64_t
none_is_zero(int64_t i)
{
	return i == SCHEMA_INT_NONE ? 0 : i;
}

static void
check_meters(struct run *run, const struct usage_line *lines, size_t count)
{
	for (int i = 0; i < LICENSES; i++) {
		int64_t used = 0, reserved = 0;
		struct meter meter;
		struct key key;
		enum err e;

		key_meter(&key, run->ids[i]);
		e = group_load(run->ledger.group, &key, &meter_schema, &meter,
			       &run->arena);
		if (e == ERR_NO_SUCH)
			continue;
		CHECK_OK(e);
		for (size_t k = 0; k < count; k++) {
			if (!str_eq(lines[k].license_id, run->ids[i]) ||
			    lines[k].month_start != meter.month_start)
				continue;
			used += is_used(&lines[k]);
			reserved += is(&lines[k], "reserved");
		}
		CHECK_INT(meter.month_used, used);
		CHECK_INT(meter.month_reserved, reserved);
	}
}

static void
rollup_of(struct run *run, const struct key *key, struct rollup *out)
{
	enum err e = group_load(run->ledger.group, key, &rollup_schema, out,
				&run->arena);

	if (e == ERR_NO_SUCH)
		*out = (struct rollup){0};
	else
		CHECK_OK(e);
}

/* Each rollup that a line belongs to, against the sum of its lines. */
static void
check_rollups(struct run *run, const struct usage_line *lines, size_t count)
{
	static const struct {
		enum calendar_window window;
		char letter;
	} windows[] = {
	    {WINDOW_HOUR, 'h'}, {WINDOW_DAY, 'd'}, {WINDOW_MONTH, 'm'}};

	for (size_t i = 0; i < count * 3; i++) {
		const struct usage_line *of = &lines[i / 3];
		int64_t start, end, requests = 0, failed = 0, interrupted = 0;
		int64_t cost = 0, input = 0, cached = 0;
		struct rollup rollup;
		struct key key;

		calendar_window(windows[i % 3].window, of->reserved_at,
				"Europe/Rome", &start, &end);
		for (size_t k = 0; k < count; k++) {
			const struct usage_line *line = &lines[k];

			if (!str_eq(line->license_id, of->license_id) ||
			    line->reserved_at < start ||
			    line->reserved_at >= end)
				continue;
			failed += is(line, "failed");
			interrupted += is(line, "interrupted");
			if (!is_used(line))
				continue;
			requests++;
			cost += line->cost;
			input += line->input_tokens;
			cached += none_is_zero(line->cache_read_tokens);
		}
		key_rollup_license(&key, of->license_id, windows[i % 3].letter,
				   start);
		rollup_of(run, &key, &rollup);
		CHECK_INT(rollup.requests, requests);
		CHECK_INT(rollup.failed, failed);
		CHECK_INT(rollup.interrupted, interrupted);
		CHECK_INT(rollup.cost, cost);
		CHECK_INT(rollup.input_tokens, input);
		CHECK_INT(rollup.cache_read_tokens, cached);
	}
}

/* Over all models, windows 'd': the same sums as over all lines. */
static void
check_models(struct run *run, const struct usage_line *lines, size_t count)
{
	static struct store_row rows[ROWS_MAX];
	size_t row_count = scan(run, KEY_ROLLUP_MODEL, rows);
	int64_t requests = 0, failed = 0, cost = 0;

	for (size_t i = 0; i < row_count; i++) {
		struct rollup rollup;

		CHECK_OK(schema_decode(&rollup_schema, rows[i].value, &rollup,
				       &run->arena, NULL));
		CHECK(rollup.requests >= 0 && rollup.failed >= 0);
		CHECK(rollup.cost >= 0 && rollup.output_tokens >= 0);
		requests += rollup.requests;
		failed += rollup.failed;
		cost += rollup.cost;
	}
	for (size_t k = 0; k < count; k++) {
		failed -= 2 * is(&lines[k], "failed"); /* day and month */
		if (!is_used(&lines[k]))
			continue;
		requests -= 2;
		cost -= 2 * lines[k].cost;
	}
	CHECK_INT(requests, 0);
	CHECK_INT(failed, 0);
	CHECK_INT(cost, 0);
}

static int64_t
number_behind(struct str text, const char *name)
{
	const char *at = memmem(text.p, text.n, name, strlen(name));
	int64_t value = 0;

	CHECK(at != NULL);
	for (at += strlen(name); *at >= '0' && *at <= '9'; at++)
		value = value * 10 + (*at - '0');
	return value;
}

/* The log: no gap, and what it adds up to is what the lines cost. */
static void
check_log(struct run *run, const struct usage_line *lines, size_t count)
{
	static struct store_event rows[EVENTS_MAX];
	int64_t cost = 0;
	size_t event_count;

	CHECK_OK(store_tail(run->ledger.store, 0, EVENTS_MAX, &run->arena, rows,
			    &event_count));
	CHECK(event_count < EVENTS_MAX);
	for (size_t i = 0; i < event_count; i++) {
		struct event event;

		CHECK_INT(rows[i].seq, i + 1);
		CHECK_OK(schema_decode(&event_schema, rows[i].bytes, &event,
				       &run->arena, NULL));
		if (!str_eq(event.type, STR("ai_request")))
			continue;
		cost += event.amount;
		if (event.metadata.p)
			cost -= number_behind(event.metadata, "\"was_cost\":");
	}
	for (size_t k = 0; k < count; k++)
		if (is_used(&lines[k]))
			cost -= lines[k].cost;
	CHECK_INT(cost, 0);
}

static void
check_open(struct run *run, const struct usage_line *lines, size_t count)
{
	static struct store_row rows[ROWS_MAX];
	size_t reserved = 0;

	for (size_t k = 0; k < count; k++)
		reserved += is(&lines[k], "reserved");
	CHECK_INT(scan(run, KEY_OPEN, rows), reserved);
}

static void
commit_and_check(struct run *run)
{
	static struct usage_line lines[LICENSES * REQUESTS];
	unsigned events;
	size_t count;

	CHECK_OK(ledger_commit(&run->ledger, &events));
	arena_reset(&run->arena);
	count = load_lines(run, lines);
	check_meters(run, lines, count);
	check_rollups(run, lines, count);
	check_models(run, lines, count);
	check_open(run, lines, count);
	arena_reset(&run->arena);
	count = load_lines(run, lines);
	check_log(run, lines, count);
	arena_reset(&run->arena);
}

static void
step(struct run *run)
{
	static const int64_t ahead_ms[] = {1, 1000, 60000, 3600000,
					   36 * INT64_C(3600000)};
	uint32_t what = pick(run, 100);

	if (what < 45)
		step_reserve(run);
	else if (what < 80)
		step_settle(run);
	else if (what < 88)
		step_sweep(run, false);
	else if (what < 95)
		run->now_ms += ahead_ms[pick(run, 5)];
	else
		commit_and_check(run);
}

static void
live(uint64_t seed)
{
	static struct store_row rows[ROWS_MAX];
	struct run run;

	run_open(&run, seed);
	for (int i = 0; i < STEPS; i++) {
		step(&run);
		check_limits(&run);
	}
	commit_and_check(&run);
	run.now_ms += DAY_MS;
	step_sweep(&run, true);
	commit_and_check(&run);
	CHECK_INT(scan(&run, KEY_OPEN, rows), 0);
	run_close(&run);
}

#define SEED(n)                                                                \
	TEST(ledger_property_seed_##n)                                         \
	{                                                                      \
		live(n);                                                       \
	}
SEED(1)
SEED(2)
SEED(3)
SEED(4)
