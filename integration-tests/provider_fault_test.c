/*
 * provider_fault: what a provider can do wrong, with every provider's shape,
 * JSON and streams: the status that the client gets, one settlement that says
 * what may be billed, nothing counted twice, and bounded memory.
 */
#include <stdio.h>
#include <string.h>

#include "integration-tests/ask.h"

#define STORM 200
/* What a process may take at most, whatever a provider sends. */
#ifdef __SANITIZE_ADDRESS__ /* it keeps what was freed */
#define ROOM_KIB (1024 * 1024)
#else
#define ROOM_KIB (64 * 1024)
#endif

static const char *const models[] = {MODEL, DEEPSEEK_MODEL, CLAUDE_MODEL};

#define MODELS (sizeof(models) / sizeof(models[0]))

struct fault {
	const char *script;
	bool is_stream;
	int status; /* 0: the answer is cut behind its head */
	const char *line;
	const char *source; /* of the line; NULL = none */
};

/* The silence is 400 ms, the whole request's time 1,500 ms. */
static const struct fault faults[] = {
    /* Reset or closed at each stage: it had the whole question. */
    {"cut=head", false, 502, "settled", "partial"},
    {"cut=head by=close", false, 502, "settled", "partial"},
    {"cut=line", false, 502, "settled", "partial"},
    {"cut=line by=close", false, 502, "settled", "partial"},
    {"cut=body", false, 502, "settled", "partial"},
    {"cut=mid by=close", false, 502, "settled", "partial"},
    {"cut=head", true, 502, "settled", "partial"},
    {"cut=line by=close", true, 502, "settled", "partial"},
    {"cut=body", true, 502, "settled", "partial"},
    {"cut=mid", true, 0, "settled", "partial"},
    {"cut=mid by=close", true, 0, "settled", "partial"},
    /* All was said: that the body's end is missing changes nothing. */
    {"cut=end", false, 200, "settled", "provider"},
    {"cut=end by=close", false, 200, "settled", "provider"},
    {"cut=end by=silence", false, 200, "settled", "provider"},
    {"cut=end", true, 200, "settled", "provider"},
    {"cut=end by=close", true, 200, "settled", "provider"},
    {"cut=end by=silence", true, 200, "settled", "provider"},
    /* Silence, and a byte now and then. */
    {"cut=line by=silence", false, 504, "settled", "partial"},
    {"cut=line by=silence", true, 504, "settled", "partial"},
    {"cut=body by=silence", true, 504, "settled", "partial"},
    {"cut=mid by=silence", true, 0, "settled", "partial"},
    {"drip gap=50", false, 504, "settled", "partial"},
    {"drip gap=2 events=9", true, 0, "settled", "partial"},
    /* Pages of whoever stands in front of the provider. */
    {"html", false, 502, "failed", NULL},
    {"html", true, 502, "failed", NULL},
    {"html status=400", false, 400, "failed", NULL},
    {"html status=404", true, 404, "failed", NULL},
    {"html status=500", false, 502, "failed", NULL},
    {"html status=520", true, 502, "failed", NULL},
    {"redirect", true, 502, "failed", NULL},
    {"garbage", false, 502, "failed", NULL},
    /* Coded although nobody asked for it: it may hold an answer. */
    {"gzip", false, 502, "settled", "partial"},
    {"gzip", true, 502, "settled", "partial"},
    {"gzip status=503", false, 502, "failed", NULL},
    /* Too much of it. */
    {"pad=200000", false, 502, "settled", "partial"},
    {"pad=200000", true, 502, "settled", "partial"},
    {"flood=104857600", false, 502, "failed", NULL},
    {"flood=104857600", true, 502, "settled", "partial"},
    /* No end, no usage, none that can be. */
    {"nodone", true, 0, "settled", "partial"},
    {"nodone nousage", true, 0, "settled", "partial"},
    {"nousage", false, 200, "settled", "estimated"},
    {"in=-5 out=-7", false, 200, "settled", "estimated"},
    {"in=-5 out=-7", true, 200, "settled", "estimated"},
    {"in=2000000000000 out=3", false, 200, "settled", "estimated"},
    {"in=9 out=9000000000000000000", true, 200, "settled", "estimated"},
};

