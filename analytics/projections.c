/*
 * projections: see projections.h. A fold takes what it needs from the event and
 * the state it carries; what the log does not say is not known.
 */
#include "analytics/projections.h"

#include "analytics/days.h"
#include "analytics/movements.h"
#include "analytics/notes.h"
#include "lib/json.h"

static enum err
state_of(const struct fold *fold, const struct event *event,
	 const struct schema *schema, void *out)
{
	enum err e =
	    schema_decode(schema, event->state, out, fold->arena, NULL);

	return e == ERR_OK || e == ERR_NO_MEMORY ? e : ERR_STORE_CORRUPT;
}

/* --- settings ------------------------------------------------------------- */

static enum err
fold_workspace(struct fold *fold, const struct event *event)
{
	struct workspace workspace;
	enum err e = state_of(fold, event, &workspace_schema, &workspace);

	if (e == ERR_OK)
		e = fold_workspace_open(fold, workspace.code);
	if (e != ERR_OK)
		return e;
	if (workspace.timezone.n)
		fold->tally.timezone = workspace.timezone;
	if (workspace.currency.n)
		fold->tally.currency = workspace.currency;
	if (workspace.locale.n)
		fold->tally.locale = workspace.locale;
	fold->is_tally_dirty = true;
	/* Let go of it, so that the zone is looked at anew. */
	return fold_flush(fold);
}

/* --- customers ------------------------------------------------------------ */

static enum err
payer_load(struct fold *fold, struct str customer_id, struct key *key,
	   struct payer *payer)
{
	enum err e;

	row_key_payer(key, fold->generation, customer_id);
	e = group_load(fold->group, key, &payer_schema, payer, fold->arena);
	if (e != ERR_NO_SUCH)
		return e;
	payer_clear(payer);
	return ERR_OK;
}

static enum err
customers_told(struct fold *fold)
{
	int64_t reached = note_milestone_customers(fold->tally.customers);
	struct note_words words = {.locale = fold->tally.locale,
				   .count = reached};
	struct day_note note;

	if (reached <= fold->tally.told_customers)
		return ERR_OK;
	fold->tally.told_customers = reached;
	if (!note_of_customers(&words, fold->arena, &note))
		return ERR_NO_MEMORY;
	note.seq = (int64_t)fold->seq;
	return note_add(&fold->day, &note, fold->arena);
}

static enum err
fold_customer(struct fold *fold, const struct event *event)
{
	struct customer customer;
	struct payer payer;
	struct key key;
	enum err e = state_of(fold, event, &customer_schema, &customer);

	if (e == ERR_OK)
		e = fold_day_open(fold, customer.workspace, event->event_date,
				  true);
	if (e == ERR_OK)
		e = payer_load(fold, customer.id, &key, &payer);
	if (e != ERR_OK)
		return e;
	payer.name = customer.company.n ? customer.company : customer.name;
	e = group_put(fold->group, &key, &payer_schema, &payer);
	fold->day.customers++;
	fold->tally.customers++;
	fold->is_day_dirty = fold->is_tally_dirty = true;
	return e == ERR_OK ? customers_told(fold) : e;
}

/* What the customer paid ends here; its subscriptions count no more. */
static enum err
fold_customer_deleted(struct fold *fold, const struct event *event)
{
	struct payer payer;
	struct key key;
	enum err e;

	e = fold_day_open(fold, event->workspace, event->event_date, true);
	if (e == ERR_OK)
		e = payer_load(fold, event->customer_id, &key, &payer);
	if (e != ERR_OK)
		return e;
	if (payer.is_deleted)
		return ERR_OK;
	fold->day.customers--;
	fold->day.churn_mrr += payer.mrr;
	fold->day.paying_customers -= payer.subscriptions > 0;
	fold->tally.customers--;
	fold->is_day_dirty = fold->is_tally_dirty = true;
	payer.mrr = payer.subscriptions = 0;
	payer.is_deleted = true;
	return group_put(fold->group, &key, &payer_schema, &payer);
}

