/*
 * ledger_limits: the meters that a request is held to: its licence's, and its
 * workspace's while that has limits. Loading and putting for limits.h, which
 * decides. A workspace without limits has no meter that moves.
 *
 * Meters are written late (ledger_counters.h). What they would lose with the
 * process is in the lines: what is held while a line is open, what it counted
 * when it has ended, and the number of its admission.
 */
#include "workers/ledger_parts.h"

static enum err
find_meter(struct ledger *ledger, const struct key *key,
	   struct ledger_account *out)
{
	enum err e =
	    counters_find(ledger->counters, key, &meter_schema, &out->counter);

	if (e == ERR_OK)
		out->record = out->counter->record;
	return e;
}

static enum err
find_license_meter(struct ledger *ledger, struct str license_id,
		   struct ledger_account *out)
{
	struct key key;

	key_meter(&key, license_id);
	return find_meter(ledger, &key, out);
}

static enum err
find_workspace_meter(struct ledger *ledger, struct str workspace,
		     struct ledger_account *out)
{
	struct key key;

	key_workspace_meter(&key, workspace);
	return find_meter(ledger, &key, out);
}

/* --- admission ----------------------------------------------------------- */

static void
month_begin(struct meter *meter, const struct meter *like)
{
	meter->month_start = like->month_start;
	meter->month_end = like->month_end;
	meter->month_used = meter->month_reserved = 0;
	meter->month_held = meter->month_spent = 0;
}

/* One month for both: the later one, while the clock was set back a little. */
static void
months_join(struct meter *a, struct meter *b)
{
	if (a->month_start < b->month_start)
		month_begin(a, b);
	else if (b->month_start < a->month_start)
		month_begin(b, a);
}

/* In a month that began before it was counted here the rollup has it. */
static enum err
spent_load(struct ledger *ledger, struct str license_id, struct meter *meter)
{
	struct counter *counter;
	struct key key;
	enum err e;

	if (meter->month_spent != SCHEMA_INT_NONE)
		return ERR_OK;
	key_rollup_license(&key, license_id, 'm', meter->month_start);
	e = counters_find(ledger->counters, &key, &rollup_schema, &counter);
	if (e == ERR_OK)
		meter->month_spent = schema_count(counter->record.rollup.price);
	return e;
}

enum err
ledger_accounts_load(struct ledger *ledger, struct str license_id,
		     const struct limits *limits,
		     struct ledger_workspace *workspace, int64_t now_ms,
		     struct ledger_accounts *out)
{
	struct meter *meter = &out->of[0].record.meter;
	enum err e = find_license_meter(ledger, license_id, &out->of[0]);

	out->count = 1;
	out->of[0].limits = limits;
	if (e == ERR_OK && workspace->has_limits) {
		out->count = 2;
		out->of[1].limits = &workspace->limits;
		e = find_workspace_meter(ledger, workspace->record.code,
					 &out->of[1]);
	}
	if (e != ERR_OK)
		return e;
	for (unsigned i = 0; i < out->count; i++) {
		rules_meter_roll(&out->of[i].record.meter, now_ms,
				 workspace->zone);
		out->seen[i] = (struct limits_account){
		    out->of[i].limits, &out->of[i].record.meter};
	}
	if (out->count == 2)
		months_join(meter, &out->of[1].record.meter);
	return limits->spend_month == SCHEMA_INT_NONE
		   ? ERR_OK
		   : spent_load(ledger, license_id, meter);
}

bool
ledger_accounts_are_told(const struct ledger_accounts *accounts)
{
	for (unsigned i = 0; i < accounts->count; i++) {
		const struct ledger_account *account = &accounts->of[i];
		const struct meter *before = &account->counter->record.meter;
		const struct meter *after = &account->record.meter;

		if (after->month_start < before->month_start)
			return false;
	}
	return true;
}

enum err
ledger_accounts_put(struct ledger *ledger,
		    const struct ledger_accounts *accounts)
{
	enum err e = ERR_OK;

	for (unsigned i = 0; i < accounts->count && e == ERR_OK; i++)
		e = counters_change(ledger->counters, accounts->of[i].counter,
				    &accounts->of[i].record);
	return e;
}

/* --- lines that move ----------------------------------------------------- */

