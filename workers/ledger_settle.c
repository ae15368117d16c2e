/*
 * ledger_settle: what became of a reserved request. A line moves reserved ->
 * settled | failed | interrupted, and interrupted -> settled | failed when its
 * settlement comes after all. Each move takes from the meter and the rollups
 * what the line counted before, adds what it counts now, and appends the event
 * `ai_request` with the line as its state; so counters equal the fold of the
 * lines at any time.
 *
 * What a line counts: settled and interrupted are one request each, with their
 * tokens, cost and price; failed is one failed; reserved is nothing yet. Its
 * windows are those of the moment it was reserved.
 *
 * An event of a line that was `interrupted` before has the metadata
 * {"was":"interrupted",...} with what was counted for it then, to take off.
 */
#include "workers/ledger_parts.h"

#include "lib/money.h"

#define SWEEP_ROWS 128u
#define SWEEP_BYTES_MAX (2u << 20)

enum { SUM_FIELDS = 9 };
union sums {
	union counter_record record; /* a rollup */
	struct rollup rollup;
	int64_t fields[SUM_FIELDS];
};
_Static_assert(sizeof(struct rollup) == SUM_FIELDS * sizeof(int64_t),
	       "a rollup is sums only");

/* --- what a line counts -------------------------------------------------- */

static bool
is_status(const struct usage_line *line, const char *status)
{
	return line && str_eq(line->status, str_of(status));
}

/* Adds sign times what the line counts. */
static void
sums_add(union sums *sums, const struct usage_line *line, int64_t sign)
{
	struct rollup *rollup = &sums->rollup;

	if (is_status(line, "failed"))
		rollup->failed += sign;
	if (line == NULL || !limits_is_used(line))
		return;
	rollup->requests += sign;
	rollup->interrupted += is_status(line, "interrupted") ? sign : 0;
	rollup->input_tokens += sign * schema_count(line->input_tokens);
	rollup->output_tokens += sign * schema_count(line->output_tokens);
	rollup->cache_read_tokens +=
	    sign * schema_count(line->cache_read_tokens);
	rollup->cache_write_tokens +=
	    sign * schema_count(line->cache_write_tokens);
	rollup->cost += sign * schema_count(line->cost);
	rollup->price += sign * schema_count(line->price);
}

static enum err
rollup_add(struct ledger *ledger, const struct key *key,
	   const union sums *delta)
{
	struct counter *counter;
	union sums sums;
	enum err e =
	    counters_find(ledger->counters, key, &rollup_schema, &counter);

	if (e != ERR_OK)
		return e;
	sums.record = counter->record;
	for (int i = 0; i < SUM_FIELDS; i++)
		sums.fields[i] = money_add_clamped(schema_count(sums.fields[i]),
						   delta->fields[i]);
	return counters_change(ledger->counters, counter, &sums.record);
}

/* One line's windows; all lines of one request share them. */
struct windows {
	int64_t hour, day, month;
};

static enum err
windows_of(struct ledger *ledger, const struct usage_line *line,
	   struct windows *out)
{
	struct ledger_workspace *workspace;
	enum err e = ledger_workspace(ledger, line->workspace, &workspace);

	if (e != ERR_OK)
		return e == ERR_WORKSPACE_UNKNOWN ? ERR_STORE_CORRUPT : e;
	out->hour =
	    ledger_window_start(workspace, WINDOW_HOUR, line->reserved_at);
	out->day =
	    ledger_window_start(workspace, WINDOW_DAY, line->reserved_at);
	out->month = line->month_start;
	return ERR_OK;
}

static enum err
license_rollups_add(struct ledger *ledger, struct str license_id,
		    const struct windows *at, const union sums *delta)
{
	const struct {
		char window;
		int64_t start_ms;
	} rows[] = {{'h', at->hour}, {'d', at->day}, {'m', at->month}};
	struct key key;
	enum err e = ERR_OK;

	for (size_t i = 0; i < 3 && e == ERR_OK; i++) {
		key_rollup_license(&key, license_id, rows[i].window,
				   rows[i].start_ms);
		e = rollup_add(ledger, &key, delta);
	}
	return e;
}

static enum err
model_rollups_add(struct ledger *ledger, const struct usage_line *line,
		  const struct windows *at, const union sums *delta)
{
	struct key key;
	enum err e;

	key_rollup_model(&key, line->workspace, 'd', at->day, line->provider,
			 line->model);
	e = rollup_add(ledger, &key, delta);
	if (e != ERR_OK)
		return e;
	key_rollup_model(&key, line->workspace, 'm', at->month, line->provider,
			 line->model);
	return rollup_add(ledger, &key, delta);
}

