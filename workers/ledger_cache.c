/*
 * ledger_cache: plans, workspaces and prices, decoded once. They are read by
 * every request and written by hand, so a write drops the whole cache. Used by
 * the ledger's handlers only; what it hands out never outlives the request.
 */
#include "workers/ledger_parts.h"

#include "workers/providers/models.h"

#include <stdlib.h>

#define SLOTS 1024u /* a power of two */
#define ENTRIES_MAX 512u
#define BYTES_MAX (8u << 20)
/* What one request may add: a workspace, a plan, two prices of a model and of
 * each of its fallbacks. */
#define ENTRIES_ROOM 16u
#define BYTES_ROOM (256u << 10)

struct slot {
	uint64_t hash;
	struct str key;
	void *record; /* NULL = free */
};

struct ledger_cache {
	struct arena arena;
	size_t count;
	bool was_dropped;
	struct slot slots[SLOTS];
};

enum err
ledger_cache_open(struct ledger_cache **out)
{
	struct ledger_cache *cache = calloc(1, sizeof(*cache));

	if (cache == NULL)
		return ERR_NO_MEMORY;
	arena_init(&cache->arena, BYTES_MAX);
	*out = cache;
	return ERR_OK;
}

void
ledger_cache_close(struct ledger_cache *cache)
{
	if (cache == NULL)
		return;
	arena_fini(&cache->arena);
	free(cache);
}

static void
empty(struct ledger_cache *cache)
{
	if (cache->count)
		memset(cache->slots, 0, sizeof(cache->slots));
	cache->count = 0;
	arena_reset(&cache->arena);
}

void
ledger_cache_trim(struct ledger_cache *cache)
{
	if (cache->count > ENTRIES_MAX - ENTRIES_ROOM ||
	    cache->arena.used_bytes > BYTES_MAX - BYTES_ROOM)
		empty(cache);
	cache->was_dropped = false;
}

void
ledger_cache_drop(struct ledger *ledger)
{
	empty(ledger->cache);
	ledger->cache->was_dropped = true;
	counters_hasten(ledger->counters);
}

bool
ledger_cache_was_dropped(const struct ledger_cache *cache)
{
	return cache->was_dropped;
}

/* FNV-1a. */
static uint64_t
hash_of(struct str s)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < s.n; i++)
		hash = (hash ^ (unsigned char)s.p[i]) * UINT64_C(1099511628211);
	return hash;
}

/* The slot of the key, or the free one where it belongs. */
static struct slot *
slot_of(struct ledger_cache *cache, uint64_t hash, struct str key)
{
	size_t i = hash & (SLOTS - 1);

	while (cache->slots[i].record && !(cache->slots[i].hash == hash &&
					   str_eq(cache->slots[i].key, key)))
		i = (i + 1) & (SLOTS - 1);
	return &cache->slots[i];
}

/* *record of `bytes` bytes, that begins with what schema describes; *is_new:
 * it was just decoded. NO_SUCH when there is none. */
static enum err
cached(struct ledger *ledger, const struct key *key,
       const struct schema *schema, size_t bytes, void **record, bool *is_new)
{
	struct ledger_cache *cache = ledger->cache;
	uint64_t hash = hash_of(key_str(key));
	struct slot *slot = slot_of(cache, hash, key_str(key));
	struct str raw, own;
	enum err e;

	*is_new = slot->record == NULL;
	*record = slot->record;
	if (slot->record)
		return ERR_OK;
	if (cache->count == ENTRIES_MAX)
		return ERR_NO_MEMORY;
	e = group_load_bytes(ledger->group, key, &raw, &cache->arena);
	if (e == ERR_OK && raw.p == NULL)
		e = ERR_NO_SUCH;
	if (e != ERR_OK)
		return e;
	own = arena_str(&cache->arena, key_str(key));
	raw = arena_str(&cache->arena, raw); /* the group's may go */
	*record = arena_alloc(&cache->arena, bytes);
	if (own.p == NULL || raw.p == NULL || *record == NULL)
		return ERR_NO_MEMORY;
	e = schema_decode(schema, raw, *record, &cache->arena, NULL);
	if (e != ERR_OK)
		return ERR_STORE_CORRUPT;
	*slot = (struct slot){hash, own, *record};
	cache->count++;
	return ERR_OK;
}

