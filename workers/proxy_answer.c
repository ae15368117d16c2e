/*
 * proxy_answer: what the client gets. Bytes gather in job->out and leave as
 * parts of the bus's stream while there is credit; the first one is in the
 * head, and an answer that fits into one part is one message. See proxy.h.
 */
#include "lib/clock.h"
#include "workers/proxy.h"

#define HEAD_BYTES_MAX 512 /* of an ai_head beside its body */

/* What came of the provider last is what this head was waiting for. */
static int64_t
upstream_us(const struct job *job)
{
	int64_t end_ns = job->first_byte_ns ? job->heard_ns : clock_mono_ns();

	return job->called_ns ? (end_ns - job->called_ns) / 1000 : 0;
}

/* As admission had it. */
static void
head_fill_left(const struct reserved *from, struct ai_head *head)
{
	head->rate_limit = from->rate_limit;
	head->rate_remaining = from->rate_remaining;
	head->rate_reset_ms = from->rate_reset_ms;
	head->tokens_limit = from->tokens_limit;
	head->tokens_remaining = from->tokens_remaining;
	head->tokens_reset_ms = from->tokens_reset_ms;
	head->month_limit = from->month_limit;
	head->month_remaining = from->month_remaining;
	head->spend_limit = from->spend_limit;
	head->spend_remaining = from->spend_remaining;
	head->concurrent_limit = from->concurrent_limit;
	head->concurrent_remaining = from->concurrent_remaining;
}

static void
head_fill(const struct job *job, struct str body, struct ai_head *head)
{
	schema_clear(&ai_head_schema, head);
	head->status = job->out_status ? job->out_status : 200;
	head->is_stream = job->is_sse || job->is_begun;
	head->content_type = head->is_stream ? STR("text/event-stream")
					     : STR("application/json");
	head->provider = str_of(job->row->name);
	head->upstream_us = upstream_us(job);
	head_fill_left(&job->reserved, head);
	head->body = body;
}

static void
answer_last(struct job *job, enum err err, struct str body)
{
	bus_answer(job->proxy->bus, job->from, err, body);
	job->from = NULL;
}

/* False: there was no memory, and the answer has ended. */
static bool
send_part(struct job *job, struct str bytes, bool is_last)
{
	struct buf *scratch = &job->proxy->scratch;
	struct ai_head head;

	job->has_passed |= bytes.n > 0;
	if (!job->is_head_sent) {
		head_fill(job, bytes, &head);
		buf_reset(scratch);
		schema_encode(&ai_head_schema, &head, scratch);
		if (scratch->is_failed) {
			answer_last(job, ERR_NO_MEMORY, STR(""));
			return false;
		}
		bytes = buf_str(scratch);
		job->is_head_sent = true;
	}
	if (is_last)
		answer_last(job, ERR_OK, bytes);
	else
		bus_answer_part(job->proxy->bus, job->from, bytes);
	return true;
}

static void
send_failure(struct job *job)
{
	struct buf *scratch = &job->proxy->scratch;
	struct failure failure;

	schema_clear(&failure_schema, &failure);
	failure.message = job->failure_text[0]
			      ? str_of(job->failure_text)
			      : str_of(err_text(job->failure_err));
	if (job->failure_retry_ms > 0)
		failure.retry_after_ms = job->failure_retry_ms;
	failure.may_be_billed = job->may_be_billed;
	buf_reset(scratch);
	schema_encode(&failure_schema, &failure, scratch);
	answer_last(job, job->failure_err,
		    scratch->is_failed ? STR("") : buf_str(scratch));
}

/* Bytes that the next part may have; <= 0: wait for credit. The callback comes
 * only when all of it was used up, so it is, to the last byte. */
static int64_t
part_room(const struct job *job)
{
	int64_t credit = bus_from_credit(job->from);

	if (!job->is_head_sent)
		credit -= HEAD_BYTES_MAX; /* all of it is there at first */
	return credit < PROXY_PART_BYTES_MAX ? credit : PROXY_PART_BYTES_MAX;
}

