/*
 * pool_test: a worker process as a whole: pool_main with a small worker of its
 * own in a child, asked over a real bus as edge-0 and by the tools' way.
 */
#include "workers/pool_internal.h"

#include "lib/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- a worker ------------------------------------------------------------- */

/* What a turn has done; it is told by the answers of its own turn's end. */
struct small {
	struct pool *pool;
	struct bus_from *later;
	struct loop_timer timer;
	unsigned turns_begun;
	unsigned turns_ended;
	enum err turn_end; /* of the turn at hand */
};

static enum err
small_open(struct pool *pool, void **state, struct why *why)
{
	struct small *small = calloc(1, sizeof(*small));

	if (getenv("SMALL_FAILS"))
		return why_set(why, ERR_CONFIG, "this worker never starts");
	small->pool = pool;
	*state = small;
	return ERR_OK;
}

static void
small_close(void *state)
{
	free(state);
}

static enum err
small_turn_begin(void *state)
{
	struct small *small = state;

	small->turns_begun++;
	small->turn_end = ERR_OK;
	return ERR_OK;
}

static enum err
small_turn_end(void *state)
{
	struct small *small = state;

	small->turns_ended++;
	return small->turn_end;
}

static void
answer_later(void *ctx)
{
	struct small *small = ctx;
	struct activation_answer body;
	struct buf out;

	schema_clear(&activation_answer_schema, &body);
	body.domain = STR("later");
	buf_init(&out, 4096);
	schema_encode(&activation_answer_schema, &body, &out);
	bus_answer(pool_bus(small->pool), small->later, ERR_OK, buf_str(&out));
	buf_fini(&out);
}

/* The domain says what is to happen; activations = turns begun and not yet
 * ended. */
static enum err
small_handle(struct context *context, const void *in, void *out)
{
	struct small *small = context->state;
	const struct activate *question = in;
	struct activation_answer *answer = out;

	if (str_eq(question->domain, STR("fail"))) {
		context->failure.message = STR("as it was asked to");
		context->failure.retry_after_ms = 77;
		return ERR_LIMIT_REACHED;
	}
	if (str_eq(question->domain, STR("fail turn")))
		small->turn_end = ERR_STORE_FULL;
	if (str_eq(question->domain, STR("lose turn")))
		small->turn_end = ERR_COMMIT_UNKNOWN;
	if (str_eq(question->domain, STR("later"))) {
		small->later = context->from;
		loop_timer_set(pool_loop(small->pool), &small->timer, 1,
			       answer_later, small);
		return ERR_AGAIN;
	}
	answer->domain = question->domain;
	answer->activations = small->turns_begun - small->turns_ended;
	answer->limit = str_eq(question->domain, STR("turns"))
			    ? small->turns_ended
			    : context->now_ms;
	return ERR_OK;
}

#define TURN_ANSWERS 4

static const struct worker_row small_rows[] = {
    {&activate_schema, &activation_answer_schema, small_handle},
};

static const struct worker small_worker = {
    .kind = "small",
    .asked_by = ASKED_BY_EDGES | ASKED_BY_TOOLS,
    .rows = small_rows,
    .row_count = 1,
    .open = small_open,
    .close = small_close,
    .turn_begin = small_turn_begin,
    .turn_end = small_turn_end,
    .turn_answers = TURN_ANSWERS,
};

/* --- a house -------------------------------------------------------------- */

static pid_t
worker_start(void)
{
	static char name[] = "chatello-small";
	char *argv[] = {name, NULL};
	pid_t pid = fork();

	if (pid == 0)
		_exit(pool_main(&small_worker, 1, argv));
	CHECK(pid > 0);
	return pid;
}

