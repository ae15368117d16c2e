/*
 * ledger_routes_test: providers and routes of the settings over the memory
 * engine: what is let in, what is refused and why, and what a proxy is told.
 */
#include "workers/ledger_house_test.h"

#include "workers/routes.h"

#include <stdio.h>

static enum err
provider_set(struct ledger_house *house, const char *name, const char *base,
	     const char *auth)
{
	struct provider_view out;
	struct provider_set in;

	schema_clear(&provider_set_schema, &in);
	in.name = str_of(name);
	in.base_url = str_of(base);
	in.auth = str_of(auth);
	return ledger_house_call(house, MSG_provider_set, &in, &out);
}

static enum err
provider_remove(struct ledger_house *house, const char *name)
{
	struct provider_remove in = {str_of(name), STR_NONE};
	struct provider_view out;

	return ledger_house_call(house, MSG_provider_remove, &in, &out);
}

/* fallbacks: up to three names with blanks between; NULL = as they are. */
static enum err
route_set(struct ledger_house *house, const char *name, const char *model,
	  const char *provider, const char *fallbacks)
{
	struct route_view out;
	struct route_set in;
	struct str names[3];

	schema_clear(&route_set_schema, &in);
	in.name = str_of(name);
	in.model = str_of(model);
	in.provider = str_of(provider);
	in.has_fallbacks = fallbacks != NULL;
	in.fallbacks = names;
	while (fallbacks && *fallbacks) {
		size_t n = strcspn(fallbacks, " ");

		names[in.fallbacks_count++] = str_bytes(fallbacks, n);
		fallbacks += n + (fallbacks[n] == ' ');
	}
	return ledger_house_call(house, MSG_route_set, &in, &out);
}

static enum err
route_remove(struct ledger_house *house, const char *name)
{
	struct route_remove in = {str_of(name), STR_NONE};
	struct route_view out;

	return ledger_house_call(house, MSG_route_remove, &in, &out);
}

static struct vendor_keys
told(struct ledger_house *house)
{
	struct vendor_keys_get in = {false};
	struct vendor_keys out;

	CHECK_OK(ledger_house_call(house, MSG_vendor_keys_get, &in, &out));
	return out;
}

static bool
says(const struct ledger_house *house, const char *text)
{
	struct str message = house->failure.message;

	return memmem(message.p, message.n, text, strlen(text)) != NULL;
}

static struct price_set
price_of(const char *provider, const char *model)
{
	struct price_set in;

	schema_clear(&price_set_schema, &in);
	in.provider = str_of(provider);
	in.model = str_of(model);
	in.input = in.output = 1000000;
	return in;
}

static enum err
price_set(struct ledger_house *house, const char *provider, const char *model)
{
	struct price_set in = price_of(provider, model);
	struct price_view out;

	return ledger_house_call(house, MSG_price_set, &in, &out);
}

TEST(ledger_routes_reach_the_proxy)
{
	struct ledger_house house;
	struct vendor_keys keys;
	int64_t version;

	ledger_house_open(&house);
	version = told(&house).version;
	CHECK_OK(provider_set(&house, "near", "http://127.0.0.1:1/v1", "none"));
	CHECK_OK(price_set(&house, "near", "small"));
	CHECK_OK(route_set(&house, "small", NULL, "near", NULL));
	CHECK_OK(route_set(&house, "gpt-5", "small", NULL,
			   "gpt-4o-mini claude-haiku-4-5"));
	keys = told(&house);
	CHECK(keys.version > version);
	CHECK_INT(keys.providers_count, 1);
	CHECK_STR(keys.providers[0].name, STR("near"));
	CHECK_STR(keys.providers[0].auth, STR("none"));
	CHECK_INT(keys.routes_count, 2);
	CHECK_STR(keys.routes[0].name, STR("gpt-5"));
	CHECK_STR(keys.routes[0].model, STR("small"));
	CHECK_INT(keys.routes[0].fallbacks_count, 2);
	CHECK_STR(keys.routes[0].fallbacks[1], STR("claude-haiku-4-5"));
	/* What is not given stays; what is empty goes. */
	CHECK_OK(route_set(&house, "gpt-5", "gpt-4o", NULL, NULL));
	CHECK_OK(route_set(&house, "gpt-5", "", NULL, NULL));
	keys = told(&house);
	CHECK(str_is_empty(keys.routes[0].model));
	CHECK_INT(keys.routes[0].fallbacks_count, 2);
	version = keys.version;
	CHECK_OK(route_remove(&house, "gpt-5"));
	CHECK_ERR(route_remove(&house, "gpt-5"), ERR_NO_SUCH);
	CHECK_ERR(provider_remove(&house, "near"), ERR_CONFLICT);
	CHECK(says(&house, "small"));
	CHECK_OK(route_remove(&house, "small"));
	CHECK_OK(provider_remove(&house, "near"));
	CHECK_ERR(provider_remove(&house, "near"), ERR_NO_SUCH);
	keys = told(&house);
	CHECK(keys.version > version);
	CHECK_INT(keys.providers_count + keys.routes_count, 0);
	ledger_house_close(&house);
}

