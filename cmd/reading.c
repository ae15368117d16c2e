/*
 * reading: see reading.h.
 */
#include "cmd/reading.h"

#include <stdio.h>

#include "store/meta.h"
#include "workers/report.h"
#include "workers/rules.h"

#define DIR_BYTES 4096
#define PAGE_BYTES_MAX (4u << 20)
#define RECORD_BYTES_MAX 65536u /* decoded */

/* Commits what a ledger journalled that is no longer there; one that runs does
 * so itself, soon. */
static enum err
catch_up(struct store *store, struct why *why)
{
	struct store_lease lease;
	bool is_behind = false;
	enum err e = store_is_behind(store, &is_behind);

	if (e != ERR_OK || !is_behind)
		return e;
	e = store_lease_take(store, &lease, why);
	if (e == ERR_STORE_LOCKED)
		return ERR_OK;
	if (e == ERR_OK)
		store_lease_release(store, &lease);
	return e;
}

enum err
reading_open(struct reading *reading, const struct conf *conf, struct why *why)
{
	char dir[DIR_BYTES];
	struct store_conf store_conf = {
	    .engine = "lmdb", .dir = dir, .map_bytes = conf->map_bytes};

	enum err e;

	*reading = (struct reading){NULL, NULL};
	if ((size_t)snprintf(dir, sizeof(dir), "%s/store", conf->data) >=
	    sizeof(dir))
		return why_set(why, ERR_CONFIG,
			       "the data folder's path is too long");
	e = store_open(&reading->store, &store_conf, why);
	if (e == ERR_OK)
		e = catch_up(reading->store, why);
	if (e != ERR_OK)
		reading_close(reading);
	return e;
}

enum err
reading_crypto(struct reading *reading, const struct conf *conf,
	       struct why *why)
{
	struct arena arena;
	struct meta meta;
	enum err e = ERR_CONFIG;

	arena_init(&arena, 65536);
	/* The key may be changed between the two: then they are read again. */
	for (int i = 0; i < 2 && e == ERR_CONFIG; i++) {
		crypto_close(reading->crypto);
		reading->crypto = NULL;
		e = crypto_open(&reading->crypto, conf->master_key_file, why);
		if (e == ERR_OK)
			e = meta_unlock(reading->store, reading->crypto, &arena,
					&meta, why);
	}
	arena_fini(&arena);
	return e;
}

void
reading_close(struct reading *reading)
{
	if (reading->crypto)
		crypto_close(reading->crypto);
	if (reading->store)
		store_close(reading->store);
	*reading = (struct reading){NULL, NULL};
}

enum err
reading_load(struct reading *reading, const struct key *key,
	     const struct schema *schema, void *out, struct arena *arena)
{
	struct str at = key_str(key), bytes;
	enum err e = store_load(reading->store, &at, 1, &bytes, arena);

	if (e != ERR_OK)
		return e;
	if (bytes.p == NULL)
		return ERR_NO_SUCH;
	e = schema_decode(schema, bytes, out, arena, NULL);
	return e == ERR_OK || e == ERR_NO_MEMORY ? e : ERR_STORE_CORRUPT;
}

/* --- pages ---------------------------------------------------------------- */

void
pages_open(struct pages *pages, struct store *store, const struct key *prefix)
{
	pages->store = store;
	pages->prefix = *prefix;
	pages->after.n = 0;
	pages->count = pages->at = 0;
	pages->is_last = false;
	arena_init(&pages->arena, PAGE_BYTES_MAX);
}

void
pages_close(struct pages *pages)
{
	arena_fini(&pages->arena);
}

static enum err
next_page(struct pages *pages)
{
	struct str after = pages->after.n ? key_str(&pages->after) : STR_NONE;
	enum err e;

	arena_reset(&pages->arena);
	pages->at = 0;
	e = store_scan(pages->store, key_str(&pages->prefix), after, PAGE_ROWS,
		       &pages->arena, pages->rows, &pages->count);
	if (e != ERR_OK) {
		pages->count = 0;
		return e;
	}
	pages->is_last = pages->count < PAGE_ROWS;
	if (pages->count) {
		struct str last = pages->rows[pages->count - 1].key;

		memcpy(pages->after.p, last.p, last.n);
		pages->after.n = last.n;
	}
	return ERR_OK;
}

bool
pages_next(struct pages *pages, struct store_row *row, enum err *e)
{
	*e = ERR_OK;
	if (pages->at == pages->count && !pages->is_last)
		*e = next_page(pages);
	if (*e != ERR_OK || pages->at == pages->count)
		return false;
	*row = pages->rows[pages->at++];
	return true;
}

static enum err
read_record(const struct schema *schema, struct str bytes, reading_fn *fn,
	    void *ctx, struct why *why)
{
	struct arena arena;
	void *record;
	enum err e = ERR_NO_MEMORY;

	arena_init(&arena, RECORD_BYTES_MAX);
	record = arena_alloc(&arena, schema->size);
	if (record)
		e = schema_decode(schema, bytes, record, &arena, NULL);
	if (e == ERR_OK)
		e = fn(ctx, record, why);
	else if (e != ERR_NO_MEMORY)
		e = ERR_STORE_CORRUPT;
	arena_fini(&arena);
	return e;
}