static int
worker_wait(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

struct asker {
	struct loop *loop;
	struct bus *bus;
	struct bus_pool *pool;
	pid_t worker;
	struct arena arena; /* of all answers */
};

struct got {
	bool is_there;
	enum err err;
	struct arena *arena;
	struct activation_answer answer;
	struct failure failure;
};

static void
house_open(struct asker *asker)
{
	struct bus_peer_state state = {.is_alive = false};
	struct why why = {"", ""};

	setenv("CHATELLO_DATA", ".", 1);
	setenv("CHATELLO_LOG_LEVEL", "error", 1);
	CHECK(mkdir("run", 0750) == 0);
	arena_init(&asker->arena, 1 << 20);
	asker->worker = worker_start(); /* before this process has threads */
	CHECK_OK(loop_open(&asker->loop));
	CHECK_OK(bus_open(&asker->bus, asker->loop, "run", "edge-0", &why));
	CHECK_OK(bus_pool_open(asker->bus, "small", 1, 2, &asker->pool));
	while (!state.is_alive) {
		CHECK_OK(loop_turn(asker->loop, 100));
		bus_pool_state(asker->pool, 0, &state);
	}
}

static void
house_close(struct asker *asker)
{
	bus_close(asker->bus);
	loop_close(asker->loop);
	arena_fini(&asker->arena);
}

static void
on_answer(void *ctx, const struct bus_answer *answer)
{
	struct got *got = ctx;
	struct str body;

	body = arena_str(got->arena, answer->body);
	got->is_there = true;
	got->err = answer->err;
	CHECK(answer->is_last);
	if (answer->err == ERR_OK)
		CHECK_OK(schema_decode(&activation_answer_schema, body,
				       &got->answer, got->arena, NULL));
	else if (body.n)
		CHECK_OK(schema_decode(&failure_schema, body, &got->failure,
				       got->arena, NULL));
}

static void
ask_bytes(struct asker *asker, unsigned type, struct str body, struct got *got)
{
	struct bus_ask ask = {.type = (uint16_t)type,
			      .deadline_ms = 5000,
			      .body = body,
			      .fn = on_answer,
			      .ctx = got};
	uint64_t id;

	*got = (struct got){.arena = &asker->arena};
	CHECK_OK(bus_ask(asker->pool, &ask, &id));
}

static void
ask(struct asker *asker, const char *domain, struct got *got)
{
	struct activate question = {STR("K"), str_of(domain)};
	struct buf body;

	buf_init(&body, 4096);
	schema_encode(&activate_schema, &question, &body);
	ask_bytes(asker, MSG_activate, buf_str(&body), got);
	buf_fini(&body);
}

static void
await(struct asker *asker, const struct got *got)
{
	while (!got->is_there)
		CHECK_OK(loop_turn(asker->loop, 100));
}

/* --- tests ---------------------------------------------------------------- */

TEST(pool_answers)
{
	struct asker asker;
	struct got got, other;

	house_open(&asker);
	ask(&asker, "hello", &got);
	await(&asker, &got);
	CHECK_OK(got.err);
	CHECK_STR(got.answer.domain, STR("hello"));
	CHECK_INT(got.answer.activations, 1); /* inside one turn */
	CHECK(got.answer.limit > INT64_C(1700000000000));
	ask(&asker, "fail", &got);
	await(&asker, &got);
	CHECK_ERR(got.err, ERR_LIMIT_REACHED);
	CHECK_STR(got.failure.message, STR("as it was asked to"));
	CHECK_INT(got.failure.retry_after_ms, 77);
	/* An answer that comes later, and one that does not wait for it. */
	ask(&asker, "later", &got);
	ask(&asker, "now", &other);
	await(&asker, &got);
	await(&asker, &other);
	CHECK_STR(got.answer.domain, STR("later"));
	CHECK_STR(other.answer.domain, STR("now"));
	CHECK(kill(asker.worker, SIGTERM) == 0);
	CHECK_INT(worker_wait(asker.worker), 0);
	house_close(&asker);
}

/* A batch of more answers than a turn has is more than one turn. */
TEST(pool_ends_a_turn_with_as_many_answers_as_its_worker_wants)
{
	enum { COUNT = 2 * TURN_ANSWERS + 2 };
	struct got got[COUNT];
	struct asker asker;

	house_open(&asker);
	for (int i = 0; i < COUNT; i++)
		ask(&asker, "turns", &got[i]);
	for (int i = 0; i < COUNT; i++) {
		await(&asker, &got[i]);
		CHECK_OK(got[i].err);
		CHECK_INT(got[i].answer.activations, 1);
		CHECK_INT(got[i].answer.limit - got[0].answer.limit,
			  i / TURN_ANSWERS);
	}
	CHECK(kill(asker.worker, SIGTERM) == 0);
	CHECK_INT(worker_wait(asker.worker), 0);
	house_close(&asker);
}

TEST(pool_fails_all_of_a_turn_that_was_not_committed)
{
	struct got got, with;
	struct asker asker;

	house_open(&asker);
	ask(&asker, "fail turn", &got);
	ask(&asker, "innocent", &with); /* in the same batch, so turn */
	await(&asker, &got);
	await(&asker, &with);
	CHECK_ERR(got.err, ERR_STORE_FULL);
	CHECK_ERR(with.err, ERR_STORE_FULL);
	CHECK_STR(with.failure.message, str_of(err_text(ERR_STORE_FULL)));
	ask(&asker, "again", &got);
	await(&asker, &got);
	CHECK_OK(got.err);
	CHECK(kill(asker.worker, SIGTERM) == 0);
	CHECK_INT(worker_wait(asker.worker), 0);
	house_close(&asker);
}

TEST(pool_ends_when_a_commit_is_unknown)
{
	struct asker asker;
	struct got got;

	house_open(&asker);
	ask(&asker, "lose turn", &got);
	await(&asker, &got);
	CHECK(got.err != ERR_OK);
	CHECK_INT(worker_wait(asker.worker), 1);
	house_close(&asker);
}

TEST(pool_refuses_what_it_cannot_decode)
{
	struct asker asker;
	struct got got;

	house_open(&asker);
	ask_bytes(&asker, MSG_activate, STR("\xc1"), &got);
	await(&asker, &got);
	CHECK_ERR(got.err, ERR_MALFORMED);
	ask_bytes(&asker, MSG_activate,
		  STR("\x92\xa1K\xa1"
		      "d\x00"),
		  &got);
	await(&asker, &got);
	CHECK_ERR(got.err, ERR_MALFORMED);
	ask_bytes(&asker, MSG_deactivate, STR("\x90"), &got);
	await(&asker, &got);
	CHECK_ERR(got.err, ERR_MALFORMED);
	ask_bytes(&asker, 60000, STR(""), &got);
	await(&asker, &got);
	CHECK_ERR(got.err, ERR_MALFORMED);
	ask(&asker, "still there", &got);
	await(&asker, &got);
	CHECK_OK(got.err);
	CHECK(kill(asker.worker, SIGTERM) == 0);
	CHECK_INT(worker_wait(asker.worker), 0);
	house_close(&asker);
}

TEST(pool_answers_tools_and_metrics)
{
	struct metrics_answer metrics;
	struct asker asker;
	struct arena arena;
	struct buf answer;
	struct why why = {"", ""};
	enum err answer_err;

	house_open(&asker);
	arena_init(&arena, 1 << 20);
	buf_init(&answer, 1 << 20);
	CHECK_OK(bus_tool_call("run", "small-0", MSG_metrics_ask, STR("\x90"),
			       5000, &answer_err, &answer, &why));
	CHECK_OK(answer_err);
	CHECK_OK(schema_decode(&metrics_answer_schema, buf_str(&answer),
			       &metrics, &arena, NULL));
	CHECK(memmem(metrics.text.p, metrics.text.n, "process=\"small-0\"",
		     17) != NULL);
	CHECK(memmem(metrics.text.p, metrics.text.n,
		     "process_resident_memory_bytes", 29) != NULL);
	buf_fini(&answer);
	arena_fini(&arena);
	CHECK(kill(asker.worker, SIGTERM) == 0);
	CHECK_INT(worker_wait(asker.worker), 0);
	house_close(&asker);
}

/* A process that waits for its gate to open: forked while there is one thread,
 * as every process of a house is. */
struct starter {
	pid_t pid;
	int gate;
	int said;
};

static struct starter
starter_fork(char *flag)
{
	static char name[] = "chatello-small";
	char *argv[] = {name, flag, NULL};
	int gate[2], said[2], code;
	char opened;
	pid_t pid;

	CHECK(pipe(gate) == 0 && pipe(said) == 0);
	pid = fork();
	if (pid == 0) {
		dup2(said[1], STDERR_FILENO);
		dup2(said[1], STDOUT_FILENO);
		close(said[0]);
		close(gate[1]);
		if (read(gate[0], &opened, 1) != 1)
			_exit(99);
		code = pool_main(&small_worker, flag ? 2 : 1, argv);
		fflush(stdout);
		_exit(code);
	}
	close(said[1]);
	close(gate[0]);
	return (struct starter){pid, gate[1], said[0]};
}

/* Its exit code; what it says is in out. */
static int
starter_run(struct starter *starter, char *out, size_t out_bytes)
{
	size_t n = 0;
	ssize_t got;

	CHECK(write(starter->gate, "", 1) == 1);
	close(starter->gate);
	while ((got = read(starter->said, out + n, out_bytes - n - 1)) > 0)
		n += (size_t)got;
	out[n] = '\0';
	close(starter->said);
	return worker_wait(starter->pid);
}

static int
start_with(char *flag, char *out, size_t out_bytes)
{
	struct starter starter = starter_fork(flag);

	return starter_run(&starter, out, out_bytes);
}

TEST(pool_says_in_one_line_why_it_does_not_start)
{
	static char unknown[] = "--no-such-thing", help[] = "--help";
	char out[16384];

	setenv("CHATELLO_DATA", ".", 1);
	CHECK_INT(start_with(NULL, out, sizeof(out)), 1); /* no run folder */
	CHECK(strncmp(out, "chatello-small: ", 16) == 0);
	CHECK(strchr(out, '\n') == out + strlen(out) - 1);
	CHECK(mkdir("run", 0750) == 0);
	setenv("SMALL_FAILS", "1", 1);
	CHECK_INT(start_with(NULL, out, sizeof(out)), 1);
	CHECK(strcmp(out, "chatello-small: this worker never starts\n") == 0);
	CHECK_INT(start_with(unknown, out, sizeof(out)), 2);
	CHECK(strstr(out, "--no-such-thing") != NULL);
	CHECK_INT(start_with(help, out, sizeof(out)), 0);
	CHECK(strstr(out, "--drain-ms") != NULL);
	setenv("CHATELLO_LOG_LEVEL", "loud", 1);
	CHECK_INT(start_with(NULL, out, sizeof(out)), 2);
	CHECK(strstr(out, "log_level") != NULL);
}

TEST(pool_has_one_process_of_a_name)
{
	struct starter second = starter_fork(NULL);
	struct asker asker;
	char out[4096];

	house_open(&asker);
	CHECK_INT(starter_run(&second, out, sizeof(out)), 1);
	CHECK(strstr(out, "small-0") != NULL);
	CHECK(kill(asker.worker, SIGTERM) == 0);
	CHECK_INT(worker_wait(asker.worker), 0);
	house_close(&asker);
}

/* --- rest ----------------------------------------------------------------- */

static unsigned rests;

static enum err
count_rest(void *state)
{
	enum err *e = state;

	rests++;
	return *e;
}

static const struct worker restful_worker = {.kind = "restful",
					     .rest = count_rest};

static void
turn(struct pool *pool)
{
	CHECK_OK(pool_turn(pool, NULL, NULL));
	pool_turn_finish(pool);
}

/* Looks are a second apart. */
TEST(pool_rests_once_when_nothing_was_done_between_two_looks)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	enum err e = ERR_OK;

	CHECK(pool);
	pool->worker = &restful_worker;
	pool->state = &e;
	for (int i = 0; i < 3; i++) {
		turn(pool);
		pool_rest_look(pool);
		CHECK_INT(rests, 0);
	}
	for (int i = 0; i < 3; i++) {
		pool_rest_look(pool);
		CHECK_INT(rests, 1);
	}
	CHECK_OK(pool_turn(pool, NULL, NULL));
	pool_rest_look(pool); /* in the middle of a turn */
	pool_turn_finish(pool);
	CHECK_INT(rests, 1);
	pool_rest_look(pool);
	CHECK_INT(rests, 2);
	pool_worked(pool);
	pool_rest_look(pool);
	CHECK_INT(rests, 2);
	pool_rest_look(pool);
	pool_rest_look(pool);
	CHECK_INT(rests, 3);
	free(pool);
}

TEST(pool_ends_when_its_worker_cannot_go_on_behind_a_rest)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	enum err e = ERR_NO_MEMORY;
	pid_t pid;

	CHECK(pool);
	pool->worker = &restful_worker;
	pool->state = &e;
	pid = fork();
	if (pid == 0) {
		pool_rest_look(pool);
		_exit(7);
	}
	CHECK_INT(worker_wait(pid), 1);
	free(pool);
}
