/*
 * ledger_own_keys: customers' own keys of AI providers, built in or of the
 * settings: set, shown masked and removed by whoever holds one of the
 * customer's licences. See ledger_keys.h.
 *
 * Always holds: a key counts for the provider that it was set for, and for no
 * later one of that name.
 */
#include "workers/ledger_keys.h"

#include "store/provider_key.h"

#define OWN_KEYS_MAX 32u /* lib/msg.def */

static void
own_view(const struct provider_key *record, struct own_key_view *out)
{
	out->provider = record->provider;
	out->key = record->masked_key;
	out->created_at = record->created_at;
	out->updated_at = record->updated_at;
}

static struct ledger_key_told
own_told(const struct license *license, enum event_type type,
	 const char *change)
{
	return (struct ledger_key_told){type, change, license->workspace,
					license->customer_id, STR("customer")};
}

/* A licence that is out of order sets nothing; what there is may be seen and
 * taken away. */
static enum err
check_standing(struct context *context, const unsigned char *hash)
{
	struct ledger *ledger = context->state;
	struct subscription subscription;
	struct key key;
	bool is_grace;
	enum err e;

	key_subscription(&key, str_bytes(hash, CRYPTO_HASH_BYTES));
	e = group_load(ledger->group, &key, &subscription_schema, &subscription,
		       context->arena);
	if (e != ERR_OK)
		return e == ERR_NO_SUCH ? ERR_STORE_CORRUPT : e;
	return rules_standing(&subscription, context->now_ms, &is_grace);
}

/* Whether customers may have keys of the provider, and which one it is of those
 * that have had the name: one that was removed may come back as another, whose
 * host shall not get the keys that were set for the first. made
 * SCHEMA_INT_NONE: it is built in. NO_SUCH: they may not. */
static enum err
own_provider(struct ledger *ledger, struct str provider, struct arena *arena,
	     int64_t *made)
{
	struct provider record;
	enum err e;

	*made = SCHEMA_INT_NONE;
	if (provider_key_is_of(provider))
		return ERR_OK;
	e = ledger_provider_find(ledger, provider, arena, &record);
	if (e == ERR_OK && str_eq(record.auth, STR("none")))
		e = ERR_NO_SUCH;
	if (e == ERR_OK)
		*made = record.made;
	return e;
}

static enum err
refuse_own_provider(struct context *context)
{
	return ledger_refuse(context, ERR_BAD_FIELD, "provider",
			     "there is no provider of that name that takes a "
			     "key: it is one of %s, or of those that the "
			     "vendor has set",
			     provider_key_providers);
}

static enum err
refuse_no_own_key(struct context *context, struct str provider)
{
	return ledger_refuse(context, ERR_NO_SUCH, "provider",
			     "there is no key of your own for %.*s",
			     STR_ARG(provider));
}

/* Only one that counts; NO_SUCH: as ledger_key_load has it. */
static enum err
own_load(struct context *context, struct str owner, struct str provider,
	 int64_t made, struct provider_key *record)
{
	enum err e =
	    ledger_key_load(context, owner, provider, PROVIDER_KEY_OWN, record);

	if (e == ERR_OK && record->provider_made != made) {
		record->created_at = context->now_ms;
		e = ERR_NO_SUCH;
	}
	record->provider_made = made;
	return e;
}

static enum err
own_set(struct context *context, const void *in_, void *out)
{
	const struct own_key_set *in = in_;
	unsigned char hash[CRYPTO_HASH_BYTES];
	struct provider_key record;
	struct license license;
	struct ledger_key_told told;
	int64_t made;
	bool is_new;
	enum err e = ledger_license_by_key(context->state, in->key,
					   context->arena, &license, hash);

	if (e == ERR_OK)
		e = check_standing(context, hash);
	if (e != ERR_OK)
		return e;
	e = own_provider(context->state, in->provider, context->arena, &made);
	if (e == ERR_NO_SUCH)
		return refuse_own_provider(context);
	if (e == ERR_OK)
		e = ledger_key_check(context, in->api_key);
	if (e != ERR_OK)
		return e;
	e = own_load(context, license.customer_id, in->provider, made, &record);
	is_new = e == ERR_NO_SUCH;
	if (e != ERR_OK && !is_new)
		return e;
	record.enabled = true;
	record.updated_at = context->now_ms;
	told = own_told(&license, EVENT_provider_key_set,
			is_new ? "new" : "replaced");
	e = ledger_key_seal(context, in->api_key, &record);
	if (e == ERR_OK)
		e = ledger_key_put(context, &told, &record);
	own_view(&record, out);
	return e;
}