TEST(ledger_routes_that_lead_nowhere_are_refused)
{
	static const struct {
		const char *name, *model, *provider, *fallbacks;
		enum err err;
		const char *field, *text;
	} rows[] = {
	    {"", "gpt-4o", NULL, NULL, ERR_BAD_FIELD, "name", "name"},
	    {"a b", "gpt-4o", NULL, NULL, ERR_BAD_FIELD, "name", "pattern"},
	    {"fast", NULL, NULL, NULL, ERR_BAD_FIELD, "model", "says"},
	    {"fast", "gpt-*", NULL, NULL, ERR_BAD_FIELD, "model", "gpt-*"},
	    {"fast", "mistral", NULL, NULL, ERR_MODEL_UNKNOWN, "model",
	     "chatello route set mistral --provider"},
	    {"fast", "gpt-none", NULL, NULL, ERR_MODEL_NOT_PRICED, "model",
	     "chatello price set openai gpt-none"},
	    {"fast", "gpt-4o", "opanai", NULL, ERR_NO_SUCH, "provider",
	     "provider list"},
	    {"mistral", NULL, NULL, "gpt-4o", ERR_MODEL_UNKNOWN, "name",
	     "no provider serves mistral"},
	    {"gpt-4o", NULL, NULL, "gpt-none", ERR_MODEL_NOT_PRICED,
	     "fallbacks", "chatello price set openai gpt-none"},
	    {"gpt-4o", NULL, NULL, "mistral", ERR_MODEL_UNKNOWN, "fallbacks",
	     "mistral"},
	    {"gpt-4o", NULL, NULL, "gpt-4o", ERR_BAD_FIELD, "fallbacks",
	     "first"},
	    {"gpt-4o", NULL, NULL, "o1 o3 o1", ERR_BAD_FIELD, "fallbacks",
	     "twice"},
	};
	struct ledger_house house;

	ledger_house_open(&house);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CHECK_ERR(route_set(&house, rows[i].name, rows[i].model,
				    rows[i].provider, rows[i].fallbacks),
			  rows[i].err);
		CHECK_STR(house.failure.field, str_of(rows[i].field));
		CHECK(says(&house, rows[i].text));
	}
	CHECK_INT(told(&house).routes_count, 0);
	ledger_house_close(&house);
}

TEST(ledger_providers_that_cannot_be_are_refused)
{
	static const struct {
		const char *name, *base, *auth, *field;
	} rows[] = {
	    {"openai", "https://a.example/v1", NULL, "name"},
	    {"demo", "https://a.example/v1", NULL, "name"},
	    {"a b", "https://a.example/v1", NULL, "name"},
	    {"near", NULL, NULL, "base_url"},
	    {"near", "http://a.example/v1", NULL, "base_url"},
	    {"near", "a.example", NULL, "base_url"},
	    {"near", "https://a.example/v1", "basic", "auth"},
	};
	struct ledger_house house;

	ledger_house_open(&house);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CHECK_ERR(provider_set(&house, rows[i].name, rows[i].base,
				       rows[i].auth),
			  ERR_BAD_FIELD);
		CHECK_STR(house.failure.field, str_of(rows[i].field));
	}
	CHECK_ERR(provider_remove(&house, "openai"), ERR_BAD_FIELD);
	CHECK_INT(told(&house).providers_count, 0);
	ledger_house_close(&house);
}

