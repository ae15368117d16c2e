/*
 * edge: the wiring: settings, loop, bus, pools, listeners; then READY=1, turns,
 * and a drain on SIGTERM or SIGINT. The hooks of the listeners are added before
 * the bus's last one, so that what a turn's requests ask leaves in that turn.
 */
#include "edge/edge.h"

#include "edge/ask.h"
#include "edge/routes.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/proc.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCHDOG_MS 1000
#define DRAIN_LOOK_MS 10
#define BODIES_BYTES_MAX ((size_t)256 << 20)
#define WINDOW_BATCHES 2u /* of pools that answer a batch as a whole */
#define HELP_BYTES_MAX 65536u

const char *const edge_pool_names[EDGE_POOLS] = {
    [POOL_VALIDATE] = "validate",
    [POOL_PROXY] = "proxy",
    [POOL_USAGE] = "usage",
};
const char *const edge_listener_names[EDGE_LISTENERS] = {
    [LISTENER_PUBLIC] = "public",
    [LISTENER_ADMIN] = "admin",
    [LISTENER_INTERNAL] = "internal",
};

/* --- opening ------------------------------------------------------------- */

static enum err
pools_open(struct edge *edge, struct why *why)
{
	const struct {
		int64_t count;
		unsigned window_batches;
	} pools[EDGE_POOLS] = {
	    [POOL_VALIDATE] = {edge->conf.validators, WINDOW_BATCHES},
	    [POOL_PROXY] = {edge->conf.proxies, 0},
	    [POOL_USAGE] = {1, WINDOW_BATCHES},
	};
	unsigned i;

	for (i = 0; i < EDGE_POOLS; i++) {
		enum err e = bus_pool_open(
		    edge->bus, edge_pool_names[i], (unsigned)pools[i].count,
		    pools[i].window_batches, &edge->pools[i]);

		if (e != ERR_OK)
			return why_set(why, e, "cannot reach the %s pool: %s",
				       edge_pool_names[i], err_text(e));
	}
	return ERR_OK;
}

static enum err
listener_open(struct edge *edge, enum edge_listener which, const char *address,
	      struct why *why)
{
	struct listener *listener = &edge->listeners[which];
	struct http_options options = {
	    .loop = edge->loop,
	    .calls = &routes_calls,
	    .ctx = listener,
	    .listen_fd = proc_listen_fd(edge_listener_names[which]),
	    .connections = (unsigned)edge->conf.connections,
	    .connections_per_ip = (unsigned)edge->conf.connections_per_ip,
	    .head_ms = edge->conf.head_ms,
	    .body_ms = edge->conf.body_ms,
	    .write_ms = edge->conf.write_ms,
	    .idle_ms = edge->conf.idle_ms,
	    .bodies_held = &edge->bodies_held,
	    .bodies_held_max = BODIES_BYTES_MAX,
	};
	char name[128];
	enum err e = ERR_OK;

	listener->edge = edge;
	listener->which = which;
	if (options.listen_fd < 0)
		e = proc_listen(address, &options.listen_fd, why);
	if (e != ERR_OK)
		return e;
	e = http_open(&listener->http, &options, why);
	if (e != ERR_OK)
		return e;
	proc_listen_name(http_listen_fd(listener->http), name, sizeof(name));
	log_info("edge-listen", "listener=%s address=%s",
		 edge_listener_names[which], name);
	return ERR_OK;
}

static enum err
listeners_open(struct edge *edge, struct why *why)
{
	const char *const addresses[EDGE_LISTENERS] = {
	    [LISTENER_PUBLIC] = edge->conf.public,
	    [LISTENER_ADMIN] = edge->conf.admin,
	    [LISTENER_INTERNAL] = edge->conf.internal,
	};
	enum err e = ERR_OK;
	unsigned i;

	for (i = 0; i < EDGE_LISTENERS && e == ERR_OK; i++)
		e = listener_open(edge, (enum edge_listener)i, addresses[i],
				  why);
	return e;
}

static void
on_signal(void *ctx, int signal, int64_t pid)
{
	(void)pid;
	log_info("edge-signal", "signal=%d", signal);
	edge_drain(ctx);
}

static void
on_came(void *ctx)
{
	ask_waiting(ctx);
}

static void
on_peer(void *ctx, const struct bus_peer_state *state)
{
	struct edge *edge = ctx;

	log_info("edge-peer", "peer=%s alive=%d", state->name, state->is_alive);
	if (state->is_alive && edge->waiting.count > 0)
		loop_timer_set(edge->loop, &edge->waiting.timer, 0, on_came,
			       edge);
}

