/*
 * Tests of reading Anthropic's messages: disjoint classes of usage, the last
 * value field by field, deltas of every kind, and what an error status means.
 */
#include "workers/providers/providers.h"

#include "lib/test.h"

static struct provider_event
event_of(struct str data, struct provider_usage *usage)
{
	struct sse_event event = {STR_NONE, data, data};
	struct provider_event out;

	anthropic_wire.read_event(&event, usage, &out);
	return out;
}

/* In the order of the struct. */
static void
check_usage(const struct provider_usage *usage, const int64_t want[6])
{
	CHECK_INT(usage->prompt, want[0]);
	CHECK_INT(usage->cache_read, want[1]);
	CHECK_INT(usage->cache_write, want[2]);
	CHECK_INT(usage->cache_write_1h, want[3]);
	CHECK_INT(usage->output, want[4]);
	CHECK_INT(usage->reasoning, want[5]);
}

#define NONE PROVIDER_TOKENS_NONE

TEST(anthropic_answer)
{
	struct provider_usage usage;
	struct provider_answer out;

	provider_usage_clear(&usage);
	CHECK(anthropic_wire.read_answer(
	    STR(" {\"id\":\"msg_1\",\"type\":\"message\",\"role\":"
		"\"assistant\",\"model\":\"claude-x\",\"content\":[{\"type\":"
		"\"thinking\",\"thinking\":\"hmm\",\"signature\":\"zzzzzz\"},"
		"{\"type\":\"text\",\"text\":\"h\\\"i\"},{\"type\":\"text\","
		"\"text\":\"yo\"},{\"type\":\"tool_use\",\"id\":\"t\","
		"\"name\":\"f\",\"input\":{\"a\":1}}],\"stop_reason\":"
		"\"tool_use\",\"stop_sequence\":null,\"usage\":{"
		"\"input_tokens\":19,\"cache_creation_input_tokens\":100,"
		"\"cache_read_input_tokens\":7,\"cache_creation\":{"
		"\"ephemeral_5m_input_tokens\":60,"
		"\"ephemeral_1h_input_tokens\":40},\"output_tokens\":10,"
		"\"output_tokens_details\":{\"thinking_tokens\":3},"
		"\"service_tier\":\"standard\"}}\n"),
	    &usage, &out));
	CHECK_STR(out.model, STR("\"claude-x\""));
	CHECK_STR(out.text, STR("\"h\\\"i\""));
	CHECK_INT(out.text_bytes, 3 + 4 + 2 + 1 + 7);
	CHECK(!out.is_failure);
	CHECK(provider_usage_is_whole(&usage));
	check_usage(&usage, (int64_t[]){126, 7, 100, 40, 10, 3});
}

TEST(anthropic_answer_that_is_none)
{
	static const char *const rows[] = {
	    "<html>", "", "[]", "{}", "{\"content\":1}", "{\"content\":\"x\"}",
	};
	struct provider_usage usage;
	struct provider_answer out;

	provider_usage_clear(&usage);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK(
		    !anthropic_wire.read_answer(str_of(rows[i]), &usage, &out));
	CHECK(anthropic_wire.read_answer(
	    STR("{\"type\":\"error\",\"error\":{\"type\":\"api_error\","
		"\"message\":\"x\"}}"),
	    &usage, &out));
	CHECK(out.is_failure);
	CHECK(anthropic_wire.read_answer(STR("{\"content\":[1,{},null]}"),
					 &usage, &out));
	CHECK(!out.is_failure && out.text.p == NULL);
	check_usage(&usage, (int64_t[]){NONE, NONE, NONE, NONE, NONE, NONE});
}

TEST(anthropic_usage_last_value_wins_by_field)
{
	struct provider_usage usage;
	struct provider_event out;

	provider_usage_clear(&usage);
	out = event_of(
	    STR("{\"type\":\"message_start\",\"message\":{\"id\":\"m\","
		"\"model\":\"claude-x\",\"content\":[],\"usage\":{"
		"\"input_tokens\":43,\"cache_read_input_tokens\":0,"
		"\"cache_creation_input_tokens\":5,\"output_tokens\":1}}}"),
	    &usage);
	CHECK_STR(out.model, STR("\"claude-x\""));
	CHECK(!out.is_done && !out.is_failure && !out.is_usage_only);
	check_usage(&usage, (int64_t[]){48, 0, 5, NONE, 1, NONE});
	/* Never a sum. */
	event_of(STR("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
		     "\"end_turn\"},\"usage\":{\"input_tokens\":61,"
		     "\"output_tokens\":17}}"),
		 &usage);
	check_usage(&usage, (int64_t[]){66, 0, 5, NONE, 17, NONE});
	/* null says nothing, zero does. */
	event_of(STR("{\"type\":\"message_delta\",\"usage\":{\"input_tokens\":"
		     "null,\"cache_creation_input_tokens\":0,"
		     "\"cache_read_input_tokens\":9,\"output_tokens\":0}}"),
		 &usage);
	check_usage(&usage, (int64_t[]){70, 9, 0, NONE, 0, NONE});
	/* Usage elsewhere is no usage. */
	event_of(STR("{\"type\":\"ping\",\"usage\":{\"output_tokens\":5}}"),
		 &usage);
	check_usage(&usage, (int64_t[]){70, 9, 0, NONE, 0, NONE});
}

