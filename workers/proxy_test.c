/*
 * Tests of the proxy as the process that it is: between an edge and a ledger,
 * which are played here on the real bus, and a scripted provider.
 */
#include "lib/test.h"
#include "workers/proxy.h"
#include "workers/scripted_test.h"
#include "workers/workers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BODY_BYTES_MAX (8u << 20)
#define LICENSE_KEY "CHA-TEST-1234-5678-ABCD"
#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]"
#define USAGE                                                                  \
	"{\"prompt_tokens\":20,\"completion_tokens\":5,\"total_tokens\":25,"   \
	"\"prompt_tokens_details\":{\"cached_tokens\":8},"                     \
	"\"completion_tokens_details\":{\"reasoning_tokens\":2}}"
#define ANSWER_HEAD                                                            \
	"{\"id\":\"c1\",\"model\":\"gpt-json-1\",\"choices\":[{\"index\":0,"   \
	"\"message\":{\"role\":\"assistant\",\"content\":\"Hi \\u00e8\"},"     \
	"\"finish_reason\":\"stop\"}]"
#define ANSWER ANSWER_HEAD ",\"usage\":" USAGE "}"
#define REFUSAL                                                                \
	"{\"error\":{\"message\":\"bad stop\",\"type\":"                       \
	"\"invalid_request_error\",\"param\":\"stop\",\"code\":null}}"
#define DELTA(text)                                                            \
	"data: {\"model\":\"gpt-s\",\"choices\":[{\"index\":0,\"delta\":{"     \
	"\"content\":\"" text "\"}}],\"usage\":null}\n\n"
#define STREAM_END                                                             \
	"data: {\"choices\":[],\"usage\":" USAGE "}\n\ndata: [DONE]\n\n"

/* --- the provider ----------------------------------------------------------
 */

