/*
 * bus_internal: what the bus_*.c files share; nobody else includes it.
 *
 *   bus_wire    frames and batches as bytes; pure
 *   bus_sp      nng's own wire as bytes; pure
 *   bus_inbox   our listening socket and its connections
 *   bus_outbox  our connection to one peer
 *   bus_peer    who is there: connections, beats, incarnations, flushing
 *   bus_ask     pools, requests in flight, their answers
 *   bus_answer  requests that were asked of us, and our answers
 *   bus_tools   REP/REQ for the command line
 *   bus_bell    PUB/SUB for the doorbell
 *   bus_nng     what those two share of nng
 *   bus         opens all of it and hands received frames round
 *
 * All but the callbacks of bus_tools runs in the loop thread.
 */
#ifndef LIB_BUS_INTERNAL_H
#define LIB_BUS_INTERNAL_H

#include "lib/bus.h"
#include "lib/clock.h"

#include <pthread.h>

#define BUS_PEERS_MAX 256u
#define BUS_POOLS_MAX 16u
#define BUS_FROM_MAX 65536u		      /* requests that wait for us */
#define BUS_OUTBOX_BYTES_MAX (64u << 20)      /* gathered for one peer */
#define BUS_OUTBOX_SPARE_BYTES (4u << 20)     /* beyond it, for short answers */
#define BUS_PUSH_BYTES 8192u		      /* worth a batch of its own */
#define BUS_OUTBOX_KEEP_BYTES (1u << 20)      /* memory kept when empty */
#define BUS_PATH_BYTES 108		      /* sun_path */
#define BUS_SLOT_MASK (BUS_IN_FLIGHT_MAX - 1) /* of a request id */

/* --- wire ------------------------------------------------------------------
 */

#define WIRE_VERSION 1
#define WIRE_HEAD_BYTES 56
#define WIRE_FRAME_BYTES 24
#define WIRE_BODY_BYTES_MAX                                                    \
	(BUS_BATCH_BYTES_MAX - WIRE_HEAD_BYTES - WIRE_FRAME_BYTES)

enum wire_kind {
	WIRE_REQUEST = 1,
	WIRE_ANSWER, /* the last one */
	WIRE_PART,
	WIRE_CANCEL,
	WIRE_CREDIT,
	WIRE_BEAT,
};

struct wire_head {
	uint64_t from_incarnation;
	uint64_t to_incarnation; /* 0: whoever has the name */
	const char *name;	 /* of the sender */
};

struct wire_frame {
	uint8_t kind;
	uint16_t type;
	uint16_t err;
	uint32_t extra; /* REQUEST: ms left; PART: its number; ANSWER: parts
			   before it; CREDIT: bytes */
	uint64_t id;
	struct str body;
};

void wire_head_put(const struct wire_head *head, char out[WIRE_HEAD_BYTES]);
/* Appends; false and nothing changed when it does not fit limit_bytes. */
bool wire_frame_put(struct buf *buf, size_t limit_bytes,
		    const struct wire_frame *frame);
/* Checks the whole batch; *frames is the run of its frames. name points into
 * batch. */
bool wire_batch_read(struct str batch, struct wire_head *head,
		     struct str *frames);
/* Takes the first frame off a run that wire_batch_read checked. */
bool wire_frame_next(struct str *frames, struct wire_frame *frame);
/* Bytes of whole frames at the run's start, at most max_bytes. */
size_t wire_cut(struct str frames, size_t max_bytes);

/* --- nng's wire ------------------------------------------------------------
 * Greeting: both ends send theirs first. Each message has a head.
 */

#define SP_GREETING_BYTES 8
#define SP_HEAD_BYTES 9
#define SP_PUSH 0x50 /* protocol numbers */
#define SP_PULL 0x51

void sp_greeting_put(uint16_t protocol, char out[SP_GREETING_BYTES]);
bool sp_greeting_is(uint16_t protocol, const char *in);
void sp_head_put(size_t body_bytes, char out[SP_HEAD_BYTES]);
/* False: no head, or of more than BUS_BATCH_BYTES_MAX. */
bool sp_head_read(const char *in, size_t *body_bytes);

