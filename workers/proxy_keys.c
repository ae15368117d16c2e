/*
 * proxy_keys: which key a call gets. A customer's own comes sealed with the
 * reservation and is used for that request alone; the vendor's are those of the
 * settings and those that the ledger has, asked for at the start and whenever
 * a reservation says that they are others now. One that a provider refuses is
 * put aside for a while, and the next one is taken.
 *
 * Always holds: a request with a customer's key never gets one of the vendor's;
 * a key goes to its provider's base URL and nowhere else, in no log and in no
 * message.
 */
#include "lib/clock.h"
#include "lib/id.h"
#include "lib/log.h"
#include "workers/proxy.h"

#include <inttypes.h>
#include <stdio.h>

#define ARENA_BYTES_MAX (1u << 20)
#define CONF_KEY_NAME STR("environment")

static void keys_ask(void *ctx);

/* --- the vendor's -------------------------------------------------------- */

static void
pool_take(struct proxy *proxy, struct key_pool *next)
{
	key_pool_replace(&proxy->keys.pool, next);
	for (unsigned i = 0; i < PROVIDERS_ALL; i++)
		proxy->providers.has_key[i] =
		    key_pool_has(&proxy->keys.pool, i);
	for (unsigned i = 0; i < proxy->providers.slot_count; i++) {
		const struct provider_slot *slot = &proxy->providers.slots[i];

		if (slot->is_on && slot->row.key_header == NULL)
			proxy->providers.has_key[slot->row.index] = true;
	}
}

static enum err
add_conf_keys(const struct proxy *proxy, struct key_pool *pool, struct why *why)
{
	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		const struct provider_row *row = &provider_rows[i];
		const char *key = provider_conf_key(row, proxy->conf);
		const char *reason;

		if (key[0] == '\0')
			continue;
		if (!provider_key_is_valid(str_of(key), &reason))
			return why_set(why, ERR_CONFIG, "%s: %s", row->key_name,
				       reason);
		if (!key_pool_add(pool, i, CONF_KEY_NAME, str_of(key), 1))
			return ERR_INTERNAL; /* there is room for these */
	}
	return ERR_OK;
}

static void
add_sealed_key(const struct proxy *proxy, const struct sealed_key *sealed,
	       struct arena *arena, struct key_pool *pool)
{
	const struct provider_row *row =
	    providers_find(&proxy->providers, sealed->provider);
	struct str identity = provider_key_identity(
	    PROVIDER_KEY_VENDOR, sealed->provider, sealed->name, arena);
	struct str key;
	enum err err;

	if (row == NULL || row->key_header == NULL)
		return;
	err = crypto_open_sealed(proxy->keys.crypto, sealed->sealed_key,
				 identity, arena, &key);
	if (err != ERR_OK) {
		log_error("provider-key-unreadable",
			  "provider=%s name=%.*s error=%s", row->name,
			  STR_ARG(sealed->name), err_code(err));
		return;
	}
	if (!key_pool_add(pool, row->index, sealed->name, key, sealed->weight))
		log_error("provider-key-left-out", "provider=%s name=%.*s",
			  row->name, STR_ARG(sealed->name));
	crypto_forget(key);
}

/* Those that wait go on behind this, one by one. */
static void
wake_waiting(struct proxy *proxy)
{
	for (struct job *job = proxy->jobs; job; job = job->next)
		if (job->is_waiting_for_key && job->stage == JOB_CALLING)
			loop_timer_set(proxy->loop, &job->step, 0,
				       job_call_once, job);
}

/* The routes keep what was said; keys are opened beside it. */
static void
keys_use(struct proxy *proxy, struct key_pool *next,
	 const struct vendor_keys *said, struct arena *said_in)
{
	struct arena arena;

	proxy_routes_take(proxy, said, said_in);
	arena_init(&arena, ARENA_BYTES_MAX);
	for (uint32_t i = 0; i < said->keys_count; i++)
		add_sealed_key(proxy, &said->keys[i], &arena, next);
	arena_fini(&arena);
	pool_take(proxy, next);
	if (proxy->keys.version != said->version)
		log_info("provider-keys",
			 "count=%u providers=%u routes=%u version=%" PRId64,
			 proxy->keys.pool.count, said->providers_count,
			 said->routes_count, said->version);
	proxy->keys.version = said->version;
}

