/*
 * shapes: each shape of a client's to each provider, JSON and streams: what
 * arrives, what it says on the ledger, and how a failure looks.
 */
#include <stdio.h>

#include "integration-tests/ask.h"

#define BODY_BYTES 1024

struct shape {
	const char *name;
	const char *path;
	const char *key_header;
	const char *members; /* that its requests need */
	const char *last;    /* a whole stream ends with it */
	const char *error;   /* in an error of its own */
};

static const struct shape shapes[] = {
    {"openai", "/v1/chat/completions", "Authorization: Bearer", "",
     "data: [DONE]", "\"param\":"},
    {"anthropic", "/v1/messages", "x-api-key:", ",\"max_tokens\":50",
     "{\"type\":\"message_stop\"}", "{\"type\":\"error\",\"error\":{"},
    {"chat", "/api/chat", "X-License-Key:", "", "data: [DONE]",
     "\"request_id\":"},
};

static const struct provider {
	const char *name;
	const char *model;
} providers[] = {{"openai", MODEL},
		 {"deepseek", DEEPSEEK_MODEL},
		 {"anthropic", CLAUDE_MODEL}};

#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))
#define PROVIDERS (sizeof(providers) / sizeof(providers[0]))

/* One question of a pair; its request id is "SHAPE-PROVIDER-suffix". */
struct pair {
	const struct shape *shape;
	const struct provider *provider;
	const char *key;
	const char *script;
	const char *suffix;
	const char *members;
	bool is_stream;
};

static void
pair_id(const struct pair *pair, char id[64])
{
	snprintf(id, 64, "%s-%s-%s", pair->shape->name, pair->provider->name,
		 pair->suffix);
}

static void
ask_pair(struct answer *answer, const struct house *house,
	 const struct pair *pair)
{
	char body[BODY_BYTES], headers[256], id[64];

	pair_id(pair, id);
	snprintf(headers, sizeof(headers),
		 "%s %s\r\nContent-Type: application/json\r\n"
		 "Idempotency-Key: %s\r\n",
		 pair->shape->key_header, pair->key, id);
	snprintf(body, sizeof(body),
		 "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\","
		 "\"content\":\"Hello #up %s\"}]%s%s%s}",
		 pair->provider->model, pair->script, pair->shape->members,
		 pair->is_stream ? ",\"stream\":true" : "",
		 pair->members ? pair->members : "");
	http(answer, house->public, "POST", pair->shape->path, headers,
	     str_of(body));
}

/* Fails with the pair's name. */
static void
check_pair(bool is_so, const char *what, const struct pair *pair,
	   const struct answer *answer)
{
	if (!is_so)
		test_fail(__FILE__, __LINE__, "%s to %s%s: %s: %d %.*s",
			  pair->shape->name, pair->provider->name,
			  pair->is_stream ? " as a stream" : "", what,
			  answer->status, STR_ARG(answer->body));
}

static void
for_each_pair(const struct house *house, struct pair *pair,
	      void (*fn)(const struct house *house, const struct pair *pair))
{
	for (size_t i = 0; i < SHAPES * PROVIDERS * 2; i++) {
		pair->shape = &shapes[i % SHAPES];
		pair->provider = &providers[i / SHAPES % PROVIDERS];
		pair->is_stream = i / SHAPES / PROVIDERS == 1;
		pair->suffix = pair->is_stream ? "s" : "j";
		fn(house, pair);
	}
}

static void
ask_well(const struct house *house, const struct pair *pair)
{
	struct answer answer;
	unsigned times = pair->is_stream ? 3 : 1;

	ask_pair(&answer, house, pair);
	check_pair(answer.status == 200, "status", pair, &answer);
	check_pair(test_count(answer.body, "Hello from upstream. ") == times,
		   "text", pair, &answer);
	check_pair(!pair->is_stream ||
		       test_count(answer.body, pair->shape->last) == 1,
		   "end", pair, &answer);
	answer_free(&answer);
}

static json_t *ledger;

