/*
 * report: see report.h. Reads records and rollups, never raw ledger lines.
 */
#include "workers/report.h"

#include "lib/clock.h"
#include "store/keys.h"
#include "workers/limits.h"

#define HOUR_MS INT64_C(3600000)
#define LIMIT_ROWS 6u

/* --- loading -------------------------------------------------------------- */

enum err
report_store(struct store *store, struct arena *arena, struct store_status *out)
{
	struct store_state state;
	enum err e = store_state(store, &state);

	if (e != ERR_OK)
		return e;
	out->head_seq = (int64_t)state.head_seq;
	out->used_bytes = state.used_bytes;
	out->map_bytes = state.map_bytes;
	out->disk_free_bytes = state.disk_free_bytes;
	out->disk_bytes = state.disk_bytes;
	if (state.alarm[0])
		out->alarm = arena_str(arena, str_of(state.alarm));
	return ERR_OK;
}

void
report_zone(const struct workspace *workspace, char zone[REPORT_ZONE_BYTES])
{
	struct str text = workspace->timezone;

	memcpy(zone, REPORT_ZONE_DEFAULT, sizeof(REPORT_ZONE_DEFAULT));
	if (text.n == 0 || text.n >= REPORT_ZONE_BYTES)
		return;
	memcpy(zone, text.p, text.n);
	zone[text.n] = '\0';
	if (!calendar_zone_is_known(zone))
		memcpy(zone, REPORT_ZONE_DEFAULT, sizeof(REPORT_ZONE_DEFAULT));
}

enum err
report_complete_plan(struct plan *plan, struct arena *arena)
{
	struct str name = STR("requests_hour");
	struct limit *limits;

	for (uint32_t i = 0; i < plan->limits_count; i++)
		if (str_eq(plan->limits[i].name, name))
			return ERR_OK;
	limits = arena_array(arena, plan->limits_count + 1u, sizeof(*limits));
	if (limits == NULL)
		return ERR_NO_MEMORY;
	if (plan->limits_count)
		memcpy(limits, plan->limits,
		       plan->limits_count * sizeof(*limits));
	limits[plan->limits_count++] =
	    (struct limit){name, RULES_REQUESTS_HOUR_DEFAULT};
	plan->limits = limits;
	return ERR_OK;
}

/* ERR_NO_SUCH when there is none. */
static enum err
load(struct store *store, const struct key *key, const struct schema *schema,
     void *out, struct arena *arena)
{
	struct str wanted = key_str(key), raw;
	enum err e = store_load(store, &wanted, 1, &raw, arena);

	schema_clear(schema, out);
	if (e != ERR_OK)
		return e;
	if (raw.p == NULL)
		return ERR_NO_SUCH;
	e = schema_decode(schema, raw, out, arena, NULL);
	return e == ERR_OK || e == ERR_NO_MEMORY ? e : ERR_STORE_CORRUPT;
}

static enum err
load_settings(struct store *store, struct report_subject *subject,
	      struct arena *arena)
{
	struct workspace *workspace = arena_alloc(arena, sizeof(*workspace));
	struct plan *plan = arena_alloc(arena, sizeof(*plan));
	char *zone = arena_alloc(arena, REPORT_ZONE_BYTES);
	struct key key;
	enum err e;

	if (workspace == NULL || plan == NULL || zone == NULL)
		return ERR_NO_MEMORY;
	key_workspace(&key, subject->license.workspace);
	e = load(store, &key, &workspace_schema, workspace, arena);
	if (e != ERR_OK)
		return e;
	key_plan(&key, subject->license.workspace, subject->subscription.plan);
	e = load(store, &key, &plan_schema, plan, arena);
	if (e != ERR_OK)
		return e;
	report_zone(workspace, zone);
	subject->workspace = workspace;
	subject->plan = plan;
	subject->zone = zone;
	return report_complete_plan(plan, arena);
}

enum err
report_load(struct store *store, struct str license_hash, int64_t now_ms,
	    struct arena *arena, struct report_subject *out)
{
	struct key key;
	enum err e;

	out->month_resets_at = STR_NONE;
	out->month_end_ms = 0;
	key_license(&key, license_hash);
	e = load(store, &key, &license_schema, &out->license, arena);
	if (e != ERR_OK)
		return e == ERR_NO_SUCH ? ERR_NOT_FOUND : e;
	key_subscription(&key, license_hash);
	e = load(store, &key, &subscription_schema, &out->subscription, arena);
	if (e == ERR_OK)
		e = load_settings(store, out, arena);
	if (e != ERR_OK)
		return e == ERR_NO_SUCH ? ERR_STORE_CORRUPT : e;
	key_meter(&key, out->license.id);
	e = load(store, &key, &meter_schema, &out->meter, arena);
	if (e != ERR_OK && e != ERR_NO_SUCH)
		return e;
	rules_meter_roll(&out->meter, now_ms, out->zone);
	return ERR_OK;
}

