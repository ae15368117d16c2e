/*
 * bus: two or more buses on one loop in one process, or in forked ones where a
 * process has to die or stop. Children are forked before any bus is opened.
 */
#include "lib/bus_internal.h"

#include "lib/clock.h"
#include "lib/id.h"
#include "lib/test.h"

#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ECHO 10	  /* answers its body */
#define REFUSE 11 /* answers ERR_EXPIRED and its body */
#define HOLD 12	  /* keeps the question */
#define COUNT 13  /* streams numbers until credit is out */
#define HELD_MAX 512

static struct loop *loop;

/* Turns the loop until expr holds. */
#define UNTIL(expr)                                                            \
	do {                                                                   \
		int64_t end_ms_ = clock_mono_ms() + 10000;                     \
		while (!(expr)) {                                              \
			if (clock_mono_ms() > end_ms_)                         \
				test_fail(__FILE__, __LINE__, "never: %s",     \
					  #expr);                              \
			CHECK_OK(loop_turn(loop, 50));                         \
		}                                                              \
	} while (0)

/* --- a worker --------------------------------------------------------------
 */

struct worker {
	struct bus *bus;
	unsigned asked;
	unsigned cancelled;
	unsigned credited;
	struct bus_from *held[HELD_MAX];
	unsigned held_count;
	char peer[BUS_NAME_BYTES];
	uint64_t peer_incarnation;
	int64_t left_ms;
	uint16_t parts;
};

static void
on_request(void *ctx, const struct bus_request *request)
{
	struct worker *worker = ctx;

	worker->asked++;
	worker->peer_incarnation = request->peer_incarnation;
	worker->left_ms = request->deadline_ns / 1000000 - loop_now_ms(loop);
	snprintf(worker->peer, sizeof(worker->peer), "%s", request->peer);
	CHECK(bus_from_state(request->from) == NULL);
	switch (request->type) {
	case ECHO:
		bus_answer(worker->bus, request->from, ERR_OK, request->body);
		break;
	case REFUSE:
		bus_answer(worker->bus, request->from, ERR_EXPIRED,
			   request->body);
		break;
	default:
		CHECK(worker->held_count < HELD_MAX);
		worker->held[worker->held_count++] = request->from;
		bus_from_set(request->from, worker);
		break;
	}
}

static void
on_cancelled(void *ctx, struct bus_from *from)
{
	struct worker *worker = ctx;

	CHECK(bus_from_state(from) == worker);
	worker->cancelled++;
}

static void
on_credit(void *ctx, struct bus_from *from)
{
	struct worker *worker = ctx;

	CHECK(bus_from_credit(from) > 0);
	worker->credited++;
}

static void
worker_open(struct worker *worker, const char *name)
{
	struct why why = {0};

	*worker = (struct worker){0};
	if (bus_open(&worker->bus, loop, "run", name, &why) != ERR_OK)
		test_fail(__FILE__, __LINE__, "%s", why.text);
	CHECK_OK(bus_serve_kind(worker->bus, "edge", 1));
	bus_serve(worker->bus, on_request, on_cancelled, on_credit, worker);
}

/* --- an asker --------------------------------------------------------------
 */

struct answers {
	unsigned lasts;
	unsigned parts;
	unsigned errs[ERR_COUNT];
	size_t bytes;
	char body[256]; /* of the newest */
};

static void
on_answer(void *ctx, const struct bus_answer *answer)
{
	struct answers *answers = ctx;

	*(answer->is_last ? &answers->lasts : &answers->parts) += 1;
	answers->errs[answer->err]++;
	answers->bytes += answer->body.n;
	snprintf(answers->body, sizeof(answers->body), "%.*s",
		 STR_ARG(answer->body));
}

struct asker {
	struct bus *bus;
	struct bus_pool *pool;
};

static struct bus_ask
question(uint16_t type, struct str body, struct answers *answers)
{
	return (struct bus_ask){.type = type,
				.deadline_ms = 8000,
				.body = body,
				.fn = on_answer,
				.ctx = answers};
}

static bool
is_alive(const struct asker *asker, unsigned index)
{
	struct bus_peer_state state;

	bus_pool_state(asker->pool, index, &state);
	return state.is_alive;
}

static unsigned
in_flight(const struct asker *asker, unsigned index)
{
	struct bus_peer_state state;

	bus_pool_state(asker->pool, index, &state);
	return state.in_flight;
}

static void
asker_open(struct asker *asker, unsigned count, unsigned window_batches)
{
	struct why why = {0};

	if (bus_open(&asker->bus, loop, "run", "edge-0", &why) != ERR_OK)
		test_fail(__FILE__, __LINE__, "%s", why.text);
	CHECK_OK(bus_pool_open(asker->bus, "work", count, window_batches,
			       &asker->pool));
	CHECK_INT(bus_pool_size(asker->pool), count);
}

static uint64_t
ask(struct asker *asker, const struct bus_ask *ask)
{
	uint64_t id = 0;

	CHECK_OK(bus_ask(asker->pool, ask, &id));
	CHECK(id != 0);
	return id;
}

static void
make_loop(void)
{
	mkdir("run", 0750);
	CHECK_OK(loop_open(&loop));
}

/* One asker and one worker that hear each other. */
static void
pair_open(struct asker *asker, struct worker *worker, unsigned window_batches)
{
	make_loop();
	worker_open(worker, "work-0");
	asker_open(asker, 1, window_batches);
	UNTIL(is_alive(asker, 0));
}

static void
pair_close(struct asker *asker, struct worker *worker)
{
	bus_close(asker->bus);
	bus_close(worker->bus);
	loop_close(loop);
}

/* --- asking and answering --------------------------------------------------
 */

TEST(bus_answers_come_back_with_err_and_body)
{
	struct answers answers = {0}, refused = {0};
	struct worker worker;
	struct asker asker;
	struct bus_ask one;

	pair_open(&asker, &worker, 1);
	one = question(ECHO, STR("hello"), &answers);
	ask(&asker, &one);
	CHECK_INT(answers.lasts, 0); /* never before bus_ask returns */
	UNTIL(answers.lasts == 1);
	CHECK_STR(str_of(answers.body), STR("hello"));
	CHECK_INT(answers.errs[ERR_OK], 1);
	CHECK_STR(str_of(worker.peer), STR("edge-0"));
	CHECK(worker.peer_incarnation == bus_incarnation(asker.bus));
	CHECK(worker.left_ms > 7000 && worker.left_ms <= 8000);
	one = question(REFUSE, STR("why"), &refused);
	ask(&asker, &one);
	UNTIL(refused.lasts == 1);
	CHECK_INT(refused.errs[ERR_EXPIRED], 1);
	CHECK_STR(str_of(refused.body), STR("why"));
	CHECK_INT(answers.lasts, 1);
	CHECK_INT(in_flight(&asker, 0), 0);
	CHECK_INT(bus_dropped(asker.bus) + bus_dropped(worker.bus), 0);
	pair_close(&asker, &worker);
}

TEST(bus_thousands_at_once_each_get_their_own_answer)
{
	enum { MANY = 5000 };
	static struct answers answers[MANY];
	struct worker worker;
	struct asker asker;
	unsigned done = 0;

	pair_open(&asker, &worker, 1);
	for (unsigned i = 0; i < MANY; i++) {
		char text[16];
		struct bus_ask one;

		snprintf(text, sizeof(text), "%u", i);
		one = question(ECHO, str_of(text), &answers[i]);
		ask(&asker, &one);
	}
	CHECK_INT(in_flight(&asker, 0), MANY);
	while (done < MANY) {
		UNTIL(answers[done].lasts == 1);
		CHECK_INT(atoi(answers[done].body), done);
		done++;
	}
	CHECK_INT(worker.asked, MANY);
	pair_close(&asker, &worker);
}

TEST(bus_window_holds_back_what_has_not_left)
{
	struct answers answers = {0};
	struct worker worker;
	struct asker asker;
	struct bus_ask one;

	pair_open(&asker, &worker, 1);
	one = question(HOLD, STR("x"), &answers);
	ask(&asker, &one);
	UNTIL(worker.asked == 1);
	for (unsigned i = 0; i < 3; i++) {
		ask(&asker, &one);
		CHECK_OK(loop_turn(loop, 5));
	}
	CHECK_OK(loop_turn(loop, 50));
	CHECK_INT(worker.asked, 1); /* three gather behind the first batch */
	bus_answer(worker.bus, worker.held[0], ERR_OK, STR("done"));
	UNTIL(worker.asked == 4);
	CHECK_INT(answers.lasts, 1);
	for (unsigned i = 1; i < 4; i++)
		bus_answer(worker.bus, worker.held[i], ERR_OK, STR("done"));
	UNTIL(answers.lasts == 4);
	pair_close(&asker, &worker);
}

TEST(bus_work_goes_to_the_least_busy_worker)
{
	struct answers answers = {0};
	struct worker workers[2];
	struct asker asker;
	struct bus_ask one = question(HOLD, STR("x"), &answers);
	uint64_t id;

	make_loop();
	worker_open(&workers[0], "work-0");
	worker_open(&workers[1], "work-1");
	asker_open(&asker, 2, 0);
	UNTIL(is_alive(&asker, 0) && is_alive(&asker, 1));
	CHECK_OK(bus_ask_peer(asker.pool, 1, &one, &id));
	CHECK_OK(bus_ask_peer(asker.pool, 1, &one, &id));
	ask(&asker, &one);
	ask(&asker, &one);
	CHECK_INT(in_flight(&asker, 0), 2);
	CHECK_INT(in_flight(&asker, 1), 2);
	ask(&asker, &one);
	ask(&asker, &one);
	CHECK_INT(in_flight(&asker, 0), 3);
	UNTIL(workers[0].asked == 3 && workers[1].asked == 3);
	bus_close(workers[1].bus);
	bus_close(workers[0].bus);
	bus_close(asker.bus);
	loop_close(loop);
}

TEST(bus_limits_are_kept)
{
	struct answers answers = {0};
	struct worker worker;
	struct asker asker;
	struct bus_ask one;
	uint64_t id = 0;
	char *big = calloc(1, BUS_BATCH_BYTES_MAX);

	pair_open(&asker, &worker, 1);
	one = question(HOLD, str_bytes(big, BUS_BATCH_BYTES_MAX), &answers);
	CHECK_ERR(bus_ask(asker.pool, &one, &id), ERR_TOO_LARGE);
	one.body.n = WIRE_BODY_BYTES_MAX;
	CHECK_OK(bus_ask(asker.pool, &one, &id));
	UNTIL(worker.asked == 1); /* the largest body arrives */
	one.body.n = 12u << 20;
	for (unsigned i = 0; i < 5; i++)
		CHECK_OK(bus_ask(asker.pool, &one, &id));
	CHECK_ERR(bus_ask(asker.pool, &one, &id), ERR_OVERLOADED);
	one.body.n = 0;
	for (unsigned i = 6; i < BUS_IN_FLIGHT_MAX; i++)
		CHECK_OK(bus_ask(asker.pool, &one, &id));
	CHECK_ERR(bus_ask(asker.pool, &one, &id), ERR_OVERLOADED);
	CHECK_INT(in_flight(&asker, 0), BUS_IN_FLIGHT_MAX);
	bus_cancel(asker.bus, id);
	CHECK_OK(bus_ask(asker.pool, &one, &id));
	CHECK_INT(answers.lasts, 0);
	/* An answer that is too large says so instead. */
	bus_answer(worker.bus, worker.held[0], ERR_OK,
		   str_bytes(big, BUS_BATCH_BYTES_MAX));
	worker.held_count = 0;
	UNTIL(answers.lasts == 1);
	CHECK_INT(answers.errs[ERR_TOO_LARGE], 1);
	pair_close(&asker, &worker);
	free(big);
}

TEST(bus_deadline_and_cancel_reach_the_worker)
{
	struct answers answers = {0}, cancelled = {0};
	struct worker worker;
	struct asker asker;
	struct bus_ask one;
	int64_t began_ms;
	uint64_t id;

	pair_open(&asker, &worker, 1);
	one = question(HOLD, STR("x"), &answers);
	one.deadline_ms = 60;
	began_ms = clock_mono_ms();
	ask(&asker, &one);
	UNTIL(answers.lasts == 1);
	CHECK(clock_mono_ms() - began_ms >= 60);
	CHECK_INT(answers.errs[ERR_DEADLINE], 1);
	UNTIL(worker.cancelled == 1);
	one = question(HOLD, STR("x"), &cancelled);
	id = ask(&asker, &one);
	UNTIL(worker.asked == 2);
	bus_cancel(asker.bus, id);
	bus_cancel(asker.bus, id); /* again: nothing */
	UNTIL(worker.cancelled == 2);
	/* Answered late: goes nowhere. */
	bus_answer(worker.bus, worker.held[0], ERR_OK, STR("late"));
	bus_answer(worker.bus, worker.held[1], ERR_OK, STR("late"));
	/* A cancel that overtakes nothing: both leave together. */
	id = ask(&asker, &one);
	bus_cancel(asker.bus, id);
	UNTIL(worker.cancelled == 3);
	CHECK_INT(worker.asked, 3);
	one = question(ECHO, STR("still here"), &answers);
	ask(&asker, &one);
	UNTIL(answers.lasts == 2);
	CHECK_STR(str_of(answers.body), STR("still here"));
	CHECK_INT(cancelled.lasts + cancelled.parts, 0);
	pair_close(&asker, &worker);
}

/* --- streams ---------------------------------------------------------------
 */

TEST(bus_stream_comes_in_order_and_pauses_without_credit)
{
	static char chunk[40000];
	struct answers answers = {0};
	struct worker worker;
	struct asker asker;
	struct bus_ask one;
	int64_t left = BUS_STREAM_CREDIT_BYTES;
	unsigned sent = 0;
	uint64_t id;

	pair_open(&asker, &worker, 1);
	one = question(COUNT, STR(""), &answers);
	id = ask(&asker, &one);
	UNTIL(worker.asked == 1);
	CHECK_INT(bus_from_credit(worker.held[0]), left);
	while (left > 0) {
		snprintf(chunk, sizeof(chunk), "%u", sent++);
		left = bus_answer_part(worker.bus, worker.held[0],
				       str_bytes(chunk, sizeof(chunk)));
		CHECK_INT(left, BUS_STREAM_CREDIT_BYTES -
				    (int64_t)(sent * sizeof(chunk)));
	}
	CHECK_INT(sent, 7);
	UNTIL(answers.parts == sent);
	CHECK_INT(answers.bytes, sent * sizeof(chunk));
	CHECK_INT(atoi(answers.body), sent - 1);
	CHECK_INT(worker.credited, 0);
	bus_credit(asker.bus, id, 1000); /* too little to be told */
	CHECK_OK(loop_turn(loop, 10));
	CHECK_INT(worker.credited, 0);
	bus_credit(asker.bus, id, answers.bytes - 1000);
	UNTIL(worker.credited == 1);
	CHECK_INT(bus_from_credit(worker.held[0]),
		  BUS_STREAM_CREDIT_BYTES -
		      (answers.bytes - BUS_STREAM_CREDIT_BYTES));
	bus_answer_part(worker.bus, worker.held[0], STR("tail"));
	bus_answer(worker.bus, worker.held[0], ERR_OK, STR("end"));
	UNTIL(answers.lasts == 1);
	CHECK_INT(answers.parts, sent + 1);
	CHECK_STR(str_of(answers.body), STR("end"));
	bus_credit(asker.bus, id, 100000); /* over: nothing */
	pair_close(&asker, &worker);
}

TEST(bus_stream_with_a_gap_is_lost_not_shortened)
{
	struct answers answers = {0};
	struct worker worker;
	struct asker asker;
	struct bus_ask one;
	char *big = calloc(1, BUS_BATCH_BYTES_MAX);

	pair_open(&asker, &worker, 1);
	one = question(COUNT, STR(""), &answers);
	one.is_repeatable = true;
	ask(&asker, &one);
	UNTIL(worker.asked == 1);
	bus_answer_part(worker.bus, worker.held[0], STR("one"));
	bus_answer_part(worker.bus, worker.held[0],
			str_bytes(big, BUS_BATCH_BYTES_MAX)); /* does not fit */
	bus_answer(worker.bus, worker.held[0], ERR_OK, STR("end"));
	UNTIL(answers.lasts == 1);
	CHECK_INT(answers.parts, 1);
	CHECK_INT(answers.errs[ERR_WORKER_LOST], 1);
	CHECK_INT(worker.asked, 1);
	CHECK_INT(bus_dropped(asker.bus), 1);
	pair_close(&asker, &worker);
	free(big);
}

TEST(bus_stream_that_nobody_reads_is_cancelled)
{
	struct answers answers = {0};
	struct worker worker;
	struct asker asker;
	struct bus_ask one;
	struct wire_frame frame;

	pair_open(&asker, &worker, 1);
	one = question(COUNT, STR(""), &answers);
	ask(&asker, &one);
	UNTIL(worker.asked == 1);
	/* As if the asker had forgotten it without a word. */
	frame = (struct wire_frame){.kind = WIRE_ANSWER, .id = 0};
	frame.id = worker.held[0]->id;
	question_answer(asker.bus->peers[0], &frame);
	CHECK_INT(answers.lasts, 1);
	bus_answer_part(worker.bus, worker.held[0], STR("one"));
	UNTIL(worker.cancelled == 1);
	CHECK_INT(answers.parts, 0);
	bus_answer(worker.bus, worker.held[0], ERR_OK, STR(""));
	pair_close(&asker, &worker);
}

/* --- peers that come and go ------------------------------------------------
 */

struct peers_seen {
	unsigned came;
	unsigned went;
	struct bus_peer_state last;
};

static void
on_peer(void *ctx, const struct bus_peer_state *state)
{
	struct peers_seen *seen = ctx;

	*(state->is_alive ? &seen->came : &seen->went) += 1;
	seen->last = *state;
}

TEST(bus_nobody_alive_is_said_at_once)
{
	struct answers answers = {0};
	struct asker asker;
	struct bus_ask one = question(ECHO, STR("x"), &answers);
	uint64_t id = 0;

	make_loop();
	asker_open(&asker, 2, 1);
	CHECK_ERR(bus_ask(asker.pool, &one, &id), ERR_UNAVAILABLE);
	CHECK_ERR(bus_ask_peer(asker.pool, 1, &one, &id), ERR_UNAVAILABLE);
	CHECK_INT(id, 0);
	bus_close(asker.bus);
	loop_close(loop);
}

TEST(bus_restarted_worker_fails_writes_and_gets_reads_again)
{
	struct answers write = {0}, read = {0};
	struct peers_seen seen = {0};
	struct worker worker;
	struct asker asker;
	struct bus_ask one;
	int64_t began_ms;

	pair_open(&asker, &worker, 0);
	bus_on_peer(asker.bus, on_peer, &seen);
	one = question(HOLD, STR("write"), &write);
	ask(&asker, &one);
	one = question(HOLD, STR("read"), &read);
	one.is_repeatable = true;
	ask(&asker, &one);
	UNTIL(worker.asked == 2);
	bus_close(worker.bus);
	began_ms = clock_mono_ms();
	UNTIL(write.lasts == 1);
	CHECK(clock_mono_ms() - began_ms < 500); /* not by silence */
	CHECK_INT(write.errs[ERR_WORKER_LOST], 1);
	CHECK_INT(read.lasts, 0);
	CHECK_INT(seen.went, 1);
	CHECK(!is_alive(&asker, 0));
	worker_open(&worker, "work-0");
	UNTIL(worker.asked == 1);
	CHECK_INT(seen.came, 1);
	CHECK_STR(str_of(seen.last.name), STR("work-0"));
	CHECK(seen.last.incarnation == bus_incarnation(worker.bus));
	bus_answer(worker.bus, worker.held[0], ERR_OK, STR("second"));
	UNTIL(read.lasts == 1);
	CHECK_STR(str_of(read.body), STR("second"));
	CHECK_INT(write.lasts, 1);
	pair_close(&asker, &worker);
}

TEST(bus_read_is_asked_again_once_only_and_elsewhere)
{
	struct answers answers = {0};
	struct worker workers[2];
	struct asker asker;
	struct bus_ask one = question(HOLD, STR("read"), &answers);
	unsigned first;

	make_loop();
	worker_open(&workers[0], "work-0");
	worker_open(&workers[1], "work-1");
	asker_open(&asker, 2, 1);
	UNTIL(is_alive(&asker, 0) && is_alive(&asker, 1));
	one.is_repeatable = true;
	ask(&asker, &one);
	UNTIL(workers[0].asked + workers[1].asked == 1);
	first = workers[1].asked;
	bus_close(workers[first].bus);
	UNTIL(workers[!first].asked == 1);
	CHECK_INT(answers.lasts, 0);
	bus_close(workers[!first].bus);
	UNTIL(answers.lasts == 1);
	CHECK_INT(answers.errs[ERR_WORKER_LOST], 1);
	bus_close(asker.bus);
	loop_close(loop);
}

TEST(bus_parked_read_ends_at_its_deadline)
{
	struct answers answers = {0};
	struct worker worker;
	struct asker asker;
	struct bus_ask one;

	pair_open(&asker, &worker, 1);
	one = question(HOLD, STR("read"), &answers);
	one.is_repeatable = true;
	one.deadline_ms = 300;
	ask(&asker, &one);
	UNTIL(worker.asked == 1);
	bus_close(worker.bus);
	UNTIL(answers.lasts == 1);
	CHECK_INT(answers.errs[ERR_DEADLINE], 1);
	bus_close(asker.bus);
	loop_close(loop);
}

TEST(bus_worker_hears_that_its_asker_is_gone)
{
	struct answers answers = {0};
	struct peers_seen seen = {0};
	struct worker worker;
	struct asker asker;
	struct bus_ask one;
	uint64_t incarnation;

	pair_open(&asker, &worker, 1);
	bus_on_peer(worker.bus, on_peer, &seen);
	incarnation = bus_incarnation(asker.bus);
	one = question(HOLD, STR("x"), &answers);
	ask(&asker, &one);
	UNTIL(worker.asked == 1);
	bus_close(asker.bus);
	UNTIL(worker.cancelled == 1);
	CHECK(seen.last.incarnation == incarnation);
	CHECK(!seen.last.is_alive);
	asker_open(&asker, 1, 1);
	UNTIL(is_alive(&asker, 0));
	/* The old one's answer never reaches the new one. */
	bus_answer(worker.bus, worker.held[0], ERR_OK, STR("old"));
	one = question(ECHO, STR("new"), &answers);
	ask(&asker, &one);
	UNTIL(answers.lasts == 1);
	CHECK_STR(str_of(answers.body), STR("new"));
	UNTIL(seen.last.is_alive);
	CHECK(seen.last.incarnation == bus_incarnation(asker.bus));
	pair_close(&asker, &worker);
}

TEST(bus_answer_of_another_peer_is_not_taken)
{
	struct answers answers = {0};
	struct worker workers[2];
	struct asker asker;
	struct bus_ask one = question(HOLD, STR("x"), &answers);
	struct wire_frame frame;
	uint64_t id;

	make_loop();
	worker_open(&workers[0], "work-0");
	worker_open(&workers[1], "work-1");
	asker_open(&asker, 2, 1);
	UNTIL(is_alive(&asker, 0) && is_alive(&asker, 1));
	CHECK_OK(bus_ask_peer(asker.pool, 0, &one, &id));
	frame = (struct wire_frame){.kind = WIRE_ANSWER, .id = id};
	CHECK_OK(peer_put(workers[1].bus->peers[0], &frame));
	frame.id = id ^ BUS_IN_FLIGHT_MAX; /* that slot, another question */
	UNTIL(workers[0].asked == 1);
	CHECK_OK(peer_put(workers[0].bus->peers[0], &frame));
	for (unsigned i = 0; i < 10; i++)
		CHECK_OK(loop_turn(loop, 5));
	CHECK_INT(answers.lasts, 0);
	bus_answer(workers[0].bus, workers[0].held[0], ERR_OK, STR("mine"));
	UNTIL(answers.lasts == 1);
	CHECK_STR(str_of(answers.body), STR("mine"));
	bus_close(workers[0].bus);
	bus_close(workers[1].bus);
	bus_close(asker.bus);
	loop_close(loop);
}

/* --- other processes -------------------------------------------------------
 */

/* A worker in a process of its own; returns when it listens. life_ms: it dies
 * by a signal after that, 0 = not by itself. */
static pid_t
fork_worker_for(const char *name, unsigned life_ms)
{
	const struct itimerval life = {.it_value.tv_usec = life_ms * 1000};
	static struct worker worker;
	int ready[2];
	char byte = 'r';
	pid_t pid;

	CHECK_INT(pipe(ready), 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid > 0) {
		close(ready[1]);
		CHECK_INT(read(ready[0], &byte, 1), 1);
		close(ready[0]);
		return pid;
	}
	mkdir("run", 0750);
	CHECK_OK(loop_open(&loop));
	worker_open(&worker, name);
	CHECK_OK(bus_serve_tools(worker.bus, NULL));
	CHECK_INT(setitimer(ITIMER_REAL, &life, NULL), 0);
	CHECK_INT(write(ready[1], &byte, 1), 1);
	loop_run(loop);
	_exit(0);
}

static pid_t
fork_worker(const char *name)
{
	return fork_worker_for(name, 0);
}

static void
end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST(bus_stopped_worker_is_avoided_and_comes_back)
{
	pid_t pid = fork_worker("work-0");
	struct answers answers = {0};
	struct peers_seen seen = {0};
	struct asker asker;
	struct bus_ask one = question(ECHO, STR("x"), &answers);
	int64_t began_ms;
	uint64_t id;

	make_loop();
	asker_open(&asker, 1, 1);
	bus_on_peer(asker.bus, on_peer, &seen);
	UNTIL(is_alive(&asker, 0));
	kill(pid, SIGSTOP);
	began_ms = clock_mono_ms();
	ask(&asker, &one);
	UNTIL(answers.lasts == 1);
	CHECK_INT(answers.errs[ERR_WORKER_LOST], 1);
	CHECK(clock_mono_ms() - began_ms >= BUS_SILENT_MS - BUS_BEAT_MS);
	CHECK(clock_mono_ms() - began_ms < BUS_SILENT_MS + 500);
	CHECK_ERR(bus_ask(asker.pool, &one, &id), ERR_UNAVAILABLE);
	kill(pid, SIGCONT);
	UNTIL(is_alive(&asker, 0));
	CHECK_INT(seen.came, 2);
	CHECK_INT(seen.went, 1);
	ask(&asker, &one);
	UNTIL(answers.lasts == 2);
	CHECK_INT(answers.errs[ERR_OK], 1);
	bus_close(asker.bus);
	loop_close(loop);
	end_child(pid);
}

TEST(bus_killed_worker_is_noticed_at_once)
{
	pid_t pid = fork_worker("work-0");
	struct answers answers = {0};
	struct asker asker;
	struct bus_ask one = question(HOLD, STR("x"), &answers);
	int64_t began_ms;

	make_loop();
	asker_open(&asker, 1, 1);
	UNTIL(is_alive(&asker, 0));
	ask(&asker, &one);
	for (unsigned i = 0; i < 5; i++)
		CHECK_OK(loop_turn(loop, 5));
	end_child(pid);
	began_ms = clock_mono_ms();
	UNTIL(answers.lasts == 1);
	CHECK(clock_mono_ms() - began_ms < 500);
	CHECK_INT(answers.errs[ERR_WORKER_LOST], 1);
	bus_close(asker.bus);
	loop_close(loop);
}

TEST(bus_idle_peers_stay_alive_by_beats)
{
	struct worker worker;
	struct asker asker;
	int64_t end_ms;

	pair_open(&asker, &worker, 1);
	end_ms = clock_mono_ms() + 2 * BUS_SILENT_MS;
	while (clock_mono_ms() < end_ms) {
		CHECK_OK(loop_turn(loop, 100));
		CHECK(is_alive(&asker, 0));
	}
	pair_close(&asker, &worker);
}

TEST(bus_name_has_one_holder)
{
	struct why why = {0};
	struct worker worker;
	struct asker asker;
	struct answers answers = {0};
	struct bus_ask one = question(ECHO, STR("x"), &answers);
	struct bus *second = NULL;

	pair_open(&asker, &worker, 1);
	CHECK_ERR(bus_open(&second, loop, "run", "work-0", &why), ERR_EXISTS);
	CHECK(second == NULL);
	CHECK(strstr(why.text, "run/work-0.lock is held") != NULL);
	ask(&asker, &one); /* the first one has not been disturbed */
	UNTIL(answers.lasts == 1);
	CHECK_ERR(bus_open(&second, loop, "missing", "work-1", &why), ERR_IO);
	pair_close(&asker, &worker);
}

TEST(bus_run_folder_with_too_long_a_path_is_refused)
{
	char dir[200];
	struct why why = {0};
	struct bus *bus = NULL;

	make_loop();
	memset(dir, 'd', sizeof(dir) - 1);
	dir[sizeof(dir) - 1] = '\0';
	CHECK_ERR(bus_open(&bus, loop, dir, "work-0", &why), ERR_CONFIG);
	CHECK(strstr(why.text, "choose a shorter data folder") != NULL);
	dir[100] = '\0';
	CHECK_ERR(bus_open(&bus, loop, dir, "work-0", &why), ERR_CONFIG);
	CHECK(bus == NULL);
	loop_close(loop);
}

/* --- a hostile world -------------------------------------------------------
 */

/* A process that pushes the batches with nng itself. */
static pid_t
push_bytes(const char *url, const char *const *batches, const size_t *sizes,
	   unsigned count)
{
	nng_socket socket;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid > 0)
		return pid;
	CHECK_INT(nng_push0_open(&socket), 0);
	CHECK_INT(nng_dial(socket, url, NULL, 0), 0);
	for (unsigned i = 0; i < count; i++) {
		nng_msg *msg;

		CHECK_INT(nng_msg_alloc(&msg, sizes[i]), 0);
		memcpy(nng_msg_body(msg), batches[i], sizes[i]);
		CHECK_INT(nng_sendmsg(socket, msg, 0), 0);
	}
	pause();
	_exit(0);
}

