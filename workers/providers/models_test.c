/*
 * Tests of model names' patterns and of what is known by them.
 */
#include "workers/providers/models.h"

#include "lib/test.h"

TEST(models_patterns)
{
	static const struct {
		const char *model;
		const char *pattern;
		bool is_match;
	} rows[] = {
	    {"gpt-4o", "gpt-*", true},
	    {"gpt-", "gpt-*", true},
	    {"gpt", "gpt-*", false},
	    {"o1", "o#*", true},
	    {"o", "o#*", false},
	    {"orca", "o#*", false},
	    {"a-b-c", "a*c", true},
	    {"a-b-c", "*b*", true},
	    {"a-b-c", "*b", false},
	    {"abab", "*ab", true},
	    {"", "", true},
	    {"", "*", true},
	    {"x", "", false},
	    {"demo", "demo", true},
	    {"demo-2", "demo", false},
	    {"aaab", "a*a*b", true},
	    {"aaac", "a*a*b", false},
	    {"x9y", "x#y", true},
	    {"GPT-4o", "gpt-*", false},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (model_matches(str_of(rows[i].model),
				  str_of(rows[i].pattern)) != rows[i].is_match)
			test_fail(__FILE__, __LINE__, "%s %s", rows[i].model,
				  rows[i].pattern);
	}
}

TEST(models_facts)
{
	static const struct {
		const char *model;
		bool takes_sampling, takes_effort, takes_thinking;
	} rows[] = {
	    {"gpt-4o-mini", true, false, false},
	    {"gpt-5-mini", false, true, false},
	    {"gpt-5-chat-latest", true, false, false},
	    {"o3", false, true, false},
	    {"claude-3-5-haiku-latest", true, false, false},
	    {"claude-sonnet-4-20250514", true, false, false},
	    {"claude-sonnet-4-5", true, false, false},
	    {"claude-opus-4-6", true, true, false},
	    {"claude-opus-4-7", false, true, false},
	    {"claude-sonnet-5", false, true, false},
	    {"claude-of-tomorrow", false, true, false},
	    {"deepseek-chat", true, false, true},
	    {"somebody-elses", true, false, false},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct model_facts *facts =
		    model_facts(str_of(rows[i].model));

		CHECK_INT(facts->takes_sampling, rows[i].takes_sampling);
		CHECK_INT(facts->takes_effort, rows[i].takes_effort);
		CHECK_INT(facts->takes_thinking, rows[i].takes_thinking);
	}
}

TEST(models_tokens_of_an_image)
{
	static const struct {
		const char *model;
		int64_t tokens;
	} rows[] = {
	    {"gpt-4o-mini-2024-07-18", 48169},
	    {"gpt-4o", 3779},
	    {"gpt-5-nano", 3779},
	    {"gpt-5.4", 10000},
	    {"gpt-6", 10000},
	    {"claude-opus-4-6", 1600},
	    {"claude-opus-4-7", 4784},
	    {"somebody-elses", 5000},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK_INT(model_facts(str_of(rows[i].model))->image_tokens,
			  rows[i].tokens);
}

TEST(models_undated)
{
	static const char *const rows[][2] = {
	    {"gpt-4o-2024-08-06", "gpt-4o"},
	    {"claude-3-opus-20240229", "claude-3-opus"},
	    {"gpt-4-0613", "gpt-4"},
	    {"gpt-3.5-turbo", "gpt-3.5-turbo"},
	    {"gpt-4", "gpt-4"},
	    {"-0613", "-0613"},
	    {"", ""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK_STR(model_undated(str_of(rows[i][0])),
			  str_of(rows[i][1]));
}