/* Whether the workspace's meter has, or now gets, the line. */
static enum err
is_with_workspace(struct ledger *ledger, const struct usage_line *line,
		  bool *out)
{
	struct ledger_workspace *workspace;
	enum err e;

	*out = line->workspace_admission != SCHEMA_INT_NONE;
	if (*out)
		return ERR_OK;
	e = ledger_workspace(ledger, line->workspace, &workspace);
	if (e != ERR_OK)
		return e == ERR_WORKSPACE_UNKNOWN ? ERR_STORE_CORRUPT : e;
	*out = workspace->has_limits;
	return ERR_OK;
}

static enum err
account_move(struct ledger *ledger, enum limits_meter which,
	     struct ledger_account *account, const struct usage_line *before,
	     const struct usage_line *after)
{
	struct meter *meter = &account->record.meter;

	limits_count(which, meter, before, -1);
	limits_count(which, meter, after, 1);
	return counters_change(ledger->counters, account->counter,
			       &account->record);
}

enum err
ledger_accounts_move(struct ledger *ledger, const struct usage_line *before,
		     const struct usage_line *after)
{
	struct ledger_account account;
	bool is_with = false;
	enum err e = find_license_meter(ledger, after->license_id, &account);

	if (e != ERR_OK)
		return e;
	if (account.record.meter.month_start == SCHEMA_INT_NONE)
		return ERR_STORE_CORRUPT; /* nothing was ever reserved */
	e = account_move(ledger, LIMITS_LICENSE, &account, before, after);
	if (e == ERR_OK)
		e = is_with_workspace(ledger, after, &is_with);
	if (e != ERR_OK || !is_with)
		return e;
	e = find_workspace_meter(ledger, after->workspace, &account);
	if (e != ERR_OK)
		return e;
	return account_move(ledger, LIMITS_WORKSPACE, &account, before, after);
}

/* --- what may be counted ------------------------------------------------- */

struct spare {
	int64_t tokens, price;
};

static void
spare_lessen(struct spare *spare, enum limits_meter which,
	     const struct ledger_account *account,
	     const struct usage_line *line)
{
	struct meter meter = account->record.meter;
	const struct limits_account seen = {account->limits, &meter};
	int64_t tokens = limits_spare_tokens(which, &seen, line);
	int64_t price = limits_spare_price(&seen, line);

	spare->tokens = tokens < spare->tokens ? tokens : spare->tokens;
	spare->price = price < spare->price ? price : spare->price;
}

/* What is left beside what the line has. */
static enum err
spare_load(struct ledger *ledger, struct arena *arena,
	   const struct usage_line *line, struct spare *spare)
{
	struct ledger_license *license = arena_alloc(arena, sizeof(*license));
	const struct ledger_plan *plan;
	struct ledger_workspace *workspace;
	struct ledger_account account;
	enum err e;

	*spare = (struct spare){INT64_MAX, INT64_MAX};
	if (license == NULL)
		return ERR_NO_MEMORY;
	e = ledger_workspace(ledger, line->workspace, &workspace);
	if (e != ERR_OK || !workspace->is_enforced)
		return e;
	e = ledger_license_find(ledger, line->license_id, arena, license);
	if (e == ERR_OK)
		e = ledger_plan_limits(ledger, line->workspace,
				       license->subscription.plan, &plan);
	if (e == ERR_OK)
		e = find_license_meter(ledger, line->license_id, &account);
	if (e != ERR_OK)
		return e;
	account.limits = &plan->limits;
	spare_lessen(spare, LIMITS_LICENSE, &account, line);
	if (!workspace->has_limits)
		return ERR_OK;
	e = find_workspace_meter(ledger, line->workspace, &account);
	if (e != ERR_OK)
		return e;
	account.limits = &workspace->limits;
	spare_lessen(spare, LIMITS_WORKSPACE, &account, line);
	return ERR_OK;
}

static int64_t
capped(int64_t wanted, int64_t own, int64_t spare)
{
	int64_t most;

	if (__builtin_add_overflow(own, spare, &most))
		return wanted;
	return wanted < most ? wanted : most;
}

enum err
ledger_accounts_cap(struct ledger *ledger, struct arena *arena,
		    const struct usage_line *before, struct usage_line *after)
{
	bool has_minute = before->minute_start != SCHEMA_INT_NONE;
	bool has_price = before->held_price != SCHEMA_INT_NONE;
	int64_t own_price = schema_count(
	    limits_is_open(before) ? before->held_price : before->price);
	int64_t own_tokens = schema_count(before->counted_tokens), tokens = 0;
	struct spare spare;
	enum err e;

	if (limits_is_used(after))
		tokens = limits_tokens(after);
	if (has_minute)
		after->counted_tokens = tokens;
	if ((!has_minute || tokens <= own_tokens) &&
	    (!has_price || schema_count(after->price) <= own_price))
		return ERR_OK;
	e = spare_load(ledger, arena, before, &spare);
	if (e == ERR_NO_SUCH || e == ERR_PLAN_UNKNOWN)
		return ERR_STORE_CORRUPT;
	if (e != ERR_OK)
		return e;
	if (has_minute)
		after->counted_tokens =
		    capped(tokens, own_tokens, spare.tokens);
	if (has_price)
		after->price = capped(after->price, own_price, spare.price);
	return ERR_OK;
}