/* --- inbox and outboxes ----------------------------------------------------
 */

struct bus_outbox;
struct peer;

/* A process of another user and another group has no business here. */
bool bus_is_ours(uint64_t uid, uint64_t gid);

#define BUS_SOCKET_MODE 0660 /* our user and our group */

/* Replaces the socket that a killed process left. Calls bus_batch for what
 * comes, and peers_pipe_gone when a connection ends. */
enum err inbox_open(struct bus *bus, const char *path, struct why *why);
void inbox_close(struct bus *bus);

/* Sets peer->outbox and dials; calls peer_look when its state changes and when
 * it is free again. */
enum err outbox_open(struct peer *peer, const char *path);
void outbox_close(struct bus_outbox *outbox); /* NULL is allowed */
/* *drops: connections lost so far. */
void outbox_state(const struct bus_outbox *outbox, bool *is_up,
		  uint32_t *drops);
/* Connected, and the last batch is under way no more. */
bool outbox_is_free(const struct bus_outbox *outbox);
/* One batch of at most 3 parts, by a free outbox only. What cannot be sent is
 * lost with the connection, whose end is told. */
void outbox_send(struct bus_outbox *outbox, const struct str *parts,
		 size_t count);

/* --- what tools and doorbell share of nng ----------------------------------
 */

enum err bus_nng_err(int nng_error);
/* RUN/NAME.SUFFIX; ERR_CONFIG when it is too long for a socket. */
enum err bus_path(char out[BUS_PATH_BYTES], const char *run_dir,
		  const char *name, const char *suffix, struct why *why);
/* Replaces what a killed process left; only peers of our user or group. */
enum err bus_nng_listen(uint32_t socket_id, const char *path, struct why *why);

/* Something that another thread finishes, waited for on the monotonic clock. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool is_open;
};

void gate_init(struct gate *gate);
void gate_fini(struct gate *gate);
void gate_open(struct gate *gate);
/* False: it is later than deadline_ns. Shuts it again for the next one. */
bool gate_wait(struct gate *gate, int64_t deadline_ns);

/* Runs fn, which closes nng's sockets, and waits for it one second at most: nng
 * 1.5.2 can wait for ever when a connection closes in the middle of a message
 * that takes several writes. False: it still runs; what it uses must stay. */
bool bus_nng_finish(void (*fn)(void *ctx), void *ctx);

/* --- peers -----------------------------------------------------------------
 */

struct question;

struct question_list {
	struct question *first;
	struct question *last;
};

struct peer {
	struct bus *bus;
	char name[BUS_NAME_BYTES];
	struct bus_outbox *outbox;
	struct buf requests;	 /* frames that wait for the window */
	struct buf others;	 /* frames that wait for the outbox only */
	unsigned window_batches; /* 0: none */
	uint64_t batches_sent;	 /* those with requests in them */
	uint64_t batches_answered;
	bool is_up;    /* our outbox is connected */
	bool is_heard; /* within BUS_SILENT_MS */
	bool is_dirty; /* on the bus's list for the end of the turn */
	bool is_told_alive;
	uint32_t pipe;	/* of our inbox, that it was last heard on */
	uint32_t drops; /* times that is_up was lost */
	uint64_t incarnation;
	uint64_t old_incarnation;
	int64_t heard_ns;
	int64_t sent_ns;
	struct loop_timer beat;
	struct loop_timer silence;
	struct loop_timer grace;
	struct question_list questions; /* in flight, oldest first */
	unsigned in_flight;
	unsigned unsent;		/* of those */
	struct bus_from **from_by_slot; /* NULL: may not ask us */
	struct bus_from *froms;
};

struct bus {
	struct loop *loop;
	char run_dir[BUS_PATH_BYTES];
	char name[BUS_NAME_BYTES];
	uint64_t incarnation;
	int lock_fd;
	struct bus_inbox *inbox;
	uint64_t dropped; /* batches and frames that were not taken */

