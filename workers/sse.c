/*
 * sse: see sse.h. Bytes gather in raw until a blank line ends the event; each
 * byte is searched for a line end once. Places are kept as offsets, since raw
 * may move when it grows.
 */
#include "workers/sse.h"

/* What one feed may add before the limit is looked at. */
#define FEED_BYTES_MAX 65536u

void
sse_init(struct sse *sse)
{
	memset(sse, 0, sizeof(*sse));
	buf_init(&sse->raw, SSE_EVENT_BYTES_MAX + FEED_BYTES_MAX);
	buf_init(&sse->joined, SSE_EVENT_BYTES_MAX + FEED_BYTES_MAX);
}

void
sse_fini(struct sse *sse)
{
	buf_fini(&sse->raw);
	buf_fini(&sse->joined);
}

static void
event_reset(struct sse *sse)
{
	buf_reset(&sse->joined);
	sse->data_lines = 0;
	sse->has_name = false;
}

void
sse_reset(struct sse *sse)
{
	buf_reset(&sse->raw);
	event_reset(sse);
	sse->line_at = 0;
	sse->scan_at = 0;
	sse->is_past_cr = false;
	sse->is_past_start = false;
}

static void
take_data(struct sse *sse, struct str value)
{
	if (sse->data_lines == 0) {
		sse->data_at = (size_t)(value.p - sse->raw.p);
		sse->data_n = value.n;
	} else {
		if (sse->data_lines == 1)
			buf_add(&sse->joined, sse->raw.p + sse->data_at,
				sse->data_n);
		buf_add_char(&sse->joined, '\n');
		buf_add_str(&sse->joined, value);
	}
	sse->data_lines++;
}

/* A line that is not blank: a comment (nothing before the colon) or a field. */
static void
take_line(struct sse *sse, struct str line)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct str name = line;
	struct str value = str_bytes(line.p + line.n, 0);

	if (colon) {
		name.n = (size_t)(colon - line.p);
		value = str_bytes(colon + 1, line.n - name.n - 1);
		if (value.n && value.p[0] == ' ')
			value = str_bytes(value.p + 1, value.n - 1);
	}
	if (str_eq(name, STR("data"))) {
		take_data(sse, value);
	} else if (str_eq(name, STR("event"))) {
		sse->name_at = (size_t)(value.p - sse->raw.p);
		sse->name_n = value.n;
		sse->has_name = true;
	}
}

/* The event whose raw text is raw[begin, end). */
static enum err
give(struct sse *sse, size_t begin, size_t end, sse_event_fn *fn, void *ctx)
{
	struct sse_event event = {STR_NONE, STR_NONE, STR_NONE};
	bool goes_on;

	if (sse->joined.is_failed)
		return ERR_NO_MEMORY;
	event.raw = str_bytes(sse->raw.p + begin, end - begin);
	if (sse->data_lines == 1)
		event.data = str_bytes(sse->raw.p + sse->data_at, sse->data_n);
	else if (sse->data_lines > 1)
		event.data = buf_str(&sse->joined);
	if (sse->has_name)
		event.name = str_bytes(sse->raw.p + sse->name_at, sse->name_n);
	goes_on = fn(ctx, &event);
	event_reset(sse);
	return goes_on ? ERR_OK : ERR_CANCELLED_BY_CALLER;
}

/* The end of the line that begins at line_at, or NULL when it is not there. */
static const char *
line_end(const struct sse *sse)
{
	const char *from = sse->raw.p + sse->scan_at;
	size_t n = sse->raw.n - sse->scan_at;
	const char *lf = memchr(from, '\n', n);
	const char *cr = memchr(from, '\r', lf ? (size_t)(lf - from) : n);

	return cr ? cr : lf;
}

static struct str
without_bom(struct sse *sse, struct str line)
{
	if (!sse->is_past_start && str_starts(line, STR("\xef\xbb\xbf")))
		line = str_bytes(line.p + 3, line.n - 3);
	sse->is_past_start = true;
	return line;
}

/* Takes the whole lines that are in raw; *given = bytes of whole events. */
static enum err
take_lines(struct sse *sse, size_t *given, sse_event_fn *fn, void *ctx)
{
	const char *end;
	enum err err = ERR_OK;

	while (err == ERR_OK && (end = line_end(sse))) {
		const char *begin = sse->raw.p + sse->line_at;
		struct str line = str_bytes(begin, (size_t)(end - begin));
		size_t next = (size_t)(end - sse->raw.p) + 1;

		if (*end == '\r' && next < sse->raw.n) {
			next += sse->raw.p[next] == '\n';
		} else if (*end == '\r') {
			sse->is_past_cr = true;
		}
		sse->line_at = next;
		sse->scan_at = next;
		line = without_bom(sse, line);
		if (line.n) {
			take_line(sse, line);
			continue;
		}
		err = give(sse, *given, next, fn, ctx);
		*given = next;
	}
	return err;
}

static enum err
feed_some(struct sse *sse, struct str bytes, sse_event_fn *fn, void *ctx)
{
	size_t given = 0;
	enum err err;

	if (bytes.n == 0)
		return ERR_OK;
	buf_add_str(&sse->raw, bytes);
	if (sse->raw.is_failed)
		return ERR_NO_MEMORY;
	if (sse->is_past_cr) {
		/* The LF of a CRLF that was split: no line of its own. */
		sse->is_past_cr = false;
		if (bytes.p[0] == '\n') {
			sse->line_at++;
			sse->scan_at++;
		}
	}
	err = take_lines(sse, &given, fn, ctx);
	if (err != ERR_OK)
		return err;
	sse->scan_at = sse->raw.n;
	if (given) {
		buf_drop(&sse->raw, given);
		sse->line_at -= given;
		sse->scan_at -= given;
		sse->data_at -= given;
		sse->name_at -= given;
	}
	return sse->raw.n > SSE_EVENT_BYTES_MAX ? ERR_TOO_LARGE : ERR_OK;
}

enum err
sse_feed(struct sse *sse, struct str bytes, sse_event_fn *fn, void *ctx)
{
	enum err err = ERR_OK;

	while (err == ERR_OK && bytes.n) {
		size_t n = bytes.n < FEED_BYTES_MAX ? bytes.n : FEED_BYTES_MAX;

		err = feed_some(sse, str_bytes(bytes.p, n), fn, ctx);
		bytes = str_bytes(bytes.p + n, bytes.n - n);
	}
	return err;
}

enum err
sse_end(struct sse *sse, sse_event_fn *fn, void *ctx)
{
	struct str line;
	enum err err;

	if (sse->raw.n == 0)
		return ERR_OK;
	line = str_bytes(sse->raw.p + sse->line_at, sse->raw.n - sse->line_at);
	line = without_bom(sse, line);
	if (line.n)
		take_line(sse, line);
	err = give(sse, 0, sse->raw.n, fn, ctx);
	sse_reset(sse);
	return err;
}
