/*
 * group_scan: the rows with a prefix as the group has them. What the overlay
 * knows counts before what the store says. See group.h.
 */
#include "store/group_parts.h"

#include <stdlib.h>

#define PAGE_ROWS 32u

struct gathered {
	struct store_row *rows;
	size_t limit;
	size_t count;
};

static enum err
take_known(struct group *group, struct str prefix, struct gathered *out)
{
	for (size_t i = 0; i < group->entry_count && out->count < out->limit;
	     i++) {
		struct entry *entry = &group->entries[i];
		enum err err;

		if (entry->state == ENTRY_UNKNOWN ||
		    !str_starts(entry->key, prefix))
			continue;
		err = group_need_bytes(group, &entry->content);
		if (err != ERR_OK)
			return err;
		if (entry->content.bytes.p)
			out->rows[out->count++] = (struct store_row){
			    entry->key, entry->content.bytes};
	}
	return ERR_OK;
}

static enum err
take_stored(struct group *group, struct str prefix, struct arena *arena,
	    struct gathered *out)
{
	struct store_row page[PAGE_ROWS];
	struct str after = STR_NONE;
	size_t count = PAGE_ROWS;

	while (count == PAGE_ROWS && out->count < out->limit) {
		enum err err = store_scan(group->store, prefix, after,
					  PAGE_ROWS, arena, page, &count);

		if (err != ERR_OK)
			return err;
		for (size_t i = 0; i < count && out->count < out->limit; i++) {
			const struct entry *entry =
			    group_find(group, page[i].key);

			after = page[i].key;
			if (entry == NULL || entry->state == ENTRY_UNKNOWN)
				out->rows[out->count++] = page[i];
		}
	}
	return ERR_OK;
}

static int
order(const void *a, const void *b)
{
	return str_cmp(((const struct store_row *)a)->key,
		       ((const struct store_row *)b)->key);
}

enum err
group_scan(struct group *group, const struct key *prefix, size_t limit,
	   struct arena *arena, struct store_row *rows, size_t *count)
{
	struct gathered out = {rows, limit, 0};
	enum err err = take_known(group, key_str(prefix), &out);

	if (err == ERR_OK)
		err = take_stored(group, key_str(prefix), arena, &out);
	if (err != ERR_OK)
		return err;
	qsort(rows, out.count, sizeof(*rows), order);
	*count = out.count;
	return ERR_OK;
}
