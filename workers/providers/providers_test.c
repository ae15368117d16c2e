/*
 * Tests of the table of providers and of which are on.
 */
#include "workers/providers/providers.h"

#include "lib/test.h"

TEST(providers_have_names)
{
	CHECK(provider_of_name(STR("openai")) != NULL);
	CHECK(provider_of_name(STR("OpenAI")) == NULL);
	CHECK(provider_of_name(STR("")) == NULL);
	for (unsigned i = 0; i < PROVIDER_COUNT; i++)
		CHECK_INT(provider_rows[i].index, i);
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
	providers.has_key[deepseek->index] = true;
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

static void
take(struct providers *providers, const char *name, const char *base,
     const char *auth)
{
	const struct provider_setting setting = {str_of(name), str_of(base),
						 str_of(auth), STR("small")};
	struct why why;

	CHECK_OK(providers_take(providers, &setting, 1, &why));
}

TEST(providers_of_the_settings)
{
	struct conf conf = {.openai_base_url = "https://api.openai.com/v1",
			    .anthropic_base_url = "https://api.anthropic.com",
			    .deepseek_base_url = "https://api.deepseek.com"};
	const struct provider_setting bad[] = {
	    {STR("bad"), STR("http://api.example/v1"), STR("none"), STR_NONE},
	    {STR("good"), STR("https://api.example/v1"), STR("none"),
	     STR_NONE}};
	const struct provider_row *near;
	struct upstream_target *target;
	struct upstream *upstream;
	struct providers providers;
	struct loop *loop;
	struct why why = {"", ""};

	CHECK_OK(loop_open(&loop));
	CHECK_OK(upstream_open(&upstream, loop, 1000, &why));
	CHECK_OK(providers_open(&providers, upstream, &conf, &why));
	take(&providers, "near", "http://127.0.0.1:1/v1", "none");
	near = providers_find(&providers, STR("near"));
	CHECK(near && near->key_header == NULL);
	CHECK(providers_at(&providers, near->index) == near);
	CHECK_STR(str_of(near->default_model), STR("small"));
	target = provider_target(&providers, near);
	CHECK(target && provider_is_on(&providers, near));
	/* It can be called without a key, before the one inside. */
	providers.has_key[near->index] = true;
	CHECK(providers_first(&providers) == near);
	/* The same again keeps its connections, another address does not. */
	take(&providers, "near", "http://127.0.0.1:1/v1", "api-key");
	CHECK(provider_target(&providers, near) == target);
	CHECK_STR(str_of(near->key_header), STR("api-key: "));
	take(&providers, "near", "http://127.0.0.1:2/v1", "bearer");
	CHECK(provider_is_on(&providers, near));
	CHECK_STR(str_of(near->key_header), STR("Authorization: Bearer "));
	/* Gone, and back at its place. */
	CHECK_ERR(providers_take(&providers, bad, 2, &why), ERR_CONFIG);
	CHECK(strstr(why.text, "bad: ") && strstr(why.text, "loopback"));
	CHECK(providers_find(&providers, STR("good")));
	CHECK(!provider_is_on(&providers,
			      providers_find(&providers, STR("bad"))));
	CHECK(providers_find(&providers, STR("near")) == NULL);
	CHECK(!provider_is_on(&providers, near));
	take(&providers, "near", "http://127.0.0.1:2/v1", "bearer");
	CHECK(providers_find(&providers, STR("near")) == near);
	providers_close(&providers);
	upstream_close(upstream);
	loop_close(loop);
}
