/*
 * proxy_call: the provider is called, within the deadlines, and again while
 * nothing was billed: when no connection was made, or the status says so. The
 * demo answers from here. See proxy.h.
 */
#include "lib/clock.h"
#include "lib/log.h"
#include "workers/providers/demo.h"
#include "workers/proxy.h"

static void on_watch(void *ctx);

/* --- again, or not --------------------------------------------------- */

/* Between half and one and a half of 100 ms, 200 ms; at least what the
 * provider wished. -1: not again. */
static int64_t
retry_ms(const struct job *job)
{
	int64_t now_ns = clock_mono_ns();
	int64_t base = PROXY_BACKOFF_MS;
	int64_t ms;

	if (job->tries > PROXY_RETRIES_MAX ||
	    job->retry_after_ms > PROXY_RETRY_AFTER_MS_MAX)
		return -1;
	base <<= job->tries - 1;
	ms = base / 2 + now_ns / 1000 % base;
	if (ms < job->retry_after_ms)
		ms = job->retry_after_ms;
	return now_ns + ms * NS_PER_MS < job->total_ns ? ms : -1;
}

static bool
call_again(struct job *job)
{
	int64_t ms = retry_ms(job);

	if (ms < 0)
		return false;
	series_add(job_series(job), SERIES_UPSTREAM_RETRIES, 1);
	loop_timer_set(job->proxy->loop, &job->step, ms, job_call_once, job);
	return true;
}

/* --- answers that are no 2xx ----------------------------------------- */

struct str
proxy_error_message(struct str body, struct arena *arena)
{
	struct json_value root, error, message;

	if (!json_check(body, &root) || root.type != JSON_OBJECT ||
	    !json_get(root, STR("error"), &error) ||
	    error.type != JSON_OBJECT ||
	    !json_get(error, STR("message"), &message) ||
	    message.type != JSON_STRING)
		return STR_NONE;
	return json_string(message, arena);
}

