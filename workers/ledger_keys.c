/*
 * ledger_keys: the vendor's keys of AI providers, of which there are several
 * with names and weights, and what they have in common with customers' own. See
 * ledger_keys.h.
 */
#include "workers/ledger_keys.h"

#include "store/meta.h"
#include "store/provider_key.h"

#define VENDOR_KEYS_MAX 64u /* enabled or not; lib/msg.def */
#define WEIGHT_MAX 1000

/* --- what is common ------------------------------------------------------ */

enum err
ledger_key_check(struct context *context, struct str api_key)
{
	const char *reason;

	if (provider_key_is_valid(api_key, &reason))
		return ERR_OK;
	return ledger_refuse(context, ERR_BAD_FIELD, "api_key", "%s", reason);
}

enum err
ledger_key_load(struct context *context, struct str owner, struct str provider,
		struct str name, struct provider_key *record)
{
	struct ledger *ledger = context->state;
	struct key key;
	enum err e;

	key_provider_key(&key, owner, provider, name);
	e = group_load(ledger->group, &key, &provider_key_schema, record,
		       context->arena);
	if (e != ERR_NO_SUCH)
		return e;
	schema_clear(&provider_key_schema, record);
	record->owner = owner;
	record->provider = provider;
	record->name = name;
	record->created_at = context->now_ms;
	return e;
}

enum err
ledger_key_seal(struct context *context, struct str api_key,
		struct provider_key *record)
{
	struct ledger *ledger = context->state;
	struct str identity = provider_key_identity(
	    record->owner, record->provider, record->name, context->arena);

	record->masked_key = provider_key_mask(api_key, context->arena);
	if (identity.p == NULL || record->masked_key.p == NULL)
		return ERR_NO_MEMORY;
	return crypto_seal(crypto_provider_keys(ledger->crypto), api_key,
			   identity, context->arena, &record->sealed_key);
}

/* The event's state is the record without what is sealed: a key that was
 * removed is nowhere any more. */
static enum err
tell(struct context *context, const struct ledger_key_told *told,
     const struct provider_key *record)
{
	struct provider_key state = *record;
	struct arena *arena = context->arena;
	struct event event;
	bool is_vendors = told->customer_id.p == NULL;

	state.sealed_key = STR_NONE;
	schema_clear(&event_schema, &event);
	event.type = event_types[told->type];
	event.description =
	    arena_printf(arena, "Provider key %s: %.*s, %s%.*s", told->change,
			 STR_ARG(record->provider),
			 is_vendors ? "the vendor's " : "a customer's ",
			 STR_ARG(record->name));
	event.workspace = told->workspace;
	event.customer_id = told->customer_id;
	event.metadata = arena_printf(
	    arena,
	    "{\"provider\":\"%.*s\",\"name\":\"%.*s\",\"change\":\"%s\"}",
	    STR_ARG(record->provider), STR_ARG(record->name), told->change);
	event.actor = told->actor;
	return ledger_event(context->state, context->now_ms, &event,
			    &provider_key_schema, &state);
}

enum err
ledger_key_put(struct context *context, const struct ledger_key_told *told,
	       const struct provider_key *record)
{
	struct ledger *ledger = context->state;
	struct key key;
	enum err e;

	key_provider_key(&key, record->owner, record->provider, record->name);
	e = group_put(ledger->group, &key, &provider_key_schema, record);
	return e == ERR_OK ? tell(context, told, record) : e;
}

enum err
ledger_key_delete(struct context *context, const struct ledger_key_told *told,
		  const struct provider_key *record)
{
	struct ledger *ledger = context->state;
	struct key key;
	enum err e;

	key_provider_key(&key, record->owner, record->provider, record->name);
	e = group_delete(ledger->group, &key);
	return e == ERR_OK ? tell(context, told, record) : e;
}

/* --- the vendor's -------------------------------------------------------- */

static void
vendor_view(const struct provider_key *record, struct vendor_key_view *out)
{
	out->provider = record->provider;
	out->name = record->name;
	out->key = record->masked_key;
	out->weight = record->weight;
	out->enabled = record->enabled;
	out->created_at = record->created_at;
	out->updated_at = record->updated_at;
}