enum err
ledger_rollups_move(struct ledger *ledger, const struct usage_line *before,
		    const struct usage_line *after)
{
	const struct usage_line *line = after ? after : before;
	union sums taken = {.fields = {0}}, delta = {.fields = {0}};
	struct windows at;
	enum err e = windows_of(ledger, line, &at);

	if (e != ERR_OK)
		return e;
	sums_add(&delta, before, -1);
	sums_add(&delta, after, 1);
	e = license_rollups_add(ledger, line->license_id, &at, &delta);
	if (e != ERR_OK)
		return e;
	if (is_status(before, "reserved") ||
	    (str_eq(before->model, line->model) &&
	     str_eq(before->provider, line->provider)))
		return model_rollups_add(ledger, line, &at, &delta);
	/* Another model answered than was counted. */
	sums_add(&taken, before, -1);
	e = model_rollups_add(ledger, before, &at, &taken);
	sums_add(&delta, before, 1);
	if (e == ERR_OK)
		e = model_rollups_add(ledger, line, &at, &delta);
	return e;
}

/* --- moving a line ------------------------------------------------------- */

/* line_key: of the line as it was put, for its bytes. */
static enum err
event_append(struct ledger *ledger, struct arena *arena, int64_t now_ms,
	     const struct key *line_key, const struct usage_line *before,
	     const struct usage_line *after)
{
	struct event event;
	enum err e;

	schema_clear(&event_schema, &event);
	event.state_kind = usage_line_schema.number;
	e = group_load_bytes(ledger->group, line_key, &event.state, arena);
	if (e != ERR_OK)
		return e;
	event.type = event_types[EVENT_ai_request];
	event.workspace = after->workspace;
	event.amount = after->cost;
	event.currency = after->currency;
	if (is_status(before, "interrupted"))
		event.metadata = arena_printf(
		    arena,
		    "{\"was\":\"interrupted\",\"was_input_tokens\":%lld,"
		    "\"was_cost\":%lld,\"was_price\":%lld}",
		    (long long)schema_count(before->input_tokens),
		    (long long)schema_count(before->cost),
		    (long long)schema_count(before->price));
	return ledger_event(ledger, now_ms, &event, NULL, NULL);
}

static enum err
line_move(struct ledger *ledger, struct arena *arena, int64_t now_ms,
	  const struct usage_line *before, const struct usage_line *after)
{
	struct group *group = ledger->group;
	struct key key, open;
	enum err e;

	key_usage_line(&key, after->request_id, after->license_id);
	e = group_put(group, &key, &usage_line_schema, after);
	if (e == ERR_OK && is_status(before, "reserved")) {
		key_open(&open, before->reserved_at, before->license_id,
			 before->request_id);
		e = group_delete(group, &open);
	} else if (e == ERR_OK) /* the log says too little of what it was */
		counters_hasten(ledger->counters);
	if (e == ERR_OK)
		e = ledger_accounts_move(ledger, before, after);
	if (e == ERR_OK)
		e = ledger_rollups_move(ledger, before, after);
	if (e == ERR_OK)
		e = event_append(ledger, arena, now_ms, &key, before, after);
	return e;
}

/* --- what a line costs --------------------------------------------------- */

/* With the customer's own key, which is metered and not charged: nothing. Else
 * by the price of the model that answered, else of the one that was admitted;
 * as it was when the request was reserved, else (that price was forgotten) as
 * it is now. */
static enum err
line_charge(struct ledger *ledger, struct str admitted_model,
	    struct usage_line *line)
{
	const int64_t times[] = {line->reserved_at, line->settled_at};
	const struct price_period *price;
	enum err e = ERR_MODEL_NOT_PRICED;

	if (line->own_key)
		return ERR_OK;
	for (int i = 0; i < 2 && e == ERR_MODEL_NOT_PRICED; i++) {
		e = ledger_price(ledger, line->provider, line->model, times[i],
				 &price);
		if (e == ERR_MODEL_NOT_PRICED)
			e = ledger_price(ledger, line->provider, admitted_model,
					 times[i], &price);
	}
	if (e == ERR_OK)
		prices_charge(price, line);
	return e == ERR_MODEL_NOT_PRICED ? ERR_OK : e;
}

