/*
 * validate_test: every code of the contract, the numbers beside it, and what a
 * change in the store does to the next turn. Runs the process's own rows over
 * the memory engine.
 */
#include "workers/validate.h"

#include "lib/test.h"
#include "store/group.h"
#include "store/records.h"
#include "workers/report.h"
#include "workers/validate_rates.h"

#include <stdio.h>

#define KEY STR("CHA-TEST-1234-5678-ABCD")
#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)
/* 2026-11-21T07:04:00.250Z */
#define NOW INT64_C(1795244640250)
/* 2026-11-01T00:00:00+01:00 and 2026-12-01T00:00:00+01:00 */
#define MONTH_START INT64_C(1793487600000)
#define MONTH_END INT64_C(1796079600000)

struct house {
	struct store *store;
	struct crypto *crypto;
	struct store_lease lease;
	struct group *group;
	struct validate *validate;
	struct arena arena;
	int64_t now_ms;
	struct workspace workspace;
	struct plan plan;
	struct license license;
	struct subscription subscription;
	struct limit limits[4];
	struct str features[2];
};

static void
put(struct house *h, const struct key *key, const struct schema *schema,
    const void *record)
{
	CHECK_OK(group_put(h->group, key, schema, record));
	CHECK_OK(group_commit(h->group));
}

static void
put_workspace(struct house *h)
{
	struct key key;

	key_workspace(&key, h->workspace.code);
	put(h, &key, &workspace_schema, &h->workspace);
}

static void
put_plan(struct house *h)
{
	struct key key;

	key_plan(&key, STR("default"), h->plan.code);
	put(h, &key, &plan_schema, &h->plan);
}

static void
put_license(struct house *h)
{
	unsigned char hash[CRYPTO_HASH_BYTES];
	struct key key;

	crypto_hash_license_key(h->crypto, KEY, hash);
	key_license(&key, str_bytes(hash, sizeof(hash)));
	put(h, &key, &license_schema, &h->license);
	key_subscription(&key, str_bytes(hash, sizeof(hash)));
	put(h, &key, &subscription_schema, &h->subscription);
}

static void
put_meter(struct house *h, int64_t used, int64_t reserved, int64_t tat_ns)
{
	struct meter meter = {.hour_tat_ns = tat_ns,
			      .month_start = MONTH_START,
			      .month_end = MONTH_END,
			      .month_used = used,
			      .month_reserved = reserved,
			      .admissions = used + reserved};
	struct key key;

	key_meter(&key, STR("lic_1"));
	put(h, &key, &meter_schema, &meter);
}

static void
put_meta(struct house *h)
{
	unsigned char check[CRYPTO_HASH_BYTES];
	struct meta meta;
	struct key key;

	crypto_key_check(h->crypto, check);
	schema_clear(&meta_schema, &meta);
	meta.version = 1;
	meta.key_check = str_bytes(check, sizeof(check));
	key_meta(&key);
	put(h, &key, &meta_schema, &meta);
}

static void
house_fill(struct house *h)
{
	schema_clear(&workspace_schema, &h->workspace);
	h->workspace.code = STR("default");
	h->workspace.timezone = STR("Europe/Rome");
	h->workspace.currency = STR("EUR");
	h->workspace.enforcement = STR("enforce");
	schema_clear(&plan_schema, &h->plan);
	h->plan.workspace = STR("default");
	h->plan.code = STR("pro");
	h->plan.name = STR("Pro");
	h->features[0] = STR("ai_proxy");
	h->plan.features = h->features;
	h->plan.features_count = 1;
	h->limits[0] = (struct limit){STR("requests_month"), 1000};
	h->plan.limits = h->limits;
	h->plan.limits_count = 1;
	schema_clear(&license_schema, &h->license);
	h->license.id = STR("lic_1");
	h->license.workspace = STR("default");
	h->license.customer_id = STR("cus_1");
	h->license.subscription_id = STR("sub_1");
	h->license.masked_key = STR("CHA-****-****-****-ABCD");
	schema_clear(&subscription_schema, &h->subscription);
	h->subscription.id = STR("sub_1");
	h->subscription.workspace = STR("default");
	h->subscription.customer_id = STR("cus_1");
	h->subscription.plan = STR("pro");
	h->subscription.status = STR("active");
	h->subscription.ends_at = NOW + 200 * DAY;
}

