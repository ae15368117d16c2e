/*
 * Tests of the routes: which model and provider a name means, with and without
 * rows of the settings.
 */
#include "workers/routes.h"

#include "lib/test.h"

static struct routes routes;

static void
check(const char *name, const char *model, const char *provider)
{
	struct route_target target = routes_resolve(&routes, str_of(name));

	CHECK_STR(target.model, str_of(model));
	CHECK_STR(target.provider, str_of(provider));
}

TEST(routes_that_are_built_in)
{
	static const struct {
		const char *model;
		const char *provider;
	} rows[] = {
	    {"gpt-4o", "openai"},
	    {"gpt-4o-mini", "openai"},
	    {"chatgpt-4o-latest", "openai"},
	    {"o1", "openai"},
	    {"o3-mini", "openai"},
	    {"o", ""},
	    {"orca-7b", ""},
	    {"ft:gpt-4o:x", "openai"},
	    {"claude-sonnet-4-5", "anthropic"},
	    {"claude", ""},
	    {"deepseek-chat", "deepseek"},
	    {"demo", "demo"},
	    {"", ""},
	    {"mistral-large", ""},
	    {"GPT-4o", ""},
	};

	routes_build(&routes, NULL, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(rows[i].model, rows[i].model, rows[i].provider);
	CHECK_INT(routes.count, ROUTES_BUILT_IN);
	CHECK(routes_built_in(ROUTES_BUILT_IN) == NULL);
}

TEST(routes_of_the_settings_come_first)
{
	const struct route_setting settings[] = {
	    {.name = STR("*"), .provider = STR("catchall")},
	    {.name = STR("gpt-4*"), .provider = STR("azure")},
	    {.name = STR("gpt-4o"), .provider = STR("near")},
	    {.name = STR("claude-*"), .provider = STR("bedrock")},
	    {.name = STR("fast"), .model = STR("gpt-4o-mini")},
	    {.name = STR("faster"),
	     .model = STR("gpt-5-nano"),
	     .provider = STR("near")},
	    {.name = STR("loop"), .model = STR("loop")},
	    {.name = STR("twice"), .model = STR("fast")},
	};

	routes_build(&routes, settings, sizeof(settings) / sizeof(settings[0]));
	/* Exact, then the longest pattern, then the built-in ones. */
	check("gpt-4o", "gpt-4o", "near");
	check("gpt-4o-mini", "gpt-4o-mini", "azure");
	check("gpt-5", "gpt-5", "openai");
	check("claude-x", "claude-x", "bedrock");
	check("anything", "anything", "catchall");
	/* An alias is where its model is, unless it says another. */
	check("fast", "gpt-4o-mini", "azure");
	check("faster", "gpt-5-nano", "near");
	/* And is followed once. */
	check("loop", "loop", "catchall");
	check("twice", "fast", "catchall");
	/* claude-* took the place of the one that is built in. */
	CHECK_INT(routes.count, 8 + ROUTES_BUILT_IN - 1);
}

TEST(routes_with_fallbacks_only_keep_the_provider)
{
	struct str fallbacks[] = {STR("claude-haiku-4-5"), STR("o1")};
	const struct route_setting settings[] = {
	    {.name = STR("gpt-4o"),
	     .fallbacks = fallbacks,
	     .fallbacks_count = 2},
	};
	struct route_target target;

	routes_build(&routes, settings, 1);
	check("gpt-4o", "gpt-4o", "openai");
	target = routes_resolve(&routes, STR("gpt-4o"));
	CHECK_INT(target.row->fallbacks_count, 2);
	target = routes_resolve(&routes, STR("gpt-4o-mini"));
	CHECK_INT(target.row->fallbacks_count, 0);
}
