/*
 * ledger_test: the handlers over the memory engine. Tables for each refusal,
 * and properties of random interleavings: used + reserved <= limit at every
 * step, counters and rollups equal the fold of the lines, the log says the
 * same, and a question that is repeated changes nothing.
 */
#include "workers/ledger_clock.h"
#include "workers/ledger_parts.h"

#include "lib/fault.h"
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#define T0 INT64_C(1795248000000) /* 2026-11-21T08:00:00Z */
#define HOUR_MS INT64_C(3600000)
#define ROWS_MAX 4096
#define SEEDED_EVENTS 1 /* by init; sequence numbers below are behind them */

struct house {
	struct ledger ledger;
	struct arena arena;
	int64_t now_ms;
	struct failure failure; /* of the last call */
};

static void
house_open(struct house *house)
{
	struct store_conf conf = {.engine = "memory"};
	struct ledger_init init;
	struct crypto *crypto;
	struct store *store;
	struct why why = {"", ""};

	house->now_ms = T0;
	arena_init(&house->arena, 64u << 20);
	CHECK_OK(store_open(&store, &conf, &why));
	CHECK_OK(crypto_make_master_key("master.key", &why));
	CHECK_OK(crypto_open(&crypto, "master.key", &why));
	CHECK_OK(ledger_seed(store, crypto, T0, &house->arena, &init, &why));
	CHECK(init.internal_token.n == 68 && init.admin_setup_token.n == 68);
	CHECK_ERR(ledger_seed(store, crypto, T0, &house->arena, &init, &why),
		  ERR_EXISTS);
	CHECK_OK(ledger_attach(&house->ledger, store, crypto, &why));
}

static void
house_close(struct house *house)
{
	ledger_close(&house->ledger);
	arena_fini(&house->arena);
}

static enum err
call(struct house *house, handler_fn *fn, const struct schema *schema,
     const void *in, void *out)
{
	struct context context = {.state = &house->ledger,
				  .arena = &house->arena,
				  .now_ms = house->now_ms,
				  .peer = "tools"};
	enum err e;

	schema_clear(&failure_schema, &context.failure);
	schema_clear(schema, out);
	e = fn(&context, in, out);
	house->failure = context.failure;
	return e;
}

static unsigned
commit(struct house *house)
{
	unsigned events;

	CHECK_OK(ledger_commit(&house->ledger, &events));
	return events;
}

static uint64_t
head_of(struct house *house)
{
	uint64_t seq;

	CHECK_OK(store_head(house->ledger.store, &seq));
	return seq - SEEDED_EVENTS;
}

/* --- shorthands ---------------------------------------------------------- */

static struct license_issued
issue(struct house *house, const char *email, const char *plan)
{
	struct license_issue in;
	struct license_issued out;

	schema_clear(&license_issue_schema, &in);
	in.email = str_of(email);
	in.plan = str_of(plan);
	CHECK_OK(call(house, ledger_license_issue, &license_issued_schema, &in,
		      &out));
	commit(house);
	return out;
}

static void
plan_limits(struct house *house, const char *code, int64_t month, int64_t hour)
{
	struct limit limits[] = {{STR("requests_month"), month},
				 {STR("requests_hour"), hour}};
	struct plan_set in;
	struct plan_view out;

	schema_clear(&plan_set_schema, &in);
	in.code = str_of(code);
	in.limits = limits;
	in.limits_count = 2;
	CHECK_OK(call(house, ledger_plan_set, &plan_view_schema, &in, &out));
	commit(house);
}

static struct reserve
question(struct str key, const char *request_id)
{
	struct reserve in;

	schema_clear(&reserve_schema, &in);
	in.request_id = str_of(request_id);
	in.key = key;
	in.feature = STR("ai_proxy");
	in.provider = STR("openai");
	in.model = STR("gpt-4o");
	in.owner = STR("proxy-0");
	in.owner_start = 7;
	in.attempt = 1;
	in.expires_ms = 600000;
	in.input_tokens = 100;
	return in;
}

static enum err
reserve(struct house *house, const struct reserve *in, struct reserved *out)
{
	struct reserved none;

	return call(house, ledger_reserve, &reserved_schema, in,
		    out ? out : &none);
}

static struct settle
settlement(struct str license_id, const char *request_id, const char *status)
{
	struct settle in;

	schema_clear(&settle_schema, &in);
	in.license_id = license_id;
	in.request_id = str_of(request_id);
	in.attempt = 1;
	in.status = str_of(status);
	in.source = STR("provider");
	in.input_tokens = 1000;
	in.output_tokens = 500;
	in.cache_read_tokens = 200;
	return in;
}

static enum err
settle(struct house *house, const struct settle *in, struct settled *out)
{
	struct settled none;

	return call(house, ledger_settle, &settled_schema, in,
		    out ? out : &none);
}

static struct usage_line
line_of(struct house *house, struct str license_id, const char *request_id)
{
	struct usage_line line;
	struct key key;

	key_usage_line(&key, str_of(request_id), license_id);
	CHECK_OK(group_load(house->ledger.group, &key, &usage_line_schema,
			    &line, &house->arena));
	return line;
}

static struct meter
meter_of(struct house *house, struct str license_id)
{
	struct counter *counter;
	struct key key;

	key_meter(&key, license_id);
	CHECK_OK(counters_find(house->ledger.counters, &key, &meter_schema,
			       &counter));
	return counter->record.meter;
}

static size_t
rows_of(struct house *house, char kind, struct store_row *rows)
{
	size_t count;

	CHECK_OK(store_scan(house->ledger.store, str_bytes(&kind, 1), STR_NONE,
			    ROWS_MAX, &house->arena, rows, &count));
	CHECK(count < ROWS_MAX);
	return count;
}

static struct event
event_at(struct house *house, uint64_t seq)
{
	struct store_event row;
	struct event event;
	size_t count;

	seq += SEEDED_EVENTS;
	CHECK_OK(store_tail(house->ledger.store, seq - 1, 1, &house->arena,
			    &row, &count));
	CHECK_INT(count, 1);
	CHECK_INT(row.seq, seq);
	CHECK_OK(schema_decode(&event_schema, row.bytes, &event, &house->arena,
			       NULL));
	return event;
}

static size_t
sweep(struct house *house, const char *owner, uint64_t owner_start,
      int64_t *next_ms)
{
	struct ledger_sweep in = {house->now_ms, house->now_ms, str_of(owner),
				  owner_start, 1000};
	int64_t next;
	size_t closed;

	CHECK_OK(ledger_close_open(&house->ledger, &in, &closed,
				   next_ms ? next_ms : &next));
	commit(house);
	return closed;
}

/* --- init ---------------------------------------------------------------- */

