/*
 * providers: the table, and which rows are switched on. See providers.h.
 */
#include "workers/providers/providers.h"

#include <stdio.h>

enum {
#define PROVIDER(id, ...) AT_##id,
#include "lib/providers.def"
#undef PROVIDER
	AT_demo
};

const struct provider_row provider_rows[PROVIDER_COUNT] = {
#define PROVIDER(id, ID, shape, auth, header, model, limit)                    \
	{                                                                      \
	    .name = #id,                                                       \
	    .index = AT_##id,                                                  \
	    .wire = &shape##_wire,                                             \
	    .key_name = #ID "_API_KEY",                                        \
	    .key_at = offsetof(struct conf, id##_api_key),                     \
	    .base_url_at = offsetof(struct conf, id##_base_url),               \
	    .key_header = (header),                                            \
	    .default_model = (model),                                          \
	    .max_tokens_name = (limit),                                        \
	},
#include "lib/providers.def"
#undef PROVIDER
    {
	.name = "demo",
	.index = AT_demo,
	.wire = &openai_wire,
	.is_inside = true,
	.default_model = "demo",
	.max_tokens_name = "max_tokens",
    },
};

void
provider_usage_clear(struct provider_usage *usage)
{
	*usage = (struct provider_usage){
	    PROVIDER_TOKENS_NONE, PROVIDER_TOKENS_NONE, PROVIDER_TOKENS_NONE,
	    PROVIDER_TOKENS_NONE, PROVIDER_TOKENS_NONE, PROVIDER_TOKENS_NONE};
}

void
provider_take_tokens(struct json_value value, int64_t *out)
{
	int64_t n;

	if (value.type != JSON_NUMBER)
		return;
	if (json_int(value, &n) && n >= 0 && n <= PROVIDER_TOKENS_MAX)
		*out = n;
	else
		*out = PROVIDER_TOKENS_NONE;
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

/* Those of one provider. */
static enum err
targets_open(struct providers *providers, const struct provider_row *row,
	     const char *base, struct why *why)
{
	static const char *const headers[] = {
	    "Content-Type: application/json",
	    "Accept: application/json, text/event-stream",
	    NULL,
	};
	const struct {
		struct upstream_target **at;
		const char *path;
	} rows[] = {{&providers->targets[row->index], row->wire->path},
		    {&providers->counters[row->index], row->wire->count_path},
		    {&providers->listers[row->index], row->wire->list_path}};
	enum err err = ERR_OK;

	for (unsigned i = 0; i < 3 && err == ERR_OK; i++)
		if (rows[i].path)
			err = upstream_target_open(rows[i].at,
						   providers->upstream, base,
						   rows[i].path, headers, why);
	return err;
}

static void
targets_close(struct providers *providers, unsigned index)
{
	upstream_target_close(providers->targets[index]);
	upstream_target_close(providers->counters[index]);
	upstream_target_close(providers->listers[index]);
	providers->targets[index] = NULL;
	providers->counters[index] = NULL;
	providers->listers[index] = NULL;
	providers->breakers[index] = (struct breaker){0};
}

enum err
providers_open(struct providers *providers, struct upstream *upstream,
	       const struct conf *conf, struct why *why)
{
	memset(providers, 0, sizeof(*providers));
	providers->upstream = upstream;
	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		const struct provider_row *row = &provider_rows[i];
		enum err err = ERR_OK;

		if (!row->is_inside)
			err = targets_open(providers, row,
					   conf_text(conf, row->base_url_at),
					   why);
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
	for (unsigned i = 0; i < PROVIDERS_ALL; i++)
		targets_close(providers, i);
	memset(providers, 0, sizeof(*providers));
}

/* --- those of the settings ------------------------------------------- */

/* The one that has or had the name, else a new one; NULL: there is no more
 * room until the process starts again. */
static struct provider_slot *
slot_of(struct providers *providers, struct str name)
{
	struct provider_slot *slot = providers->slots;

	for (unsigned i = 0; i < providers->slot_count; i++, slot++)
		if (str_eq(name, str_of(slot->name)))
			return slot;
	if (providers->slot_count == PROVIDER_SLOTS ||
	    name.n >= sizeof(slot->name))
		return NULL;
	memcpy(slot->name, name.p, name.n);
	slot->row = (struct provider_row){
	    .name = slot->name,
	    .index = PROVIDER_COUNT + providers->slot_count,
	    .wire = &openai_wire,
	    .default_model = slot->default_model,
	    .max_tokens_name = "max_tokens",
	};
	providers->slot_count++;
	return slot;
}

static const char *
header_of(struct str auth)
{
	if (str_eq(auth, STR("bearer")))
		return "Authorization: Bearer ";
	return str_eq(auth, STR("api-key")) ? "api-key: " : NULL;
}

static enum err
slot_take(struct providers *providers, struct provider_slot *slot,
	  const struct provider_setting *setting, struct why *why)
{
	unsigned index = slot->row.index;
	bool is_same = str_eq(setting->base_url, str_of(slot->base_url)) &&
		       providers->targets[index];

	snprintf(slot->base_url, sizeof(slot->base_url), "%.*s",
		 STR_ARG(setting->base_url));
	snprintf(slot->default_model, sizeof(slot->default_model), "%.*s",
		 STR_ARG(setting->default_model));
	slot->row.key_header = header_of(setting->auth);
	slot->is_on = true;
	if (is_same)
		return ERR_OK;
	targets_close(providers, index);
	return targets_open(providers, &slot->row, slot->base_url, why);
}

enum err
providers_take(struct providers *providers,
	       const struct provider_setting *settings, size_t count,
	       struct why *why)
{
	enum err first = ERR_OK;

	for (unsigned i = 0; i < providers->slot_count; i++)
		providers->slots[i].is_on = false;
	for (size_t i = 0; i < count; i++) {
		struct provider_slot *slot =
		    slot_of(providers, settings[i].name);
		struct why reason = {"", ""};
		enum err err =
		    slot ? slot_take(providers, slot, &settings[i], &reason)
			 : why_set(&reason, ERR_NO_MEMORY,
				   "too many have been set since the start");

		if (err == ERR_OK || first != ERR_OK)
			continue;
		first = why_set(why, err, "%.*s: %s", STR_ARG(settings[i].name),
				reason.text);
	}
	for (unsigned i = 0; i < providers->slot_count; i++)
		if (!providers->slots[i].is_on)
			targets_close(providers, PROVIDER_COUNT + i);
	return first;
}

const struct provider_row *
providers_find(const struct providers *providers, struct str name)
{
	const struct provider_row *row = provider_of_name(name);

	for (unsigned i = 0; row == NULL && i < providers->slot_count; i++)
		if (providers->slots[i].is_on &&
		    str_eq(name, str_of(providers->slots[i].name)))
			row = &providers->slots[i].row;
	return row;
}

const struct provider_row *
providers_at(const struct providers *providers, unsigned index)
{
	return index < PROVIDER_COUNT
		   ? &provider_rows[index]
		   : &providers->slots[index - PROVIDER_COUNT].row;
}

/* --- which can be called --------------------------------------------- */

static bool
is_keyless(const struct providers *providers)
{
	for (unsigned i = 0; i < PROVIDER_COUNT + providers->slot_count; i++)
		if (providers->has_key[i])
			return false;
	return true;
}

bool
provider_is_on(const struct providers *providers,
	       const struct provider_row *row)
{
	if (row->is_inside)
		return is_keyless(providers);
	return providers->targets[row->index] != NULL;
}

bool
provider_has_key(const struct providers *providers,
		 const struct provider_row *row)
{
	return row->is_inside ? is_keyless(providers)
			      : providers->has_key[row->index];
}

struct upstream_target *
provider_target(const struct providers *providers,
		const struct provider_row *row)
{
	return providers->targets[row->index];
}

struct upstream_target *
provider_counter(const struct providers *providers,
		 const struct provider_row *row)
{
	return providers->counters[row->index];
}

const struct provider_row *
providers_first(const struct providers *providers)
{
	const struct provider_row *inside = NULL;

	for (unsigned i = 0; i < PROVIDER_COUNT + providers->slot_count; i++) {
		const struct provider_row *row = providers_at(providers, i);

		if (row->is_inside)
			inside = row;
		else if (provider_has_key(providers, row) &&
			 provider_is_on(providers, row) &&
			 row->default_model[0])
			return row;
	}
	return inside;
}
