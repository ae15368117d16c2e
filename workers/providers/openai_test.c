/*
 * Tests of reading OpenAI-shaped answers: usage in all its forms, deltas,
 * failures inside a 200, and what an error status means.
 */
#include "workers/providers/providers.h"

#include "lib/test.h"

static struct provider_event
event_of(struct str data, struct provider_usage *usage)
{
	struct sse_event event = {STR_NONE, data, data};
	struct provider_event out;

	openai_wire.read_event(&event, usage, &out);
	return out;
}

TEST(openai_answer)
{
	struct provider_usage usage;
	struct provider_answer out;

	provider_usage_clear(&usage);
	CHECK(!provider_usage_is_whole(&usage));
	CHECK(openai_wire.read_answer(
	    STR("\n\n {\"id\":\"x\",\"model\":\"gpt-4o-2024\",\"choices\":[{"
		"\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
		"\"h\\\"i\",\"refusal\":null},\"finish_reason\":\"stop\"},"
		"{\"index\":1,\"message\":{\"content\":\"yo\"}}],\"usage\":{"
		"\"prompt_tokens\":19,\"completion_tokens\":10,"
		"\"total_tokens\":29,\"prompt_tokens_details\":{"
		"\"cached_tokens\":8},\"completion_tokens_details\":{"
		"\"reasoning_tokens\":3}}}\n"),
	    &usage, &out));
	CHECK_STR(out.model, STR("\"gpt-4o-2024\""));
	CHECK_STR(out.text, STR("\"h\\\"i\""));
	CHECK_INT(out.text_bytes, 6);
	CHECK(!out.is_failure);
	CHECK(provider_usage_is_whole(&usage));
	CHECK_INT(usage.prompt, 19);
	CHECK_INT(usage.cache_read, 8);
	CHECK_INT(usage.output, 10);
	CHECK_INT(usage.reasoning, 3);
	CHECK_INT(usage.cache_write, PROVIDER_TOKENS_NONE);
}

TEST(openai_usage_with_a_written_cache)
{
	struct provider_usage usage;
	struct provider_answer out;

	provider_usage_clear(&usage);
	CHECK(openai_wire.read_answer(
	    STR("{\"choices\":[],\"usage\":{\"prompt_tokens\":19,"
		"\"completion_tokens\":10,\"prompt_tokens_details\":{"
		"\"cached_tokens\":8,\"cache_write_tokens\":5}}}"),
	    &usage, &out));
	CHECK_INT(usage.prompt, 19);
	CHECK_INT(usage.cache_read, 8);
	CHECK_INT(usage.cache_write, 5);
	CHECK_INT(usage.cache_write_1h, PROVIDER_TOKENS_NONE);
}

TEST(openai_answer_that_is_none)
{
	struct provider_usage usage;
	struct provider_answer out;

	provider_usage_clear(&usage);
	CHECK(!openai_wire.read_answer(STR("<html>"), &usage, &out));
	CHECK(!openai_wire.read_answer(STR(""), &usage, &out));
	CHECK(!openai_wire.read_answer(STR("[]"), &usage, &out));
	CHECK(!openai_wire.read_answer(STR("{}"), &usage, &out));
	CHECK(!openai_wire.read_answer(STR("{\"choices\":1}"), &usage, &out));
	CHECK(openai_wire.read_answer(STR("{\"error\":{\"message\":\"x\"}}"),
				      &usage, &out));
	CHECK(out.is_failure);
	CHECK(openai_wire.read_answer(
	    STR("{\"choices\":[{\"message\":{\"content\":\"\"},"
		"\"finish_reason\":\"insufficient_system_resource\"}]}"),
	    &usage, &out));
	CHECK(out.is_failure);
	CHECK(openai_wire.read_answer(
	    STR("{\"error\":null,\"choices\":[{\"message\":{\"content\":null,"
		"\"tool_calls\":[{}]}}]}"),
	    &usage, &out));
	CHECK(!out.is_failure);
	CHECK(out.text.p == NULL);
	CHECK_INT(out.text_bytes, 4);
}

TEST(openai_usage_is_tri_state)
{
	struct provider_usage usage;

	provider_usage_clear(&usage);
	event_of(STR("{\"choices\":[],\"usage\":{\"prompt_tokens\":5,"
		     "\"completion_tokens\":7}}"),
		 &usage);
	event_of(STR("{\"choices\":[{\"delta\":{}}],\"usage\":null}"), &usage);
	event_of(STR("{\"usage\":{\"completion_tokens\":0,"
		     "\"prompt_tokens\":null}}"),
		 &usage);
	CHECK_INT(usage.prompt, 5);
	CHECK_INT(usage.output, 0);
	/* What is no number says nothing. */
	event_of(STR("{\"usage\":{\"prompt_tokens\":\"9\","
		     "\"completion_tokens\":[1],\"prompt_tokens_details\":7}}"),
		 &usage);
	CHECK_INT(usage.prompt, 5);
	CHECK_INT(usage.output, 0);
	/* What cannot be is not believed, nor what was said before it. */
	event_of(STR("{\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":"
		     "99999999999999}}"),
		 &usage);
	CHECK_INT(usage.prompt, PROVIDER_TOKENS_NONE);
	CHECK_INT(usage.output, PROVIDER_TOKENS_NONE);
	event_of(STR("{\"usage\":{\"completion_tokens\":8}}"), &usage);
	CHECK_INT(usage.output, 8);
	event_of(STR("{\"usage\":{\"completion_tokens\":1.5}}"), &usage);
	CHECK_INT(usage.output, PROVIDER_TOKENS_NONE);
}

