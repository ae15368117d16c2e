/*
 * Tests of recorded streams through the proxy as it runs, down to what it asks
 * the ledger to settle: split at every place, cut at many, as JSON, to
 * clients of both shapes. The model's name says what the provider does:
 * "gpt-r0-SPLIT" or "gpt-r0-SPLIT-cut".
 */
#include "workers/proxy_replay_test.h"

#include "workers/proxy_house_test.h"

#include <stdio.h>
#include <stdlib.h>

#define CUT_STEP 29u

static const char *const shapes[] = {"openai", "anthropic"};

/* --- the provider ---------------------------------------------------- */

static bool
replay_provide(int fd, struct str request, unsigned nth)
{
	static const char json[] = "application/json";

	(void)nth;
	for (unsigned i = 0; i < REPLAYS; i++) {
		const struct replay *replay = &replays[i];
		struct str all = str_of(replay->stream);
		const char *at = memmem(request.p, request.n, replay->model,
					strlen(replay->model));
		char *end;
		size_t split;

		if (at == NULL)
			continue;
		if (!text_has(request, "\"stream\":true")) {
			scripted_answer(fd, 200, json, "",
					str_of(replay->answer));
			return true;
		}
		split = strtoul(at + strlen(replay->model) + 1, &end, 10);
		scripted_sse_head(fd);
		if (split)
			scripted_chunk(fd, str_bytes(all.p, split));
		if (strncmp(end, "-cut", 4) == 0)
			return false;
		scripted_chunk(fd, str_bytes(all.p + split, all.n - split));
		scripted_chunk_end(fd);
		return true;
	}
	return false;
}

/* --- asking ---------------------------------------------------------- */

static void
ask(struct house *house, struct reply *reply, const char *shape,
    const char *model, bool is_stream)
{
	char body[256];

	snprintf(body, sizeof(body),
		 "{\"model\":\"%s\",\"max_tokens\":99,%s" MESSAGES "}", model,
		 is_stream ? "\"stream\":true," : "");
	house->settles = 0;
	house_ask_whole(house, reply, shape, str_of(body));
	house_turn_until_settled(house, 1);
}

/* The digits of "created": translation takes them from the clock. */
static void
blank_times(struct buf *body)
{
	static const char name[] = "\"created\":";
	char *at = body->p, *end = body->p + body->n;

	while ((at = memmem(at, (size_t)(end - at), name, sizeof(name) - 1)))
		for (at += sizeof(name) - 1;
		     at < end && *at >= '0' && *at <= '9'; at++)
			*at = '0';
}

static void
check_line(const struct house *house, const struct replay_mark *mark,
	   const char *what)
{
	const struct settle *got = &house->settle;

	if (got->input_tokens != mark->input ||
	    got->cache_read_tokens != mark->cache_read ||
	    got->cache_write_tokens != mark->cache_write ||
	    got->cache_write_1h_tokens != mark->cache_write_1h ||
	    got->output_tokens != mark->output ||
	    got->reasoning_tokens != mark->reasoning)
		test_fail(__FILE__, __LINE__,
			  "%s: %lld %lld %lld %lld %lld %lld", what,
			  (long long)got->input_tokens,
			  (long long)got->cache_read_tokens,
			  (long long)got->cache_write_tokens,
			  (long long)got->cache_write_1h_tokens,
			  (long long)got->output_tokens,
			  (long long)got->reasoning_tokens);
}

static const struct replay_mark *
last_mark(const struct replay *replay)
{
	unsigned i = 0;

	while (i + 1 < REPLAY_MARKS_MAX && replay->marks[i + 1].text)
		i++;
	return &replay->marks[i];
}

/* --- split ----------------------------------------------------------- */

static void
check_splits(struct house *house, const struct replay *replay,
	     const char *shape)
{
	size_t bytes = strlen(replay->stream);
	struct reply whole, reply;
	char model[64];

	snprintf(model, sizeof(model), "%s-0", replay->model);
	ask(house, &whole, shape, model, true);
	blank_times(&whole.body);
	for (size_t split = 0; split < bytes; split++) {
		snprintf(model, sizeof(model), "%s-%zu", replay->model, split);
		ask(house, &reply, shape, model, true);
		blank_times(&reply.body);
		if (reply.err != ERR_OK ||
		    !str_eq(buf_str(&reply.body), buf_str(&whole.body)))
			test_fail(__FILE__, __LINE__, "%s to %s: %s %.*s",
				  model, shape, err_code(reply.err),
				  STR_ARG(buf_str(&reply.body)));
		CHECK_STR(house->settle.status, STR("settled"));
		CHECK_STR(house->settle.source, STR("provider"));
		check_line(house, last_mark(replay), model);
		buf_fini(&reply.body);
		arena_reset(&house->arena);
	}
	buf_fini(&whole.body);
}

