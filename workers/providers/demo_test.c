/*
 * Tests of the demo answer: it is read like any provider's, and both its forms
 * say the same.
 */
#include "workers/providers/demo.h"

#include "lib/test.h"
#include "workers/providers/providers.h"

struct reading {
	struct provider_usage usage;
	struct buf text;
	unsigned words;
	bool is_done;
};

static bool
on_event(void *ctx, const struct sse_event *event)
{
	struct reading *reading = ctx;
	struct provider_event out;

	CHECK(!reading->is_done);
	openai_wire.read_event(event, &reading->usage, &out);
	CHECK(!out.is_failure);
	if (out.text.p) {
		reading->words++;
		buf_add(&reading->text, out.text.p + 1, out.text.n - 2);
	}
	reading->is_done = out.is_done;
	return true;
}

static unsigned
times(struct str in, const char *what)
{
	unsigned count = 0;
	const char *at = in.p;

	while (
	    (at = memmem(at, (size_t)(in.p + in.n - at), what, strlen(what)))) {
		count++;
		at++;
	}
	return count;
}

TEST(demo_says_the_same_in_both_forms)
{
	struct demo_ask ask = {STR("demo"), 1700000000, 12, false};
	struct provider_usage usage;
	struct provider_answer answer;
	struct reading reading;
	struct buf out;
	struct sse sse;

	buf_init(&out, 1u << 20);
	demo_write(&ask, &out);
	provider_usage_clear(&usage);
	CHECK(openai_wire.read_answer(buf_str(&out), &usage, &answer));
	CHECK(!answer.is_failure);
	CHECK_STR(answer.model, STR("\"demo\""));
	CHECK_INT(usage.prompt, 12);
	CHECK(usage.output > 0);

	memset(&reading, 0, sizeof(reading));
	provider_usage_clear(&reading.usage);
	buf_init(&reading.text, 1u << 20);
	sse_init(&sse);
	ask.is_stream = true;
	{
		struct buf stream;

		buf_init(&stream, 1u << 20);
		demo_write(&ask, &stream);
		CHECK_INT(times(buf_str(&stream), "\"role\":\"assistant\""), 1);
		CHECK_OK(sse_feed(&sse, buf_str(&stream), on_event, &reading));
		buf_fini(&stream);
	}
	CHECK(reading.is_done);
	CHECK(reading.words > 10);
	CHECK_INT(reading.usage.prompt, 12);
	CHECK_INT(reading.usage.output, usage.output);
	CHECK_STR(buf_str(&reading.text),
		  str_bytes(answer.text.p + 1, answer.text.n - 2));
	CHECK(str_starts(buf_str(&reading.text), STR("[demo]")));
	sse_fini(&sse);
	buf_fini(&reading.text);
	buf_fini(&out);
}
