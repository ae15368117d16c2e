/*
 * house: one installation of Chatello in the test's folder, with the real
 * programs and the scripted upstream as its providers. Every test has its own,
 * on ports of its own; all of it dies with the test. A failed step fails the
 * test. Settings are environment variables (house_set), read at the next start.
 */
#ifndef INTEGRATION_HOUSE_H
#define INTEGRATION_HOUSE_H

#include <jansson.h>
#include <limits.h>
#include <sys/types.h>

#include "lib/test.h"

#define OPENAI_CANARY "sk-openai-canary-7f3a91"
#define DEEPSEEK_CANARY "sk-deepseek-canary-55be20"
#define ANTHROPIC_CANARY "sk-anthropic-canary-c01d77"
#define ADDRESS_BYTES 64

struct house {
	pid_t up;	/* chatello up; 0 = it is not running */
	pid_t upstream; /* 0 = none */
	int up_out;	/* its standard output */
	char public[ADDRESS_BYTES], admin[ADDRESS_BYTES],
	    internal[ADDRESS_BYTES]; /* host:port */
	char upstream_address[ADDRESS_BYTES];
	char internal_token[128];
};

/* What a program that has ended said. */
struct output {
	int code; /* exit code, or 128 + signal */
	char *out, *err;
};

/* Starts the upstream and makes the store. */
void house_init(struct house *house);
/* Only the environment: no store, no upstream. */
void house_prepare(struct house *house);
void house_set(const char *name, const char *value);
/* Starts it and waits for its `ready` line. */
void house_up(struct house *house);
/* SIGTERM, and waits for the drain; returns the exit code. */
int house_down(struct house *house);
/* The process of that name ("proxy-0") below `up`; 0 when there is none. */
pid_t house_pid(const struct house *house, const char *name);
/* kill(2) on it; false when there is none. */
bool house_kill(const struct house *house, const char *name, int signal);

/* A program of the build: it lies beside this one. */
void program_path(const char *program, char out[PATH_MAX]);
/* Runs a program of the build with these arguments, NULL at the end. */
struct output run(const char *program, ...) __attribute__((sentinel));
struct output run_args(const char *program, char *const *args);
void output_free(struct output *output);
/* chatello ... with --json: must end with 0 and print one JSON value. The
 * caller's, to be given to json_decref. */
json_t *tool(const char *first, ...) __attribute__((sentinel));
/* Starts a program; its standard output is a pipe that is returned, standard
 * error goes to the file `log`. */
pid_t start(const char *program, char *const *args, const char *log, int *out);
/* Waits for it: exit code, or 128 + signal. */
int wait_for(pid_t pid);

/* A new licence's key on the plan; static storage of four, used in turn. */
const char *house_license(const char *plan);
/* Every ledger line: an array of objects. */
json_t *house_ledger(void);
/* The upstream's counters once `counter` has reached n. */
json_t *upstream_wait(const struct house *house, const char *counter,
		      long long n);
json_t *upstream_counts(const struct house *house);
void upstream_reset(const struct house *house);

/* "usage.requests_month.used" of a nested object; NULL when it is not there. */
json_t *json_at(const json_t *object, const char *path);
long long json_int_at(const json_t *object, const char *path);
/* "" when it is not there. */
struct str json_str_at(const json_t *object, const char *path);
#define CHECK_JSON_INT(object, path, want)                                     \
	CHECK_INT(json_int_at(object, path), want)
#define CHECK_JSON_STR(object, path, want)                                     \
	CHECK_STR(json_str_at(object, path), STR(want))

/* Monotonic milliseconds. */
long long now_ms(void);

#endif
