/*
 * proxy: the worker that takes AI requests, asks the ledger, calls providers
 * and passes their answers on; the only process that holds provider keys or
 * connects outward. Here: its rows, its open and close. See proxy.h.
 */
#include "workers/proxy.h"

#include "lib/clock.h"
#include "lib/id.h"
#include "lib/log.h"
#include "workers/workers.h"

#include <stdlib.h>

#define SCRATCH_BYTES_MAX (4u << 20)
#define LEDGER_WINDOW 2u   /* batches in flight at the ledger */
#define VALIDATE_WINDOW 2u /* and at each validator */

/* --- a request ------------------------------------------------------- */

static void
set_deadlines(struct job *job, int64_t asked_ns)
{
	const struct conf *conf = job->proxy->conf;
	int64_t own_ns;

	job->began_ns = clock_mono_ns();
	own_ns = job->began_ns + conf->upstream_total_ms * NS_PER_MS;
	asked_ns -= PROXY_MARGIN_MS * NS_PER_MS;
	job->total_ns = own_ns < asked_ns ? own_ns : asked_ns;
	job->expires_ns = own_ns + PROXY_EXPIRES_EXTRA_MS * NS_PER_MS;
}

enum err
job_start(struct job *job, struct proxy_asked *asked)
{
	struct why why = {"", ""};
	enum err err;

	job->is_count = asked->is_count;
	err = job_fill(job, asked, &why);
	if (err != ERR_OK) {
		proxy_refuse(asked, &why);
		return err;
	}
	if (asked->is_count)
		job_count(job);
	else
		job_reserve(job);
	return ERR_OK;
}

static enum err
handle_ai_request(struct context *context, const void *in, void *out)
{
	struct proxy *proxy = context->state;
	struct proxy_asked asked = {
	    .in = in, .arena = context->arena, .failure = &context->failure};
	struct job *job;
	enum err err = proxy_read(&asked, proxy);
	bool is_known =
	    proxy->keys.version != SCHEMA_INT_NONE && !asked.is_unknown;

	(void)out;
	if (err != ERR_OK && (is_known || !asked.is_read))
		return err;
	job = job_new(proxy);
	if (job == NULL)
		return ERR_OVERLOADED;
	set_deadlines(job, context->deadline_ns);
	job->attempt = proxy->next_attempt++;
	job->from = context->from;
	bus_from_set(job->from, job);
	err = is_known ? job_start(job, &asked) : job_wait_for_routes(job, in);
	if (err == ERR_OK)
		return ERR_AGAIN;
	bus_from_set(job->from, NULL);
	job->from = NULL;
	job->stage = JOB_SETTLED;
	job_check(job);
	return err;
}

static const struct worker_row rows[] = {
    {&ai_request_schema, &ai_head_schema, handle_ai_request},
    {&models_list_schema, &models_answer_schema, proxy_models},
    {&key_test_schema, &keys_tested_schema, proxy_prove},
    {&key_next_schema, &nothing_schema, proxy_key_next},
};

/* --- the worker ------------------------------------------------------ */

static void
proxy_close(void *state)
{
	struct proxy *proxy = state;

	while (proxy->jobs)
		job_drop(proxy->jobs);
	proxy_prove_fini(proxy);
	loop_timer_clear(proxy->loop, &proxy->linger);
	jobs_fini(proxy);
	proxy_keys_close(proxy);
	proxy_routes_close(proxy);
	providers_close(&proxy->providers);
	upstream_close(proxy->upstream);
	buf_fini(&proxy->scratch);
	free(proxy);
}

static enum err
connect_house(struct proxy *proxy, struct why *why)
{
	enum err err =
	    bus_pool_open(proxy->bus, "usage", 1, LEDGER_WINDOW, &proxy->usage);

	if (err == ERR_OK)
		err = bus_pool_open(proxy->bus, "validate",
				    (unsigned)proxy->conf->validators,
				    VALIDATE_WINDOW, &proxy->validate);
	if (err != ERR_OK)
		return why_set(why, err, "cannot reach the other workers: %s",
			       err_text(err));
	return ERR_OK;
}

static enum err
proxy_open(struct pool *pool, void **state, struct why *why)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));
	enum err err;

	if (proxy == NULL)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	proxy->pool = pool;
	proxy->bus = pool_bus(pool);
	proxy->loop = pool_loop(pool);
	proxy->conf = pool_conf(pool);
	buf_init(&proxy->scratch, SCRATCH_BYTES_MAX);
	/* Attempts of one owner differ; those of two hardly ever meet. */
	id_random(&proxy->next_attempt, sizeof(proxy->next_attempt));
	proxy->next_attempt &= (INT64_C(1) << 52) - 1;
	err = connect_house(proxy, why);
	if (err == ERR_OK)
		err = upstream_open(&proxy->upstream, proxy->loop,
				    proxy->conf->upstream_connect_ms, why);
	if (err == ERR_OK)
		err =
		    upstream_trust(proxy->upstream, proxy->conf->ca_file, why);
	if (err == ERR_OK)
		err = providers_open(&proxy->providers, proxy->upstream,
				     proxy->conf, why);
	proxy_routes_open(proxy);
	if (err == ERR_OK)
		err = proxy_keys_open(proxy, why);
	if (err != ERR_OK) {
		proxy_close(proxy);
		return err;
	}
	for (unsigned i = 0; i < PROVIDER_COUNT; i++) {
		if (provider_has_key(&proxy->providers, &provider_rows[i]))
			log_info("provider", "name=%s", provider_rows[i].name);
	}
	*state = proxy;
	return ERR_OK;
}

/* A list of models has no job: its answer comes soon anyway. */
static void
on_cancelled(void *state, struct bus_from *from)
{
	(void)state;
	if (bus_from_state(from))
		job_cancelled(bus_from_state(from));
}

static void
on_credit(void *state, struct bus_from *from)
{
	(void)state;
	if (bus_from_state(from))
		job_credit(bus_from_state(from));
}

static bool
is_drained(void *state)
{
	const struct proxy *proxy = state;

	return proxy->job_count == 0 && proxy->models_count == 0 &&
	       proxy->provings == NULL;
}

static enum err
proxy_rest(void *state)
{
	struct proxy *proxy = state;

	jobs_fini(proxy);
	buf_fini(&proxy->scratch);
	return ERR_OK;
}

const struct worker proxy_worker = {
    .kind = "proxy",
    .asked_by = ASKED_BY_EDGES | ASKED_BY_TOOLS,
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .open = proxy_open,
    .close = proxy_close,
    .cancelled = on_cancelled,
    .credit = on_credit,
    .observe = proxy_observe,
    .rest = proxy_rest,
    .is_drained = is_drained,
};
