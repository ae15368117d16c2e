/*
 * upstream_answer: see upstream_answer.h.
 */
#include "workers/upstream_answer.h"

#include "lib/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define RETRY_AFTER_MAX_S 86400
#define LENGTH_DIGITS_MAX 18 /* fits in 64 bits */
#define CHUNK_DIGITS_MAX 15

enum state {
	STATUS,
	HEADER,
	BODY_NONE, /* behind the head comes nothing */
	BODY_LENGTH,
	BODY_CLOSE, /* up to the connection's end */
	CHUNK_SIZE,
	CHUNK_DATA,
	CHUNK_END, /* the line end behind the data */
	TRAILER,
	DONE,
	WRONG,
};

static void
head_begin(struct upstream_answer *answer)
{
	answer->state = STATUS;
	answer->is_kept = true;
	answer->is_chunked = false;
	answer->has_length = false;
	answer->left = 0;
	answer->head = (struct upstream_head){0, STR_NONE, -1, false};
}

void
upstream_answer_begin(struct upstream_answer *answer)
{
	head_begin(answer);
	answer->is_line_taken = false;
	answer->head_bytes = 0;
	buf_init(&answer->line, UPSTREAM_HEAD_BYTES_MAX);
	answer->fault = NULL;
}

void
upstream_answer_fini(struct upstream_answer *answer)
{
	buf_fini(&answer->line);
}

bool
upstream_answer_is_empty(const struct upstream_answer *answer)
{
	return answer->head_bytes == 0;
}

static enum answer_step
wrong(struct upstream_answer *answer, const char *fault)
{
	answer->state = WRONG;
	answer->fault = fault;
	return ANSWER_WRONG;
}

/* --- lines ----------------------------------------------------------- */

/* The next line of at most max bytes, without its end; it stands until the next
 * one is taken. MORE: it is not whole. */
static enum answer_step
take_line(struct upstream_answer *answer, struct str *in, size_t max,
	  struct str *line)
{
	const char *end = in->n ? memchr(in->p, '\n', in->n) : NULL;
	size_t n = end ? (size_t)(end - in->p) + 1 : in->n;

	if (answer->is_line_taken) {
		buf_reset(&answer->line);
		answer->is_line_taken = false;
	}
	if (answer->line.n + n > max)
		return wrong(answer, "its header lines are too long");
	*line = str_bytes(in->p, n);
	if (end == NULL || answer->line.n) {
		buf_add(&answer->line, in->p, n);
		*line = buf_str(&answer->line);
	}
	if (answer->line.is_failed)
		return wrong(answer, "out of memory");
	in->p += n;
	in->n -= n;
	if (end == NULL)
		return ANSWER_MORE;
	answer->is_line_taken = true;
	line->n--;
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	return ANSWER_HEAD;
}

/* One of the head's or the trailers'. */
static enum answer_step
take_head_line(struct upstream_answer *answer, struct str *in, struct str *line)
{
	size_t before = in->n;
	size_t max =
	    UPSTREAM_HEAD_BYTES_MAX - answer->head_bytes + answer->line.n;
	enum answer_step step;

	if (answer->is_line_taken)
		max -= answer->line.n;
	step = take_line(answer, in, max, line);
	answer->head_bytes += before - in->n;
	if (step == ANSWER_HEAD && line->n && memchr(line->p, '\0', line->n))
		return wrong(answer, "a NUL byte in its head");
	return step;
}

/* --- header lines ---------------------------------------------------- */

static bool
header_is(struct str line, const char *name, struct str *value)
{
	struct str head = str_of(name);

	if (line.n <= head.n || line.p[head.n] != ':' ||
	    !str_eq_nocase(str_bytes(line.p, head.n), head))
		return false;
	*value = str_trim(str_bytes(line.p + head.n + 1, line.n - head.n - 1));
	return true;
}

/* Seconds or a date (RFC 9110, 10.2.3) in milliseconds; -1 when neither. */
static int64_t
retry_after_ms(struct str value, int64_t unit_ms)
{
	char text[64];
	struct tm date = {.tm_sec = 0};
	char *end;
	int64_t n;

	if (value.n == 0 || value.n >= sizeof(text))
		return -1;
	memcpy(text, value.p, value.n);
	text[value.n] = '\0';
	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno == 0 && end != text && (*end == '\0' || *end == '.')) {
		if (n < 0 || n > RETRY_AFTER_MAX_S * INT64_C(1000) / unit_ms)
			return n < 0 ? 0 : RETRY_AFTER_MAX_S * INT64_C(1000);
		return n * unit_ms;
	}
	end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &date);
	if (end == NULL || *end != '\0')
		return -1;
	n = (int64_t)timegm(&date) * 1000 - clock_wall_ms();
	return n < 0 ? 0 : n;
}