/* --- what it says --------------------------------------------------------- */

void
report_license(const struct report_subject *subject, int64_t now_ms,
	       struct license_brief *out)
{
	out->id = subject->license.id;
	out->key = subject->license.masked_key;
	out->status = str_of(rules_status(&subject->subscription, now_ms));
	out->domain = subject->license.domain;
	out->expires_at = subject->subscription.ends_at;
}

void
report_plan(const struct report_subject *subject, struct plan_brief *out)
{
	const struct plan *plan = subject->plan;

	out->code = plan->code;
	out->name = plan->name;
	out->features = plan->features;
	out->features_count = plan->features_count;
	out->limits = plan->limits;
	out->limits_count = plan->limits_count;
}

static struct limit_usage
limit_row(struct str name, int64_t used, int64_t limit)
{
	struct limit_usage row = {name, used, limit, SCHEMA_INT_NONE, STR_NONE};

	if (limit != SCHEMA_INT_NONE)
		row.remaining = used < limit ? limit - used : 0;
	return row;
}

static struct str
zoned_text(int64_t ms, const char *zone, struct arena *arena)
{
	char text[CALENDAR_TEXT_BYTES];

	return arena_str(arena,
			 str_bytes(text, calendar_print_zoned(ms, zone, text)));
}

static struct limit_usage
month_row(const struct report_subject *subject, struct arena *arena)
{
	const struct meter *meter = &subject->meter;
	struct limit_usage row = limit_row(
	    STR("requests_month"),
	    schema_count(meter->month_used) +
		schema_count(meter->month_reserved),
	    rules_limit(subject->plan, "requests_month", SCHEMA_INT_NONE));

	if (subject->month_resets_at.p &&
	    meter->month_end == subject->month_end_ms)
		row.resets_at = subject->month_resets_at;
	else
		row.resets_at =
		    zoned_text(meter->month_end, subject->zone, arena);
	return row;
}

/* What one more request would find, without being one. */
static struct limit_usage
hour_row(const struct report_subject *subject, int64_t now_ms,
	 struct arena *arena)
{
	int64_t limit = rules_limit(subject->plan, "requests_hour",
				    RULES_REQUESTS_HOUR_DEFAULT);
	int64_t tat_ns = subject->meter.hour_tat_ns, now_ns, left;
	struct limit_usage row = limit_row(STR("requests_hour"), 0, limit);
	struct rules_rate rate;

	now_ns = now_ms * NS_PER_MS;
	if (limit == SCHEMA_INT_NONE || tat_ns == SCHEMA_INT_NONE ||
	    tat_ns <= now_ns)
		return row;
	rate = rules_gcra(&tat_ns, now_ns, limit, HOUR_MS);
	left = rate.is_admitted ? rate.remaining + 1 : 0;
	row.used = limit > left ? limit - left : 0;
	row.remaining = left;
	row.resets_at =
	    zoned_text((subject->meter.hour_tat_ns - 1) / NS_PER_MS + 1,
		       subject->zone, arena);
	return row;
}

/* Of the minute that holds now. */
static struct limit_usage
minute_row(const struct report_subject *subject, int64_t limit, int64_t now_ms,
	   struct arena *arena)
{
	const struct meter *meter = &subject->meter;
	int64_t start = limits_minute(meter, now_ms);
	struct limit_usage row = limit_row(STR("tokens_minute"), 0, limit);

	if (meter->minute_start == start)
		row = limit_row(row.name,
				schema_count(meter->minute_used) +
				    schema_count(meter->minute_reserved),
				limit);
	row.resets_at =
	    zoned_text(start + LIMITS_MINUTE_MS, subject->zone, arena);
	return row;
}

/* Those that only few plans have. */
static uint32_t
further_rows(const struct report_subject *subject, int64_t now_ms,
	     struct str resets_at, struct arena *arena, struct limit_usage *out)
{
	const struct meter *meter = &subject->meter;
	const struct plan *plan = subject->plan;
	int64_t tokens = rules_limit(plan, "tokens_minute", SCHEMA_INT_NONE);
	int64_t spend = rules_limit(plan, "spend_month", SCHEMA_INT_NONE);
	int64_t concurrent = rules_limit(plan, "concurrent", SCHEMA_INT_NONE);
	uint32_t count = 0;

	if (tokens != SCHEMA_INT_NONE)
		out[count++] = minute_row(subject, tokens, now_ms, arena);
	if (spend != SCHEMA_INT_NONE) {
		out[count] = limit_row(STR("spend_month"),
				       schema_count(meter->month_spent) +
					   schema_count(meter->month_held),
				       spend);
		out[count++].resets_at = resets_at;
	}
	if (concurrent != SCHEMA_INT_NONE)
		out[count++] = limit_row(STR("concurrent"),
					 schema_count(meter->open), concurrent);
	return count;
}