static bool
has(struct str s, const char *text)
{
	return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

static bool
provide_stream(int fd, struct str request)
{
	scripted_sse_head(fd);
	scripted_chunk(fd, STR(": keep-alive\n\n"));
	scripted_chunk(fd, STR(DELTA("one ")));
	if (has(request, "gpt-error")) {
		scripted_chunk(fd, STR("data: {\"error\":{\"message\":"
				       "\"secret words\"}}\n\n"));
		scripted_wait_gone(fd);
		return false;
	}
	if (has(request, "gpt-forever")) {
		scripted_wait_gone(fd);
		return false;
	}
	scripted_chunk(fd, STR(DELTA("two") "data: {\"choi"));
	if (has(request, "gpt-cut"))
		return false;
	scripted_chunk(fd, STR("ces\":[]}\n\n"));
	scripted_chunk(fd, STR(STREAM_END));
	scripted_chunk_end(fd);
	return true;
}

static void
provide_big(int fd, size_t bytes)
{
	char *text = malloc(bytes);

	memset(text, 'x', bytes);
	memcpy(text, "{\"choices\":[{\"message\":{\"content\":\"", 35);
	memcpy(text + bytes - 5, "\"}}]}", 5);
	scripted_answer(fd, 200, "application/json", "",
			str_bytes(text, bytes));
	free(text);
}

static bool
provide(int fd, struct str request, unsigned nth)
{
	const char *json = "application/json";

	if (has(request, "\"stream\":true"))
		return provide_stream(fd, request);
	if (has(request, "gpt-503") && nth == 1)
		scripted_answer(fd, 503, "text/html", "", STR("<h1>no</h1>"));
	else if (has(request, "gpt-400"))
		scripted_answer(fd, 400, json, "Set-Cookie: a=b\r\n",
				STR(REFUSAL));
	else if (has(request, "gpt-401"))
		scripted_answer(fd, 401, json, "", STR(REFUSAL));
	else if (has(request, "gpt-429"))
		scripted_answer(fd, 429, json, "retry-after-ms: 30\r\n",
				STR("{}"));
	else if (has(request, "gpt-big"))
		provide_big(fd, 1000000);
	else if (has(request, "gpt-flood"))
		provide_big(fd, 9u << 20);
	else if (has(request, "gpt-nousage"))
		scripted_answer(fd, 200, json, "", STR(ANSWER_HEAD "}"));
	else if (has(request, "gpt-garbage"))
		scripted_answer(fd, 200, json, "", STR("<html>"));
	else if (has(request, "gpt-silent"))
		scripted_wait_gone(fd);
	else
		scripted_answer(fd, 200, json, "", STR(ANSWER));
	return !has(request, "gpt-silent");
}

/* --- the house ---------------------------------------------------------------
 */

struct house {
	struct scripted provider;
	pid_t proxy;
	struct loop *loop;
	struct bus *edge, *ledger, *validate;
	struct bus_pool *pool;
	struct arena arena;

	/* What the ledger does and saw. */
	enum err reserve_err;
	unsigned reserve_failures; /* so many times before it answers */
	unsigned settle_failures;
	enum err away_err;
	bool is_settle_held;
	struct bus_from *held_settle;
	bool is_reserve_held;
	struct bus_from *held_reserve;
	unsigned reserves, settles;
	struct reserve reserve; /* the last ones */
	struct settle settle;
};

/* What came back. */
struct reply {
	struct house *house;
	uint64_t id;
	bool is_over;
	enum err err;
	bool has_head;
	struct ai_head head;
	struct failure failure;
	struct buf body;
	size_t uncredited;
	bool gives_no_credit;
	unsigned parts;
};

static void
answer_as(struct bus *bus, struct bus_from *from, enum err err,
	  const struct schema *schema, const void *body)
{
	struct buf out;

	buf_init(&out, 1u << 20);
	schema_encode(schema, body, &out);
	CHECK(!out.is_failed);
	bus_answer(bus, from, err, buf_str(&out));
	buf_fini(&out);
}

static void
answer_err(struct bus *bus, struct bus_from *from, enum err err)
{
	struct failure failure;

	schema_clear(&failure_schema, &failure);
	failure.message = STR("the ledger says no");
	failure.retry_after_ms = 1234;
	answer_as(bus, from, err, &failure_schema, &failure);
}

static void
answer_reserved(struct house *house, struct bus_from *from)
{
	struct reserved reserved;

	schema_clear(&reserved_schema, &reserved);
	reserved.license_id = STR("lic_1");
	reserved.rate_limit = 100;
	reserved.rate_remaining = 99;
	reserved.rate_reset_ms = 36000;
	answer_as(house->ledger, from, ERR_OK, &reserved_schema, &reserved);
}

static void
answer_settled(struct house *house, struct bus_from *from)
{
	struct settled settled = {77, 88, STR("EUR")};

	answer_as(house->ledger, from, ERR_OK, &settled_schema, &settled);
}

/* The decoded struct's strings live in the house's arena. */
static void
decode(struct house *house, const struct schema *schema, struct str body,
       void *out)
{
	struct str kept = arena_str(&house->arena, body);

	CHECK_OK(schema_decode(schema, kept, out, &house->arena, NULL));
}

static void
on_reserve(struct house *house, const struct bus_request *request)
{
	house->reserves++;
	decode(house, &reserve_schema, request->body, &house->reserve);
	if (house->reserve_failures) {
		house->reserve_failures--;
		answer_err(house->ledger, request->from, house->away_err);
	} else if (house->reserve_err != ERR_OK) {
		answer_err(house->ledger, request->from, house->reserve_err);
	} else if (house->is_reserve_held) {
		house->held_reserve = request->from;
	} else {
		answer_reserved(house, request->from);
	}
}

static void
on_settle(struct house *house, const struct bus_request *request)
{
	house->settles++;
	decode(house, &settle_schema, request->body, &house->settle);
	if (house->settle_failures) {
		house->settle_failures--;
		answer_err(house->ledger, request->from, house->away_err);
	} else if (house->is_settle_held) {
		house->held_settle = request->from;
	} else {
		answer_settled(house, request->from);
	}
}

static void
on_ledger_request(void *ctx, const struct bus_request *request)
{
	struct house *house = ctx;

	if (request->type == MSG_reserve)
		on_reserve(house, request);
	else if (request->type == MSG_settle)
		on_settle(house, request);
	else
		test_fail(__FILE__, __LINE__, "message %u", request->type);
}

static void
on_validate_request(void *ctx, const struct bus_request *request)
{
	struct priced_model models[] = {
	    {STR("gpt-4o"), STR("openai"), 1000},
	    {STR("deepseek-chat"), STR("deepseek"), 1000},
	    {STR("old"), STR("nobody"), 1000},
	    {STR("gpt-4o-mini"), STR("openai"), SCHEMA_INT_NONE},
	};
	struct prices_answer prices = {models, 4};
	struct house *house = ctx;
	struct prices_get get;

	CHECK_INT(request->type, MSG_prices_get);
	decode(house, &prices_get_schema, request->body, &get);
	if (str_eq(get.key, STR(LICENSE_KEY)))
		answer_as(house->validate, request->from, ERR_OK,
			  &prices_answer_schema, &prices);
	else
		answer_err(house->validate, request->from, ERR_NOT_FOUND);
}

static void
on_cancelled(void *ctx, struct bus_from *from)
{
	(void)ctx;
	(void)from;
}

static void
on_credit(void *ctx, struct bus_from *from)
{
	(void)ctx;
	(void)from;
}

static _Noreturn void
run_proxy(const struct house *house, const char *openai_key,
	  const char *silence_ms)
{
	static char name[] = "chatello-proxy", flag[] = "--data", data[] = "d";
	char *argv[] = {name, flag, data, NULL};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setenv("OPENAI_API_KEY", openai_key, 1);
	setenv("OPENAI_BASE_URL", house->provider.base, 1);
	setenv("DEEPSEEK_API_KEY", "", 1);
	setenv("CHATELLO_UPSTREAM_SILENCE_MS", silence_ms, 1);
	exit(pool_main(&proxy_worker, 3, argv));
}

static void
house_open_with(struct house *house, const char *openai_key,
		const char *silence_ms)
{
	struct bus_peer_state state = {.is_alive = false};
	struct why why;

	memset(house, 0, sizeof(*house));
	arena_init(&house->arena, 64u << 20);
	CHECK(mkdir("d", 0750) == 0 && mkdir("d/run", 0750) == 0);
	scripted_start(&house->provider, provide);
	house->proxy = fork();
	CHECK(house->proxy >= 0);
	if (house->proxy == 0)
		run_proxy(house, openai_key, silence_ms);
	CHECK_OK(loop_open(&house->loop));
	CHECK_OK(
	    bus_open(&house->ledger, house->loop, "d/run", "usage-0", &why));
	CHECK_OK(bus_serve_kind(house->ledger, "proxy", 1));
	bus_serve(house->ledger, on_ledger_request, on_cancelled, on_credit,
		  house);
	CHECK_OK(bus_open(&house->validate, house->loop, "d/run", "validate-0",
			  &why));
	CHECK_OK(bus_serve_kind(house->validate, "proxy", 1));
	bus_serve(house->validate, on_validate_request, on_cancelled, on_credit,
		  house);
	CHECK_OK(bus_open(&house->edge, house->loop, "d/run", "edge-0", &why));
	CHECK_OK(bus_pool_open(house->edge, "proxy", 1, 0, &house->pool));
	while (!state.is_alive) {
		CHECK_OK(loop_turn(house->loop, 50));
		bus_pool_state(house->pool, 0, &state);
	}
}

static void
house_open(struct house *house)
{
	house_open_with(house, "sk-canary", "60000");
}

/* Also waits until the proxy has nothing in flight: it exits well only then. */
static void
house_close(struct house *house)
{
	int status = -1;

	CHECK(kill(house->proxy, SIGTERM) == 0);
	while (waitpid(house->proxy, &status, WNOHANG) == 0)
		CHECK_OK(loop_turn(house->loop, 10));
	CHECK_INT(status, 0);
	bus_close(house->edge);
	bus_close(house->validate);
	bus_close(house->ledger);
	loop_close(house->loop);
	scripted_stop(&house->provider);
	arena_fini(&house->arena);
}

/* --- asking ------------------------------------------------------------------
 */

static void
take_last(struct reply *reply, const struct bus_answer *answer)
{
	reply->is_over = true;
	reply->err = answer->err;
	if (answer->err != ERR_OK && answer->body.n)
		decode(reply->house, &failure_schema, answer->body,
		       &reply->failure);
}

static void
on_reply(void *ctx, const struct bus_answer *answer)
{
	struct reply *reply = ctx;

	CHECK(!reply->is_over);
	reply->parts++;
	if (answer->err == ERR_OK && !reply->has_head) {
		decode(reply->house, &ai_head_schema, answer->body,
		       &reply->head);
		reply->has_head = true;
		buf_add_str(&reply->body, reply->head.body);
	} else if (answer->err == ERR_OK) {
		buf_add_str(&reply->body, answer->body);
	}
	CHECK(!reply->body.is_failed);
	if (answer->is_last) {
		take_last(reply, answer);
		return;
	}
	reply->uncredited += answer->body.n;
	if (reply->gives_no_credit)
		return;
	bus_credit(reply->house->edge, reply->id, reply->uncredited);
	reply->uncredited = 0;
}

static void
ask_as(struct house *house, struct reply *reply, const char *shape,
       struct str body)
{
	struct bus_ask ask = {.type = MSG_ai_request,
			      .deadline_ms = 60000,
			      .fn = on_reply,
			      .ctx = reply};
	struct ai_request request;
	struct buf out;

	memset(reply, 0, sizeof(*reply));
	reply->house = house;
	schema_clear(&failure_schema, &reply->failure);
	buf_init(&reply->body, 2 * BODY_BYTES_MAX);
	schema_clear(&ai_request_schema, &request);
	request.request_id = STR("req-1");
	request.key = STR(LICENSE_KEY);
	request.domain = STR("shop.example");
	request.shape = str_of(shape);
	request.traceparent =
	    STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	request.body = body;
	buf_init(&out, 2 * BODY_BYTES_MAX);
	schema_encode(&ai_request_schema, &request, &out);
	ask.body = buf_str(&out);
	CHECK_OK(bus_ask(house->pool, &ask, &reply->id));
	buf_fini(&out);
}

static void
turn_until(struct house *house, const bool *flag)
{
	while (!*flag)
		CHECK_OK(loop_turn(house->loop, 1000));
}

static void
turns_until_settled(struct house *house, unsigned settles)
{
	while (house->settles < settles)
		CHECK_OK(loop_turn(house->loop, 1000));
}

static void
ask_whole(struct house *house, struct reply *reply, const char *shape,
	  struct str body)
{
	ask_as(house, reply, shape, body);
	turn_until(house, &reply->is_over);
}

#define OPENAI(model) STR("{\"model\":\"" model "\"," MESSAGES "}")
#define OPENAI_STREAM(model)                                                   \
	STR("{\"model\":\"" model "\",\"stream\":true," MESSAGES "}")

/* --- JSON
 * ---------------------------------------------------------------------- */

TEST(proxy_json_is_reserved_passed_on_and_settled)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	ask_whole(&house, &reply, "openai", OPENAI("gpt-json"));
	CHECK_OK(reply.err);
	CHECK_INT(reply.parts, 1);
	CHECK_INT(reply.head.status, 200);
	CHECK(!reply.head.is_stream);
	CHECK_STR(reply.head.content_type, STR("application/json"));
	CHECK_STR(reply.head.provider, STR("openai"));
	CHECK_INT(reply.head.rate_remaining, 99);
	CHECK(reply.head.overhead_us > 0);
	CHECK_STR(buf_str(&reply.body), STR(ANSWER));

	CHECK_INT(house.reserves, 1);
	CHECK_STR(house.reserve.request_id, STR("req-1"));
	CHECK_STR(house.reserve.key, STR(LICENSE_KEY));
	CHECK_STR(house.reserve.domain, STR("shop.example"));
	CHECK_STR(house.reserve.feature, STR("ai_proxy"));
	CHECK_STR(house.reserve.provider, STR("openai"));
	CHECK_STR(house.reserve.model, STR("gpt-json"));
	CHECK_STR(house.reserve.owner, STR("proxy-0"));
	CHECK(house.reserve.expires_ms > 600000);
	CHECK(house.reserve.input_tokens > 0);

	turns_until_settled(&house, 1);
	CHECK_STR(house.settle.license_id, STR("lic_1"));
	CHECK_STR(house.settle.request_id, STR("req-1"));
	CHECK_INT(house.settle.attempt, house.reserve.attempt);
	CHECK_STR(house.settle.status, STR("settled"));
	CHECK_STR(house.settle.source, STR("provider"));
	CHECK_STR(house.settle.model, STR("gpt-json-1"));
	CHECK_INT(house.settle.input_tokens, 12);
	CHECK_INT(house.settle.cache_read_tokens, 8);
	CHECK_INT(house.settle.cache_write_tokens, 0);
	CHECK_INT(house.settle.output_tokens, 5);
	CHECK_INT(house.settle.reasoning_tokens, 2);
	CHECK_INT(house.settle.attempts, 1);
	CHECK(house.settle.error.p == NULL);

	CHECK(scripted_last_has(&house.provider,
				"Authorization: Bearer sk-canary\r\n"));
	CHECK(scripted_last_has(&house.provider, "traceparent: 00-0af76519"));
	CHECK(!scripted_last_has(&house.provider, LICENSE_KEY));
	CHECK_STR(scripted_last_body(&house.provider), OPENAI("gpt-json"));
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_json_without_usage_is_estimated)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	ask_whole(&house, &reply, "openai", OPENAI("gpt-nousage"));
	CHECK_OK(reply.err);
	turns_until_settled(&house, 1);
	CHECK_STR(house.settle.source, STR("estimated"));
	CHECK_INT(house.settle.input_tokens, house.reserve.input_tokens);
	CHECK(house.settle.output_tokens > 0);
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_large_json_waits_for_credit)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	ask_as(&house, &reply, "openai", OPENAI("gpt-big"));
	reply.gives_no_credit = true;
	turns_until_settled(&house, 1);
	while (reply.uncredited < BUS_STREAM_CREDIT_BYTES)
		CHECK_OK(loop_turn(house.loop, 1000));
	for (unsigned i = 0; i < 20; i++)
		CHECK_OK(loop_turn(house.loop, 5));
	CHECK_INT(reply.uncredited, BUS_STREAM_CREDIT_BYTES);
	CHECK(!reply.is_over);
	reply.gives_no_credit = false;
	bus_credit(house.edge, reply.id, reply.uncredited);
	reply.uncredited = 0;
	turn_until(&house, &reply.is_over);
	CHECK_OK(reply.err);
	CHECK_INT(reply.body.n, 1000000);
	CHECK(str_ends(buf_str(&reply.body), STR("xxx\"}}]}")));
	buf_fini(&reply.body);
	house_close(&house);
}