static void
delta_usage(const char *members, struct provider_usage *usage)
{
	struct buf buf;

	buf_init(&buf, 4096);
	buf_printf(&buf, "{\"type\":\"message_delta\",\"usage\":{%s}}",
		   members);
	event_of(buf_str(&buf), usage);
	buf_fini(&buf);
}

TEST(anthropic_usage_that_cannot_be)
{
	struct provider_usage usage;

	provider_usage_clear(&usage);
	delta_usage("\"input_tokens\":-1,\"output_tokens\":99999999999999",
		    &usage);
	delta_usage("\"input_tokens\":\"9\",\"output_tokens\":1.5", &usage);
	check_usage(&usage, (int64_t[]){NONE, NONE, NONE, NONE, NONE, NONE});
	delta_usage("\"input_tokens\":10,\"cache_read_input_tokens\":"
		    "1000000000",
		    &usage);
	check_usage(&usage, (int64_t[]){NONE, NONE, NONE, NONE, NONE, NONE});
	/* Nor is what was said before it. */
	delta_usage("\"input_tokens\":10,\"output_tokens\":1", &usage);
	delta_usage("\"input_tokens\":-10,\"output_tokens\":2000000000",
		    &usage);
	check_usage(&usage, (int64_t[]){NONE, NONE, NONE, NONE, NONE, NONE});
	/* The parts without the whole. */
	delta_usage("\"cache_creation\":{\"ephemeral_5m_input_tokens\":3,"
		    "\"ephemeral_1h_input_tokens\":4},\"output_tokens\":1",
		    &usage);
	check_usage(&usage, (int64_t[]){NONE, NONE, 7, 4, 1, NONE});
	delta_usage("\"input_tokens\":10", &usage);
	check_usage(&usage, (int64_t[]){17, NONE, 7, 4, 1, NONE});
	/* A part is never more than the whole. */
	delta_usage("\"cache_creation_input_tokens\":2,\"cache_creation\":{"
		    "\"ephemeral_1h_input_tokens\":9}",
		    &usage);
	check_usage(&usage, (int64_t[]){12, NONE, 2, 2, 1, NONE});
	delta_usage("\"cache_creation\":null,\"output_tokens_details\":null",
		    &usage);
	check_usage(&usage, (int64_t[]){12, NONE, 2, 2, 1, NONE});
}

TEST(anthropic_events)
{
	static const struct {
		const char *data;
		const char *text; /* NULL: none */
		unsigned bytes;
	} rows[] = {
	    {"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":"
	     "{\"type\":\"text\",\"text\":\"\"}}",
	     "\"\"", 0},
	    {"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
	     "\"type\":\"text_delta\",\"text\":\"Ol\\u00e0\"}}",
	     "\"Ol\\u00e0\"", 8},
	    {"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
	     "\"type\":\"thinking_delta\",\"thinking\":\"hmm\"}}",
	     NULL, 3},
	    {"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
	     "\"type\":\"signature_delta\",\"signature\":\"abc\"}}",
	     NULL, 0},
	    {"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
	     "\"type\":\"citations_delta\",\"citation\":{\"a\":1}}}",
	     NULL, 0},
	    {"{\"type\":\"content_block_start\",\"index\":1,\"content_block\":"
	     "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"fn\",\"input\":"
	     "{}}}",
	     NULL, 2},
	    {"{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{"
	     "\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"\"}}",
	     NULL, 3},
	    {"{\"type\":\"content_block_stop\",\"index\":1}", NULL, 0},
	    {"{\"type\":\"ping\"}", NULL, 0},
	    {"{\"type\":\"of_tomorrow\",\"delta\":{\"text\":\"x\"}}", NULL, 0},
	    {"{\"type\":\"content_block_delta\",\"delta\":7}", NULL, 0},
	    {"{\"type\":\"content_block_delta\"}", NULL, 0},
	    {"{\"type\":7}", NULL, 0},
	    {"[]", NULL, 0},
	    {"not json", NULL, 0},
	};
	struct provider_usage usage;

	provider_usage_clear(&usage);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct provider_event out =
		    event_of(str_of(rows[i].data), &usage);

		CHECK(!out.is_done && !out.is_failure && !out.is_usage_only);
		CHECK_INT(out.text_bytes, rows[i].bytes);
		CHECK((out.text.p != NULL) == (rows[i].text != NULL));
		if (rows[i].text)
			CHECK_STR(out.text, str_of(rows[i].text));
	}
	CHECK(event_of(STR("{\"type\":\"message_stop\"}"), &usage).is_done);
	CHECK(!event_of(STR("[DONE]"), &usage).is_done);
	CHECK(!event_of(STR_NONE, &usage).is_done);
	CHECK(event_of(STR("{\"type\":\"error\",\"error\":{\"type\":"
			   "\"overloaded_error\",\"message\":\"Overloaded\"}}"),
		       &usage)
		  .is_failure);
	CHECK(event_of(STR("{\"error\":{\"message\":\"x\"}}"), &usage)
		  .is_failure);
	check_usage(&usage, (int64_t[]){NONE, NONE, NONE, NONE, NONE, NONE});
}