/* --- settle -------------------------------------------------------------- */

static void
line_take(struct usage_line *line, const struct settle *in, int64_t now_ms)
{
	line->status = in->status;
	line->settled_at = now_ms;
	line->input_tokens = ledger_tokens(in->input_tokens);
	line->output_tokens = ledger_tokens(in->output_tokens);
	line->cache_read_tokens = ledger_tokens(in->cache_read_tokens);
	line->cache_write_tokens = ledger_tokens(in->cache_write_tokens);
	line->cache_write_1h_tokens = ledger_tokens(in->cache_write_1h_tokens);
	if (line->cache_write_1h_tokens > line->cache_write_tokens)
		line->cache_write_1h_tokens = line->cache_write_tokens;
	line->reasoning_tokens = ledger_tokens(in->reasoning_tokens);
	line->attempts = in->attempts;
	line->latency_ms = in->latency_ms;
	line->first_byte_ms = in->first_byte_ms;
	line->source = STR_NONE;
	line->cost = line->price = 0;
	line->own_key = in->own_key;
	line->tries = in->tries;
	line->tries_count = in->tries_count;
	if (!str_is_empty(in->error))
		line->error = in->error;
}

/* Who answered, where that is not who was reserved. */
static void
line_answered(struct usage_line *line, const struct settle *in)
{
	if (str_is_plain(in->provider))
		line->provider = in->provider;
	if (str_is_plain(in->model))
		line->model = in->model;
	else if (str_is_plain(in->asked_model))
		line->model = in->asked_model;
}

/* By the model that was asked, which had a price. */
static void
observe(const struct settle *in, const struct usage_line *before,
	const struct usage_line *after)
{
	struct usage_line asked;

	if (!str_is_plain(in->provider) || !str_is_plain(in->asked_model)) {
		ledger_observe(before, after);
		return;
	}
	asked = *before;
	asked.provider = in->provider;
	asked.model = in->asked_model;
	ledger_observe(&asked, after);
}

static enum err
settle_line(struct context *context, const struct settle *in,
	    const struct usage_line *before, struct usage_line *after)
{
	struct ledger *ledger = context->state;
	enum err e;

	*after = *before;
	line_take(after, in, context->now_ms);
	if (is_status(after, "settled")) {
		line_answered(after, in);
		after->source =
		    str_is_empty(in->source) ? STR("provider") : in->source;
		e = line_charge(ledger,
				str_is_plain(in->asked_model) ? in->asked_model
							      : before->model,
				after);
		if (e != ERR_OK)
			return e;
		if (in->undelivered)
			after->price = 0;
	}
	e = ledger_accounts_cap(ledger, context->arena, before, after);
	if (e != ERR_OK)
		return e;
	e = line_move(ledger, context->arena, context->now_ms, before, after);
	if (e == ERR_OK)
		observe(in, before, after);
	return e;
}

static enum err
settle(struct context *context, const void *in_, void *out_)
{
	struct ledger *ledger = context->state;
	const struct settle *in = in_;
	struct settled *out = out_;
	struct usage_line before, after;
	struct key key;
	enum err e;

	if (!str_eq(in->status, STR("settled")) &&
	    !str_eq(in->status, STR("failed")))
		return ledger_refuse(context, ERR_BAD_FIELD, "status",
				     "status is settled or failed");
	if (!str_is_plain(in->license_id) || !str_is_plain(in->request_id))
		return ERR_NO_SUCH;
	key_usage_line(&key, in->request_id, in->license_id);
	e = group_load(ledger->group, &key, &usage_line_schema, &before,
		       context->arena);
	if (e != ERR_OK)
		return e;
	if (before.attempt != in->attempt)
		return ledger_refuse(context, ERR_CONFLICT, "attempt",
				     "the request was reserved again since");
	after = before; /* it was settled already: the same answer again */
	if (is_status(&before, "reserved") || is_status(&before, "interrupted"))
		e = settle_line(context, in, &before, &after);
	out->cost = after.cost;
	out->price = after.price;
	out->currency = after.currency;
	return e;
}

enum err
ledger_settle(struct context *context, const void *in, void *out)
{
	return ledger_run_late(context, in, out, settle);
}

/* --- closing what nobody settles ----------------------------------------- */