TEST(ledger_seeds_templates_and_prices)
{
	static struct store_row rows[ROWS_MAX];
	struct house house;
	const struct plan *plan;
	const struct price_period *price;
	struct ledger_workspace *workspace;

	house_open(&house);
	CHECK_INT(rows_of(&house, KEY_PLAN, rows), 6);
	CHECK_STR(event_at(&house, 0).type, STR("workspace_added"));
	CHECK_INT(event_at(&house, 0).state_kind, workspace_schema.number);
	CHECK_OK(ledger_workspace(&house.ledger, STR_NONE, &workspace));
	CHECK_STR(str_of(workspace->zone), STR("Europe/Rome"));
	CHECK_STR(workspace->record.currency, STR("EUR"));
	CHECK_INT(workspace->record.message_price, 5000);
	CHECK(workspace->is_enforced);
	CHECK_OK(ledger_plan(&house.ledger, STR("default"), STR("pro"), &plan));
	CHECK_INT(plan->price_month, 7990000);
	CHECK_INT(rules_limit(plan, "requests_month", -1), 1000);
	CHECK(rules_has_feature(plan, STR("ai_proxy")));
	CHECK_OK(ledger_plan(&house.ledger, STR("default"), STR("PRO"), &plan));
	CHECK_INT(plan->price_year, 290000000);
	CHECK_INT(rules_limit(plan, "rooms", 1), SCHEMA_INT_NONE);
	CHECK(!rules_has_feature(plan, STR("ai_proxy")));
	CHECK_OK(
	    ledger_plan(&house.ledger, STR("default"), STR("FREE"), &plan));
	CHECK_INT(plan->price_month, SCHEMA_INT_NONE);
	CHECK_INT(plan->trial_days, 30);
	CHECK_INT(rules_limit(plan, "api_calls_day", -1), 100);
	CHECK_ERR(ledger_plan(&house.ledger, STR("default"), STR("Pro"), &plan),
		  ERR_PLAN_UNKNOWN);
	CHECK_OK(
	    ledger_price(&house.ledger, STR("demo"), STR("demo"), T0, &price));
	CHECK_INT(price->input, 0);
	CHECK_OK(ledger_price(&house.ledger, STR("anthropic"),
			      STR("claude-3-5-sonnet-20241022"), T0, &price));
	CHECK_INT(price->output, 15000000);
	CHECK_ERR(ledger_price(&house.ledger, STR("openai"), STR("gpt-4o-x"),
			       T0, &price),
		  ERR_MODEL_NOT_PRICED);
	house_close(&house);
}

TEST(ledger_refuses_another_master_key)
{
	struct store_conf conf = {.engine = "memory"};
	struct why why = {"", ""};
	struct crypto *crypto, *other;
	struct ledger_init init;
	struct ledger ledger;
	struct store *store;
	struct arena arena;

	arena_init(&arena, 1u << 20);
	CHECK_OK(store_open(&store, &conf, &why));
	CHECK_OK(crypto_make_master_key("one.key", &why));
	CHECK_OK(crypto_make_master_key("two.key", &why));
	CHECK_OK(crypto_open(&crypto, "one.key", &why));
	CHECK_OK(crypto_open(&other, "two.key", &why));
	CHECK_OK(ledger_seed(store, crypto, T0, &arena, &init, &why));
	CHECK_ERR(ledger_attach(&ledger, store, other, &why), ERR_CONFIG);
	CHECK(strstr(why.text, "master key") != NULL);
	crypto_close(crypto);
	arena_fini(&arena);
}

/* --- licences ------------------------------------------------------------ */

TEST(ledger_issue_makes_customer_subscription_license_and_events)
{
	struct house house;
	struct license_issued one, two;
	struct ledger_license of;
	struct subscription state;
	struct event event;
	char start[CALENDAR_TEXT_BYTES];

	house_open(&house);
	one = issue(&house, " Owner@Shop.example ", "pro");
	CHECK_INT(one.license_key.n, 23);
	CHECK(str_starts(one.license_key, STR("CHA-")));
	CHECK_OK(ledger_license_find(&house.ledger, one.license_key,
				     &house.arena, &of));
	CHECK_STR(of.license.id, one.license_id);
	CHECK_STR(of.customer.email, STR("Owner@Shop.example"));
	CHECK_STR(of.customer.name, STR("Owner"));
	CHECK_INT(of.subscription.price, 7990000);
	CHECK_STR(of.subscription.status, STR("active"));
	calendar_print_utc(of.subscription.ends_at, start);
	CHECK_STR(str_of(start), STR("2027-11-21T08:00:00Z"));
	CHECK_INT(head_of(&house), 2);
	event = event_at(&house, 1);
	CHECK_STR(event.type, STR("new_customer"));
	CHECK_STR(event.description, STR("New customer: Owner"));
	CHECK_INT(event.state_kind, customer_schema.number);
	event = event_at(&house, 2);
	CHECK_STR(event.type, STR("license_created"));
	CHECK_STR(event.description, STR("Licence issued: Owner, plan Pro"));
	CHECK_STR(event.plan, STR("pro"));
	CHECK_INT(event.amount, 7990000);
	CHECK_OK(schema_decode(&subscription_schema, event.state, &state,
			       &house.arena, NULL));
	CHECK_STR(state.id, one.subscription_id);
	CHECK(memmem(event.metadata.p, event.metadata.n,
		     "\"name\":\"Owner\",\"plan_name\":\"Pro\"", 32) != NULL);
	CHECK(memmem(event.metadata.p, event.metadata.n, "@", 1) == NULL);

	two = issue(&house, "OWNER@shop.EXAMPLE", "starter");
	CHECK_STR(two.customer_id, one.customer_id);
	CHECK(!str_eq(two.license_id, one.license_id));
	CHECK_INT(head_of(&house), 3);
	house_close(&house);
}

TEST(ledger_issue_with_a_given_key_and_as_trial)
{
	struct house house;
	struct license_issue in;
	struct license_issued out;
	struct ledger_license of;

	house_open(&house);
	schema_clear(&license_issue_schema, &in);
	in.email = STR("founder@shop.example");
	in.name = STR("Shop");
	in.plan = STR("agency");
	in.key = STR(" cha-test-1234-5678-abcd ");
	in.price = 1000000;
	in.months = 0;
	in.domain = STR("https://www.Shop.example/");
	CHECK_OK(call(&house, ledger_license_issue, &license_issued_schema, &in,
		      &out));
	CHECK_STR(out.license_key, STR("CHA-TEST-1234-5678-ABCD"));
	CHECK_INT(out.expires_at, SCHEMA_INT_NONE);
	CHECK_ERR(call(&house, ledger_license_issue, &license_issued_schema,
		       &in, &out),
		  ERR_EXISTS);
	CHECK_INT(commit(&house), 2);
	CHECK_STR(event_at(&house, 2).type, STR("license_inserted"));
	CHECK_OK(ledger_license_find(
	    &house.ledger, STR("CHA-test-1234-5678-abcd"), &house.arena, &of));
	CHECK_STR(of.license.domain, STR("shop.example"));
	CHECK_STR(of.license.masked_key, STR("CHA-****-****-****-ABCD"));
	CHECK_INT(of.subscription.price, 1000000);

	in.key = STR_NONE;
	in.price = SCHEMA_INT_NONE;
	in.plan = STR("FREE");
	in.is_trial = true;
	in.months = SCHEMA_INT_NONE;
	CHECK_OK(call(&house, ledger_license_issue, &license_issued_schema, &in,
		      &out));
	CHECK_INT(out.expires_at, T0 + 30 * DAY_MS);
	CHECK_INT(commit(&house), 1);
	CHECK_STR(event_at(&house, 3).type, STR("trial_started"));
	in.plan = STR("pro");
	CHECK_ERR(call(&house, ledger_license_issue, &license_issued_schema,
		       &in, &out),
		  ERR_BAD_FIELD);
	house_close(&house);
}

