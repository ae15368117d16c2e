/*
 * ledger_rotate: everything that is sealed gets another master key, in bounded
 * steps, whatever is written meanwhile and wherever it is broken off.
 */
#include <stdio.h>

#include "lib/test.h"
#include "store/master_key.h"
#include "store/meta.h"
#include "store/provider_key.h"
#include "workers/ledger.h"

#define T0 INT64_C(1795593840000)
#define LICENSES 600u

struct house {
	struct conf conf;
	struct ledger ledger;
	struct arena arena;
	struct license_issued licenses[LICENSES + 8];
	unsigned count;
};

/* The answer's strings live in the house's arena, as it was encoded. */
static enum err
call(struct house *house, unsigned type, const void *in, void *out,
     const struct schema *schema)
{
	struct context context = {.state = &house->ledger,
				  .arena = &house->arena,
				  .now_ms = T0,
				  .peer = "tools"};
	unsigned events;
	enum err e =
	    pool_call(ledger_rows, ledger_row_count, &context, type, in, out);
	struct buf bytes;

	if (e == ERR_OK) {
		buf_init(&bytes, 1u << 20);
		schema_encode(schema, out, &bytes);
		CHECK_OK(schema_decode(
		    schema, arena_str(&house->arena, buf_str(&bytes)), out,
		    &house->arena, NULL));
		buf_fini(&bytes);
	}
	CHECK_OK(ledger_commit(&house->ledger, &events));
	return e;
}

static void
issue(struct house *house)
{
	struct license_issue in;

	schema_clear(&license_issue_schema, &in);
	in.email = STR("a@shop.example");
	in.plan = STR("agency");
	CHECK_OK(call(house, MSG_license_issue, &in,
		      &house->licenses[house->count++],
		      &license_issued_schema));
}

static void
key_set(struct house *house, const char *name, const char *text)
{
	struct vendor_key_set in;
	struct vendor_key_view out;

	schema_clear(&vendor_key_set_schema, &in);
	in.provider = STR("openai");
	in.name = str_of(name);
	in.api_key = str_of(text);
	CHECK_OK(call(house, MSG_vendor_key_set, &in, &out,
		      &vendor_key_view_schema));
}

/* As a process that starts: with the keys of this file. */
static void
start(struct house *house, const char *file)
{
	struct why why = {"", ""};

	house->conf.master_key_file = file;
	CHECK_OK(ledger_open(&house->ledger, &house->conf, &why));
}

static void
start_anew(struct house *house, const char *file)
{
	ledger_close(&house->ledger);
	start(house, file);
}

/* both: the first key, and a new one; last: that alone. */
static void
files_make(const char *first, const char *both, const char *last)
{
	struct master_keys keys;
	struct why why = {"", ""};

	CHECK_OK(crypto_make_master_key(both, &why));
	CHECK_OK(crypto_make_master_key(last, &why));
	CHECK_OK(master_keys_read(first, &keys, &why));
	master_keys_add(&keys);
	CHECK_OK(master_keys_replace(both, &keys, &why));
	memcpy(keys.bytes[0], keys.bytes[1], MASTER_KEY_BYTES);
	keys.count = 1;
	CHECK_OK(master_keys_replace(last, &keys, &why));
}

static void
meta_make_old(struct house *house)
{
	struct meta meta;
	unsigned events;
	struct key key;

	key_meta(&key);
	CHECK_OK(group_load(house->ledger.group, &key, &meta_schema, &meta,
			    &house->arena));
	meta.version = 2;
	meta.find_key = STR_NONE;
	CHECK_OK(group_put(house->ledger.group, &key, &meta_schema, &meta));
	CHECK_OK(ledger_commit(&house->ledger, &events));
}

/* is_before: of the time before the key that finds licences was in it. */
static void
house_open(struct house *house, bool is_before)
{
	struct why why = {"", ""};
	struct ledger_init init;

	memset(house, 0, sizeof(*house));
	arena_init(&house->arena, 256u << 20);
	house->conf.data = "d";
	house->conf.run_dir = "d/run";
	house->conf.master_key_file = "old.key";
	house->conf.map_bytes = 256 << 20;
	CHECK_OK(ledger_init(&house->conf, &house->arena, &init, &why));
	files_make("old.key", "both.key", "new.key");
	start(house, "old.key");
	if (is_before) {
		meta_make_old(house);
		start_anew(house, "old.key");
	}
	key_set(house, "first", "sk-canary-first");
}

static void
house_close(struct house *house)
{
	ledger_close(&house->ledger);
	arena_fini(&house->arena);
}

