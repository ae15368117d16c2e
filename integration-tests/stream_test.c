/*
 * stream: answers that come piece by piece: passed on as they come, ended with
 * either side, and counted whatever happens.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "integration-tests/ask.h"

static int
count_events(struct answer *answer, struct client *client, bool *is_done,
	     bool *has_usage)
{
	int events = 0;

	*is_done = *has_usage = false;
	while (client_event(client, answer)) {
		if (str_eq(answer->body, STR("data: [DONE]")))
			*is_done = true;
		else if (str_starts(answer->body, STR("data: ")))
			events++;
		if (memmem(answer->body.p, answer->body.n, "\"prompt_tokens\"",
			   15))
			*has_usage = true;
	}
	return events;
}

TEST_LIMITED(stream_passes_events_on_as_they_come, 60)
{
	struct house house;
	struct client client;
	struct answer answer;
	bool is_done, has_usage;
	json_t *ledger, *line;
	long long began;

	house_init(&house);
	house_sell();
	struct chat ask = {.key = house_license("big"),
			   .is_stream = true,
			   .headers = "Idempotency-Key: s-1\r\n",
			   .script = "events=10 gap=100 in=9 out=8"};

	house_up(&house);
	began = now_ms();
	CHECK(client_open(&client, house.public));
	CHECK(chat_send(&client, &ask));
	client_head(&client, &answer);
	CHECK_INT(answer.status, 200);
	CHECK(str_starts(answer_header(&answer, "Content-Type"),
			 STR("text/event-stream")));
	CHECK_STR(answer_header(&answer, "Cache-Control"), STR("no-cache"));
	CHECK_STR(answer_header(&answer, "X-Accel-Buffering"), STR("no"));
	CHECK(client_event(&client, &answer));
	CHECK(now_ms() - began < 800); /* the whole takes 1,000 */
	/* role, 10 pieces, finish; the usage was not asked for */
	CHECK_INT(1 + count_events(&answer, &client, &is_done, &has_usage), 12);
	CHECK(now_ms() - began >= 900);
	CHECK(is_done && !has_usage);
	CHECK_INT(answer.status, 200);
	answer_free(&answer);

	/* The same connection again, and the usage asked for. */
	ask.headers = "Idempotency-Key: s-2\r\n";
	ask.script = "events=2 crlf";
	ask.members = ",\"stream_options\":{\"include_usage\":true}";
	CHECK(chat_send(&client, &ask));
	client_answer(&client, &answer);
	CHECK_INT(answer.status, 200);
	CHECK(memmem(answer.body.p, answer.body.n, "\"prompt_tokens\":12", 18));
	CHECK(memmem(answer.body.p, answer.body.n, "data: [DONE]", 12));
	answer_free(&answer);
	client_close(&client);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	line = ledger_line(ledger, "s-1");
	CHECK_JSON_STR(line, "status", "settled");
	CHECK_JSON_STR(line, "source", "provider");
	CHECK_JSON_INT(line, "input_tokens", 9);
	CHECK_JSON_INT(line, "output_tokens", 8);
	CHECK_JSON_STR(ledger_line(ledger, "s-2"), "status", "settled");
	json_decref(ledger);
}

TEST_LIMITED(stream_client_gone_closes_the_provider, 60)
{
	struct house house;
	struct client client;
	struct answer answer;
	json_t *ledger, *line;
	long long left;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	CHECK(client_open(&client, house.public));
	CHECK(chat_send(&client,
			&(struct chat){.key = key,
				       .is_stream = true,
				       .headers = "Idempotency-Key: gone\r\n",
				       .script = "events=2000 gap=20"}));
	client_head(&client, &answer);
	CHECK_INT(answer.status, 200);
	for (int i = 0; i < 3; i++)
		CHECK(client_event(&client, &answer));
	left = now_ms();
	client_close(&client);
	answer_free(&answer);
	json_decref(upstream_wait(&house, "closed_early", 1));
	CHECK(now_ms() - left < 1000);
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	line = ledger_line(ledger, "gone");
	CHECK_JSON_STR(line, "status", "settled");
	CHECK_JSON_STR(line, "source", "partial");
	CHECK(json_int_at(line, "output_tokens") > 0);
	CHECK(json_int_at(line, "cost") > 0);
	json_decref(ledger);
}