TEST(ledger_issue_refuses_and_changes_nothing)
{
	static const struct {
		const char *email, *plan, *cycle, *domain, *key, *workspace;
		enum err err;
		const char *field;
	} rows[] = {
	    {"no-at", "pro", 0, 0, 0, 0, ERR_BAD_FIELD, "email"},
	    {"a@b", "pro", 0, 0, 0, 0, ERR_BAD_FIELD, "email"},
	    {"a b@shop.example", "pro", 0, 0, 0, 0, ERR_BAD_FIELD, "email"},
	    {"a@@shop.example", "pro", 0, 0, 0, 0, ERR_BAD_FIELD, "email"},
	    {"@shop.example", "pro", 0, 0, 0, 0, ERR_BAD_FIELD, "email"},
	    {"a@shop.example:8", "pro", 0, 0, 0, 0, ERR_BAD_FIELD, "email"},
	    {"a@shop.example", "gold", 0, 0, 0, 0, ERR_PLAN_UNKNOWN, "plan"},
	    {"a@shop.example", "pro", "week", 0, 0, 0, ERR_BAD_FIELD, "cycle"},
	    {"a@shop.example", "pro", 0, "a b", 0, 0, ERR_BAD_FIELD, "domain"},
	    {"a@shop.example", "pro", 0, 0, "K!", 0, ERR_BAD_FIELD, "key"},
	    {"a@shop.example", "pro", 0, 0, "C", 0, ERR_BAD_FIELD, "key"},
	    {"a@shop.example", "pro", 0, 0, "----------------", 0,
	     ERR_BAD_FIELD, "key"},
	    {"a@shop.example", "pro", 0, 0, "0123-4567-89AB-CDE", 0,
	     ERR_BAD_FIELD, "key"},
	    {"a@shop.example", "pro", 0, 0, 0, "no", ERR_WORKSPACE_UNKNOWN, ""},
	};
	struct house house;
	struct license_issued out;

	house_open(&house);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct license_issue in;

		schema_clear(&license_issue_schema, &in);
		in.email = str_of(rows[i].email);
		in.plan = str_of(rows[i].plan);
		in.cycle = str_of(rows[i].cycle);
		in.domain = str_of(rows[i].domain);
		in.key = str_of(rows[i].key);
		in.workspace = str_of(rows[i].workspace);
		CHECK_ERR(call(&house, ledger_license_issue,
			       &license_issued_schema, &in, &out),
			  rows[i].err);
		CHECK_STR(house.failure.field.p ? house.failure.field : STR(""),
			  str_of(rows[i].field));
		CHECK(group_is_empty(house.ledger.group));
	}
	CHECK_INT(head_of(&house), 0);
	house_close(&house);
}

static enum err
change(struct house *house, struct str license, const char *action,
       int64_t months, bool at_end, struct license_view *out)
{
	struct license_change in;

	schema_clear(&license_change_schema, &in);
	in.license = license;
	in.action = str_of(action);
	in.months = months;
	in.at_end = at_end;
	return call(house, ledger_license_change, &license_view_schema, &in,
		    out);
}

TEST(ledger_license_lifecycle)
{
	struct house house;
	struct license_issued license;
	struct license_view view;
	int64_t none = SCHEMA_INT_NONE;
	char text[CALENDAR_TEXT_BYTES];

	house_open(&house);
	license = issue(&house, "owner@shop.example", "pro");
	CHECK_OK(
	    change(&house, license.license_id, "suspend", none, false, &view));
	CHECK_STR(view.status, STR("suspended"));
	CHECK_STR(view.email, STR("owner@shop.example"));
	CHECK_INT(commit(&house), 1);
	CHECK_OK(
	    change(&house, license.license_key, "suspend", none, false, &view));
	CHECK_INT(commit(&house), 0);
	CHECK_ERR(change(&house, license.license_id, "renew", 1, false, &view),
		  ERR_CONFLICT);
	CHECK_OK(
	    change(&house, license.license_key, "resume", none, false, &view));
	CHECK_STR(view.status, STR("active"));
	CHECK_INT(commit(&house), 1);
	CHECK_STR(event_at(&house, 4).type, STR("license_resumed"));

	CHECK_OK(change(&house, license.license_id, "renew", 2, false, &view));
	calendar_print_utc(view.expires_at, text);
	CHECK_STR(str_of(text), STR("2028-01-21T08:00:00Z"));
	CHECK_INT(commit(&house), 1);
	CHECK_STR(event_at(&house, 5).type, STR("subscription_renewed"));
	CHECK_INT(event_at(&house, 5).amount, 2 * 7990000);

	CHECK_OK(
	    change(&house, license.license_id, "cancel", none, true, &view));
	CHECK(view.cancels_at_end);
	CHECK_STR(view.status, STR("active"));
	CHECK_INT(commit(&house), 1);
	CHECK_OK(
	    change(&house, license.license_id, "cancel", none, true, &view));
	CHECK_INT(commit(&house), 0);
	CHECK_OK(
	    change(&house, license.license_id, "cancel", none, false, &view));
	CHECK_STR(view.status, STR("cancelled"));
	CHECK_INT(view.expires_at, T0);
	CHECK_INT(commit(&house), 1);
	CHECK_STR(event_at(&house, 7).type, STR("license_cancelled"));
	CHECK_ERR(
	    change(&house, license.license_id, "suspend", none, false, &view),
	    ERR_CONFLICT);
	CHECK_ERR(
	    change(&house, STR("lic_none"), "suspend", none, false, &view),
	    ERR_NO_SUCH);
	CHECK_ERR(
	    change(&house, license.license_id, "burn", none, false, &view),
	    ERR_BAD_FIELD);
	CHECK_INT(commit(&house), 0);
	house_close(&house);
}

TEST(ledger_activations_keep_their_count)
{
	struct limit limits[] = {{STR("activations"), 2}};
	struct activation_answer out;
	struct license_issued license;
	struct plan_set plan;
	struct plan_view plan_view;
	struct activate in;
	struct deactivate off;
	struct house house;

	house_open(&house);
	schema_clear(&plan_set_schema, &plan);
	plan.code = STR("pro");
	plan.limits = limits;
	plan.limits_count = 1;
	CHECK_OK(call(&house, ledger_plan_set, &plan_view_schema, &plan,
		      &plan_view));
	license = issue(&house, "owner@shop.example", "pro");
	in = (struct activate){license.license_key, STR("https://a.example")};
	for (int i = 0; i < 2; i++) {
		CHECK_OK(call(&house, ledger_activate,
			      &activation_answer_schema, &in, &out));
		CHECK(out.success);
		CHECK_INT(out.activations, 1);
		CHECK_INT(out.limit, 2);
	}
	in.domain = STR("localhost");
	CHECK_OK(call(&house, ledger_activate, &activation_answer_schema, &in,
		      &out));
	CHECK_INT(out.activations, 1);
	in.domain = STR("b.example");
	CHECK_OK(call(&house, ledger_activate, &activation_answer_schema, &in,
		      &out));
	in.domain = STR("c.example");
	CHECK_ERR(
	    call(&house, ledger_activate, &activation_answer_schema, &in, &out),
	    ERR_TOO_MANY_ACTIVATIONS);
	CHECK_STR(house.failure.limit, STR("activations"));
	off = (struct deactivate){license.license_key, STR("www.b.example")};
	for (int i = 0; i < 2; i++) {
		CHECK_OK(call(&house, ledger_deactivate,
			      &activation_answer_schema, &off, &out));
		CHECK_INT(out.activations, 1);
	}
	CHECK_OK(call(&house, ledger_activate, &activation_answer_schema, &in,
		      &out));
	CHECK_INT(out.activations, 2);
	in.domain = STR_NONE;
	CHECK_ERR(
	    call(&house, ledger_activate, &activation_answer_schema, &in, &out),
	    ERR_BAD_FIELD);
	in.key = STR_NONE;
	CHECK_ERR(
	    call(&house, ledger_activate, &activation_answer_schema, &in, &out),
	    ERR_KEY_MISSING);
	commit(&house);
	house_close(&house);
}