static void
house_open(struct house *h)
{
	struct store_conf conf = {"memory", "", 1 << 26, true};
	struct why why = {"", ""};

	*h = (struct house){.now_ms = NOW};
	arena_init(&h->arena, 16u << 20);
	CHECK_OK(crypto_make_master_key("master.key", &why));
	CHECK_OK(crypto_open(&h->crypto, "master.key", &why));
	CHECK_OK(store_open(&h->store, &conf, &why));
	CHECK_OK(store_lease_take(h->store, &h->lease, &why));
	CHECK_OK(group_open(&h->group, h->store, &h->lease));
	house_fill(h);
	put_meta(h);
	put_workspace(h);
	put_plan(h);
	put_license(h);
	CHECK_OK(validate_open(&h->validate, h->store, h->crypto, &why));
}

static void
house_close(struct house *h)
{
	group_close(h->group);
	store_lease_release(h->store, &h->lease);
	validate_close(h->validate);
	arena_fini(&h->arena);
}

static enum err
call(struct house *h, unsigned type, const void *in, void *out)
{
	struct context context = {
	    .state = h->validate, .arena = &h->arena, .now_ms = h->now_ms};
	enum err e;

	CHECK_OK(validate_turn_begin(h->validate));
	e = pool_call(validate_rows, validate_row_count, &context, type, in,
		      out);
	validate_turn_end(h->validate);
	return e;
}

static struct validate_answer
validated(struct house *h, struct str key, const char *site)
{
	struct validate_license in = {key, str_of(site)};
	struct validate_answer out;

	CHECK_OK(call(h, MSG_validate_license, &in, &out));
	CHECK(out.valid == (out.err == ERR_OK));
	CHECK(out.message.n > 0);
	CHECK_INT(out.checked_at % 1000, 0);
	return out;
}

static void
check_code(struct house *h, struct str key, const char *site, const char *code)
{
	CHECK_STR(validated(h, key, site).code, str_of(code));
}

/* --- the verdict -------------------------------------------------------- */

TEST(validate_says_all_of_a_valid_licence)
{
	struct validate_answer out;
	struct house h;

	house_open(&h);
	put_meter(&h, 38, 3, SCHEMA_INT_NONE);
	out = validated(&h, STR(" cha-test-1234-5678-abcd "), NULL);
	CHECK(out.valid);
	CHECK_STR(out.code, STR("VALID"));
	CHECK_STR(out.message, STR("licence is valid"));
	CHECK_STR(out.license.id, STR("lic_1"));
	CHECK_STR(out.license.key, STR("CHA-****-****-****-ABCD"));
	CHECK_STR(out.license.status, STR("active"));
	CHECK_INT(out.license.expires_at, NOW + 200 * DAY);
	CHECK_STR(out.plan.code, STR("pro"));
	CHECK_INT(out.plan.features_count, 1);
	CHECK_INT(out.plan.limits_count, 2);
	CHECK_STR(out.plan.limits[1].name, STR("requests_hour"));
	CHECK_INT(out.plan.limits[1].value, 100);
	CHECK_INT(out.usage_count, 2);
	CHECK_STR(out.usage[0].name, STR("requests_month"));
	CHECK_INT(out.usage[0].used, 41);
	CHECK_INT(out.usage[0].limit, 1000);
	CHECK_INT(out.usage[0].remaining, 959);
	CHECK_STR(out.usage[0].resets_at, STR("2026-12-01T00:00:00+01:00"));
	CHECK_STR(out.usage[1].name, STR("requests_hour"));
	CHECK_INT(out.usage[1].used, 0);
	CHECK_INT(out.usage[1].remaining, 100);
	CHECK(out.usage[1].resets_at.p == NULL);
	CHECK_INT(out.checked_at, NOW - 250);
	CHECK_INT(out.cache_until, NOW - 250 + DAY);
	CHECK(out.token.p == NULL);
	house_close(&h);
}

