/*
 * Tests of the SSE reader: every line end, every split, what is no event.
 */
#include "workers/sse.h"

#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

struct seen {
	struct buf text; /* "name|data;" of each event that has data */
	struct buf raw;
	unsigned events;
	unsigned stop_after; /* 0 = never */
};

static void
seen_init(struct seen *seen)
{
	memset(seen, 0, sizeof(*seen));
	buf_init(&seen->text, 8u << 20);
	buf_init(&seen->raw, 8u << 20);
}

static void
seen_fini(struct seen *seen)
{
	buf_fini(&seen->text);
	buf_fini(&seen->raw);
}

static bool
on_event(void *ctx, const struct sse_event *event)
{
	struct seen *seen = ctx;

	if (event->data.p) {
		buf_add_str(&seen->text, event->name);
		buf_add_char(&seen->text, '|');
		buf_add_str(&seen->text, event->data);
		buf_add_char(&seen->text, ';');
	}
	buf_add_str(&seen->raw, event->raw);
	seen->events++;
	return seen->events != seen->stop_after;
}

/* Feeds input in pieces of `step` bytes (0: at once) and checks both what was
 * understood and that no byte was lost or added. */
static void
check_steps(struct str input, size_t step, struct str want)
{
	struct seen seen;
	struct sse sse;

	seen_init(&seen);
	sse_init(&sse);
	for (size_t at = 0; at < input.n;) {
		size_t n = step && step < input.n - at ? step : input.n - at;
		char *piece = malloc(n);

		CHECK(piece);
		memcpy(piece, input.p + at, n);
		CHECK_OK(sse_feed(&sse, str_bytes(piece, n), on_event, &seen));
		free(piece);
		at += n;
	}
	CHECK_OK(sse_end(&sse, on_event, &seen));
	CHECK_STR(buf_str(&seen.text), want);
	CHECK_STR(buf_str(&seen.raw), input);
	sse_fini(&sse);
	seen_fini(&seen);
}

static void
check(struct str input, struct str want)
{
	for (size_t step = 0; step <= input.n; step++)
		check_steps(input, step, want);
}

TEST(sse_line_ends)
{
	check(STR("data: a\n\ndata: b\n\n"), STR("|a;|b;"));
	check(STR("data: a\r\n\r\ndata: b\r\n\r\n"), STR("|a;|b;"));
	check(STR("data: a\r\rdata: b\r\r"), STR("|a;|b;"));
	check(STR("data: a\r\n\ndata: b\n\r\n"), STR("|a;|b;"));
	/* U+2028, vertical tab and form feed end no line. */
	check(STR("data: a\xe2\x80\xa8z\v\f\n\n"), STR("|a\xe2\x80\xa8z\v\f;"));
}

TEST(sse_fields)
{
	check(STR("event: ping\ndata: x\nid: 7\nretry: 10\n\n"),
	      STR("ping|x;"));
	check(STR("data:no blank\n\ndata:  two\n\n"), STR("|no blank;| two;"));
	check(STR("data: one\ndata: two\ndata:\ndata: four\n\n"),
	      STR("|one\ntwo\n\nfour;"));
	check(STR("data\n\n"), STR("|;"));
	check(STR("data:\n\n"), STR("|;"));
	check(STR("datax: 1\nDATA: 2\n\n"), STR(""));
	check(STR("data: {\"a\": \"b:c\"}\n\n"), STR("|{\"a\": \"b:c\"};"));
}

TEST(sse_comments_and_blank_lines)
{
	check(STR(": keep-alive\n\ndata: x\n\n"), STR("|x;"));
	check(STR(": c\ndata: x\n: d\n\n"), STR("|x;"));
	check(STR("\n\ndata: x\n\n\n"), STR("|x;"));
	check(STR(":\n"), STR(""));
}

TEST(sse_start_and_end)
{
	check(STR("\xef\xbb\xbf"
		  "data: x\n\n"),
	      STR("|x;"));
	/* A second one is text. */
	check(STR("\xef\xbb\xbf\xef\xbb\xbf"
		  "data: x\n\n"),
	      STR(""));
	check(STR("data: a\n\n\xef\xbb\xbf"
		  "data: x\n\n"),
	      STR("|a;"));
	check(STR("data: a\n\ndata: last"), STR("|a;|last;"));
	check(STR("data: a\n\ndata: last\n"), STR("|a;|last;"));
	check(STR("data: a\n\ndata: last\r"), STR("|a;|last;"));
	check(STR(""), STR(""));
}

TEST(sse_splits_utf8)
{
	check(STR("data: \xc3\xa8 \xf0\x9f\x8e\x89\n\n"),
	      STR("|\xc3\xa8 \xf0\x9f\x8e\x89;"));
}

TEST(sse_long_lines_are_legal)
{
	size_t n = 200000;
	char *line = malloc(n + 16);
	struct buf want;

	CHECK(line);
	memcpy(line, "data: ", 6);
	memset(line + 6, 'x', n);
	memcpy(line + 6 + n, "\n\n", 2);
	buf_init(&want, n + 16);
	buf_add_char(&want, '|');
	buf_add(&want, line + 6, n);
	buf_add_char(&want, ';');
	check_steps(str_bytes(line, n + 8), 0, buf_str(&want));
	check_steps(str_bytes(line, n + 8), 1000, buf_str(&want));
	buf_fini(&want);
	free(line);
}

TEST(sse_endless_line_is_bounded)
{
	static char block[16384];
	struct seen seen;
	struct sse sse;
	enum err err = ERR_OK;
	unsigned blocks = 0;

	memset(block, 'y', sizeof(block));
	seen_init(&seen);
	sse_init(&sse);
	while (err == ERR_OK && blocks < 6400) {
		err = sse_feed(&sse, str_bytes(block, sizeof(block)), on_event,
			       &seen);
		blocks++;
	}
	CHECK_ERR(err, ERR_TOO_LARGE);
	CHECK(blocks <= SSE_EVENT_BYTES_MAX / sizeof(block) + 1);
	CHECK(sse.raw.room <= 4u * SSE_EVENT_BYTES_MAX);
	CHECK_INT(seen.events, 0);
	sse_fini(&sse);
	seen_fini(&seen);
}

TEST(sse_stops_when_told)
{
	struct seen seen;
	struct sse sse;

	seen_init(&seen);
	seen.stop_after = 2;
	sse_init(&sse);
	CHECK_ERR(sse_feed(&sse, STR("data: 1\n\ndata: 2\n\ndata: 3\n\n"),
			   on_event, &seen),
		  ERR_CANCELLED_BY_CALLER);
	CHECK_STR(buf_str(&seen.text), STR("|1;|2;"));
	sse_reset(&sse);
	seen.stop_after = 0;
	CHECK_OK(sse_feed(&sse, STR("data: 4\n\n"), on_event, &seen));
	CHECK_STR(buf_str(&seen.text), STR("|1;|2;|4;"));
	sse_fini(&sse);
	seen_fini(&seen);
}
