/*
 * bus_peer: the processes that we ask or that ask us. A peer is alive when our
 * outbox is connected to it and its own frames were heard a short while ago.
 * What is to be sent to it gathers here and leaves at the end of the turn:
 * requests while its window has room, all else as soon as the outbox is free.
 */
#include "lib/bus_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* After our connection broke: what the peer had answered still comes in. */
#define GRACE_MS 50
/* A timer that is so late means that we slept, not the peer. */
#define BEHIND_MS 250

static void beat(struct peer *peer);
static void on_beat(void *ctx);
static void on_silence(void *ctx);

/* --- state -----------------------------------------------------------------
 */

bool
peer_is_alive(const struct peer *peer)
{
	return peer->is_up && peer->is_heard;
}

void
peer_state(const struct peer *peer, struct bus_peer_state *out)
{
	*out = (struct bus_peer_state){
	    .is_alive = peer_is_alive(peer),
	    .incarnation = peer->incarnation,
	    .in_flight = peer->in_flight,
	};
	memcpy(out->name, peer->name, sizeof(out->name));
}

/* Reports that it came or went since the last report. */
static void
tell(struct peer *peer)
{
	bool is_alive = peer_is_alive(peer);
	struct bus_peer_state state;

	if (is_alive == peer->is_told_alive)
		return;
	peer->is_told_alive = is_alive;
	peer_state(peer, &state);
	if (peer->bus->peer_fn)
		peer->bus->peer_fn(peer->bus->peer_ctx, &state);
	if (is_alive)
		questions_unpark(peer->bus);
}

static void
mark_dirty(struct peer *peer)
{
	struct bus *bus = peer->bus;

	if (!peer->is_dirty) {
		peer->is_dirty = true;
		bus->dirty[bus->dirty_count++] = peer;
	}
	loop_wake(bus->loop);
}

static bool
has_gathered(const struct peer *peer)
{
	return peer->requests.n > 0 || peer->others.n > 0;
}

/* --- made and freed --------------------------------------------------------
 */

struct peer *
peer_find(const struct bus *bus, const char *name)
{
	for (unsigned i = 0; i < bus->peer_count; i++)
		if (strcmp(bus->peers[i]->name, name) == 0)
			return bus->peers[i];
	return NULL;
}

enum err
peer_open(struct bus *bus, const char *kind, unsigned index, struct peer **out)
{
	char name[BUS_NAME_BYTES], path[BUS_PATH_BYTES];
	struct peer *peer;
	enum err e;
	int n = snprintf(name, sizeof(name), "%s-%u", kind, index);

	if (n < 0 || (size_t)n >= sizeof(name))
		return ERR_TOO_LARGE;
	*out = peer_find(bus, name);
	if (*out)
		return ERR_OK;
	if (bus->peer_count == BUS_PEERS_MAX)
		return ERR_OVERLOADED;
	e = bus_path(path, bus->run_dir, name, "sock", NULL);
	if (e != ERR_OK)
		return e;
	peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		return ERR_NO_MEMORY;
	peer->bus = bus;
	memcpy(peer->name, name, sizeof(name));
	buf_init(&peer->requests, BUS_OUTBOX_BYTES_MAX);
	buf_init(&peer->others, BUS_OUTBOX_BYTES_MAX + BUS_OUTBOX_SPARE_BYTES);
	e = outbox_open(peer, path);
	if (e != ERR_OK) {
		free(peer);
		return e;
	}
	bus->peers[bus->peer_count++] = peer;
	*out = peer;
	return ERR_OK;
}

void
peer_free(struct peer *peer)
{
	struct loop *loop = peer->bus->loop;

	loop_timer_clear(loop, &peer->beat);
	loop_timer_clear(loop, &peer->silence);
	loop_timer_clear(loop, &peer->grace);
	outbox_close(peer->outbox);
	buf_fini(&peer->requests);
	buf_fini(&peer->others);
	free(peer->from_by_slot);
	free(peer);
}

/* --- comes and goes --------------------------------------------------------
 */

/* Requests that have not left go with the connection, and so does the count of
 * unanswered batches. */
