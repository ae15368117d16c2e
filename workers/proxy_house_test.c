/*
 * proxy_house: see proxy_house_test.h.
 */
#include "workers/proxy_house_test.h"

#include "workers/workers.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the provider ---------------------------------------------------- */

bool
text_has(struct str s, const char *text)
{
	return memmem(s.p, s.n, text, strlen(text)) != NULL;
}

/* Or until the proxy hangs up. */
static void
wait_a_while(int fd)
{
	struct pollfd at = {.fd = fd, .events = POLLIN};

	poll(&at, 1, 200);
}

static bool
provide_stream(int fd, struct str request)
{
	if (text_has(request, "gpt-silent")) {
		scripted_wait_gone(fd);
		return false;
	}
	if (text_has(request, "gpt-late400")) {
		wait_a_while(fd);
		scripted_answer(fd, 400, "application/json", "", STR(REFUSAL));
		return true;
	}
	if (text_has(request, "gpt-latejson")) {
		wait_a_while(fd);
		scripted_answer(fd, 200, "application/json", "", STR(ANSWER));
		return true;
	}
	scripted_sse_head(fd);
	scripted_chunk(fd, STR(": keep-alive\n\n"));
	if (text_has(request, "gpt-thinks")) {
		scripted_chunk(fd, STR("data: {\"choices\":[{\"index\":0,"
				       "\"delta\":{\"content\":null,"
				       "\"reasoning_content\":\"so many "
				       "thoughts\"}}]}\n\n"));
		return false;
	}
	scripted_chunk(fd, STR(DELTA("one ")));
	if (text_has(request, "gpt-endless")) {
		for (int i = 0; i < 50; i++)
			scripted_chunk(fd, STR(DELTA("word ")));
		scripted_wait_gone(fd);
		return false;
	}
	if (text_has(request, "gpt-error")) {
		scripted_chunk(fd, STR("data: {\"error\":{\"message\":"
				       "\"secret words\"}}\n\n"));
		scripted_wait_gone(fd);
		return false;
	}
	if (text_has(request, "gpt-forever")) {
		scripted_wait_gone(fd);
		return false;
	}
	scripted_chunk(fd, STR(DELTA("two") "data: {\"choi"));
	if (text_has(request, "gpt-cut"))
		return false;
	scripted_chunk(fd, STR("ces\":[]}\n\n"));
	scripted_chunk(fd, STR(STREAM_END));
	scripted_chunk_end(fd);
	return true;
}

static void
provide_big(int fd, size_t bytes)
{
	static const char head[] = "{\"choices\":[{\"message\":{\"content\":\"";
	static const char tail[] = "\"}}]}";
	char *text = malloc(bytes);

	memset(text, 'x', bytes);
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + bytes - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
	scripted_answer(fd, 200, "application/json", "",
			str_bytes(text, bytes));
	free(text);
}

static bool
provide_claude_stream(int fd, struct str request)
{
	scripted_sse_head(fd);
	scripted_chunk(fd, STR(CLAUDE_START));
	scripted_chunk(fd, STR(CLAUDE_EVENT("ping", "") CLAUDE_DELTA("one ")));
	if (text_has(request, "claude-endless")) {
		for (int i = 0; i < 50; i++)
			scripted_chunk(fd, STR(CLAUDE_DELTA("word ")));
		scripted_wait_gone(fd);
		return false;
	}
	if (text_has(request, "claude-error")) {
		scripted_chunk(
		    fd, STR(CLAUDE_EVENT("error",
					 ",\"error\":{\"type\":"
					 "\"overloaded_error\",\"message\":"
					 "\"secret words\"}")));
		scripted_wait_gone(fd);
		return false;
	}
	scripted_chunk(fd, STR(CLAUDE_DELTA("two") "event: content"));
	if (text_has(request, "claude-cut"))
		return false;
	scripted_chunk(fd, STR("_x\ndata: {\"type\":\"content_x\"}\n\n"));
	scripted_chunk(fd, STR(CLAUDE_END));
	scripted_chunk_end(fd);
	return true;
}