/* --- refusals
 * ------------------------------------------------------------------ */

TEST(proxy_refused_by_the_ledger_reaches_no_provider)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house.reserve_err = ERR_LIMIT_REACHED;
	ask_whole(&house, &reply, "openai", OPENAI("gpt-json"));
	CHECK_ERR(reply.err, ERR_LIMIT_REACHED);
	CHECK_STR(reply.failure.message, STR("the ledger says no"));
	CHECK_INT(reply.failure.retry_after_ms, 1234);
	CHECK_INT(house.provider.shared->requests, 0);
	buf_fini(&reply.body);
	house_close(&house);
	CHECK_INT(house.settles, 0);
}

TEST(proxy_refuses_before_anything_is_reserved)
{
	static const struct {
		const char *shape;
		const char *body;
		enum err err;
		const char *field;
	} rows[] = {
	    {"openai", "{", ERR_BAD_REQUEST, NULL},
	    {"openai", "{\"model\":\"gpt-1\"}", ERR_BAD_FIELD, "messages"},
	    {"openai", "{" MESSAGES "}", ERR_BAD_FIELD, "model"},
	    {"openai",
	     "{\"model\":\"gpt-1\",\"base_url\":\"http://127.0.0.1\"," MESSAGES
	     "}",
	     ERR_BAD_FIELD, "base_url"},
	    {"openai", "{\"model\":\"mistral\"," MESSAGES "}",
	     ERR_MODEL_UNKNOWN, "model"},
	    {"openai", "{\"model\":\"claude-4\"," MESSAGES "}",
	     ERR_MODEL_UNKNOWN, "model"},
	    {"chat", "{\"model\":\"deepseek-chat\"," MESSAGES "}",
	     ERR_MODEL_UNKNOWN, "model"},
	    {"chat", "{\"model\":\"demo\"," MESSAGES "}", ERR_MODEL_UNKNOWN,
	     "model"},
	    {"chat", "{\"api_provider\":\"x\"," MESSAGES "}", ERR_BAD_FIELD,
	     "api_provider"},
	    {"soap", "{}", ERR_BAD_FIELD, "shape"},
	};
	struct house house;
	struct reply reply;

	house_open(&house);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ask_whole(&house, &reply, rows[i].shape, str_of(rows[i].body));
		CHECK_ERR(reply.err, rows[i].err);
		CHECK_STR(reply.failure.field, str_of(rows[i].field));
		CHECK(reply.failure.message.n > 0);
		buf_fini(&reply.body);
	}
	CHECK_INT(house.reserves, 0);
	CHECK_INT(house.provider.shared->requests, 0);
	house_close(&house);
}