static enum err
keys_take(struct proxy *proxy, struct str body)
{
	struct key_pool next = {.count = 0};
	struct vendor_keys said;
	struct arena arena;
	struct why why;
	enum err err;

	arena_init(&arena, ARENA_BYTES_MAX);
	body = arena_str(&arena, body);
	err = body.p ? schema_decode(&vendor_keys_schema, body, &said, &arena,
				     NULL)
		     : ERR_NO_MEMORY;
	if (err == ERR_OK)
		err = add_conf_keys(proxy, &next, &why);
	if (err == ERR_OK)
		keys_use(proxy, &next, &said, &arena);
	else
		arena_fini(&arena);
	key_pool_wipe(&next);
	return err;
}

static void
on_keys(void *ctx, const struct bus_answer *answer)
{
	struct proxy *proxy = ctx;
	struct proxy_keys *keys = &proxy->keys;
	enum err err = answer->err;

	keys->ask_id = 0;
	if (err == ERR_OK)
		err = keys_take(proxy, answer->body);
	if (err == ERR_OK) {
		keys->is_asking = false;
		wake_waiting(proxy);
		proxy_routes_wake(proxy);
		proxy_prove_keys(proxy);
		return;
	}
	if (!ledger_is_away(err))
		log_error("provider-keys-unknown", "error=%s", err_code(err));
	loop_timer_set(proxy->loop, &keys->again, proxy_backoff_ms(keys->asks),
		       keys_ask, proxy);
}

static void
keys_ask(void *ctx)
{
	struct proxy *proxy = ctx;
	struct proxy_keys *keys = &proxy->keys;
	struct vendor_keys_get get = {false};
	struct bus_ask ask = {
	    .type = MSG_vendor_keys_get,
	    .is_repeatable = true,
	    .deadline_ms = PROXY_ASK_MS,
	    .fn = on_keys,
	    .ctx = proxy,
	};
	uint64_t id = 0;
	enum err err;

	buf_reset(&proxy->scratch);
	schema_encode(&vendor_keys_get_schema, &get, &proxy->scratch);
	ask.body = buf_str(&proxy->scratch);
	keys->is_asking = true;
	keys->asks++;
	err = proxy->scratch.is_failed ? ERR_NO_MEMORY
				       : bus_ask(proxy->usage, &ask, &id);
	keys->ask_id = err == ERR_OK ? id : 0;
	if (err != ERR_OK)
		loop_timer_set(proxy->loop, &keys->again,
			       proxy_backoff_ms(keys->asks), keys_ask, proxy);
}

void
proxy_keys_renew(struct proxy *proxy)
{
	if (proxy->keys.is_asking)
		return;
	proxy->keys.asks = 0;
	keys_ask(proxy);
}

void
proxy_keys_heard(struct proxy *proxy, int64_t version)
{
	if (version != proxy->keys.version)
		proxy_keys_renew(proxy);
}

enum err
proxy_key_next(struct context *context, const void *in_, void *out)
{
	const struct key_next *in = in_;
	struct proxy *proxy = context->state;
	enum err err =
	    crypto_take_next(proxy->keys.crypto, in->next_provider_keys);

	(void)out;
	if (err == ERR_STORE_CORRUPT) {
		context->failure.message =
		    STR("the proxy runs with another master key than the file "
			"has: restart it");
		return ERR_CONFLICT;
	}
	return err;
}