/* Every key is found by itself, and opens; what it opens to is it. */
static void
check_all(struct house *house)
{
	struct crypto *crypto = house->ledger.crypto;
	unsigned char hash[CRYPTO_HASH_BYTES];
	struct license license;
	struct str secret;
	struct key key;

	for (unsigned i = 0; i < house->count; i++) {
		struct str text = house->licenses[i].license_key;

		crypto_hash_license_key(crypto, text, hash);
		key_license(&key, str_bytes(hash, sizeof(hash)));
		CHECK_OK(group_load(house->ledger.group, &key, &license_schema,
				    &license, &house->arena));
		CHECK_STR(license.id, house->licenses[i].license_id);
		CHECK_OK(crypto_open_sealed(crypto, license.sealed_key,
					    license.id, &house->arena,
					    &secret));
		CHECK_STR(secret, text);
	}
}

static void
check_key(struct house *house, struct str name, struct str text)
{
	struct provider_key record;
	struct str secret;
	struct key key;

	key_provider_key(&key, PROVIDER_KEY_VENDOR, STR("openai"), name);
	CHECK_OK(group_load(house->ledger.group, &key, &provider_key_schema,
			    &record, &house->arena));
	CHECK_OK(crypto_open_sealed(
	    crypto_provider_keys(house->ledger.crypto), record.sealed_key,
	    provider_key_identity(PROVIDER_KEY_VENDOR, STR("openai"), name,
				  &house->arena),
	    &house->arena, &secret));
	CHECK_STR(secret, text);
}

/* What the tool sends: the second key of the file, sealed by the first. */
static enum err
tell_next(struct house *house, const char *both)
{
	struct crypto *tool;
	struct key_next in;
	struct nothing out;

	CHECK_OK(crypto_open(&tool, both, NULL));
	CHECK_OK(crypto_give_next(tool, &house->arena, &in.next));
	CHECK_OK(crypto_give_next(crypto_provider_keys(tool), &house->arena,
				  &in.next_provider_keys));
	crypto_close(tool);
	return call(house, MSG_key_next, &in, &out, &nothing_schema);
}

static enum err
step(struct house *house, const char *both, struct key_resealed *at)
{
	unsigned char check[CRYPTO_HASH_BYTES];
	struct key_reseal in = {STR_NONE, at->after};
	struct crypto *tool;

	CHECK_OK(crypto_open(&tool, both, NULL));
	crypto_next_check(tool, check);
	crypto_close(tool);
	in.to = str_bytes(check, sizeof(check));
	return call(house, MSG_key_reseal, &in, at, &key_resealed_schema);
}

/* To the end; how many were sealed anew. */
static unsigned
reseal_all(struct house *house, const char *both)
{
	struct key_resealed at = {.is_done = false};
	unsigned resealed = 0;

	while (!at.is_done) {
		CHECK_OK(step(house, both, &at));
		resealed += (unsigned)at.resealed;
		CHECK_INT(at.unreadable, 0);
	}
	return resealed;
}

static void
check_refused(struct house *house, const char *file)
{
	struct why why = {"", ""};

	ledger_close(&house->ledger);
	house->conf.master_key_file = file;
	CHECK_ERR(ledger_open(&house->ledger, &house->conf, &why), ERR_CONFIG);
	CHECK(strstr(why.text, "master key"));
}

static unsigned
events_of(struct house *house, const char *type)
{
	static struct store_event events[LICENSES * 2 + 64];
	unsigned found = 0;
	size_t count;

	CHECK_OK(store_tail(house->ledger.store, 0, LICENSES * 2 + 64,
			    &house->arena, events, &count));
	for (size_t i = 0; i < count; i++) {
		struct event event;

		CHECK_OK(schema_decode(&event_schema, events[i].bytes, &event,
				       &house->arena, NULL));
		found += str_eq(event.type, str_of(type));
	}
	return found;
}

static void
rotates_while_it_is_written(bool is_before)
{
	static struct house house;
	struct key_resealed at = {.is_done = false};
	unsigned steps = 0, resealed = 0;

	house_open(&house, is_before);
	while (house.count < LICENSES)
		issue(&house);
	CHECK_OK(tell_next(&house, "both.key"));
	while (!at.is_done) {
		CHECK_OK(step(&house, "both.key", &at));
		CHECK(at.resealed <= 512);
		resealed += (unsigned)at.resealed;
		steps++;
		issue(&house); /* behind the place or in front of it */
		key_set(&house, "second", "sk-canary-second");
		check_all(&house);
	}
	CHECK(steps >= 3);
	CHECK(resealed >= LICENSES + 1);
	start_anew(&house, "new.key");
	check_all(&house);
	check_key(&house, STR("first"), STR("sk-canary-first"));
	check_key(&house, STR("second"), STR("sk-canary-second"));
	CHECK_INT(events_of(&house, "master_key_rotated"), 1);
	check_refused(&house, "old.key");
	arena_fini(&house.arena);
}