TEST_LIMITED(stream_that_breaks_off_is_counted_as_partial, 60)
{
	static const char *const scripts[] = {
	    "events=6 gap=10 nodone", "events=6 gap=10 cut=mid",
	    "events=6 gap=10 cut=mid by=close", "events=6 gap=10 error"};
	struct house house;
	json_t *ledger;
	char id[64];

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	for (int i = 0; i < 4; i++) {
		struct client client;
		struct answer answer;
		bool is_done, has_usage;

		snprintf(id, sizeof(id), "Idempotency-Key: cut-%d\r\n", i);
		CHECK(client_open(&client, house.public));
		CHECK(chat_send(&client, &(struct chat){.key = key,
							.is_stream = true,
							.headers = id,
							.script = scripts[i]}));
		client_head(&client, &answer);
		CHECK_INT(answer.status, 200);
		CHECK(count_events(&answer, &client, &is_done, &has_usage) >=
		      3);
		/* A client must not take it for a whole answer. */
		if (i > 0)
			CHECK(!is_done);
		answer_free(&answer);
		client_close(&client);
	}
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(json_array_size(ledger), 4);
	CHECK_INT(ledger_count(ledger, "reserved"), 0);
	for (int i = 1; i < 3; i++) {
		snprintf(id, sizeof(id), "cut-%d", i);
		CHECK_JSON_STR(ledger_line(ledger, id), "status", "settled");
		CHECK_JSON_STR(ledger_line(ledger, id), "source", "partial");
	}
	json_decref(ledger);
}

TEST_LIMITED(stream_failure_before_the_first_byte_is_an_error_status, 60)
{
	struct house house;
	struct answer answer;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	chat(&answer, &house,
	     &(struct chat){
		 .key = key, .is_stream = true, .script = "status=400"});
	CHECK_INT(answer.status, 400);
	json_decref(answer_json(&answer));
	answer_free(&answer);
	chat(&answer, &house,
	     &(struct chat){.key = key,
			    .is_stream = true,
			    .script = "key=a status=503 times=1"});
	CHECK_INT(answer.status, 200);
	CHECK(memmem(answer.body.p, answer.body.n, "data: [DONE]", 12));
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
}

static long long
resident_kib(pid_t pid)
{
	char path[64], line[256];
	long long kib = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "r");
	CHECK(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmRSS: %lld", &kib) == 1)
			break;
	fclose(file);
	return kib;
}

/* A client that does not read: everything waits, nothing grows. */
TEST_LIMITED(stream_slow_reader_does_not_fill_memory, 90)
{
	struct house house;
	struct client client;
	struct answer answer;
	long long before, after;
	json_t *counts;

	house_init(&house);
	house_sell();
	const char *key = house_license("big");

	house_up(&house);
	CHECK_INT(validate(&house, key), 200);
	before = resident_kib(house_pid(&house, "edge-0")) +
		 resident_kib(house_pid(&house, "proxy-0"));
	CHECK(client_open(&client, house.public));
	CHECK(chat_send(&client,
			&(struct chat){.key = key,
				       .is_stream = true,
				       .script = "events=2000 size=65536"}));
	client_head(&client, &answer);
	CHECK_INT(answer.status, 200);
	/* Others are served meanwhile. */
	for (int i = 0; i < 200; i++)
		CHECK_INT(validate(&house, key), 200);
	counts = upstream_counts(&house);
	CHECK_JSON_INT(counts, "open", 1); /* it waits, too */
	json_decref(counts);
	after = resident_kib(house_pid(&house, "edge-0")) +
		resident_kib(house_pid(&house, "proxy-0"));
	CHECK(after - before < 24 * 1024);
	/* And when it reads, all of it comes. */
	for (int i = 0; i < 2000; i++)
		CHECK(client_event(&client, &answer));
	answer_free(&answer);
	client_close(&client);
	CHECK_INT(house_down(&house), 0);
}

/* Also before the provider has said a word: what is in between must not take
 * the connection for dead. */
TEST_LIMITED(stream_is_kept_alive_while_the_provider_thinks, 60)
{
	static const char *const scripts[] = {"delay=400", "events=2 gap=300"};
	struct house house;
	struct client client;
	struct answer answer;
	const char *key;

	house_set("CHATELLO_KEEP_ALIVE_MS", "50");
	house_set("CHATELLO_UPSTREAM_FIRST_BYTE_MS", "900");
	house_init(&house);
	house_sell();
	key = house_license("big");
	house_up(&house);
	for (int i = 0; i < 2; i++) {
		bool is_done = false;
		int comments = 0;

		CHECK(client_open(&client, house.public));
		CHECK(chat_send(&client, &(struct chat){.key = key,
							.is_stream = true,
							.script = scripts[i]}));
		client_head(&client, &answer);
		CHECK_INT(answer.status, 200);
		while (client_event(&client, &answer)) {
			comments += str_eq(answer.body, STR(": keep-alive"));
			is_done |= str_eq(answer.body, STR("data: [DONE]"));
		}
		CHECK(comments >= 2);
		CHECK(is_done);
		answer_free(&answer);
		client_close(&client);
	}
	/* What fails then is said in the stream. */
	chat(&answer, &house,
	     &(struct chat){.key = key,
			    .is_stream = true,
			    .script = "cut=head by=silence"});
	CHECK_INT(answer.status, 0); /* cut, so that it is no whole answer */
	CHECK(memmem(answer.body.p, answer.body.n, "did not answer", 14));
	answer_free(&answer);
	CHECK_INT(house_down(&house), 0);
}
