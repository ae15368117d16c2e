/*
 * ledger_keys_test: provider keys over the memory engine: who may set what, how
 * it is kept, what a reservation is given, and that no answer, event or record
 * holds a key.
 */
#include "workers/ledger_house_test.h"

#include <stdio.h>

#include "store/provider_key.h"

#define CANARY "sk-canary-0123456789WXYZ"
#define CANARY_2 "sk-canary-9876543210QRST"

static enum err
own_set(struct ledger_house *house, struct str provider, struct str api_key,
	struct own_key_view *out)
{
	struct own_key_set in = {house->license.license_key, provider, api_key};

	return ledger_house_call(house, MSG_own_key_set, &in, out);
}

static enum err
own_remove(struct ledger_house *house, struct str provider)
{
	struct own_key_remove in = {house->license.license_key, provider};
	struct own_key_view out;

	return ledger_house_call(house, MSG_own_key_remove, &in, &out);
}

static enum err
own_get(struct ledger_house *house, struct str provider, struct own_keys *out)
{
	struct own_keys_get in = {house->license.license_key, provider};

	return ledger_house_call(house, MSG_own_keys_get, &in, out);
}

static enum err
vendor_set(struct ledger_house *house, const char *name, const char *api_key,
	   int64_t weight, int64_t enabled)
{
	struct vendor_key_set in;
	struct vendor_key_view out;

	schema_clear(&vendor_key_set_schema, &in);
	in.provider = STR("openai");
	in.name = str_of(name);
	in.api_key = str_of(api_key);
	in.weight = weight;
	in.enabled = enabled;
	return ledger_house_call(house, MSG_vendor_key_set, &in, &out);
}

static struct vendor_keys
vendor_get(struct ledger_house *house)
{
	struct vendor_keys_get in = {false};
	struct vendor_keys out;

	CHECK_OK(ledger_house_call(house, MSG_vendor_keys_get, &in, &out));
	return out;
}

static enum err
reserve_of(struct ledger_house *house, const char *request_id,
	   struct str provider, struct str model, struct reserve *in,
	   struct reserved *out)
{
	schema_clear(&reserve_schema, in);
	in->request_id = str_of(request_id);
	in->key = house->license.license_key;
	in->feature = STR("ai_proxy");
	in->provider = provider;
	in->model = model;
	in->owner = STR("proxy-0");
	in->owner_start = 7;
	in->attempt = 1;
	in->expires_ms = 600000;
	in->input_tokens = 100;
	return ledger_house_call(house, MSG_reserve, in, out);
}

static enum err
reserve(struct ledger_house *house, const char *request_id, struct reserve *in,
	struct reserved *out)
{
	return reserve_of(house, request_id, STR("openai"), STR("gpt-4o"), in,
			  out);
}

static struct str
opened(struct ledger_house *house, struct str blob, struct str owner,
       const char *name)
{
	struct str secret,
	    identity = provider_key_identity(owner, STR("openai"), str_of(name),
					     &house->arena);

	CHECK_OK(crypto_open_sealed(crypto_provider_keys(house->ledger.crypto),
				    blob, identity, &house->arena, &secret));
	return secret;
}

/* No record and no event has the text. */
static void
check_nowhere(struct ledger_house *house, const char *text)
{
	struct store_event *events =
	    arena_array(&house->arena, 100, sizeof(*events));
	struct store_row *rows =
	    arena_array(&house->arena, 1000, sizeof(*rows));
	size_t count, total = 0;

	for (int kind = ' '; kind < 0x7f; kind++) {
		char prefix = (char)kind;

		CHECK_OK(store_scan(house->ledger.store, str_bytes(&prefix, 1),
				    STR_NONE, 1000, &house->arena, rows,
				    &count));
		for (size_t i = 0; i < count; i++)
			CHECK(!memmem(rows[i].value.p, rows[i].value.n, text,
				      strlen(text)));
		total += count;
	}
	CHECK(total > 0);
	CHECK_OK(store_tail(house->ledger.store, 0, 100, &house->arena, events,
			    &count));
	CHECK(count > 0);
	for (size_t i = 0; i < count; i++)
		CHECK(!memmem(events[i].bytes.p, events[i].bytes.n, text,
			      strlen(text)));
}

static struct event
last_event(struct ledger_house *house)
{
	struct store_event stored;
	struct event event;
	uint64_t head;
	size_t count;

	CHECK_OK(store_head(house->ledger.store, &head));
	CHECK_OK(store_tail(house->ledger.store, head - 1, 1, &house->arena,
			    &stored, &count));
	CHECK_OK(schema_decode(&event_schema, stored.bytes, &event,
			       &house->arena, NULL));
	return event;
}

