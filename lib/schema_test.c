/* schema: round trips, what is refused, JSON both ways, growth of messages. */
#include "lib/json.h"
#include "lib/mp.h"
#include "lib/msg.h"
#include "lib/test.h"

#include <stdio.h>

static struct arena arena;
static struct buf buf;

static void
set_up(void)
{
	arena_init(&arena, 1 << 20);
	buf_init(&buf, 1 << 20);
}

static void
tear_down(void)
{
	arena_fini(&arena);
	buf_fini(&buf);
}

static struct limit limits[2];
static struct str features[1];
static struct limit_usage usages[1];

static void
fill_answer(struct validate_answer *a)
{
	schema_clear(&validate_answer_schema, a);
	features[0] = STR("ai_proxy");
	limits[0] = (struct limit){STR("requests_month"), 1000};
	limits[1] = (struct limit){STR("rooms"), SCHEMA_INT_NONE};
	usages[0] = (struct limit_usage){STR("requests_month"), 41, 1000, 959,
					 STR("2026-12-01T00:00:00+01:00")};
	a->err = ERR_OK;
	a->valid = true;
	a->code = STR("VALID");
	a->message = STR("licence is valid");
	a->license.id = STR("lic_1");
	a->license.key = STR("CHA-****-****-****-ABCD");
	a->license.expires_at = INT64_C(1785888000000);
	a->plan.code = STR("pro");
	a->plan.features = features;
	a->plan.features_count = 1;
	a->plan.limits = limits;
	a->plan.limits_count = 2;
	a->usage = usages;
	a->usage_count = 1;
	a->checked_at = INT64_C(1795244640000);
}

TEST(schema_round_trip_keeps_everything)
{
	struct validate_answer in, out;
	struct why why;

	set_up();
	fill_answer(&in);
	schema_encode(&validate_answer_schema, &in, &buf);
	CHECK(!buf.is_failed);
	CHECK_OK(schema_decode(&validate_answer_schema, buf_str(&buf), &out,
			       &arena, &why));
	CHECK(out.valid);
	CHECK_INT(out.err, ERR_OK);
	CHECK_STR(out.code, in.code);
	CHECK_STR(out.license.key, in.license.key);
	CHECK(out.license.domain.p == NULL);
	CHECK_INT(out.license.expires_at, in.license.expires_at);
	CHECK_INT(out.plan.features_count, 1);
	CHECK_STR(out.plan.features[0], STR("ai_proxy"));
	CHECK_INT(out.plan.limits_count, 2);
	CHECK_STR(out.plan.limits[1].name, STR("rooms"));
	CHECK_INT(out.plan.limits[1].value, SCHEMA_INT_NONE);
	CHECK_INT(out.usage[0].remaining, 959);
	CHECK_INT(out.cache_until, SCHEMA_INT_NONE);
	CHECK(out.token.p == NULL);
	tear_down();
}

/* As if nothing of it had been read. */
static void
check_is_clear(const struct validate_answer *answer)
{
	struct validate_answer clear;
	struct buf want, got;

	buf_init(&want, 4096);
	buf_init(&got, 4096);
	schema_clear(&validate_answer_schema, &clear);
	schema_encode(&validate_answer_schema, &clear, &want);
	schema_encode(&validate_answer_schema, answer, &got);
	CHECK_STR(buf_str(&got), buf_str(&want));
	buf_fini(&want);
	buf_fini(&got);
}

TEST(schema_refuses_every_cut)
{
	struct validate_answer in, out;

	set_up();
	fill_answer(&in);
	schema_encode(&validate_answer_schema, &in, &buf);
	for (size_t n = 0; n < buf.n; n++) {
		arena_reset(&arena);
		memset(&out, 0x5a, sizeof(out));
		CHECK(schema_decode(&validate_answer_schema,
				    str_bytes(buf.p, n), &out, &arena,
				    NULL) != ERR_OK);
		check_is_clear(&out);
	}
	buf_add_char(&buf, 0);
	CHECK_ERR(schema_decode(&validate_answer_schema, buf_str(&buf), &out,
				&arena, NULL),
		  ERR_MALFORMED);
	tear_down();
}

