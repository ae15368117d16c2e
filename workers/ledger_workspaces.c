/*
 * ledger_workspaces: what the vendor sets of a workspace: its limits. Absent
 * ones stay as they are. A change appends workspace_changed with the record.
 */
#include "workers/ledger_parts.h"

#define LIMITS_MAX 16u /* store/records.def */

static enum err
check_limits(struct context *context, const struct workspace_set *in)
{
	for (uint32_t i = 0; i < in->limits_count; i++)
		if (!limits_is_name(in->limits[i].name))
			return ledger_refuse(
			    context, ERR_BAD_FIELD, "limits",
			    "a workspace's limits are requests_hour, "
			    "requests_month, tokens_minute, spend_month and "
			    "concurrent");
	return ERR_OK;
}

static uint32_t
limit_at(const struct workspace *workspace, struct str name)
{
	uint32_t at = 0;

	while (at < workspace->limits_count &&
	       !str_eq(workspace->limits[at].name, name))
		at++;
	return at;
}

/* Those that are unlimited are not kept. */
static enum err
merge_limits(struct context *context, const struct workspace_set *in,
	     struct workspace *workspace)
{
	struct limit *limits =
	    arena_array(context->arena, LIMITS_MAX, sizeof(*limits));

	if (limits == NULL)
		return ERR_NO_MEMORY;
	if (workspace->limits_count)
		memcpy(limits, workspace->limits,
		       workspace->limits_count * sizeof(*limits));
	workspace->limits = limits;
	for (uint32_t i = 0; i < in->limits_count; i++) {
		uint32_t at = limit_at(workspace, in->limits[i].name);
		bool is_new = at == workspace->limits_count;

		if (in->limits[i].value != SCHEMA_INT_NONE) {
			limits[at] = in->limits[i];
			workspace->limits_count += is_new;
		} else if (!is_new) {
			limits[at] = limits[--workspace->limits_count];
		}
	}
	return ERR_OK;
}

static enum err
workspace_put(struct context *context, const struct workspace_set *in,
	      const struct workspace *workspace)
{
	struct ledger *ledger = context->state;
	struct event event;
	struct key key;
	enum err e;

	key_workspace(&key, workspace->code);
	e = group_put(ledger->group, &key, &workspace_schema, workspace);
	schema_clear(&event_schema, &event);
	event.type = event_types[EVENT_workspace_changed];
	event.description = arena_printf(context->arena, "Workspace set: %.*s",
					 STR_ARG(workspace->code));
	event.workspace = workspace->code;
	event.actor = in->actor;
	return e == ERR_OK ? ledger_event(ledger, context->now_ms, &event,
					  &workspace_schema, workspace)
			   : e;
}

static void
view(const struct workspace *workspace, struct workspace_view *out)
{
	out->code = workspace->code;
	out->name = workspace->name;
	out->currency = workspace->currency;
	out->timezone = workspace->timezone;
	out->enforcement = workspace->enforcement;
	out->limits = workspace->limits;
	out->limits_count = workspace->limits_count;
}

/* Its meter counts while it has limits; what was before is in the rollups. */
static enum err
meter_begin(struct context *context, const struct workspace *workspace)
{
	struct ledger *ledger = context->state;
	struct ledger_workspace *cached;
	enum err e;

	if (workspace->limits_count == 0)
		return ERR_OK;
	e = ledger_workspace(ledger, workspace->code, &cached);
	return e == ERR_OK
		   ? ledger_workspace_meter_begin(ledger, workspace->code,
						  cached->zone, context->now_ms)
		   : e;
}

static enum err
workspace_set(struct context *context, const void *in_, void *out)
{
	struct ledger *ledger = context->state;
	const struct workspace_set *in = in_;
	struct workspace workspace;
	struct key key;
	enum err e = check_limits(context, in);

	if (e != ERR_OK)
		return e;
	key_workspace(&key, str_is_empty(in->workspace) ? DEFAULT_WORKSPACE
							: in->workspace);
	e = group_load(ledger->group, &key, &workspace_schema, &workspace,
		       context->arena);
	if (e == ERR_NO_SUCH)
		return ERR_WORKSPACE_UNKNOWN;
	ledger_cache_drop(ledger);
	if (e == ERR_OK)
		e = merge_limits(context, in, &workspace);
	if (e == ERR_OK)
		e = workspace_put(context, in, &workspace);
	if (e == ERR_OK)
		e = meter_begin(context, &workspace);
	if (e == ERR_OK)
		view(&workspace, out);
	return e;
}

enum err
ledger_workspace_set(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, workspace_set);
}
