/*
 * routes: what models' names mean, set from the command line while the house
 * runs: aliases, further providers, and what is tried when one fails.
 */
#include <stdio.h>

#include "integration-tests/ask.h"

/* One question; the status, and which provider answered. */
static int
ask(const struct house *house, const char *key, const char *model,
    const char *script, char provider[32])
{
	struct answer answer;
	char headers[256], body[512];
	json_t *said;

	snprintf(headers, sizeof(headers), "X-License-Key: %s\r\n", key);
	snprintf(body, sizeof(body),
		 "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\","
		 "\"content\":\"Hello #up %s\"}]}",
		 model, script);
	http(&answer, house->public, "POST", "/api/chat", headers,
	     str_of(body));
	CHECK(!memmem(answer.body.p, answer.body.n, "canary", 6));
	said = answer_json(&answer);
	snprintf(provider, 32, "%.*s", STR_ARG(json_str_at(said, "provider")));
	json_decref(said);
	answer_free(&answer);
	return answer.status;
}

/* As OpenAI's clients are told; "" = it is not among them. */
static void
owner_of(const struct house *house, const char *key, const char *model,
	 char provider[32])
{
	struct answer answer;
	char headers[256], path[64];
	json_t *said;

	snprintf(headers, sizeof(headers), "X-License-Key: %s\r\n", key);
	snprintf(path, sizeof(path), "/v1/models/%s", model);
	http(&answer, house->public, "GET", path, headers, STR(""));
	provider[0] = '\0';
	if (answer.status == 200) {
		said = answer_json(&answer);
		CHECK_STR(json_str_at(said, "id"), str_of(model));
		snprintf(provider, 32, "%.*s",
			 STR_ARG(json_str_at(said, "owned_by")));
		json_decref(said);
	}
	answer_free(&answer);
}

TEST_LIMITED(routes_are_set_while_the_house_runs, 60)
{
	struct house house;
	char provider[32], base[128];
	json_t *listed;
	struct output refused;
	const char *key;

	house_init(&house);
	house_sell();
	key = house_license("big");
	house_up(&house);
	snprintf(base, sizeof(base), "http://%s/v1", house.upstream_address);
	CHECK_INT(ask(&house, key, "fast", "", provider), 404);
	json_decref(tool("provider", "set", "near", "--base-url", base,
			 "--auth", "none", NULL));
	json_decref(tool("price", "set", "near", "small", "--input", "1",
			 "--output", "2", NULL));
	json_decref(tool("route", "set", "small", "--provider", "near", NULL));
	json_decref(tool("route", "set", "fast", "--model", MODEL, NULL));
	/* A list of models has the news a moment later, too. */
	do
		owner_of(&house, key, "fast", provider);
	while (provider[0] == '\0');
	CHECK_STR(str_of(provider), STR("openai"));
	owner_of(&house, key, "gpt-unpriced", provider);
	CHECK_STR(str_of(provider), STR(""));
	/* Once known, at once: the name that was asked for a moment ago needs
	 * that moment. */
	while (ask(&house, key, "fast", "", provider) == 404)
		continue;
	CHECK_STR(str_of(provider), STR("openai"));
	CHECK(upstream_saw(&house, "canary"));
	CHECK_INT(ask(&house, key, "small", "", provider), 200);
	CHECK_STR(str_of(provider), STR("near"));
	CHECK(!upstream_saw(&house, "canary"));
	refused = run("chatello", "provider", "remove", "near", NULL);
	CHECK_INT(refused.code, 1);
	CHECK(strstr(refused.err, "route remove"));
	output_free(&refused);
	refused = run("chatello", "route", "set", "fast", "--fallback",
		      "gpt-unpriced", NULL);
	CHECK_INT(refused.code, 1);
	CHECK(strstr(refused.err, "chatello price set openai gpt-unpriced"));
	output_free(&refused);
	listed = tool("route", "remove", "small", NULL);
	CHECK_JSON_STR(listed, "provider", "near");
	json_decref(listed);
	json_decref(tool("provider", "remove", "near", NULL));
	/* The reservation of one request brings the news for the next. */
	CHECK_INT(ask(&house, key, MODEL, "", provider), 200);
	while (ask(&house, key, "small", "", provider) != 404)
		continue;
	CHECK_INT(house_down(&house), 0);
}

/* As it is in the store, the next start has it. */
TEST_LIMITED(routes_are_there_after_a_restart, 60)
{
	struct house house;
	char provider[32];
	const char *key;

	house_init(&house);
	house_sell();
	key = house_license("big");
	json_decref(
	    tool("route", "set", "gpt-*", "--provider", "deepseek", NULL));
	json_decref(tool("price", "set", "deepseek", MODEL, "--input", "1",
			 "--output", "2", NULL));
	for (int i = 0; i < 2; i++) {
		house_up(&house);
		CHECK_INT(ask(&house, key, MODEL, "", provider), 200);
		CHECK_STR(str_of(provider), STR("deepseek"));
		CHECK_INT(house_down(&house), 0);
	}
}

/* Only what is asked of OpenAI fails: its key ends so. */
#define OPENAI_IS_DOWN "status=503 auth=7f3a91"

TEST_LIMITED(routes_fall_back_and_tell_the_ledger, 60)
{
	struct house house;
	struct answer answer;
	struct client client;
	json_t *ledger, *line;
	const char *key;
	int events = 0;

	house_init(&house);
	house_sell();
	key = house_license("big");
	json_decref(tool("route", "set", MODEL, "--fallback", CLAUDE_MODEL,
			 "--fallback", DEEPSEEK_MODEL, NULL));
	house_up(&house);
	chat(&answer, &house,
	     &(struct chat){.key = key,
			    .script = OPENAI_IS_DOWN " in=9 out=4",
			    .headers = "Idempotency-Key: one\r\n"});
	CHECK_INT(answer.status, 200);
	CHECK_STR(answer_header(&answer, "x-chatello-provider"),
		  STR("anthropic"));
	CHECK(memmem(answer.body.p, answer.body.n, "chat.completion", 15));
	answer_free(&answer);
	CHECK(client_open(&client, house.public));
	CHECK(chat_send(&client,
			&(struct chat){.key = key,
				       .script = OPENAI_IS_DOWN " events=3",
				       .is_stream = true}));
	client_head(&client, &answer);
	CHECK_INT(answer.status, 200);
	while (client_event(&client, &answer))
		events += str_starts(answer.body, STR("data: {"));
	CHECK(events >= 3);
	answer_free(&answer);
	client_close(&client);
	/* What is the client's doing is nobody else's to answer. */
	chat(&answer, &house,
	     &(struct chat){.key = key, .script = "status=400"});
	CHECK_INT(answer.status, 400);
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(json_array_size(ledger), 3);
	line = ledger_line(ledger, "one");
	CHECK_JSON_STR(line, "status", "settled");
	CHECK_JSON_STR(line, "provider", "anthropic");
	CHECK_JSON_INT(line, "input_tokens", 9);
	CHECK_JSON_INT(line, "output_tokens", 4);
	CHECK_JSON_INT(line, "attempts", 4);
	CHECK_JSON_STR(line, "tries.0.provider", "openai");
	CHECK_JSON_STR(line, "tries.0.model", MODEL);
	CHECK_JSON_INT(line, "tries.0.status", 503);
	CHECK_JSON_INT(line, "tries.0.calls", 3);
	CHECK_JSON_STR(line, "tries.1.provider", "anthropic");
	CHECK_JSON_INT(line, "tries.1.status", 200);
	json_decref(ledger);
}