/* Whether a comma-separated list has this word. */
static bool
list_has(struct str list, const char *word)
{
	while (list.n) {
		const char *comma = memchr(list.p, ',', list.n);
		size_t n = comma ? (size_t)(comma - list.p) : list.n;

		if (str_eq_nocase(str_trim(str_bytes(list.p, n)), str_of(word)))
			return true;
		n += comma != NULL;
		list.p += n;
		list.n -= n;
	}
	return false;
}

static bool
length_read(struct str value, uint64_t *out)
{
	uint64_t length = 0;

	if (value.n == 0 || value.n > LENGTH_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] < '0' || value.p[i] > '9')
			return false;
		length = length * 10 + (uint64_t)(value.p[i] - '0');
	}
	*out = length;
	return true;
}

/* What says where the answer ends. */
static enum answer_step
read_framing(struct upstream_answer *answer, struct str line)
{
	struct str value;
	uint64_t length;

	if (header_is(line, "content-length", &value)) {
		if (!length_read(value, &length) ||
		    (answer->has_length && length != answer->left))
			return wrong(answer, "its Content-Length is no number");
		answer->has_length = true;
		answer->left = length;
	} else if (header_is(line, "transfer-encoding", &value)) {
		if (answer->is_chunked || !str_eq_nocase(value, STR("chunked")))
			return wrong(answer,
				     "its Transfer-Encoding is not `chunked`");
		answer->is_chunked = true;
	} else if (header_is(line, "connection", &value)) {
		if (list_has(value, "close"))
			answer->is_kept = false;
		else if (list_has(value, "keep-alive"))
			answer->is_kept = true;
	}
	return ANSWER_MORE;
}

static void
read_meaning(struct upstream_answer *answer, struct str line)
{
	struct upstream_head *head = &answer->head;
	struct str value;

	if (header_is(line, "content-type", &value)) {
		size_t n = value.n < sizeof(answer->content_type)
			       ? value.n
			       : sizeof(answer->content_type);

		memcpy(answer->content_type, value.p, n);
		head->content_type = str_bytes(answer->content_type, n);
	} else if (header_is(line, "content-encoding", &value)) {
		head->is_coded = !str_eq_nocase(value, STR("identity"));
	} else if (header_is(line, "retry-after-ms", &value)) {
		head->retry_after_ms = retry_after_ms(value, 1);
	} else if (header_is(line, "retry-after", &value) &&
		   head->retry_after_ms < 0) {
		head->retry_after_ms = retry_after_ms(value, 1000);
	}
}

/* --- the head -------------------------------------------------------- */

/* "HTTP/1.1 200 OK" */
static enum answer_step
read_status(struct upstream_answer *answer, struct str line)
{
	int status = 0;

	if (line.n < 12 || !str_starts(line, STR("HTTP/1.")) ||
	    line.p[8] != ' ' || (line.n > 12 && line.p[12] != ' '))
		return wrong(answer, "it is not HTTP/1");
	for (size_t i = 9; i < 12; i++) {
		if (line.p[i] < '0' || line.p[i] > '9')
			return wrong(answer, "it is not HTTP/1");
		status = status * 10 + (line.p[i] - '0');
	}
	if (status < 100 || status == 101)
		return wrong(answer, "its status was not asked for");
	answer->head.status = status;
	answer->is_kept = line.p[7] != '0';
	answer->state = HEADER;
	return ANSWER_MORE;
}

/* The empty line behind the head has come. */
static enum answer_step
end_head(struct upstream_answer *answer)
{
	int status = answer->head.status;

	if (status < 200) {
		head_begin(answer);
		return ANSWER_MORE;
	}
	if (status == 204 || status == 304) {
		answer->state = BODY_NONE;
	} else if (answer->is_chunked) {
		/* Both: somebody in between may have seen another end. */
		if (answer->has_length)
			answer->is_kept = false;
		answer->state = CHUNK_SIZE;
	} else if (answer->has_length) {
		answer->state = BODY_LENGTH;
	} else {
		answer->is_kept = false;
		answer->state = BODY_CLOSE;
	}
	return ANSWER_HEAD;
}

