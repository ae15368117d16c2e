/*
 * ledger_limits_test: limits of licences and of workspaces through the ledger's
 * handlers: what is refused and granted, what a settlement may charge, and a
 * workspace that gets limits in the middle of a month.
 */
#include "workers/ledger_parts.h"

#include "lib/test.h"

#define T0 INT64_C(1795248000000) /* 2026-11-21T08:00:00Z */
#define NONE SCHEMA_INT_NONE

struct house {
	struct ledger ledger;
	struct arena arena;
	int64_t now_ms;
	struct failure failure; /* of the last call */
	struct license_issued license;
	int64_t attempt;
};

static enum err
call(struct house *h, handler_fn *fn, const struct schema *schema,
     const void *in, void *out)
{
	struct context context = {.state = &h->ledger,
				  .arena = &h->arena,
				  .now_ms = h->now_ms,
				  .peer = "tools"};
	unsigned events;
	enum err e;

	schema_clear(&failure_schema, &context.failure);
	schema_clear(schema, out);
	e = fn(&context, in, out);
	h->failure = context.failure;
	CHECK_OK(ledger_commit(&h->ledger, &events));
	return e;
}

static void
plan_limit(struct house *h, const char *name, int64_t value)
{
	struct limit limit = {str_of(name), value};
	struct plan_set in;
	struct plan_view out;

	schema_clear(&plan_set_schema, &in);
	in.code = STR("agency");
	in.limits = &limit;
	in.limits_count = 1;
	CHECK_OK(call(h, ledger_plan_set, &plan_view_schema, &in, &out));
}

static enum err
workspace_limit(struct house *h, const char *workspace, const char *name,
		int64_t value, struct workspace_view *out)
{
	struct limit limit = {str_of(name), value};
	struct workspace_view none;
	struct workspace_set in;

	schema_clear(&workspace_set_schema, &in);
	if (workspace)
		in.workspace = str_of(workspace);
	in.limits = &limit;
	in.limits_count = 1;
	return call(h, ledger_workspace_set, &workspace_view_schema, &in,
		    out ? out : &none);
}

static struct license_issued
issue(struct house *h)
{
	struct license_issue in;
	struct license_issued out;

	schema_clear(&license_issue_schema, &in);
	in.email = STR("owner@shop.example");
	in.plan = STR("agency");
	CHECK_OK(
	    call(h, ledger_license_issue, &license_issued_schema, &in, &out));
	return out;
}

/* A million tokens cost a unit in, two out, and are charged as they are. */
static void
house_open(struct house *h)
{
	struct store_conf conf = {.engine = "memory"};
	struct ledger_init init;
	struct price_view view;
	struct price_set price;
	struct crypto *crypto;
	struct store *store;

	*h = (struct house){.now_ms = T0};
	arena_init(&h->arena, 64u << 20);
	CHECK_OK(store_open(&store, &conf, NULL));
	CHECK_OK(crypto_make_master_key("master.key", NULL));
	CHECK_OK(crypto_open(&crypto, "master.key", NULL));
	CHECK_OK(ledger_seed(store, crypto, T0, &h->arena, &init, NULL));
	CHECK_OK(ledger_attach(&h->ledger, store, crypto, NULL));
	schema_clear(&price_set_schema, &price);
	price.provider = STR("openai");
	price.model = STR("gpt-4o");
	price.input = price.cache_read = price.cache_write = 1000000;
	price.output = 2000000;
	price.charge_bp = 10000;
	CHECK_OK(call(h, ledger_price_set, &price_view_schema, &price, &view));
	plan_limit(h, "requests_month", NONE);
	h->license = issue(h);
}

static void
house_close(struct house *h)
{
	ledger_close(&h->ledger);
	arena_fini(&h->arena);
}

/* The ledger ends without a word and is opened again. */
static void
house_die(struct house *h)
{
	struct crypto *crypto = h->ledger.crypto;
	struct store *store = h->ledger.store;

	counters_close(h->ledger.counters);
	group_close(h->ledger.group);
	ledger_cache_close(h->ledger.cache);
	buf_fini(&h->ledger.scratch);
	store_lease_release(store, &h->ledger.lease);
	CHECK_OK(ledger_attach(&h->ledger, store, crypto, NULL));
}

