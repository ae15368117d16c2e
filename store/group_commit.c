/*
 * group_commit: how what has gathered in a group becomes durable: committed, or
 * journalled and committed later. What was journalled stays an entry until a
 * commit takes it along, and the overlay is not emptied before: the store does
 * not have it yet. See group.h.
 *
 * Always holds: an entry is listed once, however often it changed; behind a
 * failure the group is what it was after the last success.
 */
#include "store/group_parts.h"

/* --- commit -------------------------------------------------------------- */

/* The store need not hear of it: it was put and deleted since. */
static bool
came_and_went(const struct entry *entry)
{
	return entry->is_new && entry->content.bytes.p == NULL &&
	       entry->content.record == NULL;
}

static enum err
list(struct group *group, uint32_t at, bool is_for_store)
{
	struct entry *entry = &group->entries[at];
	enum err err;

	if (entry->is_listed)
		return ERR_OK; /* changed twice, or late as well */
	if (is_for_store && came_and_went(entry))
		return ERR_OK;
	err = group_need_bytes(group, &entry->content);
	if (err != ERR_OK)
		return err;
	entry->is_listed = true;
	entry->is_new &= !is_for_store;
	group->listed[group->write_count] = at;
	group->writes[group->write_count++] =
	    (struct store_write){entry->key, entry->content.bytes};
	return ERR_OK;
}

/* What this turn changed, each key once; with_late: and what was journalled. */
static enum err
list_writes(struct group *group, bool with_late)
{
	size_t most = group->undo_count + (with_late ? group->late_count : 0);
	void *writes = group->writes, *listed = group->listed;
	enum err err = ERR_OK;

	if (!group_grow(&writes, &group->write_room, most,
			sizeof(struct store_write)) ||
	    !group_grow(&listed, &group->listed_room, most, sizeof(uint32_t)))
		err = ERR_NO_MEMORY;
	group->writes = writes;
	group->listed = listed;
	group->write_count = 0;
	for (size_t i = 0; i < group->undo_count && err == ERR_OK; i++)
		err = list(group, group->undos[i].entry, with_late);
	for (size_t i = 0; with_late && i < group->late_count && err == ERR_OK;
	     i++)
		err = list(group, group->late[i], with_late);
	return err;
}

static void
unlist(struct group *group)
{
	for (size_t i = 0; i < group->write_count; i++)
		group->entries[group->listed[i]].is_listed = false;
	group->write_count = 0;
}

/* Nothing of the turn is left to do; or to undo. */
static void
turn_over(struct group *group, enum err err)
{
	for (size_t i = 0; i < group->write_count && err == ERR_OK; i++)
		group->entries[group->listed[i]].state = ENTRY_LOADED;
	unlist(group);
	if (err != ERR_OK)
		group_undo_all(group);
	group->undo_count = 0;
}

static void
late_over(struct group *group)
{
	for (size_t i = 0; i < group->late_count; i++)
		group->entries[group->late[i]].is_late = false;
	group->late_count = group->late_bytes = 0;
	group->event_count = group->late_event_count = 0;
}

static bool
is_grown(const struct group *group)
{
	return group->entry_count > GROUP_KEPT ||
	       pile_bytes(&group->kept) > GROUP_KEPT_BYTES ||
	       pile_bytes(&group->written) > GROUP_KEPT_BYTES;
}

/* Worth a walk over all of it. */
static bool
is_mostly_written(const struct group *group)
{
	return group->written_count * 2 > group->entry_count ||
	       pile_bytes(&group->written) > GROUP_KEPT_BYTES;
}

enum err
group_commit(struct group *group)
{
	bool is_needed = !group_is_empty(group) || group_is_late(group);
	enum err err = is_needed ? list_writes(group, true) : ERR_OK;

	if (is_needed && err == ERR_OK) {
		struct store_group out = {group->writes, group->write_count,
					  group->events, group->event_count};

		group->gap.is_open = false;
		err = store_commit(group->store, group->lease, &group->head,
				   &out);
	}
	turn_over(group, err);
	if (err != ERR_OK)
		return err;
	late_over(group);
	if (is_mostly_written(group))
		group_forget_written(group);
	if (is_grown(group))
		group_clear(group);
	return ERR_OK;
}

/* Room to remember what the turn lists, before it is durable. */
static enum err
grow_late(struct group *group)
{
	void *late = group->late;
	bool is_done = group_grow(&late, &group->late_room,
				  group->late_count + group->write_count,
				  sizeof(uint32_t));

	group->late = late;
	return is_done ? ERR_OK : ERR_NO_MEMORY;
}

static void
remember_late(struct group *group)
{
	for (size_t i = 0; i < group->write_count; i++) {
		struct entry *entry = &group->entries[group->listed[i]];

		group->late_bytes += entry->key.n + entry->content.bytes.n;
		if (!entry->is_late)
			group->late[group->late_count++] = group->listed[i];
		entry->is_late = true;
	}
	for (size_t i = group->late_event_count; i < group->event_count; i++)
		group->late_bytes += group->events[i].n;
	group->late_event_count = group->event_count;
}

static bool
is_late_full(const struct group *group)
{
	return group->late_count + group->undo_count > GROUP_LATE_MAX ||
	       group->late_bytes > GROUP_LATE_BYTES ||
	       group->event_count > GROUP_LATE_MAX || is_grown(group);
}

enum err
group_journal(struct group *group)
{
	size_t events = group->late_event_count;
	struct store_group out;
	enum err err;

	if (group_is_empty(group) && !is_grown(group))
		return ERR_OK;
	if (is_late_full(group))
		return group_commit(group);
	err = list_writes(group, false);
	if (err == ERR_OK)
		err = grow_late(group);
	if (err == ERR_OK) {
		out = (struct store_group){group->writes, group->write_count,
					   group->events + events,
					   group->event_count - events};
		err = store_journal(group->store, group->lease,
				    group->head + events, &out);
	}
	if (err == ERR_OVERLOADED) {
		unlist(group);
		return group_commit(group);
	}
	if (err == ERR_OK)
		remember_late(group);
	turn_over(group, err);
	return err;
}

bool
group_is_late(const struct group *group)
{
	return group->late_count > 0 || group->late_event_count > 0;
}

bool
group_is_empty(const struct group *group)
{
	return group->undo_count == 0 && !group_has_events(group);
}

bool
group_has_events(const struct group *group)
{
	return group->event_count > group->late_event_count;
}

uint64_t
group_seq(const struct group *group)
{
	return group->head + group->event_count;
}
