/*
 * conf: the settings of a process (rows in conf.def), from defaults, a file
 * (--config, `key = value` lines), the environment and flags, in that order.
 */
#ifndef LIB_CONF_H
#define LIB_CONF_H

#include "lib/buf.h"
#include "lib/err.h"

struct conf {
#define CONF_MEMBER_TEXT const char *
#define CONF_MEMBER_PATH const char *
#define CONF_MEMBER_ADDRESS const char *
#define CONF_MEMBER_SECRET const char *
#define CONF_MEMBER_INT int64_t
#define CONF_MEMBER_BYTES int64_t
#define CONF(field, kind, env, def, min, max, help) CONF_MEMBER_##kind field;
#include "lib/conf.def"
#undef CONF
	const char *run_dir; /* data/run; made by the derivation, not a row */
};

/* Takes the flags it knows out of argv (argc and argv change); what is left is
 * the caller's. Strings live as long as the process. Bad values: ERR_CONFIG,
 * with the name and what is allowed in why. Fills the derived members: data
 * (absolute, unless only the relative path is short enough for the sockets),
 * run_dir, master_key_file. log_level, log_format and the base URLs are
 * checked. An empty environment variable counts as unset. A secret has no flag.
 * --conf and --help are the caller's. */
enum err conf_load(struct conf *conf, int *argc, char **argv, struct why *why);
/* Each setting, its value and where it came from; secrets as "set". */
void conf_print(const struct conf *conf, struct buf *out);
/* The same as a line of JSON each. */
void conf_print_json(const struct conf *conf, struct buf *out);
/* The options part of --help and of the man pages. */
void conf_print_help(struct buf *out);

#endif
