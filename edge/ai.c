/*
 * ai: AI requests, handed to a proxy as they came and answered as they come:
 * one message when the answer is complete, a stream with credit when it is not.
 * Always holds: what the client has not read is bounded by the credit; a stream
 * that breaks never ends properly on the wire.
 */
#include "edge/ask.h"
#include "edge/auth.h"
#include "edge/routes.h"
#include "lib/clock.h"
#include "lib/series.h"
#include "lib/trace.h"

#define NS_PER_US 1000
#define VERSION_BYTES_MAX 64 /* as in lib/msg.def */
#define BETA_BYTES_MAX 1024

/* --- a stream ------------------------------------------------------------ */

static void
remember_tail(struct http_request *r, struct str part)
{
	if (part.n >= 2) {
		r->stream.tail[0] = part.p[part.n - 2];
		r->stream.tail[1] = part.p[part.n - 1];
	} else if (part.n == 1) {
		r->stream.tail[0] = r->stream.tail[1];
		r->stream.tail[1] = part.p[0];
	}
}

/* Behind an empty line nothing is half said. */
static bool
is_between_events(const struct http_request *r)
{
	return r->stream.tail[1] == '\0' ||
	       (r->stream.tail[0] == '\n' && r->stream.tail[1] == '\n');
}

/* Bytes of ours, which take no credit. */
static bool
write_own(struct http_request *r, struct str part)
{
	r->stream.uncredited += part.n;
	return http_stream_write(r, part);
}

/* What Anthropic says while it thinks, which its clients know at any place; no
 * client of the others has an event that means nothing. */
static struct str
sign_of_life(const struct http_request *r)
{
	if (r->shape == SHAPE_ANTHROPIC)
		return STR("event: ping\ndata: {\"type\": \"ping\"}\n\n");
	return STR(": keep-alive\n\n");
}

static void
on_silence(void *ctx)
{
	struct http_request *r = ctx;
	struct loop *loop = edge_of(r)->loop;
	int64_t keep_alive_ms = edge_of(r)->conf.keep_alive_ms;
	int64_t silent_ms =
	    (loop_now_ns(loop) - r->stream.last_part_ns) / NS_PER_MS;

	if (silent_ms >= keep_alive_ms) {
		if (is_between_events(r))
			write_own(r, sign_of_life(r));
		r->stream.last_part_ns = loop_now_ns(loop);
		silent_ms = 0;
	}
	loop_timer_set(loop, &r->timer, keep_alive_ms - silent_ms, on_silence,
		       r);
}

/* The stream is over; err says how. A client must be able to tell that it is
 * not whole: an error event if it is one of events, and a cut connection. */
static void
stream_finish(struct http_request *r, enum err err, struct str body)
{
	struct failure failure;
	bool has_failure;

	loop_timer_clear(edge_of(r)->loop, &r->timer);
	if (err != ERR_OK && r->stream.is_sse) {
		has_failure =
		    body.n > 0 && schema_decode(&failure_schema, body, &failure,
						&r->arena, NULL) == ERR_OK;
		buf_reset(&r->scratch);
		buf_add_z(&r->scratch, is_between_events(r) ? "" : "\n\n");
		buf_add_z(&r->scratch, r->shape == SHAPE_ANTHROPIC
					   ? "event: error\ndata: "
					   : "data: ");
		reply_print_error(&r->scratch, (enum route_shape)r->shape, err,
				  has_failure ? &failure : NULL, r->id);
		buf_add_z(&r->scratch, "\n\n");
		write_own(r, buf_str(&r->scratch));
	}
	http_stream_end(r, err == ERR_OK);
}

/* False: the stream is over. */
static bool
stream_part(struct http_request *r, struct str part)
{
	r->stream.last_part_ns = loop_now_ns(edge_of(r)->loop);
	remember_tail(r, part);
	if (http_stream_write(r, part))
		return true;
	/* More than the credit: the worker does not keep to it. */
	ask_end(r);
	stream_finish(r, ERR_OVERLOADED, STR_NONE);
	return false;
}

void
ai_consumed(struct http_request *r, size_t bytes)
{
	size_t own = r->stream.uncredited;

	if (own > bytes)
		own = bytes;
	r->stream.uncredited -= own;
	if (r->ask.is_asked && bytes > own)
		bus_credit(edge_of(r)->bus, r->ask.id, bytes - own);
}

static void
stream_begin(struct http_request *r, const struct ai_head *head, size_t bytes)
{
	r->stream.has_head = true;
	r->stream.is_sse = head->is_stream;
	if (head->is_stream) {
		http_header(r, "Cache-Control", "no-cache");
		http_header(r, "X-Accel-Buffering", "no");
	}
	http_stream(r, (int)head->status,
		    arena_str(&r->arena, head->content_type).p);
	/* The head's own bytes are read already. */
	bus_credit(edge_of(r)->bus, r->ask.id, bytes - head->body.n);
	if (head->body.n > 0 && !stream_part(r, head->body))
		return;
	r->stream.last_part_ns = loop_now_ns(edge_of(r)->loop);
	if (head->is_stream)
		loop_timer_set(edge_of(r)->loop, &r->timer,
			       edge_of(r)->conf.keep_alive_ms, on_silence, r);
}

/* --- answers ------------------------------------------------------------- */

/* Of the time since the question was here, what was not the provider's. */
static int64_t
overhead_us(const struct http_request *r, const struct ai_head *head)
{
	int64_t us =
	    (loop_now_ns(edge_of(r)->loop) - r->ask.began_ns) / NS_PER_US;

	if (head->upstream_us > 0)
		us -= head->upstream_us;
	return us > 0 ? us : 0;
}

