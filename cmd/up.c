/*
 * up: starts every process of the house and keeps it running, in the
 * foreground. It binds the listeners itself and passes them on, so that a port
 * in use is found before anything runs and a restarted edge finds its queue of
 * connections as it was.
 *
 * Always holds: one launcher for a data folder (run/up.lock); nothing outlives
 * the launcher (PDEATHSIG); a process that dies or falls silent is started
 * again, with a back-off; the stop goes in order, so that what is in flight is
 * answered and settled.
 */
#include "cmd/up.h"

#include "cmd/commands.h"
#include "cmd/reading.h"
#include "cmd/views.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 5000
#define BACKOFF_READY_MAX_MS 200 /* of one that had been ready */
#define STEADY_MS 10000		 /* alive so long: the back-off begins anew */
#define SILENT_MS 4000		 /* no WATCHDOG=1 since: it hangs */
#define START_MS 60000		 /* the same before it was ready */
#define TICK_MS 250		 /* of the watchdog */
#define TICK_LATE_MS 3000	 /* the launcher itself had stood still */
#define KILL_AFTER_MS 5000	 /* beyond drain_ms */
#define FAILED_STARTS_MAX 5	 /* before it was ever ready: give up */

/* --- children ---------------------------------------------------------------
 */

static void on_restart(void *ctx);

static void
start_child(struct child *child)
{
	struct up *up = child->up;
	struct child_launch launch = {
	    .conf = &up->command->conf,
	    .program_dir = up->program_dir,
	    .kind = child->kind,
	    .index = child->index,
	    .notify = up->notify_name,
	    .has_listeners = child->stage == STAGE_EDGE,
	};

	memcpy(launch.listeners, up->listeners, sizeof(launch.listeners));
	child->is_ready = false;
	child->started_ns = child->beat_ns = loop_now_ns(up->loop);
	child->pid = child_start(&launch);
	if (child->pid < 0) {
		log_error("child-fork", "name=%s-%u error=\"%s\"", child->kind,
			  child->index, strerror(errno));
		child->pid = 0;
		loop_timer_set(up->loop, &child->restart, BACKOFF_MAX_MS,
			       on_restart, child);
		return;
	}
	log_info("child-start", "name=%s-%u pid=%d", child->kind, child->index,
		 (int)child->pid);
}

static void
on_restart(void *ctx)
{
	start_child(ctx);
}

/* 0 first, then 50 ms doubling: to 5 s while it never comes up, to less when it
 * did, since then it will again, and people wait for it. */
static void
restart_later(struct child *child, bool was_ready)
{
	int max_ms = was_ready ? BACKOFF_READY_MAX_MS : BACKOFF_MAX_MS;
	struct up *up = child->up;
	int64_t lived_ms =
	    (loop_now_ns(up->loop) - child->started_ns) / NS_PER_MS;
	int delay_ms;

	if (lived_ms >= STEADY_MS)
		child->backoff_ms = 0;
	delay_ms = child->backoff_ms;
	child->backoff_ms = delay_ms ? 2 * delay_ms : BACKOFF_FIRST_MS;
	if (child->backoff_ms > max_ms)
		child->backoff_ms = max_ms;
	loop_timer_set(up->loop, &child->restart, delay_ms, on_restart, child);
}

static struct child *
child_of(struct up *up, pid_t pid)
{
	for (unsigned i = 0; pid > 0 && i < up->child_count; i++)
		if (up->children[i].pid == pid)
			return &up->children[i];
	return NULL;
}

static void stop_on(struct up *up);

static void
close_listeners(struct up *up)
{
	for (unsigned i = 0; i < CHILD_LISTENERS; i++) {
		if (up->listeners[i] >= 0)
			close(up->listeners[i]);
		up->listeners[i] = -1;
	}
}

void
up_fail(struct up *up, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(up->failure, sizeof(up->failure), format, args);
	va_end(args);
	up->is_stopping = true;
	stop_on(up);
}

