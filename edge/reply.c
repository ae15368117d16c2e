/*
 * reply: see reply.h. Header values live in the request's arena.
 *
 * CORS: a workspace's origins are data of the store, which the edge does not
 * have. Nothing here is authorised by a cookie, only by a key that the page
 * must already hold, so every origin may read the answers ("*", never with
 * credentials), and a preflight asks nobody.
 */
#include "edge/reply.h"

#include "edge/edge.h"
#include "lib/ai_error.h"
#include "lib/calendar.h"
#include "lib/clock.h"
#include "lib/json.h"

#define MS_PER_S 1000
#define US_PER_MS 1000
#define RETRY_AFTER_DEFAULT_MS 1000
#define RETRY_UNASKED_MS_MAX 60000 /* what a program may wait by itself */

/* What a page's script may read: all that it has a use for and that answers of
 * this shape have. */
#define EXPOSED                                                                \
	"x-request-id, x-chatello-provider, x-chatello-overhead-ms, "          \
	"Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, " \
	"x-ratelimit-limit-requests-month, "                                   \
	"x-ratelimit-remaining-requests-month, "                               \
	"x-ratelimit-limit-spend-month, x-ratelimit-remaining-spend-month, "   \
	"x-ratelimit-limit-concurrent, x-ratelimit-remaining-concurrent"

static const char *
exposed(const struct http_request *r)
{
	if (r->shape == SHAPE_OPENAI)
		return EXPOSED ", x-should-retry, x-ratelimit-limit-requests, "
			       "x-ratelimit-remaining-requests, "
			       "x-ratelimit-reset-requests, "
			       "x-ratelimit-limit-tokens, "
			       "x-ratelimit-remaining-tokens, "
			       "x-ratelimit-reset-tokens";
	if (r->shape == SHAPE_ANTHROPIC)
		return EXPOSED ", x-should-retry, request-id, "
			       "anthropic-ratelimit-requests-limit, "
			       "anthropic-ratelimit-requests-remaining, "
			       "anthropic-ratelimit-requests-reset, "
			       "anthropic-ratelimit-tokens-limit, "
			       "anthropic-ratelimit-tokens-remaining, "
			       "anthropic-ratelimit-tokens-reset";
	return EXPOSED;
}

void
reply_headers(struct http_request *r)
{
	http_header(r, "x-request-id", r->id_text);
	if (r->shape == SHAPE_ANTHROPIC) /* where its clients look for it */
		http_header(r, "request-id", r->id_text);
	if (listener_of(r)->which != LISTENER_PUBLIC ||
	    r->head.header[AUDIT_ORIGIN].p == NULL)
		return;
	http_header(r, "Access-Control-Allow-Origin", "*");
	http_header(r, "Access-Control-Expose-Headers", exposed(r));
}

/* Left out when there is no memory for it: the answer stands without. */
void
reply_text(struct http_request *r, const char *name, struct str value)
{
	struct str text = arena_str(&r->arena, value);

	if (text.p)
		http_header(r, name, text.p);
}

static void
header_int(struct http_request *r, const char *name, int64_t value)
{
	char text[BUF_INT_BYTES];
	size_t n = buf_print_int(text, value);

	reply_text(r, name, str_bytes(text, n));
}

void
reply_ms(struct http_request *r, const char *name, int64_t us)
{
	char text[BUF_INT_BYTES + 4];
	size_t n = buf_print_int(text, us / US_PER_MS);

	text[n++] = '.';
	for (int64_t unit = US_PER_MS / 10; unit > 0; unit /= 10)
		text[n++] = (char)('0' + us / unit % 10);
	reply_text(r, name, str_bytes(text, n));
}

static int64_t
seconds_up(int64_t ms)
{
	return ms / MS_PER_S + (ms % MS_PER_S > 0);
}

static bool
is_ai_shape(const struct http_request *r)
{
	return r->shape == SHAPE_OPENAI || r->shape == SHAPE_ANTHROPIC;
}

void
reply_rate(struct http_request *r, const struct reply_rate *rate)
{
	if (rate->limit != SCHEMA_INT_NONE)
		header_int(r, "RateLimit-Limit", rate->limit);
	if (rate->remaining != SCHEMA_INT_NONE)
		header_int(r, "RateLimit-Remaining", rate->remaining);
	if (rate->reset_ms != SCHEMA_INT_NONE)
		header_int(r, "RateLimit-Reset", seconds_up(rate->reset_ms));
}

