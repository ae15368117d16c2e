/*
 * group_new: whether a key is new. Most of those that are asked for here come
 * about in the order of time, and lie behind all that the store has of their
 * kind; so what the store has next behind one of them is remembered, and those
 * between are not searched for. See group.h.
 *
 * Always holds: the store has no key of the gap. Nobody else writes to it, and
 * a commit closes the gap.
 */
#include "store/group_parts.h"

static bool
is_in_gap(const struct gap *gap, struct str key)
{
	return gap->is_open && str_cmp(key_str(&gap->from), key) < 0 &&
	       str_cmp(key, key_str(&gap->to)) < 0;
}

/* From a key up to the next one of its kind, or the first of the next kind. */
static enum err
open_gap(struct group *group, const struct key *key, struct arena *arena)
{
	struct gap *gap = &group->gap;
	struct store_row next;
	size_t count;
	enum err err = store_scan(group->store, str_bytes(key->p, 1),
				  key_str(key), 1, arena, &next, &count);

	if (err != ERR_OK)
		return err;
	gap->is_open = true;
	gap->from = *key;
	gap->to = (struct key){.n = 1};
	gap->to.p[0] = (char)(key->p[0] + 1);
	if (count == 0)
		return ERR_OK;
	gap->to.n = next.key.n;
	memcpy(gap->to.p, next.key.p, next.key.n);
	return ERR_OK;
}

enum err
group_is_new(struct group *group, const struct key *key, struct arena *arena,
	     bool *is_new)
{
	struct str name = key_str(key), value;
	const struct entry *entry = group_find(group, name);
	enum err err;

	if (entry && entry->state != ENTRY_UNKNOWN) {
		*is_new = entry->content.bytes.p == NULL &&
			  entry->content.record == NULL;
		return ERR_OK;
	}
	if (key->n == 0 || is_in_gap(&group->gap, name)) {
		*is_new = true;
		return ERR_OK;
	}
	err = store_load(group->store, &name, 1, &value, arena);
	if (err == ERR_OK && value.p == NULL)
		err = open_gap(group, key, arena);
	if (err == ERR_OK)
		*is_new = value.p == NULL;
	return err;
}