enum err
reading_each(struct reading *reading, const struct key *prefix,
	     const struct schema *schema, reading_fn *fn, void *ctx,
	     struct why *why)
{
	struct store_row row;
	struct pages pages;
	enum err e = ERR_OK;

	pages_open(&pages, reading->store, prefix);
	while (e == ERR_OK && pages_next(&pages, &row, &e))
		e = read_record(schema, row.value, fn, ctx, why);
	pages_close(&pages);
	return e;
}

/* --- licences and workspaces ---------------------------------------------- */

enum err
reading_license_hash(struct reading *reading, struct command *command,
		     struct str id_or_key,
		     unsigned char hash[CRYPTO_HASH_BYTES], struct why *why)
{
	char normalized[LICENSE_KEY_BYTES_MAX];
	struct str stored = STR_NONE, at;
	struct key key;
	size_t n;
	enum err e;

	id_or_key = str_trim(id_or_key);
	if (str_starts(id_or_key, STR("lic_")) && id_or_key.n <= 32) {
		key_license_id(&key, id_or_key);
		at = key_str(&key);
		e = store_load(reading->store, &at, 1, &stored,
			       &command->arena);
		if (e != ERR_OK)
			return e;
	}
	if (stored.p && stored.n == CRYPTO_HASH_BYTES) {
		memcpy(hash, stored.p, CRYPTO_HASH_BYTES);
		return ERR_OK;
	}
	if (!crypto_normalize_license_key(id_or_key, normalized, &n))
		return why_set(why, ERR_NO_SUCH,
			       "that is no licence key or id: a key looks like "
			       "CHA-XXXX-XXXX-XXXX-XXXX, an id begins with "
			       "lic_");
	if (reading->crypto == NULL)
		e = reading_crypto(reading, &command->conf, why);
	else
		e = ERR_OK;
	if (e == ERR_OK)
		crypto_hash_license_key(reading->crypto,
					str_bytes(normalized, n), hash);
	explicit_bzero(normalized, sizeof(normalized));
	return e;
}

enum err
reading_license_view(struct reading *reading, struct str hash, int64_t now_ms,
		     struct arena *arena, struct license_view *out)
{
	struct subscription subscription;
	struct license license;
	struct customer customer;
	struct key key;
	enum err e;

	key_license(&key, hash);
	e = reading_load(reading, &key, &license_schema, &license, arena);
	if (e != ERR_OK)
		return e;
	key_subscription(&key, hash);
	e = reading_load(reading, &key, &subscription_schema, &subscription,
			 arena);
	if (e == ERR_OK) {
		key_customer(&key, license.customer_id);
		e = reading_load(reading, &key, &customer_schema, &customer,
				 arena);
	}
	if (e != ERR_OK)
		return e == ERR_NO_SUCH ? ERR_STORE_CORRUPT : e;
	schema_clear(&license_view_schema, out);
	out->license_id = license.id;
	out->key = license.masked_key;
	out->status = str_of(rules_status(&subscription, now_ms));
	out->plan = subscription.plan;
	out->workspace = license.workspace;
	out->customer_id = license.customer_id;
	out->email = customer.email;
	out->subscription_id = license.subscription_id;
	out->domain = license.domain;
	out->activations = license.activations;
	out->price = subscription.price;
	out->cycle = subscription.cycle;
	out->currency = subscription.currency;
	out->created_at = license.created_at;
	out->expires_at = subscription.ends_at;
	out->note = license.note;
	out->cancels_at_end = subscription.cancels_at_end;
	return ERR_OK;
}

struct str
reading_workspace(const struct command *command)
{
	struct str given = command_str(command, "workspace");

	return given.p ? given : STR("default");
}

static enum err
load_workspace(struct reading *reading, struct command *command,
	       struct workspace *workspace, struct why *why)
{
	struct str code = reading_workspace(command);
	struct key key;
	enum err e;

	key_workspace(&key, code);
	e = reading_load(reading, &key, &workspace_schema, workspace,
			 &command->arena);
	if (e == ERR_NO_SUCH)
		return why_set(why, ERR_WORKSPACE_UNKNOWN,
			       "no workspace is called \"%.64s\"", code.p);
	return e;
}

enum err
reading_open_filtered(struct reading *reading, struct command *command,
		      struct why *why)
{
	struct workspace workspace;
	enum err e = reading_open(reading, &command->conf, why);

	if (e != ERR_OK || !command_has(command, "workspace"))
		return e;
	e = load_workspace(reading, command, &workspace, why);
	if (e != ERR_OK)
		reading_close(reading);
	return e;
}

enum err
reading_zone(struct reading *reading, struct command *command,
	     const char **zone, struct why *why)
{
	struct workspace workspace;
	char *text;
	enum err e = load_workspace(reading, command, &workspace, why);

	if (e != ERR_OK)
		return e;
	text = arena_alloc(&command->arena, REPORT_ZONE_BYTES);
	if (text == NULL)
		return ERR_NO_MEMORY;
	report_zone(&workspace, text);
	*zone = text;
	return ERR_OK;
}
