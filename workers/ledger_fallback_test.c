/*
 * ledger_fallback_test: fallbacks over the memory engine: which the reservation
 * lets a proxy try, what it holds for them, and what a line says and costs that
 * another model than the reserved one answered.
 */
#include "workers/ledger_house_test.h"

#include "store/records.h"

static enum err
reserve(struct ledger_house *house, const char *request_id,
	struct reserved *out)
{
	struct fallback fallbacks[] = {
	    {STR("anthropic"), STR("claude-haiku-4-5")},
	    {STR("openai"), STR("gpt-unpriced")},
	    {STR("openai"), STR("gpt-4o-mini")},
	};
	struct reserve in;

	schema_clear(&reserve_schema, &in);
	in.request_id = str_of(request_id);
	in.key = house->license.license_key;
	in.feature = STR("ai_proxy");
	in.provider = STR("openai");
	in.model = STR("gpt-4o");
	in.owner = STR("proxy-0");
	in.attempt = 1;
	in.input_tokens = 1000;
	in.output_tokens = 1000;
	in.fallbacks = fallbacks;
	in.fallbacks_count = 3;
	return ledger_house_call(house, MSG_reserve, &in, out);
}

static void
line_load(struct ledger_house *house, const char *request_id,
	  struct usage_line *out)
{
	struct key key;

	key_usage_line(&key, str_of(request_id), house->license.license_id);
	CHECK_OK(group_load(house->ledger.group, &key, &usage_line_schema, out,
			    &house->arena));
}

TEST(ledger_lets_fallbacks_that_have_a_price)
{
	struct ledger_house house;
	struct reserved reserved;

	ledger_house_open(&house);
	CHECK_OK(reserve(&house, "r-1", &reserved));
	CHECK_INT(reserved.fallbacks, 1 + 4);
	ledger_house_close(&house);
}

/* No key pays for what another one was reserved for. */
TEST(ledger_lets_fallbacks_that_are_paid_alike)
{
	struct own_key_set set = {.provider = STR("anthropic"),
				  .api_key = STR("sk-own-0123456789WXYZ")};
	struct ledger_house house;
	struct own_key_view view;
	struct reserved reserved;

	ledger_house_open(&house);
	set.key = house.license.license_key;
	CHECK_OK(ledger_house_call(&house, MSG_own_key_set, &set, &view));
	CHECK_OK(reserve(&house, "r-1", &reserved));
	CHECK_INT(reserved.fallbacks, 4);
	set.provider = STR("openai");
	CHECK_OK(ledger_house_call(&house, MSG_own_key_set, &set, &view));
	CHECK_OK(reserve(&house, "r-2", &reserved));
	CHECK(reserved.own_key.p != NULL);
	CHECK_INT(reserved.fallbacks, 4);
	ledger_house_close(&house);
}

TEST(ledger_charges_the_model_that_answered)
{
	struct usage_try tries[] = {
	    {STR("openai"), STR("gpt-4o"), 503, 3},
	    {STR("anthropic"), STR("claude-haiku-4-5"), 200, 1}};
	struct ledger_house house;
	struct reserved reserved;
	struct settled settled;
	struct settle settle;
	struct usage_line line;
	struct rollup rollup;
	struct counter *counter;
	struct key key;

	ledger_house_open(&house);
	CHECK_OK(reserve(&house, "r-1", &reserved));
	schema_clear(&settle_schema, &settle);
	settle.license_id = reserved.license_id;
	settle.request_id = STR("r-1");
	settle.attempt = 1;
	settle.status = STR("settled");
	settle.source = STR("provider");
	settle.provider = STR("anthropic");
	settle.model = STR("claude-that-nobody-priced");
	settle.asked_model = STR("claude-haiku-4-5");
	settle.input_tokens = 1000;
	settle.output_tokens = 1000;
	settle.attempts = 4;
	settle.tries = tries;
	settle.tries_count = 2;
	CHECK_OK(ledger_house_call(&house, MSG_settle, &settle, &settled));
	CHECK_INT(settled.cost, 1000 + 5000); /* per million: 1 and 5 */
	line_load(&house, "r-1", &line);
	CHECK_STR(line.provider, STR("anthropic"));
	CHECK_STR(line.model, STR("claude-that-nobody-priced"));
	CHECK_INT(line.cost, 6000);
	CHECK_INT(line.tries_count, 2);
	CHECK_STR(line.tries[0].model, STR("gpt-4o"));
	CHECK_INT(line.tries[0].status, 503);
	CHECK_INT(line.tries[0].calls, 3);
	CHECK_STR(line.tries[1].provider, STR("anthropic"));
	key_rollup_model(&key, line.workspace, 'm', line.month_start,
			 STR("anthropic"), line.model);
	CHECK_OK(counters_find(house.ledger.counters, &key, &rollup_schema,
			       &counter));
	rollup = counter->record.rollup;
	CHECK_INT(rollup.requests, 1);
	CHECK_INT(rollup.cost, 6000);
	ledger_house_close(&house);
}