static struct ledger_key_told
vendor_told(enum event_type type, const char *change, struct str actor)
{
	return (struct ledger_key_told){type, change, DEFAULT_WORKSPACE,
					STR_NONE, actor};
}

/* Up to VENDOR_KEYS_MAX of them. */
static enum err
vendor_scan(struct context *context, struct store_row **rows, size_t *count)
{
	struct key prefix;

	key_provider_key(&prefix, PROVIDER_KEY_VENDOR, STR_NONE, STR_NONE);
	return ledger_scan(context->state, &prefix, VENDOR_KEYS_MAX,
			   context->arena, rows, count);
}

void
ledger_keys_take(struct ledger *ledger, const struct meta *meta)
{
	ledger->keys_version = schema_count(meta->keys_version);
}

enum err
ledger_keys_read(struct ledger *ledger)
{
	struct arena arena;
	struct meta meta;
	enum err e;

	arena_init(&arena, STORE_VALUE_BYTES_MAX * 4);
	e = meta_load(ledger->store, &arena, &meta);
	if (e == ERR_OK)
		e = crypto_unlock(ledger->crypto, meta.key_check,
				  meta.find_key);
	if (e == ERR_OK)
		ledger_keys_take(ledger, &meta);
	arena_fini(&arena);
	return e;
}

int64_t
ledger_keys_next(const struct context *context)
{
	const struct ledger *ledger = context->state;
	int64_t next = ledger->keys_version + 1;

	return next < context->now_ms ? context->now_ms : next;
}

/* No two states of the vendor's keys have had one number, also when a commit
 * between them failed. */
enum err
ledger_keys_raise(struct context *context)
{
	struct ledger *ledger = context->state;
	int64_t next = ledger_keys_next(context);
	struct meta meta;
	struct key key;
	enum err e;

	key_meta(&key);
	e = group_load(ledger->group, &key, &meta_schema, &meta,
		       context->arena);
	if (e != ERR_OK)
		return e;
	meta.keys_version = next;
	e = group_put(ledger->group, &key, &meta_schema, &meta);
	if (e == ERR_OK)
		ledger->keys_version = next;
	return e;
}

/* The vendor has keys of the further providers, too. */
static enum err
check_vendors_provider(struct context *context, struct str provider)
{
	return ledger_check_provider(context, provider,
				     provider_key_is_of(provider));
}

static enum err
check_vendor_key(struct context *context, const struct vendor_key_set *in,
		 struct str name)
{
	enum err e = check_vendors_provider(context, in->provider);

	if (e == ERR_OK && !provider_key_name_is_valid(name))
		return ledger_refuse(context, ERR_BAD_FIELD, "name",
				     "a key's name is letters, digits and "
				     ". _ -");
	if (e == ERR_OK && in->weight != SCHEMA_INT_NONE &&
	    (in->weight < 1 || in->weight > WEIGHT_MAX))
		return ledger_refuse(context, ERR_BAD_FIELD, "weight",
				     "the weight is 1 to %d; a key that is not "
				     "enabled is not used",
				     WEIGHT_MAX);
	if (e == ERR_OK && in->api_key.p)
		e = ledger_key_check(context, in->api_key);
	return e;
}

/* A new one has its key, and room. */
static enum err
vendor_new(struct context *context, const struct vendor_key_set *in,
	   struct provider_key *record)
{
	struct store_row *rows;
	size_t count;
	enum err e;

	if (in->api_key.p == NULL)
		return ledger_refuse(context, ERR_NO_SUCH, "name",
				     "there is no key %.*s of %.*s",
				     STR_ARG(record->name),
				     STR_ARG(record->provider));
	e = vendor_scan(context, &rows, &count);
	if (e != ERR_OK)
		return e;
	if (count == VENDOR_KEYS_MAX)
		return ledger_refuse(context, ERR_CONFLICT, "name",
				     "there are %u keys already: remove one",
				     VENDOR_KEYS_MAX);
	record->weight = 1;
	record->enabled = true;
	return ERR_OK;
}