/* --- subscriptions -------------------------------------------------------- */

static struct stake
stake_of(const struct fold *fold, const struct subscription *subscription,
	 int64_t event_date)
{
	struct str status = subscription->status;
	struct stake stake;
	int64_t now = event_date;
	bool has_ended;

	stake_clear(&stake);
	stake.customer_id = subscription->customer_id;
	stake.ends_at = subscription->ends_at;
	/* Days that are closed do not wait for ends any more. */
	if (fold->tally.closed_until != SCHEMA_INT_NONE &&
	    fold->tally.closed_until > now)
		now = fold->tally.closed_until;
	has_ended = stake.ends_at != SCHEMA_INT_NONE && stake.ends_at <= now;
	stake.is_active = !has_ended && (str_eq(status, STR("active")) ||
					 str_eq(status, STR("trial")) ||
					 str_eq(status, STR("past_due")));
	stake.is_paying = stake.is_active && str_eq(status, STR("active")) &&
			  subscription->price != SCHEMA_INT_NONE &&
			  subscription->price > 0;
	/* The row has one currency; others would be added like apples. */
	if (stake.is_paying &&
	    (subscription->currency.n == 0 ||
	     str_eq(subscription->currency, fold->tally.currency)))
		stake.mrr =
		    movements_mrr(subscription->price, subscription->cycle);
	return stake;
}

static enum err
fold_subscription(struct fold *fold, const struct event *event)
{
	struct subscription subscription;
	struct stake stake;
	enum err e = state_of(fold, event, &subscription_schema, &subscription);

	if (e == ERR_OK)
		e = fold_workspace_open(fold, subscription.workspace);
	if (e != ERR_OK)
		return e;
	stake = stake_of(fold, &subscription, event->event_date);
	return fold_stake(fold, subscription.workspace, subscription.id, &stake,
			  event->event_date);
}

/* --- AI requests ---------------------------------------------------------- */

static int64_t
input_of(const struct usage_line *line)
{
	return schema_count(line->input_tokens);
}

/* An interrupted request counts by its estimate until its settlement comes
 * after all; the estimate is then taken back from the day that had it. */
static enum err
provisional_take(struct fold *fold, const struct usage_line *line,
		 const struct key *key)
{
	struct provisional was;
	enum err e = group_load(fold->group, key, &provisional_schema, &was,
				fold->arena);

	if (e != ERR_OK)
		return e == ERR_NO_SUCH ? ERR_OK : e;
	e = fold_day_open(fold, line->workspace, was.event_date, false);
	if (e != ERR_OK)
		return e;
	fold->day.ai_requests--;
	fold->day.input_tokens -= was.input_tokens;
	fold->day.output_tokens -= was.output_tokens;
	fold->day.cost -= was.cost;
	fold->is_day_dirty = true;
	return group_delete(fold->group, key);
}

static enum err
usage_count(struct fold *fold, const struct usage_line *line,
	    int64_t event_date)
{
	enum err e = fold_day_open(fold, line->workspace, event_date, false);

	if (e != ERR_OK)
		return e;
	fold->day.ai_requests++;
	fold->day.input_tokens += input_of(line);
	fold->day.output_tokens += schema_count(line->output_tokens);
	fold->day.cost += schema_count(line->cost);
	fold->is_day_dirty = true;
	return ERR_OK;
}

static enum err
fold_usage(struct fold *fold, const struct event *event)
{
	struct provisional provisional;
	struct usage_line line;
	bool is_interrupted;
	struct key key;
	enum err e = state_of(fold, event, &usage_line_schema, &line);

	if (e != ERR_OK)
		return e;
	row_key_provisional(&key, fold->generation, line.license_id,
			    line.request_id);
	e = provisional_take(fold, &line, &key);
	is_interrupted = str_eq(line.status, STR("interrupted"));
	if (e != ERR_OK ||
	    !(is_interrupted || str_eq(line.status, STR("settled"))))
		return e;
	e = usage_count(fold, &line, event->event_date);
	if (e != ERR_OK || !is_interrupted)
		return e;
	provisional = (struct provisional){
	    .event_date = event->event_date,
	    .input_tokens = input_of(&line),
	    .output_tokens = schema_count(line.output_tokens),
	    .cost = schema_count(line.cost),
	};
	return group_put(fold->group, &key, &provisional_schema, &provisional);
}