static enum answer_step
take_head(struct upstream_answer *answer, struct str *in)
{
	struct str line;
	enum answer_step step = take_head_line(answer, in, &line);

	if (step != ANSWER_HEAD)
		return step;
	if (answer->state == STATUS)
		return read_status(answer, line);
	if (line.n == 0)
		return end_head(answer);
	read_meaning(answer, line);
	return read_framing(answer, line);
}

/* --- the body -------------------------------------------------------- */

static enum answer_step
take_body(struct upstream_answer *answer, struct str *in, struct str *body)
{
	size_t n = in->n;

	if (answer->state != BODY_CLOSE && n > answer->left)
		n = (size_t)answer->left;
	if (n == 0)
		return ANSWER_MORE;
	*body = str_bytes(in->p, n);
	in->p += n;
	in->n -= n;
	if (answer->state != BODY_CLOSE)
		answer->left -= n;
	return ANSWER_BODY;
}

static enum answer_step
read_chunk_size(struct upstream_answer *answer, struct str line)
{
	uint64_t size = 0;
	size_t n = 0;

	while (n < line.n && str_hex_digit(line.p[n]) >= 0) {
		size = size << 4 | (unsigned)str_hex_digit(line.p[n]);
		n++;
	}
	if (n == 0 || n > CHUNK_DIGITS_MAX ||
	    (n < line.n && !memchr("; \t", line.p[n], 3)))
		return wrong(answer, "a chunk's size is no number");
	answer->left = size;
	answer->state = size ? CHUNK_DATA : TRAILER;
	return ANSWER_MORE;
}

static enum answer_step
take_chunk_line(struct upstream_answer *answer, struct str *in)
{
	struct str line;
	enum answer_step step =
	    take_line(answer, in, UPSTREAM_CHUNK_LINE_MAX, &line);

	if (step != ANSWER_HEAD)
		return step;
	if (answer->state == CHUNK_SIZE)
		return read_chunk_size(answer, line);
	if (line.n)
		return wrong(answer, "a chunk is longer than its size");
	answer->state = CHUNK_SIZE;
	return ANSWER_MORE;
}

static enum answer_step
take_trailer(struct upstream_answer *answer, struct str *in)
{
	struct str line;
	enum answer_step step = take_head_line(answer, in, &line);

	if (step != ANSWER_HEAD)
		return step;
	if (line.n == 0)
		answer->state = DONE;
	return ANSWER_MORE;
}

/* One step; MORE with bytes left: another one. */
static enum answer_step
take(struct upstream_answer *answer, struct str *in, struct str *body)
{
	switch ((enum state)answer->state) {
	case STATUS:
	case HEADER:
		return take_head(answer, in);
	case CHUNK_SIZE:
	case CHUNK_END:
		return take_chunk_line(answer, in);
	case TRAILER:
		return take_trailer(answer, in);
	case CHUNK_DATA:
		if (answer->left == 0) {
			answer->state = CHUNK_END;
			return ANSWER_MORE;
		}
		return take_body(answer, in, body);
	case BODY_LENGTH:
		if (answer->left == 0) {
			answer->state = DONE;
			return ANSWER_END;
		}
		return take_body(answer, in, body);
	case BODY_CLOSE:
		return take_body(answer, in, body);
	case BODY_NONE:
	case DONE:
		answer->state = DONE;
		return ANSWER_END;
	case WRONG:
		break;
	}
	return ANSWER_WRONG;
}

enum answer_step
upstream_answer_take(struct upstream_answer *answer, struct str *in,
		     struct str *body)
{
	for (;;) {
		enum state before = (enum state)answer->state;
		enum answer_step step = take(answer, in, body);

		if (step != ANSWER_MORE)
			return step;
		if (in->n == 0 && before == (enum state)answer->state)
			return ANSWER_MORE;
	}
}

enum answer_step
upstream_answer_close(struct upstream_answer *answer)
{
	if (answer->state == BODY_CLOSE)
		answer->state = DONE;
	if (answer->state == DONE)
		return ANSWER_END;
	if (answer->state == WRONG)
		return ANSWER_WRONG;
	return wrong(answer, upstream_answer_is_empty(answer)
				 ? "closed without an answer"
				 : "closed in mid-answer");
}