TEST(validate_says_nothing_of_unknown_keys)
{
	static const struct {
		struct str key;
		const char *code;
		enum err err;
	} rows[] = {
	    {{NULL, 0}, "KEY_MISSING", ERR_KEY_MISSING},
	    {{"  ", 2}, "KEY_MISSING", ERR_KEY_MISSING},
	    {{"CHA-TEST-1234-5678-ABCE", 23}, "NOT_FOUND", ERR_NOT_FOUND},
	    {{"no key at all!", 14}, "NOT_FOUND", ERR_NOT_FOUND},
	};
	struct house h;

	house_open(&h);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct validate_answer out = validated(&h, rows[i].key, NULL);

		CHECK_STR(out.code, str_of(rows[i].code));
		CHECK_INT(out.err, rows[i].err);
		CHECK(!out.valid);
		CHECK(out.license.id.p == NULL);
		CHECK_INT(out.license.expires_at, SCHEMA_INT_NONE);
		CHECK(out.plan.code.p == NULL);
		CHECK_INT(out.usage_count, 0);
		CHECK_INT(out.cache_until, out.checked_at);
	}
	house_close(&h);
}

TEST(validate_says_each_standing)
{
	struct validate_answer out;
	struct house h;

	house_open(&h);
	h.subscription.status = STR("suspended");
	put_license(&h);
	out = validated(&h, KEY, NULL);
	CHECK_STR(out.code, STR("SUSPENDED"));
	CHECK_STR(out.license.status, STR("suspended"));
	CHECK_STR(out.plan.code, STR("pro"));
	CHECK_INT(out.cache_until, out.checked_at);
	h.subscription.status = STR("cancelled");
	put_license(&h);
	check_code(&h, KEY, NULL, "CANCELLED");
	h.subscription.status = STR("active");
	h.subscription.ends_at = NOW;
	put_license(&h);
	out = validated(&h, KEY, NULL);
	CHECK_STR(out.code, STR("EXPIRED"));
	CHECK_STR(out.license.status, STR("expired"));
	h.subscription.grace_days = 3;
	h.subscription.ends_at = NOW - 5 * HOUR;
	put_license(&h);
	out = validated(&h, KEY, NULL);
	CHECK_STR(out.code, STR("GRACE"));
	CHECK(out.valid);
	CHECK_INT(out.cache_until, out.checked_at + DAY);
	h.now_ms = h.subscription.ends_at + 3 * DAY - HOUR;
	out = validated(&h, KEY, NULL);
	CHECK_STR(out.code, STR("GRACE"));
	CHECK_INT(out.cache_until, h.subscription.ends_at + 3 * DAY);
	h.now_ms = h.subscription.ends_at + 3 * DAY;
	check_code(&h, KEY, NULL, "EXPIRED");
	/* An answer is not to be relied on beyond the end. */
	h.now_ms = NOW;
	h.subscription.ends_at = NOW + 2 * HOUR;
	put_license(&h);
	CHECK_INT(validated(&h, KEY, NULL).cache_until, NOW + 2 * HOUR);
	h.subscription.ends_at = SCHEMA_INT_NONE;
	put_license(&h);
	out = validated(&h, KEY, NULL);
	CHECK_STR(out.code, STR("VALID"));
	CHECK_INT(out.license.expires_at, SCHEMA_INT_NONE);
	house_close(&h);
}

TEST(validate_compares_domains)
{
	struct validate_answer out;
	struct house h;

	house_open(&h);
	h.license.domain = STR("shop.example");
	put_license(&h);
	check_code(&h, KEY, "https://www.Shop.example/wp", "VALID");
	check_code(&h, KEY, "staging.shop.example", "VALID");
	check_code(&h, KEY, "localhost:8080", "VALID");
	check_code(&h, KEY, NULL, "VALID");
	out = validated(&h, KEY, "other.example");
	CHECK_STR(out.code, STR("DOMAIN_MISMATCH"));
	CHECK_STR(out.license.domain, STR("shop.example"));
	check_code(&h, KEY, "no host", "DOMAIN_MISMATCH");
	check_code(&h, KEY, "null", "DOMAIN_MISMATCH");
	/* What stands against the licence itself is said first. */
	h.subscription.status = STR("suspended");
	put_license(&h);
	check_code(&h, KEY, "other.example", "SUSPENDED");
	house_close(&h);
}

