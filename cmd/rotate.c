/*
 * rotate: `chatello key rotate`: another master key, while the house runs or
 * not. The file gets a second key; every process that has the first is told the
 * second; the ledger seals everything with it; the file loses the first. To be
 * interrupted does no harm: what runs goes on, and the command goes on from
 * where it was. See doc/decisions/017-master-key.md.
 */
#include "cmd/client.h"
#include "cmd/client_wait.h"
#include "cmd/commands.h"
#include "cmd/house.h"
#include "cmd/output.h"
#include "cmd/reading.h"
#include "lib/clock.h"
#include "lib/proc.h"
#include "store/master_key.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define TELL_MS 10000 /* for a proxy that starts or is replaced */
#define TELL_ASK_MS 2000
#define TELL_AGAIN_MS 500

struct rotation {
	struct command *command;
	struct reading reading;
	struct key_next next;
	unsigned char check[CRYPTO_HASH_BYTES];
	struct rotated done;
};

static const struct column columns[] = {
    {"sealed anew", "resealed", FORM_PLAIN},
    {"not readable", "unreadable", FORM_PLAIN},
    {"proxies told", "proxies", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

/* --- the file ------------------------------------------------------------- */

static enum err
open_all(struct rotation *rotation, struct why *why)
{
	const struct conf *conf = &rotation->command->conf;
	enum err e;

	reading_close(&rotation->reading);
	e = reading_open(&rotation->reading, conf, why);
	return e == ERR_OK ? reading_crypto(&rotation->reading, conf, why) : e;
}

/* Two keys in the file, the second one new or of a run that was broken off. */
static enum err
file_begin(struct rotation *rotation, struct why *why)
{
	const char *path = rotation->command->conf.master_key_file;
	struct master_keys keys;
	enum err e = open_all(rotation, why);

	if (e != ERR_OK || crypto_has_next(rotation->reading.crypto))
		return e;
	e = master_keys_read(path, &keys, why);
	if (e != ERR_OK)
		return e;
	if (keys.count == 1) {
		master_keys_add(&keys);
		e = master_keys_replace(path, &keys, why);
	}
	master_keys_wipe(&keys);
	return e == ERR_OK ? open_all(rotation, why) : e;
}

/* The first key is needed for nothing any more. */
static enum err
file_end(const char *path, struct why *why)
{
	struct master_keys keys;
	enum err e = master_keys_read(path, &keys, why);

	if (e != ERR_OK)
		return e;
	if (keys.count == 2) {
		memcpy(keys.bytes[0], keys.bytes[1], MASTER_KEY_BYTES);
		keys.count = 1;
		e = master_keys_replace(path, &keys, why);
	}
	master_keys_wipe(&keys);
	return e;
}

/* --- who has the first key only --------------------------------------------
 */

static enum err
next_make(struct rotation *rotation)
{
	struct crypto *crypto = rotation->reading.crypto;
	struct arena *arena = &rotation->command->arena;
	enum err e = crypto_give_next(crypto, arena, &rotation->next.next);

	crypto_next_check(crypto, rotation->check);
	return e == ERR_OK
		   ? crypto_give_next(crypto_provider_keys(crypto), arena,
				      &rotation->next.next_provider_keys)
		   : e;
}

/* One that does not run reads the file when it starts. One that has its name
 * and does not answer may have read it before. */
static enum err
proxy_tell(struct rotation *rotation, const char *name, struct why *why)
{
	const struct conf *conf = &rotation->command->conf;
	int64_t until_ms = clock_mono_ms() + TELL_MS;
	struct client_wait wait;
	struct nothing out;
	enum err e = client_wait_open(&wait, conf, why);

	if (e != ERR_OK)
		return e;
	for (;;) {
		why->text[0] = '\0';
		e = client_ask(rotation->command, name, MSG_key_next,
			       &rotation->next, &nothing_schema, &out,
			       TELL_ASK_MS, why);
		rotation->done.proxies += e == ERR_OK;
		if (e == ERR_OK || (e == ERR_UNAVAILABLE &&
				    house_lock_holder(conf, name) == 0)) {
			why->text[0] = '\0';
			e = ERR_OK;
			break;
		}
		if (e == ERR_CONFLICT || clock_mono_ms() > until_ms)
			break;
		/* Its tools' socket wakes us; one that is slow does not. */
		client_wait_for(&wait, clock_mono_ms() + TELL_AGAIN_MS);
	}
	client_wait_close(&wait);
	return e;
}

/* Whatever these settings say, those that run count. */
static enum err
proxies_tell(struct rotation *rotation, struct why *why)
{
	const char *run_dir = rotation->command->conf.run_dir;
	DIR *folder = opendir(run_dir);
	const struct dirent *entry;
	enum err e = ERR_OK;

	if (folder == NULL)
		return why_set(why, ERR_IO, "cannot read %.200s: %s", run_dir,
			       err_of_file(errno));
	while (e == ERR_OK && (entry = readdir(folder)) != NULL) {
		struct str name = str_of(entry->d_name);

		if (!str_starts(name, STR("proxy-")) ||
		    !str_ends(name, STR(".lock")))
			continue;
		name.n -= strlen(".lock");
		name = arena_str(&rotation->command->arena, name);
		e = name.p ? proxy_tell(rotation, name.p, why) : ERR_NO_MEMORY;
	}
	closedir(folder);
	return e;
}

/* --- all of it -------------------------------------------------------------
 */

static void
show_progress(const struct rotation *rotation)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%lld sealed anew",
			(long long)rotation->done.resealed);
}