TEST(own_keys_are_set_shown_masked_and_removed)
{
	struct ledger_house house;
	struct own_key_view view;
	struct provider_key state;
	struct own_keys keys;
	struct event event;

	ledger_house_open(&house);
	CHECK_ERR(own_get(&house, STR("openai"), &keys), ERR_NO_SUCH);
	CHECK_OK(own_get(&house, STR_NONE, &keys));
	CHECK_INT(keys.keys_count, 0);
	CHECK_OK(own_set(&house, STR("openai"), STR(CANARY), &view));
	CHECK_STR(view.key, STR("****WXYZ"));
	event = last_event(&house);
	CHECK_STR(event.type, STR("provider_key_set"));
	CHECK_STR(event.customer_id, house.license.customer_id);
	CHECK_STR(event.actor, STR("customer"));
	CHECK(memmem(event.metadata.p, event.metadata.n, "\"new\"", 5));
	CHECK_OK(schema_decode(&provider_key_schema, event.state, &state,
			       &house.arena, NULL));
	CHECK(state.sealed_key.p == NULL);
	CHECK_OK(own_set(&house, STR("openai"), STR(CANARY_2), &view));
	event = last_event(&house);
	CHECK(memmem(event.metadata.p, event.metadata.n, "\"replaced\"", 10));
	CHECK_OK(own_set(&house, STR("anthropic"), STR(CANARY), &view));
	CHECK_OK(own_get(&house, STR_NONE, &keys));
	CHECK_INT(keys.keys_count, 2);
	CHECK_STR(keys.keys[0].key, STR("****QRST"));
	check_nowhere(&house, CANARY);
	check_nowhere(&house, CANARY_2);
	CHECK_OK(own_remove(&house, STR("openai")));
	CHECK_STR(last_event(&house).type, STR("provider_key_removed"));
	CHECK_ERR(own_remove(&house, STR("openai")), ERR_NO_SUCH);
	CHECK_OK(own_get(&house, STR_NONE, &keys));
	CHECK_INT(keys.keys_count, 1);
	ledger_house_close(&house);
}

/* "near": one of the settings, that takes keys or not. */
static void
set_near(struct ledger_house *house, const char *base, const char *auth)
{
	struct provider_view out;
	struct provider_set in;

	schema_clear(&provider_set_schema, &in);
	in.name = STR("near");
	in.base_url = str_of(base);
	in.auth = str_of(auth);
	CHECK_OK(ledger_house_call(house, MSG_provider_set, &in, &out));
}

static void
remove_near(struct ledger_house *house)
{
	struct provider_remove in = {STR("near"), STR_NONE};
	struct provider_view out;

	CHECK_OK(ledger_house_call(house, MSG_provider_remove, &in, &out));
}

/* The sealed key that a request for a model of near gets; absent: none. */
static struct str
key_for_near(struct ledger_house *house, const char *request_id)
{
	struct reserved out;
	struct reserve in;

	CHECK_OK(reserve_of(house, request_id, STR("near"), STR("small"), &in,
			    &out));
	return out.own_key;
}

static void
price_near(struct ledger_house *house)
{
	struct price_view out;
	struct price_set in;

	schema_clear(&price_set_schema, &in);
	in.provider = STR("near");
	in.model = STR("small");
	in.input = in.output = 1;
	CHECK_OK(ledger_house_call(house, MSG_price_set, &in, &out));
}