#define ID_64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Names as long as they may be fit into the event. */
TEST(ledger_tells_long_names_of_what_was_tried)
{
	static char name[129];
	struct usage_try tries[4];
	struct ledger_house house;
	struct reserved reserved;
	struct settled settled;
	struct settle settle;
	struct usage_line line;

	memset(name, 'm', 128);
	for (int i = 0; i < 4; i++)
		tries[i] = (struct usage_try){str_bytes(name, 32), str_of(name),
					      503, 3};
	ledger_house_open(&house);
	CHECK_OK(reserve(&house, ID_64, &reserved));
	schema_clear(&settle_schema, &settle);
	settle.license_id = reserved.license_id;
	settle.request_id = STR(ID_64);
	settle.attempt = 1;
	settle.status = STR("settled");
	settle.provider = str_bytes(name, 32);
	settle.model = str_of(name);
	settle.asked_model = str_of(name);
	settle.input_tokens = settle.output_tokens = 1000000000;
	settle.cache_read_tokens = settle.cache_write_tokens = 1000000000;
	settle.cache_write_1h_tokens = settle.reasoning_tokens = 1000000000;
	settle.latency_ms = settle.first_byte_ms = INT64_MAX;
	settle.error = STR("12345678901234567890123456789012");
	settle.tries = tries;
	settle.tries_count = 4;
	CHECK_OK(ledger_house_call(&house, MSG_settle, &settle, &settled));
	line_load(&house, ID_64, &line);
	CHECK_INT(line.tries_count, 4);
	ledger_house_close(&house);
}

static void
spend_limit(struct ledger_house *house, int64_t limit)
{
	struct limit limits[] = {{STR("spend_month"), limit}};
	struct plan_view view;
	struct plan_set in;

	schema_clear(&plan_set_schema, &in);
	in.code = STR("agency");
	in.limits = limits;
	in.limits_count = 1;
	CHECK_OK(ledger_house_call(house, MSG_plan_set, &in, &view));
}

static void
charge(struct ledger_house *house, const char *provider, const char *model,
       int64_t per_request)
{
	struct price_view view;
	struct price_set in;

	schema_clear(&price_set_schema, &in);
	in.provider = str_of(provider);
	in.model = str_of(model);
	in.per_request = per_request;
	CHECK_OK(ledger_house_call(house, MSG_price_set, &in, &view));
}

TEST(ledger_holds_for_the_dearest_fallback)
{
	struct ledger_house house;
	struct reserved reserved;

	ledger_house_open(&house);
	charge(&house, "openai", "gpt-4o", 10);
	charge(&house, "anthropic", "claude-haiku-4-5", 700);
	spend_limit(&house, 1000);
	CHECK_OK(reserve(&house, "r-1", &reserved));
	CHECK_ERR(reserve(&house, "r-2", &reserved), ERR_LIMIT_REACHED);
	spend_limit(&house, 1400);
	CHECK_OK(reserve(&house, "r-2", &reserved));
	ledger_house_close(&house);
}