static enum err
reseal_all(struct rotation *rotation, struct why *why)
{
	struct key_resealed out = {.is_done = false};
	char after[STORE_KEY_BYTES_MAX];
	struct key_reseal in = {
	    str_bytes(rotation->check, sizeof(rotation->check)), STR_NONE};
	enum err e = ERR_OK;

	while (e == ERR_OK && !out.is_done) {
		e = client_write(rotation->command, MSG_key_reseal, &in, &out,
				 why);
		if (e != ERR_OK)
			break;
		rotation->done.resealed += out.resealed;
		rotation->done.unreadable += out.unreadable;
		memcpy(after, out.after.p, out.after.n);
		in.after = str_bytes(after, out.after.n);
		show_progress(rotation);
	}
	if (isatty(STDERR_FILENO))
		fputc('\n', stderr);
	return e;
}

static enum err
rotate(struct rotation *rotation, struct why *why)
{
	struct command *command = rotation->command;
	struct nothing nothing;
	enum err e = file_begin(rotation, why);

	if (e == ERR_OK)
		e = next_make(rotation);
	if (e == ERR_OK)
		e = client_write(command, MSG_key_next, &rotation->next,
				 &nothing, why);
	if (e == ERR_OK)
		e = proxies_tell(rotation, why);
	if (e == ERR_OK)
		e = reseal_all(rotation, why);
	if (e == ERR_OK)
		e = file_end(command->conf.master_key_file, why);
	return e;
}

/* Broken off: both keys are in the file, and everything opens. */
static void
say_again(struct why *why, enum err e)
{
	struct why first = *why;

	why_set(why, e,
		"%s (the change of the master key is broken off, nothing is "
		"lost: run it again)",
		first.text[0] ? first.text : err_text(e));
}

enum err
key_rotate_command(struct command *command, struct why *why)
{
	struct rotation rotation = {.command = command};
	char path[4096];
	int lock;
	enum err e;

	snprintf(path, sizeof(path), "%s/rotate.lock", command->conf.run_dir);
	e = proc_lock(path, &lock, why);
	if (e == ERR_EXISTS)
		return why_set(why, e, "`chatello key rotate` runs already");
	if (e != ERR_OK)
		return e;
	e = rotate(&rotation, why);
	if (e != ERR_OK && rotation.next.next.p)
		say_again(why, e);
	reading_close(&rotation.reading);
	close(lock);
	if (e == ERR_OK)
		output_object(command, &rotated_schema, columns,
			      &rotation.done);
	if (e == ERR_OK && rotation.done.unreadable)
		e = why_set(why, ERR_STORE_CORRUPT,
			    "the key is another one now, but %lld records "
			    "opened with neither: they were left as they are",
			    (long long)rotation.done.unreadable);
	return e;
}