/* "6m0s", "59s": a duration as OpenAI prints it. */
static struct str
duration_text(struct http_request *r, int64_t ms)
{
	char text[2 * BUF_INT_BYTES + 2];
	int64_t s = seconds_up(ms);
	size_t n = 0;

	if (s >= 60) {
		n = buf_print_int(text, s / 60);
		text[n++] = 'm';
		s %= 60;
	}
	n += buf_print_int(text + n, s);
	text[n++] = 's';
	return arena_str(&r->arena, str_bytes(text, n));
}

static struct str
instant_text(struct http_request *r, int64_t ms)
{
	char text[CALENDAR_TEXT_BYTES];
	int64_t at_ms = seconds_up(clock_wall_ms() + ms) * MS_PER_S;

	return arena_str(&r->arena,
			 str_bytes(text, calendar_print_utc(at_ms, text)));
}

/* limit, remaining, reset. */
static const char *const openai_names[][3] = {
    {"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
     "x-ratelimit-reset-requests"},
    {"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens",
     "x-ratelimit-reset-tokens"},
};
static const char *const anthropic_names[][3] = {
    {"anthropic-ratelimit-requests-limit",
     "anthropic-ratelimit-requests-remaining",
     "anthropic-ratelimit-requests-reset"},
    {"anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining",
     "anthropic-ratelimit-tokens-reset"},
};

void
reply_ai_rates(struct http_request *r, const struct reply_rate *requests,
	       const struct reply_rate *tokens)
{
	const struct reply_rate *const rates[] = {requests, tokens};
	bool is_openai = r->shape == SHAPE_OPENAI;

	reply_rate(r, requests);
	for (int i = 0; i < 2; i++) {
		const char *const *names =
		    is_openai ? openai_names[i] : anthropic_names[i];
		struct str reset;

		if (!is_ai_shape(r) || rates[i]->limit == SCHEMA_INT_NONE)
			continue;
		reset = is_openai ? duration_text(r, rates[i]->reset_ms)
				  : instant_text(r, rates[i]->reset_ms);
		header_int(r, names[0], rates[i]->limit);
		header_int(r, names[1], rates[i]->remaining);
		reply_text(r, names[2], reset);
	}
}

static const char *const left_names[REPLY_LEFTS][2] = {
    [LEFT_REQUESTS_MONTH] = {"x-ratelimit-limit-requests-month",
			     "x-ratelimit-remaining-requests-month"},
    [LEFT_SPEND_MONTH] = {"x-ratelimit-limit-spend-month",
			  "x-ratelimit-remaining-spend-month"},
    [LEFT_CONCURRENT] = {"x-ratelimit-limit-concurrent",
			 "x-ratelimit-remaining-concurrent"},
};

void
reply_ai_left(struct http_request *r, const struct reply_left left[REPLY_LEFTS])
{
	for (int i = 0; i < REPLY_LEFTS; i++) {
		if (left[i].limit == SCHEMA_INT_NONE)
			continue;
		header_int(r, left_names[i][0], left[i].limit);
		header_int(r, left_names[i][1], left[i].remaining);
	}
}

void
reply_retry_after(struct http_request *r, int64_t retry_after_ms)
{
	int64_t seconds = seconds_up(retry_after_ms);

	header_int(r, "Retry-After", seconds > 1 ? seconds : 1);
}

/* --- shapes -------------------------------------------------------------- */

static void
add_member(struct buf *out, const char *name, struct str value)
{
	buf_printf(out, "\"%s\":", name);
	json_write_string(out, value);
}

static void
add_line(struct buf *out, const struct failure *failure)
{
	if (failure->line.n == 0)
		return;
	buf_add_z(out, ",\"line\":");
	buf_add_str(out, failure->line);
}

static void
print_api(struct buf *out, enum err err, const struct failure *failure,
	  struct str request_id)
{
	buf_add_z(out, "{\"error\":{");
	add_member(out, "code", str_of(err_code(err)));
	buf_add_char(out, ',');
	add_member(out, "message", failure->message);
	buf_add_char(out, ',');
	add_member(out, "request_id", request_id);
	if (failure->field.n) {
		buf_add_char(out, ',');
		add_member(out, "field", failure->field);
	}
	if (failure->limit.n) {
		buf_add_char(out, ',');
		add_member(out, "limit", failure->limit);
	}
	add_line(out, failure);
	buf_add_z(out, "}}");
}

/* The ledger line goes in front of the last brackets: into the error in
 * OpenAI's shape, beside it in Anthropic's. */
static void
print_ai(struct buf *out, enum ai_shape shape, enum err err,
	 const struct failure *failure, struct str request_id)
{
	const struct ai_failure own = {err, failure->message, failure->field,
				       request_id};
	const char *end = shape == AI_OPENAI ? "}}" : "}";

	ai_error_write_own(shape, &own, out);
	if (failure->line.n == 0 || out->is_failed)
		return;
	out->n -= strlen(end);
	add_line(out, failure);
	buf_add_z(out, end);
}

