/*
 * proxy_prove: `chatello key test`: asks the provider of each of the vendor's
 * keys for its list of models, which costs nothing and needs the key. The
 * ledger is asked for the keys first, so that one that was just set is there.
 * See proxy.h.
 *
 * Always holds: no byte of a key is in what is answered or logged; nothing here
 * puts a key aside or brings it back, for a key that is known may still be out
 * of balance.
 */
#include "workers/proxy.h"

#include <stdio.h>
#include <stdlib.h>

#define PROVE_MS 10000
#define KEYS_MS 2000 /* for the ledger to say which keys there are */
#define REASON_BYTES_MAX 320u
#define ANTHROPIC_EXTRA STR("anthropic-version: " ANTHROPIC_VERSION "\0")

struct proof {
	struct proving *proving;
	struct pool_key key; /* a copy: the pool may change meanwhile */
	struct upstream_call *call;
	int status;    /* 0 = no head yet */
	struct buf in; /* of an answer that is no 2xx */
	const char *outcome;
	char masked[16];
	char reason[REASON_BYTES_MAX];
};

struct proving {
	struct proxy *proxy;
	struct proving *next;
	struct bus_from *from;
	struct str provider, name; /* absent = all */
	char provider_text[33], name_text[65];
	bool is_waiting_for_keys;
	struct loop_timer timer;
	unsigned count, open;
	struct proof proofs[KEY_POOL_MAX];
};

/* --- the end ------------------------------------------------------------- */

static void
proving_free(struct proving *proving)
{
	struct proxy *proxy = proving->proxy;
	struct proving **at = &proxy->provings;

	while (*at != proving)
		at = &(*at)->next;
	*at = proving->next;
	loop_timer_clear(proxy->loop, &proving->timer);
	for (unsigned i = 0; i < proving->count; i++) {
		struct proof *proof = &proving->proofs[i];

		if (proof->call)
			upstream_abort(proof->call);
		buf_fini(&proof->in);
		explicit_bzero(&proof->key, sizeof(proof->key));
	}
	free(proving);
}

static void
proving_fail(struct proving *proving, enum err err, const char *message)
{
	struct proxy *proxy = proving->proxy;
	struct failure failure;

	schema_clear(&failure_schema, &failure);
	failure.message = str_of(message);
	buf_reset(&proxy->scratch);
	schema_encode(&failure_schema, &failure, &proxy->scratch);
	bus_answer(proxy->bus, proving->from, err, buf_str(&proxy->scratch));
	proving_free(proving);
}

static void
proving_answer(struct proving *proving)
{
	static struct key_tested rows[KEY_POOL_MAX]; /* one loop, one thread */
	struct keys_tested answer = {rows, proving->count};
	struct proxy *proxy = proving->proxy;

	for (unsigned i = 0; i < proving->count; i++) {
		const struct proof *proof = &proving->proofs[i];

		rows[i] = (struct key_tested){
		    .provider = str_of(
			providers_at(&proxy->providers, proof->key.provider)
			    ->name),
		    .name = str_of(proof->key.name),
		    .key = str_of(proof->masked),
		    .outcome = str_of(proof->outcome),
		    .status =
			proof->status == 0 ? SCHEMA_INT_NONE : proof->status,
		    .reason =
			proof->reason[0] ? str_of(proof->reason) : STR_NONE,
		};
	}
	buf_reset(&proxy->scratch);
	schema_encode(&keys_tested_schema, &answer, &proxy->scratch);
	bus_answer(proxy->bus, proving->from,
		   proxy->scratch.is_failed ? ERR_NO_MEMORY : ERR_OK,
		   buf_str(&proxy->scratch));
	proving_free(proving);
}

/* --- one key ------------------------------------------------------------- */