/* The same line as the stream has. */
static void
check_json(struct house *house, const struct replay *replay, const char *shape)
{
	struct reply reply;

	ask(house, &reply, shape, replay->model, false);
	CHECK_OK(reply.err);
	CHECK_STR(house->settle.status, STR("settled"));
	CHECK_STR(house->settle.source, STR("provider"));
	check_line(house, last_mark(replay), replay->model);
	buf_fini(&reply.body);
}

static void
run_splits(unsigned i)
{
	struct house house;

	house_provider = replay_provide;
	house_open(&house);
	for (unsigned j = 0; j < 2; j++) {
		check_splits(&house, &replays[i], shapes[j]);
		check_json(&house, &replays[i], shapes[j]);
	}
	house_close(&house);
}

TEST_LIMITED(replay_openai_at_every_split, 120)
{
	run_splits(0);
}

TEST_LIMITED(replay_deepseek_at_every_split, 120)
{
	run_splits(1);
}

TEST_LIMITED(replay_anthropic_at_every_split, 120)
{
	run_splits(2);
}

TEST_LIMITED(replay_anthropic_late_usage_at_every_split, 120)
{
	run_splits(3);
}

/* --- cut ------------------------------------------------------------- */

/* Where the event ends that has the text; its blank line may come as one. */
static size_t
event_end(const char *stream, const char *text)
{
	const char *at = strstr(stream, text);

	CHECK(at);
	return (size_t)(strstr(at, "\n\n") + 2 - stream);
}

/* What a line of this stream says when it is cut there. */
static struct replay_mark
mark_at(const struct house *house, const struct replay *replay, size_t cut)
{
	struct replay_mark mark = {.input = house->reserve.input_tokens};

	for (unsigned i = 0; i < REPLAY_MARKS_MAX && replay->marks[i].text; i++)
		if (event_end(replay->stream, replay->marks[i].text) <= cut)
			mark = replay->marks[i];
	/* What came counts when that is more than what was said. */
	if (mark.output < house->settle.output_tokens &&
	    mark.output != last_mark(replay)->output)
		mark.output = house->settle.output_tokens;
	return mark;
}

static void
check_cut(struct house *house, const struct replay *replay, const char *shape,
	  size_t cut)
{
	static int64_t output; /* it never falls while more comes */
	struct replay_mark mark;
	struct reply reply;
	char model[64];

	snprintf(model, sizeof(model), "%s-%zu-cut", replay->model, cut);
	ask(house, &reply, shape, model, true);
	CHECK_ERR(reply.err, ERR_UPSTREAM_FAILED);
	CHECK(!text_has(buf_str(&reply.body), "[DONE]"));
	CHECK(!text_has(buf_str(&reply.body), "message_stop"));
	CHECK_STR(house->settle.status, STR("settled"));
	CHECK_STR(house->settle.source, STR("partial"));
	mark = mark_at(house, replay, cut);
	check_line(house, &mark, model);
	if (cut == 0)
		output = 0;
	if (house->settle.output_tokens < output)
		test_fail(__FILE__, __LINE__, "%s to %s: less output", model,
			  shape);
	output = house->settle.output_tokens;
	buf_fini(&reply.body);
	arena_reset(&house->arena);
}

TEST_LIMITED(replay_cut_is_partial_with_the_last_usage, 120)
{
	struct house house;

	house_provider = replay_provide;
	house_open(&house);
	for (unsigned i = 0; i < REPLAYS; i++) {
		const char *stream = replays[i].stream;
		/* With its regular end read it is whole, whatever follows. */
		size_t end = event_end(stream, *replays[i].model == 'g'
						   ? "[DONE]"
						   : "message_stop\"");

		for (unsigned j = 0; j < 2; j++)
			for (size_t cut = 0; cut < end - 1; cut += CUT_STEP)
				check_cut(&house, &replays[i], shapes[j], cut);
	}
	house_close(&house);
}