	struct peer *peers[BUS_PEERS_MAX];
	unsigned peer_count;
	struct peer *dirty[BUS_PEERS_MAX];
	unsigned dirty_count;
	bus_peer_fn *peer_fn;
	void *peer_ctx;

	struct bus_pool *pools[BUS_POOLS_MAX];
	unsigned pool_count;
	struct question *questions; /* BUS_IN_FLIGHT_MAX, by slot */
	struct question *free_questions;
	uint32_t questions_used; /* slots that were ever used */
	uint64_t next_id;	 /* without its slot */

	struct bus_from *froms; /* BUS_FROM_MAX */
	struct bus_from *free_froms;
	uint32_t froms_used;
	bus_request_fn *request_fn;
	bus_cancelled_fn *cancelled_fn;
	bus_credit_fn *credit_fn;
	void *serve_ctx;

	struct bus_tools *tools;
	struct bus_bell *bell;
};

/* A batch as it came in over that connection of the inbox. */
void bus_batch(struct bus *bus, struct str bytes, uint32_t pipe);

/* The peer of that name, made and dialled if it is new. */
enum err peer_open(struct bus *bus, const char *kind, unsigned index,
		   struct peer **out);
void peer_free(struct peer *peer);
struct peer *peer_find(const struct bus *bus, const char *name);
bool peer_is_alive(const struct peer *peer);
void peer_state(const struct peer *peer, struct bus_peer_state *out);
/* A batch came from it; false: of an incarnation that is over. */
bool peer_heard(struct peer *peer, uint64_t incarnation, uint32_t pipe);
/* A connection of our inbox closed. */
void peers_pipe_gone(struct bus *bus, uint32_t pipe);
/* Its outbox has changed. */
void peer_look(struct peer *peer);
/* Adds a frame to what leaves at the end of the turn. ERR_OVERLOADED,
 * ERR_NO_MEMORY: nothing was added. */
enum err peer_put(struct peer *peer, const struct wire_frame *frame);
enum err peer_put_request(struct peer *peer, const struct wire_frame *frame);
/* What has gathered leaves within the turn when it is worth a batch, so that
 * the peer begins while we go on. */
void peer_push(struct peer *peer);
/* The batch of that number has been answered. */
void peer_answered(struct peer *peer, uint64_t batch);
/* The last turn hook: sends what has gathered. */
void peers_flush(void *bus);

/* --- asking ----------------------------------------------------------------
 */

enum err questions_open(struct bus *bus);
void questions_stop(struct bus *bus);
void questions_close(struct bus *bus);
/* An ANSWER or PART. */
void question_answer(struct peer *peer, const struct wire_frame *frame);
/* Those that were sent to it over a connection before drops, or all. */
void questions_lost(struct peer *peer, bool is_all);
/* A peer came: asks again what waited for one. */
void questions_unpark(struct bus *bus);

/* --- answering -------------------------------------------------------------
 */

struct bus_from {
	struct peer *peer; /* NULL: a tool */
	struct bus_tool *tool;
	struct bus_from *prev; /* of the same peer */
	struct bus_from *next;
	uint64_t id;
	void *state;
	int64_t credit_bytes;
	uint32_t parts;
	bool is_cancelled;
};

enum err froms_open(struct bus *bus);
void froms_close(struct bus *bus);
struct bus_from *from_take(struct bus *bus);
void from_give(struct bus *bus, struct bus_from *from);
enum err from_serve_peer(struct peer *peer);
void from_request(struct peer *peer, const struct wire_frame *frame);
void from_cancel(struct peer *peer, uint64_t id);
void from_credit(struct peer *peer, uint64_t id, uint32_t bytes);
/* The peer's incarnation is over. */
void froms_gone(struct peer *peer);

/* --- tools and doorbell ----------------------------------------------------
 */

void tools_stop(struct bus *bus);
void tools_close(struct bus *bus);
void tool_answer(struct bus *bus, struct bus_from *from, enum err err,
		 struct str body);
/* The loop's side first, then what bus_nng_finish may run. */
void bell_stop(struct bus *bus);
void bell_close(struct bus *bus);
void bell_flush(struct bus *bus);

#endif
