/*
 * ledger_changes: the life of an issued licence: suspend, resume, renew,
 * cancel. A change that is already so answers OK and writes nothing; one that
 * its state does not allow is a CONFLICT that says what to do instead.
 */
#include "workers/ledger_parts.h"

#define MONTHS_MAX 1200

struct change {
	struct context *context;
	struct ledger *ledger;
	const struct license_change *in;
	struct ledger_license of;
	struct ledger_workspace *workspace;
	const struct plan *plan;
	const char *status; /* as time makes it */
	bool is_changed;
	struct ledger_told told;
};

static bool
is_now(const struct change *change, const char *status)
{
	return strcmp(change->status, status) == 0;
}

static enum err
conflict(struct change *change, const char *text)
{
	return ledger_refuse(change->context, ERR_CONFLICT, "action", "%s",
			     text);
}

static void
changed(struct change *change, enum event_type type, const char *what)
{
	change->is_changed = true;
	change->told.type = type;
	change->told.what = what;
}

/* --- the four changes ---------------------------------------------------- */

static enum err
suspend(struct change *change)
{
	struct subscription *s = &change->of.subscription;

	if (is_now(change, "suspended"))
		return ERR_OK;
	if (is_now(change, "cancelled"))
		return conflict(change, "the licence is cancelled: there is "
					"nothing to suspend");
	s->before_suspension = s->status;
	s->status = STR("suspended");
	changed(change, EVENT_license_suspended, "Licence suspended");
	return ERR_OK;
}

static enum err
resume(struct change *change)
{
	struct subscription *s = &change->of.subscription;

	if (is_now(change, "cancelled"))
		return conflict(change, "the licence is cancelled: renew it or "
					"issue a new one");
	if (!is_now(change, "suspended"))
		return ERR_OK;
	s->status = str_is_empty(s->before_suspension) ? STR("active")
						       : s->before_suspension;
	s->before_suspension = STR_NONE;
	changed(change, EVENT_license_resumed, "Licence resumed");
	return ERR_OK;
}

/* What these months cost: the price is per month or per twelve. */
static int64_t
renewal_amount(const struct subscription *s, int64_t months)
{
	int64_t amount;

	if (s->price == SCHEMA_INT_NONE)
		return 0;
	if (__builtin_mul_overflow(s->price, months, &amount))
		return INT64_MAX;
	return str_eq(s->cycle, STR("year")) ? amount / 12 : amount;
}

static enum err
renew(struct change *change)
{
	struct subscription *s = &change->of.subscription;
	int64_t months = change->in->months, from = change->context->now_ms;

	if (months == SCHEMA_INT_NONE)
		months = str_eq(s->cycle, STR("year")) ? 12 : 1;
	if (months < 1 || months > MONTHS_MAX)
		return ledger_refuse(change->context, ERR_BAD_FIELD, "months",
				     "months is 1 to %d", MONTHS_MAX);
	if (is_now(change, "suspended"))
		return conflict(change, "the licence is suspended: resume it, "
					"then renew it");
	if (s->ends_at == SCHEMA_INT_NONE)
		return conflict(change, "the licence never ends: there is "
					"nothing to renew");
	if (s->ends_at > from)
		from = s->ends_at;
	s->ends_at =
	    calendar_add_months(from, (int)months, change->workspace->zone);
	s->status = STR("active");
	s->cancelled_at = SCHEMA_INT_NONE;
	s->cancels_at_end = false;
	change->told.amount = renewal_amount(s, months);
	changed(change, EVENT_subscription_renewed, "Subscription renewed");
	return ERR_OK;
}