enum err
report_limits(const struct report_subject *subject, int64_t now_ms,
	      struct arena *arena, struct limit_usage **rows, uint32_t *count)
{
	struct limit_usage *out = arena_array(arena, LIMIT_ROWS, sizeof(*out));
	int64_t activations =
	    rules_limit(subject->plan, "activations", SCHEMA_INT_NONE);

	if (out == NULL)
		return ERR_NO_MEMORY;
	out[0] = month_row(subject, arena);
	out[1] = hour_row(subject, now_ms, arena);
	*count = 2;
	if (activations != SCHEMA_INT_NONE)
		out[(*count)++] = limit_row(
		    STR("activations"),
		    schema_count(subject->license.activations), activations);
	*count += further_rows(subject, now_ms, out[0].resets_at, arena,
			       out + *count);
	*rows = out;
	return ERR_OK;
}

/* --- usage ---------------------------------------------------------------- */

static struct usage_sum
sum_of(const struct rollup *rollup)
{
	return (struct usage_sum){
	    .requests = schema_count(rollup->requests),
	    .failed = schema_count(rollup->failed),
	    .input_tokens = schema_count(rollup->input_tokens),
	    .output_tokens = schema_count(rollup->output_tokens),
	    .cache_read_tokens = schema_count(rollup->cache_read_tokens),
	    .cache_write_tokens = schema_count(rollup->cache_write_tokens),
	    .cost = schema_count(rollup->cost),
	    .price = schema_count(rollup->price),
	};
}

static void
day_fill(struct usage_day *day, const struct usage_sum *sum)
{
	day->requests = sum->requests;
	day->failed = sum->failed;
	day->input_tokens = sum->input_tokens;
	day->output_tokens = sum->output_tokens;
	day->cache_read_tokens = sum->cache_read_tokens;
	day->cache_write_tokens = sum->cache_write_tokens;
	day->cost = sum->cost;
	day->price = sum->price;
}

/* *sum is zero when nothing was used in the window; *is_there says which. */
static enum err
load_sum(struct store *store, const struct report_subject *subject, char window,
	 int64_t start_ms, struct arena *arena, struct usage_sum *sum,
	 bool *is_there)
{
	struct rollup rollup;
	struct key key;
	enum err e;

	key_rollup_license(&key, subject->license.id, window, start_ms);
	e = load(store, &key, &rollup_schema, &rollup, arena);
	*is_there = e == ERR_OK;
	if (e != ERR_OK && e != ERR_NO_SUCH)
		return e;
	*sum = sum_of(&rollup);
	return ERR_OK;
}

static enum err
load_days(struct store *store, const struct report_subject *subject,
	  int64_t now_ms, struct arena *arena, struct usage_report *out)
{
	int64_t today = calendar_day_number(now_ms, subject->zone);
	struct usage_day *days =
	    arena_array(arena, REPORT_DAYS, sizeof(*out->days));

	if (days == NULL)
		return ERR_NO_MEMORY;
	out->days = days;
	out->days_count = 0;
	for (int64_t n = today - REPORT_DAYS + 1; n <= today; n++) {
		int64_t start_ms = calendar_day_start(n, subject->zone);
		char text[CALENDAR_TEXT_BYTES];
		struct usage_sum sum;
		bool is_there;
		enum err e;

		e = load_sum(store, subject, 'd', start_ms, arena, &sum,
			     &is_there);
		if (e != ERR_OK)
			return e;
		if (n == today)
			out->today = sum;
		if (!is_there)
			continue;
		days[out->days_count].date = arena_str(
		    arena, str_bytes(text, calendar_print_day(
					       start_ms, subject->zone, text)));
		day_fill(&days[out->days_count++], &sum);
	}
	return ERR_OK;
}

enum err
report_usage(struct store *store, const struct report_subject *subject,
	     int64_t now_ms, struct arena *arena, struct usage_report *out)
{
	int64_t start_ms, end_ms;
	bool is_there;
	enum err e;

	report_license(subject, now_ms, &out->license);
	report_plan(subject, &out->plan);
	out->currency = subject->workspace->currency;
	out->reserved = schema_count(subject->meter.month_reserved);
	calendar_window(WINDOW_MONTH, now_ms, subject->zone, &start_ms,
			&end_ms);
	e = load_sum(store, subject, 'm', start_ms, arena, &out->month,
		     &is_there);
	if (e == ERR_OK)
		e = load_days(store, subject, now_ms, arena, out);
	if (e == ERR_OK)
		e = report_limits(subject, now_ms, arena, &out->limits,
				  &out->limits_count);
	return e;
}
