/*
 * proxy_limit: the output that admission grants: it is written into the request
 * in place of what the client asked for, and a stream that runs past it is
 * ended here, with the last frames that a stream has which ran out of tokens.
 * See proxy.h.
 */
#include "workers/proxy.h"

bool
job_has_grant(const struct job *job)
{
	return !job->is_count && job->reserved.output_tokens != SCHEMA_INT_NONE;
}

enum err
job_grant(struct job *job)
{
	const struct output_wish *wish = &job->output;
	int64_t granted = job->reserved.output_tokens;
	struct json_value root;
	struct buf body;

	if (!job_has_grant(job) || wish->tokens == granted)
		return ERR_OK;
	if (!json_check(buf_str(&job->body), &root))
		return ERR_INTERNAL; /* it was made here, or checked */
	buf_init(&body, PROXY_BODY_BYTES_MAX);
	request_clamp(root, job->row->max_tokens_name, granted, &body);
	if (body.is_failed) {
		buf_fini(&body);
		return ERR_NO_MEMORY;
	}
	buf_fini(&job->body);
	job->body = body;
	return ERR_OK;
}

/* No more than the provider has generated for sure: a piece of text is a token
 * at least, unless it is a part of one; and hardly a text has more than eight
 * bytes a token. So who keeps to the grant is not cut short. */
static int64_t
came_at_least(const struct job *job)
{
	int64_t estimate = request_estimate_tokens(job->text_bytes);
	int64_t long_ones = estimate / 2;
	int64_t pieces = (int64_t)job->text_events;

	if (pieces > estimate)
		pieces = estimate;
	return pieces > long_ones ? pieces : long_ones;
}

bool
job_is_past_grant(const struct job *job)
{
	int64_t most = job->reserved.output_tokens;
	int64_t choices = job->output.choices;

	if (!job_has_grant(job) ||
	    (choices != SCHEMA_INT_NONE &&
	     __builtin_mul_overflow(most, choices, &most)))
		return false;
	return came_at_least(job) > most;
}

bool
job_cut(struct job *job)
{
	struct provider_usage *usage = &job->usage;
	int64_t came = request_estimate_tokens(job->text_bytes);

	job->is_cut = job->is_done = true;
	if (usage->prompt == PROVIDER_TOKENS_NONE)
		usage->prompt = job->prompt_tokens;
	if (usage->output == PROVIDER_TOKENS_NONE || usage->output < came)
		usage->output = came;
	if (job->shape == REQUEST_CHAT)
		return true; /* its end is always ours */
	if (job->translation == NULL)
		return false;
	translate_stream_finish(job->translation, usage, &job->tail);
	return !job->tail.is_failed;
}
