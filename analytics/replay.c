/*
 * replay: the second generation of follow.h. The live one goes on between the
 * steps; the last step, in which both stand at the same event, compares and
 * swaps.
 */
#include "analytics/follow_parts.h"

#include <stdlib.h>

#define COMPARE_ROWS 1000u

enum err
follow_replay_begin(struct follow *follow)
{
	enum err e;

	if (follow->building.number)
		return ERR_CONFLICT;
	while (follow->retired) {
		e = follow_delete_step(follow);
		if (e != ERR_OK)
			return e;
	}
	follow->building.number = ++follow->newest;
	follow->building.seq = 0;
	e = follow_put_state(follow);
	if (e != ERR_OK)
		follow->building.number = 0;
	return e;
}

bool
follow_is_replaying(const struct follow *follow)
{
	return follow->building.number != 0;
}

/* Everything of a generation, keys without their prefix. */
static enum err
digest_generation(struct follow *follow, int64_t number, struct digest *digest,
		  uint64_t *days)
{
	struct key prefix, day_prefix, after_key = {.n = 0};
	struct str after = STR_NONE;
	struct store_row *rows;
	size_t count = COMPARE_ROWS;
	enum err e = ERR_OK;

	*days = 0;
	row_key_generation(&prefix, number);
	day_prefix = prefix;
	day_prefix.p[day_prefix.n++] = 'd';
	while (e == ERR_OK && count == COMPARE_ROWS) {
		arena_reset(&follow->arena);
		rows = arena_array(&follow->arena, COMPARE_ROWS, sizeof(*rows));
		if (rows == NULL)
			return ERR_NO_MEMORY;
		e = store_scan(follow->rows, key_str(&prefix), after,
			       COMPARE_ROWS, &follow->arena, rows, &count);
		for (size_t i = 0; e == ERR_OK && i < count; i++) {
			struct str key = rows[i].key;

			*days += str_starts(key, key_str(&day_prefix));
			digest_add(
			    digest,
			    str_bytes(key.p + prefix.n, key.n - prefix.n),
			    rows[i].value);
		}
		if (e != ERR_OK || count == 0)
			break;
		after_key.n = rows[count - 1].key.n;
		memcpy(after_key.p, rows[count - 1].key.p, after_key.n);
		after = key_str(&after_key);
	}
	return e;
}

static enum err
compare(struct follow *follow, struct follow_replayed *out)
{
	struct digest *digest = digest_open();
	char live[DIGEST_TEXT_BYTES];
	uint64_t live_days;
	enum err e;

	if (digest == NULL)
		return ERR_NO_MEMORY;
	e = digest_generation(follow, follow->live.number, digest, &live_days);
	digest_print(digest, live);
	if (e == ERR_OK)
		e = digest_generation(follow, follow->building.number, digest,
				      &out->rows);
	digest_print(digest, out->digest);
	digest_close(digest);
	out->seq = out->events = follow->building.seq;
	out->is_identical = strcmp(live, out->digest) == 0;
	return e;
}

static enum err
swap(struct follow *follow)
{
	struct generation old = follow->live;
	enum err e;

	follow->retired = old.number;
	follow->live = follow->building;
	follow->building = (struct generation){0};
	e = follow_put_state(follow);
	if (e != ERR_OK) {
		follow->building = follow->live;
		follow->live = old;
		follow->retired = 0;
	}
	return e;
}

/* The live generation stays; what was built is deleted by and by. */
static enum err
give_up(struct follow *follow, enum err e)
{
	follow->retired = follow->building.number;
	follow->building = (struct generation){0};
	if (e != ERR_COMMIT_UNKNOWN)
		follow_put_state(follow); /* else the next open finds it */
	return e;
}

enum err
follow_replay_step(struct follow *follow, bool *is_done,
		   struct follow_replayed *out)
{
	size_t count = 0;
	enum err e = follow_advance(follow, &follow->building, &count);

	*is_done = false;
	/* The live one catches up to the same event, at its own chunk's size.
	 */
	if (e == ERR_OK && count < FOLLOW_CHUNK_EVENTS &&
	    follow->live.seq < follow->building.seq)
		e = follow_advance(follow, &follow->live, &count);
	if (e == ERR_OK && count < FOLLOW_CHUNK_EVENTS &&
	    follow->live.seq == follow->building.seq) {
		e = compare(follow, out);
		if (e == ERR_OK)
			e = swap(follow);
		*is_done = e == ERR_OK;
	}
	return e == ERR_OK ? e : give_up(follow, e);
}