static enum err
vendor_set(struct context *context, const void *in_, void *out)
{
	const struct vendor_key_set *in = in_;
	struct str name =
	    str_is_empty(in->name) ? PROVIDER_KEY_DEFAULT : in->name;
	struct provider_key record;
	struct ledger_key_told told;
	bool is_new;
	enum err e = check_vendor_key(context, in, name);

	if (e != ERR_OK)
		return e;
	e = ledger_key_load(context, PROVIDER_KEY_VENDOR, in->provider, name,
			    &record);
	is_new = e == ERR_NO_SUCH;
	if (is_new)
		e = vendor_new(context, in, &record);
	if (e != ERR_OK)
		return e;
	if (in->weight != SCHEMA_INT_NONE)
		record.weight = in->weight;
	if (in->enabled != SCHEMA_INT_NONE)
		record.enabled = in->enabled != 0;
	record.updated_at = context->now_ms;
	if (in->api_key.p)
		e = ledger_key_seal(context, in->api_key, &record);
	told = vendor_told(EVENT_provider_key_set,
			   is_new	   ? "new"
			   : in->api_key.p ? "replaced"
					   : "changed",
			   in->actor);
	if (e == ERR_OK)
		e = ledger_key_put(context, &told, &record);
	if (e == ERR_OK)
		e = ledger_keys_raise(context);
	vendor_view(&record, out);
	return e;
}

static enum err
vendor_remove(struct context *context, const void *in_, void *out)
{
	const struct vendor_key_remove *in = in_;
	struct str name =
	    str_is_empty(in->name) ? PROVIDER_KEY_DEFAULT : in->name;
	struct provider_key record;
	struct ledger_key_told told;
	enum err e = check_vendors_provider(context, in->provider);

	if (e != ERR_OK)
		return e;
	if (!provider_key_name_is_valid(name))
		e = ERR_NO_SUCH;
	if (e == ERR_OK)
		e = ledger_key_load(context, PROVIDER_KEY_VENDOR, in->provider,
				    name, &record);
	if (e == ERR_NO_SUCH)
		return ledger_refuse(context, e, "name",
				     "there is no such key: `chatello key "
				     "list` shows them");
	if (e != ERR_OK)
		return e;
	told = vendor_told(EVENT_provider_key_removed, "removed", in->actor);
	e = ledger_key_delete(context, &told, &record);
	if (e == ERR_OK)
		e = ledger_keys_raise(context);
	vendor_view(&record, out);
	return e;
}

/* All that is answered is of this moment of the turn: version and keys belong
 * together. */
static enum err
vendor_get(struct context *context, const void *in, void *out_)
{
	struct ledger *ledger = context->state;
	struct vendor_keys *out = out_;
	struct provider_key record;
	struct store_row *rows;
	size_t count = 0;
	enum err e;

	(void)in;
	if (!str_starts(str_of(context->peer), STR("proxy-")))
		return ledger_refuse(context, ERR_UNAUTHORIZED, NULL,
				     "only a proxy is given sealed keys");
	out->keys =
	    arena_array(context->arena, VENDOR_KEYS_MAX, sizeof(*out->keys));
	if (out->keys == NULL)
		return ERR_NO_MEMORY;
	e = vendor_scan(context, &rows, &count);
	for (size_t i = 0; i < count && e == ERR_OK; i++) {
		e = schema_decode(&provider_key_schema, rows[i].value, &record,
				  context->arena, NULL);
		if (e != ERR_OK)
			return ERR_STORE_CORRUPT;
		if (record.enabled)
			out->keys[out->keys_count++] = (struct sealed_key){
			    record.provider, record.name, record.weight,
			    record.sealed_key};
	}
	out->version = ledger->keys_version;
	if (e == ERR_OK)
		e = ledger_providers_get(ledger, context->arena, out);
	if (e == ERR_OK)
		e = ledger_routes_get(ledger, context->arena, out);
	return e;
}

/* --- the handlers -------------------------------------------------------- */

enum err
ledger_vendor_key_set(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, vendor_set);
}

enum err
ledger_vendor_key_remove(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, vendor_remove);
}

enum err
ledger_vendor_keys_get(struct context *context, const void *in, void *out)
{
	return ledger_run_late(context, in, out, vendor_get);
}
