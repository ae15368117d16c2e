/*
 * Tests of the table of providers and of which are on.
 */
#include "workers/providers/providers.h"

#include "lib/test.h"

static const char *
name_of_model(const char *model)
{
	const struct provider_row *row = provider_of_model(str_of(model));

	return row ? row->name : "none";
}

TEST(providers_of_models)
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
	    {"o", "none"},
	    {"orca-7b", "none"},
	    {"ft:gpt-4o:x", "openai"},
	    {"claude-sonnet-4-5", "anthropic"},
	    {"claude", "none"},
	    {"deepseek-chat", "deepseek"},
	    {"demo", "demo"},
	    {"", "none"},
	    {"mistral-large", "none"},
	    {"GPT-4o", "none"},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK_STR(str_of(name_of_model(rows[i].model)),
			  str_of(rows[i].provider));
	CHECK(provider_of_name(STR("openai")) != NULL);
	CHECK(provider_of_name(STR("OpenAI")) == NULL);
	CHECK(provider_of_name(STR("")) == NULL);
}

static bool
is_on(const struct providers *providers, const char *name)
{
	return provider_is_on(providers, provider_of_name(str_of(name)));
}

static bool
has_key(const struct providers *providers, const char *name)
{
	return provider_has_key(providers, provider_of_name(str_of(name)));
}

TEST(providers_switched_on)
{
	struct conf conf = {.openai_api_key = "key-o",
			    .openai_base_url = "https://api.openai.com/v1",
			    .anthropic_base_url = "https://api.anthropic.com",
			    .deepseek_base_url = "https://api.deepseek.com"};
	const struct provider_row *demo = provider_of_name(STR("demo"));
	const struct provider_row *deepseek = provider_of_name(STR("deepseek"));
	struct upstream *upstream;
	struct providers providers;
	struct loop *loop;
	struct why why = {"", ""};

	CHECK_OK(loop_open(&loop));
	CHECK_OK(upstream_open(&upstream, loop, 1000, &why));
	CHECK_OK(providers_open(&providers, upstream, &conf, &why));
	CHECK(is_on(&providers, "demo") && has_key(&providers, "demo"));
	/* A customer may have a key of its own. */
	CHECK(is_on(&providers, "openai") && !has_key(&providers, "openai"));
	CHECK(providers_first(&providers) == demo);
	CHECK(provider_target(&providers, demo) == NULL);
	CHECK(provider_target(&providers, deepseek));
	providers.has_key[deepseek - provider_rows] = true;
	CHECK(has_key(&providers, "deepseek"));
	CHECK(!is_on(&providers, "demo") && !has_key(&providers, "demo"));
	CHECK(providers_first(&providers) == deepseek);
	providers_close(&providers);
	CHECK_STR(
	    str_of(provider_conf_key(provider_of_name(STR("openai")), &conf)),
	    STR("key-o"));
	CHECK_STR(str_of(provider_conf_key(demo, &conf)), STR(""));

	conf.openai_base_url = "http://api.openai.com/v1";
	CHECK_ERR(providers_open(&providers, upstream, &conf, &why),
		  ERR_CONFIG);
	CHECK(strstr(why.text, "loopback"));
	upstream_close(upstream);
	loop_close(loop);
}
