/*
 * proxy_read: what the provider says. A JSON answer is gathered and read as
 * a whole; of a stream each event is read and passed on as it came, but for
 * the usage that only we asked for and the last event, which waits for the
 * settlement. What it comes to is the settlement. See proxy.h.
 */
#include "lib/clock.h"
#include "workers/proxy.h"

#include <stdlib.h>

void
job_read_reset(struct job *job)
{
	job->status = 0;
	job->retry_after_ms = -1;
	job->is_sse = false;
	job->is_done = false;
	job->is_refused = false;
	job->is_sent = false;
	job->is_said_failed = false;
	job->is_paused = false;
	job->first_byte_ns = 0;
	job->first_token_ns = 0;
	job->text_bytes = 0;
	job->text_events = 0;
	job->is_cut = false;
	job->text = STR_NONE;
	job->model_said = STR_NONE;
	buf_reset(&job->in);
	buf_reset(&job->tail);
	sse_reset(&job->sse);
	provider_usage_clear(&job->usage);
}

/* --- translation ----------------------------------------------------- */

static struct translate_how
translate_how(const struct job *job)
{
	return (struct translate_how){
	    .from = job->row->wire->shape,
	    .to = job_client_shape(job),
	    .created_s = clock_wall_ms() / 1000,
	    .id = job->request_id,
	    .model = job->model,
	    .is_usage_wanted = job->is_usage_wanted,
	    .is_thinking_wanted = job->is_thinking_wanted,
	    .prompt_tokens = job->prompt_tokens,
	};
}

/* Without memory for it the first event is refused. */
static void
translation_begin(struct job *job)
{
	struct translate_how how = translate_how(job);

	job_translation_end(job);
	job->translation = malloc(sizeof(*job->translation));
	if (job->translation)
		translate_stream_init(job->translation, &how);
}

void
job_translation_end(struct job *job)
{
	if (job->translation == NULL)
		return;
	translate_stream_fini(job->translation);
	free(job->translation);
	job->translation = NULL;
}

static bool
is_2xx(int status)
{
	return status >= 200 && status <= 299;
}

void
job_read_head(struct job *job, const struct upstream_head *head)
{
	struct str sse = STR("text/event-stream");
	struct str type = head->content_type;

	job->status = head->status;
	job->retry_after_ms = head->retry_after_ms;
	job->is_coded = head->is_coded;
	job->heard_ns = clock_mono_ns();
	if (type.n > sse.n)
		type.n = sse.n;
	job->is_sse =
	    job->is_stream && is_2xx(head->status) && str_eq_nocase(type, sse);
	/* One that may be cut is watched, so that it can be ended well. */
	if (job->is_sse && job->shape != REQUEST_CHAT &&
	    (job_is_translated(job) || job_has_grant(job)))
		translation_begin(job);
}

/* The model that answered, from its raw JSON string; names with escapes are
 * nobody's. */
static void
take_model(struct job *job, struct str raw)
{
	if (job->model_said.p || raw.n <= 2 ||
	    raw.n - 2 > REQUEST_MODEL_BYTES_MAX || memchr(raw.p, '\\', raw.n))
		return;
	job->model_said =
	    job_keep(job->model_said_text, sizeof(job->model_said_text),
		     str_bytes(raw.p + 1, raw.n - 2));
}

/* --- streams --------------------------------------------------------- */

static void
pass_text(struct job *job, struct str text)
{
	if (text.n <= 2)
		return;
	buf_add_z(&job->out, "data: {\"delta\":");
	buf_add_str(&job->out, text);
	buf_add_z(&job->out, "}\n\n");
}

/* What the last event of the provider becomes waits for the settlement. */
static bool
pass_event(struct job *job, const struct sse_event *event,
	   const struct provider_event *said)
{
	struct buf *out = said->is_done ? &job->tail : &job->out;

	if (job->shape == REQUEST_CHAT)
		pass_text(job, said->text);
	else if (job_is_translated(job) || job_has_grant(job))
		return job->translation &&
		       translate_stream_event(job->translation, event,
					      &job->usage, out) == ERR_OK;
	else if (!said->is_usage_only || job->is_usage_wanted)
		buf_add_str(out, event->raw);
	return !out->is_failed;
}

static bool
on_event(void *ctx, const struct sse_event *event)
{
	struct job *job = ctx;
	struct provider_event said;

	if (job->is_done) /* nothing of use comes behind the end */
		return true;
	job->row->wire->read_event(event, &job->usage, &said);
	job->is_said_failed = said.is_failure;
	if (said.is_failure)
		return false;
	take_model(job, said.model);
	job->text_bytes += said.text_bytes;
	job->text_events += said.text_bytes > 0;
	if (job->first_token_ns == 0 && said.text_bytes > 0)
		job->first_token_ns = job->heard_ns;
	job->is_done = said.is_done;
	if (said.text_bytes > 0 && job_is_past_grant(job))
		return job_cut(job);
	return pass_event(job, event, &said);
}