/* A process that pulls one batch with nng itself; 0 = it is what we send. */
static pid_t
pull_one(const char *url)
{
	nng_socket socket;
	struct wire_head head;
	struct str frames;
	nng_msg *msg;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid > 0)
		return pid;
	CHECK_INT(nng_pull0_open(&socket), 0);
	CHECK_INT(nng_listen(socket, url, NULL, 0), 0);
	CHECK_INT(nng_recvmsg(socket, &msg, 0), 0);
	CHECK(wire_batch_read(str_bytes(nng_msg_body(msg), nng_msg_len(msg)),
			      &head, &frames));
	CHECK(strcmp(head.name, "edge-0") == 0 && frames.n > 0);
	_exit(0);
}

TEST(bus_outboxes_speak_to_nng)
{
	struct asker asker;
	int status = -1;
	pid_t pid;

	make_loop();
	pid = pull_one("ipc://run/work-0.sock");
	asker_open(&asker, 1, 1);
	UNTIL(waitpid(pid, &status, WNOHANG) == pid);
	CHECK_INT(status, 0);
	bus_close(asker.bus);
	loop_close(loop);
}

TEST(bus_drops_what_it_cannot_trust)
{
	char stranger[WIRE_HEAD_BYTES], stale[WIRE_HEAD_BYTES];
	const char *const batches[] = {"", "garbage", stranger, stale};
	const size_t sizes[] = {0, 7, WIRE_HEAD_BYTES, WIRE_HEAD_BYTES};
	struct answers answers = {0};
	struct worker worker;
	struct asker asker;
	struct bus_ask one;
	pid_t pid;

	pair_open(&asker, &worker, 1);
	wire_head_put(&(struct wire_head){1, 0, "mallory-0"}, stranger);
	wire_head_put(
	    &(struct wire_head){bus_incarnation(asker.bus), 99, "edge-0"},
	    stale);
	pid = push_bytes("ipc://run/work-0.sock", batches, sizes, 4);
	UNTIL(bus_dropped(worker.bus) == 4);
	end_child(pid);
	CHECK_INT(worker.asked, 0);
	one = question(ECHO, STR("x"), &answers);
	ask(&asker, &one);
	UNTIL(answers.lasts == 1);
	/* The asker serves nobody: a request to it is dropped as well. */
	CHECK_OK(peer_put(
	    worker.bus->peers[0],
	    &(struct wire_frame){.kind = WIRE_REQUEST, .extra = 9, .id = 9}));
	UNTIL(bus_dropped(asker.bus) == 1);
	pair_close(&asker, &worker);
}