#define FAULTS (sizeof(faults) / sizeof(faults[0]))

/* VmHWM of a process of the house. */
static long long
most_kib(const struct house *house, const char *name)
{
	char path[64], line[256];
	long long kib = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status",
		 (int)house_pid(house, name));
	file = fopen(path, "re");
	CHECK(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmHWM: %lld", &kib) == 1)
			break;
	fclose(file);
	CHECK(kib > 0);
	return kib;
}

static void
check_memory(const struct house *house)
{
	static const char *const names[] = {"proxy-0", "edge-0", "usage-0"};

	for (int i = 0; i < 3; i++) {
		long long kib = most_kib(house, names[i]);

		if (kib >= ROOM_KIB)
			test_fail(__FILE__, __LINE__, "%s had %lld KiB",
				  names[i], kib);
	}
}

/* Each request has one event, and the licence's meters are the lines' sums. */
static void
check_counted_once(const char *key, const json_t *ledger)
{
	struct output events = run("chatello", "event", "list", "--json", NULL);
	json_t *shown = tool("usage", "show", key, NULL);
	long long cost = 0;
	int lines = 0;

	for (const char *at = events.out;
	     (at = strstr(at, "\"type\":\"ai_request\"")); at++)
		lines++;
	for (size_t i = 0; i < json_array_size(ledger); i++)
		cost += json_int_at(json_array_get(ledger, i), "cost");
	CHECK_INT(lines, json_array_size(ledger));
	CHECK_INT(ledger_count(ledger, "reserved"), 0);
	CHECK_JSON_INT(shown, "month.requests",
		       ledger_count(ledger, "settled"));
	CHECK_JSON_INT(shown, "month.cost", cost);
	CHECK_JSON_INT(shown, "reserved", 0);
	json_decref(shown);
	output_free(&events);
}

static void
fault_id(size_t row, size_t model, char id[32])
{
	snprintf(id, 32, "fault-%zu-%zu", row, model);
}

static void
check_answer(const struct fault *fault, const char *model,
	     struct answer *answer)
{
	if (answer->status != fault->status)
		test_fail(__FILE__, __LINE__, "%s%s of %s: %d: %.*s",
			  fault->script, fault->is_stream ? " (stream)" : "",
			  model, answer->status,
			  (int)(answer->body.n < 300 ? answer->body.n : 300),
			  answer->body.p ? answer->body.p : "");
	if (answer->status >= 400)
		json_decref(answer_json(answer));
	CHECK(!memmem(answer->body.p, answer->body.n, "canary", 6));
	if (answer->status == 0)
		CHECK(!memmem(answer->body.p, answer->body.n, "[DONE]", 6));
	answer_free(answer);
}

static void
check_line(const struct fault *fault, size_t row, size_t model,
	   const json_t *ledger)
{
	char id[32];
	json_t *line;

	fault_id(row, model, id);
	line = ledger_line(ledger, id);
	CHECK(line);
	if (!str_eq(json_str_at(line, "status"), str_of(fault->line)) ||
	    (fault->source &&
	     !str_eq(json_str_at(line, "source"), str_of(fault->source))))
		test_fail(__FILE__, __LINE__, "%s%s of %s: %s", fault->script,
			  fault->is_stream ? " (stream)" : "", models[model],
			  json_dumps(line, 0));
	CHECK((fault->source != NULL) == (json_int_at(line, "cost") > 0));
	/* The stream's last usage counts, although its end is missing. */
	if (strcmp(fault->script, "nodone") == 0) {
		CHECK_JSON_INT(line, "input_tokens", 12);
		CHECK_JSON_INT(line, "output_tokens", 34);
	}
}

