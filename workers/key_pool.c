/*
 * key_pool: see key_pool.h.
 */
#include "workers/key_pool.h"

const struct key_rest_row key_rest_rows[KEY_RESTS] = {
#define KEY_REST(name, text, first_ms, longest_ms, takes_last, metric)         \
	{text, first_ms, longest_ms, takes_last, METRIC_##metric},
#include "workers/key_rests.def"
#undef KEY_REST
};

static void
take_text(char *to, struct str s)
{
	if (s.n)
		memcpy(to, s.p, s.n);
	to[s.n] = '\0';
}

bool
key_pool_add(struct key_pool *pool, unsigned provider, struct str name,
	     struct str text, int64_t weight)
{
	struct pool_key *key = &pool->keys[pool->count];

	if (pool->count == KEY_POOL_MAX || text.n >= sizeof(key->text) ||
	    name.n >= sizeof(key->name))
		return false;
	*key = (struct pool_key){.provider = provider,
				 .weight = weight < 1 ? 1 : weight};
	take_text(key->name, name);
	take_text(key->text, text);
	pool->count++;
	return true;
}

static bool
is_same(const struct pool_key *a, const struct pool_key *b)
{
	return a->provider == b->provider && strcmp(a->name, b->name) == 0 &&
	       strcmp(a->text, b->text) == 0;
}

/* Each index stands for the key that it stood for. */
static bool
has_same_keys(const struct key_pool *a, const struct key_pool *b)
{
	if (a->count != b->count)
		return false;
	for (unsigned i = 0; i < a->count; i++)
		if (!is_same(&a->keys[i], &b->keys[i]))
			return false;
	return true;
}

void
key_pool_replace(struct key_pool *pool, struct key_pool *to)
{
	to->generation = pool->generation + !has_same_keys(pool, to);
	for (unsigned i = 0; i < to->count; i++) {
		for (unsigned j = 0; j < pool->count; j++) {
			if (!is_same(&to->keys[i], &pool->keys[j]))
				continue;
			to->keys[i].rests_until_ms =
			    pool->keys[j].rests_until_ms;
			to->keys[i].rests = pool->keys[j].rests;
		}
	}
	key_pool_wipe(pool);
	*pool = *to;
	key_pool_wipe(to);
}

void
key_pool_wipe(struct key_pool *pool)
{
	explicit_bzero(pool, sizeof(*pool));
}

bool
key_pool_has(const struct key_pool *pool, unsigned provider)
{
	return key_pool_first_back(pool, provider) != KEY_POOL_NONE;
}

int
key_pool_first_back(const struct key_pool *pool, unsigned provider)
{
	int first = KEY_POOL_NONE;

	for (unsigned i = 0; i < pool->count; i++) {
		const struct pool_key *key = &pool->keys[i];

		if (key->provider == provider &&
		    (first < 0 ||
		     key->rests_until_ms < pool->keys[first].rests_until_ms))
			first = (int)i;
	}
	return first;
}

static bool
is_ready(const struct pool_key *key, unsigned provider, int64_t now_ms)
{
	return key->provider == provider && key->rests_until_ms <= now_ms;
}

int
key_pool_pick(const struct key_pool *pool, unsigned provider, int64_t now_ms,
	      uint64_t chance, int64_t *wait_ms)
{
	uint64_t total = 0;
	int first;

	for (unsigned i = 0; i < pool->count; i++)
		if (is_ready(&pool->keys[i], provider, now_ms))
			total += (uint64_t)pool->keys[i].weight;
	if (total == 0) {
		first = key_pool_first_back(pool, provider);
		if (first == KEY_POOL_NONE)
			return KEY_POOL_NONE;
		*wait_ms = pool->keys[first].rests_until_ms - now_ms;
		return KEY_POOL_RESTING;
	}
	chance %= total;
	for (unsigned i = 0; i < pool->count; i++) {
		const struct pool_key *key = &pool->keys[i];

		if (!is_ready(key, provider, now_ms))
			continue;
		if (chance < (uint64_t)key->weight)
			return (int)i;
		chance -= (uint64_t)key->weight;
	}
	return KEY_POOL_NONE; /* total was theirs: not reached */
}

static bool
is_last(const struct key_pool *pool, int index, int64_t now_ms)
{
	unsigned provider = pool->keys[index].provider;

	for (unsigned i = 0; i < pool->count; i++)
		if ((int)i != index &&
		    is_ready(&pool->keys[i], provider, now_ms))
			return false;
	return true;
}

int64_t
key_pool_rest(struct key_pool *pool, int index, enum key_rest why,
	      int64_t retry_after_ms, int64_t now_ms)
{
	const struct key_rest_row *row = &key_rest_rows[why];
	struct pool_key *key = &pool->keys[index];
	int64_t ms = row->first_ms;

	if (!row->takes_last && is_last(pool, index, now_ms))
		return 0;
	/* Others that were under way say the same thing again. */
	if (key->rests_until_ms <= now_ms)
		key->rests++;
	for (unsigned i = 1; i < key->rests && ms < row->longest_ms; i++)
		ms *= 2;
	if (retry_after_ms >= 0)
		ms = retry_after_ms;
	if (ms > row->longest_ms)
		ms = row->longest_ms;
	if (now_ms + ms > key->rests_until_ms)
		key->rests_until_ms = now_ms + ms;
	return ms;
}

void
key_pool_works(struct key_pool *pool, int index)
{
	pool->keys[index].rests = 0;
	pool->keys[index].rests_until_ms = 0;
}