TEST(anthropic_judges)
{
	static const struct {
		int status;
		enum provider_verdict want;
	} rows[] = {
	    {301, PROVIDER_FAIL},  {400, PROVIDER_PASS},  {401, PROVIDER_ALARM},
	    {402, PROVIDER_ALARM}, {403, PROVIDER_ALARM}, {404, PROVIDER_PASS},
	    {405, PROVIDER_FAIL},  {408, PROVIDER_RETRY}, {409, PROVIDER_RETRY},
	    {413, PROVIDER_PASS},  {422, PROVIDER_PASS},  {429, PROVIDER_LIMIT},
	    {500, PROVIDER_RETRY}, {504, PROVIDER_RETRY}, {529, PROVIDER_RETRY},
	    {600, PROVIDER_FAIL},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK_INT(anthropic_wire.judge(rows[i].status, STR("{}")),
			  rows[i].want);
}

TEST(anthropic_judges_money)
{
	static const struct {
		int status;
		const char *type;
		const char *message;
		enum provider_verdict want;
	} rows[] = {
	    {400, "invalid_request_error",
	     "Your credit balance is too low to access the Anthropic API.",
	     PROVIDER_ALARM},
	    {400, "invalid_request_error",
	     "You have reached your specified API usage limits. You will "
	     "regain access on 2027-01-01 at 00:00 UTC.",
	     PROVIDER_ALARM},
	    {400, "billing_error", "x", PROVIDER_ALARM},
	    {400, "invalid_request_error",
	     "messages.0: Your credit balance is too low", PROVIDER_PASS},
	    {429, "rate_limit_error", "Number of request tokens has exceeded",
	     PROVIDER_LIMIT},
	    {429, "billing_error", "x", PROVIDER_ALARM},
	    {429, "rate_limit_error",
	     "You have reached your specified API usage limits.",
	     PROVIDER_ALARM},
	};
	struct buf body;

	buf_init(&body, 4096);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_reset(&body);
		buf_printf(&body,
			   "{\"type\":\"error\",\"error\":{\"type\":\"%s\","
			   "\"message\":\"%s\"}}",
			   rows[i].type, rows[i].message);
		CHECK_INT(anthropic_wire.judge(rows[i].status, buf_str(&body)),
			  rows[i].want);
	}
	CHECK_INT(anthropic_wire.judge(400, STR("<html>billing_error")),
		  PROVIDER_PASS);
	CHECK_INT(anthropic_wire.judge(429, STR("[]")), PROVIDER_LIMIT);
	buf_fini(&body);
}

/* The stream and the JSON answer of one run give one usage. */
TEST(anthropic_stream_and_answer_count_the_same)
{
	static const char *const events[] = {
	    "{\"type\":\"message_start\",\"message\":{\"usage\":{"
	    "\"input_tokens\":43,\"output_tokens\":1}}}",
	    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
	    "\"type\":\"text_delta\",\"text\":\"Hel\"}}",
	    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
	    "\"type\":\"text_delta\",\"text\":\"lo\"}}",
	    "{\"type\":\"message_delta\",\"usage\":{\"input_tokens\":61,"
	    "\"cache_read_input_tokens\":2,\"output_tokens\":30}}",
	    "{\"type\":\"message_stop\"}",
	};
	struct provider_usage usage, whole;
	struct provider_answer answer;
	size_t bytes = 0;

	provider_usage_clear(&usage);
	provider_usage_clear(&whole);
	for (unsigned i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		bytes += event_of(str_of(events[i]), &usage).text_bytes;
	CHECK(anthropic_wire.read_answer(
	    STR("{\"content\":[{\"type\":\"text\",\"text\":\"Hello\"}],"
		"\"usage\":{\"input_tokens\":61,\"cache_read_input_tokens\":2,"
		"\"output_tokens\":30}}"),
	    &whole, &answer));
	CHECK_INT(bytes, answer.text_bytes);
	check_usage(&usage, (int64_t[]){63, 2, NONE, NONE, 30, NONE});
	check_usage(&whole, (int64_t[]){63, 2, NONE, NONE, 30, NONE});
}