/* A provider after the other, each with all its faults at once. */
TEST_LIMITED(provider_faults_have_one_settlement, 120)
{
	static struct client clients[FAULTS];
	struct house house;
	struct answer answer;
	json_t *ledger;
	char id[32], header[64];

	house_set("CHATELLO_UPSTREAM_FIRST_BYTE_MS", "400");
	house_set("CHATELLO_UPSTREAM_SILENCE_MS", "400");
	house_set("CHATELLO_UPSTREAM_TOTAL_MS", "1500");
	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	for (size_t model = 0; model < MODELS; model++) {
		for (size_t row = 0; row < FAULTS; row++) {
			fault_id(row, model, id);
			snprintf(header, sizeof(header),
				 "Idempotency-Key: %s\r\n", id);
			CHECK(client_open(&clients[row], house.public));
			CHECK(
			    chat_send(&clients[row],
				      &(struct chat){
					  .key = key,
					  .model = models[model],
					  .headers = header,
					  .script = faults[row].script,
					  .is_stream = faults[row].is_stream}));
		}
		for (size_t row = 0; row < FAULTS; row++) {
			client_answer(&clients[row], &answer);
			check_answer(&faults[row], models[model], &answer);
			client_close(&clients[row]);
		}
	}
	check_memory(&house);
	CHECK_INT(validate(&house, key), 200);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(json_array_size(ledger), FAULTS * MODELS);
	for (size_t i = 0; i < FAULTS * MODELS; i++)
		check_line(&faults[i % FAULTS], i % FAULTS, i / FAULTS, ledger);
	check_counted_once(key, ledger);
	json_decref(ledger);
	CHECK_INT(files_with(".", "html-canary"), 0);
}

/* The connection goes while a large request is still on its way. */
TEST_LIMITED(provider_resets_in_mid_request, 60)
{
	struct house house;
	struct answer answer;
	struct buf members;
	json_t *ledger;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	buf_init(&members, 8u << 20);
	buf_add_z(&members, ",\"pad\":\"");
	for (int i = 0; i < 6 << 20; i++)
		buf_add_char(&members, 'p');
	buf_add(&members, "\"", 2);
	house_up(&house);
	chat(&answer, &house,
	     &(struct chat){
		 .key = key, .script = "cut=request", .members = members.p});
	CHECK_INT(answer.status, 502);
	answer_free(&answer);
	buf_fini(&members);
	check_memory(&house);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(ledger_count(ledger, "failed"), 1);
	check_counted_once(key, ledger);
	json_decref(ledger);
}

/* Every request fails for a while, those to another provider do not. */
static void
check_storm(const char *script, int status, int other_status)
{
	static struct client clients[STORM];
	struct house house;
	struct answer answer;
	json_t *ledger, *counts;
	int failed = 0;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");
	const char *other = house_license("big");

	house_up(&house);
	for (int i = 0; i < STORM; i++) {
		CHECK(client_open(&clients[i], house.public));
		CHECK(
		    chat_send(&clients[i], &(struct chat){.key = key,
							  .script = script,
							  .is_stream = i % 2}));
	}
	for (int i = 0; i < 20; i++) {
		chat(&answer, &house,
		     &(struct chat){.key = other, .model = CLAUDE_MODEL});
		CHECK_INT(answer.status, 200);
		answer_free(&answer);
	}
	for (int i = 0; i < STORM; i++) {
		client_answer(&clients[i], &answer);
		if (answer.status != status && answer.status != other_status)
			test_fail(__FILE__, __LINE__, "%s: %d: %.*s", script,
				  answer.status, STR_ARG(answer.body));
		if (answer.status == 429 || answer.status == 503)
			CHECK(answer_header(&answer, "Retry-After").n > 0);
		failed++;
		answer_free(&answer);
		client_close(&clients[i]);
	}
	counts = upstream_counts(&house);
	CHECK(json_int_at(counts, "failures") <= 3 * STORM);
	json_decref(counts);
	check_memory(&house);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(ledger_count(ledger, "failed"), failed);
	CHECK_INT(ledger_count(ledger, "settled"), 20);
	check_counted_once(other, ledger);
	json_decref(ledger);
}

TEST_LIMITED(provider_storm_of_503, 60)
{
	check_storm("status=503", 502, 503);
}

TEST_LIMITED(provider_storm_of_pages, 60)
{
	check_storm("html status=502", 502, 503);
}

TEST_LIMITED(provider_storm_of_429, 60)
{
	check_storm("status=429 code=rate_limit_exceeded", 429, 503);
}