/* Counts as used; the cost is that of the prompt, as it was estimated. */
static enum err
interrupt_line(struct ledger *ledger, struct arena *arena, int64_t now_ms,
	       const struct usage_line *before)
{
	struct ledger_mark mark = ledger_mark(ledger);
	struct usage_line after = *before;
	enum err e;

	ledger_cache_trim(ledger->cache);
	after.status = STR("interrupted");
	after.source = STR("estimated");
	after.settled_at = now_ms;
	after.cost = after.price = 0;
	e = line_charge(ledger, before->model, &after);
	if (e == ERR_OK)
		e = ledger_accounts_cap(ledger, arena, before, &after);
	if (e == ERR_OK)
		e = line_move(ledger, arena, now_ms, before, &after);
	if (e == ERR_OK)
		ledger_observe(before, &after);
	else
		ledger_undo(ledger, mark);
	return e;
}

/* A line keeps an incarnation without its top bit, for it is an INT. */
static bool
is_abandoned(const struct usage_line *line, const struct ledger_sweep *sweep)
{
	uint64_t other = (uint64_t)line->owner_start ^ sweep->owner_start;

	if (line->expires_at <= sweep->now_ms)
		return true;
	return !str_is_empty(sweep->owner) &&
	       str_eq(line->owner, sweep->owner) && (other & INT64_MAX) != 0;
}

struct swept {
	size_t closed;
	int64_t next_expiry_ms;
	enum err unreadable; /* the others are closed all the same */
};

/* One row of the open ones. */
static enum err
sweep_row(struct ledger *ledger, struct arena *arena,
	  const struct ledger_sweep *sweep, struct str line_key,
	  struct swept *swept)
{
	struct usage_line line;
	struct key key;
	enum err e;

	if (line_key.n > sizeof(key.p))
		return ERR_STORE_CORRUPT;
	key.n = line_key.n;
	memcpy(key.p, line_key.p, line_key.n);
	e = group_load(ledger->group, &key, &usage_line_schema, &line, arena);
	if (e != ERR_OK)
		return e == ERR_NO_SUCH ? ERR_STORE_CORRUPT : e;
	/* The scan shows the last commit; this turn may have settled it. */
	if (!is_status(&line, "reserved"))
		return ERR_OK;
	if (is_abandoned(&line, sweep)) {
		e = interrupt_line(ledger, arena, sweep->recorded_ms, &line);
		if (e == ERR_OK)
			swept->closed++;
	} else if (line.expires_at < swept->next_expiry_ms) {
		swept->next_expiry_ms = line.expires_at;
	}
	return e;
}

/* The next page of open ones; *after: the last row's key, kept in last. */
static enum err
sweep_page(struct ledger *ledger, struct arena *arena,
	   const struct ledger_sweep *sweep, struct key *last,
	   struct swept *swept, bool *is_last)
{
	static const char kind = KEY_OPEN;
	struct store_row rows[SWEEP_ROWS];
	size_t count = 0;
	enum err e = store_scan(ledger->store, str_bytes(&kind, 1),
				last->n ? key_str(last) : STR_NONE, SWEEP_ROWS,
				arena, rows, &count);

	*is_last = count < SWEEP_ROWS;
	for (size_t i = 0; i < count && e == ERR_OK; i++) {
		if (swept->closed == sweep->limit) {
			swept->next_expiry_ms = sweep->now_ms;
			*is_last = true;
			break;
		}
		e = sweep_row(ledger, arena, sweep, rows[i].value, swept);
		if (e == ERR_STORE_CORRUPT) {
			swept->unreadable = e;
			e = ERR_OK;
		}
		last->n = rows[i].key.n;
		memcpy(last->p, rows[i].key.p, rows[i].key.n);
	}
	return e;
}

enum err
ledger_close_open(struct ledger *ledger, const struct ledger_sweep *sweep,
		  size_t *closed, int64_t *next_expiry_ms)
{
	struct swept swept = {0, INT64_MAX, ERR_OK};
	struct key last = {.n = 0};
	struct arena arena;
	bool is_last = false;
	enum err e = ERR_OK;

	ledger->is_shown = true;
	arena_init(&arena, SWEEP_BYTES_MAX);
	while (e == ERR_OK && !is_last) {
		arena_reset(&arena);
		e = sweep_page(ledger, &arena, sweep, &last, &swept, &is_last);
	}
	arena_fini(&arena);
	*closed = swept.closed;
	*next_expiry_ms = swept.next_expiry_ms;
	if (e == ERR_OK)
		ledger->next_expiry_ms = swept.next_expiry_ms;
	return e == ERR_OK ? swept.unreadable : e;
}