static enum upstream_take
read_stream(struct job *job, struct str bytes)
{
	if (job->out_at < job->out.n) {
		/* The client has not read what it got: job_credit resumes. */
		job->is_paused = true;
		return UPSTREAM_PAUSE;
	}
	job->is_refused = sse_feed(&job->sse, bytes, on_event, job) != ERR_OK;
	job_pump(job);
	return job->is_refused || job->is_cut ? UPSTREAM_STOP : UPSTREAM_TAKEN;
}

/* --- bodies ---------------------------------------------------------- */

static enum upstream_take
read_body(struct job *job, struct str bytes)
{
	job->heard_ns = clock_mono_ns();
	if (job->first_byte_ns == 0)
		job->first_byte_ns = job->heard_ns;
	if (job->is_sse)
		return read_stream(job, bytes);
	if (!is_2xx(job->status) && job->in.n + bytes.n > PROXY_ERROR_BYTES_MAX)
		return UPSTREAM_STOP;
	buf_add_str(&job->in, bytes);
	job->is_refused = job->in.is_failed;
	return job->is_refused ? UPSTREAM_STOP : UPSTREAM_TAKEN;
}

enum upstream_take
job_read_body(struct job *job, struct str bytes)
{
	enum upstream_take take = read_body(job, bytes);

	if (take != UPSTREAM_PAUSE) /* else they come again */
		job_capture_said(job, bytes);
	return take;
}

/* --- the settlement -------------------------------------------------- */

static int64_t
known_or(int64_t n, int64_t otherwise)
{
	return n == PROVIDER_TOKENS_NONE ? otherwise : n;
}

static int64_t
at_most(int64_t n, int64_t max)
{
	return n < max ? n : max;
}

/* What came, in tokens. The bytes of a JSON answer that nobody could read are
 * not all text: they count for no more than the answer may have had. */
static int64_t
estimate(const struct job *job)
{
	int64_t most = job->output.tokens, choices = job->output.choices;

	if (job->is_sse)
		return request_estimate_tokens(job->text_bytes);
	if (job_has_grant(job))
		most = job->reserved.output_tokens;
	if (most == SCHEMA_INT_NONE || most > PROXY_GUESS_TOKENS_MAX)
		most = PROXY_GUESS_TOKENS_MAX;
	if (choices != SCHEMA_INT_NONE && choices > 0 &&
	    __builtin_mul_overflow(most, choices, &most))
		most = INT64_MAX;
	return at_most(request_estimate_tokens(job->text_bytes), most);
}

/* Disjoint classes: what was read from or written to a cache is no fresh
 * input. Of a stream that was cut, the provider's last word on the output may
 * be an early one: what came is counted too. */
static void
settlement_count(struct job *job, bool is_partial)
{
	const struct provider_usage *usage = &job->usage;
	struct settlement *out = &job->settlement;
	int64_t prompt = known_or(usage->prompt, job->prompt_tokens);
	int64_t came = estimate(job);

	out->cache_read = at_most(known_or(usage->cache_read, 0), prompt);
	out->cache_write =
	    at_most(known_or(usage->cache_write, 0), prompt - out->cache_read);
	out->cache_write_1h =
	    at_most(known_or(usage->cache_write_1h, 0), out->cache_write);
	out->input = prompt - out->cache_read - out->cache_write;
	out->output = known_or(usage->output, came);
	if (is_partial && out->output < came)
		out->output = came;
	out->reasoning = at_most(known_or(usage->reasoning, 0), out->output);
}

void
job_settlement(struct job *job, const char *source, enum err err)
{
	struct settlement *out = &job->settlement;
	int64_t from_ns = job->called_ns ? job->called_ns : job->began_ns;

	memset(out, 0, sizeof(*out));
	out->status = source ? "settled" : "failed";
	out->source = source;
	out->error = err;
	out->latency_ms = (clock_mono_ns() - from_ns) / NS_PER_MS;
	out->first_byte_ms = job->first_byte_ns
				 ? (job->first_byte_ns - from_ns) / NS_PER_MS
				 : SCHEMA_INT_NONE;
	if (source)
		settlement_count(job,
				 job->is_sse && strcmp(source, "partial") == 0);
	job_observe(job);
}

static const char *
source_of(const struct job *job)
{
	if (job->is_cut)
		return "partial";
	return provider_usage_is_whole(&job->usage) ? "provider" : "estimated";
}

/* Whether the provider may bill an answer that came to nothing: it got the
 * whole question and did not say what became of it; or it had begun with a 2xx,
 * and neither did the provider itself say that it failed before it had
 * generated anything, nor is it somebody else's page. What is coded although
 * we asked for it plain cannot be told from an answer. */
static bool
may_be_billed(const struct job *job)
{
	struct str body = buf_str(&job->in);

	if (job->status == 0)
		return job->is_sent;
	if (!is_2xx(job->status))
		return false;
	if (job->is_said_failed)
		return job->text_bytes > 0;
	while (body.n && memchr(" \t\r\n", body.p[0], 4)) {
		body.p++;
		body.n--;
	}
	return job->is_sse || job->is_coded || body.n == 0 || body.p[0] == '{';
}

/* Nothing of what was generated reached the client, or will. */
static bool
is_undelivered(const struct job *job)
{
	bool passes = job->is_head_sent && job->out.n > job->out_at;

	return !job->is_sse || job->text_bytes == 0 ||
	       (!job->has_passed && !passes);
}

