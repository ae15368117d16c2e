/*
 * proxy_models: the models that a licence may use: those with a price, which
 * validate knows, of the providers that the vendor has a key for, which we
 * know.
 */
#include "workers/proxy.h"

#include <stdlib.h>

#define MODELS_BYTES_MAX (2u << 20)

struct listing {
	struct proxy *proxy;
	struct bus_from *from;
};

static enum err
filter(struct proxy *proxy, struct str body, struct arena *arena)
{
	struct prices_answer prices;
	struct models_answer models;
	uint32_t n = 0;
	enum err err =
	    schema_decode(&prices_answer_schema, body, &prices, arena, NULL);

	if (err != ERR_OK)
		return err;
	for (uint32_t i = 0; i < prices.models_count; i++) {
		const struct provider_row *row = providers_find(
		    &proxy->providers, prices.models[i].provider);

		if (row && provider_has_key(&proxy->providers, row))
			prices.models[n++] = prices.models[i];
	}
	schema_clear(&models_answer_schema, &models);
	models.models = prices.models;
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
