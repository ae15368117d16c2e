/*
 * providers: the table, and which rows are switched on. See providers.h.
 */
#include "workers/providers/providers.h"

#include "workers/providers/models.h"

/* clang-format off */
const struct provider_row provider_rows[PROVIDER_COUNT] = {
	{
		.name = "openai",
		.wire = &openai_wire,
		.key_name = "OPENAI_API_KEY",
		.key_at = offsetof(struct conf, openai_api_key),
		.base_url_at = offsetof(struct conf, openai_base_url),
		.key_header = "Authorization: Bearer ",
		.default_model = "gpt-4o-mini",
		.max_tokens_name = "max_completion_tokens",
		.models = {"gpt-*", "chatgpt-*", "o#*", "ft:gpt-*"},
	},
	{
		.name = "anthropic",
		.wire = &anthropic_wire,
		.key_name = "ANTHROPIC_API_KEY",
		.key_at = offsetof(struct conf, anthropic_api_key),
		.base_url_at = offsetof(struct conf, anthropic_base_url),
		.key_header = "x-api-key: ",
		.default_model = "claude-haiku-4-5",
		.max_tokens_name = "max_tokens",
		.models = {"claude-*"},
	},
	{
		.name = "deepseek",
		.wire = &openai_wire,
		.key_name = "DEEPSEEK_API_KEY",
		.key_at = offsetof(struct conf, deepseek_api_key),
		.base_url_at = offsetof(struct conf, deepseek_base_url),
		.key_header = "Authorization: Bearer ",
		.default_model = "deepseek-chat",
		.max_tokens_name = "max_tokens",
		.models = {"deepseek-*"},
	},
	{
		.name = "demo",
		.wire = &openai_wire,
		.key_name = NULL,
		.default_model = "demo",
		.max_tokens_name = "max_tokens",
		.models = {"demo*"},
	},
};
/* clang-format on */

void
provider_usage_clear(struct provider_usage *usage)
{
	*usage = (struct provider_usage){
	    PROVIDER_TOKENS_NONE, PROVIDER_TOKENS_NONE, PROVIDER_TOKENS_NONE,
	    PROVIDER_TOKENS_NONE, PROVIDER_TOKENS_NONE, PROVIDER_TOKENS_NONE};
}

bool
provider_usage_is_whole(const struct provider_usage *usage)
{
	return usage->prompt != PROVIDER_TOKENS_NONE &&
	       usage->output != PROVIDER_TOKENS_NONE;
}

const struct provider_row *
provider_of_name(struct str name)
{
	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		if (str_eq(name, str_of(provider_rows[i].name)))
			return &provider_rows[i];
	}
	return NULL;
}

const struct provider_row *
provider_of_model(struct str model)
{
	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		const struct provider_row *row = &provider_rows[i];

		for (unsigned j = 0;
		     j < PROVIDER_PATTERNS_MAX && row->models[j]; j++) {
			if (model_matches(model, str_of(row->models[j])))
				return row;
		}
	}
	return NULL;
}

/* --- which are on ---------------------------------------------------- */

static const char *
conf_text(const struct conf *conf, size_t at)
{
	const char *text;

	memcpy(&text, (const char *)conf + at, sizeof(text));
	return text ? text : "";
}

const char *
provider_conf_key(const struct provider_row *row, const struct conf *conf)
{
	return row->key_name ? conf_text(conf, row->key_at) : "";
}

enum err
providers_open(struct providers *providers, struct upstream *upstream,
	       const struct conf *conf, struct why *why)
{
	static const char *const headers[] = {
	    "Content-Type: application/json",
	    "Accept: application/json, text/event-stream",
	    NULL,
	};

	memset(providers, 0, sizeof(*providers));
	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		const struct provider_row *row = &provider_rows[i];
		enum err err;

		if (row->key_name == NULL)
			continue;
		err = upstream_target_open(&providers->targets[i], upstream,
					   conf_text(conf, row->base_url_at),
					   row->wire->path, headers, why);
		if (err == ERR_OK && row->wire->count_path)
			err = upstream_target_open(
			    &providers->counters[i], upstream,
			    conf_text(conf, row->base_url_at),
			    row->wire->count_path, headers, why);
		if (err == ERR_OK)
			err = upstream_target_open(
			    &providers->listers[i], upstream,
			    conf_text(conf, row->base_url_at),
			    row->wire->list_path, headers, why);
		if (err != ERR_OK) {
			providers_close(providers);
			return err;
		}
	}
	return ERR_OK;
}

void
providers_close(struct providers *providers)
{
	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		upstream_target_close(providers->targets[i]);
		upstream_target_close(providers->counters[i]);
		upstream_target_close(providers->listers[i]);
	}
	memset(providers, 0, sizeof(*providers));
}

static bool
is_keyless(const struct providers *providers)
{
	for (unsigned i = 0; i < PROVIDER_COUNT; i++)
		if (providers->has_key[i])
			return false;
	return true;
}

bool
provider_is_on(const struct providers *providers,
	       const struct provider_row *row)
{
	if (row->key_name)
		return true;
	return is_keyless(providers);
}

bool
provider_has_key(const struct providers *providers,
		 const struct provider_row *row)
{
	return row->key_name ? providers->has_key[row - provider_rows]
			     : is_keyless(providers);
}

struct upstream_target *
provider_target(const struct providers *providers,
		const struct provider_row *row)
{
	return providers->targets[row - provider_rows];
}

struct upstream_target *
provider_counter(const struct providers *providers,
		 const struct provider_row *row)
{
	return providers->counters[row - provider_rows];
}

const struct provider_row *
providers_first(const struct providers *providers)
{
	unsigned i = 0;

	while (i < PROVIDER_COUNT - 1 &&
	       !provider_has_key(providers, &provider_rows[i]))
		i++;
	return &provider_rows[i];
}