static bool
provide_claude(int fd, struct str request)
{
	const char *json = "application/json";

	if (text_has(request, "\"stream\":true"))
		return provide_claude_stream(fd, request);
	if (text_has(request, "claude-400"))
		scripted_answer(fd, 400, json, "", STR(CLAUDE_REFUSAL));
	else if (text_has(request, "claude-529"))
		scripted_answer(fd, 529, json, "", STR("{}"));
	else
		scripted_answer(fd, 200, json, "", STR(CLAUDE_ANSWER));
	return true;
}

static bool
provide(int fd, struct str request, unsigned nth)
{
	const char *json = "application/json";

	if (str_starts(request, STR("POST /v1/messages/count_tokens "))) {
		scripted_answer(fd, 200, json, "",
				text_has(request, "claude-garbage")
				    ? STR("{}")
				    : STR("{\"input_tokens\":4321}"));
		return true;
	}
	if (str_starts(request, STR("POST /v1/messages ")))
		return provide_claude(fd, request);
	if (text_has(request, "\"stream\":true"))
		return provide_stream(fd, request);
	if (text_has(request, "gpt-503") && nth == 1)
		scripted_answer(fd, 503, "text/html", "", STR("<h1>no</h1>"));
	else if (text_has(request, "gpt-down"))
		scripted_answer(fd, 503, json, "", STR("{}"));
	else if (text_has(request, "gpt-400"))
		scripted_answer(fd, 400, json, "Set-Cookie: a=b\r\n",
				STR(REFUSAL));
	else if (text_has(request, "gpt-401"))
		scripted_answer(fd, 401, json, "", STR(REFUSAL));
	else if (text_has(request, "gpt-key"))
		scripted_answer(fd, text_has(request, "bad-key") ? 401 : 200,
				json, "", STR(ANSWER));
	else if (text_has(request, "gpt-429"))
		scripted_answer(fd, 429, json, "retry-after-ms: 30\r\n",
				STR("{}"));
	else if (text_has(request, "gpt-big"))
		provide_big(fd, 1000000);
	else if (text_has(request, "gpt-flood"))
		provide_big(fd, 9u << 20);
	else if (text_has(request, "gpt-nousage"))
		scripted_answer(fd, 200, json, "", STR(ANSWER_HEAD "}"));
	else if (text_has(request, "gpt-halfjson"))
		scripted_send(fd, STR("HTTP/1.1 200 OK\r\nContent-Type: "
				      "application/json\r\nContent-Length: "
				      "1000\r\n\r\n" HALF_ANSWER));
	else if (text_has(request, "gpt-headonly"))
		scripted_send(fd, STR("HTTP/1.1 200 OK\r\nContent-Type: "
				      "application/json\r\nContent-Length: "
				      "1000\r\n\r\n"));
	else if (text_has(request, "gpt-nochoice"))
		scripted_answer(fd, 200, json, "",
				STR("{\"id\":\"a\",\"model\":\"m\",\"choices\":"
				    "[],\"usage\":{\"prompt_tokens\":7,"
				    "\"completion_tokens\":5}}"));
	else if (text_has(request, "gpt-halfclosed"))
		scripted_answer(fd, 200, json, "", STR(HALF_ANSWER));
	else if (text_has(request, "gpt-error"))
		scripted_answer(fd, 200, json, "", STR(REFUSAL));
	else if (text_has(request, "gpt-garbage"))
		scripted_answer(fd, 200, json, "", STR("<html>"));
	else if (text_has(request, "gpt-silent"))
		scripted_wait_gone(fd);
	else if (text_has(request, "gpt-reset"))
		return false;
	else
		scripted_answer(fd, 200, json, "", STR(ANSWER));
	return !text_has(request, "gpt-silent") &&
	       !text_has(request, "gpt-half") &&
	       !text_has(request, "gpt-headonly");
}