/* Connects and sends the bytes; the descriptor. */
static int
send_raw(const char *path, const char *bytes, size_t n)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(to.sun_path, path, strlen(path));
	CHECK(fd >= 0);
	CHECK_INT(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	CHECK_INT(write(fd, bytes, n), (int64_t)n);
	return fd;
}

/* Whether the other end has closed it (it says 8 bytes of greeting before). */
static bool
is_closed(int fd)
{
	char junk[64];
	ssize_t n;

	while ((n = recv(fd, junk, sizeof(junk), MSG_DONTWAIT)) > 0)
		;
	return n == 0;
}

TEST(bus_inbox_closes_who_speaks_something_else)
{
	/* A wrong greeting, a PULL's, a head of another kind, one of a message
	 * that is too large. */
	static const struct {
		const char *bytes;
		size_t n;
	} rows[] = {
	    {"GET / HTTP/1.1\r\n\r\n", 18},
	    {"\0SP\0\0\x51\0\0", 8},
	    {"\0SP\0\0\x50\0\0\2\0\0\0\0\0\0\0\1x", 18},
	    {"\0SP\0\0\x50\0\0\1\0\0\0\0\1\0\0\1x", 18},
	};
	struct answers answers = {0};
	struct worker worker;
	struct asker asker;
	struct bus_ask one = question(ECHO, STR("x"), &answers);

	pair_open(&asker, &worker, 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = send_raw("run/work-0.sock", rows[i].bytes, rows[i].n);

		UNTIL(is_closed(fd));
		close(fd);
	}
	ask(&asker, &one);
	UNTIL(answers.lasts == 1);
	pair_close(&asker, &worker);
}

