/*
 * proxy_capture: for a licence whose debug capture is on, the first bytes of
 * what its provider was asked and said go to the ledger, which seals them: of
 * several calls the last one, which the answer is of. For all others nothing is
 * copied. See proxy.h.
 */
#include "store/capture.h"
#include "workers/proxy.h"

#include <stdlib.h>

struct capture {
	size_t asked_bytes, said_bytes; /* as they were; kept are fewer */
	char asked[CAPTURE_BYTES_MAX], said[CAPTURE_BYTES_MAX];
};

static size_t
kept(size_t bytes)
{
	return bytes < CAPTURE_BYTES_MAX ? bytes : CAPTURE_BYTES_MAX;
}

static void
add(char *to, size_t *bytes, struct str more)
{
	size_t at = kept(*bytes), n = CAPTURE_BYTES_MAX - at;

	if (n > more.n)
		n = more.n;
	if (n)
		memcpy(to + at, more.p, n);
	*bytes += more.n;
}

void
job_capture_begin(struct job *job)
{
	if (!job->reserved.is_captured)
		return;
	if (job->capture)
		explicit_bzero(job->capture, sizeof(*job->capture));
	else
		job->capture = calloc(1, sizeof(*job->capture));
	if (job->capture)
		add(job->capture->asked, &job->capture->asked_bytes,
		    buf_str(&job->body));
}

void
job_capture_said(struct job *job, struct str bytes)
{
	if (job->capture)
		add(job->capture->said, &job->capture->said_bytes, bytes);
}

/* A capture that does not arrive is not asked again. */
static void
on_kept(void *ctx, const struct bus_answer *answer)
{
	(void)ctx;
	(void)answer;
}

void
job_capture_send(struct job *job)
{
	const struct capture *capture = job->capture;
	struct proxy *proxy = job->proxy;
	struct capture_put put;
	struct bus_ask ask = {
	    .type = MSG_capture_put,
	    .deadline_ms = PROXY_ASK_MS,
	    .fn = on_kept,
	};
	uint64_t id;

	if (capture == NULL)
		return;
	schema_clear(&capture_put_schema, &put);
	put.license_id = job->reserved.license_id;
	put.request_id = job->request_id;
	put.status = job->status;
	put.asked = str_bytes(capture->asked, kept(capture->asked_bytes));
	put.asked_bytes = (int64_t)capture->asked_bytes;
	put.said = str_bytes(capture->said, kept(capture->said_bytes));
	put.said_bytes = (int64_t)capture->said_bytes;
	buf_reset(&proxy->scratch);
	schema_encode(&capture_put_schema, &put, &proxy->scratch);
	ask.body = buf_str(&proxy->scratch);
	if (!proxy->scratch.is_failed)
		bus_ask(proxy->usage, &ask, &id);
	if (proxy->scratch.p)
		explicit_bzero(proxy->scratch.p, proxy->scratch.n);
	job_capture_end(job);
}

void
job_capture_end(struct job *job)
{
	if (job->capture == NULL)
		return;
	explicit_bzero(job->capture, sizeof(*job->capture));
	free(job->capture);
	job->capture = NULL;
}