struct str
proxy_utf8_head(struct str s, size_t n)
{
	if (s.n <= n)
		return s;
	while (n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return str_bytes(s.p, n);
}

static enum err
err_of_status(int status)
{
	if (status == 404)
		return ERR_MODEL_UNKNOWN;
	if (status == 413)
		return ERR_BODY_TOO_LARGE;
	return status == 422 ? ERR_BAD_FIELD : ERR_BAD_REQUEST;
}

/* The client's doing: in its own shape it gets what the provider said. */
static void
pass_error(struct job *job)
{
	enum err err = err_of_status(job->status);
	struct json_value root;
	struct arena arena;

	job_settlement(job, NULL, err);
	if (job_key_is_in(job, buf_str(&job->in))) {
		JOB_WARN(job, "upstream-says-key", "provider=%s status=%d",
			 job->row->name, job->status);
		job_answer_failure(job, err, STR_NONE, 0);
	} else if (!job->is_head_sent && job_is_translated(job)) {
		job->out_status = job->status;
		translate_error(job->row->wire->shape, job->status,
				buf_str(&job->in), job->request_id, &job->out);
		job_answer_end(job, false);
	} else if (!job->is_head_sent && job->shape != REQUEST_CHAT &&
		   json_check(buf_str(&job->in), &root)) {
		job->out_status = job->status;
		buf_add_str(&job->out, buf_str(&job->in));
		job_answer_end(job, false);
	} else {
		arena_init(&arena, 2 * PROXY_ERROR_BYTES_MAX);
		job_answer_failure(
		    job, err,
		    proxy_utf8_head(
			proxy_error_message(buf_str(&job->in), &arena),
			sizeof(job->failure_text) - 1),
		    0);
		arena_fini(&arena);
	}
	job_settle(job);
}

static void
alarm_operator(struct job *job)
{
	series_add(job_series(job), SERIES_UPSTREAM_ALARMS, 1);
	JOB_WARN(job, "upstream-refuses-us",
		 "provider=%s status=%d remedy=\"check the key and the "
		 "balance of the account\"",
		 job->row->name, job->status);
	job_fail(job, ERR_UPSTREAM_FAILED,
		 "the AI provider refuses this server: its operator must look",
		 0);
}

static void
error_status(struct job *job)
{
	enum provider_verdict verdict =
	    job->row->wire->judge(job->status, buf_str(&job->in));

	if (verdict == PROVIDER_PASS) {
		pass_error(job);
		return;
	}
	if (job_key_refused(job, verdict))
		return;
	if (verdict == PROVIDER_ALARM) {
		alarm_operator(job);
		return;
	}
	if (verdict != PROVIDER_FAIL && call_again(job))
		return;
	if (verdict != PROVIDER_FAIL && job_fall_back(job))
		return;
	JOB_WARN(job, "upstream-failed", "provider=%s status=%d tries=%u",
		 job->row->name, job->status, job->tries);
	if (verdict == PROVIDER_LIMIT)
		job_fail(job, ERR_RATE_LIMITED,
			 "the AI provider takes no more requests for now: try "
			 "again later",
			 job->retry_after_ms > 0 ? job->retry_after_ms : 1000);
	else
		job_fail(job, ERR_UPSTREAM_FAILED, NULL, 0);
}

/* --- one call -------------------------------------------------------- */

/* What a call that has ended says of its provider. */
static void
tell_breaker(struct job *job)
{
	if (job->status >= 500 || job->status == 408)
		job_breaker_fails(job);
	else if (job->status)
		job_breaker_works(job);
	else if (clock_mono_ns() >= job->total_ns)
		job_breaker_leaves(job); /* it may have had no time */
	else
		job_breaker_fails(job);
}

static void
call_over(struct job *job, const struct upstream_end *end)
{
	job->call = NULL;
	job->sends += end->sends;
	job->is_sent = end->is_sent;
	loop_timer_clear(job->proxy->loop, &job->watch);
	tell_breaker(job);
	if (job->status >= 200 && job->status <= 299) {
		if (end->err != ERR_OK && !job->is_done)
			JOB_WARN(job, "upstream-broke-off",
				 "provider=%s error=\"%s\"", job->row->name,
				 job->is_refused ? "an error in mid-answer, or "
						   "too much of it"
						 : end->text);
		job_key_works(job);
		job_read_end(job, end->err);
		return;
	}
	if (job->status != 0) {
		error_status(job);
		return;
	}
	if (!end->is_sent && (call_again(job) || job_fall_back(job)))
		return;
	JOB_WARN(job, "upstream-failed", "provider=%s tries=%u error=\"%s\"",
		 job->row->name, job->tries, end->text);
	job_fail(job, end->err == ERR_OK ? ERR_UPSTREAM_FAILED : end->err, NULL,
		 0);
}

static void
on_head(void *ctx, const struct upstream_head *head)
{
	job_read_head(ctx, head);
}

static enum upstream_take
on_body(void *ctx, struct str bytes)
{
	return job_read_body(ctx, bytes);
}

static void
on_end(void *ctx, const struct upstream_end *end)
{
	call_over(ctx, end);
}

static const struct upstream_handler handler = {on_head, on_body, on_end};

static void
watch_set(struct job *job, int64_t at_ns)
{
	int64_t ms = (at_ns - clock_mono_ns()) / NS_PER_MS + 1;

	loop_timer_set(job->proxy->loop, &job->watch, ms > 0 ? ms : 0, on_watch,
		       job);
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void
give_up(struct job *job, const char *text)
{
	struct upstream_end end = {ERR_UPSTREAM_TIMEOUT,
				   upstream_call_sends(job->call),
				   upstream_call_is_sent(job->call), text};

	upstream_abort(job->call);
	call_over(job, &end);
}

/* Until when the provider may be silent. */
static int64_t
silent_ns(const struct job *job, int64_t from_ns)
{
	const struct conf *conf = job->proxy->conf;

	return from_ns + (job->status ? conf->upstream_silence_ms
				      : conf->upstream_first_byte_ms) *
			     NS_PER_MS;
}

/* When a client that waits for a stream is told that it is being worked on,
 * which can be said only behind a head. INT64_MAX: it has one, or wants none.
 */
static int64_t
begin_ns(const struct job *job)
{
	if (!job->is_stream || job->is_head_sent)
		return INT64_MAX;
	return job->began_ns + job->proxy->conf->keep_alive_ms * NS_PER_MS;
}

/* Looks at what has passed since; set anew rather than at each byte. */
static void
watch_look(struct job *job, int64_t now_ns)
{
	const struct conf *conf = job->proxy->conf;
	/* An answer that begins meanwhile has less time than it had until
	 * then. */
	int64_t next_ns =
	    earlier(now_ns + conf->upstream_silence_ms * NS_PER_MS,
		    silent_ns(job, job->is_paused ? now_ns : job->heard_ns));

	next_ns = earlier(next_ns, begin_ns(job));
	watch_set(job, earlier(next_ns, job->total_ns));
}

static void
on_watch(void *ctx)
{
	struct job *job = ctx;
	int64_t now_ns = clock_mono_ns();

	if (now_ns >= job->total_ns) {
		give_up(job, "the deadline of the request has passed");
		return;
	}
	if (!job->is_paused && now_ns >= silent_ns(job, job->heard_ns)) {
		give_up(job, job->status ? "the provider is silent"
					 : "no answer has begun in time");
		return;
	}
	if (now_ns >= begin_ns(job))
		job_begin_stream(job);
	watch_look(job, now_ns);
}

static void
demo_answer(struct job *job)
{
	struct demo_ask ask = {
	    .model = job->model,
	    .created_s = clock_wall_ms() / 1000,
	    .prompt_tokens = job->prompt_tokens,
	    .is_stream = job->is_stream,
	};
	struct upstream_head head = {200,
				     job->is_stream ? STR("text/event-stream")
						    : STR("application/json"),
				     -1, false};

	job->sends = 1;
	buf_reset(&job->body);
	demo_write(&ask, &job->body);
	job_read_head(job, &head);
	job_read_body(job, buf_str(&job->body));
	job_read_end(job, ERR_OK);
}

void
job_call_once(void *ctx)
{
	struct job *job = ctx;
	struct proxy *proxy = job->proxy;
	struct upstream_target *target =
	    job->is_count ? provider_counter(&proxy->providers, job->row)
			  : provider_target(&proxy->providers, job->row);
	struct upstream_ask ask = {
	    .body = buf_str(&job->body),
	    .extra = buf_str(&job->headers),
	    .handler = &handler,
	    .ctx = job,
	};
	char key_header[PROXY_KEY_HEADER_BYTES];
	int64_t wait_ms = 0;
	enum err err;

	job_read_reset(job);
	job->tries++;
	job->heard_ns = clock_mono_ns();
	if (job_waits_for_news(job))
		return;
	job_capture_begin(job);
	if (job->row->is_inside) {
		demo_answer(job);
		return;
	}
	if (target == NULL && job_fall_back(job))
		return;
	if (target == NULL) {
		job_fail(job, ERR_UPSTREAM_FAILED,
			 "the provider was removed meanwhile", 0);
		return;
	}
	if (!job_key_take(job, key_header))
		return;
	ask.auth = key_header[0] ? key_header : NULL;
	err = job_breaker_take(job, &wait_ms)
		  ? upstream_call(target, &ask, &job->call)
		  : ERR_UPSTREAM_RESTING;
	explicit_bzero(key_header, sizeof(key_header));
	if (err != ERR_OK) {
		job_breaker_leaves(job);
		if (err != ERR_UPSTREAM_RESTING || !job_fall_back(job))
			job_fail(job, err, NULL, wait_ms);
		return;
	}
	series_add(job_series(job), SERIES_UPSTREAM_CALLS, 1);
	watch_look(job, job->heard_ns);
}

void
job_call(struct job *job)
{
	job->called_ns = clock_mono_ns();
	job->plan_called_ns = job->called_ns;
	job_call_once(job);
}
