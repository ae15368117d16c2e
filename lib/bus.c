/*
 * bus: opens and closes the whole, and hands each received frame to the side
 * that it is for. What comes from outside is checked here and in bus_wire and
 * dropped when it is wrong, never asserted.
 */
#include "lib/bus_internal.h"

#include "lib/id.h"
#include "lib/proc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- receiving -------------------------------------------------------------
 */

static void
frame_handle(struct peer *peer, const struct wire_frame *frame)
{
	switch ((enum wire_kind)frame->kind) {
	case WIRE_REQUEST:
		from_request(peer, frame);
		break;
	case WIRE_ANSWER:
	case WIRE_PART:
		question_answer(peer, frame);
		break;
	case WIRE_CANCEL:
		from_cancel(peer, frame->id);
		break;
	case WIRE_CREDIT:
		from_credit(peer, frame->id, frame->extra);
		break;
	case WIRE_BEAT:
		break;
	}
}

/* False: not for us, or from nobody we know. */
static bool
batch_handle(struct bus *bus, struct str bytes, uint32_t pipe)
{
	struct wire_frame frame;
	struct wire_head head;
	struct peer *peer;
	struct str frames;

	if (!wire_batch_read(bytes, &head, &frames) ||
	    (head.to_incarnation != 0 &&
	     head.to_incarnation != bus->incarnation))
		return false;
	peer = peer_find(bus, head.name);
	if (peer == NULL || !peer_heard(peer, head.from_incarnation, pipe))
		return false;
	while (wire_frame_next(&frames, &frame))
		frame_handle(peer, &frame);
	return true;
}

void
bus_batch(struct bus *bus, struct str bytes, uint32_t pipe)
{
	bus->dropped += !batch_handle(bus, bytes, pipe);
}

/* --- opening ---------------------------------------------------------------
 */

static enum err
listen_as(struct bus *bus, struct why *why)
{
	char path[BUS_PATH_BYTES];
	enum err e = bus_path(path, bus->run_dir, bus->name, "lock", why);

	if (e == ERR_OK)
		e = proc_lock(path, &bus->lock_fd, why);
	if (e == ERR_OK)
		e = bus_path(path, bus->run_dir, bus->name, "sock", why);
	if (e == ERR_OK)
		e = inbox_open(bus, path, why);
	if (e == ERR_OK)
		e = loop_turn_add_last(bus->loop, peers_flush, bus);
	return e;
}

enum err
bus_open(struct bus **out, struct loop *loop, const char *run_dir,
	 const char *name, struct why *why)
{
	struct bus *bus = calloc(1, sizeof(*bus));
	enum err e;

	if (bus == NULL)
		return ERR_NO_MEMORY;
	assert(name[0] && strlen(name) < sizeof(bus->name));
	bus->loop = loop;
	bus->lock_fd = -1;
	snprintf(bus->name, sizeof(bus->name), "%s", name);
	snprintf(bus->run_dir, sizeof(bus->run_dir), "%s", run_dir);
	while (bus->incarnation == 0)
		id_random(&bus->incarnation, sizeof(bus->incarnation));
	id_random(&bus->next_id, sizeof(bus->next_id));
	bus->next_id &= ~(uint64_t)BUS_SLOT_MASK;
	e = questions_open(bus);
	if (e == ERR_OK)
		e = froms_open(bus);
	if (e == ERR_OK)
		e = strlen(run_dir) < sizeof(bus->run_dir)
			? listen_as(bus, why)
			: bus_path(bus->run_dir, run_dir, name, "lock", why);
	if (e != ERR_OK) {
		bus_close(bus);
		return e;
	}
	*out = bus;
	return ERR_OK;
}

static void
close_sockets(void *ctx)
{
	struct bus *bus = ctx;

	tools_close(bus);
	bell_close(bus);
}

void
bus_close(struct bus *bus)
{
	if (bus == NULL)
		return;
	loop_turn_remove(bus->loop, peers_flush, bus);
	tools_stop(bus);
	bell_stop(bus);
	inbox_close(bus);
	questions_stop(bus);
	for (unsigned i = 0; i < bus->peer_count; i++)
		peer_free(bus->peers[i]);
	if ((bus->tools || bus->bell) && !bus_nng_finish(close_sockets, bus))
		return; /* the process ends now; its sockets with it */
	questions_close(bus);
	froms_close(bus);
	if (bus->lock_fd >= 0)
		close(bus->lock_fd); /* last: the name is free now */
	free(bus);
}

uint64_t
bus_incarnation(const struct bus *bus)
{
	return bus->incarnation;
}

uint64_t
bus_dropped(const struct bus *bus)
{
	return bus->dropped;
}

void
bus_on_peer(struct bus *bus, bus_peer_fn *fn, void *ctx)
{
	bus->peer_fn = fn;
	bus->peer_ctx = ctx;
}