/* --- plans and prices ---------------------------------------------------- */

TEST(ledger_plan_set_merges_and_is_seen_at_once)
{
	struct limit limits[] = {{STR("requests_month"), SCHEMA_INT_NONE},
				 {STR("rooms"), 5}};
	const struct plan *plan;
	struct plan_view view;
	struct plan_set in;
	struct house house;

	house_open(&house);
	CHECK_OK(ledger_plan(&house.ledger, STR("default"), STR("pro"), &plan));
	schema_clear(&plan_set_schema, &in);
	in.code = STR("pro");
	in.price_year = 79900000;
	in.limits = limits;
	in.limits_count = 2;
	CHECK_OK(call(&house, ledger_plan_set, &plan_view_schema, &in, &view));
	CHECK_STR(view.name, STR("Pro"));
	CHECK_INT(view.price_month, 7990000);
	CHECK_INT(view.features_count, 1);
	CHECK_OK(ledger_plan(&house.ledger, STR("default"), STR("pro"), &plan));
	CHECK_INT(plan->price_year, 79900000);
	CHECK_INT(rules_limit(plan, "requests_month", 9), SCHEMA_INT_NONE);
	CHECK_INT(rules_limit(plan, "rooms", 9), 5);
	in.code = STR("a/b");
	CHECK_ERR(call(&house, ledger_plan_set, &plan_view_schema, &in, &view),
		  ERR_BAD_FIELD);
	CHECK_INT(commit(&house), 1);
	house_close(&house);
}

TEST(ledger_a_failed_write_leaves_no_cached_plan)
{
	struct str many[64];
	char names[64][64];
	const struct plan *plan;
	struct plan_view view;
	struct plan_set in;
	struct house house;

	house_open(&house);
	schema_clear(&plan_set_schema, &in);
	in.code = STR("pro");
	in.price_month = 1;
	in.has_features = true;
	in.features = many;
	in.features_count = 64;
	for (int i = 0; i < 64; i++) {
		memset(names[i], 'a', 64);
		many[i] = str_bytes(names[i], 64);
	}
	CHECK_ERR(call(&house, ledger_plan_set, &plan_view_schema, &in, &view),
		  ERR_TOO_LARGE);
	CHECK_OK(ledger_plan(&house.ledger, STR("default"), STR("pro"), &plan));
	CHECK_INT(plan->price_month, 7990000);
	CHECK_INT(commit(&house), 0);
	house_close(&house);
}

TEST(ledger_price_set_prices_the_next_request)
{
	struct price_view view;
	struct price_set in;
	struct license_issued license;
	struct settled settled;
	struct reserve ask;
	struct settle end;
	struct house house;

	house_open(&house);
	license = issue(&house, "owner@shop.example", "pro");
	ask = question(license.license_key, "one");
	ask.model = STR("new-model");
	CHECK_ERR(reserve(&house, &ask, NULL), ERR_MODEL_NOT_PRICED);
	CHECK(group_is_empty(house.ledger.group));
	schema_clear(&price_set_schema, &in);
	in.provider = STR("openai");
	in.model = STR("new-model");
	in.input = 3000000;
	CHECK_ERR(
	    call(&house, ledger_price_set, &price_view_schema, &in, &view),
	    ERR_BAD_FIELD);
	CHECK_STR(house.failure.field, STR("output"));
	in.output = 4000000;
	in.per_request = 5000;
	CHECK_OK(
	    call(&house, ledger_price_set, &price_view_schema, &in, &view));
	CHECK_STR(view.currency, STR("EUR"));
	CHECK_OK(reserve(&house, &ask, NULL));
	end = settlement(license.license_id, "one", "settled");
	CHECK_OK(settle(&house, &end, &settled));
	/* 1000 in and 200 cached at 3, 500 out at 4 a million. */
	CHECK_INT(settled.cost, 3600 + 2000);
	CHECK_INT(settled.price, 5000);
	CHECK_STR(settled.currency, STR("EUR"));
	/* What the vendor may be billed for an answer that nobody got. */
	ask.request_id = STR("two");
	CHECK_OK(reserve(&house, &ask, NULL));
	end = settlement(license.license_id, "two", "settled");
	end.source = STR("partial");
	end.undelivered = true;
	CHECK_OK(settle(&house, &end, &settled));
	CHECK_INT(settled.cost, 3600 + 2000);
	CHECK_INT(settled.price, 0);
	commit(&house);
	house_close(&house);
}

static enum err
price(struct house *house, const char *model, int64_t input, int64_t from_ms)
{
	struct price_view view;
	struct price_set in;

	schema_clear(&price_set_schema, &in);
	in.provider = STR("openai");
	in.model = str_of(model);
	in.input = input;
	in.output = 2 * input;
	in.valid_from = from_ms;
	return call(house, ledger_price_set, &price_view_schema, &in, &view);
}

TEST(ledger_prices_count_when_a_request_was_reserved)
{
	struct price_removed removed;
	struct price_remove remove;
	struct license_issued license;
	struct settled settled;
	struct reserve ask;
	struct settle end;
	struct house house;
	uint64_t head;

	house_open(&house);
	license = issue(&house, "owner@shop.example", "pro");
	ask = question(license.license_key, "one");
	ask.model = STR("dated-model");
	CHECK_OK(price(&house, "dated-model", 1000000, T0 + HOUR_MS));
	CHECK_ERR(reserve(&house, &ask, NULL), ERR_MODEL_NOT_PRICED);
	CHECK_STR(
	    house.failure.message,
	    STR("the model has no price: set one with `chatello price set "
		"openai dated-model --input P --output P` (per million "
		"tokens)"));
	ask.model = STR("x; rm -rf ~");
	CHECK_ERR(reserve(&house, &ask, NULL), ERR_MODEL_NOT_PRICED);
	CHECK(memmem(house.failure.message.p, house.failure.message.n,
		     "openai MODEL --input", 20));
	ask.model = STR("dated-model");
	house.now_ms = T0 + HOUR_MS;
	CHECK_OK(reserve(&house, &ask, NULL));
	/* Dearer from now on, but not for what was reserved before. */
	house.now_ms++;
	CHECK_OK(price(&house, "dated-model", 3000000, SCHEMA_INT_NONE));
	end = settlement(license.license_id, "one", "settled");
	CHECK_OK(settle(&house, &end, &settled));
	CHECK_INT(settled.cost, 1200 + 1000);
	ask.request_id = STR("two");
	CHECK_OK(reserve(&house, &ask, NULL));
	commit(&house);
	/* The same again writes nothing. */
	head = head_of(&house);
	CHECK_OK(price(&house, "dated-model", 3000000, SCHEMA_INT_NONE));
	CHECK_OK(price(&house, "dated-model", 1000000, T0 + HOUR_MS));
	commit(&house);
	CHECK_INT(head_of(&house), head);
	schema_clear(&price_remove_schema, &remove);
	remove.provider = STR("openai");
	remove.model = STR("dated-model");
	CHECK_OK(call(&house, ledger_price_remove, &price_removed_schema,
		      &remove, &removed));
	CHECK_INT(removed.ended, 2);
	CHECK_INT(removed.forgotten, 0);
	house.now_ms++;
	CHECK_ERR(call(&house, ledger_price_remove, &price_removed_schema,
		       &remove, &removed),
		  ERR_NO_SUCH);
	end = settlement(license.license_id, "two", "settled");
	CHECK_OK(settle(&house, &end, &settled));
	CHECK_INT(settled.cost, 3600 + 3000);
	ask.request_id = STR("three");
	CHECK_ERR(reserve(&house, &ask, NULL), ERR_MODEL_NOT_PRICED);
	commit(&house);
	house_close(&house);
}