/* Whether the inbox has taken it: its greeting has come. */
static bool
is_greeted(int fd)
{
	char bytes[SP_GREETING_BYTES];

	return recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK) ==
	       sizeof(bytes);
}

/* Turns that so many milliseconds take; those of a loop that spins are
 * thousands. */
static unsigned
turns_within(int64_t ms)
{
	int64_t end_ms = clock_mono_ms() + ms;
	unsigned turns = 0;

	for (; clock_mono_ms() < end_ms; turns++)
		CHECK_OK(loop_turn(loop, 50));
	return turns;
}

/* Without a descriptor to spare who connects waits, and nobody spins; one that
 * becomes free is taken, that of a connection at once. */
TEST(bus_inbox_waits_for_descriptors)
{
	struct rlimit most, now;
	struct worker worker;
	int first, second, third, spare, filler;

	make_loop();
	worker_open(&worker, "work-0");
	CHECK(getrlimit(RLIMIT_NOFILE, &most) == 0);
	first = send_raw("run/work-0.sock", "", 0);
	UNTIL(is_greeted(first));
	second = send_raw("run/work-0.sock", "", 0);
	third = send_raw("run/work-0.sock", "", 0);
	spare = dup(first);
	close(spare);
	now = (struct rlimit){(rlim_t)spare, most.rlim_max};
	CHECK(setrlimit(RLIMIT_NOFILE, &now) == 0);
	CHECK(turns_within(300) < 50);
	CHECK(!is_greeted(second));
	close(first);
	filler = dup(second); /* only the other end's becomes free */
	UNTIL(is_greeted(second));
	CHECK(turns_within(300) < 50);
	CHECK(!is_greeted(third));
	CHECK(setrlimit(RLIMIT_NOFILE, &most) == 0);
	UNTIL(is_greeted(third));
	close(filler);
	close(second);
	close(third);
	bus_close(worker.bus);
	loop_close(loop);
}

