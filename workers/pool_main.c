/*
 * pool_main: the whole life of a worker process: set up in order, turn the
 * loop, drain, tear down in reverse. See pool.h.
 */
#include "workers/pool_internal.h"

#include "lib/log.h"
#include "lib/proc.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define ANSWERS_BYTES_MAX (24u << 20) /* a turn's and one more answer */
#define ARENA_BYTES_MAX (64u << 20)
#define WATCHDOG_MS 1000    /* also until a rest: once to twice of it */
#define DRAIN_LINGER_MS 100 /* for the last answers to reach their pipes */

/* --- the supervisor, rest, and the end ------------------------------------ */

static void
on_watchdog(void *ctx)
{
	struct pool *pool = ctx;

	proc_notify("WATCHDOG=1");
	pool_rest_look(pool);
	loop_timer_set(pool->loop, &pool->watchdog, WATCHDOG_MS, on_watchdog,
		       pool);
}

/* What still comes is still answered; the end is when nothing was in flight
 * for a moment, or the time is up. Looked at behind each turn, since only a
 * turn changes it, and when one of the two is due. */
static void
drain_look(void *ctx)
{
	struct pool *pool = ctx;
	const struct worker *worker = pool->worker;
	int64_t now_ns = loop_now_ns(pool->loop), end_ns = pool->drain_until_ns;

	if (worker->is_drained && !worker->is_drained(pool->state))
		pool->drained_at_ns = 0;
	else if (pool->drained_at_ns == 0)
		pool->drained_at_ns = now_ns;
	if (pool->drained_at_ns != 0 &&
	    pool->drained_at_ns + DRAIN_LINGER_MS * NS_PER_MS < end_ns)
		end_ns = pool->drained_at_ns + DRAIN_LINGER_MS * NS_PER_MS;
	if (now_ns >= end_ns)
		loop_stop(pool->loop);
	else
		loop_timer_set(pool->loop, &pool->drain,
			       (end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS,
			       drain_look, pool);
}

static void
on_signal(void *ctx, int signal_number, int64_t pid)
{
	struct pool *pool = ctx;

	(void)pid;
	if (pool->drain_until_ns != 0)
		return;
	log_info("drain", "signal=%d", signal_number);
	proc_notify("STOPPING=1");
	pool->drain_until_ns =
	    loop_now_ns(pool->loop) + pool->conf.drain_ms * NS_PER_MS + 1;
	/* Behind the bus's, which may end the last one. */
	if (loop_turn_add_last(pool->loop, drain_look, pool) != ERR_OK)
		loop_stop(pool->loop);
}

/* --- starting ------------------------------------------------------------- */

static enum err
log_start(const struct pool *pool, struct why *why)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};
	bool is_json = strcmp(pool->conf.log_format, "json") == 0;

	if (!is_json && strcmp(pool->conf.log_format, "text") != 0)
		return why_set(why, ERR_CONFIG, "log_format is text or json");
	for (unsigned i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(pool->conf.log_level, levels[i]) != 0)
			continue;
		log_open(pool->name, (enum log_level)i,
			 is_json ? LOG_JSON : LOG_TEXT);
		return ERR_OK;
	}
	return why_set(why, ERR_CONFIG,
		       "log_level is error, warn, info or debug");
}

static enum err
serve(struct pool *pool, struct why *why)
{
	unsigned asked_by = pool->worker->asked_by;
	enum err e;

	e = bus_serve_kind(pool->bus, "edge", (unsigned)pool->conf.edges);
	if (e == ERR_OK && asked_by & ASKED_BY_PROXIES)
		e = bus_serve_kind(pool->bus, "proxy",
				   (unsigned)pool->conf.proxies);
	if (e != ERR_OK)
		return why_set(why, e, "cannot serve on the bus: %s",
			       err_text(e));
	pool_serve(pool);
	if (asked_by & ASKED_BY_TOOLS)
		return bus_serve_tools(pool->bus, why);
	return ERR_OK;
}