/* What is said stands in a terminal: no key in it, nothing that moves it. */
static void
set_reason(struct proof *proof, struct str text)
{
	size_t key_n = strlen(proof->key.text);

	if (memmem(text.p, text.n, proof->key.text, key_n))
		text = STR("the provider said the whole key in its answer: "
			   "that is not shown");
	job_keep(proof->reason, sizeof(proof->reason),
		 proxy_utf8_head(text, sizeof(proof->reason) - 1));
	for (char *p = proof->reason; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
}

static void
judge(struct proof *proof, const struct upstream_end *end)
{
	const struct provider_row *row = providers_at(
	    &proof->proving->proxy->providers, proof->key.provider);
	enum provider_verdict verdict = PROVIDER_FAIL;
	struct str message = STR_NONE;
	struct arena arena;

	if (proof->status >= 200 && proof->status <= 299) {
		proof->outcome = "ok";
		return;
	}
	arena_init(&arena, 2 * PROXY_ERROR_BYTES_MAX);
	if (proof->status != 0) {
		verdict = row->wire->judge(proof->status, buf_str(&proof->in));
		message = proxy_error_message(buf_str(&proof->in), &arena);
	}
	proof->outcome = verdict == PROVIDER_ALARM   ? "refused"
			 : verdict == PROVIDER_LIMIT ? "limited"
						     : "failed";
	if (message.n)
		set_reason(proof, message);
	else if (proof->status != 0)
		set_reason(proof, STR("it gave no reason"));
	else
		set_reason(proof, str_of(end->text));
	arena_fini(&arena);
}

static void
proof_over(struct proof *proof, const struct upstream_end *end)
{
	struct proving *proving = proof->proving;

	proof->call = NULL;
	judge(proof, end);
	if (--proving->open == 0)
		proving_answer(proving);
}

static void
on_head(void *ctx, const struct upstream_head *head)
{
	((struct proof *)ctx)->status = head->status;
}

static enum upstream_take
on_body(void *ctx, struct str bytes)
{
	struct proof *proof = ctx;

	/* The list itself is of no interest; of a long refusal, its head. */
	if (proof->status > 299 && !proof->in.is_failed)
		buf_add_str(&proof->in, bytes);
	return UPSTREAM_TAKEN;
}

static void
on_end(void *ctx, const struct upstream_end *end)
{
	proof_over(ctx, end);
}

static const struct upstream_handler handler = {on_head, on_body, on_end};

static enum err
proof_call(struct proof *proof)
{
	const struct proxy *proxy = proof->proving->proxy;
	const struct pool_key *key = &proof->key;
	const struct provider_row *row =
	    providers_at(&proxy->providers, key->provider);
	char header[PROXY_KEY_HEADER_BYTES];
	struct arena arena;
	enum err err;
	struct upstream_ask ask = {
	    .extra =
		row->wire->shape == AI_ANTHROPIC ? ANTHROPIC_EXTRA : STR(""),
	    .handler = &handler,
	    .ctx = proof,
	    .auth = header,
	};

	arena_init(&arena, 256);
	job_keep(proof->masked, sizeof(proof->masked),
		 provider_key_mask(str_of(key->text), &arena));
	arena_fini(&arena);
	snprintf(header, sizeof(header), "%s%s", row->key_header, key->text);
	err = upstream_call(proxy->providers.listers[key->provider], &ask,
			    &proof->call);
	explicit_bzero(header, sizeof(header));
	return err;
}

/* --- all of them --------------------------------------------------------- */

static void
on_late(void *ctx)
{
	static const struct upstream_end late = {
	    ERR_UPSTREAM_TIMEOUT, 1, true,
	    "the provider did not answer in 10 s"};
	struct proving *proving = ctx;

	if (proving->is_waiting_for_keys) {
		proving_fail(proving, ERR_UNAVAILABLE,
			     "the ledger does not answer: see `chatello "
			     "status`");
		return;
	}
	/* The last one of them frees the proving. */
	for (unsigned i = 0, open = proving->open; open > 0; i++) {
		struct proof *proof = &proving->proofs[i];

		if (proof->call == NULL)
			continue;
		upstream_abort(proof->call);
		proof->status = 0;
		open--;
		proof_over(proof, &late);
	}
}

static bool
is_meant(const struct proving *proving, const struct pool_key *key)
{
	const struct providers *providers = &proving->proxy->providers;
	const struct provider_row *row = providers_at(providers, key->provider);

	return provider_is_on(providers, row) &&
	       (proving->provider.p == NULL ||
		str_eq(proving->provider, str_of(row->name))) &&
	       (proving->name.p == NULL ||
		str_eq(proving->name, str_of(key->name)));
}

static void
proving_start(struct proving *proving)
{
	struct proxy *proxy = proving->proxy;
	const struct key_pool *pool = &proxy->keys.pool;
	enum err err = ERR_OK;

	proving->is_waiting_for_keys = false;
	for (unsigned i = 0; i < pool->count && err == ERR_OK; i++) {
		struct proof *proof = &proving->proofs[proving->count];

		if (!is_meant(proving, &pool->keys[i]))
			continue;
		proof->proving = proving;
		proof->key = pool->keys[i];
		buf_init(&proof->in, PROXY_ERROR_BYTES_MAX);
		proving->count++;
		err = proof_call(proof);
		proving->open += err == ERR_OK;
	}
	if (err != ERR_OK)
		proving_fail(proving, err, err_text(err));
	else if (proving->provider.p &&
		 providers_find(&proxy->providers, proving->provider) == NULL)
		proving_fail(proving, ERR_BAD_FIELD,
			     "there is no provider of that name: it is one of "
			     "openai, anthropic, deepseek and those that were "
			     "set (`chatello provider list`)");
	else if (proving->count == 0)
		proving_fail(proving, ERR_NO_SUCH,
			     "there is no such key in use: `chatello key list` "
			     "shows them");
	else
		loop_timer_set(proxy->loop, &proving->timer, PROVE_MS, on_late,
			       proving);
}

enum err
proxy_prove(struct context *context, const void *in_, void *out)
{
	const struct key_test *in = in_;
	struct proxy *proxy = context->state;
	struct proving *proving;

	(void)out;
	proving = calloc(1, sizeof(*proving));
	if (proving == NULL)
		return ERR_NO_MEMORY;
	proving->proxy = proxy;
	proving->from = context->from;
	proving->provider =
	    job_keep(proving->provider_text, sizeof(proving->provider_text),
		     in->provider);
	proving->name =
	    job_keep(proving->name_text, sizeof(proving->name_text), in->name);
	proving->is_waiting_for_keys = true;
	proving->next = proxy->provings;
	proxy->provings = proving;
	loop_timer_set(proxy->loop, &proving->timer, KEYS_MS, on_late, proving);
	proxy_keys_renew(proxy);
	return ERR_AGAIN;
}

void
proxy_prove_keys(struct proxy *proxy)
{
	struct proving *next;

	for (struct proving *at = proxy->provings; at; at = next) {
		next = at->next;
		if (at->is_waiting_for_keys)
			proving_start(at);
	}
}

void
proxy_prove_fini(struct proxy *proxy)
{
	struct proving *next;

	for (struct proving *at = proxy->provings; at; at = next) {
		next = at->next;
		proving_fail(at, ERR_UNAVAILABLE, err_text(ERR_UNAVAILABLE));
	}
}