void
job_fail(struct job *job, enum err err, const char *message,
	 int64_t retry_after_ms)
{
	bool is_consumed = may_be_billed(job);
	/* Our own limits are not what stopped it. */
	enum err said = err == ERR_RATE_LIMITED ? ERR_UPSTREAM_FAILED : err;
	bool is_free = is_undelivered(job);

	series_add(job_series(job), SERIES_UPSTREAM_ERRORS, 1);
	if (is_consumed && !job->is_sse && !job->is_said_failed &&
	    job->text_bytes == 0)
		job->text_bytes = job->in.n; /* nothing better is known */
	job_settlement(job, is_consumed ? "partial" : NULL, said);
	job->settlement.is_undelivered = is_free;
	job->may_be_billed = is_consumed;
	job_answer_failure(job, err, str_of(message), retry_after_ms);
	job_settle(job);
}

void
job_abandon(struct job *job)
{
	bool is_consumed = false;

	loop_timer_clear(job->proxy->loop, &job->step);
	loop_timer_clear(job->proxy->loop, &job->watch);
	if (job->call) {
		is_consumed = job->status ? is_2xx(job->status)
					  : upstream_call_is_sent(job->call);
		job->sends += upstream_call_sends(job->call);
		upstream_abort(job->call);
		job->call = NULL;
		job_breaker_leaves(job);
	}
	job_settlement(job, is_consumed ? "partial" : NULL,
		       is_consumed ? ERR_OK : ERR_CANCELLED_BY_CALLER);
	job_settle(job);
}

/* --- the end --------------------------------------------------------- */

static void
stream_end(struct job *job, enum err err)
{
	if (err == ERR_OK && !job->is_refused)
		job->is_refused = sse_end(&job->sse, on_event, job) != ERR_OK;
	if (!job->is_done) {
		job_fail(job, err == ERR_OK ? ERR_UPSTREAM_FAILED : err,
			 job->is_refused
			     ? "the AI provider failed in mid-answer"
			     : "the AI provider's answer broke off",
			 0);
		return;
	}
	job_settlement(job, source_of(job), ERR_OK);
	job_answer_end(job, true);
	job_settle(job);
}

/* What the client gets of it. */
static enum err
pass_body(struct job *job)
{
	struct translate_how how = translate_how(job);
	struct arena arena;
	enum err err;

	if (job->shape == REQUEST_CHAT)
		return ERR_OK;
	if (!job_is_translated(job)) {
		struct buf empty = job->out;

		job->out = job->in;
		job->in = empty;
		return ERR_OK;
	}
	arena_init(&arena, 2 * PROXY_ANSWER_BYTES_MAX);
	err = translate_answer(&how, buf_str(&job->in), &job->usage, &arena,
			       &job->out);
	arena_fini(&arena);
	return err;
}

/* It was read, and is billed, but cannot be passed on. */
static void
refuse_read(struct job *job, enum err err)
{
	job->settlement.error = err;
	job->settlement.is_undelivered = true;
	job->may_be_billed = true;
	job_answer_failure(job, err, STR_NONE, 0);
}

static void
count_end(struct job *job)
{
	struct json_value root, tokens;
	int64_t n;

	if (!json_check(buf_str(&job->in), &root) || root.type != JSON_OBJECT ||
	    !json_get(root, STR("input_tokens"), &tokens) ||
	    tokens.type != JSON_NUMBER || !json_int(tokens, &n)) {
		job_fail(job, ERR_UPSTREAM_FAILED,
			 "the AI provider's answer was not usable", 0);
		return;
	}
	buf_add_str(&job->out, buf_str(&job->in));
	job_answer_end(job, false);
	job_settle(job);
}

static void
body_end(struct job *job, enum err err)
{
	struct provider_answer said;
	bool is_read;

	if (job->is_count && err == ERR_OK) {
		count_end(job);
		return;
	}
	/* Whole JSON is a whole answer, also where the body's end is missing
	 * behind it: it is billed. */
	is_read = !job->is_count && job->row->wire->read_answer(
					buf_str(&job->in), &job->usage, &said);
	if (!is_read && err != ERR_OK) {
		job_fail(job, err, NULL, 0);
		return;
	}
	if (is_read) {
		job->is_said_failed = said.is_failure;
		job->text_bytes = said.text_bytes;
	}
	/* One that has begun as a stream cannot become something else. */
	if (!is_read || said.is_failure || job->is_head_sent) {
		job_fail(job, ERR_UPSTREAM_FAILED,
			 "the AI provider's answer was not usable", 0);
		return;
	}
	take_model(job, said.model);
	job->text = said.text;
	job_settlement(job, source_of(job), ERR_OK);
	err = pass_body(job);
	if (err == ERR_OK)
		job_answer_end(job, job->shape == REQUEST_CHAT);
	else
		refuse_read(job, err);
	job_settle(job);
}

void
job_read_end(struct job *job, enum err err)
{
	if (job->is_sse)
		stream_end(job, err);
	else
		body_end(job, err);
}