/* Who answers, and what of the time was ours. */
static void
tell_house(struct http_request *r, const struct ai_head *head)
{
	int64_t us = overhead_us(r, head);

	series_observe(series_provider(head->provider), SERIES_AI_OVERHEAD, us);
	reply_text(r, "x-chatello-provider", head->provider);
	reply_ms(r, "x-chatello-overhead-ms", us);
}

/* Where the licence, or its workspace, stands behind this request. */
static void
tell_limits(struct http_request *r, const struct ai_head *head)
{
	const struct reply_left left[REPLY_LEFTS] = {
	    [LEFT_REQUESTS_MONTH] = {head->month_limit, head->month_remaining},
	    [LEFT_SPEND_MONTH] = {head->spend_limit, head->spend_remaining},
	    [LEFT_CONCURRENT] = {head->concurrent_limit,
				 head->concurrent_remaining},
	};

	reply_ai_rates(
	    r,
	    &(struct reply_rate){head->rate_limit, head->rate_remaining,
				 head->rate_reset_ms},
	    &(struct reply_rate){head->tokens_limit, head->tokens_remaining,
				 head->tokens_reset_ms});
	reply_ai_left(r, left);
}

static void
on_head(struct http_request *r, const struct bus_answer *answer)
{
	struct ai_head head;

	if (schema_decode(&ai_head_schema, answer->body, &head, &r->arena,
			  NULL) != ERR_OK ||
	    head.status < 200 || head.status > 599) {
		ask_end(r);
		reply_error(r, ERR_MALFORMED, NULL);
		return;
	}
	if (head.content_type.n == 0)
		head.content_type = STR("application/json");
	tell_house(r, &head);
	tell_limits(r, &head);
	reply_headers(r);
	if (!answer->is_last) {
		stream_begin(r, &head, answer->body.n);
		return;
	}
	buf_reset(&r->out);
	buf_add_str(&r->out, head.body);
	http_reply(r, (int)head.status,
		   arena_str(&r->arena, head.content_type).p, buf_str(&r->out));
}

static void
on_ai(struct http_request *r, const struct bus_answer *answer)
{
	if (!r->stream.has_head) {
		if (answer->err != ERR_OK)
			ask_reply_failure(r, answer->err, answer->body);
		else
			on_head(r, answer);
		return;
	}
	if (answer->err == ERR_OK && answer->body.n > 0 &&
	    !stream_part(r, answer->body))
		return;
	if (answer->is_last)
		stream_finish(r, answer->err, answer->body);
}

/* --- questions ----------------------------------------------------------- */

/* The site in the body of our own shape; a body that is no JSON is the proxy's
 * to refuse. */
static void
take_domain(struct http_request *r)
{
	static const char name[] = "\"domain\"";
	struct str key = r->key, domain = STR_NONE;

	if (r->shape != SHAPE_API ||
	    memmem(r->body.p, r->body.n, name, sizeof(name) - 1) == NULL)
		return;
	if (auth_read(&r->head, buf_str(&r->body), &key, &domain, &r->arena,
		      NULL) == ERR_OK)
		r->domain = domain;
}

/* What says no more of a trace than somebody made up goes nowhere; a state
 * means nothing without its trace. */
static void
take_trace(const struct http_request *r, struct ai_request *question)
{
	struct str parent = r->head.header[AUDIT_TRACEPARENT];
	struct str state = r->head.header[AUDIT_TRACESTATE];

	if (!trace_is_valid(parent))
		return;
	question->traceparent = str_bytes(parent.p, TRACE_PARENT_CHARS);
	if (trace_state_is_valid(state))
		question->tracestate = state;
}

/* As the client sent them; the proxy says to whom they go. */
static bool
take_headers(struct http_request *r, struct ai_request *question)
{
	const struct str *header = r->head.header;

	question->anthropic_version = header[AUDIT_ANTHROPIC_VERSION];
	question->anthropic_beta = header[AUDIT_ANTHROPIC_BETA];
	take_trace(r, question);
	return question->anthropic_version.n <= VERSION_BYTES_MAX &&
	       question->anthropic_beta.n <= BETA_BYTES_MAX;
}

static struct str
shape_name(const struct http_request *r)
{
	if (r->shape == SHAPE_OPENAI)
		return STR("openai");
	return r->shape == SHAPE_ANTHROPIC ? STR("anthropic") : STR("chat");
}

static void
ask_proxy(struct http_request *r, struct str shape)
{
	struct ai_request question;

	if (r->body.n == 0) {
		reply_error(r, ERR_BAD_REQUEST, "the body is empty: send JSON");
		return;
	}
	take_domain(r);
	schema_clear(&ai_request_schema, &question);
	question.request_id = r->id;
	question.key = r->key;
	question.domain = r->domain;
	question.shape = shape;
	if (!take_headers(r, &question)) {
		reply_error(r, ERR_BAD_REQUEST,
			    "anthropic-version or anthropic-beta is too long: "
			    "at most 64 and 1024 characters");
		return;
	}
	question.body = buf_str(&r->body);
	ask(r, &(struct ask){
		   .schema = &ai_request_schema,
		   .in = &question,
		   .takes_errors = true,
		   .fn = on_ai,
	       });
	http_body_done(r);
}

void
serve_chat(struct http_request *r)
{
	ask_proxy(r, shape_name(r));
}

void
serve_count_tokens(struct http_request *r)
{
	ask_proxy(r, STR("count"));
}
