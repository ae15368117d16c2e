/*
 * ledger_routes: the settings' routes: what a model's name means, which
 * provider serves it, what is tried when that fails. Nothing is let in that
 * leads nowhere: a route's provider exists, its models have a provider and a
 * price. A change raises the version that the proxies hear of.
 */
#include "workers/ledger_parts.h"

#include "workers/routes.h"

/* --- what the store has -------------------------------------------------- */

enum err
ledger_routes_get(struct ledger *ledger, struct arena *arena,
		  struct vendor_keys *out)
{
	struct store_row *rows;
	struct route record;
	struct key key;
	size_t count = 0;
	enum err e;

	key_route(&key, STR_NONE);
	/* One more, for a row that is being made. */
	out->routes = arena_array(arena, ROUTES_MAX + 1, sizeof(*out->routes));
	if (out->routes == NULL)
		return ERR_NO_MEMORY;
	e = ledger_scan(ledger, &key, ROUTES_MAX, arena, &rows, &count);
	for (size_t i = 0; i < count && e == ERR_OK; i++) {
		e = schema_decode(&route_schema, rows[i].value, &record, arena,
				  NULL);
		if (e != ERR_OK)
			return ERR_STORE_CORRUPT;
		out->routes[out->routes_count++] = (struct route_setting){
		    record.name, record.model, record.provider,
		    record.fallbacks, record.fallbacks_count};
	}
	return e;
}

/* --- routes -------------------------------------------------------------- */

static void
route_fill(const struct route *record, struct route_view *out)
{
	out->name = record->name;
	out->model = record->model;
	out->provider = record->provider;
	out->fallbacks = record->fallbacks;
	out->fallbacks_count = record->fallbacks_count;
	out->source = STR("settings");
	out->created_at = record->created_at;
	out->updated_at = record->updated_at;
}

static enum err
check_is_model(struct context *context, const char *field, struct str name)
{
	if (ledger_is_model(name) && !route_is_pattern(name))
		return ERR_OK;
	return ledger_refuse(context, ERR_BAD_FIELD, field,
			     "%s: \"%.*s\" is no model's name: no blanks, no "
			     "* and no #",
			     field, STR_ARG(name));
}

static enum err
check_route_set(struct context *context, const struct route_set *in)
{
	enum err e = ERR_OK;

	if (!ledger_is_model(in->name))
		return ledger_refuse(context, ERR_BAD_FIELD, "name",
				     "a route's name is a model's, or a "
				     "pattern in which * is any text and # a "
				     "digit");
	if (in->model.n)
		e = check_is_model(context, "model", in->model);
	if (e == ERR_OK && in->provider.n)
		e = ledger_check_provider(context, in->provider,
					  ledger_is_built_in(in->provider));
	for (uint32_t i = 0; i < in->fallbacks_count && e == ERR_OK; i++) {
		e = check_is_model(context, "fallbacks", in->fallbacks[i]);
		for (uint32_t j = 0; j < i && e == ERR_OK; j++)
			if (str_eq(in->fallbacks[i], in->fallbacks[j]))
				e = ledger_refuse(context, ERR_BAD_FIELD,
						  "fallbacks",
						  "%.*s is named twice",
						  STR_ARG(in->fallbacks[i]));
	}
	return e;
}

/* A model that is led to has somebody to serve it, and a price. */
static enum err
check_target(struct context *context, const char *field,
	     struct route_target target)
{
	const struct price_period *price;
	enum err e;

	if (str_is_empty(target.provider))
		return ledger_refuse(context, ERR_MODEL_UNKNOWN, field,
				     "no provider serves %.*s: `chatello route "
				     "set %.*s --provider P` says which",
				     STR_ARG(target.model),
				     STR_ARG(target.model));
	e = ledger_price(context->state, target.provider, target.model,
			 context->now_ms, &price);
	if (e != ERR_MODEL_NOT_PRICED)
		return e;
	return ledger_refuse(context, e, field,
			     "%.*s has no price: set one with `chatello price "
			     "set %.*s %.*s --input P --output P` (per million "
			     "tokens)",
			     STR_ARG(target.model), STR_ARG(target.provider),
			     STR_ARG(target.model));
}