static bool
is_verdict(enum err err)
{
	int status = err_row(err)->http_status;

	return status == 401 || status == 403 || status == 429;
}

/* As a worker says it, to the second. */
static void
print_validate(struct buf *out, enum err err, const struct failure *failure)
{
	int64_t now_ms = clock_wall_ms();
	struct validate_answer answer;

	schema_clear(&validate_answer_schema, &answer);
	answer.valid = false;
	answer.code = str_of(err_code(err));
	answer.message = failure->message;
	answer.checked_at = now_ms - now_ms % MS_PER_S;
	answer.cache_until = answer.checked_at;
	schema_print_json(&validate_answer_schema, &answer, out);
}

void
reply_print_error(struct buf *out, enum route_shape shape, enum err err,
		  const struct failure *failure, struct str request_id)
{
	struct failure own;

	schema_clear(&failure_schema, &own);
	if (failure)
		own = *failure;
	if (own.message.n == 0)
		own.message = str_of(err_text(err));
	if (shape == SHAPE_VALIDATE && is_verdict(err))
		print_validate(out, err, &own);
	else if (shape == SHAPE_OPENAI)
		print_ai(out, AI_OPENAI, err, &own, request_id);
	else if (shape == SHAPE_ANTHROPIC)
		print_ai(out, AI_ANTHROPIC, err, &own, request_id);
	else
		print_api(out, err, &own, request_id);
}

/* --- sending ------------------------------------------------------------- */

void
reply_json(struct http_request *r, int status)
{
	static const char no_memory[] = "{\"error\":{\"code\":\"NO_MEMORY\","
					"\"message\":\"out of memory\"}}";

	reply_headers(r);
	if (r->out.is_failed)
		http_reply(r, err_row(ERR_NO_MEMORY)->http_status,
			   "application/json", str_of(no_memory));
	else
		http_reply(r, status, "application/json", buf_str(&r->out));
}

void
reply_schema(struct http_request *r, int status, const struct schema *schema,
	     const void *in)
{
	schema_print_json(schema, in, &r->out);
	reply_json(r, status);
}

/* The official clients ask again by themselves, twice, after 408, 409, 429 and
 * 5xx, and sleep for as long as Retry-After says, be it the rest of the month;
 * unless x-should-retry says no. Source: their own code. */
static bool
is_worth_repeating(enum err err, const struct failure *failure,
		   int64_t retry_ms)
{
	if (failure && failure->may_be_billed)
		return false;
	return err != ERR_DEADLINE && err_row(err)->retry != ERR_RETRY_NEVER &&
	       retry_ms <= RETRY_UNASKED_MS_MAX;
}

void
reply_failure(struct http_request *r, enum err err,
	      const struct failure *failure)
{
	const struct err_row *row = err_row(err);
	int64_t retry_ms = failure ? failure->retry_after_ms : SCHEMA_INT_NONE;

	if (retry_ms < 0 &&
	    (row->http_status == 429 || row->http_status == 503))
		retry_ms = RETRY_AFTER_DEFAULT_MS;
	if (retry_ms >= 0)
		reply_retry_after(r, retry_ms);
	if (failure)
		reply_rate(r, &(struct reply_rate){failure->rate_limit,
						   failure->rate_remaining,
						   failure->rate_reset_ms});
	if (is_ai_shape(r) && !is_worth_repeating(err, failure, retry_ms))
		http_header(r, "x-should-retry", "false");
	if (row->http_status == 401) /* RFC 9110, section 15.5.2 */
		http_header(r, "WWW-Authenticate", "Bearer");
	buf_reset(&r->out);
	reply_print_error(&r->out, (enum route_shape)r->shape, err, failure,
			  r->id);
	reply_json(r, row->http_status);
}

static void
refuse(struct http_request *r, enum err err, const char *field,
       const char *text)
{
	struct failure failure;

	schema_clear(&failure_schema, &failure);
	failure.message = str_of(text);
	failure.field = str_of(field);
	reply_failure(r, err, &failure);
}

void
reply_error(struct http_request *r, enum err err, const char *text)
{
	refuse(r, err, NULL, text);
}

void
reply_why(struct http_request *r, enum err err, const struct why *why)
{
	refuse(r, err, why->field, why->text);
}

void
reply_field(struct http_request *r, const char *field, const char *text)
{
	refuse(r, ERR_BAD_FIELD, field, text);
}