enum err
edge_open(struct edge *edge, struct why *why)
{
	static const int signals[] = {SIGTERM, SIGINT};
	enum err e;

	e = loop_open(&edge->loop);
	if (e == ERR_OK) /* before the bus's threads, which inherit the mask */
		e = loop_signals(edge->loop, signals, 2, on_signal, edge);
	if (e != ERR_OK)
		return why_set(why, e, "cannot make the event loop: %s",
			       err_text(e));
	e = bus_open(&edge->bus, edge->loop, edge->conf.run_dir, edge->name,
		     why);
	if (e != ERR_OK)
		return e;
	bus_on_peer(edge->bus, on_peer, edge);
	e = pools_open(edge, why);
	if (e == ERR_OK)
		e = observe_open(edge);
	if (e == ERR_OK)
		e = listeners_open(edge, why);
	return e;
}

void
edge_close(struct edge *edge)
{
	unsigned i;

	for (i = 0; i < EDGE_LISTENERS; i++)
		http_close(edge->listeners[i].http);
	if (edge->loop) {
		loop_timer_clear(edge->loop, &edge->watchdog);
		loop_timer_clear(edge->loop, &edge->drain);
		loop_timer_clear(edge->loop, &edge->waiting.timer);
	}
	if (edge->bus)
		bus_close(edge->bus);
	if (edge->loop)
		loop_close(edge->loop);
}

/* --- draining ------------------------------------------------------------ */

static void
drain_look(void *ctx)
{
	struct edge *edge = ctx;
	unsigned connections = 0;
	unsigned i;

	for (i = 0; i < EDGE_LISTENERS; i++)
		connections += http_connections(edge->listeners[i].http);
	if (connections > 0 && loop_now_ns(edge->loop) < edge->drain_until_ns) {
		loop_timer_set(edge->loop, &edge->drain, DRAIN_LOOK_MS,
			       drain_look, edge);
		return;
	}
	log_info("edge-drained", "cut=%u", connections);
	loop_stop(edge->loop);
}

void
edge_drain(struct edge *edge)
{
	unsigned i;

	if (edge->drain_until_ns)
		return;
	proc_notify("STOPPING=1");
	edge->drain_until_ns =
	    loop_now_ns(edge->loop) + edge->conf.drain_ms * NS_PER_MS;
	for (i = 0; i < EDGE_LISTENERS; i++)
		http_drain(edge->listeners[i].http);
	drain_look(edge);
}

/* --- main ---------------------------------------------------------------- */

static void
on_watchdog(void *ctx)
{
	struct edge *edge = ctx;

	proc_notify("WATCHDOG=1");
	loop_timer_set(edge->loop, &edge->watchdog, WATCHDOG_MS, on_watchdog,
		       edge);
}

static void
print_out(const struct buf *text)
{
	fwrite(text->p, 1, text->n, stdout);
}

static void
print_help(void)
{
	struct buf out;

	buf_init(&out, HELP_BYTES_MAX);
	buf_add_z(&out, "usage: chatello-edge [option ...]\n"
			"The process that speaks HTTP; `chatello up` starts "
			"all of them.\n"
			"  --help, --conf   this text; the settings in "
			"force\n");
	conf_print_help(&out);
	print_out(&out);
	buf_fini(&out);
}

static void
print_conf(const struct conf *conf)
{
	struct buf out;

	buf_init(&out, HELP_BYTES_MAX);
	conf_print(conf, &out);
	print_out(&out);
	buf_fini(&out);
}

/* conf_load has checked both. */
static void
log_start(struct edge *edge)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};
	enum log_level level = LOG_INFO;
	unsigned i;

	for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(edge->conf.log_level, levels[i]) == 0)
			level = (enum log_level)i;
	snprintf(edge->name, sizeof(edge->name), "edge-%d",
		 (int)edge->conf.index);
	log_open(edge->name, level,
		 strcmp(edge->conf.log_format, "json") == 0 ? LOG_JSON
							    : LOG_TEXT);
}

static enum err
run(struct edge *edge, struct why *why)
{
	enum err e;

	log_start(edge);
	e = edge_open(edge, why);
	if (e != ERR_OK)
		return e;
	on_watchdog(edge);
	proc_notify("READY=1");
	log_info("edge-ready", "index=%d", (int)edge->conf.index);
	return loop_run(edge->loop);
}

int
edge_main(int argc, char **argv)
{
	static struct edge edge;
	struct why why = {"", ""};
	bool is_configured;
	enum err e;
	int i;

	proc_harden();
	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") != 0)
			continue;
		print_help();
		return 0;
	}
	e = conf_load(&edge.conf, &argc, argv, &why);
	if (e == ERR_OK && argc == 2 && strcmp(argv[1], "--conf") == 0) {
		print_conf(&edge.conf);
		return 0;
	}
	if (e == ERR_OK && argc > 1)
		e = why_set(&why, ERR_CONFIG,
			    "unknown argument %s: --help shows the options",
			    argv[1]);
	is_configured = e == ERR_OK;
	if (e == ERR_OK)
		e = run(&edge, &why);
	if (e != ERR_OK)
		fprintf(stderr, "chatello-edge: %s\n",
			why.text[0] ? why.text : err_text(e));
	edge_close(&edge);
	if (e == ERR_OK)
		return 0;
	return is_configured ? 1 : 2; /* bad usage */
}