TEST(own_keys_are_also_for_providers_of_the_settings)
{
	struct str identity, secret, near = STR("near");
	struct ledger_house house;
	struct own_key_view view;
	struct own_keys keys;

	ledger_house_open(&house);
	CHECK_ERR(own_set(&house, near, STR(CANARY), &view), ERR_BAD_FIELD);
	CHECK_STR(house.failure.field, STR("provider"));
	set_near(&house, "https://near.example/v1", "none");
	price_near(&house);
	CHECK_ERR(own_set(&house, near, STR(CANARY), &view), ERR_BAD_FIELD);
	CHECK_ERR(own_get(&house, near, &keys), ERR_BAD_FIELD);
	set_near(&house, "https://near.example/v1", "bearer");
	CHECK_ERR(own_get(&house, near, &keys), ERR_NO_SUCH);
	CHECK(key_for_near(&house, "r-0").p == NULL);
	CHECK_OK(own_set(&house, near, STR(CANARY), &view));
	CHECK_STR(view.provider, near);
	CHECK_OK(own_set(&house, STR("openai"), STR(CANARY), &view));
	CHECK_OK(own_get(&house, STR_NONE, &keys));
	CHECK_INT(keys.keys_count, 2);
	CHECK_STR(keys.keys[1].provider, near);
	identity = provider_key_identity(house.license.customer_id, near,
					 STR("own"), &house.arena);
	CHECK_OK(crypto_open_sealed(crypto_provider_keys(house.ledger.crypto),
				    key_for_near(&house, "r-1"), identity,
				    &house.arena, &secret));
	CHECK_STR(secret, STR(CANARY));
	check_nowhere(&house, CANARY);
	/* While it takes none, it gets none, and the vendor pays. */
	set_near(&house, "https://near.example/v1", "none");
	CHECK(key_for_near(&house, "r-2").p == NULL);
	set_near(&house, "https://near.example/v1", "bearer");
	CHECK(key_for_near(&house, "r-3").p != NULL);
	CHECK_OK(own_remove(&house, near));
	CHECK_ERR(own_remove(&house, near), ERR_NO_SUCH);
	CHECK(key_for_near(&house, "r-4").p == NULL);
	ledger_house_close(&house);
}

/* Somebody else's host shall not get it. */
TEST(own_keys_are_not_for_a_later_provider_of_the_name)
{
	struct str near = STR("near");
	struct ledger_house house;
	struct own_key_view view;
	struct own_keys keys;
	struct event event;

	ledger_house_open(&house);
	set_near(&house, "https://near.example/v1", "bearer");
	price_near(&house);
	CHECK_OK(own_set(&house, near, STR(CANARY), &view));
	remove_near(&house);
	CHECK_OK(own_get(&house, STR_NONE, &keys));
	CHECK_INT(keys.keys_count, 0);
	CHECK(key_for_near(&house, "r-0").p == NULL);
	set_near(&house, "https://other.example/v1", "bearer");
	CHECK(key_for_near(&house, "r-1").p == NULL);
	CHECK_ERR(own_get(&house, near, &keys), ERR_NO_SUCH);
	CHECK_OK(own_get(&house, STR_NONE, &keys));
	CHECK_INT(keys.keys_count, 0);
	CHECK_OK(own_set(&house, near, STR(CANARY_2), &view));
	event = last_event(&house);
	CHECK(memmem(event.metadata.p, event.metadata.n, "\"new\"", 5));
	CHECK(key_for_near(&house, "r-2").p != NULL);
	/* What was set for one that is gone can still be taken away. */
	remove_near(&house);
	CHECK_OK(own_remove(&house, near));
	CHECK_ERR(own_remove(&house, near), ERR_BAD_FIELD);
	CHECK_ERR(own_remove(&house, STR("no body")), ERR_BAD_FIELD);
	ledger_house_close(&house);
}

TEST(own_keys_that_cannot_be_taken_change_nothing)
{
	struct ledger_house house;
	struct own_key_view view;
	struct own_keys keys;
	static const struct {
		struct str provider, key;
		const char *field;
	} rows[] = {
	    {{"opanai", 6}, {CANARY, sizeof(CANARY) - 1}, "provider"},
	    {{"demo", 4}, {CANARY, sizeof(CANARY) - 1}, "provider"},
	    {{"openai", 6}, {"sk-canary 0123", 14}, "api_key"},
	    {{"openai", 6}, {"sk-canary\n0123", 14}, "api_key"},
	    {{"openai", 6}, {"   ", 3}, "api_key"},
	};

	ledger_house_open(&house);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CHECK_ERR(own_set(&house, rows[i].provider, rows[i].key, &view),
			  ERR_BAD_FIELD);
		CHECK_STR(house.failure.field, str_of(rows[i].field));
		CHECK(!memmem(house.failure.message.p, house.failure.message.n,
			      "canary", 6));
	}
	house.license.license_key = STR("CHA-AAAA-BBBB-CCCC-DDDD");
	CHECK_ERR(own_set(&house, STR("openai"), STR(CANARY), &view),
		  ERR_NOT_FOUND);
	CHECK_ERR(own_get(&house, STR_NONE, &keys), ERR_NOT_FOUND);
	CHECK_ERR(own_remove(&house, STR("openai")), ERR_NOT_FOUND);
	ledger_house_close(&house);
}