static enum err
cancel(struct change *change)
{
	struct subscription *s = &change->of.subscription;
	int64_t now_ms = change->context->now_ms;

	if (is_now(change, "cancelled"))
		return ERR_OK;
	if (change->in->at_end) {
		if (s->cancels_at_end)
			return ERR_OK;
		if (s->ends_at == SCHEMA_INT_NONE)
			return conflict(change, "the licence never ends: "
						"cancel it at once");
		s->cancels_at_end = true;
		s->cancelled_at = now_ms;
		changed(change, EVENT_license_cancelled,
			"Licence cancelled at its end");
		return ERR_OK;
	}
	s->status = STR("cancelled");
	s->before_suspension = STR_NONE;
	s->cancelled_at = now_ms;
	if (s->ends_at == SCHEMA_INT_NONE || s->ends_at > now_ms)
		s->ends_at = now_ms;
	changed(change, EVENT_license_cancelled, "Licence cancelled");
	return ERR_OK;
}

/* --- the handler --------------------------------------------------------- */

static const struct {
	const char *action;
	enum err (*change)(struct change *change);
} actions[] = {
    {"suspend", suspend},
    {"resume", resume},
    {"renew", renew},
    {"cancel", cancel},
};

static enum err
apply(struct change *change)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (str_eq(change->in->action, str_of(actions[i].action)))
			return actions[i].change(change);
	return ledger_refuse(change->context, ERR_BAD_FIELD, "action",
			     "action is suspend, resume, renew or cancel");
}

static enum err
load(struct change *change)
{
	struct ledger *ledger = change->ledger;
	struct ledger_license *of = &change->of;
	enum err e = ledger_license_find(ledger, change->in->license,
					 change->context->arena, of);

	if (e == ERR_NO_SUCH)
		return ledger_refuse(change->context, e, "license",
				     "no such licence: `chatello license "
				     "list` shows them");
	if (e == ERR_OK)
		e = ledger_workspace(ledger, of->license.workspace,
				     &change->workspace);
	if (e == ERR_OK)
		e = ledger_plan(ledger, of->license.workspace,
				of->subscription.plan, &change->plan);
	if (e != ERR_OK)
		return e;
	change->status =
	    rules_status(&of->subscription, change->context->now_ms);
	change->told.name = of->customer.name;
	change->told.plan_code = change->plan->code;
	change->told.plan_name = ledger_plan_name(change->plan);
	change->told.license_id = of->license.id;
	change->told.reason = change->in->reason;
	change->told.actor = change->in->actor;
	change->told.amount = of->subscription.price;
	return ERR_OK;
}

static enum err
put(struct change *change)
{
	struct key key;
	enum err e;

	key_subscription(&key,
			 str_bytes(change->of.hash, sizeof(change->of.hash)));
	e = group_put(change->ledger->group, &key, &subscription_schema,
		      &change->of.subscription);
	if (e != ERR_OK)
		return e;
	return ledger_tell(change->context, &change->told, &change->of.customer,
			   &change->of.subscription);
}

static void
view(const struct change *change, struct license_view *out)
{
	const struct license *l = &change->of.license;
	const struct subscription *s = &change->of.subscription;

	out->license_id = l->id;
	out->key = l->masked_key;
	out->status = str_of(rules_status(s, change->context->now_ms));
	out->plan = s->plan;
	out->workspace = l->workspace;
	out->customer_id = l->customer_id;
	out->email = change->of.customer.email;
	out->subscription_id = s->id;
	out->domain = l->domain;
	out->activations = l->activations;
	out->price = s->price;
	out->cycle = s->cycle;
	out->currency = s->currency;
	out->created_at = l->created_at;
	out->expires_at = s->ends_at;
	out->note = l->note;
	out->cancels_at_end = s->cancels_at_end;
}

static enum err
license_change(struct context *context, const void *in, void *out)
{
	struct change change = {
	    .context = context, .ledger = context->state, .in = in};
	enum err e = load(&change);

	if (e == ERR_OK)
		e = apply(&change);
	if (e == ERR_OK && change.is_changed)
		e = put(&change);
	if (e == ERR_OK)
		view(&change, out);
	return e;
}

enum err
ledger_license_change(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, license_change);
}
