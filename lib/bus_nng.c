/*
 * bus_nng: what the doorbell and the tools share of nng: errors, listening, and
 * a close that cannot hang. nng's timeouts are not used: they run on the wall
 * clock.
 */
#include "lib/bus_internal.h"

#include "lib/clock.h"

#include <errno.h>
#include <nng/nng.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(NNG_MAJOR_VERSION == 1, "lib/bus is written for nng 1");

#define NS_PER_S 1000000000
#define CLOSE_NS_MAX NS_PER_S

enum err
bus_nng_err(int nng_error)
{
	switch (nng_error) {
	case 0:
		return ERR_OK;
	case NNG_ENOMEM:
		return ERR_NO_MEMORY;
	case NNG_ETIMEDOUT:
		return ERR_DEADLINE;
	case NNG_EADDRINUSE:
		return ERR_EXISTS;
	case NNG_ECONNREFUSED:
	case NNG_ENOENT:
		return ERR_UNAVAILABLE;
	case NNG_ECONNRESET:
	case NNG_ECONNSHUT:
	case NNG_ECONNABORTED:
	case NNG_ECLOSED:
		return ERR_WORKER_LOST;
	case NNG_EMSGSIZE:
		return ERR_TOO_LARGE;
	default:
		return ERR_IO;
	}
}

enum err
bus_path(char out[BUS_PATH_BYTES], const char *run_dir, const char *name,
	 const char *suffix, struct why *why)
{
	int n =
	    snprintf(out, BUS_PATH_BYTES, "%s/%s.%s", run_dir, name, suffix);

	if (n > 0 && n < BUS_PATH_BYTES)
		return ERR_OK;
	return why_set(why, ERR_CONFIG,
		       "%.180s is too long for the names of sockets (%d bytes "
		       "at most with the name): choose a shorter data folder",
		       run_dir, BUS_PATH_BYTES - 1);
}

/* --- listening -------------------------------------------------------------
 */

bool
bus_is_ours(uint64_t uid, uint64_t gid)
{
	return uid == 0 || uid == geteuid() || gid == getegid();
}

static void
check_pipe(nng_pipe pipe, nng_pipe_ev event, void *ctx)
{
	uint64_t uid, gid;

	(void)event;
	(void)ctx;
	if (nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &uid) != 0 ||
	    nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_GID, &gid) != 0 ||
	    !bus_is_ours(uid, gid))
		nng_pipe_close(pipe);
}

enum err
bus_nng_listen(uint32_t socket_id, const char *path, struct why *why)
{
	nng_socket socket = {.id = socket_id};
	char url[BUS_PATH_BYTES + 8];
	int error;

	unlink(path); /* left behind by a killed process: we hold the lock */
	snprintf(url, sizeof(url), "ipc://%s", path);
	error = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_PRE, check_pipe, NULL);
	if (error == 0)
		error = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ,
					    BUS_BATCH_BYTES_MAX);
	if (error == 0)
		error = nng_listen(socket, url, NULL, 0);
	if (error)
		return why_set(why, ERR_IO, "cannot listen on %s: %s", path,
			       nng_strerror(error));
	if (chmod(path, BUS_SOCKET_MODE) != 0)
		return why_set(why, ERR_IO, "cannot listen on %s: %s", path,
			       err_of_file(errno));
	return ERR_OK;
}

/* --- closing ---------------------------------------------------------------
 */

void
gate_init(struct gate *gate)
{
	pthread_condattr_t monotonic;

	gate->is_open = false;
	pthread_mutex_init(&gate->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&gate->cond, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

void
gate_fini(struct gate *gate)
{
	pthread_cond_destroy(&gate->cond);
	pthread_mutex_destroy(&gate->lock);
}

void
gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->is_open = true;
	pthread_cond_signal(&gate->cond);
	pthread_mutex_unlock(&gate->lock);
}

bool
gate_wait(struct gate *gate, int64_t deadline_ns)
{
	const struct timespec until = {deadline_ns / NS_PER_S,
				       deadline_ns % NS_PER_S};
	bool is_open;

	pthread_mutex_lock(&gate->lock);
	while (!gate->is_open &&
	       pthread_cond_timedwait(&gate->cond, &gate->lock, &until) == 0)
		;
	is_open = gate->is_open;
	gate->is_open = false;
	pthread_mutex_unlock(&gate->lock);
	return is_open;
}

struct finish {
	void (*fn)(void *ctx);
	void *ctx;
	struct gate gate;
};

static void *
finish_run(void *ctx)
{
	struct finish *finish = ctx;

	finish->fn(finish->ctx);
	gate_open(&finish->gate);
	return NULL;
}

bool
bus_nng_finish(void (*fn)(void *ctx), void *ctx)
{
	struct finish *finish = calloc(1, sizeof(*finish));
	pthread_t thread;

	if (finish == NULL)
		return false;
	finish->fn = fn;
	finish->ctx = ctx;
	gate_init(&finish->gate);
	if (pthread_create(&thread, NULL, finish_run, finish) != 0)
		return false;
	if (!gate_wait(&finish->gate, clock_mono_ns() + CLOSE_NS_MAX)) {
		pthread_detach(thread);
		return false;
	}
	pthread_join(thread, NULL);
	gate_fini(&finish->gate);
	free(finish);
	return true;
}