TEST(validate_shows_where_each_limit_stands)
{
	const struct {
		const char *name;
		int64_t used, remaining;
	} rows[] = {{"tokens_minute", 700, 300},
		    {"spend_month", 5000, 0},
		    {"concurrent", 2, 1}};
	struct meter meter = {.hour_tat_ns = SCHEMA_INT_NONE,
			      .month_start = MONTH_START,
			      .month_end = MONTH_END,
			      .open = 2,
			      .month_held = 1500,
			      .month_spent = 3500,
			      .minute_start = NOW - NOW % 60000,
			      .minute_first = 1,
			      .minute_used = 600,
			      .minute_reserved = 100};
	struct validate_answer out;
	struct house h;
	struct key key;

	house_open(&h);
	h.limits[1] = (struct limit){STR("tokens_minute"), 1000};
	h.limits[2] = (struct limit){STR("spend_month"), 4000};
	h.limits[3] = (struct limit){STR("concurrent"), 3};
	h.plan.limits_count = 4;
	put_plan(&h);
	key_meter(&key, STR("lic_1"));
	put(&h, &key, &meter_schema, &meter);
	out = validated(&h, KEY, NULL);
	CHECK_INT(out.usage_count, 5);
	for (int i = 0; i < 3; i++) {
		CHECK_STR(out.usage[2 + i].name, str_of(rows[i].name));
		CHECK_INT(out.usage[2 + i].used, rows[i].used);
		CHECK_INT(out.usage[2 + i].remaining, rows[i].remaining);
	}
	CHECK(out.usage[2].resets_at.n && out.usage[3].resets_at.n);
	/* The minute is over; the clock was set back by a little, which is the
	 * same minute still, and by more, which is another. */
	for (int i = 0; i < 3; i++) {
		static const int64_t minutes[] = {-1, 1, 2};

		meter.minute_start = NOW - NOW % 60000 + minutes[i] * 60000;
		put(&h, &key, &meter_schema, &meter);
		out = validated(&h, KEY, NULL);
		CHECK_INT(out.usage[2].used, i == 1 ? 700 : 0);
		CHECK_INT(out.usage[2].remaining, i == 1 ? 300 : 1000);
	}
	house_close(&h);
}

TEST(validate_limits_each_site_by_itself)
{
	struct validate_answer out;
	struct house h;

	house_open(&h);
	h.limits[1] = (struct limit){STR("validations_hour"), 3};
	h.plan.limits_count = 2;
	put_plan(&h);
	for (int i = 0; i < 3; i++)
		check_code(&h, KEY, "a.example", "VALID");
	out = validated(&h, KEY, "a.example");
	CHECK_STR(out.code, STR("RATE_LIMITED"));
	CHECK_INT(out.retry_after_ms, 20 * 60 * 1000);
	CHECK_INT(out.rate_limit, 3);
	CHECK_INT(out.rate_remaining, 0);
	CHECK_INT(out.rate_reset_ms, HOUR);
	CHECK_STR(out.plan.code, STR("pro"));
	check_code(&h, KEY, "b.example", "VALID");
	h.now_ms += 20 * 60 * 1000 - 1;
	check_code(&h, KEY, "a.example", "RATE_LIMITED");
	h.now_ms += 1;
	check_code(&h, KEY, "a.example", "VALID");
	check_code(&h, KEY, "a.example", "RATE_LIMITED");
	/* In the mode `log` it only counts. */
	h.workspace.enforcement = STR("log");
	put_workspace(&h);
	check_code(&h, KEY, "a.example", "VALID");
	house_close(&h);
}

static void
put_activation(struct house *h, struct str host)
{
	struct activation activation = {STR("lic_1"), host, NOW};
	struct key key;

	key_activation(&key, STR("lic_1"), host);
	put(h, &key, &activation_schema, &activation);
}