/* 100 tokens of prompt. */
static enum err
reserve(struct house *h, struct str key, const char *id, int64_t output,
	struct reserved *out)
{
	struct reserved none;
	struct reserve in;

	schema_clear(&reserve_schema, &in);
	in.request_id = str_of(id);
	in.key = key;
	in.provider = STR("openai");
	in.model = STR("gpt-4o");
	in.owner = STR("proxy-0");
	in.owner_start = 7;
	in.attempt = ++h->attempt;
	in.expires_ms = 600000;
	in.input_tokens = 100;
	in.output_tokens = output;
	return call(h, ledger_reserve, &reserved_schema, &in,
		    out ? out : &none);
}

static struct usage_line
line_of(struct house *h, const char *id)
{
	struct usage_line line;
	struct key key;

	key_usage_line(&key, str_of(id), h->license.license_id);
	CHECK_OK(group_load(h->ledger.group, &key, &usage_line_schema, &line,
			    &h->arena));
	return line;
}

static struct settled
settle(struct house *h, const char *id, const char *status, int64_t input,
       int64_t output)
{
	struct settle in;
	struct settled out;

	schema_clear(&settle_schema, &in);
	in.license_id = h->license.license_id;
	in.request_id = str_of(id);
	in.attempt = line_of(h, id).attempt;
	in.status = str_of(status);
	in.input_tokens = input;
	in.output_tokens = output;
	CHECK_OK(call(h, ledger_settle, &settled_schema, &in, &out));
	return out;
}

static struct meter
meter_at(struct house *h, const struct key *key)
{
	struct counter *counter;

	CHECK_OK(
	    counters_find(h->ledger.counters, key, &meter_schema, &counter));
	return counter->record.meter;
}

static struct meter
license_meter(struct house *h)
{
	struct key key;

	key_meter(&key, h->license.license_id);
	return meter_at(h, &key);
}

static struct meter
workspace_meter(struct house *h)
{
	struct key key;

	key_workspace_meter(&key, STR("default"));
	return meter_at(h, &key);
}

TEST(ledger_limits_say_which_one_and_when)
{
	struct reserved out;
	struct house h;

	house_open(&h);
	plan_limit(&h, "tokens_minute", 1000);
	CHECK_OK(reserve(&h, h.license.license_key, "r1", NONE, &out));
	CHECK_INT(out.output_tokens, 900);
	CHECK_INT(out.tokens_limit, 1000);
	CHECK_INT(out.tokens_remaining, 0);
	CHECK_INT(out.tokens_reset_ms, 60000);
	CHECK_ERR(reserve(&h, h.license.license_key, "r2", NONE, NULL),
		  ERR_RATE_LIMITED);
	CHECK_STR(h.failure.limit, STR("tokens_minute"));
	CHECK_INT(h.failure.retry_after_ms, 60000);
	CHECK(str_starts(h.failure.message, STR("too many requests")));
	/* Given back. */
	settle(&h, "r1", "failed", 0, 0);
	CHECK_OK(reserve(&h, h.license.license_key, "r2", 300, &out));
	CHECK_INT(out.output_tokens, 300);
	CHECK_INT(out.tokens_remaining, 600);
	settle(&h, "r2", "settled", 90, 10);
	CHECK_OK(reserve(&h, h.license.license_key, "r3", 5000, &out));
	CHECK_INT(out.output_tokens, 800);

	plan_limit(&h, "tokens_minute", NONE);
	CHECK_OK(workspace_limit(&h, NULL, "concurrent", 1, NULL));
	CHECK_OK(reserve(&h, h.license.license_key, "r4", NONE, &out));
	CHECK_INT(out.output_tokens, NONE);
	CHECK_ERR(reserve(&h, issue(&h).license_key, "r5", NONE, NULL),
		  ERR_RATE_LIMITED);
	CHECK_STR(h.failure.limit, STR("workspace.concurrent"));
	house_close(&h);
}