static void
child_exited(struct up *up, struct child *child, int status)
{
	bool was_ready = child->is_ready;

	child->pid = 0;
	child->is_ready = false;
	if (up->is_stopping)
		return;
	log_warn("child-exit", "name=%s-%u %s=%d", child->kind, child->index,
		 WIFSIGNALED(status) ? "signal" : "code",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	child->failed_starts = was_ready ? 0 : child->failed_starts + 1;
	if (!up->is_announced && child->failed_starts >= FAILED_STARTS_MAX)
		up_fail(up, "%s-%u does not start: its lines above say why",
			child->kind, child->index);
	else
		restart_later(child, was_ready);
}

static void
reap(struct up *up)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *child = child_of(up, pid);

		if (child)
			child_exited(up, child, status);
	}
	if (up->is_stopping)
		stop_on(up);
}

/* --- notices -----------------------------------------------------------------
 */

static void
take_notice(struct up *up, pid_t pid, char *text)
{
	struct child *child = child_of(up, pid);
	char *line;

	while (child && (line = strsep(&text, "\n")) != NULL) {
		if (strcmp(line, "WATCHDOG=1") == 0)
			child->beat_ns = loop_now_ns(up->loop);
		if (strcmp(line, "READY=1") != 0 || child->is_ready)
			continue;
		child->is_ready = true;
		child->beat_ns = loop_now_ns(up->loop);
		up_ask(up);
	}
}

static void
on_notice(void *ctx, int fd, uint32_t events)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	char text[512];
	struct iovec iov = {text, sizeof(text) - 1};
	struct msghdr message;
	struct ucred who;
	ssize_t n;

	(void)events;
	for (;;) {
		struct cmsghdr *part;

		message = (struct msghdr){.msg_iov = &iov,
					  .msg_iovlen = 1,
					  .msg_control = &control,
					  .msg_controllen = sizeof(control)};
		n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0)
			return;
		text[n] = '\0';
		part = CMSG_FIRSTHDR(&message);
		if (part == NULL || part->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&who, CMSG_DATA(part), sizeof(who));
		take_notice(ctx, who.pid, text);
	}
}

/* --- the watchdog ------------------------------------------------------------
 */

static void
on_tick(void *ctx)
{
	struct up *up = ctx;
	int64_t now_ns = loop_now_ns(up->loop);
	bool is_late = now_ns - up->tick_ns > TICK_LATE_MS * NS_PER_MS;

	on_notice(up, up->notify_fd, 0); /* what waits there counts */
	up->tick_ns = now_ns;
	for (unsigned i = 0; i < up->child_count; i++) {
		struct child *child = &up->children[i];
		int64_t limit_ms = child->is_ready ? SILENT_MS : START_MS;

		if (is_late)
			child->beat_ns = now_ns;
		if (child->pid == 0 ||
		    now_ns - child->beat_ns < limit_ms * NS_PER_MS)
			continue;
		log_error("child-silent", "name=%s-%u pid=%d for_ms=%lld",
			  child->kind, child->index, (int)child->pid,
			  (long long)(now_ns - child->beat_ns) / NS_PER_MS);
		kill(child->pid, SIGKILL);
	}
	loop_timer_set(up->loop, &up->tick, TICK_MS, on_tick, up);
}

/* --- the end
 * ------------------------------------------------------------------ */

static unsigned
signal_stage(struct up *up, enum stage stage, int signal_number)
{
	unsigned alive = 0;

	for (unsigned i = 0; i < up->child_count; i++) {
		struct child *child = &up->children[i];

		if (child->stage != stage || child->pid == 0)
			continue;
		alive++;
		if (signal_number)
			kill(child->pid, signal_number);
	}
	return alive;
}

static void
on_kill(void *ctx)
{
	struct up *up = ctx;

	log_warn("stop-kill", "stage=%d", (int)up->stage);
	signal_stage(up, up->stage, SIGKILL);
}

/* The edges first (they drain), then who works for them; the ledger behind all
 * that may still settle something. */
