/*
 * validate_settings: see validate_settings.h. Two tables, each indexed by the
 * hash of the key; a collision only costs a new decoding.
 */
#include "workers/validate_settings.h"

#include "store/keys.h"
#include "workers/report.h"

#include <stdlib.h>

#define ENTRY_BYTES_MAX 65536u /* a record and its lists, decoded */

struct entry {
	uint64_t view; /* its bytes are those of */
	struct key key;
	struct str raw; /* in the arena; absent = not decoded */
	struct arena arena;
};

struct workspace_entry {
	struct entry entry;
	struct settings_workspace value;
};

struct plan_entry {
	struct entry entry;
	struct plan value;
};

struct settings {
	uint64_t view;
	struct workspace_entry workspaces[SETTINGS_SLOTS];
	struct plan_entry plans[SETTINGS_SLOTS];
};

struct settings *
settings_open(void)
{
	struct settings *settings = calloc(1, sizeof(*settings));

	if (settings == NULL)
		return NULL;
	for (unsigned i = 0; i < SETTINGS_SLOTS; i++) {
		arena_init(&settings->workspaces[i].entry.arena,
			   ENTRY_BYTES_MAX);
		arena_init(&settings->plans[i].entry.arena, ENTRY_BYTES_MAX);
	}
	return settings;
}

void
settings_close(struct settings *settings)
{
	if (settings == NULL)
		return;
	for (unsigned i = 0; i < SETTINGS_SLOTS; i++) {
		arena_fini(&settings->workspaces[i].entry.arena);
		arena_fini(&settings->plans[i].entry.arena);
	}
	free(settings);
}

void
settings_turn(struct settings *settings, uint64_t view)
{
	settings->view = view;
}

static unsigned
slot_of(const struct key *key)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < key->n; i++)
		hash = (hash ^ (unsigned char)key->p[i]) * 16777619u;
	return (hash ^ hash >> 16) % SETTINGS_SLOTS;
}

/* Brings the entry to what the store holds. *is_new: its value is to be
 * completed by the caller. */
static enum err
entry_refresh(struct settings *settings, struct entry *entry,
	      struct store *store, const struct key *key,
	      const struct schema *schema, void *value, struct arena *scratch,
	      bool *is_new)
{
	struct str wanted = key_str(key), raw;
	bool is_same_key = str_eq(key_str(&entry->key), wanted);
	enum err e;

	*is_new = false;
	if (is_same_key && entry->view == settings->view && entry->raw.p)
		return ERR_OK;
	e = store_load(store, &wanted, 1, &raw, scratch);
	if (e != ERR_OK)
		return e;
	entry->view = settings->view;
	if (is_same_key && entry->raw.p && raw.p && str_eq(entry->raw, raw))
		return ERR_OK;
	entry->raw = STR_NONE;
	if (raw.p == NULL)
		return ERR_NO_SUCH;
	arena_reset(&entry->arena);
	entry->key = *key;
	raw = arena_str(&entry->arena, raw);
	if (raw.p == NULL)
		return ERR_NO_MEMORY;
	if (schema_decode(schema, raw, value, &entry->arena, NULL) != ERR_OK)
		return ERR_STORE_CORRUPT;
	entry->raw = raw;
	*is_new = true;
	return ERR_OK;
}

static void
workspace_complete(struct settings_workspace *value)
{
	report_zone(&value->record, value->zone);
	value->month_start_ms = value->month_end_ms = 0;
}

enum err
settings_workspace(struct settings *settings, struct store *store,
		   struct str code, int64_t now_ms, struct arena *scratch,
		   const struct settings_workspace **out)
{
	struct workspace_entry *entry;
	struct settings_workspace *value;
	struct key key;
	bool is_new;
	enum err e;

	key_workspace(&key, code);
	entry = &settings->workspaces[slot_of(&key)];
	value = &entry->value;
	e = entry_refresh(settings, &entry->entry, store, &key,
			  &workspace_schema, &value->record, scratch, &is_new);
	if (e != ERR_OK)
		return e;
	if (is_new)
		workspace_complete(value);
	if (now_ms < value->month_start_ms || now_ms >= value->month_end_ms) {
		calendar_window(WINDOW_MONTH, now_ms, value->zone,
				&value->month_start_ms, &value->month_end_ms);
		value->resets_at_n = calendar_print_zoned(
		    value->month_end_ms, value->zone, value->resets_at);
	}
	*out = value;
	return ERR_OK;
}

enum err
settings_plan(struct settings *settings, struct store *store,
	      struct str workspace, struct str code, struct arena *scratch,
	      const struct plan **out)
{
	struct plan_entry *entry;
	struct key key;
	bool is_new;
	enum err e;

	key_plan(&key, workspace, code);
	entry = &settings->plans[slot_of(&key)];
	e = entry_refresh(settings, &entry->entry, store, &key, &plan_schema,
			  &entry->value, scratch, &is_new);
	if (e == ERR_OK && is_new)
		e = report_complete_plan(&entry->value, &entry->entry.arena);
	if (e != ERR_OK) {
		entry->entry.raw = STR_NONE;
		return e;
	}
	*out = &entry->value;
	return ERR_OK;
}