TEST(an_own_key_goes_with_the_reservation_and_costs_nothing)
{
	struct ledger_house house;
	struct own_key_view view;
	struct usage_line line;
	struct reserve in;
	struct reserved out;
	struct settle settle;
	struct settled settled;
	struct key key;

	ledger_house_open(&house);
	CHECK_OK(reserve(&house, "r-0", &in, &out));
	CHECK(out.own_key.p == NULL);
	CHECK_OK(own_set(&house, STR("openai"), STR(CANARY), &view));
	CHECK_OK(reserve(&house, "r-1", &in, &out));
	CHECK_STR(opened(&house, out.own_key, out.own_key_owner, "own"),
		  STR(CANARY));
	schema_clear(&settle_schema, &settle);
	settle.license_id = out.license_id;
	settle.request_id = STR("r-1");
	settle.attempt = 1;
	settle.status = STR("settled");
	settle.input_tokens = 1000000;
	settle.output_tokens = 7;
	settle.own_key = true;
	CHECK_OK(ledger_house_call(&house, MSG_settle, &settle, &settled));
	CHECK_INT(settled.cost, 0);
	CHECK_INT(settled.price, 0);
	key_usage_line(&key, STR("r-1"), out.license_id);
	CHECK_OK(group_load(house.ledger.group, &key, &usage_line_schema, &line,
			    &house.arena));
	CHECK(line.own_key);
	CHECK_INT(line.input_tokens, 1000000);
	CHECK_INT(line.output_tokens, 7);
	/* The other request is still the vendor's to pay. */
	settle.request_id = STR("r-0");
	settle.own_key = false;
	CHECK_OK(ledger_house_call(&house, MSG_settle, &settle, &settled));
	CHECK(settled.cost > 0);
	ledger_house_close(&house);
}

/* A crashed proxy's request with an own key has cost the vendor nothing; one
 * that is asked again after the key went is the vendor's. */
TEST(an_own_key_is_counted_as_the_last_answer_had_it)
{
	struct ledger_house house;
	struct own_key_view view;
	struct usage_line line;
	struct reserve in;
	struct reserved out;
	struct ledger_sweep sweep = {T0 + DAY_MS, T0, STR_NONE, 0, 10};
	int64_t next_ms;
	size_t closed;
	unsigned events;
	struct key key;

	ledger_house_open(&house);
	CHECK_OK(own_set(&house, STR("openai"), STR(CANARY), &view));
	CHECK_OK(reserve(&house, "r-1", &in, &out));
	CHECK_OK(reserve(&house, "r-2", &in, &out));
	CHECK_OK(own_remove(&house, STR("openai")));
	CHECK_OK(ledger_house_call(&house, MSG_reserve, &in, &out));
	CHECK(out.own_key.p == NULL);
	CHECK_OK(ledger_close_open(&house.ledger, &sweep, &closed, &next_ms));
	CHECK_OK(ledger_commit(&house.ledger, &events));
	CHECK_INT(closed, 2);
	key_usage_line(&key, STR("r-1"), out.license_id);
	CHECK_OK(group_load(house.ledger.group, &key, &usage_line_schema, &line,
			    &house.arena));
	CHECK_INT(line.cost, 0);
	key_usage_line(&key, STR("r-2"), out.license_id);
	CHECK_OK(group_load(house.ledger.group, &key, &usage_line_schema, &line,
			    &house.arena));
	CHECK(line.cost > 0 && !line.own_key);
	ledger_house_close(&house);
}

TEST(a_proxy_without_a_key_is_refused_unless_it_may_be_behind)
{
	struct ledger_house house;
	struct own_key_view view;
	struct reserve in;
	struct reserved out;

	ledger_house_open(&house);
	CHECK_OK(reserve(&house, "r-1", &in, &out));
	in.request_id = STR("r-2");
	in.needs_own_key = true;
	in.keys_version = out.keys_version;
	CHECK_ERR(ledger_house_call(&house, MSG_reserve, &in, &out),
		  ERR_MODEL_UNKNOWN);
	CHECK_OK(
	    vendor_set(&house, NULL, CANARY, SCHEMA_INT_NONE, SCHEMA_INT_NONE));
	CHECK_OK(ledger_house_call(&house, MSG_reserve, &in, &out));
	CHECK(out.keys_version != in.keys_version);
	in.request_id = STR("r-3");
	in.keys_version = out.keys_version;
	CHECK_ERR(ledger_house_call(&house, MSG_reserve, &in, &out),
		  ERR_MODEL_UNKNOWN);
	CHECK_OK(own_set(&house, STR("openai"), STR(CANARY), &view));
	CHECK_OK(ledger_house_call(&house, MSG_reserve, &in, &out));
	CHECK(out.own_key.p != NULL);
	ledger_house_close(&house);
}

