/*
 * ledger: opening and closing, the table of handlers, and what the handlers
 * share. See ledger.h and ledger_parts.h. The handlers are in ledger_*.c, a
 * file a group.
 */
#include "workers/ledger_parts.h"

#include "store/meta.h"

#include <stdarg.h>
#include <stdio.h>

#define SCRATCH_BYTES_MAX 65536u

/* --- opening ------------------------------------------------------------- */

static enum err
check_meta(struct ledger *ledger, struct why *why)
{
	struct arena arena;
	struct meta meta;
	enum err e;

	arena_init(&arena, SCRATCH_BYTES_MAX);
	e = meta_unlock(ledger->store, ledger->crypto, &arena, &meta, why);
	if (e == ERR_OK)
		ledger_keys_take(ledger, &meta);
	arena_fini(&arena);
	return e;
}

enum err
ledger_attach(struct ledger *ledger, struct store *store, struct crypto *crypto,
	      struct why *why)
{
	enum err e;

	*ledger = (struct ledger){.store = store, .crypto = crypto};
	buf_init(&ledger->scratch, SCRATCH_BYTES_MAX);
	e = store_lease_take(store, &ledger->lease, why);
	if (e != ERR_OK) {
		ledger->lease.token = 0;
		ledger_close(ledger);
		return e;
	}
	e = group_open(&ledger->group, store, &ledger->lease);
	if (e == ERR_OK)
		e = ledger_cache_open(&ledger->cache);
	if (e == ERR_OK)
		e = counters_open(&ledger->counters, store);
	if (e != ERR_OK)
		why_set(why, e, "cannot open the ledger: %s", err_text(e));
	else
		e = check_meta(ledger, why);
	if (e == ERR_OK)
		e = ledger_recover(ledger, why);
	if (e != ERR_OK) {
		counters_close(ledger->counters); /* half of them is none */
		ledger->counters = NULL;
		ledger_close(ledger);
	}
	return e;
}

enum err
ledger_open(struct ledger *ledger, const struct conf *conf, struct why *why)
{
	char dir[4096];
	struct store_conf store_conf = {
	    .engine = "lmdb", .dir = dir, .map_bytes = conf->map_bytes};
	struct crypto *crypto;
	struct store *store;
	enum err e;

	*ledger = (struct ledger){0};
	if ((size_t)snprintf(dir, sizeof(dir), "%s/store", conf->data) >=
	    sizeof(dir))
		return why_set(why, ERR_CONFIG,
			       "the data folder's path is too "
			       "long");
	e = store_open(&store, &store_conf, why);
	if (e != ERR_OK)
		return e;
	e = crypto_open(&crypto, conf->master_key_file, why);
	if (e != ERR_OK) {
		store_close(store);
		return e;
	}
	return ledger_attach(ledger, store, crypto, why);
}

/* Takes back all that is not durable. */
static void
undo_all(struct ledger *ledger)
{
	group_undo_all(ledger->group);
	counters_undo(ledger->counters, 0);
	ledger->event_count = ledger->late_event_count;
}

/* What fails here is done when the store is opened again. */
static void
write_late(struct ledger *ledger)
{
	unsigned event_count;

	undo_all(ledger);
	if (!ledger_is_late(ledger))
		return;
	ledger_hasten(ledger);
	ledger_commit(ledger, &event_count);
}

void
ledger_close(struct ledger *ledger)
{
	if (ledger->counters)
		write_late(ledger);
	counters_close(ledger->counters);
	if (ledger->group)
		group_close(ledger->group);
	if (ledger->lease.token)
		store_lease_release(ledger->store, &ledger->lease);
	ledger_cache_close(ledger->cache);
	if (ledger->crypto)
		crypto_close(ledger->crypto);
	if (ledger->store)
		store_close(ledger->store);
	buf_fini(&ledger->scratch);
	*ledger = (struct ledger){0};
}