static void
stop_on(struct up *up)
{
	if (up->stage == STAGE_RUNNING) {
		for (unsigned i = 0; i < up->child_count; i++)
			loop_timer_clear(up->loop, &up->children[i].restart);
		probe_stop(&up->probe);
		loop_timer_clear(up->loop, &up->probe_pause);
	} else if (signal_stage(up, up->stage, 0) > 0) {
		return;
	}
	while (++up->stage < STAGE_END) {
		if (signal_stage(up, up->stage, SIGTERM) == 0)
			continue;
		loop_timer_set(up->loop, &up->kill_timer,
			       up->command->conf.drain_ms + KILL_AFTER_MS,
			       on_kill, up);
		return;
	}
	loop_stop(up->loop);
}

static void
on_signal(void *ctx, int signal_number, int64_t pid)
{
	struct up *up = ctx;

	(void)pid;
	if (signal_number == SIGCHLD) {
		reap(up);
		return;
	}
	if (up->is_stopping)
		return;
	log_info("stop", "signal=%d", signal_number);
	close_listeners(up); /* new connections are refused, not kept waiting */
	proc_notify("STOPPING=1");
	up->is_stopping = true;
	stop_on(up);
}

/* --- the beginning
 * ------------------------------------------------------------ */

static void
add_children(struct up *up, const char *kind, enum stage stage, int64_t count)
{
	for (int64_t i = 0; i < count; i++)
		up->children[up->child_count++] =
		    (struct child){.up = up,
				   .kind = kind,
				   .index = (unsigned)i,
				   .stage = stage};
}

static enum err
list_children(struct up *up, struct why *why)
{
	const struct conf *conf = &up->command->conf;
	enum err e = ERR_OK;

	add_children(up, "usage", STAGE_USAGE, 1);
	add_children(up, "validate", STAGE_VALIDATE, conf->validators);
	add_children(up, "proxy", STAGE_PROXY, conf->proxies);
	add_children(up, "analytics", STAGE_ANALYTICS, 1);
	add_children(up, "edge", STAGE_EDGE, conf->edges);
	if (!child_program_dir(up->program_dir, sizeof(up->program_dir)))
		return why_set(why, ERR_IO, "cannot read /proc/self/exe");
	for (unsigned i = 0; i < up->child_count && e == ERR_OK; i++)
		e = child_check_program(up->program_dir, up->children[i].kind,
					why);
	return e;
}

/* The store and its key, before anything runs. */
static enum err
check_store(struct up *up, struct why *why)
{
	struct reading reading;
	enum err e = reading_open(&reading, &up->command->conf, why);

	if (e == ERR_OK)
		e = reading_crypto(&reading, &up->command->conf, why);
	reading_close(&reading);
	return e;
}

static enum err
take_lock(struct up *up, struct why *why)
{
	const struct conf *conf = &up->command->conf;
	char path[4096];
	enum err e;

	if (mkdir(conf->run_dir, 0750) != 0 && errno != EEXIST)
		return why_set(why, ERR_IO, "cannot make %.200s: %s",
			       conf->run_dir, strerror(errno));
	snprintf(path, sizeof(path), "%s/up.lock", conf->run_dir);
	e = proc_lock(path, &up->lock_fd, why);
	if (e == ERR_EXISTS)
		why_set(why, e,
			"`chatello up` runs already on %.200s: stop that one "
			"first",
			conf->data);
	return e;
}

static enum err
bind_listeners(struct up *up, struct why *why)
{
	const struct conf *conf = &up->command->conf;
	const char *const wanted[] = {conf->public, conf->admin,
				      conf->internal};
	enum err e = ERR_OK;

	for (int i = 0; i < CHILD_LISTENERS && e == ERR_OK; i++) {
		e = proc_listen(wanted[i], &up->listeners[i], why);
		if (e == ERR_OK)
			proc_listen_name(up->listeners[i], up->names[i],
					 sizeof(up->names[i]));
	}
	return e;
}

