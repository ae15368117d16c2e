/*
 * proxy_models: the models that a licence may use: those with a price, which
 * validate knows, of the providers that the vendor has a key for, which we
 * know; and the names that the vendor's routes give to them.
 */
#include "workers/providers/models.h"
#include "workers/proxy.h"

#include <stdlib.h>

#define MODELS_BYTES_MAX (2u << 20)
#define MODELS_MAX 4096u /* lib/msg.def */

struct listing {
	struct proxy *proxy;
	struct bus_from *from;
};

/* A price is its model's with a date, too. */
static const struct priced_model *
find_priced(const struct prices_answer *prices,
	    const struct route_target *target)
{
	struct str undated = model_undated(target->model);

	for (uint32_t i = 0; i < prices->models_count; i++) {
		const struct priced_model *model = &prices->models[i];

		if (str_eq(model->provider, target->provider) &&
		    (str_eq(model->id, target->model) ||
		     str_eq(model->id, undated)))
			return model;
	}
	return NULL;
}

static bool
is_ours(const struct proxy *proxy, struct str provider)
{
	const struct provider_row *row =
	    providers_find(&proxy->providers, provider);

	return row && provider_has_key(&proxy->providers, row);
}

/* The routes' names that lead to a model of the list. */
static uint32_t
take_aliases(const struct proxy *proxy, const struct prices_answer *prices,
	     struct priced_model *out)
{
	const struct routes *routes = &proxy->routes;
	uint32_t n = 0;

	for (unsigned i = 0; i < routes->count; i++) {
		struct str name = routes->rows[i].name;
		struct route_target target;
		const struct priced_model *model;

		if (route_is_pattern(name))
			continue;
		target = routes_resolve(routes, name);
		model = find_priced(prices, &target);
		if (model && is_ours(proxy, target.provider))
			out[n++] = (struct priced_model){name, target.provider,
							 model->created_at};
	}
	return n;
}

static bool
has_name(const struct priced_model *models, uint32_t n, struct str id)
{
	for (uint32_t i = 0; i < n; i++)
		if (str_eq(models[i].id, id))
			return true;
	return false;
}

/* A model whose name is a route's as well is where the route leads. */
static enum err
filter(struct proxy *proxy, struct str body, struct arena *arena)
{
	struct priced_model aliases[ROUTES_MAX + ROUTES_BUILT_IN];
	struct prices_answer prices;
	struct models_answer models;
	uint32_t n = 0, alias_count;
	enum err err =
	    schema_decode(&prices_answer_schema, body, &prices, arena, NULL);

	if (err != ERR_OK)
		return err;
	alias_count = take_aliases(proxy, &prices, aliases);
	schema_clear(&models_answer_schema, &models);
	models.models = arena_array(arena, prices.models_count + alias_count,
				    sizeof(*models.models));
	if (models.models == NULL)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < prices.models_count; i++) {
		const struct priced_model *model = &prices.models[i];

		if (is_ours(proxy, model->provider) &&
		    !has_name(aliases, alias_count, model->id))
			models.models[n++] = *model;
	}
	for (uint32_t i = 0; i < alias_count && n < MODELS_MAX; i++)
		models.models[n++] = aliases[i];
	models.models_count = n;
	buf_reset(&proxy->scratch);
	schema_encode(&models_answer_schema, &models, &proxy->scratch);
	return proxy->scratch.is_failed ? ERR_NO_MEMORY : ERR_OK;
}

static void
on_prices(void *ctx, const struct bus_answer *answer)
{
	struct listing *listing = ctx;
	struct proxy *proxy = listing->proxy;
	enum err err = answer->err;
	struct str body = answer->body;
	struct arena arena;

	if (err == ERR_OK) {
		arena_init(&arena, MODELS_BYTES_MAX);
		err = filter(proxy, answer->body, &arena);
		body = err == ERR_OK ? buf_str(&proxy->scratch) : STR("");
		arena_fini(&arena);
	}
	bus_answer(proxy->bus, listing->from, err, body);
	proxy->models_count--;
	free(listing);
}

enum err
proxy_models(struct context *context, const void *in_, void *out)
{
	const struct models_list *in = in_;
	struct proxy *proxy = context->state;
	struct listing *listing = calloc(1, sizeof(*listing));
	struct prices_get prices;
	struct bus_ask ask = {
	    .type = MSG_prices_get,
	    .is_repeatable = true,
	    .deadline_ms = PROXY_ASK_MS,
	    .fn = on_prices,
	    .ctx = listing,
	};
	uint64_t id;
	enum err err;

	(void)out;
	if (listing == NULL)
		return ERR_NO_MEMORY;
	proxy_routes_renew(proxy);
	listing->proxy = proxy;
	listing->from = context->from;
	schema_clear(&prices_get_schema, &prices);
	prices.key = in->key;
	prices.domain = in->domain;
	buf_reset(&proxy->scratch);
	schema_encode(&prices_get_schema, &prices, &proxy->scratch);
	ask.body = buf_str(&proxy->scratch);
	err = proxy->scratch.is_failed ? ERR_NO_MEMORY
				       : bus_ask(proxy->validate, &ask, &id);
	if (err != ERR_OK) {
		free(listing);
		return err;
	}
	proxy->models_count++;
	return ERR_AGAIN;
}