TEST(bus_batches_may_come_byte_by_byte)
{
	struct worker worker;
	struct asker asker;
	char bytes[SP_GREETING_BYTES + 2 * (SP_HEAD_BYTES + 3)];
	int fd;

	pair_open(&asker, &worker, 1);
	sp_greeting_put(SP_PUSH, bytes);
	for (size_t at = SP_GREETING_BYTES; at < sizeof(bytes);
	     at += SP_HEAD_BYTES + 3) {
		sp_head_put(3, bytes + at);
		memcpy(bytes + at + SP_HEAD_BYTES, "bad", 3);
	}
	fd = send_raw("run/work-0.sock", bytes, 1);
	for (size_t i = 1; i < sizeof(bytes); i++) {
		CHECK_OK(loop_turn(loop, 1));
		CHECK_INT(write(fd, bytes + i, 1), 1);
	}
	UNTIL(bus_dropped(worker.bus) == 2);
	close(fd);
	pair_close(&asker, &worker);
}

static void
knock(const char *path, unsigned times)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	memcpy(to.sun_path, path, strlen(path));
	for (unsigned i = 0; i < times; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		CHECK(fd >= 0);
		CHECK_INT(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
		close(fd);
	}
}

static void
on_bell(void *ctx)
{
	*(unsigned *)ctx += 1;
}