static enum err
open_notify(struct up *up, struct why *why)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const int on = 1;
	int n;

	n = snprintf(up->notify_name, sizeof(up->notify_name),
		     "@chatello-up-%d", (int)getpid());
	memcpy(at.sun_path + 1, up->notify_name + 1, (size_t)n - 1);
	up->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (up->notify_fd < 0 ||
	    setsockopt(up->notify_fd, SOL_SOCKET, SO_PASSCRED, &on,
		       sizeof(on)) != 0 ||
	    bind(up->notify_fd, (const struct sockaddr *)&at,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			     (size_t)n)) != 0)
		return why_set(why, ERR_IO, "cannot make a socket: %s",
			       strerror(errno));
	return ERR_OK;
}

static enum err
write_listeners(struct up *up, struct why *why)
{
	const char *run_dir = up->command->conf.run_dir;
	char path[4096], temporary[4096];
	struct up_listeners in;
	struct buf text;
	bool is_done = false;
	int fd;

	schema_clear(&up_listeners_schema, &in);
	in.pid = getpid();
	in.public = str_of(up->names[0]);
	in.admin = str_of(up->names[1]);
	in.internal = str_of(up->names[2]);
	buf_init(&text, 4096);
	schema_print_json(&up_listeners_schema, &in, &text);
	buf_add_char(&text, '\n');
	snprintf(path, sizeof(path), "%s/up.json", run_dir);
	snprintf(temporary, sizeof(temporary), "%s/up.json.new", run_dir);
	fd = open(temporary,
		  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd >= 0) {
		is_done = write(fd, text.p, text.n) == (ssize_t)text.n;
		is_done = close(fd) == 0 && is_done;
	}
	buf_fini(&text);
	if (!is_done || rename(temporary, path) != 0)
		return why_set(why, ERR_IO, "cannot write %.200s: %s", path,
			       strerror(errno));
	return ERR_OK;
}

static void
start_log(const struct conf *conf)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};
	unsigned level = 0;

	while (level < 3 && strcmp(levels[level], conf->log_level) != 0)
		level++;
	log_open("up", (enum log_level)level,
		 strcmp(conf->log_format, "json") == 0 ? LOG_JSON : LOG_TEXT);
}

static enum err
prepare(struct up *up, struct why *why)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGCHLD};
	enum err e;

	start_log(&up->command->conf);
	e = list_children(up, why);
	if (e == ERR_OK)
		e = check_store(up, why);
	if (e == ERR_OK)
		e = take_lock(up, why);
	if (e == ERR_OK)
		e = bind_listeners(up, why);
	if (e == ERR_OK)
		e = open_notify(up, why);
	if (e == ERR_OK)
		e = write_listeners(up, why);
	if (e == ERR_OK)
		e = loop_open(&up->loop);
	if (e == ERR_OK)
		e = loop_signals(up->loop, signals, 3, on_signal, up);
	if (e == ERR_OK)
		e = loop_fd_add(up->loop, up->notify_fd, EPOLLIN, on_notice, up,
				&up->notify_watch);
	return e;
}

static void
tear_down(struct up *up)
{
	char path[4096];

	if (up->loop)
		loop_close(up->loop);
	if (up->notify_fd >= 0)
		close(up->notify_fd);
	close_listeners(up);
	if (up->lock_fd < 0)
		return;
	snprintf(path, sizeof(path), "%s/up.json", up->command->conf.run_dir);
	unlink(path);
	close(up->lock_fd);
}

enum err
up_command(struct command *command, struct why *why)
{
	static struct up up;
	enum err e;

	up = (struct up){.command = command,
			 .lock_fd = -1,
			 .notify_fd = -1,
			 .listeners = {-1, -1, -1},
			 .probe = {.fd = -1}};
	e = prepare(&up, why);
	if (e == ERR_OK) {
		for (unsigned i = 0; i < up.child_count; i++)
			start_child(&up.children[i]);
		up.tick_ns = loop_now_ns(up.loop);
		on_tick(&up);
		e = loop_run(up.loop);
	}
	tear_down(&up);
	if (e == ERR_OK && up.failure[0])
		e = why_set(why, ERR_UNAVAILABLE, "%s", up.failure);
	return e;
}