/* --- failures of the provider
 * ---------------------------------------------------- */

TEST(proxy_provider_failures)
{
	static const struct {
		const char *body;
		enum err err;
		int status; /* of the head, when err is OK */
		unsigned calls;
		const char *error; /* of the ledger line; NULL = settled */
	} rows[] = {
	    {"{\"model\":\"gpt-503\"," MESSAGES "}", ERR_OK, 200, 2, NULL},
	    {"{\"model\":\"gpt-400\"," MESSAGES "}", ERR_OK, 400, 1,
	     "BAD_REQUEST"},
	    {"{\"model\":\"gpt-401\"," MESSAGES "}", ERR_UPSTREAM_FAILED, 0, 1,
	     "UPSTREAM_FAILED"},
	    {"{\"model\":\"gpt-429\"," MESSAGES "}", ERR_RATE_LIMITED, 0, 3,
	     "UPSTREAM_FAILED"},
	    {"{\"model\":\"gpt-garbage\"," MESSAGES "}", ERR_UPSTREAM_FAILED, 0,
	     1, "UPSTREAM_FAILED"},
	    {"{\"model\":\"gpt-flood\"," MESSAGES "}", ERR_UPSTREAM_FAILED, 0,
	     1, "UPSTREAM_FAILED"},
	};
	struct house house;
	struct reply reply;
	unsigned calls = 0;

	house_open(&house);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ask_whole(&house, &reply, "openai", str_of(rows[i].body));
		CHECK_ERR(reply.err, rows[i].err);
		if (rows[i].err == ERR_OK)
			CHECK_INT(reply.head.status, rows[i].status);
		if (rows[i].err == ERR_RATE_LIMITED)
			CHECK_INT(reply.failure.retry_after_ms, 30);
		calls += rows[i].calls;
		CHECK_INT(house.provider.shared->requests, calls);
		turns_until_settled(&house, i + 1);
		CHECK_INT(house.settle.attempts, rows[i].calls);
		CHECK_STR(house.settle.status,
			  rows[i].error ? STR("failed") : STR("settled"));
		CHECK_STR(house.settle.error, str_of(rows[i].error));
		buf_fini(&reply.body);
	}
	ask_whole(&house, &reply, "openai", OPENAI("gpt-400"));
	CHECK_STR(buf_str(&reply.body), STR(REFUSAL));
	buf_fini(&reply.body);
	ask_whole(&house, &reply, "chat", OPENAI("gpt-400"));
	CHECK_ERR(reply.err, ERR_BAD_REQUEST);
	CHECK_STR(reply.failure.message, STR("bad stop"));
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_silent_provider_is_given_up)
{
	struct house house;
	struct reply reply;

	house_open_with(&house, "sk-canary", "200");
	ask_whole(&house, &reply, "openai", OPENAI("gpt-silent"));
	CHECK_ERR(reply.err, ERR_UPSTREAM_TIMEOUT);
	turns_until_settled(&house, 1);
	CHECK_STR(house.settle.status, STR("failed"));
	CHECK_STR(house.settle.error, STR("UPSTREAM_TIMEOUT"));
	while (house.provider.shared->gone == 0)
		CHECK_OK(loop_turn(house.loop, 5));
	buf_fini(&reply.body);
	house_close(&house);
}

