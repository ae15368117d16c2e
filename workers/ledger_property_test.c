/*
 * ledger_property_test: random lives of AI requests over a few licences, lived
 * by two ledgers at once: one writes its counters when it likes, the other with
 * every commit. Both die now and then, at any point of a turn, and are opened
 * again. After every step: used + reserved <= limit, and both answer the same.
 * After every commit: meters, rollups and the log equal the fold of the lines,
 * and the counters of both are the same. After a death their stores hold the
 * same counters, byte for byte. A failing run names its seed.
 *
 * Some have every limit there is, of the licence and of the workspace, and are
 * charged for what they use; what they settle is often more than they held. A
 * thousand short ones end with every reservation closed, and with lines,
 * rollups and the usage report that say the same.
 */
#include "workers/ledger_parts.h"

#include "lib/test.h"
#include "workers/report.h"

#include <malloc.h>
#include <stdio.h>

#define T0 INT64_C(1795248000000) /* 2026-11-21T08:00:00Z */
#define LICENSES 8
#define REQUESTS 40
#define STEPS 2000
#define MONTH_LIMIT 12
#define TOKENS_LIMIT 30000
#define SPEND_LIMIT INT64_C(400000)
#define CONCURRENT_LIMIT 3
#define WORKSPACE_MONTH_LIMIT 60
#define WORKSPACE_TOKENS_LIMIT 60000
#define WORKSPACE_SPEND_LIMIT INT64_C(2000000)
#define WORKSPACE_CONCURRENT_LIMIT 8
#define ROWS_MAX 8192
#define EVENTS_MAX 8192