TEST(ledger_price_import_is_all_or_nothing)
{
	struct price_set rows[3];
	struct price_import in = {
	    .prices = rows, .prices_count = 3, .dry_run = true};
	struct price_import_answer out;
	const struct price_period *found;
	struct house house;
	uint64_t head;

	house_open(&house);
	head = head_of(&house);
	for (int i = 0; i < 3; i++) {
		schema_clear(&price_set_schema, &rows[i]);
		rows[i].provider = STR("openai");
		rows[i].input = rows[i].output = 5;
	}
	rows[0].model = STR("gpt-4o");
	rows[1].model = STR("new-a");
	rows[2].model = STR("new-b");
	CHECK_OK(call(&house, ledger_price_import, &price_import_answer_schema,
		      &in, &out));
	CHECK_INT(out.imported.changed, 1);
	CHECK_INT(out.imported.added, 2);
	CHECK_INT(commit(&house), 0);
	in.dry_run = false;
	rows[2].output = SCHEMA_INT_NONE;
	rows[0].provider = STR("opanai");
	CHECK_OK(call(&house, ledger_price_import, &price_import_answer_schema,
		      &in, &out));
	CHECK_INT(out.refused_count, 2);
	CHECK_INT(out.refused[0].at, 0);
	CHECK(str_starts(out.refused[0].text,
			 STR("there is no provider opanai")));
	CHECK_INT(out.refused[1].at, 2);
	CHECK_STR(out.refused[1].text,
		  STR("a new price needs input and output"));
	CHECK_INT(commit(&house), 0);
	CHECK_INT(head_of(&house), head);
	CHECK_ERR(ledger_price(&house.ledger, STR("openai"), STR("new-a"),
			       house.now_ms, &found),
		  ERR_MODEL_NOT_PRICED);
	rows[0].provider = STR("openai");
	rows[2].output = 6;
	CHECK_OK(call(&house, ledger_price_import, &price_import_answer_schema,
		      &in, &out));
	CHECK_INT(out.imported.added, 2);
	CHECK_INT(commit(&house), 3);
	house.now_ms++;
	CHECK_OK(call(&house, ledger_price_import, &price_import_answer_schema,
		      &in, &out));
	CHECK_INT(out.imported.unchanged, 3);
	CHECK_INT(commit(&house), 0);
	house_close(&house);
}

/* --- admission ----------------------------------------------------------- */

TEST(ledger_reserve_refuses_in_order)
{
	struct license_issued license, plain;
	struct license_view view;
	struct reserve in;
	struct house house;
	uint64_t head;

	house_open(&house);
	license = issue(&house, "owner@shop.example", "pro");
	plain = issue(&house, "owner@shop.example", "starter");
	head = head_of(&house);
	in = question(STR_NONE, "r1");
	CHECK_ERR(reserve(&house, &in, NULL), ERR_KEY_MISSING);
	in.key = STR("  ");
	CHECK_ERR(reserve(&house, &in, NULL), ERR_KEY_MISSING);
	in.key = STR("CHA-AAAA-BBBB-CCCC-DDDD");
	CHECK_ERR(reserve(&house, &in, NULL), ERR_NOT_FOUND);
	in.key = STR("no key at all!");
	CHECK_ERR(reserve(&house, &in, NULL), ERR_NOT_FOUND);
	in.key = plain.license_key;
	CHECK_ERR(reserve(&house, &in, NULL), ERR_FEATURE_MISSING);
	in.key = license.license_key;
	in.request_id = STR("bad id");
	CHECK_ERR(reserve(&house, &in, NULL), ERR_BAD_FIELD);
	in.request_id = STR("r1");
	in.model = STR("gpt-\0x");
	CHECK_ERR(reserve(&house, &in, NULL), ERR_MODEL_NOT_PRICED);
	in.model = STR("gpt-4o-2024-08-06");
	CHECK_OK(change(&house, license.license_id, "suspend", SCHEMA_INT_NONE,
			false, &view));
	commit(&house);
	CHECK_ERR(reserve(&house, &in, NULL), ERR_SUSPENDED);
	CHECK_OK(change(&house, license.license_id, "resume", SCHEMA_INT_NONE,
			false, &view));
	commit(&house);
	house.now_ms = license.expires_at;
	CHECK_ERR(reserve(&house, &in, NULL), ERR_EXPIRED);
	house.now_ms = T0;
	CHECK(group_is_empty(house.ledger.group));
	CHECK_INT(head_of(&house), head + 2);
	CHECK_OK(reserve(&house, &in, NULL));
	house_close(&house);
}

TEST(ledger_reserve_heeds_the_domain)
{
	struct license_issued out;
	struct license_issue in;
	struct reserve ask;
	struct house house;

	house_open(&house);
	schema_clear(&license_issue_schema, &in);
	in.email = STR("owner@shop.example");
	in.plan = STR("pro");
	in.domain = STR("shop.example");
	CHECK_OK(call(&house, ledger_license_issue, &license_issued_schema, &in,
		      &out));
	ask = question(out.license_key, "r1");
	ask.domain = STR("https://other.example");
	CHECK_ERR(reserve(&house, &ask, NULL), ERR_DOMAIN_MISMATCH);
	ask.domain = STR("https://www.SHOP.example/wp");
	CHECK_OK(reserve(&house, &ask, NULL));
	ask.request_id = STR("r2");
	ask.domain = STR_NONE;
	CHECK_OK(reserve(&house, &ask, NULL));
	commit(&house);
	house_close(&house);
}