/* One that used more than it held is charged no more than is left. */
TEST(ledger_limits_are_never_charged_beyond)
{
	struct reserved out;
	struct settled settled;
	struct house h;

	house_open(&h);
	plan_limit(&h, "spend_month", 1000);
	CHECK_OK(reserve(&h, h.license.license_key, "r1", 50, &out));
	CHECK_OK(reserve(&h, h.license.license_key, "r2", 50, &out));
	CHECK_INT(license_meter(&h).month_held, 400);
	settled = settle(&h, "r1", "settled", 700, 40);
	CHECK_INT(settled.cost, 780); /* 200 held, 600 left */
	CHECK_INT(settled.price, 780);
	settled = settle(&h, "r2", "settled", 100, 500);
	CHECK_INT(settled.cost, 1100);
	CHECK_INT(settled.price, 220);
	CHECK_INT(license_meter(&h).month_spent, 1000);
	CHECK_INT(license_meter(&h).month_held, 0);
	CHECK_ERR(reserve(&h, h.license.license_key, "r3", 16, NULL),
		  ERR_LIMIT_REACHED);
	CHECK_STR(h.failure.limit, STR("spend_month"));
	/* Without the limit nothing is cut. */
	plan_limit(&h, "spend_month", NONE);
	CHECK_OK(reserve(&h, h.license.license_key, "r4", 50, &out));
	CHECK_INT(settle(&h, "r4", "settled", 5000, 0).price, 5000);
	house_close(&h);
}

TEST(ledger_limits_of_what_was_interrupted)
{
	struct ledger_sweep sweep = {T0 + 600000, T0 + 1000, STR_NONE, 0, 10};
	int64_t next_ms;
	size_t closed;
	unsigned events;
	struct house h;

	house_open(&h);
	plan_limit(&h, "spend_month", 1000);
	plan_limit(&h, "tokens_minute", 600);
	CHECK_OK(reserve(&h, h.license.license_key, "r1", 400, NULL));
	CHECK_INT(license_meter(&h).month_held, 900);
	CHECK_INT(license_meter(&h).minute_reserved, 500);
	ledger_hasten(&h.ledger);
	CHECK_OK(ledger_commit(&h.ledger, &events));
	CHECK_OK(ledger_close_open(&h.ledger, &sweep, &closed, &next_ms));
	CHECK_OK(ledger_commit(&h.ledger, &events));
	CHECK_INT(closed, 1);
	CHECK_INT(license_meter(&h).month_spent, 100);
	CHECK_INT(license_meter(&h).month_held, 0);
	CHECK_INT(license_meter(&h).minute_used, 100);
	CHECK_INT(license_meter(&h).minute_reserved, 0);
	/* What was given back is another's now. */
	CHECK_OK(reserve(&h, h.license.license_key, "r2", 350, NULL));
	CHECK_INT(settle(&h, "r1", "settled", 100, 400).price, 200);
	CHECK_INT(license_meter(&h).minute_used, 150);
	CHECK_INT(license_meter(&h).minute_reserved, 450);
	CHECK_INT(license_meter(&h).month_spent, 200);
	CHECK_INT(line_of(&h, "r1").output_tokens, 400);
	CHECK_INT(line_of(&h, "r1").cost, 900);
	house_close(&h);
}