TEST(validate_refuses_sites_beyond_the_activations)
{
	struct validate_answer out;
	struct house h;

	house_open(&h);
	h.limits[1] = (struct limit){STR("activations"), 2};
	h.license.activations = 1;
	put_license(&h);
	put_activation(&h, STR("a.example"));
	check_code(&h, KEY, "c.example", "VALID"); /* no such limit */
	h.plan.limits_count = 2;
	put_plan(&h);
	check_code(&h, KEY, "c.example", "VALID"); /* there is room */
	h.license.activations = 2;
	put_license(&h);
	put_activation(&h, STR("b.example"));
	out = validated(&h, KEY, "c.example");
	CHECK_STR(out.code, STR("TOO_MANY_ACTIVATIONS"));
	CHECK_INT(out.err, ERR_TOO_MANY_ACTIVATIONS);
	CHECK(!out.valid);
	CHECK_STR(out.plan.code, STR("pro"));
	CHECK_INT(out.cache_until, out.checked_at);
	check_code(&h, KEY, "no host", "TOO_MANY_ACTIVATIONS");
	check_code(&h, KEY, "https://www.A.example/", "VALID");
	check_code(&h, KEY, "b.example", "VALID");
	check_code(&h, KEY, "shop.local", "VALID");
	check_code(&h, KEY, NULL, "VALID");
	/* What stands against licence or domain is said first. */
	h.license.domain = STR("*.example");
	put_license(&h);
	check_code(&h, KEY, "other.test.com", "DOMAIN_MISMATCH");
	check_code(&h, KEY, "c.example", "TOO_MANY_ACTIVATIONS");
	h.subscription.status = STR("suspended");
	put_license(&h);
	check_code(&h, KEY, "c.example", "SUSPENDED");
	/* In the mode `log` the site is let in, as it is when it activates. */
	h.subscription.status = STR("active");
	put_license(&h);
	h.workspace.enforcement = STR("log");
	put_workspace(&h);
	check_code(&h, KEY, "c.example", "VALID");
	house_close(&h);
}

/* --- what the turn sees --------------------------------------------------- */

TEST(validate_sees_changes_in_the_next_turn)
{
	struct validate_answer out;
	struct house h;

	house_open(&h);
	CHECK_STR(validated(&h, KEY, NULL).plan.name, STR("Pro"));
	h.plan.name = STR("Professional");
	h.limits[0].value = SCHEMA_INT_NONE;
	put_plan(&h);
	out = validated(&h, KEY, NULL);
	CHECK_STR(out.plan.name, STR("Professional"));
	CHECK_INT(out.usage[0].limit, SCHEMA_INT_NONE);
	CHECK_INT(out.usage[0].remaining, SCHEMA_INT_NONE);
	h.workspace.timezone = STR("America/New_York");
	put_workspace(&h);
	out = validated(&h, KEY, NULL);
	CHECK_STR(out.usage[0].resets_at, STR("2026-12-01T00:00:00-05:00"));
	house_close(&h);
}

TEST(validate_rolls_the_month)
{
	struct validate_answer out;
	struct house h;

	house_open(&h);
	put_meter(&h, 1000, 0, SCHEMA_INT_NONE);
	CHECK_INT(validated(&h, KEY, NULL).usage[0].remaining, 0);
	h.now_ms = MONTH_END;
	out = validated(&h, KEY, NULL);
	CHECK_INT(out.usage[0].used, 0);
	CHECK_INT(out.usage[0].remaining, 1000);
	CHECK_STR(out.usage[0].resets_at, STR("2027-01-01T00:00:00+01:00"));
	/* A clock that was set back still finds the old month. */
	h.now_ms = NOW;
	out = validated(&h, KEY, NULL);
	CHECK_INT(out.usage[0].used, 1000);
	CHECK_STR(out.usage[0].resets_at, STR("2026-12-01T00:00:00+01:00"));
	house_close(&h);
}

TEST(validate_shows_the_hour_without_moving_it)
{
	struct validate_answer out;
	struct house h;

	house_open(&h);
	/* Three of a hundred: three steps of 36 s beyond now. */
	put_meter(&h, 0, 0, (NOW + 3 * 36000) * 1000000);
	for (int i = 0; i < 2; i++) {
		out = validated(&h, KEY, NULL);
		CHECK_INT(out.usage[1].used, 3);
		CHECK_INT(out.usage[1].remaining, 97);
		CHECK_STR(out.usage[1].resets_at,
			  STR("2026-11-21T08:05:48.250+01:00"));
	}
	put_meter(&h, 0, 0, (NOW + HOUR) * 1000000);
	CHECK_INT(validated(&h, KEY, NULL).usage[1].remaining, 0);
	house_close(&h);
}