/* --- streams
 * -------------------------------------------------------------------- */

TEST(proxy_stream_ends_behind_its_settlement)
{
	struct house house;
	struct reply reply;
	bool is_seen = false;

	house_open(&house);
	house.is_settle_held = true;
	ask_as(&house, &reply, "openai", OPENAI_STREAM("gpt-s"));
	turns_until_settled(&house, 1);
	while (!is_seen) {
		CHECK_OK(loop_turn(house.loop, 100));
		is_seen = has(buf_str(&reply.body), "{\"choices\":[]}\n\n");
	}
	CHECK(!reply.is_over);
	CHECK(!has(buf_str(&reply.body), "[DONE]"));
	answer_settled(&house, house.held_settle);
	turn_until(&house, &reply.is_over);
	CHECK_OK(reply.err);
	CHECK(reply.head.is_stream);
	CHECK_STR(reply.head.content_type, STR("text/event-stream"));
	CHECK_STR(buf_str(&reply.body),
		  STR(": keep-alive\n\n" DELTA("one ") DELTA(
		      "two") "data: {\"choices\":[]}\n\ndata: [DONE]\n\n"));
	CHECK_STR(house.settle.source, STR("provider"));
	CHECK_INT(house.settle.input_tokens, 12);
	CHECK_INT(house.settle.output_tokens, 5);
	CHECK(house.reserve.is_stream);
	CHECK(scripted_last_has(&house.provider,
				"\"stream_options\":{\"include_usage\":true}"));
	buf_fini(&reply.body);
	house.is_settle_held = false;
	/* Asked for, the usage is passed on. */
	ask_whole(&house, &reply, "openai",
		  STR("{\"model\":\"gpt-s\",\"stream\":true,\"stream_options\":"
		      "{\"include_usage\":true}," MESSAGES "}"));
	CHECK(str_ends(buf_str(&reply.body), STR(STREAM_END)));
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_stream_that_breaks_is_partial)
{
	static const char *const bodies[] = {
	    "{\"model\":\"gpt-cut\",\"stream\":true," MESSAGES "}",
	    "{\"model\":\"gpt-error\",\"stream\":true," MESSAGES "}"};
	struct house house;
	struct reply reply;

	house_open(&house);
	for (unsigned i = 0; i < 2; i++) {
		ask_whole(&house, &reply, "openai", str_of(bodies[i]));
		CHECK_ERR(reply.err, ERR_UPSTREAM_FAILED);
		CHECK(reply.failure.message.n > 0);
		CHECK(has(buf_str(&reply.body), DELTA("one ")));
		CHECK(!has(buf_str(&reply.body), "secret"));
		CHECK(!has(buf_str(&reply.body), "[DONE]"));
		turns_until_settled(&house, i + 1);
		CHECK_STR(house.settle.status, STR("settled"));
		CHECK_STR(house.settle.source, STR("partial"));
		CHECK(house.settle.output_tokens > 0);
		CHECK_INT(house.settle.input_tokens,
			  house.reserve.input_tokens);
		buf_fini(&reply.body);
	}
	house_close(&house);
}