/* Fails without lib/bus_sendmsg.c. */
TEST(bus_listeners_outlive_clients_that_connect_and_close)
{
	struct answers answers = {0};
	struct buf answer;
	struct worker worker;
	struct asker asker;
	struct bus_ask one = question(ECHO, STR("x"), &answers);
	pid_t pid = fork_worker("tool-0");
	enum err answer_err = ERR_INTERNAL;
	unsigned rings = 0;

	make_loop();
	worker_open(&worker, "work-0");
	CHECK_OK(bus_doorbell_open(worker.bus, NULL));
	knock("run/work-0.sock", 1000);
	knock("run/work-0.bell", 1000);
	knock("run/tool-0.tools", 1000);
	asker_open(&asker, 1, 1);
	UNTIL(is_alive(&asker, 0));
	ask(&asker, &one);
	UNTIL(answers.lasts == 1);
	CHECK_OK(bus_doorbell_listen(asker.bus, "work-0", on_bell, &rings));
	while (rings == 0) {
		bus_doorbell_ring(worker.bus);
		CHECK_OK(loop_turn(loop, 10));
	}
	buf_init(&answer, 1000);
	CHECK_OK(bus_tool_call("run", "tool-0", ECHO, STR("x"), 5000,
			       &answer_err, &answer, NULL));
	CHECK_OK(answer_err);
	buf_fini(&answer);
	pair_close(&asker, &worker);
	end_child(pid);
}