scripted_fn *house_provider;
bool house_keys_held;

/* --- the house ------------------------------------------------------- */

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

void
house_answer_reserved(struct house *house, struct bus_from *from)
{
	struct reserved reserved;

	schema_clear(&reserved_schema, &reserved);
	reserved.license_id = STR("lic_1");
	reserved.rate_limit = 100;
	reserved.rate_remaining = 99;
	reserved.rate_reset_ms = 36000;
	reserved.keys_version = house->keys_version;
	reserved.own_key = house->own_key;
	if (house->granted)
		reserved.output_tokens = house->granted;
	if (house->fallbacks)
		reserved.fallbacks = house->fallbacks;
	if (house->own_key.p)
		reserved.own_key_owner = STR("cus_1");
	answer_as(house->ledger, from, ERR_OK, &reserved_schema, &reserved);
}

void
house_answer_settled(struct house *house, struct bus_from *from)
{
	struct settled settled = {77, 88, STR("EUR")};

	answer_as(house->ledger, from, ERR_OK, &settled_schema, &settled);
}

struct str
house_seal(struct house *house, const char *owner, const char *name,
	   const char *key)
{
	struct crypto *crypto;
	struct str blob,
	    identity = provider_key_identity(str_of(owner), STR("openai"),
					     str_of(name), &house->arena);

	CHECK_OK(crypto_open_provider_keys(&crypto, "d/master.key", NULL));
	CHECK_OK(
	    crypto_seal(crypto, str_of(key), identity, &house->arena, &blob));
	crypto_close(crypto);
	return blob;
}

/* As the test has set them. */
void
house_answer_keys(struct house *house, struct bus_from *from)
{
	struct vendor_keys keys = {
	    house->keys_version,    house->keys,
	    house->keys_count,	    house->providers,
	    house->providers_count, house->routes,
	    house->routes_count,
	};

	house->keys_gets++;
	answer_as(house->ledger, from, ERR_OK, &vendor_keys_schema, &keys);
}

/* The decoded struct's strings live in the house's arena. */
void
house_decode(struct house *house, const struct schema *schema, struct str body,
	     void *out)
{
	struct str kept = arena_str(&house->arena, body);

	CHECK_OK(schema_decode(schema, kept, out, &house->arena, NULL));
}

static void
on_reserve(struct house *house, const struct bus_request *request)
{
	house->reserves++;
	house_decode(house, &reserve_schema, request->body, &house->reserve);
	if (house->reserve_failures) {
		house->reserve_failures--;
		answer_err(house->ledger, request->from, house->away_err);
	} else if (house->reserve_err != ERR_OK) {
		answer_err(house->ledger, request->from, house->reserve_err);
	} else if (house->is_reserve_held) {
		house->held_reserve = request->from;
	} else {
		house_answer_reserved(house, request->from);
	}
}

