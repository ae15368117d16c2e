/*
 * ledger_activations: taking and freeing a licence's place on a site. Local and
 * staging hosts always get in and take no place. Both are idempotent.
 */
#include "workers/ledger_parts.h"

struct place {
	struct context *context;
	struct ledger *ledger;
	unsigned char hash[CRYPTO_HASH_BYTES]; /* of the licence key */
	struct license license;
	struct subscription subscription;
	struct ledger_workspace *workspace;
	const struct plan *plan;
	struct str host;
	struct key key;
	bool is_taken;
	int64_t limit;
};

static enum err
load(struct place *place, struct str key_text, struct str domain)
{
	struct arena *arena = place->context->arena;
	struct ledger *ledger = place->ledger;
	struct key key;
	struct str stored;
	enum err e = ledger_license_by_key(ledger, key_text, arena,
					   &place->license, place->hash);

	if (e != ERR_OK)
		return e;
	if (!rules_domain(domain, arena, &place->host))
		return ledger_refuse(place->context, ERR_BAD_FIELD, "domain",
				     "the site's domain is missing or not "
				     "valid: send it like shop.example");
	key_subscription(&key, str_bytes(place->hash, sizeof(place->hash)));
	e = group_load(ledger->group, &key, &subscription_schema,
		       &place->subscription, arena);
	if (e == ERR_OK)
		e = ledger_workspace(ledger, place->license.workspace,
				     &place->workspace);
	if (e == ERR_OK)
		e = ledger_plan(ledger, place->license.workspace,
				place->subscription.plan, &place->plan);
	if (e != ERR_OK)
		return e == ERR_NO_SUCH ? ERR_STORE_CORRUPT : e;
	place->limit = rules_limit(place->plan, "activations", SCHEMA_INT_NONE);
	key_activation(&place->key, place->license.id, place->host);
	e = group_load_bytes(ledger->group, &place->key, &stored, arena);
	place->is_taken = e == ERR_OK && stored.p != NULL;
	return e == ERR_NO_SUCH ? ERR_OK : e;
}

static enum err
license_put(struct place *place)
{
	struct key key;

	key_license(&key, str_bytes(place->hash, sizeof(place->hash)));
	return group_put(place->ledger->group, &key, &license_schema,
			 &place->license);
}

static void
answer(const struct place *place, struct activation_answer *out)
{
	out->success = true;
	out->license_id = place->license.id;
	out->domain = place->host;
	out->activations = schema_count(place->license.activations);
	out->limit = place->limit;
}

/* A workspace in `log` mode blocks nothing. */
static enum err
may_activate(struct place *place)
{
	int64_t count = schema_count(place->license.activations);
	bool is_grace;
	enum err e = rules_standing(&place->subscription,
				    place->context->now_ms, &is_grace);

	if (!place->workspace->is_enforced)
		return ERR_OK;
	if (e != ERR_OK)
		return e;
	if (!rules_domain_matches(place->host, place->license.domain))
		return ERR_DOMAIN_MISMATCH;
	if (place->is_taken || place->limit == SCHEMA_INT_NONE ||
	    count < place->limit ||
	    rules_domain_is_local(place->host, place->license.domain))
		return ERR_OK;
	place->context->failure.limit = STR("activations");
	return ERR_TOO_MANY_ACTIVATIONS;
}

static enum err
activate(struct context *context, const void *in_, void *out)
{
	const struct activate *in = in_;
	struct place place = {.context = context, .ledger = context->state};
	struct activation activation;
	enum err e = load(&place, in->key, in->domain);

	if (e == ERR_OK)
		e = may_activate(&place);
	if (e != ERR_OK)
		return e;
	if (!place.is_taken &&
	    !rules_domain_is_local(place.host, place.license.domain)) {
		activation = (struct activation){place.license.id, place.host,
						 context->now_ms};
		e = group_put(place.ledger->group, &place.key,
			      &activation_schema, &activation);
		place.license.activations =
		    schema_count(place.license.activations) + 1;
		if (e == ERR_OK)
			e = license_put(&place);
	}
	answer(&place, out);
	return e;
}

static enum err
deactivate(struct context *context, const void *in_, void *out)
{
	const struct deactivate *in = in_;
	struct place place = {.context = context, .ledger = context->state};
	enum err e = load(&place, in->key, in->domain);

	if (e == ERR_OK && place.is_taken) {
		e = group_delete(place.ledger->group, &place.key);
		place.license.activations =
		    schema_count(place.license.activations) - 1;
		if (e == ERR_OK)
			e = license_put(&place);
	}
	if (e == ERR_OK)
		answer(&place, out);
	return e;
}

enum err
ledger_activate(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, activate);
}

enum err
ledger_deactivate(struct context *context, const void *in, void *out)
{
	return ledger_run(context, in, out, deactivate);
}