TEST(validate_says_when_a_record_is_missing)
{
	struct validate_license in = {KEY, STR_NONE};
	struct validate_answer out;
	struct house h;

	house_open(&h);
	h.subscription.plan = STR("nowhere");
	put_license(&h);
	CHECK_ERR(call(&h, MSG_validate_license, &in, &out), ERR_STORE_CORRUPT);
	house_close(&h);
}

TEST(validate_needs_the_store_s_master_key)
{
	struct validate *validate = NULL;
	struct crypto *other;
	struct house h;
	struct why why;

	house_open(&h);
	CHECK_OK(crypto_make_master_key("other.key", &why));
	CHECK_OK(crypto_open(&other, "other.key", &why));
	CHECK_ERR(validate_open(&validate, h.store, other, &why), ERR_CONFIG);
	CHECK(strstr(why.text, "master key") != NULL);
	CHECK(validate == NULL);
	crypto_close(other);
	house_close(&h);
}

/* --- the other reads ------------------------------------------------------ */

static void
put_rollup(struct house *h, char window, int64_t start_ms, int64_t requests)
{
	struct rollup rollup = {.requests = requests,
				.failed = 1,
				.input_tokens = 10 * requests,
				.output_tokens = 2 * requests,
				.cost = 7 * requests,
				.price = 9 * requests};
	struct key key;

	key_rollup_license(&key, STR("lic_1"), window, start_ms);
	put(h, &key, &rollup_schema, &rollup);
}

TEST(validate_reports_usage)
{
	const int64_t today = MONTH_START + 20 * DAY;
	struct usage_get in = {KEY, STR_NONE};
	struct usage_report out;
	struct house h;

	house_open(&h);
	put_meter(&h, 12, 2, SCHEMA_INT_NONE);
	put_rollup(&h, 'd', today, 3);
	put_rollup(&h, 'd', today - 2 * DAY, 4);
	put_rollup(&h, 'd', today - 30 * DAY - HOUR, 5); /* summer time */
	put_rollup(&h, 'd', today - 30 * DAY, 6);	 /* no day begins */
	put_rollup(&h, 'd', today - 40 * DAY, 100);
	put_rollup(&h, 'm', MONTH_START, 12);
	CHECK_OK(call(&h, MSG_usage_get, &in, &out));
	CHECK_STR(out.license.id, STR("lic_1"));
	CHECK_STR(out.currency, STR("EUR"));
	CHECK_INT(out.today.requests, 3);
	CHECK_INT(out.today.cost, 21);
	CHECK_INT(out.month.requests, 12);
	CHECK_INT(out.month.price, 108);
	CHECK_INT(out.month.input_tokens, 120);
	CHECK_INT(out.reserved, 2);
	CHECK_INT(out.limits[0].used, 14);
	CHECK_INT(out.days_count, 3);
	CHECK_STR(out.days[0].date, STR("2026-10-22"));
	CHECK_INT(out.days[0].requests, 5);
	CHECK_STR(out.days[2].date, STR("2026-11-21"));
	CHECK_INT(out.days[2].requests, 3);
	h.subscription.status = STR("suspended");
	put_license(&h);
	CHECK_ERR(call(&h, MSG_usage_get, &in, &out), ERR_SUSPENDED);
	in.key = STR("nobody");
	CHECK_ERR(call(&h, MSG_usage_get, &in, &out), ERR_NOT_FOUND);
	in.key = STR_NONE;
	CHECK_ERR(call(&h, MSG_usage_get, &in, &out), ERR_KEY_MISSING);
	house_close(&h);
}