enum err
ledger_commit(struct ledger *ledger, unsigned *event_count)
{
	struct group *group = ledger->group;
	bool is_writing = counters_are_due(ledger->counters, group);
	bool is_shown = ledger->is_shown || is_writing;
	enum err e = ERR_OK;

	ledger->is_shown = false;
	*event_count = 0;
	if (is_writing)
		e = counters_put(ledger->counters, group, group_seq(group));
	if (e == ERR_OK)
		e = is_shown ? group_commit(group) : group_journal(group);
	if (e != ERR_OK) {
		undo_all(ledger);
		ledger_cache_drop(ledger);
		/* Unknown keys would seal what nobody opens. */
		return ledger_keys_read(ledger) == ERR_OK ? e
							  : ERR_COMMIT_UNKNOWN;
	}
	counters_committed(ledger->counters, is_writing);
	if (!group_is_late(group)) {
		*event_count = ledger->event_count;
		ledger->event_count = 0;
	}
	ledger->late_event_count = ledger->event_count;
	return ERR_OK;
}

bool
ledger_is_late(const struct ledger *ledger)
{
	return counters_wait(ledger->counters) || group_is_late(ledger->group);
}

void
ledger_hasten(struct ledger *ledger)
{
	ledger->is_shown = true;
	counters_hasten(ledger->counters);
}

enum err
ledger_rest(struct ledger *ledger)
{
	if (!ledger_is_late(ledger)) {
		group_rest(ledger->group);
		counters_rest(ledger->counters);
	}
	return store_rest(ledger->store);
}

/* --- what handlers share ------------------------------------------------- */

struct ledger_mark
ledger_mark(const struct ledger *ledger)
{
	return (struct ledger_mark){group_mark(ledger->group),
				    counters_mark(ledger->counters),
				    ledger->event_count};
}

void
ledger_undo(struct ledger *ledger, struct ledger_mark mark)
{
	group_undo(ledger->group, mark.group);
	counters_undo(ledger->counters, mark.counters);
	ledger->event_count = mark.event_count;
}

enum err
ledger_run_late(struct context *context, const void *in, void *out,
		handler_fn *fn)
{
	struct ledger *ledger = context->state;
	struct ledger_mark mark = ledger_mark(ledger);
	enum err e;

	ledger_cache_trim(ledger->cache);
	e = fn(context, in, out);
	if (e == ERR_OK)
		return ERR_OK;
	ledger_undo(ledger, mark);
	if (ledger_cache_was_dropped(ledger->cache))
		ledger_cache_drop(ledger);
	return e;
}

enum err
ledger_run(struct context *context, const void *in, void *out, handler_fn *fn)
{
	struct ledger *ledger = context->state;
	enum err e = ledger_run_late(context, in, out, fn);

	ledger->is_shown |= e == ERR_OK;
	return e;
}

enum err
ledger_refuse(struct context *context, enum err e, const char *field,
	      const char *format, ...)
{
	char text[320];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	context->failure.message = arena_str(context->arena, str_of(text));
	if (field)
		context->failure.field = str_of(field);
	return e;
}

enum err
ledger_license_by_key(struct ledger *ledger, struct str key,
		      struct arena *arena, struct license *license,
		      unsigned char hash[CRYPTO_HASH_BYTES])
{
	char normalized[LICENSE_KEY_BYTES_MAX];
	struct key at;
	size_t n;
	enum err e;

	if (str_is_empty(str_trim(key)))
		return ERR_KEY_MISSING;
	if (!crypto_normalize_license_key(key, normalized, &n))
		return ERR_NOT_FOUND;
	crypto_hash_license_key(ledger->crypto, str_bytes(normalized, n), hash);
	key_license(&at, str_bytes(hash, CRYPTO_HASH_BYTES));
	e = group_load(ledger->group, &at, &license_schema, license, arena);
	return e == ERR_NO_SUCH ? ERR_NOT_FOUND : e;
}

