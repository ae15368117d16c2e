/*
 * proxy_ledger: reserve and settle. The ledger makes repeating both safe: the
 * same owner and attempt is the same question. A question that got lost is
 * asked again; a settlement until the reservation has expired anyway. One that
 * no answer waits for lingers for a moment, so that it goes with the next
 * reservation and both are flushed as one.
 */
#include "lib/clock.h"
#include "lib/log.h"
#include "workers/proxy.h"

static void reserve_ask(void *ctx);
static void settle_ask(void *ctx);
static void settle_lingering(void *ctx);

bool
ledger_is_away(enum err err)
{
	return err == ERR_WORKER_LOST || err == ERR_UNAVAILABLE ||
	       err == ERR_DEADLINE || err == ERR_COMMIT_UNKNOWN ||
	       err == ERR_FENCED;
}

/* 50 ms, doubled with each question up to 2 s. */
int64_t
proxy_backoff_ms(unsigned asks)
{
	int64_t ms = PROXY_SETTLE_BACKOFF_MS;

	for (unsigned i = 1; i < asks && ms < PROXY_SETTLE_BACKOFF_MS_MAX; i++)
		ms *= 2;
	return ms < PROXY_SETTLE_BACKOFF_MS_MAX ? ms
						: PROXY_SETTLE_BACKOFF_MS_MAX;
}

static enum err
ask(struct job *job, const struct schema *schema, const void *in,
    bus_answer_fn *fn)
{
	struct proxy *proxy = job->proxy;
	struct bus_ask question = {
	    .type = schema->number,
	    .deadline_ms = PROXY_ASK_MS,
	    .fn = fn,
	    .ctx = job,
	};
	uint64_t id = 0;
	enum err err;

	buf_reset(&proxy->scratch);
	schema_encode(schema, in, &proxy->scratch);
	if (proxy->scratch.is_failed)
		return ERR_NO_MEMORY;
	question.body = buf_str(&proxy->scratch);
	job->asks++;
	err = bus_ask(proxy->usage, &question, &id);
	job->ask_id = err == ERR_OK ? id : 0;
	return err;
}

/* --- reserve --------------------------------------------------------- */

static void
reserve_again(struct job *job)
{
	loop_timer_set(job->proxy->loop, &job->step,
		       proxy_backoff_ms(job->asks), reserve_ask, job);
}

/* Nobody can say whether it is reserved. The client is told to try again; the
 * question goes on while a reservation may be there, to give it back. */
static void
reserve_away(struct job *job, enum err err)
{
	int64_t now_ns = clock_mono_ns();
	bool is_late = now_ns >= job->total_ns ||
		       now_ns - job->began_ns >= PROXY_RESERVE_MS * NS_PER_MS;

	if (err != ERR_UNAVAILABLE)
		job->is_maybe_reserved = true;
	if (job->from && is_late)
		job_answer_failure(job, ERR_UNAVAILABLE, STR_NONE, 0);
	if (job->from == NULL &&
	    (!job->is_maybe_reserved || now_ns >= job->expires_ns)) {
		job->stage = JOB_SETTLED;
		job_check(job);
		return;
	}
	reserve_again(job);
}

static bool
reserved_take(struct job *job, struct str body)
{
	struct arena arena;
	enum err err;

	arena_init(&arena, 4096);
	err =
	    schema_decode(&reserved_schema, body, &job->reserved, &arena, NULL);
	if (err == ERR_OK) {
		job->reserved.license_id =
		    job_keep(job->license_id_text, sizeof(job->license_id_text),
			     job->reserved.license_id);
		job_own_key(job, &job->reserved);
		proxy_keys_heard(job->proxy, job->reserved.keys_version);
	}
	arena_fini(&arena);
	return err == ERR_OK;
}

void
job_not_admitted(struct job *job, const struct bus_answer *answer)
{
	job_refuse(job, answer->err == ERR_OK ? ERR_MALFORMED : answer->err,
		   answer->body);
}

static void
on_reserved(void *ctx, const struct bus_answer *answer)
{
	struct job *job = ctx;

	job->ask_id = 0;
	if (ledger_is_away(answer->err)) {
		reserve_away(job, answer->err);
		return;
	}
	if (answer->err != ERR_OK || !reserved_take(job, answer->body)) {
		job_not_admitted(job, answer);
		return;
	}
	job->asks = 0;
	job->stage = JOB_CALLING;
	if (job->from == NULL)
		job_abandon(job);
	else if (job_grant(job) == ERR_OK)
		job_call(job);
	else
		job_fail(job, ERR_NO_MEMORY, NULL, 0);
}

