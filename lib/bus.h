/*
 * bus: requests, answers and streams between the processes of one house, over
 * nng's wire (this is the only includer of nng). One inbox (PULL) for each
 * process, one outbox (PUSH) for each peer it may write to,
 * `ipc://RUN/NAME.sock`. A message is a batch of frames; doc/protocol.md has
 * the layout. Everything here runs in the loop's thread; nng's own threads,
 * which serve tools and doorbell, never run our callbacks.
 *
 * Promises: a request gets exactly one final answer (an answer, or WORKER_LOST,
 * DEADLINE, OVERLOADED, CANCELLED is reported to it by the bus itself, unless
 * it was cancelled, after which nothing more is reported). Nothing else is: a
 * request that was sent may have been carried out although its answer is
 * WORKER_LOST or DEADLINE. Only an answer counts.
 */
#ifndef LIB_BUS_H
#define LIB_BUS_H

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/loop.h"

#define BUS_BATCH_BYTES_MAX (16u << 20) /* RECVMAXSZ; a frame is smaller */
#define BUS_STREAM_CREDIT_BYTES 262144u /* unread bytes of a stream */
#define BUS_IN_FLIGHT_MAX 65536u	/* requests of one process */
#define BUS_BEAT_MS 500
#define BUS_SILENT_MS 1500
#define BUS_NAME_BYTES 32

struct bus;
struct bus_pool;

/* name: "edge-0"; takes RUN/NAME.lock and listens. run_dir must exist, 0750.
 * ERR_EXISTS: another process has that name. ERR_IO: why says what. */
enum err bus_open(struct bus **out, struct loop *loop, const char *run_dir,
		  const char *name, struct why *why);
/* Stops listening, drops what is in flight without reporting, frees. */
void bus_close(struct bus *bus);
/* This start of this process, different at each start. */
uint64_t bus_incarnation(const struct bus *bus);
/* Batches and frames that were not taken since the start: malformed, from a
 * stranger, or meant for an earlier incarnation. */
uint64_t bus_dropped(const struct bus *bus);

/* --- asking ------------------------------------------------------------- */

/* Peers KIND-0 .. KIND-(count-1). Dials without blocking and for ever.
 * window_batches: at most so many batches unanswered at one peer; what comes
 * meanwhile gathers into the next (0 = no such limit; for pools that answer a
 * batch not as a whole). */
enum err bus_pool_open(struct bus *bus, const char *kind, unsigned count,
		       unsigned window_batches, struct bus_pool **out);

struct bus_answer {
	enum err err;	 /* of the answering handler, or the bus's own */
	bool is_last;	 /* false: a part of a stream, more follow */
	struct str body; /* lives until the callback returns */
};
/* Called from the loop; parts of a stream in order, then the last one once. */
typedef void bus_answer_fn(void *ctx, const struct bus_answer *answer);

struct bus_ask {
	uint16_t type;	      /* message number */
	bool is_repeatable;   /* a read: asked again once elsewhere when its
				 worker is lost */
	uint32_t deadline_ms; /* from now; 0 is not allowed */
	struct str body;      /* encoded message; copied */
	bus_answer_fn *fn;
	void *ctx;
};
/* Gives it to the live peer with the least in flight. Never calls fn before it
 * returns. ERR_UNAVAILABLE: no peer is alive; ERR_OVERLOADED; *id for the
 * calls below. */
enum err bus_ask(struct bus_pool *pool, const struct bus_ask *ask,
		 uint64_t *id);
/* The caller lost interest: tells the worker, reports nothing more. */
void bus_cancel(struct bus *bus, uint64_t id);
/* The caller has consumed so many bytes of a stream's parts: the worker may
 * send as many again. */
void bus_credit(struct bus *bus, uint64_t id, size_t bytes);

struct bus_peer_state {
	char name[BUS_NAME_BYTES];
	bool is_alive;	      /* connected and heard within BUS_SILENT_MS */
	uint64_t incarnation; /* of its last frame; 0 = never heard */
	unsigned in_flight;
};
unsigned bus_pool_size(const struct bus_pool *pool);
void bus_pool_state(const struct bus_pool *pool, unsigned index,
		    struct bus_peer_state *out);
/* Called when a peer that may be written to, or that writes to us, comes
 * (is_alive) or goes (!is_alive, with the incarnation that went); between two
 * incarnations it always goes. */
typedef void bus_peer_fn(void *ctx, const struct bus_peer_state *state);
void bus_on_peer(struct bus *bus, bus_peer_fn *fn, void *ctx);
/* Asks one given peer instead of the least busy; never asked again elsewhere.
 */
enum err bus_ask_peer(struct bus_pool *pool, unsigned index,
		      const struct bus_ask *ask, uint64_t *id);

/* --- answering ---------------------------------------------------------- */

struct bus_from; /* whose question it was; see bus_from_free */

struct bus_request {
	uint16_t type;
	struct str body;     /* lives until the callback returns */
	int64_t deadline_ns; /* monotonic, of this process */
	const char *peer;    /* "edge-0", "tools" */
	uint64_t peer_incarnation;
	struct bus_from *from; /* owned by the callee until its last answer */
};
typedef void bus_request_fn(void *ctx, const struct bus_request *request);
/* The asker cancelled, or is gone; from is still to be answered (the answer
 * goes nowhere), which frees it. */
typedef void bus_cancelled_fn(void *ctx, struct bus_from *from);
/* More credit came for a stream that was out of it. */
typedef void bus_credit_fn(void *ctx, struct bus_from *from);
/* Answers go to the pools' peers of these kinds only: "edge". Their outboxes
 * are made here. Call once for each kind that may ask us. */
enum err bus_serve_kind(struct bus *bus, const char *kind, unsigned count);
/* cancelled, credit: NULL = not told. */
void bus_serve(struct bus *bus, bus_request_fn *fn, bus_cancelled_fn *cancelled,
	       bus_credit_fn *credit, void *ctx);
/* Also listens on RUN/NAME.tools (REP) for bus_tool_call. */
enum err bus_serve_tools(struct bus *bus, struct why *why);

/* For the asked side to hang its own state on. */
void bus_from_set(struct bus_from *from, void *state);
void *bus_from_state(const struct bus_from *from);
/* The last answer; frees from. body is copied. */
void bus_answer(struct bus *bus, struct bus_from *from, enum err err,
		struct str body);
/* A part of a stream (a tool gets the last answer only). Bytes that may still
 * be sent before the reader has given credit again; <= 0: pause until the
 * credit callback. */
int64_t bus_answer_part(struct bus *bus, struct bus_from *from,
			struct str body);
int64_t bus_from_credit(const struct bus_from *from);

/* What has gathered leaves now and not only at the loop's turn's end: for a
 * handler that does much in one. */
void bus_push(struct bus *bus);

/* --- doorbell (PUB/SUB): a hint, never the carrier ----------------------- */
enum err bus_doorbell_open(struct bus *bus, struct why *why);
/* One goes out at once, what comes within 20 ms behind it as one more. */
void bus_doorbell_ring(struct bus *bus);
typedef void bus_doorbell_fn(void *ctx);
/* Listens to NAME's doorbell ("usage-0"). */
enum err bus_doorbell_listen(struct bus *bus, const char *name,
			     bus_doorbell_fn *fn, void *ctx);

/* --- tools: one blocking question, no bus needed ------------------------- */
/* ERR_UNAVAILABLE: nobody listens there. answer_err is the handler's. */
enum err bus_tool_call(const char *run_dir, const char *name, uint16_t type,
		       struct str body, int timeout_ms, enum err *answer_err,
		       struct buf *answer, struct why *why);

#endif
