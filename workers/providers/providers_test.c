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

static struct conf
conf_of(const char *openai_key, const char *deepseek_key)
{
	struct conf conf;

	memset(&conf, 0, sizeof(conf));
	conf.openai_api_key = openai_key;
	conf.openai_base_url = "https://api.openai.com/v1";
	conf.anthropic_api_key = "k";
	conf.anthropic_base_url = "https://api.anthropic.com";
	conf.deepseek_api_key = deepseek_key;
	conf.deepseek_base_url = "https://api.deepseek.com";
	return conf;
}

static bool
is_on(const struct providers *providers, const char *name)
{
	return provider_is_on(providers, provider_of_name(str_of(name)));
}

TEST(providers_switched_on)
{
	struct conf conf = conf_of("", "");
	struct upstream *upstream;
	struct providers providers;
	struct loop *loop;
	struct why why = {"", ""};

	CHECK_OK(loop_open(&loop));
	CHECK_OK(upstream_open(&upstream, loop, 1000, &why));
	CHECK_OK(providers_open(&providers, upstream, &conf, &why));
	CHECK(is_on(&providers, "demo"));
	CHECK(!is_on(&providers, "openai"));
	CHECK(!is_on(&providers, "anthropic"));
	CHECK_STR(str_of(providers_first(&providers)->name), STR("demo"));
	CHECK(provider_target(&providers, providers_first(&providers)) == NULL);
	providers_close(&providers);

	conf = conf_of("", "key-d");
	CHECK_OK(providers_open(&providers, upstream, &conf, &why));
	CHECK(is_on(&providers, "deepseek"));
	CHECK(!is_on(&providers, "demo"));
	CHECK_STR(str_of(providers_first(&providers)->name), STR("deepseek"));
	CHECK(provider_target(&providers, providers_first(&providers)));
	providers_close(&providers);

	conf = conf_of("key-o", "");
	conf.openai_base_url = "http://api.openai.com/v1";
	CHECK_ERR(providers_open(&providers, upstream, &conf, &why),
		  ERR_CONFIG);
	CHECK(strstr(why.text, "loopback"));
	conf = conf_of("se\ncret", "");
	CHECK_ERR(providers_open(&providers, upstream, &conf, &why),
		  ERR_CONFIG);
	CHECK(strstr(why.text, "cret") == NULL);
	upstream_close(upstream);
	loop_close(loop);
}