static void
on_settle(struct house *house, const struct bus_request *request)
{
	house->settles++;
	house_decode(house, &settle_schema, request->body, &house->settle);
	if (house->settle_failures) {
		house->settle_failures--;
		answer_err(house->ledger, request->from, house->away_err);
	} else if (house->is_settle_held) {
		house->held_settle = request->from;
	} else {
		house_answer_settled(house, request->from);
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
	else if (request->type == MSG_vendor_keys_get && house->is_keys_held)
		house->held_keys = request->from;
	else if (request->type == MSG_vendor_keys_get)
		house_answer_keys(house, request->from);
	else
		test_fail(__FILE__, __LINE__, "message %u", request->type);
}

static void
on_admit(struct house *house, const struct bus_request *request)
{
	struct reserved reserved;
	struct admit admit;

	house_decode(house, &admit_schema, request->body, &admit);
	CHECK_STR(admit.key, STR(LICENSE_KEY));
	CHECK_STR(admit.feature, STR("ai_proxy"));
	house->admits++;
	if (house->reserve_err != ERR_OK) {
		answer_err(house->validate, request->from, house->reserve_err);
		return;
	}
	schema_clear(&reserved_schema, &reserved);
	reserved.license_id = STR("lic_1");
	reserved.rate_limit = 100;
	reserved.rate_remaining = 98;
	answer_as(house->validate, request->from, ERR_OK, &reserved_schema,
		  &reserved);
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

	if (request->type == MSG_admit) {
		on_admit(house, request);
		return;
	}
	CHECK_INT(request->type, MSG_prices_get);
	house_decode(house, &prices_get_schema, request->body, &get);
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
	char claude_base[64]; /* the same without its /v1 */

	snprintf(claude_base, sizeof(claude_base), "http://127.0.0.1:%d",
		 house->provider.port);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setenv("OPENAI_API_KEY", openai_key, 1);
	setenv("OPENAI_BASE_URL", house->provider.base, 1);
	setenv("ANTHROPIC_API_KEY", openai_key[0] ? "sk-claude" : "", 1);
	setenv("ANTHROPIC_BASE_URL", claude_base, 1);
	setenv("DEEPSEEK_API_KEY", "", 1);
	setenv("CHATELLO_UPSTREAM_SILENCE_MS", silence_ms, 1);
	exit(pool_main(&proxy_worker, 3, argv));
}

void
house_open_with(struct house *house, const char *openai_key,
		const char *silence_ms)
{
	struct bus_peer_state state = {.is_alive = false};
	struct why why;

	memset(house, 0, sizeof(*house));
	house->is_keys_held = house_keys_held;
	arena_init(&house->arena, 64u << 20);
	CHECK(mkdir("d", 0750) == 0 && mkdir("d/run", 0750) == 0);
	CHECK_OK(crypto_make_master_key("d/master.key", &why));
	scripted_start(&house->provider,
		       house_provider ? house_provider : provide);
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

void
house_open(struct house *house)
{
	house_open_with(house, "sk-canary", "60000");
}

/* Also waits until the proxy has nothing in flight: it exits well only then. */
void
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

/* --- asking ---------------------------------------------------------- */

static void
take_last(struct reply *reply, const struct bus_answer *answer)
{
	reply->is_over = true;
	reply->err = answer->err;
	if (answer->err != ERR_OK && answer->body.n)
		house_decode(reply->house, &failure_schema, answer->body,
			     &reply->failure);
}

static void
on_reply(void *ctx, const struct bus_answer *answer)
{
	struct reply *reply = ctx;

	CHECK(!reply->is_over);
	reply->parts++;
	if (answer->err == ERR_OK && !reply->has_head) {
		house_decode(reply->house, &ai_head_schema, answer->body,
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

void
house_ask(struct house *house, struct reply *reply, const char *shape,
	  struct str body)
{
	house_ask_with(house, reply, shape, body, &(struct house_headers){0});
}

void
house_ask_with(struct house *house, struct reply *reply, const char *shape,
	       struct str body, const struct house_headers *headers)
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
	request.tracestate = STR("rojo=00f067aa0ba902b7");
	request.body = body;
	request.anthropic_version = str_of(headers->version);
	request.anthropic_beta = str_of(headers->beta);
	buf_init(&out, 2 * BODY_BYTES_MAX);
	schema_encode(&ai_request_schema, &request, &out);
	ask.body = buf_str(&out);
	CHECK_OK(bus_ask(house->pool, &ask, &reply->id));
	buf_fini(&out);
}

void
house_turn_until(struct house *house, const bool *flag)
{
	while (!*flag)
		CHECK_OK(loop_turn(house->loop, 1000));
}

void
house_turn_until_settled(struct house *house, unsigned settles)
{
	while (house->settles < settles)
		CHECK_OK(loop_turn(house->loop, 1000));
}

void
house_ask_whole(struct house *house, struct reply *reply, const char *shape,
		struct str body)
{
	house_ask(house, reply, shape, body);
	house_turn_until(house, &reply->is_over);
}