TEST(ledger_providers_have_keys_and_a_limit)
{
	struct vendor_key_remove remove = {STR("p-0"), STR_NONE, STR_NONE};
	struct ledger_house house;
	struct vendor_key_view view;
	struct vendor_key_set in;
	char name[16];

	ledger_house_open(&house);
	schema_clear(&vendor_key_set_schema, &in);
	in.provider = STR("p-0");
	in.api_key = STR("sk-canary-0123456789WXYZ");
	CHECK_ERR(ledger_house_call(&house, MSG_vendor_key_set, &in, &view),
		  ERR_NO_SUCH);
	for (int i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "p-%d", i);
		CHECK_OK(provider_set(&house, name, "https://a.example", NULL));
	}
	CHECK_ERR(provider_set(&house, "p-16", "https://a.example", NULL),
		  ERR_CONFLICT);
	CHECK_OK(provider_set(&house, "p-3", "https://b.example", NULL));
	CHECK_OK(ledger_house_call(&house, MSG_vendor_key_set, &in, &view));
	CHECK_ERR(provider_remove(&house, "p-0"), ERR_CONFLICT);
	CHECK_OK(
	    ledger_house_call(&house, MSG_vendor_key_remove, &remove, &view));
	CHECK_OK(provider_remove(&house, "p-0"));
	CHECK_INT(told(&house).providers_count, 15);
	ledger_house_close(&house);
}

TEST(ledger_routes_have_a_limit)
{
	struct ledger_house house;
	char name[16];

	ledger_house_open(&house);
	for (unsigned i = 0; i < ROUTES_MAX; i++) {
		snprintf(name, sizeof(name), "r-%u", i);
		CHECK_OK(route_set(&house, name, "gpt-4o", NULL, NULL));
	}
	CHECK_ERR(route_set(&house, "more", "gpt-4o", NULL, NULL),
		  ERR_CONFLICT);
	CHECK_OK(route_set(&house, "r-7", "gpt-4o-mini", NULL, NULL));
	CHECK_INT(told(&house).routes_count, ROUTES_MAX);
	ledger_house_close(&house);
}

TEST(ledger_routes_of_one_turn_count_together)
{
	struct ledger_house house;
	char name[16];

	ledger_house_open(&house);
	CHECK_OK(route_set(&house, "r-0", "gpt-4o", NULL, NULL));
	house.is_in_turn = true;
	for (unsigned i = 0; i < ROUTES_MAX; i++) {
		snprintf(name, sizeof(name), "r-%u", i);
		CHECK_OK(route_set(&house, name, "gpt-4o", NULL, NULL));
	}
	CHECK_ERR(route_set(&house, "more", "gpt-4o", NULL, NULL),
		  ERR_CONFLICT);
	CHECK_OK(route_remove(&house, "r-7"));
	CHECK_OK(route_set(&house, "more", "gpt-4o", NULL, NULL));
	CHECK_INT(told(&house).routes_count, ROUTES_MAX);
	ledger_house_close(&house);
}

TEST(ledger_providers_of_one_turn_count_together)
{
	struct ledger_house house;
	char name[16];

	ledger_house_open(&house);
	house.is_in_turn = true;
	for (int i = 0; i < 16; i++) {
		snprintf(name, sizeof(name), "p-%d", i);
		CHECK_OK(provider_set(&house, name, "https://a.example", NULL));
	}
	CHECK_ERR(provider_set(&house, "p-16", "https://a.example", NULL),
		  ERR_CONFLICT);
	CHECK_INT(told(&house).providers_count, 16);
	ledger_house_close(&house);
}

