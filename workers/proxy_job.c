/*
 * proxy_job: jobs come and go. See proxy.h.
 */
#include "lib/log.h"
#include "workers/proxy.h"

#include <stdlib.h>

static void
buffer_keep(struct buf *buf)
{
	if (buf->room > PROXY_KEPT_BYTES)
		buf_fini(buf);
	else
		buf_reset(buf);
}

static struct job *
job_make(void)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return NULL;
	buf_init(&job->origin, PROXY_BODY_BYTES_MAX);
	buf_init(&job->body, PROXY_BODY_BYTES_MAX);
	buf_init(&job->headers, PROXY_HEADER_BYTES_MAX);
	buf_init(&job->in, PROXY_ANSWER_BYTES_MAX);
	/* A JSON answer with another envelope; a stream's largest event. */
	buf_init(&job->out, PROXY_ANSWER_BYTES_MAX + 4096);
	buf_init(&job->tail, 2 * SSE_EVENT_BYTES_MAX);
	sse_init(&job->sse);
	return job;
}

static void
job_destroy(struct job *job)
{
	buf_fini(&job->origin);
	buf_fini(&job->body);
	buf_fini(&job->headers);
	buf_fini(&job->in);
	buf_fini(&job->out);
	buf_fini(&job->tail);
	sse_fini(&job->sse);
	free(job);
}

struct job *
job_new(struct proxy *proxy)
{
	struct job *job = proxy->kept;

	if (proxy->job_count == PROXY_JOBS_MAX)
		return NULL;
	if (job) {
		proxy->kept = job->next;
		proxy->kept_count--;
	} else {
		job = job_make();
	}
	if (job == NULL)
		return NULL;
	job->proxy = proxy;
	job->next = proxy->jobs;
	job->at = &proxy->jobs;
	if (job->next)
		job->next->at = &job->next;
	proxy->jobs = job;
	proxy->job_count++;
	return job;
}

/* Everything but the buffers' memory is as after calloc; the key is gone. */
static void
job_wipe(struct job *job)
{
	struct buf origin = job->origin;
	struct buf body = job->body, headers = job->headers, in = job->in;
	struct buf out = job->out, tail = job->tail;
	struct sse sse = job->sse;

	explicit_bzero(job, sizeof(*job));
	job->origin = origin;
	job->body = body;
	job->headers = headers;
	job->in = in;
	job->out = out;
	job->tail = tail;
	job->sse = sse;
	buf_fini(&job->origin); /* few have one */
	buffer_keep(&job->body);
	buffer_keep(&job->headers);
	buffer_keep(&job->in);
	buffer_keep(&job->out);
	buffer_keep(&job->tail);
	buffer_keep(&job->sse.raw);
	buffer_keep(&job->sse.joined);
	sse_reset(&job->sse);
}

static void
job_free(struct job *job)
{
	struct proxy *proxy = job->proxy;

	loop_timer_clear(proxy->loop, &job->step);
	loop_timer_clear(proxy->loop, &job->watch);
	job_translation_end(job);
	job_capture_end(job);
	*job->at = job->next;
	if (job->next)
		job->next->at = job->at;
	proxy->job_count--;
	job_wipe(job);
	pool_worked(proxy->pool);
	if (proxy->kept_count == PROXY_JOBS_KEPT) {
		job_destroy(job);
		return;
	}
	job->next = proxy->kept;
	proxy->kept = job;
	proxy->kept_count++;
}

struct str
job_keep(char *to, size_t room, struct str s)
{
	size_t n = s.n < room ? s.n : room - 1;

	if (s.p == NULL)
		return STR_NONE;
	memcpy(to, s.p, n);
	to[n] = '\0';
	return str_bytes(to, n);
}

void
job_check(struct job *job)
{
	if (job->stage == JOB_SETTLED && job->from == NULL)
		job_free(job);
}

void
job_drop(struct job *job)
{
	if (job->call) {
		upstream_abort(job->call);
		job_breaker_leaves(job);
	}
	if (job->ask_id)
		bus_cancel(job->proxy->bus, job->ask_id);
	if (job->from)
		bus_answer(job->proxy->bus, job->from, ERR_UNAVAILABLE,
			   STR(""));
	job->from = NULL;
	job_free(job);
}

void
jobs_fini(struct proxy *proxy)
{
	while (proxy->kept) {
		struct job *job = proxy->kept;

		proxy->kept = job->next;
		proxy->kept_count--;
		job_destroy(job);
	}
}

void
job_cancelled(struct job *job)
{
	metrics_add(METRIC_CANCELLED, 1);
	bus_answer(job->proxy->bus, job->from, ERR_CANCELLED_BY_CALLER,
		   STR(""));
	job->from = NULL;
	switch (job->stage) {
	case JOB_RESERVING:
		/* The answer to a question in flight is waited for: it may be
		 * a reservation, which is then given back. */
		if (job->ask_id == 0 && !job->is_maybe_reserved) {
			job->stage = JOB_SETTLED;
			job_check(job);
		}
		return;
	case JOB_CALLING:
		job_abandon(job);
		return;
	case JOB_SETTLING:
	case JOB_SETTLED:
		job_check(job);
		return;
	}
}

void
job_credit(struct job *job)
{
	job_pump(job);
	if (job->call == NULL) {
		job_check(job);
	} else if (job->is_paused && job->out_at == job->out.n) {
		/* May end the call, and the job with it. */
		job->is_paused = false;
		upstream_resume(job->call);
	}
}
