/*
 * providers: the table, and which rows are switched on. See providers.h.
 */
#include "workers/providers/providers.h"

#include <stdio.h>

#define HEADER_BYTES_MAX 1024

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
		.prefixes = {"gpt-", "chatgpt-", "o#", "ft:gpt-"},
	},
	{
		.name = "anthropic",
		.wire = NULL,
		.key_name = "ANTHROPIC_API_KEY",
		.key_at = offsetof(struct conf, anthropic_api_key),
		.base_url_at = offsetof(struct conf, anthropic_base_url),
		.key_header = "x-api-key: ",
		.default_model = NULL,
		.max_tokens_name = "max_tokens",
		.prefixes = {"claude-"},
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
		.prefixes = {"deepseek-"},
	},
	{
		.name = "demo",
		.wire = &openai_wire,
		.key_name = NULL,
		.default_model = "demo",
		.max_tokens_name = "max_tokens",
		.prefixes = {"demo"},
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

static bool
has_prefix(struct str model, const char *prefix)
{
	size_t i = 0;

	for (; prefix[i]; i++) {
		if (i == model.n)
			return false;
		if (prefix[i] == '#' ? model.p[i] < '0' || model.p[i] > '9'
				     : model.p[i] != prefix[i])
			return false;
	}
	return true;
}

const struct provider_row *
provider_of_model(struct str model)
{
	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		const struct provider_row *row = &provider_rows[i];

		for (unsigned j = 0;
		     j < PROVIDER_PREFIXES_MAX && row->prefixes[j]; j++) {
			if (has_prefix(model, row->prefixes[j]))
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

static enum err
target_open(struct providers *providers, unsigned i, struct upstream *upstream,
	    const struct conf *conf, struct why *why)
{
	const struct provider_row *row = &provider_rows[i];
	const char *key = conf_text(conf, row->key_at);
	const char *base = conf_text(conf, row->base_url_at);
	char key_header[HEADER_BYTES_MAX];
	const char *headers[] = {
	    key_header,
	    "Content-Type: application/json",
	    "Accept: application/json, text/event-stream",
	    NULL,
	};
	int n = snprintf(key_header, sizeof(key_header), "%s%s",
			 row->key_header, key);
	enum err err;

	if (n < 0 || (size_t)n >= sizeof(key_header))
		err = why_set(why, ERR_CONFIG, "%s is too long", row->key_name);
	else
		err = upstream_target_open(&providers->targets[i], upstream,
					   base, row->wire->path, headers, why);
	explicit_bzero(key_header, sizeof(key_header));
	return err;
}

enum err
providers_open(struct providers *providers, struct upstream *upstream,
	       const struct conf *conf, struct why *why)
{
	bool is_any_on = false;

	memset(providers, 0, sizeof(*providers));
	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		const struct provider_row *row = &provider_rows[i];
		enum err err;

		if (row->key_name == NULL || row->wire == NULL ||
		    conf_text(conf, row->key_at)[0] == '\0')
			continue;
		err = target_open(providers, i, upstream, conf, why);
		if (err != ERR_OK) {
			providers_close(providers);
			return err;
		}
		providers->is_on[i] = true;
		is_any_on = true;
	}
	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		if (provider_rows[i].key_name == NULL)
			providers->is_on[i] = !is_any_on;
	}
	return ERR_OK;
}

void
providers_close(struct providers *providers)
{
	for (unsigned i = 0; i < PROVIDER_COUNT; i++)
		upstream_target_close(providers->targets[i]);
	memset(providers, 0, sizeof(*providers));
}

bool
provider_is_on(const struct providers *providers,
	       const struct provider_row *row)
{
	return providers->is_on[row - provider_rows];
}

struct upstream_target *
provider_target(const struct providers *providers,
		const struct provider_row *row)
{
	return providers->targets[row - provider_rows];
}

const struct provider_row *
providers_first(const struct providers *providers)
{
	unsigned i = 0;

	while (i < PROVIDER_COUNT - 1 && !providers->is_on[i])
		i++;
	return &provider_rows[i];
}