/* A process that starts a worker again and again, which dies in mid-work. */
static pid_t
fork_killer(const char *name, unsigned kills)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid > 0)
		return pid;
	srandom(5);
	for (unsigned i = 0; i < kills; i++) {
		unsigned life_ms = 15 + (unsigned)random() % 40;

		waitpid(fork_worker_for(name, life_ms), NULL, 0);
	}
	CHECK_INT(mkdir("killed", 0750), 0);
	fork_worker(name);
	pause();
	_exit(0);
}

TEST(bus_survives_workers_killed_while_large_bodies_come)
{
	enum { KILLS = 30 };
	pid_t pid = fork_killer("work-0", KILLS);
	struct answers answers = {0};
	struct asker asker;
	char *big = calloc(1, 1 << 20);
	struct bus_ask one = question(ECHO, str_bytes(big, 1 << 20), &answers);
	unsigned asked = 0;

	make_loop();
	asker_open(&asker, 1, 1);
	while (access("killed", F_OK) != 0) {
		uint64_t id;

		while (in_flight(&asker, 0) < 4 &&
		       bus_ask(asker.pool, &one, &id) == ERR_OK)
			asked++;
		CHECK_OK(loop_turn(loop, 50));
	}
	UNTIL(is_alive(&asker, 0));
	UNTIL(in_flight(&asker, 0) == 0);
	CHECK_INT(answers.lasts, asked);
	CHECK_INT(answers.errs[ERR_OK] + answers.errs[ERR_WORKER_LOST], asked);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	bus_close(asker.bus);
	loop_close(loop);
	free(big);
}