static void
drop_requests(struct peer *peer)
{
	buf_reset(&peer->requests);
	peer->batches_answered = peer->batches_sent;
}

/* That start of it is over, or cannot be told from one that is. */
static void
peer_gone(struct peer *peer)
{
	peer->is_heard = false;
	peer->pipe = 0;
	loop_timer_clear(peer->bus->loop, &peer->silence);
	drop_requests(peer);
	tell(peer);
	questions_lost(peer, true);
	froms_gone(peer);
}

bool
peer_heard(struct peer *peer, uint64_t incarnation, uint32_t pipe)
{
	struct loop *loop = peer->bus->loop;

	if (incarnation == peer->old_incarnation)
		return false;
	if (incarnation != peer->incarnation) {
		if (peer->incarnation != 0) {
			peer_gone(peer);
			buf_reset(&peer->others); /* meant for the old one */
		}
		peer->old_incarnation = peer->incarnation;
		peer->incarnation = incarnation;
		if (peer->is_up)
			beat(peer);
	}
	peer->pipe = pipe;
	peer->heard_ns = loop_now_ns(loop);
	if (!peer->is_heard) {
		peer->is_heard = true;
		loop_timer_set(loop, &peer->silence, BUS_SILENT_MS, on_silence,
			       peer);
		tell(peer);
	}
	return true;
}

static void
on_silence(void *ctx)
{
	struct peer *peer = ctx;
	struct loop *loop = peer->bus->loop;
	int64_t now_ns = loop_now_ns(loop);
	int64_t quiet_ms = (now_ns - peer->heard_ns) / NS_PER_MS;
	int64_t late_ms = (now_ns - peer->silence.at_ns) / NS_PER_MS;

	if (quiet_ms < BUS_SILENT_MS) {
		loop_timer_set(loop, &peer->silence, BUS_SILENT_MS - quiet_ms,
			       on_silence, peer);
	} else if (late_ms > BEHIND_MS) {
		/* What it sent meanwhile may not have reached us yet. */
		loop_timer_set(loop, &peer->silence, BUS_BEAT_MS, on_silence,
			       peer);
	} else {
		peer->is_heard = false;
		drop_requests(peer);
		tell(peer);
		questions_lost(peer, true);
		if (!peer->is_up)
			froms_gone(peer);
	}
}

void
peers_pipe_gone(struct bus *bus, uint32_t pipe)
{
	for (unsigned i = 0; i < bus->peer_count; i++)
		if (bus->peers[i]->pipe == pipe)
			peer_gone(bus->peers[i]);
}

static void
on_grace(void *ctx)
{
	questions_lost(ctx, false);
}

static void
beat(struct peer *peer)
{
	struct loop *loop = peer->bus->loop;

	/* Frames that wait say it as well. */
	if (has_gathered(peer) ||
	    peer_put(peer, &(struct wire_frame){.kind = WIRE_BEAT}) == ERR_OK)
		mark_dirty(peer);
	loop_timer_set(loop, &peer->beat, BUS_BEAT_MS, on_beat, peer);
}

static void
on_beat(void *ctx)
{
	struct peer *peer = ctx;
	struct loop *loop = peer->bus->loop;
	int64_t quiet_ms = (loop_now_ns(loop) - peer->sent_ns) / NS_PER_MS;

	if (!peer->is_up)
		return;
	if (quiet_ms < BUS_BEAT_MS)
		loop_timer_set(loop, &peer->beat, BUS_BEAT_MS - quiet_ms,
			       on_beat, peer);
	else
		beat(peer);
}

void
peer_look(struct peer *peer)
{
	struct loop *loop = peer->bus->loop;
	uint32_t drops;
	bool is_up;

	outbox_state(peer->outbox, &is_up, &drops);
	if (drops != peer->drops) {
		peer->drops = drops;
		peer->is_up = false;
		drop_requests(peer);
		loop_timer_set(loop, &peer->grace, GRACE_MS, on_grace, peer);
		tell(peer);
	}
	if (is_up && !peer->is_up) {
		peer->is_up = true;
		beat(peer);
		tell(peer);
	}
	if (has_gathered(peer))
		mark_dirty(peer);
}

