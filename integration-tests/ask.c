/*
 * ask: see ask.h.
 */
#include "integration-tests/ask.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BODY_BYTES_MAX (64u << 20)

void
house_plan(const char *code, const char *limit_month, const char *limit_hour)
{
	char month[64], hour[64];

	snprintf(month, sizeof(month), "requests_month=%s", limit_month);
	snprintf(hour, sizeof(hour), "requests_hour=%s", limit_hour);
	json_decref(tool("plan", "set", code, "--name", code, "--price-month",
			 "9.00", "--feature", "ai_proxy", "--limit", month,
			 "--limit", hour, NULL));
}

void
house_sell(void)
{
	static const char *const models[][2] = {{"openai", MODEL},
						{"deepseek", DEEPSEEK_MODEL},
						{"anthropic", CLAUDE_MODEL}};

	for (int i = 0; i < 3; i++)
		json_decref(tool("price", "set", models[i][0], models[i][1],
				 "--input", "1", "--output", "2",
				 "--cache-read", "0.5", "--per-request",
				 "0.005", NULL));
	house_plan("big", "none", "1000000");
}

void
vendor_key(const char *name, const char *key)
{
	FILE *file = fopen("key.txt", "w");

	CHECK(file && fprintf(file, "%s\n", key) > 0 && fclose(file) == 0);
	json_decref(tool("key", "set", "openai", "--name", name, "--file",
			 "key.txt", NULL));
	CHECK(unlink("key.txt") == 0);
}

bool
upstream_saw(const struct house *house, const char *text)
{
	json_t *counts = upstream_counts(house);
	struct str head = json_str_at(counts, "last_head");
	bool is_seen = memmem(head.p, head.n, text, strlen(text)) != NULL;

	json_decref(counts);
	return is_seen;
}

void
chat_body(const struct chat *chat, struct buf *out)
{
	buf_printf(out,
		   "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\","
		   "\"content\":\"Hello there%s%s\"}]%s%s}",
		   chat->model ? chat->model : MODEL,
		   chat->script ? " #up " : "",
		   chat->script ? chat->script : "",
		   chat->is_stream ? ",\"stream\":true" : "",
		   chat->members ? chat->members : "");
}

bool
chat_send(struct client *client, const struct chat *chat)
{
	char headers[1024];
	struct buf body;
	bool is_sent;

	buf_init(&body, BODY_BYTES_MAX);
	chat_body(chat, &body);
	snprintf(headers, sizeof(headers),
		 "Authorization: Bearer %s\r\nContent-Type: application/json"
		 "\r\n%s",
		 chat->key, chat->headers ? chat->headers : "");
	is_sent = client_ask(client, "POST", "/v1/chat/completions", headers,
			     buf_str(&body));
	buf_fini(&body);
	return is_sent;
}

void
chat(struct answer *answer, const struct house *house, const struct chat *chat)
{
	struct client client;

	*answer = (struct answer){.status = 0};
	if (!client_open(&client, house->public))
		return;
	if (chat_send(&client, chat))
		client_answer(&client, answer);
	client_close(&client);
}

int
validate(const struct house *house, const char *key)
{
	struct answer answer;
	char headers[256];

	snprintf(headers, sizeof(headers), "X-License-Key: %s\r\n", key);
	http(&answer, house->public, "POST", "/api/validate", headers,
	     STR("{}"));
	answer_free(&answer);
	return answer.status;
}

json_t *
answer_json(const struct answer *answer)
{
	json_t *value =
	    json_loadb(answer->body.p ? answer->body.p : "", answer->body.n,
		       JSON_REJECT_DUPLICATES, NULL);

	if (value == NULL)
		test_fail(__FILE__, __LINE__, "status %d, no JSON: %.*s",
			  answer->status,
			  (int)(answer->body.n < 500 ? answer->body.n : 500),
			  answer->body.p ? answer->body.p : "");
	return value;
}

const char *
answer_code(const struct answer *answer)
{
	static char code[64];
	json_t *body = answer_json(answer);

	snprintf(code, sizeof(code), "%.*s",
		 STR_ARG(json_str_at(body, "error.code")));
	json_decref(body);
	return code;
}

json_t *
ledger_line(const json_t *ledger, const char *request_id)
{
	json_t *line, *found = NULL;
	size_t i;

	json_array_foreach(ledger, i, line)
	{
		if (!str_eq(json_str_at(line, "request_id"),
			    str_of(request_id)))
			continue;
		CHECK(found == NULL); /* one line a request */
		found = line;
	}
	return found;
}

int
ledger_count(const json_t *ledger, const char *status)
{
	int count = 0;
	json_t *line;
	size_t i;

	json_array_foreach(ledger, i, line)
	{
		count += str_eq(json_str_at(line, "status"), str_of(status));
	}
	return count;
}

static const char *wanted;
static int found_files;

static int
look_into(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	void *map;
	int fd;

	(void)ftw;
	if (flag != FTW_F || !S_ISREG(st->st_mode) || st->st_size == 0)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	map = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return 0;
	if (memmem(map, (size_t)st->st_size, wanted, strlen(wanted))) {
		fprintf(stderr, "found in %s\n", path);
		found_files++;
	}
	munmap(map, (size_t)st->st_size);
	return 0;
}

int
files_with(const char *folder, const char *text)
{
	wanted = text;
	found_files = 0;
	nftw(folder, look_into, 16, FTW_PHYS);
	return found_files;
}