/* --- counting again ------------------------------------------------------ */

/* Moves the meter to month, minute and rate of its last admission. */
static enum err
meter_follow(struct ledger *ledger, enum limits_meter which,
	     const struct usage_line *line, struct meter *meter)
{
	bool is_own = which == LIMITS_LICENSE;
	int64_t admission =
	    is_own ? line->admission : line->workspace_admission;
	int64_t minute_first =
	    is_own ? line->minute_first : line->workspace_minute_first;
	struct ledger_workspace *workspace;
	struct meter month;
	enum err e;

	if (admission <= meter->admissions)
		return ERR_OK;
	meter->admissions = admission;
	meter->hour_tat_ns =
	    is_own ? line->hour_tat_ns : line->workspace_tat_ns;
	if (minute_first != SCHEMA_INT_NONE &&
	    minute_first != meter->minute_first) {
		meter->minute_first = minute_first;
		meter->minute_start = line->minute_start;
		meter->minute_used = meter->minute_reserved = 0;
	}
	if (line->month_start == meter->month_start)
		return ERR_OK;
	e = ledger_workspace(ledger, line->workspace, &workspace);
	if (e != ERR_OK)
		return e == ERR_WORKSPACE_UNKNOWN ? ERR_STORE_CORRUPT : e;
	calendar_window(WINDOW_MONTH, line->month_start, workspace->zone,
			&month.month_start, &month.month_end);
	month.month_start = line->month_start;
	month_begin(meter, &month);
	return ERR_OK;
}

static enum err
account_take(struct ledger *ledger, enum limits_meter which,
	     struct ledger_account *account, const struct usage_line *line,
	     enum line_use use)
{
	struct meter *meter = &account->record.meter;

	if (use != LINE_OPEN_COUNTED &&
	    (which == LIMITS_LICENSE ||
	     line->workspace_admission != SCHEMA_INT_NONE))
		limits_count_none_open(meter);
	if (use != LINE_OPEN_MET)
		limits_count(which, meter, line, 1);
	return counters_change(ledger->counters, account->counter,
			       &account->record);
}

enum err
ledger_accounts_take(struct ledger *ledger, const struct usage_line *line,
		     enum line_use use)
{
	struct ledger_account account;
	bool is_with = false;
	enum err e = find_license_meter(ledger, line->license_id, &account);

	if (e == ERR_OK)
		e = meter_follow(ledger, LIMITS_LICENSE, line,
				 &account.record.meter);
	if (e == ERR_OK)
		e = account_take(ledger, LIMITS_LICENSE, &account, line, use);
	if (e == ERR_OK)
		e = is_with_workspace(ledger, line, &is_with);
	if (e != ERR_OK || !is_with)
		return e;
	e = find_workspace_meter(ledger, line->workspace, &account);
	/* Without an admission there it follows nothing. */
	if (e == ERR_OK)
		e = meter_follow(ledger, LIMITS_WORKSPACE, line,
				 &account.record.meter);
	return e == ERR_OK
		   ? account_take(ledger, LIMITS_WORKSPACE, &account, line, use)
		   : e;
}

/* --- a workspace gets limits --------------------------------------------- */

enum err
ledger_workspace_meter_begin(struct ledger *ledger, struct str workspace,
			     const char *zone, int64_t now_ms)
{
	struct ledger_account account;
	struct rollup sum;
	struct meter *meter = &account.record.meter;
	struct key key;
	enum err e = find_workspace_meter(ledger, workspace, &account);

	if (e != ERR_OK)
		return e;
	rules_meter_roll(meter, now_ms, zone);
	key_rollup_model(&key, workspace, 'm', meter->month_start, STR_NONE,
			 STR_NONE);
	e = counters_sum(ledger->counters, &key, &sum);
	if (e != ERR_OK)
		return e;
	meter->month_used = sum.requests;
	meter->month_spent = sum.price;
	return counters_change(ledger->counters, account.counter,
			       &account.record);
}