enum err
ledger_workspace(struct ledger *ledger, struct str code,
		 struct ledger_workspace **out)
{
	struct ledger_workspace *workspace;
	struct key key;
	void *record;
	bool is_new;
	enum err e;

	if (str_is_empty(code))
		code = DEFAULT_WORKSPACE;
	if (!str_is_plain(code))
		return ERR_WORKSPACE_UNKNOWN;
	key_workspace(&key, code);
	e = cached(ledger, &key, &workspace_schema, sizeof(*workspace), &record,
		   &is_new);
	if (e != ERR_OK)
		return e == ERR_NO_SUCH ? ERR_WORKSPACE_UNKNOWN : e;
	workspace = record;
	if (is_new) {
		struct str zone = workspace->record.timezone;

		memcpy(workspace->zone, zone.n ? zone.p : "UTC",
		       zone.n ? zone.n : sizeof("UTC"));
		workspace->is_enforced =
		    !str_eq(workspace->record.enforcement, STR("log"));
		workspace->has_limits = workspace->record.limits_count > 0;
		limits_clear(&workspace->limits);
		limits_read(workspace->record.limits,
			    workspace->record.limits_count, &workspace->limits);
	}
	*out = workspace;
	return ERR_OK;
}

enum err
ledger_plan(struct ledger *ledger, struct str workspace, struct str code,
	    const struct plan **out)
{
	const struct ledger_plan *plan;
	enum err e = ledger_plan_limits(ledger, workspace, code, &plan);

	if (e == ERR_OK)
		*out = &plan->record;
	return e;
}

enum err
ledger_plan_limits(struct ledger *ledger, struct str workspace, struct str code,
		   const struct ledger_plan **out)
{
	struct ledger_plan *plan;
	struct key key;
	void *record;
	bool is_new;
	enum err e;

	if (!str_is_plain(workspace) || !str_is_plain(code))
		return ERR_PLAN_UNKNOWN;
	key_plan(&key, workspace, code);
	e = cached(ledger, &key, &plan_schema, sizeof(*plan), &record, &is_new);
	if (e != ERR_OK)
		return e == ERR_NO_SUCH ? ERR_PLAN_UNKNOWN : e;
	plan = record;
	if (is_new) {
		limits_clear(&plan->limits);
		plan->limits.requests_hour = RULES_REQUESTS_HOUR_DEFAULT;
		limits_read(plan->record.limits, plan->record.limits_count,
			    &plan->limits);
	}
	*out = plan;
	return ERR_OK;
}

struct model_prices {
	struct price record;
	struct prices prices;
};

static enum err
exact_price(struct ledger *ledger, struct str provider, struct str model,
	    int64_t at_ms, const struct price_period **out)
{
	struct model_prices *model_prices;
	const struct price_period *period;
	struct key key;
	void *record;
	bool is_new;
	enum err e;

	key_price(&key, provider, model);
	e = cached(ledger, &key, &price_schema, sizeof(*model_prices), &record,
		   &is_new);
	if (e != ERR_OK)
		return e;
	model_prices = record;
	if (is_new)
		prices_load(&model_prices->record, &model_prices->prices);
	period = prices_at(&model_prices->prices, at_ms);
	if (period == NULL)
		return ERR_NO_SUCH;
	*out = period;
	return ERR_OK;
}

enum err
ledger_price(struct ledger *ledger, struct str provider, struct str model,
	     int64_t at_ms, const struct price_period **out)
{
	struct str undated = model_undated(model);
	enum err e;

	if (!str_is_plain(provider) || !str_is_plain(model))
		return ERR_MODEL_NOT_PRICED;
	e = exact_price(ledger, provider, model, at_ms, out);
	if (e == ERR_NO_SUCH && undated.n != model.n)
		e = exact_price(ledger, provider, undated, at_ms, out);
	return e == ERR_NO_SUCH ? ERR_MODEL_NOT_PRICED : e;
}

int64_t
ledger_window_start(struct ledger_workspace *workspace,
		    enum calendar_window window, int64_t ms)
{
	struct ledger_window *known = window == WINDOW_HOUR ? &workspace->hour
				      : window == WINDOW_DAY
					  ? &workspace->day
					  : &workspace->month;

	if (ms < known->start_ms || ms >= known->end_ms)
		calendar_window(window, ms, workspace->zone, &known->start_ms,
				&known->end_ms);
	return known->start_ms;
}