TEST(ledger_month_is_exact)
{
	struct license_issued license;
	struct reserve in;
	struct settle end;
	struct house house;
	char id[16];
	int admitted = 0;

	house_open(&house);
	plan_limits(&house, "pro", 5, SCHEMA_INT_NONE);
	license = issue(&house, "owner@shop.example", "pro");
	for (int i = 0; i < 100; i++) {
		enum err e;

		snprintf(id, sizeof(id), "r%d", i);
		in = question(license.license_key, id);
		e = reserve(&house, &in, NULL);
		admitted += e == ERR_OK;
		if (e != ERR_OK)
			CHECK_ERR(e, ERR_LIMIT_REACHED);
	}
	CHECK_INT(admitted, 5);
	CHECK_STR(house.failure.limit, STR("requests_month"));
	/* To 1 December, 00:00 in Rome. */
	CHECK_INT(house.failure.retry_after_ms, 9 * DAY_MS + 15 * HOUR_MS);
	CHECK_INT(meter_of(&house, license.license_id).month_reserved, 5);
	end = settlement(license.license_id, "r0", "failed");
	CHECK_OK(settle(&house, &end, NULL));
	in = question(license.license_key, "again");
	CHECK_OK(reserve(&house, &in, NULL));
	in.request_id = STR("more");
	CHECK_ERR(reserve(&house, &in, NULL), ERR_LIMIT_REACHED);
	commit(&house);
	house.now_ms = T0 + 10 * DAY_MS; /* December */
	CHECK_OK(reserve(&house, &in, NULL));
	CHECK_INT(meter_of(&house, license.license_id).month_reserved, 1);
	/* A settlement of November's touches November's rollup only. */
	end = settlement(license.license_id, "r1", "settled");
	CHECK_OK(settle(&house, &end, NULL));
	CHECK_INT(meter_of(&house, license.license_id).month_reserved, 1);
	CHECK_INT(meter_of(&house, license.license_id).month_used, 0);
	commit(&house);
	house_close(&house);
}

TEST(ledger_rate_refusal_moves_nothing)
{
	struct license_issued license;
	struct reserved out;
	struct reserve in;
	struct house house;
	int64_t tat;

	house_open(&house);
	plan_limits(&house, "pro", SCHEMA_INT_NONE, 2);
	license = issue(&house, "owner@shop.example", "pro");
	in = question(license.license_key, "r1");
	CHECK_OK(reserve(&house, &in, &out));
	CHECK_INT(out.rate_limit, 2);
	CHECK_INT(out.rate_remaining, 1);
	CHECK_INT(out.rate_reset_ms, HOUR_MS / 2);
	in.request_id = STR("r2");
	CHECK_OK(reserve(&house, &in, &out));
	CHECK_INT(out.rate_remaining, 0);
	commit(&house);
	tat = meter_of(&house, license.license_id).hour_tat_ns;
	in.request_id = STR("r3");
	for (int i = 0; i < 3; i++) {
		CHECK_ERR(reserve(&house, &in, &out), ERR_RATE_LIMITED);
		CHECK_INT(house.failure.retry_after_ms, HOUR_MS / 2);
		CHECK_INT(house.failure.rate_limit, 2);
		CHECK_INT(house.failure.rate_remaining, 0);
		CHECK(group_is_empty(house.ledger.group));
	}
	CHECK_INT(meter_of(&house, license.license_id).hour_tat_ns, tat);
	house.now_ms += HOUR_MS / 2;
	CHECK_OK(reserve(&house, &in, &out));
	house_close(&house);
}

TEST(ledger_reserve_twice_is_once)
{
	struct license_issued license;
	struct reserved first, again;
	struct reserve in;
	struct settle end;
	struct house house;

	house_open(&house);
	license = issue(&house, "owner@shop.example", "pro");
	in = question(license.license_key, "r1");
	CHECK_OK(reserve(&house, &in, &first));
	commit(&house);
	CHECK_OK(reserve(&house, &in, &again));
	CHECK_STR(again.license_id, first.license_id);
	CHECK_INT(again.rate_remaining, first.rate_remaining);
	CHECK(group_is_empty(house.ledger.group));
	in.attempt = 2;
	CHECK_ERR(reserve(&house, &in, &again), ERR_DUPLICATE_REQUEST);
	CHECK(memmem(house.failure.line.p, house.failure.line.n,
		     "\"status\":\"reserved\"", 19) != NULL);
	CHECK(memmem(house.failure.line.p, house.failure.line.n, "proxy-0",
		     7) == NULL);
	end = settlement(license.license_id, "r1", "failed");
	CHECK_OK(settle(&house, &end, NULL));
	/* The first question's straggler does not reserve again. */
	in.attempt = 1;
	CHECK_ERR(reserve(&house, &in, &again), ERR_DUPLICATE_REQUEST);
	in.attempt = 2;
	CHECK_OK(reserve(&house, &in, &again));
	CHECK_STR(line_of(&house, license.license_id, "r1").status,
		  STR("reserved"));
	/* Nor does the first one's settlement touch the second. */
	CHECK_ERR(settle(&house, &end, NULL), ERR_CONFLICT);
	end = settlement(license.license_id, "r1", "settled");
	end.attempt = 2;
	CHECK_OK(settle(&house, &end, NULL));
	in.attempt = 3;
	CHECK_ERR(reserve(&house, &in, &again), ERR_DUPLICATE_REQUEST);
	commit(&house);
	house_close(&house);
}

TEST(ledger_log_mode_blocks_nothing_and_says_so)
{
	struct ledger_workspace *cached;
	struct license_issued license;
	struct license_view view;
	struct workspace record;
	struct reserve in;
	struct house house;
	struct key key;

	house_open(&house);
	plan_limits(&house, "pro", 1, SCHEMA_INT_NONE);
	license = issue(&house, "owner@shop.example", "pro");
	CHECK_OK(ledger_workspace(&house.ledger, STR_NONE, &cached));
	record = cached->record;
	record.enforcement = STR("log");
	key_workspace(&key, STR("default"));
	CHECK_OK(
	    group_put(house.ledger.group, &key, &workspace_schema, &record));
	ledger_cache_drop(&house.ledger);
	in = question(license.license_key, "r1");
	CHECK_OK(reserve(&house, &in, NULL));
	CHECK(line_of(&house, license.license_id, "r1").error.p == NULL);
	in.request_id = STR("r2");
	CHECK_OK(reserve(&house, &in, NULL));
	CHECK_STR(line_of(&house, license.license_id, "r2").error,
		  STR("WOULD_LIMIT_REACHED"));
	CHECK_OK(change(&house, license.license_id, "suspend", SCHEMA_INT_NONE,
			false, &view));
	in.request_id = STR("r3");
	CHECK_OK(reserve(&house, &in, NULL));
	CHECK_STR(line_of(&house, license.license_id, "r3").error,
		  STR("WOULD_SUSPENDED"));
	in.request_id = STR("r4");
	in.model = STR("unknown");
	CHECK_ERR(reserve(&house, &in, NULL), ERR_MODEL_NOT_PRICED);
	commit(&house);
	house_close(&house);
}

/* --- settling ------------------------------------------------------------ */