static void
check_line(const struct house *house, const struct pair *pair)
{
	char id[64];
	json_t *line;

	(void)house;
	pair_id(pair, id);
	line = ledger_line(ledger, id);
	if (line == NULL)
		test_fail(__FILE__, __LINE__, "no line %s", id);
	CHECK_JSON_STR(line, "status", "settled");
	CHECK_JSON_STR(line, "source", "provider");
	CHECK_STR(json_str_at(line, "provider"), str_of(pair->provider->name));
	CHECK_STR(json_str_at(line, "model"), str_of(pair->provider->model));
	CHECK_JSON_INT(line, "input_tokens", 60);
	CHECK_JSON_INT(line, "cache_read_tokens", 40);
	CHECK_JSON_INT(line, "output_tokens", 50);
	CHECK_JSON_INT(line, "cost", 60 * 1 + 20 + 50 * 2);
}

/* A JSON answer and a stream of the same give the same line, whoever asks whom
 * in which shape. */
TEST_LIMITED(shapes_reach_every_provider, 60)
{
	struct pair pair = {.script = "in=100 out=50 cached=40"};
	struct house house;

	house_init(&house);
	house_sell();
	pair.key = house_license("big");
	house_up(&house);
	for_each_pair(&house, &pair, ask_well);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(json_array_size(ledger), SHAPES * PROVIDERS * 2);
	for_each_pair(&house, &pair, check_line);
	json_decref(ledger);
	CHECK_INT(files_with(".", ANTHROPIC_CANARY), 0);
}

static void
ask_and_be_refused(const struct house *house, const struct pair *pair)
{
	struct answer answer;

	ask_pair(&answer, house, pair);
	check_pair(answer.status == 400, "status", pair, &answer);
	check_pair(test_count(answer.body, "scripted failure") == 1, "message",
		   pair, &answer);
	check_pair(test_count(answer.body, pair->shape->error) == 1, "shape",
		   pair, &answer);
	answer_free(&answer);
}

static void
ask_and_be_cut(const struct house *house, const struct pair *pair)
{
	struct answer answer;

	if (!pair->is_stream)
		return;
	ask_pair(&answer, house, pair);
	/* The connection is cut behind an error in the client's shape. */
	check_pair(answer.status == 0, "status", pair, &answer);
	check_pair(test_count(answer.body, "Hello from upstream. ") >= 1,
		   "text", pair, &answer);
	check_pair(test_count(answer.body, pair->shape->error) == 1, "shape",
		   pair, &answer);
	check_pair(test_count(answer.body, pair->shape->last) == 0, "end", pair,
		   &answer);
	answer_free(&answer);
}

TEST_LIMITED(shapes_failures_are_in_the_clients_shape, 60)
{
	struct pair pair = {.script = "status=400"};
	struct house house;

	house_init(&house);
	house_sell();
	pair.key = house_license("big");
	house_up(&house);
	for_each_pair(&house, &pair, ask_and_be_refused);
	pair.script = "cut=mid by=close";
	for_each_pair(&house, &pair, ask_and_be_cut);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(ledger_count(ledger, "failed"), SHAPES * PROVIDERS);
	CHECK_INT(ledger_count(ledger, "settled"), SHAPES * PROVIDERS);
	for (size_t i = 0; i < json_array_size(ledger); i++) {
		json_t *line = json_array_get(ledger, i);

		if (str_eq(json_str_at(line, "status"), STR("settled")))
			CHECK_JSON_STR(line, "source", "partial");
	}
	json_decref(ledger);
}

TEST_LIMITED(shapes_error_in_mid_stream, 60)
{
	struct pair pair = {.script = "error"};
	struct house house;

	house_init(&house);
	house_sell();
	pair.key = house_license("big");
	house_up(&house);
	for_each_pair(&house, &pair, ask_and_be_cut);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(ledger_count(ledger, "settled"), SHAPES * PROVIDERS);
	json_decref(ledger);
}

