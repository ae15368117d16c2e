/*
 * ledger_events: appending to the business log. An event's state is the record
 * that results from the change. Texts and metadata hold names of customers and
 * plans, never a key or an e-mail address.
 */
#include "workers/ledger_parts.h"

#include "lib/id.h"
#include "lib/json.h"

#define METADATA_BYTES_MAX 640u
#define STATE_BYTES_MAX 1536u /* of the record of an event */

enum err
ledger_event(struct ledger *ledger, int64_t now_ms, struct event *event,
	     const struct schema *schema, const void *state)
{
	char id[ID_TEXT_BYTES];
	enum err e;

	event->id = id_new("evt_", now_ms, id);
	event->recorded_at = now_ms;
	if (event->event_date == SCHEMA_INT_NONE)
		event->event_date = now_ms;
	event->auto_generated = true;
	if (schema) {
		buf_reset(&ledger->scratch);
		schema_encode(schema, state, &ledger->scratch);
		if (ledger->scratch.is_failed)
			return ERR_NO_MEMORY;
		event->state_kind = schema->number;
		event->state = buf_str(&ledger->scratch);
	}
	if (event->state.n > STATE_BYTES_MAX)
		return ERR_TOO_LARGE;
	e = group_event(ledger->group, event);
	if (e == ERR_OK)
		ledger->event_count++;
	return e;
}

static void
member(struct buf *out, const char *name, struct str value)
{
	if (str_is_empty(value))
		return;
	if (out->n)
		buf_add_char(out, ',');
	buf_printf(out, "\"%s\":", name);
	json_write_string(out, value);
}

/* What fits: a reason in the way of the names is left out, then the names. */
static struct str
metadata_of(const struct ledger_told *told, struct arena *arena)
{
	struct str text = STR_NONE;
	struct buf out;

	buf_init(&out, METADATA_BYTES_MAX - 2);
	for (int parts = 3; parts > 0 && text.p == NULL; parts--) {
		buf_reset(&out);
		member(&out, "license_id", told->license_id);
		if (parts > 1) {
			member(&out, "name", told->name);
			member(&out, "plan_name", told->plan_name);
		}
		if (parts > 2)
			member(&out, "reason", told->reason);
		if (!out.is_failed)
			text = arena_printf(arena, "{%.*s}",
					    STR_ARG(buf_str(&out)));
	}
	buf_fini(&out);
	return text;
}

enum err
ledger_tell(struct context *context, const struct ledger_told *told,
	    const struct customer *customer,
	    const struct subscription *subscription)
{
	const struct schema *schema =
	    subscription ? &subscription_schema : &customer_schema;
	const void *state =
	    subscription ? (const void *)subscription : (const void *)customer;
	struct event event;

	schema_clear(&event_schema, &event);
	event.type = event_types[told->type];
	event.description =
	    told->plan_name.n
		? arena_printf(context->arena, "%s: %.*s, plan %.*s",
			       told->what, STR_ARG(told->name),
			       STR_ARG(told->plan_name))
		: arena_printf(context->arena, "%s: %.*s", told->what,
			       STR_ARG(told->name));
	event.workspace = customer->workspace;
	event.customer_id = customer->id;
	event.plan = told->plan_code;
	event.amount = told->amount;
	if (subscription)
		event.currency = subscription->currency;
	event.metadata = metadata_of(told, context->arena);
	event.actor = told->actor;
	return ledger_event(context->state, context->now_ms, &event, schema,
			    state);
}

struct str
ledger_plan_name(const struct plan *plan)
{
	return str_is_empty(plan->name) ? plan->code : plan->name;
}