enum err
proxy_keys_open(struct proxy *proxy, struct why *why)
{
	struct key_pool pool = {.count = 0};
	enum err err;

	proxy->keys.version = SCHEMA_INT_NONE;
	err = crypto_open_provider_keys(&proxy->keys.crypto,
					proxy->conf->master_key_file, why);
	if (err == ERR_OK)
		err = add_conf_keys(proxy, &pool, why);
	if (err == ERR_OK) {
		pool_take(proxy, &pool);
		keys_ask(proxy);
	}
	key_pool_wipe(&pool);
	return err;
}

void
proxy_keys_close(struct proxy *proxy)
{
	struct proxy_keys *keys = &proxy->keys;

	loop_timer_clear(proxy->loop, &keys->again);
	if (keys->ask_id)
		bus_cancel(proxy->bus, keys->ask_id);
	crypto_close(keys->crypto);
	key_pool_wipe(&keys->pool);
}

/* --- one request's ------------------------------------------------------- */

void
job_own_key(struct job *job, const struct reserved *reserved)
{
	struct str identity, key;
	struct arena arena;
	enum err err = ERR_NO_MEMORY;

	job->has_own_key = reserved->own_key.p != NULL;
	if (!job->has_own_key)
		return;
	arena_init(&arena, 65536);
	identity = provider_key_identity(reserved->own_key_owner,
					 str_of(job->row->name),
					 PROVIDER_KEY_OWN, &arena);
	if (identity.p)
		err = crypto_open_sealed(job->proxy->keys.crypto,
					 reserved->own_key, identity, &arena,
					 &key);
	if (err == ERR_OK && key.n < sizeof(job->own_key_text)) {
		job_keep(job->own_key_text, sizeof(job->own_key_text), key);
		crypto_forget(key);
	} else {
		JOB_WARN(job, "own-key-unreadable", "provider=%s error=%s",
			 job->row->name, err_code(err));
	}
	arena_fini(&arena);
}

static void
header_write(const struct job *job, const char *key,
	     char header[PROXY_KEY_HEADER_BYTES])
{
	snprintf(header, PROXY_KEY_HEADER_BYTES, "%s%s", job->row->key_header,
		 key);
}

/* A key may have come or gone since: they are being asked for. Once, and not
 * for long. */
static bool
wait_for_key(struct job *job)
{
	const struct proxy_keys *keys = &job->proxy->keys;

	if (!keys->is_asking || job->has_waited_for_key)
		return false;
	job->is_waiting_for_key = job->has_waited_for_key = true;
	job->tries--;
	loop_timer_set(job->proxy->loop, &job->step, PROXY_ASK_MS,
		       job_call_once, job);
	return true;
}

bool
job_waits_for_news(struct job *job)
{
	return job->reserved.keys_version != job->proxy->keys.version &&
	       wait_for_key(job);
}

static void
fail_without_key(struct job *job, int picked, int64_t wait_ms)
{
	char text[160];

	if (picked == KEY_POOL_RESTING && job_fall_back(job))
		return;
	if (picked == KEY_POOL_RESTING) {
		job_fail(job, ERR_KEYS_RESTING, NULL, wait_ms);
		return;
	}
	snprintf(text, sizeof(text),
		 "the provider %s is not switched on: the vendor sets a key "
		 "with `chatello key set %s`",
		 job->row->name, job->row->name);
	job_fail(job, ERR_MODEL_UNKNOWN, text, 0);
}

static int
pick(const struct job *job, int64_t *wait_ms)
{
	const struct key_pool *pool = &job->proxy->keys.pool;
	unsigned provider = job->row->index;
	uint64_t chance;
	int index;

	id_random(&chance, sizeof(chance));
	index = key_pool_pick(pool, provider, clock_mono_ms(), chance, wait_ms);
	/* Its own retry has waited as the provider wished. */
	if (index == KEY_POOL_RESTING && job->tries > 1)
		index = key_pool_first_back(pool, provider);
	return index;
}

