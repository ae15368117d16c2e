/*
 * proxy_count: POST /v1/messages/count_tokens. It costs nothing and makes no
 * line on the ledger, so a validator admits it. The provider counts where it
 * can and the vendor has a key for it; else the estimate of a prompt is the
 * answer, and says so. See proxy.h.
 */
#include "lib/clock.h"
#include "workers/proxy.h"

static void
estimate(struct job *job)
{
	buf_add_z(&job->out, "{\"input_tokens\":");
	buf_add_int(&job->out, job->prompt_tokens);
	buf_add_z(&job->out, ",\"estimated\":true}");
	job->called_ns = clock_mono_ns();
	job_answer_end(job, false);
	job_settle(job);
}

/* Only the rate of it is of use. */
static bool
admitted_take(struct job *job, struct str body)
{
	struct arena arena;
	enum err err;

	arena_init(&arena, 4096);
	err =
	    schema_decode(&reserved_schema, body, &job->reserved, &arena, NULL);
	job->reserved.license_id = STR_NONE;
	arena_fini(&arena);
	return err == ERR_OK;
}

static void
on_admitted(void *ctx, const struct bus_answer *answer)
{
	struct job *job = ctx;
	const struct providers *providers = &job->proxy->providers;

	job->ask_id = 0;
	if (answer->err != ERR_OK || !admitted_take(job, answer->body)) {
		job_not_admitted(job, answer);
		return;
	}
	job->stage = JOB_CALLING;
	if (job->from == NULL)
		job_abandon(job);
	else if (provider_counter(providers, job->row) &&
		 provider_has_key(providers, job->row))
		job_call(job);
	else
		estimate(job);
}

void
job_count(struct job *job)
{
	struct proxy *proxy = job->proxy;
	struct admit admit = {job->key, job->domain, STR("ai_proxy")};
	struct bus_ask ask = {
	    .type = MSG_admit,
	    .is_repeatable = true,
	    .deadline_ms = PROXY_ASK_MS,
	    .fn = on_admitted,
	    .ctx = job,
	};
	uint64_t id = 0;
	enum err err = ERR_NO_MEMORY;

	job->stage = JOB_RESERVING;
	buf_reset(&proxy->scratch);
	schema_encode(&admit_schema, &admit, &proxy->scratch);
	ask.body = buf_str(&proxy->scratch);
	if (!proxy->scratch.is_failed)
		err = bus_ask(proxy->validate, &ask, &id);
	job->ask_id = id;
	if (err == ERR_OK)
		return;
	job->stage = JOB_SETTLED;
	job_answer_failure(job, err, STR_NONE, 0);
	job_check(job);
}