TEST(ledger_settle_counts_once)
{
	struct license_issued license;
	struct settled first, again;
	struct usage_line line, state;
	struct event event;
	struct reserve in;
	struct settle end;
	struct house house;

	house_open(&house);
	license = issue(&house, "owner@shop.example", "pro");
	in = question(license.license_key, "r1");
	CHECK_OK(reserve(&house, &in, NULL));
	commit(&house);
	house.now_ms += 1234;
	end = settlement(license.license_id, "r1", "settled");
	CHECK_OK(settle(&house, &end, &first));
	/* 1000 at 2.50, 200 at 1.25, 500 at 10 a million. */
	CHECK_INT(first.cost, 2500 + 250 + 5000);
	CHECK_INT(commit(&house), 1);
	CHECK_OK(settle(&house, &end, &again));
	end.status = STR("failed");
	CHECK_OK(settle(&house, &end, &again));
	CHECK_INT(again.cost, first.cost);
	CHECK(group_is_empty(house.ledger.group));
	line = line_of(&house, license.license_id, "r1");
	CHECK_STR(line.status, STR("settled"));
	CHECK_INT(line.settled_at, T0 + 1234);
	CHECK_INT(line.input_tokens, 1000);
	CHECK_INT(meter_of(&house, license.license_id).month_used, 1);
	CHECK_INT(meter_of(&house, license.license_id).month_reserved, 0);
	event = event_at(&house, head_of(&house));
	CHECK_STR(event.type, STR("ai_request"));
	CHECK(event.auto_generated);
	CHECK_INT(event.amount, first.cost);
	CHECK_INT(event.state_kind, usage_line_schema.number);
	CHECK_OK(schema_decode(&usage_line_schema, event.state, &state,
			       &house.arena, NULL));
	CHECK_STR(state.request_id, STR("r1"));
	CHECK_STR(state.status, STR("settled"));
	end = settlement(license.license_id, "none", "settled");
	CHECK_ERR(settle(&house, &end, &again), ERR_NO_SUCH);
	end = settlement(license.license_id, "r1", "done");
	CHECK_ERR(settle(&house, &end, &again), ERR_BAD_FIELD);
	house_close(&house);
}

/* --- counters and the store ---------------------------------------------- */

/* What a reader of the store sees used; -1: no meter. */
static int64_t
stored_use(struct house *house, struct str license_id)
{
	struct meter meter;
	struct str at, bytes;
	struct key key;

	key_meter(&key, license_id);
	at = key_str(&key);
	CHECK_OK(
	    store_load(house->ledger.store, &at, 1, &bytes, &house->arena));
	if (bytes.p == NULL)
		return -1;
	CHECK_OK(
	    schema_decode(&meter_schema, bytes, &meter, &house->arena, NULL));
	return meter.month_used;
}

/* r0, r1, ... of one licence each, settled in one turn. */
static void
settle_many(struct house *house, struct license_issued *licenses, int count)
{
	char id[16];

	for (int i = 0; i < count; i++) {
		struct reserve in;
		struct settle end;

		snprintf(id, sizeof(id), "r%d", i);
		in = question(licenses[i].license_key, id);
		CHECK_OK(reserve(house, &in, NULL));
		end = settlement(licenses[i].license_id, id, "settled");
		CHECK_OK(settle(house, &end, NULL));
	}
}

/* As if it were killed: nothing that waits is written. */
static void
house_die(struct house *house)
{
	struct ledger *ledger = &house->ledger;
	struct crypto *crypto = ledger->crypto;
	struct store *store = ledger->store;

	counters_close(ledger->counters);
	group_close(ledger->group);
	ledger_cache_close(ledger->cache);
	buf_fini(&ledger->scratch);
	store_lease_release(store, &ledger->lease);
	CHECK_OK(ledger_attach(ledger, store, crypto, NULL));
}

#define MANY 8
TEST(ledger_counters_are_fresh_when_little_is_settled)
{
	struct license_issued license[MANY];
	struct reserve in;
	struct settle end;
	struct house house;

	house_open(&house);
	for (int i = 0; i < MANY; i++)
		license[i] = issue(&house, "owner@shop.example", "pro");
	in = question(license[0].license_key, "one");
	CHECK_OK(reserve(&house, &in, NULL));
	commit(&house);
	CHECK_INT(stored_use(&house, license[0].license_id), -1);
	end = settlement(license[0].license_id, "one", "settled");
	CHECK_OK(settle(&house, &end, NULL));
	commit(&house);
	CHECK_INT(stored_use(&house, license[0].license_id), 1);
	CHECK(!ledger_is_late(&house.ledger));
	settle_many(&house, license, MANY);
	commit(&house);
	CHECK_INT(stored_use(&house, license[0].license_id), 1);
	CHECK_INT(stored_use(&house, license[1].license_id), -1);
	CHECK(ledger_is_late(&house.ledger));
	ledger_hasten(&house.ledger); /* as the timer does */
	commit(&house);
	CHECK(!ledger_is_late(&house.ledger));
	CHECK_INT(stored_use(&house, license[0].license_id), 2);
	CHECK_INT(stored_use(&house, license[MANY - 1].license_id), 1);
	house_close(&house);
}

TEST(ledger_counts_again_what_it_had_not_written)
{
	struct license_issued license[MANY];
	struct house house;

	house_open(&house);
	for (int i = 0; i < MANY; i++)
		license[i] = issue(&house, "owner@shop.example", "pro");
	settle_many(&house, license, MANY);
	commit(&house);
	CHECK_INT(stored_use(&house, license[0].license_id), -1);
	house_die(&house);
	for (int i = 0; i < MANY; i++)
		CHECK_INT(stored_use(&house, license[i].license_id), 1);
	house_die(&house); /* once */
	CHECK_INT(stored_use(&house, license[0].license_id), 1);
	house_close(&house);
}

TEST(ledger_takes_the_counters_of_an_older_store_as_they_are)
{
	struct license_issued license;
	struct reserve in;
	struct settle end;
	struct house house;
	struct meta meta;
	struct key key;

	house_open(&house);
	license = issue(&house, "owner@shop.example", "pro");
	in = question(license.license_key, "r1");
	CHECK_OK(reserve(&house, &in, NULL));
	end = settlement(license.license_id, "r1", "settled");
	CHECK_OK(settle(&house, &end, NULL));
	commit(&house);
	key_meta(&key);
	CHECK_OK(group_load(house.ledger.group, &key, &meta_schema, &meta,
			    &house.arena));
	CHECK_INT(meta.version, 3);
	meta.version = 1;
	CHECK_OK(group_put(house.ledger.group, &key, &meta_schema, &meta));
	key_counted(&key);
	CHECK_OK(group_delete(house.ledger.group, &key));
	commit(&house);
	house_die(&house);
	CHECK_INT(stored_use(&house, license.license_id), 1);
	key_meta(&key);
	CHECK_OK(group_load(house.ledger.group, &key, &meta_schema, &meta,
			    &house.arena));
	CHECK_INT(meta.version, 3); /* older programs must not write it */
	house_close(&house);
}

TEST(ledger_counters_go_back_with_a_request_that_fails)
{
	struct license_issued license;
	struct reserve in;
	struct settle end;
	struct house house;
	struct key key;

	house_open(&house);
	license = issue(&house, "owner@shop.example", "pro");
	in = question(license.license_key, "r1");
	CHECK_OK(reserve(&house, &in, NULL));
	key_workspace(&key, DEFAULT_WORKSPACE);
	CHECK_OK(group_delete(house.ledger.group, &key));
	commit(&house);
	ledger_cache_drop(&house.ledger);
	end = settlement(license.license_id, "r1", "settled");
	CHECK_ERR(settle(&house, &end, NULL), ERR_STORE_CORRUPT);
	CHECK_INT(meter_of(&house, license.license_id).month_reserved, 1);
	CHECK_INT(meter_of(&house, license.license_id).month_used, 0);
	house_close(&house);
}