void
job_pump(struct job *job)
{
	bool ends_well = job->is_complete && job->failure_err == ERR_OK;

	while (job->from && job->out_at < job->out.n) {
		size_t rest = job->out.n - job->out_at;
		bool is_last = ends_well && rest <= PROXY_PART_BYTES_MAX;
		int64_t room = part_room(job);
		size_t n = rest;

		if (!is_last && room <= 0)
			return;
		if (!is_last && (int64_t)rest > room)
			n = (size_t)room;
		if (!send_part(job, str_bytes(job->out.p + job->out_at, n),
			       is_last))
			return;
		job->out_at += n;
	}
	buf_reset(&job->out);
	job->out_at = 0;
	if (job->from && ends_well)
		send_part(job, STR(""), true);
	else if (job->from && job->is_complete)
		send_failure(job);
}

void
job_begin_stream(struct job *job)
{
	if (job->from == NULL || job->is_head_sent)
		return;
	job->is_begun = true;
	send_part(job, STR(""), false);
}

/* --- what waits for the settlement ----------------------------------- */

static void
add_member(struct buf *out, const char *name, struct str text)
{
	buf_add_z(out, ",\"");
	buf_add_z(out, name);
	buf_add_z(out, "\":");
	json_write_string(out, text);
}

/* usage, cost and request id, as both forms of /api/chat end. */
static void
add_account(const struct job *job, struct buf *out)
{
	const struct settlement *from = &job->settlement;
	int64_t prompt = from->input + from->cache_read + from->cache_write;

	buf_add_z(out, "\"usage\":{\"prompt_tokens\":");
	buf_add_int(out, prompt);
	buf_add_z(out, ",\"completion_tokens\":");
	buf_add_int(out, from->output);
	buf_add_z(out, ",\"total_tokens\":");
	buf_add_int(out, prompt + from->output);
	buf_add_z(out, "},\"cost\":");
	if (job->has_cost)
		buf_add_int(out, job->cost);
	else
		buf_add_z(out, "null");
	add_member(out, "request_id", job->request_id);
	buf_add_char(out, '}');
}

static void
add_chat_answer(struct job *job)
{
	struct buf *out = &job->out;

	buf_add_z(out, "{\"success\":true,\"response\":");
	if (job->text.p)
		buf_add_str(out, job->text);
	else
		buf_add_z(out, "\"\"");
	add_member(out, "provider", str_of(job->row->name));
	add_member(out, "model",
		   job->model_said.p ? job->model_said : job->model);
	buf_add_char(out, ',');
	add_account(job, out);
}

static void
add_tail(struct job *job)
{
	if (job->shape != REQUEST_CHAT) {
		buf_add_str(&job->out, buf_str(&job->tail));
	} else if (job->is_sse) {
		buf_add_z(&job->out, "data: {\"done\":true,");
		add_account(job, &job->out);
		buf_add_z(&job->out, "\n\ndata: [DONE]\n\n");
	} else {
		add_chat_answer(job);
	}
}

void
job_release(struct job *job)
{
	if (!job->is_held)
		return;
	job->is_held = false;
	loop_timer_clear(job->proxy->loop, &job->watch);
	add_tail(job);
	if (job->out.is_failed) {
		job_answer_failure(job, ERR_NO_MEMORY, STR_NONE, 0);
		return;
	}
	job->is_complete = true;
	job_pump(job);
}

static void
on_hold_over(void *ctx)
{
	struct job *job = ctx;

	job_release(job);
	job_check(job);
}

void
job_answer_end(struct job *job, bool waits_for_settlement)
{
	if (job->from == NULL)
		return;
	if (waits_for_settlement) {
		job->is_held = true;
		loop_timer_set(job->proxy->loop, &job->watch, PROXY_HOLD_MS,
			       on_hold_over, job);
		return;
	}
	job->is_complete = true;
	job_pump(job);
}

/* --- failures -------------------------------------------------------- */

void
job_answer_failure(struct job *job, enum err err, struct str message,
		   int64_t retry_after_ms)
{
	if (job->from == NULL)
		return;
	job_keep(job->failure_text, sizeof(job->failure_text), message);
	job->failure_err = err;
	job->failure_retry_ms = retry_after_ms;
	job->is_complete = true;
	if (!job->is_head_sent) {
		buf_reset(&job->out);
		job->out_at = 0;
	}
	job_pump(job);
}

void
job_refuse(struct job *job, enum err err, struct str body)
{
	job->stage = JOB_SETTLED;
	if (job->from && (body.n == 0 || err == ERR_MALFORMED))
		job_answer_failure(job, err, STR_NONE, 0);
	else if (job->from)
		answer_last(job, err, body);
	job_check(job);
}