/* The row as it is to be, among the others. */
static enum err
check_leads_somewhere(struct context *context, const struct route *record)
{
	const struct route_setting row = {record->name, record->model,
					  record->provider, record->fallbacks,
					  record->fallbacks_count};
	struct routes *routes = arena_alloc(context->arena, sizeof(*routes));
	struct vendor_keys seen = {.version = 0};
	struct route_target target;
	uint32_t at = 0;
	enum err e = ledger_routes_get(context->state, context->arena, &seen);

	if (e != ERR_OK || routes == NULL)
		return e == ERR_OK ? ERR_NO_MEMORY : e;
	while (at < seen.routes_count &&
	       !str_eq(seen.routes[at].name, record->name))
		at++;
	if (at == ROUTES_MAX)
		return ledger_refuse(context, ERR_CONFLICT, "name",
				     "there are %u routes already: remove one",
				     ROUTES_MAX);
	seen.routes[at] = row;
	if (at == seen.routes_count)
		seen.routes_count++;
	routes_build(routes, seen.routes, seen.routes_count);
	target = routes_resolve(routes, record->name);
	if (record->model.n || str_is_empty(target.provider))
		e = check_target(context, record->model.n ? "model" : "name",
				 target);
	for (uint32_t i = 0; i < record->fallbacks_count && e == ERR_OK; i++) {
		struct route_target next =
		    routes_resolve(routes, record->fallbacks[i]);

		if (str_eq(next.model, target.model) &&
		    str_eq(next.provider, target.provider))
			return ledger_refuse(context, ERR_BAD_FIELD,
					     "fallbacks",
					     "%.*s is what is tried first "
					     "already",
					     STR_ARG(record->fallbacks[i]));
		e = check_target(context, "fallbacks", next);
	}
	return e;
}

static enum err
route_load(struct context *context, const struct key *key, struct str name,
	   struct route *record)
{
	struct ledger *ledger = context->state;
	enum err e = group_load(ledger->group, key, &route_schema, record,
				context->arena);

	if (e != ERR_NO_SUCH)
		return e;
	schema_clear(&route_schema, record);
	record->name = name;
	record->created_at = context->now_ms;
	return ERR_OK;
}

static void
route_take(const struct route_set *in, struct route *record)
{
	if (in->model.p)
		record->model = in->model;
	if (in->provider.p)
		record->provider = in->provider;
	if (in->has_fallbacks) {
		record->fallbacks = in->fallbacks;
		record->fallbacks_count = in->fallbacks_count;
	}
}

static enum err
route_set(struct context *context, const void *in_, void *out)
{
	struct ledger *ledger = context->state;
	const struct route_set *in = in_;
	struct route record;
	struct key key;
	enum err e = check_route_set(context, in);

	if (e != ERR_OK)
		return e;
	key_route(&key, in->name);
	e = route_load(context, &key, in->name, &record);
	if (e != ERR_OK)
		return e;
	route_take(in, &record);
	if (record.model.n + record.provider.n + record.fallbacks_count == 0)
		return ledger_refuse(context, ERR_BAD_FIELD, "model",
				     "a route says a model, a provider or "
				     "fallbacks");
	e = check_leads_somewhere(context, &record);
	if (e != ERR_OK)
		return e;
	record.updated_at = context->now_ms;
	e = group_put(ledger->group, &key, &route_schema, &record);
	if (e == ERR_OK)
		e = ledger_tell_setting(context, EVENT_route_set,
					arena_printf(context->arena,
						     "Route set: %.*s",
						     STR_ARG(record.name)),
					in->actor, &route_schema, &record);
	if (e == ERR_OK)
		e = ledger_keys_raise(context);
	route_fill(&record, out);
	return e;
}

static enum err
route_remove(struct context *context, const void *in_, void *out)
{
	struct ledger *ledger = context->state;
	const struct route_remove *in = in_;
	struct route record;
	struct key key;
	enum err e = ERR_NO_SUCH;

	key_route(&key, in->name);
	if (ledger_is_model(in->name))
		e = group_load(ledger->group, &key, &route_schema, &record,
			       context->arena);
	if (e == ERR_NO_SUCH)
		return ledger_refuse(context, e, "name",
				     "the settings have no such route: "
				     "`chatello route list` shows them");
	if (e == ERR_OK)
		e = group_delete(ledger->group, &key);
	if (e != ERR_OK)
		return e;
	e = ledger_tell_setting(context, EVENT_route_removed,
				arena_printf(context->arena,
					     "Route removed: %.*s",
					     STR_ARG(in->name)),
				in->actor, &route_schema, &record);
	if (e == ERR_OK)
		e = ledger_keys_raise(context);
	route_fill(&record, out);
	return e;
}

/* --- the handlers -------------------------------------------------------- */

enum err
ledger_route_set(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, route_set);
}

enum err
ledger_route_remove(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, route_remove);
}
