/*
 * client: see client.h. Between the two ways lies a moment in which a ledger
 * starts or another command holds the lease: then both are tried again, for a
 * bounded time, whenever something has changed. A question is sent once only:
 * after it was sent, an answer that stays away is reported and not asked for
 * again.
 */
#include "cmd/client.h"

#include "cmd/client_wait.h"
#include "lib/bus.h"
#include "lib/clock.h"
#include "workers/ledger.h"

#define BODY_BYTES_MAX (1u << 20)
#define LEASE_WAIT_MS 5000

/* A failure's body, or the err's own text. */
static enum err
take_failure(struct command *command, enum err failed, struct str body,
	     struct why *why)
{
	struct failure failure;
	enum err e;

	e = schema_decode(&failure_schema, body, &failure, &command->arena,
			  NULL);
	if (e != ERR_OK || str_is_empty(failure.message))
		return why_set(why, failed, "%s", err_text(failed));
	return why_set(why, failed, "%.*s", STR_ARG(failure.message));
}

/* Keys travel in both directions. */
static void
forget(struct buf *buf)
{
	if (buf->p)
		explicit_bzero(buf->p, buf->room);
	buf_fini(buf);
}

enum err
client_ask(struct command *command, const char *process, unsigned type,
	   const void *in, const struct schema *answer_schema, void *out,
	   int deadline_ms, struct why *why)
{
	enum err e, answer_err = ERR_OK;
	struct buf body, answer;
	struct str kept;

	buf_init(&body, BODY_BYTES_MAX);
	buf_init(&answer, BODY_BYTES_MAX);
	schema_encode(msg_schema(type), in, &body);
	if (body.is_failed)
		e = ERR_NO_MEMORY;
	else
		e = bus_tool_call(command->conf.run_dir, process,
				  (uint16_t)type, buf_str(&body), deadline_ms,
				  &answer_err, &answer, why);
	if (e == ERR_OK) {
		kept = arena_str(&command->arena, buf_str(&answer));
		if (kept.p == NULL)
			e = ERR_NO_MEMORY;
		else if (answer_err != ERR_OK)
			e = take_failure(command, answer_err, kept, why);
		else
			e = schema_decode(answer_schema, kept, out,
					  &command->arena, why);
	}
	forget(&body);
	forget(&answer);
	return e;
}

static const struct worker_row *
row_of(unsigned type)
{
	for (size_t i = 0; i < ledger_row_count; i++)
		if (ledger_rows[i].in->number == type)
			return &ledger_rows[i];
	return NULL;
}

/* The handler's answer points into the ledger's own memory: a copy of it into
 * the command's arena. */
static enum err
keep_answer(struct command *command, const struct schema *schema, void *out,
	    struct why *why)
{
	struct buf bytes;
	struct str kept;
	enum err e;

	buf_init(&bytes, BODY_BYTES_MAX);
	schema_encode(schema, out, &bytes);
	kept = bytes.is_failed ? STR_NONE
			       : arena_str(&command->arena, buf_str(&bytes));
	e = kept.p ? schema_decode(schema, kept, out, &command->arena, why)
		   : ERR_NO_MEMORY;
	forget(&bytes);
	return e;
}

/* The handler and its commit, here. ERR_STORE_LOCKED: somebody else may. */
static enum err
write_here(struct command *command, const struct worker_row *row,
	   const void *in, void *out, struct why *why)
{
	struct context context = {.arena = &command->arena,
				  .now_ms = clock_wall_ms(),
				  .deadline_ns = INT64_MAX,
				  .peer = "tools"};
	struct ledger ledger;
	unsigned event_count;
	enum err e;

	e = ledger_open(&ledger, &command->conf, why);
	if (e != ERR_OK)
		return e;
	context.state = &ledger;
	e = pool_call(ledger_rows, ledger_row_count, &context, row->in->number,
		      in, out);
	if (e == ERR_OK)
		e = keep_answer(command, row->out, out, why);
	if (e == ERR_OK) {
		e = ledger_commit(&ledger, &event_count);
		if (e != ERR_OK)
			why_set(why, e, "nothing was changed: %s", err_text(e));
	} else if (!str_is_empty(context.failure.message)) {
		why_set(why, e, "%.*s", STR_ARG(context.failure.message));
	}
	ledger_close(&ledger);
	return e;
}

/* Either way, once. ERR_STORE_LOCKED: neither was open. */
static enum err
try_write(struct command *command, const struct worker_row *row, const void *in,
	  void *out, struct why *why)
{
	enum err e = client_ask(command, "usage-0", row->in->number, in,
				row->out, out, CLIENT_DEADLINE_MS, why);

	if (e != ERR_UNAVAILABLE)
		return e;
	why->text[0] = '\0';
	return write_here(command, row, in, out, why);
}

static enum err
write_in_turn(struct command *command, unsigned type, const void *in, void *out,
	      struct why *why)
{
	int64_t until_ms = clock_mono_ms() + LEASE_WAIT_MS;
	const struct worker_row *row = row_of(type);
	enum err e = schema_check(msg_schema(type), in, why);
	struct client_wait wait = {.fd = -1};
	bool is_waiting = true;

	if (e != ERR_OK)
		return e;
	if (row == NULL)
		return ERR_INTERNAL;
	e = try_write(command, row, in, out, why);
	if (e != ERR_STORE_LOCKED)
		return e;
	e = client_wait_open(&wait, &command->conf, why);
	if (e != ERR_OK)
		return e;
	for (;;) { /* the last one behind the deadline */
		e = try_write(command, row, in, out, why);
		if (e != ERR_STORE_LOCKED || !is_waiting)
			break;
		is_waiting = client_wait_for(&wait, until_ms);
	}
	client_wait_close(&wait);
	if (e == ERR_STORE_LOCKED)
		why_set(why, e,
			"another process holds the writer's lease and does "
			"not answer: see `chatello status`");
	return e;
}

enum err
client_write(struct command *command, unsigned type, const void *in, void *out,
	     struct why *why)
{
	enum err e = write_in_turn(command, type, in, out, why);

	if (e == ERR_BAD_FIELD)
		command->is_bad_usage = true;
	return e;
}