TEST(openai_deepseek_usage)
{
	struct provider_usage usage;
	struct provider_event out;

	provider_usage_clear(&usage);
	out = event_of(STR("{\"choices\":[{\"index\":0,\"delta\":{\"content\":"
			   "\"\"},\"finish_reason\":\"stop\"}],\"usage\":{"
			   "\"prompt_tokens\":16,\"completion_tokens\":10,"
			   "\"prompt_cache_hit_tokens\":6,"
			   "\"prompt_cache_miss_tokens\":10}}"),
		       &usage);
	CHECK(!out.is_usage_only);
	CHECK_INT(usage.prompt, 16);
	CHECK_INT(usage.cache_read, 6);
	CHECK_INT(usage.output, 10);
}

TEST(openai_events)
{
	struct provider_usage usage;
	struct provider_event out;

	provider_usage_clear(&usage);
	out = event_of(STR("{\"model\":\"m\",\"choices\":[{\"index\":0,"
			   "\"delta\":{\"role\":\"assistant\",\"content\":"
			   "\"Hel\"}}],\"usage\":null}"),
		       &usage);
	CHECK_STR(out.model, STR("\"m\""));
	CHECK_STR(out.text, STR("\"Hel\""));
	CHECK_INT(out.text_bytes, 3);
	CHECK(!out.is_done && !out.is_usage_only && !out.is_failure);
	out = event_of(STR("{\"choices\":[{\"delta\":{\"content\":null,"
			   "\"reasoning_content\":\"hmm\"}}]}"),
		       &usage);
	CHECK(out.text.p == NULL);
	CHECK_INT(out.text_bytes, 3);
	out = event_of(STR("{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}"),
		       &usage);
	CHECK(out.is_usage_only);
	out = event_of(STR("{\"choices\":[]}"), &usage);
	CHECK(!out.is_usage_only);
	CHECK(event_of(STR("[DONE]"), &usage).is_done);
	CHECK(event_of(STR(" [DONE] "), &usage).is_done);
	CHECK(!event_of(STR("[DONE"), &usage).is_done);
	CHECK(!event_of(STR_NONE, &usage).is_done);
	CHECK(event_of(STR("{\"error\":{\"message\":\"x\"}}"), &usage)
		  .is_failure);
	CHECK(event_of(STR("{\"choices\":[{\"delta\":{},\"finish_reason\":"
			   "\"insufficient_system_resource\"}]}"),
		       &usage)
		  .is_failure);
	CHECK(!event_of(STR("not json"), &usage).is_failure);
}

TEST(openai_judges)
{
	static const struct {
		int status;
		enum provider_verdict want;
	} rows[] = {
	    {301, PROVIDER_FAIL},  {302, PROVIDER_FAIL},  {400, PROVIDER_PASS},
	    {401, PROVIDER_ALARM}, {402, PROVIDER_ALARM}, {403, PROVIDER_ALARM},
	    {404, PROVIDER_PASS},  {405, PROVIDER_FAIL},  {408, PROVIDER_RETRY},
	    {409, PROVIDER_RETRY}, {413, PROVIDER_PASS},  {418, PROVIDER_FAIL},
	    {422, PROVIDER_PASS},  {429, PROVIDER_LIMIT}, {500, PROVIDER_RETRY},
	    {503, PROVIDER_RETRY}, {529, PROVIDER_RETRY}, {600, PROVIDER_FAIL},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK_INT(openai_wire.judge(rows[i].status, STR("{}")),
			  rows[i].want);
	CHECK_INT(
	    openai_wire.judge(429, STR("{\"error\":{\"message\":\"m\",\"type\":"
				       "\"insufficient_quota\",\"param\":null,"
				       "\"code\":\"insufficient_quota\"}}")),
	    PROVIDER_ALARM);
	CHECK_INT(openai_wire.judge(
		      429, STR("{\"error\":{\"type\":\"requests\",\"code\":"
			       "\"rate_limit_exceeded\"}}")),
		  PROVIDER_LIMIT);
	CHECK_INT(openai_wire.judge(429, STR("slow down")), PROVIDER_LIMIT);
}