TEST(ledger_rotates_while_it_is_written)
{
	rotates_while_it_is_written(false);
}

TEST(ledger_rotates_a_store_of_before)
{
	rotates_while_it_is_written(true);
}

/* Wherever the one who asks ends, and the ledger too: it goes on. */
TEST(ledger_rotation_goes_on_where_it_was_broken_off)
{
	static struct house house;
	struct key_resealed at = {.is_done = false};

	house_open(&house, false);
	while (house.count < LICENSES)
		issue(&house);
	/* The file has both, nobody was told. */
	start_anew(&house, "both.key");
	check_all(&house);
	issue(&house);
	start_anew(&house, "old.key");
	check_all(&house);
	/* It was told, and ends before the first step. */
	CHECK_OK(tell_next(&house, "both.key"));
	start_anew(&house, "both.key");
	CHECK_OK(tell_next(&house, "both.key"));
	/* In mid-way: only the file with both opens what there is. */
	CHECK_OK(step(&house, "both.key", &at));
	CHECK(!at.is_done && at.resealed == 0); /* only says which one seals */
	CHECK_OK(step(&house, "both.key", &at));
	CHECK_OK(step(&house, "both.key", &at));
	CHECK(!at.is_done && at.resealed > 0);
	check_refused(&house, "old.key");
	start(&house, "both.key");
	check_all(&house);
	check_key(&house, STR("first"), STR("sk-canary-first"));
	issue(&house);
	CHECK(reseal_all(&house, "both.key") > 0);
	CHECK_INT(events_of(&house, "master_key_rotated"), 1);
	/* All is done, and the file has both still. */
	start_anew(&house, "both.key");
	CHECK_OK(tell_next(&house, "both.key"));
	CHECK_INT(reseal_all(&house, "both.key"), 0);
	CHECK_INT(events_of(&house, "master_key_rotated"), 1);
	start_anew(&house, "new.key");
	check_all(&house);
	house_close(&house);
}

/* A ledger that is never started again has room for the next one. */
TEST(ledger_rotates_twice_in_one_life)
{
	static struct house house;
	struct key_resealed at = {.is_done = false};

	house_open(&house, false);
	issue(&house);
	CHECK_ERR(step(&house, "both.key", &at), ERR_CONFLICT);
	CHECK_OK(tell_next(&house, "both.key"));
	CHECK_OK(tell_next(&house, "both.key"));
	CHECK_INT(reseal_all(&house, "both.key"), 2);
	files_make("new.key", "both2.key", "last.key");
	CHECK_OK(tell_next(&house, "both2.key"));
	CHECK_INT(reseal_all(&house, "both2.key"), 2);
	check_all(&house);
	check_key(&house, STR("first"), STR("sk-canary-first"));
	/* One that is sealed by a key that is gone is nobody's. */
	CHECK_ERR(tell_next(&house, "both.key"), ERR_CONFLICT);
	start_anew(&house, "last.key");
	check_all(&house);
	check_refused(&house, "both.key");
	arena_fini(&house.arena);
}

/* What opens with neither key does not hold the rest up, and is told. */
TEST(ledger_rotation_leaves_what_nobody_can_open)
{
	static struct house house;
	struct key_resealed at = {.is_done = false};
	struct provider_key record;
	int unreadable = 0;
	unsigned events;
	struct key key;

	house_open(&house, false);
	issue(&house);
	key_provider_key(&key, PROVIDER_KEY_VENDOR, STR("openai"),
			 STR("first"));
	CHECK_OK(group_load(house.ledger.group, &key, &provider_key_schema,
			    &record, &house.arena));
	record.sealed_key.n--;
	CHECK_OK(
	    group_put(house.ledger.group, &key, &provider_key_schema, &record));
	CHECK_OK(ledger_commit(&house.ledger, &events));
	CHECK_OK(tell_next(&house, "both.key"));
	while (!at.is_done) {
		CHECK_OK(step(&house, "both.key", &at));
		unreadable += (int)at.unreadable;
	}
	CHECK_INT(unreadable, 1);
	start_anew(&house, "new.key");
	check_all(&house);
	house_close(&house);
}