TEST(schema_leaves_out_what_is_absent_at_the_end)
{
	struct failure in, out;
	struct str bytes;

	set_up();
	schema_clear(&failure_schema, &in);
	in.message = STR("no");
	in.retry_after_ms = 5;
	schema_encode(&failure_schema, &in, &buf);
	bytes = buf_str(&buf);
	CHECK_STR(bytes, STR("\x93\xa2no\xc0\x05"));
	memset(&out, 0x5a, sizeof(out));
	CHECK_OK(schema_decode(&failure_schema, bytes, &out, &arena, NULL));
	CHECK_STR(out.message, STR("no"));
	CHECK_INT(out.retry_after_ms, 5);
	CHECK(out.field.p == NULL && out.line.p == NULL);
	CHECK_INT(out.rate_limit, SCHEMA_INT_NONE);
	CHECK(!out.may_be_billed);
	/* The first one stands for itself; a text without letters is there. */
	buf_reset(&buf);
	schema_clear(&failure_schema, &in);
	schema_encode(&failure_schema, &in, &buf);
	CHECK_STR(buf_str(&buf), STR("\x91\xc0"));
	buf_reset(&buf);
	in.field = STR("");
	schema_encode(&failure_schema, &in, &buf);
	CHECK_STR(buf_str(&buf), STR("\x92\xc0\xa0"));
	tear_down();
}

TEST(schema_is_append_only_both_ways)
{
	struct failure out;
	struct why why;

	set_up();
	mp_write_array(&buf, 1); /* an older writer */
	mp_write_str(&buf, STR("no"));
	CHECK_OK(
	    schema_decode(&failure_schema, buf_str(&buf), &out, &arena, &why));
	CHECK_STR(out.message, STR("no"));
	CHECK(out.field.p == NULL);
	CHECK_INT(out.rate_limit, SCHEMA_INT_NONE);
	buf_reset(&buf);
	mp_write_array(&buf, 11); /* a newer one */
	for (int i = 0; i < 9; i++)
		mp_write_nil(&buf);
	mp_write_array(&buf, 1);
	mp_write_array(&buf, 1);
	mp_write_int(&buf, 5);
	mp_write_str(&buf, STR("new"));
	CHECK_OK(
	    schema_decode(&failure_schema, buf_str(&buf), &out, &arena, &why));
	tear_down();
}

TEST(schema_names_the_field_at_fault)
{
	struct reserve out;
	struct failure failure;
	struct why why;

	set_up();
	mp_write_array(&buf, 2);
	mp_write_str(&buf, STR("r1"));
	mp_write_int(&buf, 3);
	CHECK_ERR(
	    schema_decode(&reserve_schema, buf_str(&buf), &out, &arena, &why),
	    ERR_MALFORMED);
	CHECK_STR(str_of(why.field), STR("key"));
	buf_reset(&buf);
	mp_write_array(&buf, 1);
	mp_write_str(&buf, STR(""));
	CHECK_ERR(
	    schema_decode(&reserve_schema, buf_str(&buf), &out, &arena, &why),
	    ERR_BAD_FIELD);
	CHECK_STR(str_of(why.field), STR("request_id"));
	buf_reset(&buf);
	mp_write_array(&buf, 2);
	mp_write_nil(&buf);
	for (int i = 0; i < 65; i++)
		buf_add_char(&buf, i ? 'x' : (char)0xd9);
	buf.p[2] = (char)0xd9; /* str8 of 65: one more than the limit */
	buf.p[3] = 65;
	buf_add_z(&buf, "xx");
	CHECK_ERR(schema_decode(&failure_schema, buf_str(&buf), &failure,
				&arena, &why),
		  ERR_MALFORMED);
	CHECK_STR(str_of(why.field), STR("field"));
	tear_down();
}

TEST(schema_bounds_lists_and_memory)
{
	struct plan_set plan;
	struct prices_answer prices;

	set_up();
	mp_write_array(&buf, 6);
	mp_write_nil(&buf);
	mp_write_str(&buf, STR("p"));
	for (int i = 0; i < 3; i++)
		mp_write_nil(&buf);
	mp_write_array(&buf, 65);
	for (int i = 0; i < 65; i++)
		mp_write_str(&buf, STR("f"));
	CHECK_ERR(
	    schema_decode(&plan_set_schema, buf_str(&buf), &plan, &arena, NULL),
	    ERR_MALFORMED);
	buf_reset(&buf);
	mp_write_array(&buf, 1);
	mp_write_array(&buf, 4096);
	for (int i = 0; i < 4096; i++)
		mp_write_array(&buf, 0);
	arena.limit_bytes = 65536;
	CHECK_ERR(schema_decode(&prices_answer_schema, buf_str(&buf), &prices,
				&arena, NULL),
		  ERR_NO_MEMORY);
	tear_down();
}