TEST(ledger_limits_hold_behind_a_kill)
{
	struct meter own, common;
	struct house h;

	house_open(&h);
	plan_limit(&h, "spend_month", 5000);
	plan_limit(&h, "tokens_minute", 5000);
	CHECK_OK(workspace_limit(&h, NULL, "tokens_minute", 2000, NULL));
	CHECK_OK(reserve(&h, h.license.license_key, "r1", 400, NULL));
	CHECK_OK(reserve(&h, h.license.license_key, "r2", 400, NULL));
	CHECK_OK(reserve(&h, h.license.license_key, "r3", 400, NULL));
	settle(&h, "r1", "settled", 80, 20);
	settle(&h, "r2", "failed", 0, 0);
	own = license_meter(&h);
	common = workspace_meter(&h);
	CHECK_INT(own.open, 1);
	CHECK_INT(common.minute_used, 100);
	CHECK_INT(common.minute_reserved, 500);
	house_die(&h);
	CHECK_INT(license_meter(&h).minute_used, own.minute_used);
	CHECK_INT(license_meter(&h).month_held, own.month_held);
	CHECK_INT(license_meter(&h).month_spent, own.month_spent);
	CHECK_INT(license_meter(&h).open, 1);
	CHECK_INT(workspace_meter(&h).minute_used, 100);
	CHECK_INT(workspace_meter(&h).minute_reserved, 500);
	CHECK_INT(workspace_meter(&h).open, 1);
	CHECK_INT(workspace_meter(&h).admissions, common.admissions);
	house_close(&h);
}

TEST(ledger_workspace_set_merges_and_refuses)
{
	struct workspace_view out;
	struct house h;

	house_open(&h);
	CHECK_ERR(workspace_limit(&h, NULL, "rooms", 1, NULL), ERR_BAD_FIELD);
	CHECK_STR(h.failure.field, STR("limits"));
	CHECK_ERR(workspace_limit(&h, "nope", "concurrent", 1, NULL),
		  ERR_WORKSPACE_UNKNOWN);
	CHECK_OK(workspace_limit(&h, NULL, "concurrent", 5, &out));
	CHECK_INT(out.limits_count, 1);
	CHECK_OK(workspace_limit(&h, "default", "spend_month", 77, &out));
	CHECK_INT(out.limits_count, 2);
	CHECK_OK(workspace_limit(&h, NULL, "concurrent", NONE, &out));
	CHECK_INT(out.limits_count, 1);
	CHECK_STR(out.limits[0].name, STR("spend_month"));
	CHECK_INT(out.limits[0].value, 77);
	CHECK_STR(out.code, STR("default"));
	house_close(&h);
}

/* What was used before, and what is on its way, counts. */
TEST(ledger_workspace_limits_begin_in_mid_month)
{
	struct house h;

	house_open(&h);
	CHECK_OK(reserve(&h, h.license.license_key, "r1", 50, NULL));
	settle(&h, "r1", "settled", 100, 50);
	CHECK_OK(reserve(&h, h.license.license_key, "r2", 50, NULL));
	CHECK_INT(workspace_meter(&h).open, NONE);
	house_die(&h);
	CHECK_OK(reserve(&h, h.license.license_key, "r3", 50, NULL));
	settle(&h, "r3", "settled", 100, 50);
	CHECK_OK(workspace_limit(&h, NULL, "requests_month", 4, NULL));
	CHECK_INT(workspace_meter(&h).month_used, 2);
	CHECK_INT(workspace_meter(&h).month_spent, 400);
	settle(&h, "r2", "settled", 100, 50);
	CHECK_INT(workspace_meter(&h).month_used, 3);
	CHECK_INT(workspace_meter(&h).month_reserved, 0);
	CHECK_OK(reserve(&h, h.license.license_key, "r4", 50, NULL));
	CHECK_ERR(reserve(&h, h.license.license_key, "r5", 50, NULL),
		  ERR_LIMIT_REACHED);
	CHECK_STR(h.failure.limit, STR("workspace.requests_month"));
	/* Without limits nothing is counted; what is open comes to its end. */
	CHECK_OK(workspace_limit(&h, NULL, "requests_month", NONE, NULL));
	CHECK_OK(reserve(&h, h.license.license_key, "r5", 50, NULL));
	CHECK_INT(workspace_meter(&h).open, 1);
	settle(&h, "r4", "settled", 100, 50);
	CHECK_INT(workspace_meter(&h).open, 0);
	settle(&h, "r5", "settled", 100, 50);
	CHECK_OK(workspace_limit(&h, NULL, "spend_month", 5000, NULL));
	CHECK_INT(workspace_meter(&h).month_used, 5);
	CHECK_INT(workspace_meter(&h).month_spent, 1000);
	CHECK_INT(workspace_meter(&h).month_reserved, 0);
	house_close(&h);
}