/* --- doorbell and tools ----------------------------------------------------
 */

TEST(bus_doorbell_pauses_between_rings)
{
	struct worker worker;
	struct asker asker;
	unsigned rings = 0;
	int64_t began_ms;

	pair_open(&asker, &worker, 1);
	bus_doorbell_ring(worker.bus); /* not open: nothing */
	CHECK_OK(bus_doorbell_listen(asker.bus, "work-0", on_bell, &rings));
	CHECK_OK(bus_doorbell_open(worker.bus, NULL));
	while (rings == 0) {
		bus_doorbell_ring(worker.bus);
		CHECK_OK(loop_turn(loop, 10));
	}
	for (unsigned i = 0; i < 20; i++)
		CHECK_OK(loop_turn(loop, 5));
	rings = 0;
	began_ms = clock_mono_ms();
	for (unsigned i = 0; i < 1000; i++) {
		bus_doorbell_ring(worker.bus);
		CHECK_OK(loop_turn(loop, 0));
	}
	CHECK(rings <= (clock_mono_ms() - began_ms) / 20 + 1);
	/* The last ring is not lost in a pause. */
	rings = 0;
	bus_doorbell_ring(worker.bus);
	UNTIL(rings > 0);
	pair_close(&asker, &worker);
}

TEST(bus_tools_ask_and_are_told_why_not)
{
	pid_t pid = fork_worker("work-0");
	enum err answer_err = ERR_INTERNAL;
	struct why why = {0};
	struct buf answer;
	int64_t began_ms;

	buf_init(&answer, 100);
	mkdir("run", 0750);
	CHECK_ERR(bus_tool_call("run", "work-9", ECHO, STR("x"), 5000,
				&answer_err, &answer, &why),
		  ERR_UNAVAILABLE);
	CHECK(strstr(why.text, "work-9 is not running") != NULL);
	for (unsigned i = 0; i < 20; i++) {
		buf_reset(&answer);
		CHECK_OK(bus_tool_call("run", "work-0", ECHO, STR("abc"), 5000,
				       &answer_err, &answer, &why));
		CHECK_OK(answer_err);
		CHECK_STR(buf_str(&answer), STR("abc"));
	}
	buf_reset(&answer);
	CHECK_OK(bus_tool_call("run", "work-0", REFUSE, STR("abc"), 5000,
			       &answer_err, &answer, &why));
	CHECK_ERR(answer_err, ERR_EXPIRED);
	began_ms = clock_mono_ms();
	CHECK_ERR(bus_tool_call("run", "work-0", HOLD, STR("abc"), 100,
				&answer_err, &answer, &why),
		  ERR_DEADLINE);
	CHECK(clock_mono_ms() - began_ms >= 100);
	CHECK(clock_mono_ms() - began_ms < 3000);
	kill(pid, SIGSTOP); /* does not even greet */
	CHECK_ERR(bus_tool_call("run", "work-0", ECHO, STR("abc"), 100,
				&answer_err, &answer, &why),
		  ERR_DEADLINE);
	CHECK(strstr(why.text, "no answer from work-0") != NULL);
	end_child(pid);
	CHECK_ERR(bus_tool_call("run", "work-0", ECHO, STR("abc"), 5000,
				&answer_err, &answer, &why),
		  ERR_UNAVAILABLE);
	buf_fini(&answer);
}

/* --- speed: prints, asserts only that all is answered ----------------------
 */

struct pump {
	struct asker asker;
	unsigned left;
	unsigned done;
};

static void pump_answer(void *ctx, const struct bus_answer *answer);

static void
pump_ask(struct pump *pump)
{
	static const char body[100];
	const struct bus_ask one = {.type = ECHO,
				    .deadline_ms = 5000,
				    .is_repeatable = true,
				    .body = str_bytes(body, sizeof(body)),
				    .fn = pump_answer,
				    .ctx = pump};

	if (pump->left > 0) {
		pump->left--;
		ask(&pump->asker, &one);
	}
}

static void
pump_answer(void *ctx, const struct bus_answer *answer)
{
	struct pump *pump = ctx;

	CHECK_OK(answer->err);
	CHECK_INT(answer->body.n, 100);
	pump->done++;
	pump_ask(pump);
}

static double
cpu_us(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static void
pump_run(struct pump *pump, unsigned outstanding, unsigned total)
{
	int64_t began_ns = clock_mono_ns();
	double began_us = cpu_us();

	pump->left = total;
	pump->done = 0;
	for (unsigned i = 0; i < outstanding; i++)
		pump_ask(pump);
	UNTIL(pump->done == total);
	fprintf(
	    stderr,
	    "bus: %3u outstanding: %.0f/s, %.1f us each way and back, "
	    "%.2f us CPU of the asker\n",
	    outstanding, total / ((double)(clock_mono_ns() - began_ns) / 1e9),
	    (double)(clock_mono_ns() - began_ns) / 1e3 * outstanding / total,
	    (cpu_us() - began_us) / total);
}

TEST(bus_speed_between_two_processes)
{
	pid_t pid = fork_worker("work-0");
	struct pump pump = {0};

	make_loop();
	asker_open(&pump.asker, 1, 1);
	UNTIL(is_alive(&pump.asker, 0));
	pump_run(&pump, 1, 1000);
	pump_run(&pump, 8, 5000);
	pump_run(&pump, 64, 30000);
	pump_run(&pump, 256, 60000);
	bus_close(pump.asker.bus);
	loop_close(loop);
	end_child(pid);
}