static enum err
own_add(struct context *context, struct str owner, struct str provider,
	struct own_keys *out)
{
	struct provider_key record;
	int64_t made;
	enum err e =
	    own_provider(context->state, provider, context->arena, &made);

	if (e == ERR_OK)
		e = own_load(context, owner, provider, made, &record);
	if (e == ERR_OK)
		own_view(&record, &out->keys[out->keys_count++]);
	return e == ERR_NO_SUCH ? ERR_OK : e;
}

static enum err
own_add_all(struct context *context, struct str owner, struct own_keys *out)
{
	struct vendor_keys seen = {.version = 0};
	const char *name;
	enum err e =
	    ledger_providers_get(context->state, context->arena, &seen);

	for (size_t i = 0;
	     e == ERR_OK && (name = provider_key_provider(i)) != NULL; i++)
		e = own_add(context, owner, str_of(name), out);
	for (uint32_t i = 0; e == ERR_OK && i < seen.providers_count; i++)
		e = own_add(context, owner, seen.providers[i].name, out);
	return e;
}

static enum err
own_get(struct context *context, const void *in_, void *out_)
{
	const struct own_keys_get *in = in_;
	struct own_keys *out = out_;
	unsigned char hash[CRYPTO_HASH_BYTES];
	struct license license;
	int64_t made;
	enum err e = ledger_license_by_key(context->state, in->key,
					   context->arena, &license, hash);

	if (e != ERR_OK)
		return e;
	out->keys =
	    arena_array(context->arena, OWN_KEYS_MAX, sizeof(*out->keys));
	if (out->keys == NULL)
		return ERR_NO_MEMORY;
	if (in->provider.p == NULL)
		return own_add_all(context, license.customer_id, out);
	e = own_provider(context->state, in->provider, context->arena, &made);
	if (e == ERR_NO_SUCH)
		return refuse_own_provider(context);
	if (e == ERR_OK)
		e = own_add(context, license.customer_id, in->provider, out);
	if (e == ERR_OK && out->keys_count == 0)
		e = refuse_no_own_key(context, in->provider);
	return e;
}

/* Also one that does not count any more. */
static enum err
own_remove(struct context *context, const void *in_, void *out)
{
	const struct own_key_remove *in = in_;
	unsigned char hash[CRYPTO_HASH_BYTES];
	struct provider_key record;
	struct license license;
	struct ledger_key_told told;
	int64_t made;
	enum err e = ledger_license_by_key(context->state, in->key,
					   context->arena, &license, hash);

	if (e != ERR_OK)
		return e;
	if (!str_is_word(in->provider))
		return refuse_own_provider(context);
	e = ledger_key_load(context, license.customer_id, in->provider,
			    PROVIDER_KEY_OWN, &record);
	if (e == ERR_NO_SUCH && own_provider(context->state, in->provider,
					     context->arena, &made) == e)
		return refuse_own_provider(context);
	if (e == ERR_NO_SUCH)
		return refuse_no_own_key(context, in->provider);
	if (e != ERR_OK)
		return e;
	told = own_told(&license, EVENT_provider_key_removed, "removed");
	e = ledger_key_delete(context, &told, &record);
	own_view(&record, out);
	return e;
}

enum err
ledger_own_key(struct ledger *ledger, struct str customer_id,
	       struct str provider, struct arena *arena, struct str *sealed)
{
	struct provider_key record;
	struct key key;
	int64_t made;
	enum err e;

	key_provider_key(&key, customer_id, provider, PROVIDER_KEY_OWN);
	e = group_load(ledger->group, &key, &provider_key_schema, &record,
		       arena);
	if (e == ERR_OK)
		e = own_provider(ledger, provider, arena, &made);
	if (e == ERR_OK && record.provider_made != made)
		e = ERR_NO_SUCH;
	if (e == ERR_OK)
		*sealed = record.sealed_key;
	return e;
}

/* --- the handlers -------------------------------------------------------- */

enum err
ledger_own_key_set(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, own_set);
}

enum err
ledger_own_keys_get(struct context *context, const void *in, void *out)
{
	return ledger_run_late(context, in, out, own_get);
}

enum err
ledger_own_key_remove(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, own_remove);
}