static void
reserve_ask(void *ctx)
{
	struct job *job = ctx;
	struct proxy *proxy = job->proxy;
	struct fallback fallbacks[ROUTE_FALLBACKS_MAX];
	struct reserve reserve;
	enum err err;

	schema_clear(&reserve_schema, &reserve);
	reserve.request_id = job->request_id;
	reserve.key = job->key;
	reserve.domain = job->domain;
	reserve.feature = STR("ai_proxy");
	reserve.provider = str_of(job->row->name);
	reserve.model = job->model;
	reserve.owner = str_of(pool_name(proxy->pool));
	reserve.owner_start = (int64_t)bus_incarnation(proxy->bus);
	reserve.attempt = job->attempt;
	reserve.expires_ms =
	    (job->expires_ns - clock_mono_ns()) / NS_PER_MS + 1;
	if (reserve.expires_ms < 1)
		reserve.expires_ms = 1;
	reserve.input_tokens = job->prompt_tokens;
	reserve.output_tokens = job->output.tokens;
	reserve.output_min = job->output.min;
	reserve.choices = job->output.choices;
	reserve.is_stream = job->is_stream;
	reserve.keys_version = proxy->keys.version;
	reserve.needs_own_key = !provider_has_key(&proxy->providers, job->row);
	reserve.fallbacks = fallbacks;
	reserve.fallbacks_count = job->plan_count;
	for (unsigned i = 0; i < job->plan_count; i++)
		fallbacks[i] = (struct fallback){
		    str_of(job->plan[i + 1].row->name), job->plan[i + 1].model};
	err = ask(job, &reserve_schema, &reserve, on_reserved);
	if (err == ERR_OK)
		return;
	if (err == ERR_UNAVAILABLE) {
		reserve_away(job, err);
		return;
	}
	job->stage = JOB_SETTLED;
	job_answer_failure(job, err, STR_NONE, 0);
	job_check(job);
}

void
job_reserve(struct job *job)
{
	job->stage = JOB_RESERVING;
	settle_lingering(job->proxy); /* one flush for both */
	reserve_ask(job);
}

/* --- settle ---------------------------------------------------------- */

static void
settle_over(struct job *job)
{
	job->stage = JOB_SETTLED;
	job_release(job);
	job_check(job);
}

static void
settle_again(struct job *job, enum err err)
{
	if (clock_mono_ns() >= job->expires_ns) {
		/* The ledger closes the line as interrupted by itself. */
		JOB_WARN(job, "settle-given-up", "error=%s asked=%u",
			 err_code(err), job->asks);
		settle_over(job);
		return;
	}
	loop_timer_set(job->proxy->loop, &job->step,
		       proxy_backoff_ms(job->asks), settle_ask, job);
}

static void
on_settled(void *ctx, const struct bus_answer *answer)
{
	struct job *job = ctx;
	struct settled settled;
	struct arena arena;

	job->ask_id = 0;
	if (ledger_is_away(answer->err) ||
	    err_row(answer->err)->retry != ERR_RETRY_NEVER) {
		settle_again(job, answer->err);
		return;
	}
	if (answer->err != ERR_OK) {
		JOB_WARN(job, "settle-refused", "error=%s",
			 err_code(answer->err));
		settle_over(job);
		return;
	}
	arena_init(&arena, 4096);
	if (schema_decode(&settled_schema, answer->body, &settled, &arena,
			  NULL) == ERR_OK &&
	    settled.cost != SCHEMA_INT_NONE) {
		job->has_cost = true;
		job->cost = settled.cost;
	}
	arena_fini(&arena);
	settle_over(job);
}

static void
settle_ask(void *ctx)
{
	struct job *job = ctx;
	const struct settlement *from = &job->settlement;
	struct usage_try tries[JOB_MODELS_MAX];
	struct settle settle;
	enum err err;

	schema_clear(&settle_schema, &settle);
	settle.license_id = job->reserved.license_id;
	settle.request_id = job->request_id;
	settle.attempt = job->attempt;
	settle.status = str_of(from->status);
	settle.source = str_of(from->source);
	if (job->model_said.p && !str_eq(job->model_said, job->model))
		settle.model = job->model_said;
	settle.input_tokens = from->input;
	settle.output_tokens = from->output;
	settle.cache_read_tokens = from->cache_read;
	settle.cache_write_tokens = from->cache_write;
	settle.cache_write_1h_tokens = from->cache_write_1h;
	settle.reasoning_tokens = from->reasoning;
	settle.attempts = job->sends;
	settle.latency_ms = from->latency_ms;
	settle.first_byte_ms = from->first_byte_ms;
	settle.own_key = job->has_own_key;
	settle.tries = tries;
	settle.tries_count = job_tries(job, tries);
	if (settle.tries_count) {
		settle.provider = str_of(job->row->name);
		settle.asked_model = job->model;
	}
	settle.undelivered = from->is_undelivered;
	if (from->error != ERR_OK)
		settle.error = str_of(err_code(from->error));
	err = ask(job, &settle_schema, &settle, on_settled);
	if (err != ERR_OK)
		settle_again(job, err);
}

static void
settle_lingering(void *ctx)
{
	struct proxy *proxy = ctx;

	loop_timer_clear(proxy->loop, &proxy->linger);
	while (proxy->lingering) {
		struct job *job = proxy->lingering;

		proxy->lingering = job->next_lingering;
		settle_ask(job);
	}
}

void
job_settle(struct job *job)
{
	struct proxy *proxy = job->proxy;

	if (job->is_count) { /* nothing was reserved */
		settle_over(job);
		return;
	}
	job_capture_send(job);
	job->stage = JOB_SETTLING;
	job->asks = 0;
	if (job->is_held) {
		settle_ask(job);
		return;
	}
	/* Whoever asks next would wait for the flush of this one. */
	if (proxy->lingering == NULL)
		loop_timer_set(proxy->loop, &proxy->linger,
			       PROXY_SETTLE_LINGER_MS, settle_lingering, proxy);
	job->next_lingering = proxy->lingering;
	proxy->lingering = job;
}
