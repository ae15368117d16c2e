/*
 * ledger_providers: the settings' providers, which speak OpenAI's shape, and
 * what the changes of providers and routes share. A change raises the version
 * that the proxies hear of.
 */
#include "workers/ledger_parts.h"

#include "store/provider_key.h"
#include "workers/upstream_text.h"

#include <ctype.h>

#define PROVIDERS_MAX 16u /* lib/msg.def */
#define PROVIDER_NAME_BYTES_MAX 32u

bool
ledger_is_built_in(struct str provider)
{
	return provider_key_is_of(provider) || str_eq(provider, STR("demo"));
}

enum err
ledger_provider_find(struct ledger *ledger, struct str name,
		     struct arena *arena, struct provider *out)
{
	struct key key;

	if (!str_is_word(name))
		return ERR_NO_SUCH;
	key_provider(&key, name);
	return group_load(ledger->group, &key, &provider_schema, out, arena);
}

enum err
ledger_check_provider(struct context *context, struct str provider,
		      bool is_built_in)
{
	struct provider record;
	enum err e = is_built_in
			 ? ERR_OK
			 : ledger_provider_find(context->state, provider,
						context->arena, &record);

	if (e != ERR_NO_SUCH)
		return e;
	return ledger_refuse(context, e, "provider",
			     "there is no provider %.*s: `chatello provider "
			     "list` shows them",
			     STR_ARG(provider));
}

bool
ledger_is_model(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!isgraph((unsigned char)name.p[i]))
			return false;
	return name.n > 0 && name.p[0] != '-';
}

enum err
ledger_tell_setting(struct context *context, enum event_type type,
		    struct str description, struct str actor,
		    const struct schema *schema, const void *state)
{
	struct event event;

	schema_clear(&event_schema, &event);
	event.type = event_types[type];
	event.description = description;
	event.workspace = DEFAULT_WORKSPACE;
	event.actor = actor;
	return ledger_event(context->state, context->now_ms, &event, schema,
			    state);
}

enum err
ledger_scan(struct ledger *ledger, const struct key *prefix, size_t max,
	    struct arena *arena, struct store_row **rows, size_t *count)
{
	*rows = arena_array(arena, max, sizeof(**rows));
	if (*rows == NULL)
		return ERR_NO_MEMORY;
	return group_scan(ledger->group, prefix, max, arena, *rows, count);
}

enum err
ledger_providers_get(struct ledger *ledger, struct arena *arena,
		     struct vendor_keys *out)
{
	struct provider record;
	struct store_row *rows;
	struct key key;
	size_t count = 0;
	enum err e;

	key_provider(&key, STR_NONE);
	out->providers =
	    arena_array(arena, PROVIDERS_MAX, sizeof(*out->providers));
	if (out->providers == NULL)
		return ERR_NO_MEMORY;
	e = ledger_scan(ledger, &key, PROVIDERS_MAX, arena, &rows, &count);
	for (size_t i = 0; i < count && e == ERR_OK; i++) {
		e = schema_decode(&provider_schema, rows[i].value, &record,
				  arena, NULL);
		if (e != ERR_OK)
			return ERR_STORE_CORRUPT;
		out->providers[out->providers_count++] =
		    (struct provider_setting){record.name, record.base_url,
					      record.auth,
					      record.default_model};
	}
	return e;
}

/* --- providers ----------------------------------------------------------- */

static void
provider_fill(const struct provider *record, struct provider_view *out)
{
	out->name = record->name;
	out->base_url = record->base_url;
	out->auth = record->auth;
	out->default_model = record->default_model;
	out->source = STR("settings");
	out->created_at = record->created_at;
	out->updated_at = record->updated_at;
}

static enum err
check_provider_set(struct context *context, const struct provider_set *in)
{
	struct why why;

	if (ledger_is_built_in(in->name))
		return ledger_refuse(context, ERR_BAD_FIELD, "name",
				     "%.*s is built in: its base URL is a "
				     "setting (`chatello up --conf`)",
				     STR_ARG(in->name));
	if (!str_is_word(in->name) || in->name.n > PROVIDER_NAME_BYTES_MAX)
		return ledger_refuse(context, ERR_BAD_FIELD, "name",
				     "a provider's name is 1 to %u letters, "
				     "digits and . _ -",
				     PROVIDER_NAME_BYTES_MAX);
	if (in->base_url.p &&
	    upstream_base_check(arena_str(context->arena, in->base_url).p,
				&why) != ERR_OK)
		return ledger_refuse(context, ERR_BAD_FIELD, "base_url", "%s",
				     why.text);
	if (in->auth.p && !str_eq(in->auth, STR("bearer")) &&
	    !str_eq(in->auth, STR("api-key")) && !str_eq(in->auth, STR("none")))
		return ledger_refuse(context, ERR_BAD_FIELD, "auth",
				     "the authentication is bearer "
				     "(Authorization: Bearer KEY), api-key "
				     "(api-key: KEY) or none");
	if (in->default_model.n && !ledger_is_model(in->default_model))
		return ledger_refuse(context, ERR_BAD_FIELD, "default_model",
				     "a model's name has no blanks");
	return ERR_OK;
}