static enum err
start(struct pool *pool, struct why *why)
{
	static const int signals[] = {SIGTERM, SIGINT};
	const struct worker *worker = pool->worker;
	enum err e;

	for (size_t i = 0; i < worker->row_count; i++)
		pool->rows[worker->rows[i].in->number] = &worker->rows[i];
	e = loop_open(&pool->loop);
	if (e == ERR_OK) /* before the bus's threads, which inherit the mask */
		e = loop_signals(pool->loop, signals, 2, on_signal, pool);
	if (e == ERR_OK) /* before the bus's hook, which sends the answers */
		e = pool_turn_hook(pool);
	if (e != ERR_OK)
		return why_set(why, e, "cannot make the event loop: %s",
			       err_text(e));
	e = bus_open(&pool->bus, pool->loop, pool->conf.run_dir, pool->name,
		     why);
	if (e != ERR_OK)
		return e;
	e = worker->open(pool, &pool->state, why);
	if (e != ERR_OK)
		return e;
	pool->is_open = pool->has_worked = true;
	return serve(pool, why);
}

static void
stop(struct pool *pool)
{
	pool_turn_finish(pool);
	if (pool->is_open && pool->worker->close)
		pool->worker->close(pool->state);
	if (pool->bus)
		bus_close(pool->bus);
	if (pool->loop)
		loop_close(pool->loop);
	arena_fini(&pool->arena);
	buf_fini(&pool->bodies);
	free(pool);
}

/* True: it was asked for and printed. */
static bool
print_about(const struct worker *worker, int argc, char **argv)
{
	struct buf out;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") != 0)
			continue;
		buf_init(&out, 65536);
		buf_printf(&out,
			   "usage: chatello-%s [option ...]\n"
			   "One worker process of Chatello; `chatello up` "
			   "starts all of them.\n"
			   "  --help, --conf   this text; the settings in "
			   "force\n",
			   worker->kind);
		conf_print_help(&out);
		fwrite(out.p, 1, out.n, stdout);
		buf_fini(&out);
		return true;
	}
	return false;
}

/* Configuration and arguments; *is_done when there is nothing left to do. */
static enum err
configure(struct pool *pool, int argc, char **argv, bool *is_done,
	  struct why *why)
{
	enum err e = conf_load(&pool->conf, &argc, argv, why);
	struct buf out;

	*is_done = false;
	if (e != ERR_OK)
		return e;
	if (argc == 2 && strcmp(argv[1], "--conf") == 0) {
		buf_init(&out, 65536);
		conf_print(&pool->conf, &out);
		fwrite(out.p, 1, out.n, stdout);
		buf_fini(&out);
		*is_done = true;
		return ERR_OK;
	}
	if (argc > 1)
		return why_set(why, ERR_CONFIG,
			       "unknown argument %s: --help shows the options",
			       argv[1]);
	snprintf(pool->name, sizeof(pool->name), "%s-%d", pool->worker->kind,
		 (int)pool->conf.index);
	return log_start(pool, why);
}

int
pool_main(const struct worker *worker, int argc, char **argv)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	struct why why = {"", ""};
	bool is_done = false, is_configured = false;
	enum err e = ERR_NO_MEMORY;

	proc_harden();
	if (print_about(worker, argc, argv)) {
		free(pool);
		return 0;
	}
	if (pool) {
		pool->worker = worker;
		arena_init(&pool->arena, ARENA_BYTES_MAX);
		buf_init(&pool->bodies, ANSWERS_BYTES_MAX);
		e = configure(pool, argc, argv, &is_done, &why);
		is_configured = e == ERR_OK;
	}
	if (e == ERR_OK && !is_done)
		e = start(pool, &why);
	if (e == ERR_OK && !is_done) {
		on_watchdog(pool);
		proc_notify("READY=1");
		log_info("ready", "kind=%s", worker->kind);
		e = loop_run(pool->loop);
	}
	if (e != ERR_OK)
		fprintf(stderr, "chatello-%s: %s\n", worker->kind,
			why.text[0] ? why.text : err_text(e));
	if (pool)
		stop(pool);
	if (e == ERR_OK)
		return 0;
	return is_configured ? 1 : 2; /* bad usage */
}
