/*
 * ledger_init: making a house: folders, master key, store, first records. Runs
 * in `chatello init` only. A second run changes nothing; one that was cut off
 * is finished by the next.
 */
#include "workers/ledger_parts.h"

#include "store/meta.h"

#include "lib/clock.h"
#include "lib/id.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_BYTES 32u
#define MESSAGE_PRICE INT64_C(5000) /* EUR 0.005 */

/* --- the first records --------------------------------------------------- */

/* "chi_" and 64 hexadecimal digits. */
static struct str
token_make(const char *prefix, struct arena *arena,
	   unsigned char hash[CRYPTO_HASH_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char noise[TOKEN_BYTES];
	char text[TOKEN_BYTES * 2];
	struct str token;

	id_random(noise, sizeof(noise));
	for (size_t i = 0; i < sizeof(noise); i++) {
		text[i * 2] = digits[noise[i] >> 4];
		text[i * 2 + 1] = digits[noise[i] & 15];
	}
	token = arena_printf(arena, "%s%.*s", prefix, (int)sizeof(text), text);
	crypto_hash_token(token, hash);
	return token;
}

static enum err
seed_meta(struct group *group, struct crypto *crypto, int64_t now_ms,
	  struct arena *arena, struct ledger_init *out)
{
	unsigned char check[CRYPTO_HASH_BYTES], internal[CRYPTO_HASH_BYTES],
	    setup[CRYPTO_HASH_BYTES];
	struct meta meta;
	struct key key;

	out->internal_token = token_make("chi_", arena, internal);
	out->admin_setup_token = token_make("cha_", arena, setup);
	if (out->internal_token.p == NULL || out->admin_setup_token.p == NULL)
		return ERR_NO_MEMORY;
	crypto_key_check(crypto, check);
	schema_clear(&meta_schema, &meta);
	if (!crypto_make_find_key(crypto) ||
	    crypto_seal_find_key(crypto, arena, &meta.find_key) != ERR_OK)
		return ERR_NO_MEMORY;
	meta.version = META_VERSION;
	meta.created_at = now_ms;
	meta.key_check = str_bytes(check, sizeof(check));
	meta.internal_token_hash = str_bytes(internal, sizeof(internal));
	meta.admin_setup_hash = str_bytes(setup, sizeof(setup));
	key_meta(&key);
	return group_put(group, &key, &meta_schema, &meta);
}

/* The one event of an empty log says what the workspace is. */
static enum err
seed_workspace(struct ledger *ledger, int64_t now_ms)
{
	struct workspace workspace;
	struct event event;
	struct key key;
	int64_t end_ms;
	enum err e;

	schema_clear(&workspace_schema, &workspace);
	workspace.code = DEFAULT_WORKSPACE;
	workspace.name = STR("Default");
	workspace.currency = STR("EUR");
	workspace.timezone = STR("Europe/Rome");
	workspace.locale = STR("it");
	workspace.key_prefix = STR("CHA");
	workspace.message_price = MESSAGE_PRICE;
	workspace.enforcement = STR("enforce");
	workspace.daily_at = STR("06:00");
	workspace.created_at = now_ms;
	calendar_window(WINDOW_DAY, now_ms, workspace.timezone.p,
			&workspace.closed_until, &end_ms);
	key_workspace(&key, workspace.code);
	e = group_put(ledger->group, &key, &workspace_schema, &workspace);
	if (e != ERR_OK)
		return e;
	schema_clear(&event_schema, &event);
	event.type = event_types[EVENT_workspace_added];
	event.description = STR("Workspace made: default");
	event.workspace = workspace.code;
	return ledger_event(ledger, now_ms, &event, &workspace_schema,
			    &workspace);
}

/* ERR_EXISTS when the store has its first record. */
static enum err
meta_is_absent(struct store *store, struct arena *arena, struct why *why)
{
	struct str value;
	struct key key;
	struct str at;
	enum err e;

	key_meta(&key);
	at = key_str(&key);
	e = store_load(store, &at, 1, &value, arena);
	if (e != ERR_OK)
		return why_set(why, e, "cannot read the store: %s",
			       err_text(e));
	if (value.p)
		return why_set(why, ERR_EXISTS,
			       "there is a store already: nothing was changed");
	return ERR_OK;
}

static enum err
seed_all(struct ledger *ledger, int64_t now_ms, struct arena *arena,
	 struct ledger_init *out)
{
	struct group *group = ledger->group;
	enum err e = seed_meta(group, ledger->crypto, now_ms, arena, out);

	if (e == ERR_OK)
		e = seed_workspace(ledger, now_ms);
	if (e == ERR_OK)
		e = ledger_seed_plans(group, DEFAULT_WORKSPACE, now_ms);
	if (e == ERR_OK)
		e = ledger_seed_prices(group, now_ms);
	return e == ERR_OK ? group_commit(group) : e;
}

enum err
ledger_seed(struct store *store, struct crypto *crypto, int64_t now_ms,
	    struct arena *arena, struct ledger_init *out, struct why *why)
{
	struct ledger ledger = {.store = store, .crypto = crypto};
	enum err e = store_lease_take(store, &ledger.lease, why);

	if (e != ERR_OK)
		return e;
	buf_init(&ledger.scratch, STORE_VALUE_BYTES_MAX);
	e = meta_is_absent(store, arena, why);
	if (e == ERR_OK) {
		e = group_open(&ledger.group, store, &ledger.lease);
		if (e == ERR_OK)
			e = seed_all(&ledger, now_ms, arena, out);
		if (e != ERR_OK)
			why_set(why, e, "cannot write the first records: %s",
				err_text(e));
	}
	if (ledger.group)
		group_close(ledger.group);
	buf_fini(&ledger.scratch);
	store_lease_release(store, &ledger.lease);
	return e;
}

/* --- folders and master key ---------------------------------------------- */

/* The folders that this run made, to be taken back when it is refused. */
struct made {
	const char *folders[3];
	unsigned count;
};

static enum err
folder_make(const char *path, mode_t mode, struct made *made, struct why *why)
{
	if (mkdir(path, mode) == 0) {
		made->folders[made->count++] = path;
		return ERR_OK;
	}
	if (errno == EEXIST)
		return ERR_OK;
	return why_set(why, ERR_IO, "cannot make the folder %s: %s", path,
		       errno == ENOENT ? "make the folder that it is in first"
				       : err_of_file(errno));
}

static enum err
folders_make(const struct conf *conf, const char *store_dir, struct made *made,
	     struct why *why)
{
	enum err e = folder_make(conf->data, 0750, made, why);

	if (e == ERR_OK)
		e = folder_make(store_dir, 0700, made, why);
	if (e == ERR_OK)
		e = folder_make(conf->run_dir, 0750, made, why);
	return e;
}

/* Those in which there is nothing. */
static void
folders_take_back(struct made *made)
{
	while (made->count > 0)
		rmdir(made->folders[--made->count]);
}

enum err
ledger_init(const struct conf *conf, struct arena *arena,
	    struct ledger_init *out, struct why *why)
{
	char dir[PATH_MAX];
	struct store_conf store_conf = {
	    .engine = "lmdb", .dir = dir, .map_bytes = conf->map_bytes};
	struct store *store = NULL;
	struct crypto *crypto = NULL;
	struct made made = {{NULL}, 0};
	enum err e;

	if ((size_t)snprintf(dir, sizeof(dir), "%s/store", conf->data) >=
	    sizeof(dir))
		return why_set(why, ERR_CONFIG,
			       "the data folder's path is too long");
	/* First without making one: a house that lost its master key must not
	 * be given another. */
	e = store_open(&store, &store_conf, why);
	if (e == ERR_OK)
		e = meta_is_absent(store, arena, why);
	else if (e == ERR_STORE_MISSING)
		e = folders_make(conf, dir, &made, why);
	if (e == ERR_OK && access(conf->master_key_file, F_OK) != 0)
		e = crypto_make_master_key(conf->master_key_file, why);
	if (e == ERR_OK)
		e = crypto_open(&crypto, conf->master_key_file, why);
	if (e == ERR_OK && store == NULL) {
		store_conf.is_created = true;
		e = store_open(&store, &store_conf, why);
	}
	if (e == ERR_OK)
		e = ledger_seed(store, crypto, clock_wall_ms(), arena, out,
				why);
	if (crypto)
		crypto_close(crypto);
	if (store)
		store_close(store);
	if (e != ERR_OK)
		folders_take_back(&made);
	return e;
}
