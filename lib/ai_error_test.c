/*
 * Tests of refusals in the shapes of AI clients.
 */
#include "lib/ai_error.h"

#include "lib/json.h"
#include "lib/test.h"

/* Each status has a name of Anthropic's list, and no other. */
TEST(ai_error_names)
{
	static const char *const list[] = {
	    "invalid_request_error", "authentication_error",
	    "billing_error",	     "permission_error",
	    "not_found_error",	     "request_too_large",
	    "rate_limit_error",	     "api_error",
	    "timeout_error",	     "overloaded_error",
	};

	for (unsigned e = 1; e < ERR_COUNT; e++) {
		struct ai_failure failure = {(enum err)e, STR_NONE, STR("f"),
					     STR("req_1")};
		struct buf out;
		bool is_listed = false;
		struct json_value root, error, type;

		buf_init(&out, 4096);
		ai_error_write_own(AI_ANTHROPIC, &failure, &out);
		CHECK(json_check(buf_str(&out), &root));
		CHECK(json_get(root, STR("error"), &error));
		CHECK(json_get(error, STR("type"), &type));
		for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++)
			is_listed |=
			    str_eq(str_bytes(type.raw.p + 1, type.raw.n - 2),
				   str_of(list[i]));
		CHECK(is_listed);
		buf_reset(&out);
		ai_error_write_own(AI_OPENAI, &failure, &out);
		CHECK(json_check(buf_str(&out), &root));
		CHECK(json_get(root, STR("error"), &error));
		CHECK_INT(json_count(error, STR("message")), 1);
		CHECK_INT(json_count(error, STR("type")), 1);
		CHECK_INT(json_count(error, STR("param")), 1);
		CHECK_INT(json_count(error, STR("code")), 1);
		buf_fini(&out);
	}
}

TEST(ai_error_of_our_own)
{
	struct ai_failure failure = {ERR_LIMIT_REACHED, STR("used \"up\""),
				     STR_NONE, STR("req_1")};
	struct buf out;

	buf_init(&out, 4096);
	ai_error_write_own(AI_OPENAI, &failure, &out);
	CHECK_STR(buf_str(&out),
		  STR("{\"error\":{\"message\":\"used \\\"up\\\"\",\"type\":"
		      "\"insufficient_quota\",\"param\":null,\"code\":"
		      "\"LIMIT_REACHED\"}}"));
	buf_reset(&out);
	failure = (struct ai_failure){ERR_BAD_FIELD, STR("m"), STR("n"),
				      STR("req_1")};
	ai_error_write_own(AI_OPENAI, &failure, &out);
	CHECK_STR(
	    buf_str(&out),
	    STR("{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_"
		"error\",\"param\":\"n\",\"code\":\"BAD_FIELD\"}}"));
	buf_reset(&out);
	failure.field = STR("thread");
	ai_error_write_own(AI_ANTHROPIC, &failure, &out);
	CHECK_STR(buf_str(&out),
		  STR("{\"type\":\"error\",\"error\":{\"type\":\"invalid_"
		      "request_error\",\"message\":\"m\",\"details\":{"
		      "\"error_code\":\"thread_unsupported_request\","
		      "\"unsupported\":[\"model\"]}},"
		      "\"request_id\":\"req_1\"}"));
	buf_fini(&out);
}

/* Where no status came with an error, its names tell it. */
TEST(ai_error_statuses)
{
	static const struct {
		enum ai_shape shape;
		const char *name;
		int status;
	} rows[] = {
	    {AI_ANTHROPIC, "overloaded_error", 529},
	    {AI_ANTHROPIC, "rate_limit_error", 429},
	    {AI_ANTHROPIC, "request_too_large", 413},
	    {AI_ANTHROPIC, "of_tomorrow", 500},
	    {AI_OPENAI, "insufficient_quota", 402},
	    {AI_OPENAI, "rate_limit_exceeded", 429},
	    {AI_OPENAI, "tokens", 429},
	    {AI_OPENAI, "model_not_found", 404},
	    {AI_OPENAI, "server_error", 500},
	    {AI_OPENAI, "", 500},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK_INT(ai_error_status(rows[i].shape, str_of(rows[i].name)),
			  rows[i].status);
}