TEST(vendor_keys_have_names_weights_and_a_version)
{
	struct ledger_house house;
	struct vendor_key_remove remove = {STR("openai"), STR("second"),
					   STR("cli")};
	struct vendor_key_view view;
	struct vendor_keys keys;
	int64_t version;

	ledger_house_open(&house);
	version = vendor_get(&house).version;
	CHECK_ERR(vendor_set(&house, "second", NULL, 5, SCHEMA_INT_NONE),
		  ERR_NO_SUCH);
	CHECK_ERR(vendor_set(&house, "second", CANARY, 0, SCHEMA_INT_NONE),
		  ERR_BAD_FIELD);
	CHECK_ERR(vendor_set(&house, "se cond", CANARY, 1, SCHEMA_INT_NONE),
		  ERR_BAD_FIELD);
	CHECK_INT(vendor_get(&house).version, version);
	CHECK_OK(
	    vendor_set(&house, NULL, CANARY, SCHEMA_INT_NONE, SCHEMA_INT_NONE));
	CHECK_OK(vendor_set(&house, "second", CANARY_2, 3, SCHEMA_INT_NONE));
	keys = vendor_get(&house);
	CHECK(keys.version > version);
	CHECK_INT(keys.keys_count, 2);
	CHECK_STR(keys.keys[0].name, STR("default"));
	CHECK_INT(keys.keys[0].weight, 1);
	CHECK_INT(keys.keys[1].weight, 3);
	CHECK_STR(opened(&house, keys.keys[1].sealed_key, PROVIDER_KEY_VENDOR,
			 "second"),
		  STR(CANARY_2));
	version = keys.version;
	/* Only the weight; the key stays. */
	CHECK_OK(vendor_set(&house, "second", NULL, 9, SCHEMA_INT_NONE));
	keys = vendor_get(&house);
	CHECK(keys.version > version);
	CHECK_STR(opened(&house, keys.keys[1].sealed_key, PROVIDER_KEY_VENDOR,
			 "second"),
		  STR(CANARY_2));
	CHECK_OK(vendor_set(&house, "second", NULL, SCHEMA_INT_NONE, 0));
	CHECK_INT(vendor_get(&house).keys_count, 1);
	CHECK_OK(
	    ledger_house_call(&house, MSG_vendor_key_remove, &remove, &view));
	CHECK_ERR(
	    ledger_house_call(&house, MSG_vendor_key_remove, &remove, &view),
	    ERR_NO_SUCH);
	CHECK_STR(last_event(&house).type, STR("provider_key_removed"));
	check_nowhere(&house, CANARY);
	check_nowhere(&house, CANARY_2);
	ledger_house_close(&house);
}

TEST(sealed_keys_are_for_proxies_only)
{
	struct vendor_keys_get in = {false};
	struct vendor_keys out;
	struct ledger_house house;

	ledger_house_open(&house);
	house.peer = "edge-0";
	CHECK_ERR(ledger_house_call(&house, MSG_vendor_keys_get, &in, &out),
		  ERR_UNAUTHORIZED);
	house.peer = "tools";
	CHECK_ERR(ledger_house_call(&house, MSG_vendor_keys_get, &in, &out),
		  ERR_UNAUTHORIZED);
	ledger_house_close(&house);
}

TEST(vendor_keys_of_one_turn_count_together)
{
	struct ledger_house house;
	char name[16];

	ledger_house_open(&house);
	CHECK_OK(vendor_set(&house, "n0", CANARY, 1, 1));
	house.is_in_turn = true;
	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		CHECK_OK(vendor_set(&house, name, CANARY, 1, 1));
	}
	CHECK_ERR(vendor_set(&house, "more", CANARY, 1, 1), ERR_CONFLICT);
	CHECK_INT(vendor_get(&house).keys_count, 64);
	CHECK_INT(vendor_get(&house).version, house.ledger.keys_version);
	ledger_house_close(&house);
}

TEST(vendor_keys_have_a_limit)
{
	struct ledger_house house;
	char name[16];

	ledger_house_open(&house);
	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		CHECK_OK(vendor_set(&house, name, CANARY, 1, 1));
	}
	CHECK_ERR(vendor_set(&house, "more", CANARY, 1, 1), ERR_CONFLICT);
	CHECK_OK(vendor_set(&house, "n5", CANARY_2, 1, 1));
	CHECK_INT(vendor_get(&house).keys_count, 64);
	ledger_house_close(&house);
}