/* The command tools load by themselves; the numbers are the same. */
TEST(report_is_the_same_for_the_tools)
{
	unsigned char hash[CRYPTO_HASH_BYTES];
	struct usage_get in = {KEY, STR_NONE};
	struct usage_report served, loaded;
	struct report_subject subject;
	struct buf a, b;
	struct house h;

	house_open(&h);
	put_meter(&h, 12, 2, (NOW + 36000) * 1000000);
	put_rollup(&h, 'd', MONTH_START, 3);
	CHECK_OK(call(&h, MSG_usage_get, &in, &served));
	crypto_hash_license_key(h.crypto, KEY, hash);
	CHECK_OK(report_load(h.store, str_bytes(hash, sizeof(hash)), h.now_ms,
			     &h.arena, &subject));
	schema_clear(&usage_report_schema, &loaded);
	CHECK_OK(report_usage(h.store, &subject, h.now_ms, &h.arena, &loaded));
	buf_init(&a, 65536);
	buf_init(&b, 65536);
	schema_print_json(&usage_report_schema, &served, &a);
	schema_print_json(&usage_report_schema, &loaded, &b);
	CHECK_STR(buf_str(&a), buf_str(&b));
	hash[0] ^= 1;
	CHECK_ERR(report_load(h.store, str_bytes(hash, sizeof(hash)), h.now_ms,
			      &h.arena, &subject),
		  ERR_NOT_FOUND);
	buf_fini(&a);
	buf_fini(&b);
	house_close(&h);
}

TEST(validate_lists_priced_models)
{
	struct prices_get in = {KEY, STR_NONE};
	struct prices_answer out;
	struct price_period period;
	struct price price;
	struct house h;
	char model[16];
	struct key key;

	schema_clear(&price_period_schema, &period);
	period.input = period.output = 1;
	house_open(&h);
	CHECK_OK(call(&h, MSG_prices_get, &in, &out));
	CHECK_INT(out.models_count, 0);
	for (int i = 0; i <= 300; i++) { /* the last is to come */
		snprintf(model, sizeof(model), "gpt-%03d", i);
		schema_clear(&price_schema, &price);
		price.provider = STR("openai");
		price.model = str_of(model);
		price.created_at = NOW;
		period.valid_from = NOW + (i == 300);
		price.periods = &period;
		price.periods_count = 1;
		key_price(&key, price.provider, price.model);
		put(&h, &key, &price_schema, &price);
	}
	CHECK_OK(call(&h, MSG_prices_get, &in, &out));
	CHECK_INT(out.models_count, 300);
	CHECK_STR(out.models[299].id, STR("gpt-299"));
	CHECK_STR(out.models[299].provider, STR("openai"));
	h.subscription.ends_at = NOW - 1;
	put_license(&h);
	CHECK_ERR(call(&h, MSG_prices_get, &in, &out), ERR_EXPIRED);
	house_close(&h);
}

TEST(validate_shows_the_store)
{
	struct store_status_get in = {false};
	struct store_status out;
	struct house h;

	house_open(&h);
	CHECK_OK(call(&h, MSG_store_status_get, &in, &out));
	CHECK_INT(out.head_seq, 0);
	CHECK(out.alarm.p == NULL);
	house_close(&h);
}

TEST(rates_table_is_bounded)
{
	struct rates *rates = rates_open();
	char id[16];

	CHECK(rates != NULL);
	CHECK(rates_take(rates, STR("a"), STR("x"), NOW, 1).is_admitted);
	CHECK(!rates_take(rates, STR("a"), STR("x"), NOW, 1).is_admitted);
	/* Licence and site are told apart. */
	CHECK(rates_take(rates, STR("ax"), STR_NONE, NOW, 1).is_admitted);
	/* A flood of others pushes the oldest out, and nothing else happens. */
	for (unsigned i = 0; i < 8 * RATES_SLOTS; i++) {
		snprintf(id, sizeof(id), "%u", i);
		CHECK(rates_take(rates, str_of(id), STR_NONE, NOW + 1, 1000)
			  .is_admitted);
	}
	rates_close(rates);
}

TEST(pool_call_refuses_unknown_messages)
{
	struct context context = {.now_ms = NOW};
	struct nothing in = {false}, out;

	CHECK_ERR(pool_call(validate_rows, validate_row_count, &context, 9999,
			    &in, &out),
		  ERR_MALFORMED);
	CHECK(context.failure.message.n > 0);
}