TEST(schema_prints_json)
{
	struct validate_answer in;
	struct license_issued issued;
	struct failure failure;

	set_up();
	fill_answer(&in);
	schema_print_json(&validate_answer_schema, &in, &buf);
	CHECK_STR(
	    buf_str(&buf),
	    STR("{\"valid\":true,\"code\":\"VALID\","
		"\"message\":\"licence is valid\",\"license\":{\"id\":"
		"\"lic_1\",\"key\":\"CHA-****-****-****-ABCD\",\"status\":"
		"null,\"domain\":null,\"expires_at\":\"2026-08-05T00:00:00Z\"},"
		"\"plan\":{\"code\":\"pro\",\"name\":null,\"features\":"
		"[\"ai_proxy\"],\"limits\":{\"requests_month\":1000,\"rooms\":"
		"null}},\"usage\":{\"requests_month\":{\"used\":41,\"limit\":"
		"1000,\"remaining\":959,\"resets_at\":"
		"\"2026-12-01T00:00:00+01:00\"}},"
		"\"checked_at\":\"2026-11-21T07:04:00Z\",\"cache_until\":null,"
		"\"token\":null}"));
	buf_reset(&buf);
	schema_clear(&license_issued_schema, &issued);
	issued.license_key = STR("CHA-1"); /* the one who may see it */
	schema_print_json(&license_issued_schema, &issued, &buf);
	CHECK(memmem(buf.p, buf.n, "\"license_key\":\"CHA-1\"", 21));
	buf_reset(&buf);
	schema_clear(&failure_schema, &failure);
	failure.message = STR("a \"b\"");
	failure.line = STR("{\"x\":1}");
	schema_print_json(&failure_schema, &failure, &buf);
	CHECK_STR(buf_str(&buf),
		  STR("{\"message\":\"a \\\"b\\\"\",\"line\":{\"x\":1}}"));
	tear_down();
}

TEST(schema_reads_json)
{
	struct plan_set plan;
	struct why why;

	set_up();
	CHECK_OK(schema_read_json(
	    &plan_set_schema,
	    STR("{\"code\":\"pr\\u006f\",\"price_month\":7990000,\"unknown\":"
		"[1,{}],\"features\":[\"a\",\"b\"],\"has_features\":true,"
		"\"limits\":{\"rooms\":null,\"requests_month\":1e3},"
		"\"name\":null}"),
	    &plan, &arena, &why));
	CHECK_STR(plan.code, STR("pro"));
	CHECK_INT(plan.price_month, 7990000);
	CHECK_INT(plan.price_year, SCHEMA_INT_NONE);
	CHECK_INT(plan.features_count, 2);
	CHECK_STR(plan.features[1], STR("b"));
	CHECK(plan.has_features);
	CHECK_INT(plan.limits_count, 2);
	CHECK_STR(plan.limits[0].name, STR("rooms"));
	CHECK_INT(plan.limits[0].value, SCHEMA_INT_NONE);
	CHECK_INT(plan.limits[1].value, 1000);
	CHECK(plan.name.p == NULL);
	tear_down();
}

static enum err
read_plan(const char *json, struct why *why)
{
	struct plan_set plan;

	arena_reset(&arena);
	memset(why, 0, sizeof(*why));
	return schema_read_json(&plan_set_schema, str_of(json), &plan, &arena,
				why);
}