/* --- sending ---------------------------------------------------------------
 */

static enum err
put(struct peer *peer, struct buf *buf, size_t limit_bytes,
    const struct wire_frame *frame)
{
	size_t n = WIRE_FRAME_BYTES + frame->body.n;

	if (wire_frame_put(buf, limit_bytes, frame)) {
		mark_dirty(peer);
		return ERR_OK;
	}
	return n > limit_bytes || buf->n > limit_bytes - n ? ERR_OVERLOADED
							   : ERR_NO_MEMORY;
}

enum err
peer_put(struct peer *peer, const struct wire_frame *frame)
{
	size_t limit_bytes = BUS_OUTBOX_BYTES_MAX;

	if (frame->body.n == 0)
		limit_bytes += BUS_OUTBOX_SPARE_BYTES;
	return put(peer, &peer->others, limit_bytes, frame);
}

enum err
peer_put_request(struct peer *peer, const struct wire_frame *frame)
{
	return put(peer, &peer->requests, BUS_OUTBOX_BYTES_MAX, frame);
}

void
peer_answered(struct peer *peer, uint64_t batch)
{
	if (batch <= peer->batches_answered || batch > peer->batches_sent)
		return;
	peer->batches_answered = batch;
	if (peer->requests.n > 0)
		mark_dirty(peer);
}

/* What was sent leaves the buffer; a large one gives its memory back. */
static void
drop_sent(struct buf *buf, size_t n)
{
	if (n < buf->n)
		buf_drop(buf, n);
	else if (buf->room > BUS_OUTBOX_KEEP_BYTES)
		buf_fini(buf);
	else
		buf_reset(buf);
}

/* One whose requests were all cancelled before they left has nothing that
 * could be answered. */
static bool
window_is_open(const struct peer *peer)
{
	return peer->window_batches == 0 || peer->in_flight == peer->unsent ||
	       peer->batches_sent - peer->batches_answered <
		   peer->window_batches;
}

static void
flush(struct peer *peer)
{
	const struct wire_head head = {peer->bus->incarnation,
				       peer->incarnation, peer->bus->name};
	size_t most = BUS_BATCH_BYTES_MAX - WIRE_HEAD_BYTES;
	size_t requests, others;
	char raw[WIRE_HEAD_BYTES];

	if (!outbox_is_free(peer->outbox))
		return; /* it says when it is */
	others = wire_cut(buf_str(&peer->others), most);
	requests = window_is_open(peer)
		       ? wire_cut(buf_str(&peer->requests), most - others)
		       : 0;
	if (others + requests == 0)
		return;
	wire_head_put(&head, raw);
	const struct str parts[] = {
	    str_bytes(raw, sizeof(raw)),
	    str_bytes(peer->requests.p, requests),
	    str_bytes(peer->others.p, others),
	};
	outbox_send(peer->outbox, parts, 3);
	if (requests > 0) {
		peer->batches_sent++;
		peer->unsent = 0;
	}
	peer->sent_ns = loop_now_ns(peer->bus->loop);
	drop_sent(&peer->requests, requests);
	drop_sent(&peer->others, others);
	if (peer->others.n > 0 || (requests > 0 && peer->requests.n > 0))
		mark_dirty(peer);
}

void
peer_push(struct peer *peer)
{
	if (peer->others.n >= BUS_PUSH_BYTES ||
	    (peer->requests.n >= BUS_PUSH_BYTES && window_is_open(peer)))
		flush(peer);
}

void
bus_push(struct bus *bus)
{
	unsigned count = bus->dirty_count;
	struct peer *dirty[BUS_PEERS_MAX];

	memcpy(dirty, bus->dirty, count * sizeof(struct peer *));
	bus->dirty_count = 0;
	for (unsigned i = 0; i < count; i++) {
		dirty[i]->is_dirty = false;
		flush(dirty[i]);
	}
}

void
peers_flush(void *ctx)
{
	bus_push(ctx);
	bell_flush(ctx);
}
