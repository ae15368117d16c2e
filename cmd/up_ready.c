/*
 * up_ready: when the launcher may say ready. Each process has said READY=1, but
 * they may still be connecting to one another, so the house is asked what shows
 * that all of it answers: the edge has its workers; a question reaches validate
 * through a proxy; an AI request reaches the ledger through a proxy (both with
 * a key that nobody has, so that nothing is done). Asked as often as there are
 * processes of a kind, since each answer comes from one of them.
 */
#include "cmd/up.h"

#include <stdio.h>

#include "lib/log.h"
#include "lib/proc.h"

#define PROBE_MS 1000
#define PROBE_PAUSE_MS 20
#define WRONG_ANSWERS_MAX 500
#define PROBE_HEAD                                                             \
	"Host: localhost\r\nConnection: close\r\n"                             \
	"Authorization: Bearer CHA-0000-0000-0000-0000\r\n"

enum question { ASK_HEALTH, ASK_VALIDATE, ASK_LEDGER, QUESTIONS };

static void ask_next(void *ctx);

static bool
all_ready(const struct up *up)
{
	for (unsigned i = 0; i < up->child_count; i++)
		if (!up->children[i].is_ready)
			return false;
	return true;
}

static void
announce(struct up *up)
{
	struct buf *out = &up->command->out;
	struct why why = {"", ""};

	up->is_announced = true;
	buf_printf(out,
		   up->command->is_json
		       ? "{\"public\":\"http://%s\",\"admin\":\"http://%s\","
			 "\"internal\":\"http://%s\"}\n"
		       : "ready public=http://%s admin=http://%s "
			 "internal=http://%s\n",
		   up->names[0], up->names[1], up->names[2]);
	if (command_flush(up->command, &why) != ERR_OK)
		log_warn("ready-line", "error=\"%s\"", why.text);
	proc_notify("READY=1");
}

static unsigned
questions_wanted(const struct up *up)
{
	const struct conf *conf = &up->command->conf;
	int64_t most = conf->edges;

	if (conf->proxies > most)
		most = conf->proxies;
	if (conf->validators > most)
		most = conf->validators;
	return (unsigned)most * QUESTIONS;
}

/* Health must be good; of the others any answer will do that is not about
 * somebody who is missing. */
static bool
is_right(enum question question, int status)
{
	if (question == ASK_HEALTH)
		return status == 200;
	return status >= 400 && status < 500;
}

static void
on_answer(void *ctx, int status, struct str body)
{
	struct up *up = ctx;

	(void)body;
	if (up->is_stopping || up->is_announced)
		return;
	if (is_right(up->asked % QUESTIONS, status) && all_ready(up)) {
		if (++up->asked == questions_wanted(up))
			announce(up);
		else
			ask_next(up);
	} else if (++up->wrong_answers < WRONG_ANSWERS_MAX) {
		loop_timer_set(up->loop, &up->probe_pause, PROBE_PAUSE_MS,
			       ask_next, up);
	} else {
		up_fail(up,
			"every process runs, but one of them does not "
			"answer (%d): the lines above say why",
			status);
	}
}

/* A model that the configured providers serve, since only such a request goes
 * as far as the ledger. */
static const char *
model_of(const struct conf *conf)
{
	const struct {
		const char *key, *model;
	} rows[] = {
#define PROVIDER(id, ID, shape, auth, header, model, limit)                    \
	{conf->id##_api_key, model},
#include "lib/providers.def"
#undef PROVIDER
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].key[0])
			return rows[i].model;
	return "demo";
}

static void
write_request(struct up *up, enum question question)
{
	char body[128];
	int n;

	if (question == ASK_HEALTH) {
		snprintf(up->request, sizeof(up->request), "%s", PROBE_HEALTH);
		return;
	}
	if (question == ASK_VALIDATE) {
		snprintf(up->request, sizeof(up->request), "%s",
			 "GET /v1/models HTTP/1.1\r\n" PROBE_HEAD "\r\n");
		return;
	}
	n = snprintf(body, sizeof(body),
		     "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\","
		     "\"content\":\"ready?\"}]}",
		     model_of(&up->command->conf));
	snprintf(up->request, sizeof(up->request),
		 "POST /v1/chat/completions HTTP/1.1\r\n" PROBE_HEAD
		 "Content-Type: application/json\r\nContent-Length: %d\r\n"
		 "\r\n%s",
		 n, body);
}

static void
ask_next(void *ctx)
{
	struct up *up = ctx;
	enum question question = up->asked % QUESTIONS;
	const char *listener = up->names[question == ASK_HEALTH ? 2 : 0];

	if (up->is_stopping)
		return;
	write_request(up, question);
	probe_stop(&up->probe);
	probe_start(&up->probe, up->loop, listener, up->request, PROBE_MS,
		    on_answer, up);
}

void
up_ask(struct up *up)
{
	if (!up->is_announced && !up->is_stopping && all_ready(up))
		ask_next(up);
}