struct run {
	struct ledger ledger;
	struct ledger eager; /* writes its counters with every commit */
	unsigned late;	     /* commits with counters that waited */
	unsigned events;     /* told, both the same once all is shown */
	unsigned eager_events;
	bool has_limits; /* all of them */
	unsigned busy;	 /* licences that are used */
	unsigned refused;
	unsigned clamped;   /* admitted, with less output than was asked for */
	unsigned capped;    /* settled, with less than was used */
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
context_of(struct run *run, struct ledger *ledger)
{
	struct context context = {.state = ledger,
				  .arena = &run->arena,
				  .now_ms = run->now_ms,
				  .peer = "proxy-0"};

	schema_clear(&failure_schema, &context.failure);
	return context;
}

/* All of it into an empty store. */
static void
copy_store(struct run *run, struct store *from, struct store *to)
{
	static struct store_row rows[ROWS_MAX];
	static struct store_write writes[ROWS_MAX];
	static struct store_event events[EVENTS_MAX];
	static struct str bytes[EVENTS_MAX];
	struct store_group group = {.writes = writes, .events = bytes};
	struct store_lease lease;
	uint64_t head = 0;

	for (char kind = ' '; kind <= '~'; kind++) {
		size_t count;

		CHECK_OK(store_scan(from, str_bytes(&kind, 1), STR_NONE,
				    ROWS_MAX, &run->arena, rows, &count));
		for (size_t i = 0; i < count; i++)
			writes[group.write_count++] =
			    (struct store_write){rows[i].key, rows[i].value};
	}
	CHECK_OK(store_tail(from, 0, EVENTS_MAX, &run->arena, events,
			    &group.event_count));
	for (size_t i = 0; i < group.event_count; i++)
		bytes[i] = events[i].bytes;
	CHECK_OK(store_lease_take(to, &lease, NULL));
	CHECK_OK(store_commit(to, &lease, &head, &group));
	store_lease_release(to, &lease);
}

/* Costs are charged, so that money runs out. */
static void
sell_limits(struct run *run, struct context *context)
{
	struct limit limits[] = {
	    {STR("requests_month"), WORKSPACE_MONTH_LIMIT},
	    {STR("requests_hour"), 300},
	    {STR("tokens_minute"), WORKSPACE_TOKENS_LIMIT},
	    {STR("spend_month"), WORKSPACE_SPEND_LIMIT},
	    {STR("concurrent"), WORKSPACE_CONCURRENT_LIMIT}};
	static const char *const models[] = {"gpt-4o", "gpt-4.1",
					     "gpt-4o-mini"};
	struct workspace_view view;
	struct workspace_set in;

	if (!run->has_limits)
		return;
	schema_clear(&workspace_set_schema, &in);
	in.limits = limits;
	in.limits_count = 5;
	CHECK_OK(ledger_workspace_set(context, &in, &view));
	for (int i = 0; i < 3; i++) {
		struct price_view price_view;
		struct price_set price;

		schema_clear(&price_set_schema, &price);
		price.provider = STR("openai");
		price.model = str_of(models[i]);
		price.input = 1000000 * (i + 1);
		price.output = 4000000;
		price.charge_bp = 12000;
		price.per_request = 500;
		CHECK_OK(ledger_price_set(context, &price, &price_view));
	}
}

static void
sell(struct run *run)
{
	struct limit limits[] = {{STR("requests_month"), MONTH_LIMIT},
				 {STR("requests_hour"), 50},
				 {STR("tokens_minute"), TOKENS_LIMIT},
				 {STR("spend_month"), SPEND_LIMIT},
				 {STR("concurrent"), CONCURRENT_LIMIT}};
	struct context context = context_of(run, &run->ledger);
	struct license_issue issue;
	struct license_issued issued;
	struct plan_set plan;
	struct plan_view view;
	unsigned events;

	schema_clear(&plan_set_schema, &plan);
	plan.code = STR("pro");
	plan.limits = limits;
	plan.limits_count = run->has_limits ? 5 : 2;
	CHECK_OK(ledger_plan_set(&context, &plan, &view));
	sell_limits(run, &context);
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
run_open(struct run *run, uint64_t seed, bool has_limits, unsigned busy)
{
	struct store_conf conf = {.engine = "memory"};
	struct ledger_init init;
	struct crypto *crypto;
	struct store *store;

	*run = (struct run){.now_ms = T0,
			    .seed = seed,
			    .random = seed,
			    .has_limits = has_limits,
			    .busy = busy};
	arena_init(&run->arena, 64u << 20);
	arena_init(&run->kept, 1u << 20);
	CHECK_OK(store_open(&store, &conf, NULL));
	CHECK_OK(crypto_open(&crypto, "master.key", NULL));
	CHECK_OK(ledger_seed(store, crypto, T0, &run->arena, &init, NULL));
	CHECK_OK(ledger_attach(&run->ledger, store, crypto, NULL));
	sell(run);
	CHECK_OK(store_open(&store, &conf, NULL));
	CHECK_OK(crypto_open(&crypto, "master.key", NULL));
	copy_store(run, run->ledger.store, store);
	CHECK_OK(ledger_attach(&run->eager, store, crypto, NULL));
}

static void
run_close(struct run *run)
{
	ledger_close(&run->ledger);
	ledger_close(&run->eager);
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

/* Both are asked; both must say the same. */
static enum err
reserve(struct run *run, const struct reserve *in, struct reserved *out)
{
	struct context context = context_of(run, &run->ledger);
	struct context eager_context = context_of(run, &run->eager);
	struct reserved eager;
	enum err e;

	schema_clear(&reserved_schema, out);
	schema_clear(&reserved_schema, &eager);
	e = ledger_reserve(&context, in, out);
	CHECK_INT(ledger_reserve(&eager_context, in, &eager), e);
	CHECK_INT(eager.rate_remaining, out->rate_remaining);
	CHECK_INT(eager.rate_reset_ms, out->rate_reset_ms);
	CHECK_INT(eager.output_tokens, out->output_tokens);
	CHECK_INT(eager.tokens_remaining, out->tokens_remaining);
	run->refused += e != ERR_OK;
	return e;
}

static enum err
settle(struct run *run, const struct settle *in, struct settled *out)
{
	struct context context = context_of(run, &run->ledger);
	struct context eager_context = context_of(run, &run->eager);
	struct settled eager;
	enum err e;

	schema_clear(&settled_schema, out);
	schema_clear(&settled_schema, &eager);
	e = ledger_settle(&context, in, out);
	CHECK_INT(ledger_settle(&eager_context, in, &eager), e);
	CHECK_INT(eager.cost, out->cost);
	return e;
}

/* Asks; then asks the same again, which must answer the same and put nothing.
 */
static void
step_reserve(struct run *run)
{
	struct reserved first, again;
	struct ledger_mark mark;
	struct reserve in;
	char id[16];
	enum err e;

	schema_clear(&reserve_schema, &in);
	in.request_id = request_id(run, id);
	in.key = run->keys[pick(run, run->busy)];
	in.provider = STR("openai");
	in.model = pick(run, 2) ? STR("gpt-4o") : STR("gpt-4.1");
	in.owner = STR("proxy-0");
	in.owner_start = pick(run, 2);
	in.attempt = run->attempt++;
	in.expires_ms = 1000 + pick(run, 100000);
	in.input_tokens = pick(run, 10000);
	if (pick(run, 3))
		in.output_tokens = pick(run, 12000);
	in.choices = pick(run, 4) ? SCHEMA_INT_NONE : 1 + pick(run, 3);
	mark = ledger_mark(&run->ledger);
	e = reserve(run, &in, &first);
	if (e == ERR_OK) {
		mark = ledger_mark(&run->ledger);
		CHECK_OK(reserve(run, &in, &again));
		CHECK_INT(again.rate_remaining, first.rate_remaining);
		CHECK_INT(again.output_tokens, first.output_tokens);
		run->clamped += in.output_tokens != SCHEMA_INT_NONE &&
				first.output_tokens != SCHEMA_INT_NONE &&
				first.output_tokens < in.output_tokens;
	} else {
		CHECK(e == ERR_LIMIT_REACHED || e == ERR_RATE_LIMITED ||
		      e == ERR_DUPLICATE_REQUEST);
	}
	CHECK_INT(ledger_mark(&run->ledger).group.undo_at, mark.group.undo_at);
	CHECK_INT(ledger_mark(&run->ledger).counters, mark.counters);
}

static void
step_settle(struct run *run)
{
	struct settled first, again;
	struct ledger_mark mark, now;
	struct usage_line line;
	struct settle in;
	struct key key;
	char id[16];
	enum err e;

	schema_clear(&settle_schema, &in);
	in.license_id = run->ids[pick(run, run->busy)];
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
		CHECK_ERR(settle(run, &in, &first), ERR_NO_SUCH);
		return;
	}
	CHECK_OK(settle(run, &in, &first));
	mark = ledger_mark(&run->ledger);
	CHECK_OK(settle(run, &in, &again));
	CHECK_INT(again.cost, first.cost);
	CHECK_INT(again.price, first.price);
	CHECK_OK(group_load(run->ledger.group, &key, &usage_line_schema, &line,
			    &run->arena));
	run->capped += str_eq(line.status, STR("settled")) &&
		       line.minute_start != SCHEMA_INT_NONE &&
		       line.counted_tokens < limits_tokens(&line);
	now = ledger_mark(&run->ledger);
	CHECK_INT(now.group.undo_at, mark.group.undo_at);
	CHECK_INT(now.group.event_count, mark.group.event_count);
	CHECK_INT(now.counters, mark.counters);
	in.attempt = -1;
	CHECK_ERR(settle(run, &in, &again), ERR_CONFLICT);
}

/* --- what must hold ------------------------------------------------------ */

/* As it stands, written or not. */
static const union counter_record *
counter_of(struct ledger *ledger, const struct key *key,
	   const struct schema *schema)
{
	struct counter *counter;

	CHECK_OK(counters_find(ledger->counters, key, schema, &counter));
	return &counter->record;
}

static const struct meter *
meter_of(struct run *run, int i)
{
	struct key key;

	key_meter(&key, run->ids[i]);
	return &counter_of(&run->ledger, &key, &meter_schema)->meter;
}

static const struct meter *
workspace_meter(struct run *run)
{
	struct key key;

	key_workspace_meter(&key, STR("default"));
	return &counter_of(&run->ledger, &key, &meter_schema)->meter;
}

static void
check_below(const struct meter *meter, const struct limits *limits)
{
	CHECK(meter->month_used + meter->month_reserved <=
	      limits->requests_month);
	CHECK(meter->month_held >= 0 && meter->month_spent >= 0);
	CHECK(meter->month_spent + meter->month_held <= limits->spend_month);
	CHECK(schema_count(meter->minute_used) >= 0 &&
	      schema_count(meter->minute_reserved) >= 0);
	CHECK(schema_count(meter->minute_used) +
		  schema_count(meter->minute_reserved) <=
	      limits->tokens_minute);
	CHECK(meter->open >= 0 && meter->open <= limits->concurrent);
}

static void
check_all_limits(struct run *run)
{
	static const struct limits own = {50, MONTH_LIMIT, TOKENS_LIMIT,
					  SPEND_LIMIT, CONCURRENT_LIMIT};
	static const struct limits common = {
	    300, WORKSPACE_MONTH_LIMIT, WORKSPACE_TOKENS_LIMIT,
	    WORKSPACE_SPEND_LIMIT, WORKSPACE_CONCURRENT_LIMIT};

	for (int i = 0; i < LICENSES; i++)
		if (meter_of(run, i)->month_start != SCHEMA_INT_NONE)
			check_below(meter_of(run, i), &own);
	if (workspace_meter(run)->admissions != SCHEMA_INT_NONE)
		check_below(workspace_meter(run), &common);
}

static void
check_limits(struct run *run)
{
	if (run->has_limits)
		check_all_limits(run);
	for (int i = 0; i < LICENSES; i++) {
		const struct meter *meter = meter_of(run, i);

		if (meter->month_start == SCHEMA_INT_NONE)
			continue;
		CHECK(meter->month_used >= 0 && meter->month_reserved >= 0);
		CHECK(meter->month_used + meter->month_reserved <= MONTH_LIMIT);
	}
}

static size_t
scan(struct run *run, const struct ledger *ledger, char kind,
     struct store_row *rows)
{
	size_t count;

	CHECK_OK(store_scan(ledger->store, str_bytes(&kind, 1), STR_NONE,
			    ROWS_MAX, &run->arena, rows, &count));
	CHECK(count < ROWS_MAX);
	return count;
}

static size_t
load_lines(struct run *run, struct usage_line *lines)
{
	static struct store_row rows[ROWS_MAX];
	size_t count = scan(run, &run->ledger, KEY_USAGE_LINE, rows);

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

/* Adds the line to what its meter should be; month and minute are set. */
static void
meter_add(struct meter *meter, const struct usage_line *line,
	  int64_t minute_first)
{
	bool is_month = line->month_start == meter->month_start;
	bool is_minute = minute_first != SCHEMA_INT_NONE &&
			 minute_first == meter->minute_first;

	if (is(line, "reserved")) {
		meter->open++;
		meter->month_reserved += is_month;
		meter->month_held +=
		    is_month ? schema_count(line->held_price) : 0;
		meter->minute_reserved += is_minute ? line->counted_tokens : 0;
	} else if (is_used(line)) {
		meter->month_used += is_month;
		meter->month_spent += is_month ? line->price : 0;
		meter->minute_used += is_minute ? line->counted_tokens : 0;
	}
}

static void
check_meter(const struct meter *meter, const struct usage_line *lines,
	    size_t count, struct str license_id)
{
	struct meter sum = {.month_start = meter->month_start,
			    .minute_first = meter->minute_first};

	if (meter->admissions == SCHEMA_INT_NONE)
		return;
	for (size_t k = 0; k < count; k++)
		if (license_id.p == NULL ||
		    str_eq(lines[k].license_id, license_id))
			meter_add(&sum, &lines[k],
				  license_id.p
				      ? lines[k].minute_first
				      : lines[k].workspace_minute_first);
	CHECK_INT(meter->open, sum.open);
	CHECK_INT(meter->month_used, sum.month_used);
	CHECK_INT(meter->month_reserved, sum.month_reserved);
	CHECK_INT(meter->month_held, sum.month_held);
	CHECK_INT(meter->month_spent, sum.month_spent);
	CHECK_INT(schema_count(meter->minute_used), sum.minute_used);
	CHECK_INT(schema_count(meter->minute_reserved), sum.minute_reserved);
}

static void
check_meters(struct run *run, const struct usage_line *lines, size_t count)
{
	for (int i = 0; i < LICENSES; i++)
		check_meter(meter_of(run, i), lines, count, run->ids[i]);
	if (run->has_limits)
		check_meter(workspace_meter(run), lines, count, STR_NONE);
}

static bool
is_within(const struct usage_line *line, bool is_month, int64_t start,
	  int64_t end)
{
	int64_t at = is_month ? line->month_start : line->reserved_at;

	return at >= start && at < end;
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
		int64_t cost = 0, price = 0, input = 0, cached = 0;
		const struct rollup *rollup;
		struct key key;

		/* A clock that goes back a little does not leave the month. */
		calendar_window(windows[i % 3].window,
				i % 3 == 2 ? of->month_start : of->reserved_at,
				"Europe/Rome", &start, &end);
		for (size_t k = 0; k < count; k++) {
			const struct usage_line *line = &lines[k];

			if (!str_eq(line->license_id, of->license_id) ||
			    !is_within(line, i % 3 == 2, start, end))
				continue;
			failed += is(line, "failed");
			interrupted += is(line, "interrupted");
			if (!is_used(line))
				continue;
			requests++;
			cost += line->cost;
			price += line->price;
			input += line->input_tokens;
			cached += schema_count(line->cache_read_tokens);
		}
		key_rollup_license(&key, of->license_id, windows[i % 3].letter,
				   start);
		rollup =
		    &counter_of(&run->ledger, &key, &rollup_schema)->rollup;
		CHECK_INT(schema_count(rollup->requests), requests);
		CHECK_INT(schema_count(rollup->failed), failed);
		CHECK_INT(schema_count(rollup->interrupted), interrupted);
		CHECK_INT(schema_count(rollup->cost), cost);
		CHECK_INT(schema_count(rollup->price), price);
		CHECK_INT(schema_count(rollup->input_tokens), input);
		CHECK_INT(schema_count(rollup->cache_read_tokens), cached);
	}
}

/* Over all models, windows 'd': the same sums as over all lines. */
static void
check_models(struct run *run, const struct usage_line *lines, size_t count)
{
	static struct store_row rows[ROWS_MAX];
	size_t row_count = scan(run, &run->eager, KEY_ROLLUP_MODEL, rows);
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
	CHECK_INT(scan(run, &run->ledger, KEY_OPEN, rows), reserved);
}

static const struct schema *
counter_schema(struct str key)
{
	if (key.p[0] == KEY_WORKSPACE_METER)
		return &meter_schema;
	return key.p[0] == KEY_ROLLUP_MODEL ||
		       memchr("hdm", key.p[key.n - 9], 3)
		   ? &rollup_schema
		   : &meter_schema;
}

/* What the eager one has in its store, the other one has, there or not. */
static void
check_same(struct run *run, char kind)
{
	static struct store_row rows[ROWS_MAX];
	size_t count = scan(run, &run->eager, kind, rows);

	for (size_t i = 0; i < count; i++) {
		const struct schema *schema = counter_schema(rows[i].key);
		union counter_record record;
		struct key key = {.n = rows[i].key.n};

		memcpy(key.p, rows[i].key.p, key.n);
		CHECK_OK(schema_decode(schema, rows[i].value, &record,
				       &run->arena, NULL));
		CHECK(memcmp(counter_of(&run->ledger, &key, schema), &record,
			     schema->size) == 0);
	}
}

static void
check_same_store(struct run *run, char kind)
{
	static struct store_row rows[ROWS_MAX], eager[ROWS_MAX];
	size_t count = scan(run, &run->ledger, kind, rows);

	CHECK_INT(scan(run, &run->eager, kind, eager), count);
	for (size_t i = 0; i < count; i++) {
		CHECK(str_eq(rows[i].key, eager[i].key));
		CHECK(str_eq(rows[i].value, eager[i].value));
	}
}

static void
commit(struct run *run)
{
	unsigned events, eager_events;

	ledger_hasten(&run->eager);
	CHECK_OK(ledger_commit(&run->ledger, &events));
	CHECK_OK(ledger_commit(&run->eager, &eager_events));
	run->events += events;
	run->eager_events += eager_events;
	CHECK(!ledger_is_late(&run->eager));
	run->late += ledger_is_late(&run->ledger);
}

/* One of them rests: also with lines and counters that the store lacks. */
static void
commit_and_rest(struct run *run)
{
	commit(run);
	CHECK_OK(ledger_rest(&run->ledger));
}

static void
step_sweep(struct run *run, bool is_last)
{
	struct ledger_sweep sweep = {.now_ms = run->now_ms,
				     .recorded_ms = run->now_ms,
				     .limit =
					 is_last ? 1000 : 1 + pick(run, 4)};
	size_t closed, eager_closed;
	int64_t next_ms;

	/* It goes by what the store has. */
	ledger_hasten(&run->ledger);
	commit(run);
	if (pick(run, 2)) {
		sweep.owner = STR("proxy-0");
		sweep.owner_start = pick(run, 2);
	}
	CHECK_OK(ledger_close_open(&run->ledger, &sweep, &closed, &next_ms));
	CHECK(closed <= sweep.limit);
	CHECK_OK(
	    ledger_close_open(&run->eager, &sweep, &eager_closed, &next_ms));
	CHECK_INT(eager_closed, closed);
}

static void
commit_and_check(struct run *run)
{
	static struct usage_line lines[LICENSES * REQUESTS];
	size_t count;

	run->ledger.is_shown = true;
	commit(run);
	CHECK_INT(run->events, run->eager_events);
	arena_reset(&run->arena);
	count = load_lines(run, lines);
	check_meters(run, lines, count);
	check_rollups(run, lines, count);
	check_models(run, lines, count);
	check_open(run, lines, count);
	arena_reset(&run->arena);
	check_same(run, KEY_ROLLUP_LICENSE);
	check_same(run, KEY_ROLLUP_MODEL);
	check_same(run, KEY_WORKSPACE_METER);
	arena_reset(&run->arena);
	count = load_lines(run, lines);
	check_log(run, lines, count);
	arena_reset(&run->arena);
}

/* Ends without a word, and is opened again. */
static void
die(struct ledger *ledger)
{
	struct crypto *crypto = ledger->crypto;
	struct store *store = ledger->store;

	counters_close(ledger->counters);
	group_close(ledger->group);
	ledger_cache_close(ledger->cache);
	buf_fini(&ledger->scratch);
	store_lease_release(store, &ledger->lease);
	CHECK_OK(ledger_attach(ledger, store, crypto, NULL));
}

static void
step_die(struct run *run)
{
	die(&run->ledger);
	die(&run->eager);
	run->events = run->eager_events = 0;
	arena_reset(&run->arena);
	check_same_store(run, KEY_ROLLUP_LICENSE);
	check_same_store(run, KEY_ROLLUP_MODEL);
	check_same_store(run, KEY_WORKSPACE_METER);
	commit_and_check(run);
}

static void
step(struct run *run)
{
	static const int64_t ahead_ms[] = {
	    1, 1000, 60000, 3600000, -3700000, 36 * INT64_C(3600000)};
	uint32_t what = pick(run, 100);

	if (what < 45)
		step_reserve(run);
	else if (what < 75)
		step_settle(run);
	else if (what < 77)
		step_sweep(run, false);
	else if (what < 83)
		run->now_ms += ahead_ms[pick(run, 6)];
	else if (what < 92)
		commit(run);
	else if (what < 94)
		commit_and_rest(run);
	else if (what < 98)
		commit_and_check(run);
	else if (what < 99)
		ledger_hasten(&run->ledger); /* as its timer does */
	else
		step_die(run);
}

/* Each licence's report against its lines; all in the month that holds now. */
static void
check_reports(struct run *run)
{
	static struct usage_line lines[LICENSES * REQUESTS];
	size_t count = load_lines(run, lines);

	for (int i = 0; i < LICENSES; i++) {
		unsigned char hash[CRYPTO_HASH_BYTES];
		struct report_subject subject;
		struct usage_report report;
		struct key key;
		struct str stored;
		int64_t requests = 0, price = 0, cost = 0, output = 0;

		key_license_id(&key, run->ids[i]);
		CHECK_OK(group_load_bytes(run->ledger.group, &key, &stored,
					  &run->arena));
		memcpy(hash, stored.p, sizeof(hash));
		CHECK_OK(report_load(run->ledger.store,
				     str_bytes(hash, sizeof(hash)), run->now_ms,
				     &run->arena, &subject));
		schema_clear(&usage_report_schema, &report);
		CHECK_OK(report_usage(run->ledger.store, &subject, run->now_ms,
				      &run->arena, &report));
		for (size_t k = 0; k < count; k++) {
			if (!str_eq(lines[k].license_id, run->ids[i]) ||
			    !is_used(&lines[k]))
				continue;
			requests++;
			price += lines[k].price;
			cost += lines[k].cost;
			output += schema_count(lines[k].output_tokens);
		}
		CHECK_INT(report.reserved, 0);
		CHECK_INT(report.month.requests, requests);
		CHECK_INT(report.month.price, price);
		CHECK_INT(report.month.cost, cost);
		CHECK_INT(report.month.output_tokens, output);
	}
}

static void
run_end(struct run *run, int64_t later_ms)
{
	static struct store_row rows[ROWS_MAX];

	commit_and_check(run);
	run->now_ms += later_ms; /* behind each expiry */
	step_sweep(run, true);
	check_limits(run);
	ledger_hasten(&run->ledger);
	commit_and_check(run);
	CHECK_INT(scan(run, &run->ledger, KEY_OPEN, rows), 0);
}

static void
live(uint64_t seed, bool has_limits)
{
	struct run run;

	CHECK_OK(crypto_make_master_key("master.key", NULL));
	run_open(&run, seed, has_limits, LICENSES);
	for (int i = 0; i < STEPS; i++) {
		step(&run);
		check_limits(&run);
	}
	run_end(&run, DAY_MS);
	CHECK(run.late > STEPS / 100); /* or nothing was tried */
	CHECK(!has_limits || (run.clamped > 0 && run.capped > 0));
	run_close(&run);
}

/* Many at a time, in one month, with deaths. */
static void
short_step(struct run *run)
{
	uint32_t what = pick(run, 100);

	if (what < 50)
		step_reserve(run);
	else if (what < 82)
		step_settle(run);
	else if (what < 85)
		step_sweep(run, false);
	else if (what < 90)
		run->now_ms += pick(run, 40000);
	else if (what < 96)
		commit(run);
	else if (what < 98)
		commit_and_rest(run);
	else
		step_die(run);
}

static void
live_shortly(uint64_t first_seed)
{
	unsigned refused = 0, clamped = 0, capped = 0;

	/* Large tables come from the kernel, so that nothing clears them. */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	CHECK_OK(crypto_make_master_key("master.key", NULL));
	for (uint64_t seed = first_seed; seed < first_seed + 250; seed++) {
		struct run run;

		run_open(&run, seed, true, 2);
		for (int i = 0; i < 60; i++) {
			short_step(&run);
			check_limits(&run);
		}
		run_end(&run, 1000000);
		check_reports(&run);
		refused += run.refused;
		clamped += run.clamped;
		capped += run.capped;
		run_close(&run);
	}
	CHECK(refused > 1000 && clamped > 100 && capped > 30);
}

#define SEED(n)                                                                \
	TEST(ledger_property_seed_##n)                                         \
	{                                                                      \
		live(n, false);                                                \
	}                                                                      \
	TEST(ledger_property_limits_seed_##n)                                  \
	{                                                                      \
		live(n, true);                                                 \
	}                                                                      \
	TEST_LIMITED(ledger_property_short_runs_##n, 240)                      \
	{                                                                      \
		live_shortly(n * 1000);                                        \
	}
SEED(1)
SEED(2)
SEED(3)
SEED(4)
