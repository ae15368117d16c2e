/*
 * doctor: looks at everything that can be wrong with an installation, a line
 * each: what was looked at, whether it is in order, and else what to do.
 */
#include "cmd/commands.h"
#include "cmd/house.h"
#include "cmd/output.h"
#include "cmd/reading.h"
#include "lib/proc.h"
#include "workers/upstream_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct column columns[] = {
    {"CHECK", "check", FORM_PLAIN},
    {"OK", "ok", FORM_PLAIN},
    {"WHAT", "text", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

struct doctor {
	struct command *command;
	struct output output;
	struct reading reading;
	unsigned bad;
};

__attribute__((format(printf, 4, 5))) static void
say(struct doctor *doctor, const char *check, bool is_ok, const char *format,
    ...)
{
	struct check_line line = {.check = str_of(check), .ok = is_ok};
	char text[320];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	line.text = str_of(text);
	doctor->bad += !is_ok;
	output_row(&doctor->output, &line, NULL);
}

static void
check_folder(struct doctor *doctor, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		say(doctor, "data folder", false, "%.200s: %s", path,
		    errno == ENOENT ? "it is not there: run `chatello init`"
				    : strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		say(doctor, "data folder", false, "%.200s is no folder", path);
	else if (access(path, R_OK | W_OK | X_OK) != 0)
		say(doctor, "data folder", false,
		    "%.200s: no right to read and write it: run as its owner",
		    path);
	else if (st.st_mode & 07)
		say(doctor, "data folder", false,
		    "%.200s is open to all users: chmod o-rwx it", path);
	else
		say(doctor, "data folder", true, "%.200s", path);
}

static void
check_key(struct doctor *doctor)
{
	struct why why = {"", ""};
	const struct conf *conf = &doctor->command->conf;
	enum err e;

	if (doctor->reading.store) {
		e = reading_crypto(&doctor->reading, conf, &why);
	} else {
		e = crypto_open(&doctor->reading.crypto, conf->master_key_file,
				&why);
	}
	if (e == ERR_OK && crypto_has_next(doctor->reading.crypto))
		say(doctor, "master key", false,
		    "a change of it is under way or was broken off: run "
		    "`chatello key rotate`");
	else if (e == ERR_OK)
		say(doctor, "master key", true, "%.200s%s",
		    conf->master_key_file,
		    doctor->reading.store ? ", of this store" : "");
	else
		say(doctor, "master key", false, "%s",
		    why.text[0] ? why.text : err_text(e));
}

static void
check_state(struct doctor *doctor)
{
	struct store_state state;
	unsigned cleared = 0;
	enum err e = store_state(doctor->reading.store, &state);

	if (e != ERR_OK)
		say(doctor, "room", false, "%s", err_text(e));
	else if (state.is_refusing_writes || state.alarm[0])
		say(doctor, "room", false, "%s: make room on the disk",
		    state.alarm[0] ? state.alarm : "the disk is almost full");
	else
		say(doctor, "room", true,
		    "%lld MiB used of %lld, %lld MiB free on the disk",
		    (long long)state.used_bytes >> 20,
		    (long long)state.map_bytes >> 20,
		    (long long)state.disk_free_bytes >> 20);
	e = store_check_readers(doctor->reading.store, &cleared);
	say(doctor, "reader slots", e == ERR_OK,
	    e == ERR_OK ? "%u of dead processes cleared"
			: "%u cleared, then "
			  "an error",
	    cleared);
}

static void
check_store(struct doctor *doctor)
{
	struct why why = {"", ""};
	enum err e;

	e = reading_open(&doctor->reading, &doctor->command->conf, &why);
	if (e == ERR_OK)
		say(doctor, "store", true, "%.200s/store opens",
		    doctor->command->conf.data);
	else
		say(doctor, "store", false, "%s",
		    why.text[0] ? why.text : err_text(e));
}

static void
check_port(struct doctor *doctor, const char *check, struct str at,
	   bool is_running)
{
	struct str host_port = arena_str(&doctor->command->arena, at);
	struct why why = {"", ""};
	int fd;

	if (is_running) {
		say(doctor, check, true, "%.*s: the house runs", STR_ARG(at));
		return;
	}
	if (proc_listen(host_port.p ? host_port.p : "", &fd, &why) == ERR_OK) {
		close(fd);
		say(doctor, check, true, "%.*s is free", STR_ARG(at));
		return;
	}
	say(doctor, check, false, "%s", why.text);
}

static void
check_ports(struct doctor *doctor)
{
	const struct conf *conf = &doctor->command->conf;
	bool is_running = house_lock_holder(conf, "up") != 0 ||
			  house_lock_holder(conf, "edge-0") != 0;
	struct up_listeners at;

	/* Where it answers, which need not be what the settings here say. */
	if (house_listeners(doctor->command, &at) != ERR_OK || !at.public.p) {
		at.public = str_of(conf->public);
		at.admin = str_of(conf->admin);
		at.internal = str_of(conf->internal);
	}
	check_port(doctor, "public port", at.public, is_running);
	check_port(doctor, "admin port", at.admin, is_running);
	check_port(doctor, "internal port", at.internal, is_running);
}

static void
check_providers(struct doctor *doctor)
{
	const struct conf *conf = &doctor->command->conf;
	const struct {
		const char *key, *name, *base_url;
	} rows[] = {
#define PROVIDER(name, ...)                                                    \
	{conf->name##_api_key, " " #name, conf->name##_base_url},
#include "lib/providers.def"
#undef PROVIDER
	};
	struct why why = {"", ""};
	char names[64] = "";
	size_t n = 0;

	if (conf->ca_file[0] &&
	    upstream_ca_check(conf->ca_file, &why) != ERR_OK)
		say(doctor, "ca file", false, "%s", why.text);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (upstream_base_check(rows[i].base_url, &why) != ERR_OK)
			say(doctor, "base url", false, "%s", why.text);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].key[0])
			n += (size_t)snprintf(names + n, sizeof(names) - n,
					      "%s", rows[i].name);
	if (n == 0)
		say(doctor, "providers", true,
		    "no provider key here: only the model `demo` answers");
	else
		say(doctor, "providers", true, "keys are set for%s", names);
}

enum err
doctor_command(struct command *command, struct why *why)
{
	struct doctor doctor = {.command = command};
	enum err e;

	output_open(&doctor.output, command, &check_line_schema, columns);
	check_folder(&doctor, command->conf.data);
	check_store(&doctor);
	check_key(&doctor);
	if (doctor.reading.store)
		check_state(&doctor);
	check_ports(&doctor);
	check_providers(&doctor);
	reading_close(&doctor.reading);
	e = output_close(&doctor.output, ERR_OK, why);
	if (e == ERR_OK && doctor.bad)
		e = why_set(
		    why, ERR_CONFLICT,
		    "%u of these need a look: see the lines that say no",
		    doctor.bad);
	return e;
}