#ifdef CHATELLO_FAULTS
TEST(ledger_counters_go_back_with_a_commit_that_fails)
{
	struct license_issued license;
	struct reserve in;
	struct house house;
	unsigned events;

	house_open(&house);
	license = issue(&house, "owner@shop.example", "pro");
	in = question(license.license_key, "r1");
	CHECK_OK(reserve(&house, &in, NULL));
	commit(&house);
	in = question(license.license_key, "r2");
	CHECK_OK(reserve(&house, &in, NULL));
	CHECK_INT(meter_of(&house, license.license_id).month_reserved, 2);
	fault_set("store-full:1");
	CHECK_ERR(ledger_commit(&house.ledger, &events), ERR_STORE_FULL);
	fault_set(NULL);
	CHECK_INT(meter_of(&house, license.license_id).month_reserved, 1);
	CHECK_OK(reserve(&house, &in, NULL));
	commit(&house);
	CHECK_INT(meter_of(&house, license.license_id).month_reserved, 2);
	house_close(&house);
}
#endif

TEST(ledger_settle_by_the_model_that_answered)
{
	struct license_issued license;
	struct settled out;
	struct reserve in;
	struct settle end;
	struct house house;

	house_open(&house);
	license = issue(&house, "owner@shop.example", "pro");
	in = question(license.license_key, "r1");
	CHECK_OK(reserve(&house, &in, NULL));
	end = settlement(license.license_id, "r1", "settled");
	end.model = STR("gpt-4o-mini-2024-07-18");
	CHECK_OK(settle(&house, &end, &out));
	CHECK_INT(out.cost, 150 + 15 + 300);
	CHECK_STR(line_of(&house, license.license_id, "r1").model,
		  STR("gpt-4o-mini-2024-07-18"));
	in.request_id = STR("r2");
	CHECK_OK(reserve(&house, &in, NULL));
	end = settlement(license.license_id, "r2", "settled");
	end.model = STR("never-heard-of");
	end.input_tokens = INT64_MAX; /* a provider's nonsense is bounded */
	CHECK_OK(settle(&house, &end, &out));
	CHECK_INT(out.cost, INT64_C(2500000000) + 250 + 5000);
	commit(&house);
	house_close(&house);
}

TEST(ledger_open_reservations_are_closed)
{
	static struct store_row rows[ROWS_MAX];
	struct license_issued license;
	struct usage_line line;
	struct reserve in;
	struct settled out;
	struct settle end;
	struct event event;
	struct house house;
	int64_t next_ms;

	house_open(&house);
	license = issue(&house, "owner@shop.example", "pro");
	in = question(license.license_key, "old");
	CHECK_OK(reserve(&house, &in, NULL));
	in = question(license.license_key, "new");
	in.owner_start = 8;
	in.expires_ms = 700000;
	CHECK_OK(reserve(&house, &in, NULL));
	in = question(license.license_key, "other");
	in.owner = STR("proxy-1");
	CHECK_OK(reserve(&house, &in, NULL));
	ledger_hasten(&house.ledger); /* the sweep looks into the store */
	commit(&house);
	CHECK_INT(sweep(&house, NULL, 0, &next_ms), 0);
	CHECK_INT(next_ms, T0 + 600000);
	CHECK_INT(sweep(&house, "proxy-0", 8, &next_ms), 1);
	line = line_of(&house, license.license_id, "old");
	CHECK_STR(line.status, STR("interrupted"));
	CHECK_STR(line.source, STR("estimated"));
	CHECK_INT(line.cost, 250); /* 100 prompt tokens at 2.50 */
	CHECK_INT(meter_of(&house, license.license_id).month_used, 1);
	CHECK_INT(meter_of(&house, license.license_id).month_reserved, 2);
	house.now_ms = T0 + 600000;
	CHECK_INT(sweep(&house, NULL, 0, &next_ms), 1);
	CHECK_INT(next_ms, T0 + 700000);
	house.now_ms = T0 + 700000;
	CHECK_INT(sweep(&house, NULL, 0, &next_ms), 1);
	CHECK_INT(next_ms, INT64_MAX);
	CHECK_INT(rows_of(&house, KEY_OPEN, rows), 0);
	CHECK_INT(meter_of(&house, license.license_id).month_used, 3);

	/* Late, and charged instead of the estimate. */
	end = settlement(license.license_id, "old", "settled");
	CHECK_OK(settle(&house, &end, &out));
	CHECK_INT(out.cost, 7750);
	CHECK_INT(meter_of(&house, license.license_id).month_used, 3);
	end = settlement(license.license_id, "other", "failed");
	CHECK_OK(settle(&house, &end, &out));
	CHECK_INT(meter_of(&house, license.license_id).month_used, 2);
	commit(&house);
	event = event_at(&house, head_of(&house) - 1);
	CHECK_STR(event.metadata,
		  STR("{\"was\":\"interrupted\",\"was_input_tokens\":100,"
		      "\"was_cost\":250,\"was_price\":0}"));
	house_close(&house);
}

/* --- days ---------------------------------------------------------------- */

TEST(ledger_days_close_once_each)
{
	struct house house;
	int64_t next_ms;
	struct event event;

	house_open(&house);
	CHECK_OK(ledger_close_days(&house.ledger, T0, &next_ms));
	CHECK_INT(commit(&house), 0);
	/* 22 November, 06:00 in Rome. */
	CHECK_INT(next_ms, T0 + 21 * HOUR_MS);
	CHECK_OK(ledger_close_days(&house.ledger, next_ms, &next_ms));
	CHECK_INT(commit(&house), 1);
	event = event_at(&house, 1);
	CHECK_STR(event.type, STR("day_closed"));
	CHECK_STR(event.metadata, STR("{\"date\":\"2026-11-21\"}"));
	CHECK_INT(event.event_date, T0 + 15 * HOUR_MS);
	CHECK_OK(ledger_close_days(&house.ledger, T0 + 21 * HOUR_MS, &next_ms));
	CHECK_INT(commit(&house), 0);
	/* Nothing ran for three days. */
	CHECK_OK(ledger_close_days(&house.ledger,
				   T0 + 21 * HOUR_MS + 3 * DAY_MS, &next_ms));
	CHECK_INT(commit(&house), 3);
	CHECK_STR(event_at(&house, 4).metadata,
		  STR("{\"date\":\"2026-11-24\"}"));
	house_close(&house);
}

/* --- the clock of expiry ------------------------------------------------- */

TEST(ledger_clock_does_not_jump)
{
	struct ledger_clock clock = {0};

	CHECK_INT(ledger_clock_now(&clock, T0, 1000), T0);
	CHECK_INT(ledger_clock_now(&clock, T0 + 500, 1400), T0 + 500);
	/* A day ahead: goes on evenly. */
	CHECK_INT(ledger_clock_now(&clock, T0 + DAY_MS, 2400), T0 + 1500);
	CHECK_INT(ledger_clock_now(&clock, T0 + DAY_MS, 3400), T0 + 2500);
	CHECK_INT(ledger_clock_now(&clock, T0 + DAY_MS + 900000, 902400),
		  T0 + DAY_MS + 900000);
	/* And a day back. */
	CHECK_INT(ledger_clock_now(&clock, T0 + 900000, 903400),
		  T0 + DAY_MS + 901000);
	CHECK_INT(ledger_clock_now(&clock, T0 + 1800000, 1803400),
		  T0 + 1800000);
}