/* --- notes -------------------------------------------------------------- */

/* The plan's name as the event tells it, else its code with a capital. */
static enum err
plan_name(struct fold *fold, const struct event *event, struct str *name)
{
	struct json_value metadata, value;
	char *text;

	*name = event->plan;
	if (json_check(event->metadata, &metadata) &&
	    metadata.type == JSON_OBJECT &&
	    json_get(metadata, STR("plan_name"), &value) &&
	    value.type == JSON_STRING) {
		*name = json_string(value, fold->arena);
		return name->p ? ERR_OK : ERR_NO_MEMORY;
	}
	if (event->plan.n == 0)
		return ERR_OK;
	text = arena_alloc(fold->arena, event->plan.n);
	if (text == NULL)
		return ERR_NO_MEMORY;
	memcpy(text, event->plan.p, event->plan.n);
	if (text[0] >= 'a' && text[0] <= 'z')
		text[0] = (char)(text[0] - 'a' + 'A');
	*name = str_bytes(text, event->plan.n);
	return ERR_OK;
}

static enum err
fold_note(struct fold *fold, const struct event *event)
{
	struct note_words words = {.description = event->description,
				   .currency = event->currency,
				   .amount = schema_count(event->amount)};
	struct payer payer;
	struct day_note note;
	struct key key;
	enum err e;

	/* Most events are AI requests, of which nothing is told. */
	if (str_eq(event->type, event_types[EVENT_ai_request]) ||
	    str_eq(event->type, event_types[EVENT_day_closed]))
		return ERR_OK;
	e = fold_workspace_open(fold, event->workspace);
	words.locale = fold->tally.locale;
	if (e == ERR_OK)
		e = plan_name(fold, event, &words.plan);
	if (e == ERR_OK && event->customer_id.n) {
		e = payer_load(fold, event->customer_id, &key, &payer);
		words.name = payer.name;
	}
	if (e != ERR_OK || !note_of_event(event, &words, fold->arena, &note))
		return e;
	note.seq = (int64_t)fold->seq;
	e = fold_day_open(fold, event->workspace, event->event_date, true);
	if (e != ERR_OK)
		return e;
	fold->is_day_dirty = true;
	return note_add(&fold->day, &note, fold->arena);
}

/* --- the table ------------------------------------------------------------ */

typedef enum err fold_fn(struct fold *fold, const struct event *event);

/* An event is given to each row whose type and state it has. */
static const struct projection {
	enum event_type type;	    /* EVENT_TYPES = any */
	const struct schema *state; /* NULL = any, also none */
	fold_fn *fold;
} projections[] = {
    {EVENT_ai_request, &usage_line_schema, fold_usage},
    {EVENT_day_closed, NULL, days_close},
    {EVENT_new_customer, &customer_schema, fold_customer},
    {EVENT_customer_deleted, NULL, fold_customer_deleted},
    {EVENT_TYPES, &subscription_schema, fold_subscription},
    {EVENT_TYPES, &workspace_schema, fold_workspace},
    {EVENT_TYPES, NULL, fold_note},
};

static bool
is_for(const struct projection *projection, const struct event *event)
{
	if (projection->type != EVENT_TYPES &&
	    !str_eq(event->type, event_types[projection->type]))
		return false;
	return projection->state == NULL ||
	       (event->state.n &&
		event->state_kind == projection->state->number);
}

enum err
projections_fold(struct fold *fold, const struct event *event)
{
	for (size_t i = 0; i < sizeof(projections) / sizeof(projections[0]);
	     i++) {
		enum err e = ERR_OK;

		if (is_for(&projections[i], event))
			e = projections[i].fold(fold, event);
		if (e != ERR_OK)
			return e;
	}
	return ERR_OK;
}