TEST(proxy_client_gone_closes_the_provider)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	ask_as(&house, &reply, "openai", OPENAI_STREAM("gpt-forever"));
	while (!has(buf_str(&reply.body), "one "))
		CHECK_OK(loop_turn(house.loop, 1000));
	bus_cancel(house.edge, reply.id);
	turns_until_settled(&house, 1);
	while (house.provider.shared->gone == 0)
		CHECK_OK(loop_turn(house.loop, 5));
	CHECK_STR(house.settle.status, STR("settled"));
	CHECK_STR(house.settle.source, STR("partial"));
	CHECK(house.settle.output_tokens > 0);
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_client_gone_before_the_call)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house.is_reserve_held = true;
	ask_as(&house, &reply, "openai", OPENAI("gpt-json"));
	while (house.held_reserve == NULL)
		CHECK_OK(loop_turn(house.loop, 1000));
	bus_cancel(house.edge, reply.id);
	for (unsigned i = 0; i < 10; i++)
		CHECK_OK(loop_turn(house.loop, 5));
	answer_reserved(&house, house.held_reserve);
	turns_until_settled(&house, 1);
	CHECK_STR(house.settle.status, STR("failed"));
	CHECK_STR(house.settle.error, STR("CANCELLED_BY_CALLER"));
	CHECK_INT(house.provider.shared->requests, 0);
	buf_fini(&reply.body);
	house_close(&house);
}