static enum err
provider_new(struct context *context, const struct provider_set *in,
	     struct provider *record)
{
	struct vendor_keys seen = {.version = 0};
	enum err e =
	    ledger_providers_get(context->state, context->arena, &seen);

	if (e != ERR_OK)
		return e;
	if (seen.providers_count == PROVIDERS_MAX)
		return ledger_refuse(context, ERR_CONFLICT, "name",
				     "there are %u providers already: remove "
				     "one",
				     PROVIDERS_MAX);
	if (in->base_url.p == NULL)
		return ledger_refuse(context, ERR_BAD_FIELD, "base_url",
				     "a new provider needs its base URL "
				     "(--base-url https://host/v1)");
	schema_clear(&provider_schema, record);
	record->name = in->name;
	record->auth = STR("bearer");
	record->created_at = context->now_ms;
	record->made = ledger_keys_next(context);
	return ERR_OK;
}

static enum err
provider_set(struct context *context, const void *in_, void *out)
{
	struct ledger *ledger = context->state;
	const struct provider_set *in = in_;
	struct provider record;
	struct key key;
	enum err e = check_provider_set(context, in);

	if (e != ERR_OK)
		return e;
	key_provider(&key, in->name);
	e = group_load(ledger->group, &key, &provider_schema, &record,
		       context->arena);
	if (e == ERR_NO_SUCH)
		e = provider_new(context, in, &record);
	if (e != ERR_OK)
		return e;
	if (in->base_url.p)
		record.base_url = in->base_url;
	if (in->auth.p)
		record.auth = in->auth;
	if (in->default_model.p)
		record.default_model = in->default_model;
	record.updated_at = context->now_ms;
	e = group_put(ledger->group, &key, &provider_schema, &record);
	if (e == ERR_OK)
		e = ledger_tell_setting(
		    context, EVENT_provider_set,
		    arena_printf(context->arena, "Provider set: %.*s at %.*s",
				 STR_ARG(record.name),
				 STR_ARG(record.base_url)),
		    in->actor, &provider_schema, &record);
	if (e == ERR_OK)
		e = ledger_keys_raise(context);
	provider_fill(&record, out);
	return e;
}

/* Neither a route nor a key is left behind. */
static enum err
check_unused(struct context *context, struct str name)
{
	struct vendor_keys seen = {.version = 0};
	struct store_row *rows;
	struct key key;
	size_t count = 0;
	enum err e = ledger_routes_get(context->state, context->arena, &seen);

	for (uint32_t i = 0; i < seen.routes_count && e == ERR_OK; i++)
		if (str_eq(seen.routes[i].provider, name))
			return ledger_refuse(
			    context, ERR_CONFLICT, "name",
			    "the route %.*s goes to it: remove that first "
			    "(`chatello route remove`)",
			    STR_ARG(seen.routes[i].name));
	key_provider_key(&key, PROVIDER_KEY_VENDOR, name, STR_NONE);
	if (e == ERR_OK)
		e = ledger_scan(context->state, &key, 1, context->arena, &rows,
				&count);
	if (e == ERR_OK && count)
		return ledger_refuse(context, ERR_CONFLICT, "name",
				     "it has keys: remove them first "
				     "(`chatello key list`)");
	return e;
}

static enum err
provider_remove(struct context *context, const void *in_, void *out)
{
	struct ledger *ledger = context->state;
	const struct provider_remove *in = in_;
	struct provider record;
	struct key key;
	enum err e = ERR_NO_SUCH;

	if (ledger_is_built_in(in->name))
		return ledger_refuse(context, ERR_BAD_FIELD, "name",
				     "%.*s is built in: it is off while it has "
				     "no key",
				     STR_ARG(in->name));
	key_provider(&key, in->name);
	if (str_is_word(in->name))
		e = group_load(ledger->group, &key, &provider_schema, &record,
			       context->arena);
	if (e == ERR_NO_SUCH)
		return ledger_refuse(context, e, "name",
				     "there is no such provider: `chatello "
				     "provider list` shows them");
	if (e == ERR_OK)
		e = check_unused(context, in->name);
	if (e == ERR_OK)
		e = group_delete(ledger->group, &key);
	if (e != ERR_OK)
		return e;
	e = ledger_tell_setting(context, EVENT_provider_removed,
				arena_printf(context->arena,
					     "Provider removed: %.*s",
					     STR_ARG(in->name)),
				in->actor, &provider_schema, &record);
	if (e == ERR_OK)
		e = ledger_keys_raise(context);
	provider_fill(&record, out);
	return e;
}

/* --- the handlers -------------------------------------------------------- */

enum err
ledger_provider_set(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, provider_set);
}

enum err
ledger_provider_remove(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, provider_remove);
}