/* What has no place in the provider's shape is named, and nothing is called. */
TEST_LIMITED(shapes_refuse_fields_by_name, 60)
{
	static const struct {
		unsigned shape, provider;
		const char *members;
		const char *name;
	} rows[] = {
	    {0, 2, ",\"n\":2", "\"param\":\"n\""},
	    {0, 2, ",\"logprobs\":true", "\"param\":\"logprobs\""},
	    {1, 0, ",\"top_k\":3", "top_k"},
	    {1, 1, ",\"container\":\"c\"", "container"},
	    {1, 2, ",\"base_url\":\"http://127.0.0.1:1\"", "base_url"},
	    {1, 2, ",\"api_key\":\"sk\"", "api_key"},
	    {1, 0, ",\"api_base\":\"http://127.0.0.1:1\"", "api_base"},
	};
	struct house house;
	struct answer answer;
	json_t *counts;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pair pair = {.shape = &shapes[rows[i].shape],
				    .provider = &providers[rows[i].provider],
				    .key = key,
				    .script = "",
				    .suffix = "f",
				    .members = rows[i].members};

		ask_pair(&answer, &house, &pair);
		check_pair(answer.status == 400, "status", &pair, &answer);
		check_pair(test_count(answer.body, rows[i].name) >= 1,
			   rows[i].name, &pair, &answer);
		answer_free(&answer);
	}
	counts = upstream_counts(&house);
	CHECK_JSON_INT(counts, "requests", 0);
	json_decref(counts);
	CHECK_INT(house_down(&house), 0);
}

/* Costs nothing, but not for everybody. */
TEST_LIMITED(shapes_count_tokens, 60)
{
	static const struct {
		const char *plan, *model;
		int status;
		const char *text;
	} rows[] = {
	    {"big", CLAUDE_MODEL, 200, "{\"input_tokens\":4321}"},
	    {"big", MODEL, 200, ",\"estimated\":true}"},
	    {"starter", CLAUDE_MODEL, 403, "permission_error"},
	    {"one", CLAUDE_MODEL, 200, "4321"},
	    {"one", CLAUDE_MODEL, 429, "rate_limit_error"},
	};
	struct house house;
	struct answer answer;
	char body[256], headers[256];
	const char *keys[3];
	json_t *counts;

	house_init(&house);
	house_sell();
	house_plan("one", "none", "1");
	keys[0] = house_license("big");
	keys[1] = house_license("starter");
	keys[2] = house_license("one");
	house_up(&house);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *plan = rows[i].plan;

		snprintf(headers, sizeof(headers), "x-api-key: %s\r\n",
			 keys[plan[0] == 'b'   ? 0
			      : plan[0] == 's' ? 1
					       : 2]);
		snprintf(body, sizeof(body),
			 "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\","
			 "\"content\":\"Hello\"}]}",
			 rows[i].model);
		http(&answer, house.public, "POST", "/v1/messages/count_tokens",
		     headers, str_of(body));
		if (answer.status != rows[i].status ||
		    test_count(answer.body, rows[i].text) != 1)
			test_fail(__FILE__, __LINE__, "row %zu: %d %.*s", i,
				  answer.status, STR_ARG(answer.body));
		answer_free(&answer);
	}
	counts = upstream_counts(&house);
	CHECK_JSON_INT(counts, "requests", 2);
	json_decref(counts);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(json_array_size(ledger), 0);
	json_decref(ledger);
}

/* The models that a licence may use, to each client in its own shape. */
TEST_LIMITED(shapes_models, 60)
{
	static const struct {
		const char *plan, *header, *text;
	} rows[] = {
	    {"big", "", "\"id\":\"" CLAUDE_MODEL "\",\"object\":\"model\""},
	    {"big", "", "\"id\":\"" DEEPSEEK_MODEL "\""},
	    {"big", "anthropic-version: 2023-06-01\r\n",
	     "{\"type\":\"model\",\"id\":\"" CLAUDE_MODEL "\""},
	    {"big", "anthropic-version: 2023-06-01\r\n", "\"has_more\":false"},
	    {"starter", "", "{\"object\":\"list\",\"data\":[]}"},
	    {"starter", "anthropic-version: 2023-06-01\r\n",
	     "{\"data\":[],\"has_more\":false,\"first_id\":null,"
	     "\"last_id\":null}"},
	};
	struct house house;
	struct answer answer;
	char headers[256];
	const char *big, *starter;

	house_init(&house);
	house_sell();
	big = house_license("big");
	starter = house_license("starter");
	house_up(&house);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(headers, sizeof(headers), "x-api-key: %s\r\n%s",
			 rows[i].plan[0] == 'b' ? big : starter,
			 rows[i].header);
		http(&answer, house.public, "GET", "/v1/models", headers,
		     STR(""));
		if (answer.status != 200 ||
		    test_count(answer.body, rows[i].text) != 1)
			test_fail(__FILE__, __LINE__, "row %zu: %d %.*s", i,
				  answer.status, STR_ARG(answer.body));
		answer_free(&answer);
	}
	CHECK_INT(house_down(&house), 0);
}