TEST(schema_refuses_json_that_does_not_fit)
{
	static const struct {
		const char *json;
		const char *field;
	} bad[] = {
	    {"{}", "code"},
	    {"{\"code\":\"\"}", "code"},
	    {"{\"code\":\"a\",\"code\":null}", "code"},
	    {"{\"code\":5}", "code"},
	    {"{\"code\":\"a\\u0000b\"}", "code"},
	    {"{\"code\":\"a\",\"price_month\":-1}", "price_month"},
	    {"{\"code\":\"a\",\"price_month\":1.5}", "price_month"},
	    {"{\"code\":\"a\",\"price_month\":\"1\"}", "price_month"},
	    {"{\"code\":\"a\",\"features\":{}}", "features"},
	    {"{\"code\":\"a\",\"features\":[1]}", "features"},
	    {"{\"code\":\"a\",\"limits\":[]}", "limits"},
	    {"{\"code\":\"a\",\"limits\":{\"\":1}}", "limits"},
	    {"{\"code\":\"a\",\"limits\":{\"x\":-1}}", "value"},
	    {"{\"code\":\"a\",\"has_features\":1}", "has_features"},
	};
	struct why why;
	char text[400];

	set_up();
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CHECK_ERR(read_plan(bad[i].json, &why), ERR_BAD_FIELD);
		CHECK_STR(str_of(why.field), str_of(bad[i].field));
		CHECK(why.text[0]);
	}
	snprintf(text, sizeof(text), "{\"code\":\"%0200d\"}", 0);
	CHECK_ERR(read_plan(text, &why), ERR_BAD_FIELD);
	CHECK_ERR(read_plan("[]", &why), ERR_BAD_REQUEST);
	CHECK_ERR(read_plan("{\"code\":\"a\"", &why), ERR_BAD_REQUEST);
	CHECK_ERR(read_plan("", &why), ERR_BAD_REQUEST);
	tear_down();
}

TEST(schema_times_and_bytes_in_json)
{
	struct license_view view;
	struct ai_head head;
	struct why why;

	set_up();
	CHECK_OK(schema_read_json(
	    &license_view_schema,
	    STR("{\"created_at\":\"2026-11-21T07:04:00Z\",\"expires_at\":"
		"\"2026-11-21\"}"),
	    &view, &arena, &why));
	CHECK_INT(view.created_at, INT64_C(1795244640000));
	CHECK_INT(view.expires_at, INT64_C(1795219200000));
	CHECK_ERR(schema_read_json(&license_view_schema,
				   STR("{\"created_at\":\"yesterday\"}"), &view,
				   &arena, &why),
		  ERR_BAD_FIELD);
	for (size_t n = 0; n < 8; n++) {
		struct ai_head back;

		buf_reset(&buf);
		schema_clear(&ai_head_schema, &head);
		head.body = str_bytes("\xff\xfe\0\x01\x80zz", n);
		schema_print_json(&ai_head_schema, &head, &buf);
		CHECK_OK(schema_read_json(&ai_head_schema, buf_str(&buf), &back,
					  &arena, &why));
		CHECK_STR(back.body, head.body);
	}
	CHECK_ERR(schema_read_json(&ai_head_schema, STR("{\"body\":\"a=\"}"),
				   &head, &arena, &why),
		  ERR_BAD_FIELD);
	CHECK_ERR(schema_read_json(&ai_head_schema, STR("{\"body\":\"a\"}"),
				   &head, &arena, &why),
		  ERR_BAD_FIELD);
	tear_down();
}

TEST(schema_check_says_what_encode_asserts)
{
	static char long_text[400];
	struct license_issue in;
	struct why why;

	memset(long_text, 'x', sizeof(long_text));
	schema_clear(&license_issue_schema, &in);
	CHECK_ERR(schema_check(&license_issue_schema, &in, &why),
		  ERR_BAD_FIELD);
	CHECK_STR(str_of(why.field), STR("email"));
	in.email = STR("owner@shop.example");
	in.plan = STR("pro");
	CHECK_OK(schema_check(&license_issue_schema, &in, &why));
	in.months = -1;
	CHECK_ERR(schema_check(&license_issue_schema, &in, &why),
		  ERR_BAD_FIELD);
	in.months = 12;
	in.note = str_bytes(long_text, sizeof(long_text));
	CHECK_ERR(schema_check(&license_issue_schema, &in, &why),
		  ERR_BAD_FIELD);
	CHECK_STR(str_of(why.text), STR("note must be at most 320 bytes"));
}

TEST(schema_numbers_are_unique)
{
	for (unsigned n = 1; n < 200; n++) {
		const struct schema *schema = msg_schema(n);

		if (schema)
			CHECK_INT(schema->number, n);
	}
	CHECK(msg_schema(0) == NULL);
	CHECK(msg_schema(MSG_reserve) == &reserve_schema);
	CHECK(msg_schema(9999) == NULL);
}