/* Whichever comes first, in one turn. */
TEST(ledger_providers_of_one_turn_go_only_unused)
{
	struct vendor_key_remove remove = {STR("near"), STR_NONE, STR_NONE};
	struct ledger_house house;
	struct vendor_key_view view;
	struct vendor_key_set in;

	ledger_house_open(&house);
	schema_clear(&vendor_key_set_schema, &in);
	in.provider = STR("near");
	in.api_key = STR("sk-canary-0123456789WXYZ");
	house.is_in_turn = true;
	CHECK_OK(provider_set(&house, "near", "https://a.example", NULL));
	CHECK_OK(price_set(&house, "near", "small"));
	CHECK_OK(route_set(&house, "small", NULL, "near", NULL));
	CHECK_ERR(provider_remove(&house, "near"), ERR_CONFLICT);
	CHECK_OK(route_remove(&house, "small"));
	CHECK_OK(ledger_house_call(&house, MSG_vendor_key_set, &in, &view));
	CHECK_ERR(provider_remove(&house, "near"), ERR_CONFLICT);
	CHECK_OK(
	    ledger_house_call(&house, MSG_vendor_key_remove, &remove, &view));
	CHECK_OK(provider_remove(&house, "near"));
	CHECK_ERR(route_set(&house, "small", NULL, "near", NULL), ERR_NO_SUCH);
	CHECK_ERR(ledger_house_call(&house, MSG_vendor_key_set, &in, &view),
		  ERR_NO_SUCH);
	ledger_house_close(&house);
}

TEST(ledger_providers_that_cannot_be_read_are_not_taken_for_none)
{
	struct ledger_house house;
	struct vendor_key_view view;
	struct vendor_key_set in;
	struct key key;

	ledger_house_open(&house);
	schema_clear(&vendor_key_set_schema, &in);
	in.provider = STR("near");
	in.api_key = STR("sk-canary-0123456789WXYZ");
	key_provider(&key, in.provider);
	CHECK_OK(group_put_bytes(house.ledger.group, &key, STR("junk")));
	CHECK_ERR(route_set(&house, "gpt-4o", NULL, "near", NULL),
		  ERR_STORE_CORRUPT);
	CHECK_ERR(ledger_house_call(&house, MSG_vendor_key_set, &in, &view),
		  ERR_STORE_CORRUPT);
	ledger_house_close(&house);
}

TEST(prices_are_of_a_provider_that_there_is)
{
	struct price_remove remove = {.provider = STR("near"),
				      .model = STR("small"),
				      .valid_from = SCHEMA_INT_NONE};
	struct price_set priced = price_of("near", "small");
	struct price_import import = {.prices = &priced, .prices_count = 1};
	struct price_import_answer imported;
	struct price_removed removed;
	struct ledger_house house;

	ledger_house_open(&house);
	CHECK_ERR(price_set(&house, "near", "small"), ERR_NO_SUCH);
	CHECK_STR(house.failure.field, STR("provider"));
	CHECK(says(&house, "`chatello provider list`"));
	CHECK_OK(
	    ledger_house_call(&house, MSG_price_import, &import, &imported));
	CHECK_INT(imported.refused_count, 1);
	CHECK_OK(price_set(&house, "demo", "demo"));
	CHECK_OK(price_set(&house, "anthropic", "claude-9"));
	CHECK_OK(provider_set(&house, "near", "http://127.0.0.1:1/v1", "none"));
	CHECK_OK(
	    ledger_house_call(&house, MSG_price_import, &import, &imported));
	CHECK_INT(imported.refused_count, 0);
	/* What a provider leaves behind can go, and cannot be set anew. */
	CHECK_OK(provider_remove(&house, "near"));
	priced.input++;
	CHECK_OK(
	    ledger_house_call(&house, MSG_price_import, &import, &imported));
	CHECK_INT(imported.refused_count, 1);
	CHECK_OK(
	    ledger_house_call(&house, MSG_price_remove, &remove, &removed));
	ledger_house_close(&house);
}