/* --- /api/chat
 * ------------------------------------------------------------------- */

TEST(proxy_chat_shape)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	ask_whole(&house, &reply, "chat",
		  STR("{\"max_tokens\":9," MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK_STR(house.reserve.model, STR("gpt-4o-mini"));
	CHECK_STR(buf_str(&reply.body),
		  STR("{\"success\":true,\"response\":\"Hi \\u00e8\","
		      "\"provider\":\"openai\",\"model\":\"gpt-json-1\","
		      "\"usage\":{\"prompt_tokens\":20,"
		      "\"completion_tokens\":5,\"total_tokens\":25},"
		      "\"cost\":77,\"request_id\":\"req-1\"}"));
	CHECK_STR(scripted_last_body(&house.provider),
		  STR("{\"model\":\"gpt-4o-mini\"," MESSAGES
		      ",\"max_completion_tokens\":9}"));
	buf_fini(&reply.body);
	ask_whole(&house, &reply, "chat",
		  STR("{\"stream\":true,\"model\":\"gpt-s\"," MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK(reply.head.is_stream);
	CHECK_STR(buf_str(&reply.body),
		  STR("data: {\"delta\":\"one \"}\n\n"
		      "data: {\"delta\":\"two\"}\n\n"
		      "data: {\"done\":true,\"usage\":{\"prompt_tokens\":20,"
		      "\"completion_tokens\":5,\"total_tokens\":25},"
		      "\"cost\":77,\"request_id\":\"req-1\"}\n\n"
		      "data: [DONE]\n\n"));
	buf_fini(&reply.body);
	house_close(&house);
}

TEST(proxy_demo_needs_no_provider)
{
	struct house house;
	struct reply reply;

	house_open_with(&house, "", "60000");
	ask_whole(&house, &reply, "chat", STR("{" MESSAGES "}"));
	CHECK_OK(reply.err);
	CHECK(has(buf_str(&reply.body), "\"response\":\"[demo] "));
	CHECK_STR(house.reserve.provider, STR("demo"));
	CHECK_STR(house.reserve.model, STR("demo"));
	CHECK_STR(house.settle.status, STR("settled"));
	CHECK_STR(house.settle.source, STR("provider"));
	CHECK(house.settle.output_tokens > 0);
	buf_fini(&reply.body);
	ask_whole(&house, &reply, "openai", OPENAI_STREAM("demo"));
	CHECK_OK(reply.err);
	CHECK(str_ends(buf_str(&reply.body), STR("data: [DONE]\n\n")));
	CHECK(!has(buf_str(&reply.body), "prompt_tokens"));
	buf_fini(&reply.body);
	ask_whole(&house, &reply, "openai", OPENAI("gpt-4o"));
	CHECK_ERR(reply.err, ERR_MODEL_UNKNOWN);
	CHECK(has(reply.failure.message, "OPENAI_API_KEY"));
	buf_fini(&reply.body);
	CHECK_INT(house.provider.shared->requests, 0);
	house_close(&house);
}

/* --- a ledger that is away
 * ---------------------------------------------------------- */

TEST(proxy_asks_the_ledger_until_it_answers)
{
	struct house house;
	struct reply reply;

	house_open(&house);
	house.away_err = ERR_UNAVAILABLE;
	house.reserve_failures = 2;
	house.settle_failures = 3;
	ask_whole(&house, &reply, "openai", OPENAI("gpt-json"));
	CHECK_OK(reply.err);
	CHECK_INT(house.reserves, 3);
	turns_until_settled(&house, 4);
	CHECK_INT(house.settle.attempt, house.reserve.attempt);
	CHECK_INT(house.provider.shared->requests, 1);
	buf_fini(&reply.body);
	house_close(&house);
	CHECK_INT(house.settles, 4);
}

/* --- models
 * -------------------------------------------------------------------------- */

struct models {
	struct house *house;
	bool is_over;
	enum err err;
	struct models_answer answer;
};

static void
on_models(void *ctx, const struct bus_answer *answer)
{
	struct models *models = ctx;

	models->is_over = answer->is_last;
	models->err = answer->err;
	if (answer->err == ERR_OK)
		decode(models->house, &models_answer_schema, answer->body,
		       &models->answer);
}

static void
ask_models(struct house *house, struct models *models, struct str key)
{
	struct models_list list = {key, STR_NONE};
	struct bus_ask ask = {.type = MSG_models_list,
			      .deadline_ms = 5000,
			      .fn = on_models,
			      .ctx = models};
	struct buf out;
	uint64_t id;

	memset(models, 0, sizeof(*models));
	models->house = house;
	buf_init(&out, 4096);
	schema_encode(&models_list_schema, &list, &out);
	ask.body = buf_str(&out);
	CHECK_OK(bus_ask(house->pool, &ask, &id));
	buf_fini(&out);
	turn_until(house, &models->is_over);
}

TEST(proxy_lists_models_of_providers_that_are_on)
{
	struct house house;
	struct models models;

	house_open(&house);
	ask_models(&house, &models, STR(LICENSE_KEY));
	CHECK_OK(models.err);
	CHECK_INT(models.answer.models_count, 2);
	CHECK_STR(models.answer.models[0].id, STR("gpt-4o"));
	CHECK_STR(models.answer.models[1].id, STR("gpt-4o-mini"));
	ask_models(&house, &models, STR("CHA-NONE"));
	CHECK_ERR(models.err, ERR_NOT_FOUND);
	house_close(&house);
}

/* --- speed
 * ---------------------------------------------------------------------------
 */

#define SPEED_OUTSTANDING 64u
#define SPEED_REQUESTS 5000u

struct speed {
	struct house *house;
	struct buf question;
	unsigned asked, answered;
};

static void speed_ask(struct speed *speed);

static void
on_speed(void *ctx, const struct bus_answer *answer)
{
	struct speed *speed = ctx;

	CHECK_OK(answer->err);
	CHECK(answer->is_last);
	speed->answered++;
	if (speed->asked < SPEED_REQUESTS)
		speed_ask(speed);
}

static void
speed_ask(struct speed *speed)
{
	struct bus_ask ask = {.type = MSG_ai_request,
			      .deadline_ms = 60000,
			      .body = buf_str(&speed->question),
			      .fn = on_speed,
			      .ctx = speed};
	uint64_t id;

	speed->asked++;
	CHECK_OK(bus_ask(speed->house->pool, &ask, &id));
}

/* User and system time of a process in microseconds. */
static long long
cpu_us(pid_t pid)
{
	long long user = 0, system = 0;
	char path[64], line[1024];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	CHECK(file && fgets(line, sizeof(line), file));
	fclose(file);
	CHECK(sscanf(strrchr(line, ')') + 2,
		     "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld",
		     &user, &system) == 2);
	return (user + system) * 1000000 / sysconf(_SC_CLK_TCK);
}

TEST(proxy_speed)
{
	struct house house;
	struct speed speed = {.house = &house};
	struct ai_request request;
	long long before;

	house_open(&house);
	schema_clear(&ai_request_schema, &request);
	request.request_id = STR("req-1");
	request.key = STR(LICENSE_KEY);
	request.shape = STR("openai");
	request.body = OPENAI("gpt-json");
	buf_init(&speed.question, 4096);
	schema_encode(&ai_request_schema, &request, &speed.question);
	before = cpu_us(house.proxy);
	for (unsigned i = 0; i < SPEED_OUTSTANDING; i++)
		speed_ask(&speed);
	while (speed.answered < SPEED_REQUESTS) {
		arena_reset(&house.arena);
		CHECK_OK(loop_turn(house.loop, 1000));
	}
	fprintf(stderr, "proxy: %.1f us CPU a JSON request at %u outstanding\n",
		(double)(cpu_us(house.proxy) - before) / SPEED_REQUESTS,
		SPEED_OUTSTANDING);
	buf_fini(&speed.question);
	house_close(&house);
}
