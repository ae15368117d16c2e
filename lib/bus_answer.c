/*
 * bus_answer: requests that were asked of us. Each has a bus_from until its
 * last answer; the asker's slot (in the low bits of the id) finds it when a
 * cancel or credit comes. A cancelled one is in no list any more and waits for
 * its owner's answer, which goes nowhere.
 */
#include "lib/bus_internal.h"

#include <assert.h>
#include <stdlib.h>

enum err
froms_open(struct bus *bus)
{
	/* Untouched pages of it cost nothing. */
	bus->froms = calloc(BUS_FROM_MAX, sizeof(struct bus_from));
	return bus->froms ? ERR_OK : ERR_NO_MEMORY;
}

void
froms_close(struct bus *bus)
{
	free(bus->froms);
}

struct bus_from *
from_take(struct bus *bus)
{
	struct bus_from *from = bus->free_froms;

	if (from) {
		bus->free_froms = from->next;
	} else {
		if (bus->froms_used == BUS_FROM_MAX)
			return NULL;
		from = &bus->froms[bus->froms_used++];
	}
	*from = (struct bus_from){.credit_bytes = BUS_STREAM_CREDIT_BYTES};
	return from;
}

void
from_give(struct bus *bus, struct bus_from *from)
{
	from->next = bus->free_froms;
	bus->free_froms = from;
}

/* --- who may ask -----------------------------------------------------------
 */

enum err
bus_serve_kind(struct bus *bus, const char *kind, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct peer *peer;
		enum err e = peer_open(bus, kind, i, &peer);

		if (e != ERR_OK)
			return e;
		if (peer->from_by_slot == NULL)
			peer->from_by_slot = calloc(BUS_IN_FLIGHT_MAX,
						    sizeof(struct bus_from *));
		if (peer->from_by_slot == NULL)
			return ERR_NO_MEMORY;
	}
	return ERR_OK;
}

void
bus_serve(struct bus *bus, bus_request_fn *fn, bus_cancelled_fn *cancelled,
	  bus_credit_fn *credit, void *ctx)
{
	bus->request_fn = fn;
	bus->cancelled_fn = cancelled;
	bus->credit_fn = credit;
	bus->serve_ctx = ctx;
}

/* --- lists -----------------------------------------------------------------
 */

static struct bus_from **
place_of(struct peer *peer, uint64_t id)
{
	return &peer->from_by_slot[id & BUS_SLOT_MASK];
}

static struct bus_from *
find(struct peer *peer, uint64_t id)
{
	struct bus_from *from = peer->from_by_slot ? *place_of(peer, id) : NULL;

	return from && from->id == id ? from : NULL;
}

static void
link_from(struct peer *peer, struct bus_from *from)
{
	*place_of(peer, from->id) = from;
	from->next = peer->froms;
	if (from->next)
		from->next->prev = from;
	peer->froms = from;
}

static void
unlink_from(struct bus_from *from)
{
	struct peer *peer = from->peer;

	*place_of(peer, from->id) = NULL;
	*(from->prev ? &from->prev->next : &peer->froms) = from->next;
	if (from->next)
		from->next->prev = from->prev;
}

static void
cancel(struct bus_from *from)
{
	struct bus *bus = from->peer->bus;

	unlink_from(from);
	from->is_cancelled = true;
	if (bus->cancelled_fn)
		bus->cancelled_fn(bus->serve_ctx, from);
}

/* --- what comes in ---------------------------------------------------------
 */

void
from_request(struct peer *peer, const struct wire_frame *frame)
{
	struct bus *bus = peer->bus;
	struct bus_from *from;

	if (peer->from_by_slot == NULL || bus->request_fn == NULL) {
		bus->dropped++;
		return;
	}
	from = *place_of(peer, frame->id);
	if (from && from->id == frame->id) {
		bus->dropped++; /* asked twice: one answer is enough */
		return;
	}
	if (from)
		cancel(from); /* the asker has given that slot away */
	from = from_take(bus);
	if (from == NULL) {
		(void)peer_put(peer, &(struct wire_frame){.kind = WIRE_ANSWER,
							  .err = ERR_OVERLOADED,
							  .id = frame->id});
		return;
	}
	from->peer = peer;
	from->id = frame->id;
	link_from(peer, from);
	bus->request_fn(bus->serve_ctx,
			&(struct bus_request){
			    .type = frame->type,
			    .body = frame->body,
			    .deadline_ns = loop_now_ns(bus->loop) +
					   (int64_t)frame->extra * NS_PER_MS,
			    .peer = peer->name,
			    .peer_incarnation = peer->incarnation,
			    .from = from,
			});
}

void
from_cancel(struct peer *peer, uint64_t id)
{
	struct bus_from *from = find(peer, id);

	if (from)
		cancel(from);
}

void
from_credit(struct peer *peer, uint64_t id, uint32_t bytes)
{
	struct bus *bus = peer->bus;
	struct bus_from *from = find(peer, id);
	bool was_out;

	if (from == NULL)
		return;
	was_out = from->credit_bytes <= 0;
	from->credit_bytes += bytes;
	if (from->credit_bytes > BUS_STREAM_CREDIT_BYTES)
		from->credit_bytes = BUS_STREAM_CREDIT_BYTES;
	if (was_out && from->credit_bytes > 0 && bus->credit_fn)
		bus->credit_fn(bus->serve_ctx, from);
}

void
froms_gone(struct peer *peer)
{
	while (peer->froms)
		cancel(peer->froms);
}

/* --- what goes out ---------------------------------------------------------
 */

void
bus_from_set(struct bus_from *from, void *state)
{
	from->state = state;
}

void *
bus_from_state(const struct bus_from *from)
{
	return from->state;
}

int64_t
bus_from_credit(const struct bus_from *from)
{
	return from->credit_bytes;
}

void
bus_answer(struct bus *bus, struct bus_from *from, enum err err,
	   struct str body)
{
	struct wire_frame frame = {.kind = WIRE_ANSWER,
				   .err = (uint16_t)err,
				   .extra = from->parts,
				   .id = from->id,
				   .body = body};

	if (from->tool) {
		tool_answer(bus, from, err, body);
	} else if (!from->is_cancelled) {
		enum err e = body.n > WIRE_BODY_BYTES_MAX
				 ? ERR_TOO_LARGE
				 : peer_put(from->peer, &frame);

		if (e != ERR_OK) { /* says so instead; there is spare room */
			frame.err = (uint16_t)e;
			frame.body = STR("");
			(void)peer_put(from->peer, &frame);
		}
		peer_push(from->peer);
		unlink_from(from);
	}
	from_give(bus, from);
}

int64_t
bus_answer_part(struct bus *bus, struct bus_from *from, struct str body)
{
	const struct wire_frame frame = {.kind = WIRE_PART,
					 .extra = from->parts,
					 .id = from->id,
					 .body = body};

	(void)bus;
	if (from->tool || from->is_cancelled)
		return from->credit_bytes; /* tools take last answers only */
	from->parts++;
	/* One that does not fit leaves a gap, which ends it at the asker's. */
	if (body.n <= WIRE_BODY_BYTES_MAX)
		(void)peer_put(from->peer, &frame);
	from->credit_bytes -= (int64_t)body.n;
	return from->credit_bytes;
}