/* The hash of a licence by its id or its key. */
static enum err
license_hash(struct ledger *ledger, struct str id_or_key, struct arena *arena,
	     unsigned char hash[CRYPTO_HASH_BYTES])
{
	char normalized[LICENSE_KEY_BYTES_MAX];
	struct str stored = STR_NONE;
	struct key at;
	size_t n;
	enum err e;

	id_or_key = str_trim(id_or_key);
	if (str_starts(id_or_key, STR("lic_")) && id_or_key.n <= 32 &&
	    str_is_plain(id_or_key)) {
		key_license_id(&at, id_or_key);
		e = group_load_bytes(ledger->group, &at, &stored, arena);
		if (e != ERR_OK)
			return e;
	}
	if (stored.p && stored.n == CRYPTO_HASH_BYTES) {
		memcpy(hash, stored.p, CRYPTO_HASH_BYTES);
		return ERR_OK;
	}
	if (!crypto_normalize_license_key(id_or_key, normalized, &n))
		return ERR_NO_SUCH;
	crypto_hash_license_key(ledger->crypto, str_bytes(normalized, n), hash);
	return ERR_OK;
}

enum err
ledger_license_find(struct ledger *ledger, struct str id_or_key,
		    struct arena *arena, struct ledger_license *out)
{
	struct group *group = ledger->group;
	struct key key;
	enum err e = license_hash(ledger, id_or_key, arena, out->hash);

	if (e != ERR_OK)
		return e;
	key_license(&key, str_bytes(out->hash, sizeof(out->hash)));
	e = group_load(group, &key, &license_schema, &out->license, arena);
	if (e != ERR_OK)
		return e;
	key_subscription(&key, str_bytes(out->hash, sizeof(out->hash)));
	e = group_load(group, &key, &subscription_schema, &out->subscription,
		       arena);
	if (e == ERR_OK) {
		key_customer(&key, out->license.customer_id);
		e = group_load(group, &key, &customer_schema, &out->customer,
			       arena);
	}
	/* A licence without its others was not written by this house. */
	return e == ERR_NO_SUCH ? ERR_STORE_CORRUPT : e;
}

/* --- the table ----------------------------------------------------------- */

/* clang-format off */
const struct worker_row ledger_rows[LEDGER_ROWS] = {
	{&reserve_schema,          &reserved_schema,          ledger_reserve},
	{&settle_schema,           &settled_schema,           ledger_settle},
	{&activate_schema,         &activation_answer_schema, ledger_activate},
	{&deactivate_schema,       &activation_answer_schema, ledger_deactivate},
	{&license_issue_schema,    &license_issued_schema,    ledger_license_issue},
	{&license_change_schema,   &license_view_schema,      ledger_license_change},
	{&plan_set_schema,         &plan_view_schema,         ledger_plan_set},
	{&workspace_set_schema,    &workspace_view_schema,    ledger_workspace_set},
	{&price_set_schema,        &price_view_schema,        ledger_price_set},
	{&price_remove_schema,     &price_removed_schema,     ledger_price_remove},
	{&price_import_schema,     &price_import_answer_schema, ledger_price_import},
	{&own_key_set_schema,      &own_key_view_schema,      ledger_own_key_set},
	{&own_keys_get_schema,     &own_keys_schema,          ledger_own_keys_get},
	{&own_key_remove_schema,   &own_key_view_schema,      ledger_own_key_remove},
	{&vendor_key_set_schema,   &vendor_key_view_schema,   ledger_vendor_key_set},
	{&vendor_key_remove_schema, &vendor_key_view_schema,  ledger_vendor_key_remove},
	{&provider_set_schema,     &provider_view_schema,     ledger_provider_set},
	{&provider_remove_schema,  &provider_view_schema,     ledger_provider_remove},
	{&route_set_schema,        &route_view_schema,        ledger_route_set},
	{&route_remove_schema,     &route_view_schema,        ledger_route_remove},
	{&vendor_keys_get_schema,  &vendor_keys_schema,       ledger_vendor_keys_get},
	{&key_next_schema,         &nothing_schema,           ledger_key_next},
	{&key_reseal_schema,       &key_resealed_schema,      ledger_key_reseal},
	{&capture_set_schema,      &capture_view_schema,      ledger_capture_set},
	{&capture_put_schema,      &nothing_schema,           ledger_capture_put},
};
/* clang-format on */
const size_t ledger_row_count = LEDGER_ROWS;
