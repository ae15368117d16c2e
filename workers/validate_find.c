/*
 * validate_find: one licence, with all that decides about it. A key is hashed,
 * its licence, subscription and meter are read in the turn's view, plan and
 * workspace come from validate_settings. An unknown key costs the same reads as
 * a known one.
 */
#include "workers/validate_internal.h"

#include "store/keys.h"
#include "store/records.h"
#include "workers/rules.h"

/* The licence's hash. Without a possible key it is one that no key has, so
 * that the caller does the same work. */
static void
hash_key(struct validate *validate, struct str key,
	 unsigned char hash[CRYPTO_HASH_BYTES])
{
	char text[LICENSE_KEY_BYTES_MAX];
	size_t n;

	if (!crypto_normalize_license_key(key, text, &n)) {
		text[0] = '!';
		n = 1;
	}
	crypto_hash_license_key(validate->crypto, str_bytes(text, n), hash);
}

enum err
validate_decode(const struct schema *schema, struct str raw, void *out,
		struct arena *arena)
{
	enum err e;

	if (raw.p == NULL)
		return ERR_STORE_CORRUPT;
	e = schema_decode(schema, raw, out, arena, NULL);
	return e == ERR_OK || e == ERR_NO_MEMORY ? e : ERR_STORE_CORRUPT;
}

/* The meter as it stands in the month that holds now. */
static enum err
meter_fill(struct str raw, const struct settings_workspace *workspace,
	   int64_t now_ms, struct arena *arena, struct meter *meter)
{
	enum err e = ERR_OK;

	schema_clear(&meter_schema, meter);
	if (raw.p)
		e = validate_decode(&meter_schema, raw, meter, arena);
	if (e != ERR_OK)
		return e;
	if (meter->month_end != SCHEMA_INT_NONE && now_ms < meter->month_end) {
		rules_meter_roll(meter, now_ms, workspace->zone);
		return ERR_OK;
	}
	/* What rolling would come to, without the calendar. */
	meter->month_start = workspace->month_start_ms;
	meter->month_end = workspace->month_end_ms;
	meter->month_used = meter->month_reserved = 0;
	meter->month_spent = meter->month_held = 0;
	return ERR_OK;
}

static enum err
settings_fill(struct validate *validate, int64_t now_ms, struct arena *arena,
	      struct str meter_raw, struct report_subject *out)
{
	const struct settings_workspace *workspace = NULL;
	enum err e;

	e = settings_workspace(validate->settings, validate->store,
			       out->license.workspace, now_ms, arena,
			       &workspace);
	if (e == ERR_OK)
		e = settings_plan(validate->settings, validate->store,
				  out->license.workspace,
				  out->subscription.plan, arena, &out->plan);
	if (e != ERR_OK)
		return e == ERR_NO_SUCH ? ERR_STORE_CORRUPT : e;
	out->workspace = &workspace->record;
	out->zone = workspace->zone;
	out->month_end_ms = workspace->month_end_ms;
	out->month_resets_at =
	    str_bytes(workspace->resets_at, workspace->resets_at_n);
	return meter_fill(meter_raw, workspace, now_ms, arena, &out->meter);
}

/* Licence and subscription, which lie side by side. An unknown key has a
 * licence that has no meter. */
static enum err
license_fill(struct context *context, struct str key, bool *is_known,
	     struct report_subject *out)
{
	struct validate *validate = context->state;
	unsigned char hash[CRYPTO_HASH_BYTES];
	struct key keys[2];
	struct str wanted[2], raw[2];
	enum err e;

	hash_key(validate, key, hash);
	key_license(&keys[0], str_bytes(hash, sizeof(hash)));
	key_subscription(&keys[1], str_bytes(hash, sizeof(hash)));
	wanted[0] = key_str(&keys[0]);
	wanted[1] = key_str(&keys[1]);
	e = store_load(validate->store, wanted, 2, raw, context->arena);
	*is_known = e == ERR_OK && raw[0].p != NULL;
	out->license.id = STR("none_00000000000000000000000000");
	if (!*is_known)
		return e;
	e = validate_decode(&license_schema, raw[0], &out->license,
			    context->arena);
	if (e == ERR_OK)
		e = validate_decode(&subscription_schema, raw[1],
				    &out->subscription, context->arena);
	return e;
}

enum err
validate_find(struct context *context, struct str key,
	      struct report_subject *out)
{
	struct validate *validate = context->state;
	struct str wanted, meter_raw;
	struct key meter_key;
	bool is_known;
	enum err e;

	if (str_is_empty(str_trim(key)))
		return ERR_KEY_MISSING;
	e = license_fill(context, key, &is_known, out);
	if (e != ERR_OK)
		return e;
	key_meter(&meter_key, out->license.id);
	wanted = key_str(&meter_key);
	e = store_load(validate->store, &wanted, 1, &meter_raw, context->arena);
	if (e != ERR_OK || !is_known)
		return e != ERR_OK ? e : ERR_NOT_FOUND;
	return settings_fill(validate, context->now_ms, context->arena,
			     meter_raw, out);
}

enum err
validate_judge(struct context *context, const struct report_subject *subject,
	       struct str site, struct str *host, bool *is_grace)
{
	enum err e;

	*host = STR_NONE;
	if (!str_is_empty(site) && !rules_domain(site, context->arena, host))
		*host = STR_NONE;
	e = rules_standing(&subject->subscription, context->now_ms, is_grace);
	/* Clients that are no site, like the providers' own libraries, have
	 * nothing that could match; the ledger admits them, too. */
	if (str_is_empty(site))
		return e;
	if (e == ERR_OK &&
	    !rules_domain_matches(*host, subject->license.domain))
		e = ERR_DOMAIN_MISMATCH;
	return e;
}

enum err
validate_admit(struct context *context, struct str key, struct str site,
	       struct report_subject *subject)
{
	struct str host;
	bool is_grace;
	enum err e = validate_find(context, key, subject);

	return e == ERR_OK
		   ? validate_judge(context, subject, site, &host, &is_grace)
		   : e;
}