bool
job_key_take(struct job *job, char header[PROXY_KEY_HEADER_BYTES])
{
	const struct key_pool *pool = &job->proxy->keys.pool;
	int64_t wait_ms = 0;
	int index;

	job->is_waiting_for_key = false;
	header[0] = '\0';
	if (job->row->key_header == NULL)
		return true;
	if (job->has_own_key && job->own_key_text[0] == '\0') {
		job_fail(job, ERR_STORE_CORRUPT,
			 "your own key cannot be read here: set it again", 0);
		return false;
	}
	if (job->has_own_key) {
		header_write(job, job->own_key_text, header);
		return true;
	}
	index = pick(job, &wait_ms);
	if (index < 0 && !(index == KEY_POOL_NONE && wait_for_key(job)))
		fail_without_key(job, index, wait_ms);
	if (index < 0)
		return false;
	job->key_index = index;
	job->key_generation = pool->generation;
	header_write(job, pool->keys[index].text, header);
	return true;
}

/* The key that was used is still the one at its place. */
static bool
has_pool_key(const struct job *job)
{
	return job->row->key_header && !job->has_own_key &&
	       job->key_generation == job->proxy->keys.pool.generation;
}

void
job_key_works(struct job *job)
{
	if (has_pool_key(job))
		key_pool_works(&job->proxy->keys.pool, job->key_index);
}

bool
job_key_is_in(const struct job *job, struct str text)
{
	const struct key_pool *pool = &job->proxy->keys.pool;
	bool is_in = false;

	if (text.n == 0)
		return false;
	if (job->has_own_key)
		return memmem(text.p, text.n, job->own_key_text,
			      strlen(job->own_key_text)) != NULL;
	for (unsigned i = 0; i < pool->count && !is_in; i++)
		is_in = memmem(text.p, text.n, pool->keys[i].text,
			       strlen(pool->keys[i].text)) != NULL;
	return is_in;
}

static enum key_rest
reason_of(int status, enum provider_verdict verdict)
{
	if (verdict == PROVIDER_LIMIT)
		return KEY_REST_LIMITED;
	if (status == 401)
		return KEY_REST_REFUSED;
	return status == 403 ? KEY_REST_FORBIDDEN : KEY_REST_NO_BALANCE;
}

static bool
own_key_refused(struct job *job, enum provider_verdict verdict)
{
	char text[200];

	if (verdict != PROVIDER_ALARM)
		return false;
	snprintf(text, sizeof(text),
		 "the AI provider refuses your own key (status %d): check its "
		 "rights and balance, set another with PUT /api/keys/%s, or "
		 "delete it",
		 job->status, job->row->name);
	job_fail(job, ERR_OWN_KEY_REFUSED, text, 0);
	return true;
}

static bool
next_key(struct job *job)
{
	int64_t wait_ms;

	if (job->switches == PROXY_SWITCHES_MAX ||
	    key_pool_pick(&job->proxy->keys.pool, job->row->index,
			  clock_mono_ms(), 0, &wait_ms) < 0)
		return false;
	job->switches++;
	job->tries--;
	loop_timer_set(job->proxy->loop, &job->step, 0, job_call_once, job);
	return true;
}

bool
job_key_refused(struct job *job, enum provider_verdict verdict)
{
	struct key_pool *pool = &job->proxy->keys.pool;
	enum key_rest why = reason_of(job->status, verdict);
	int64_t ms;

	if (verdict != PROVIDER_ALARM && verdict != PROVIDER_LIMIT)
		return false;
	if (job->has_own_key)
		return own_key_refused(job, verdict);
	if (!has_pool_key(job))
		return false;
	ms = key_pool_rest(pool, job->key_index, why, job->retry_after_ms,
			   clock_mono_ms());
	if (ms == 0)
		return false;
	metrics_add(key_rest_rows[why].metric, 1);
	JOB_WARN(job, "provider-key-rests",
		 "provider=%s name=%s reason=%s status=%d ms=%" PRId64,
		 job->row->name, pool->keys[job->key_index].name,
		 key_rest_rows[why].text, job->status, ms);
	return next_key(job);
}
