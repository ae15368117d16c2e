/*
 * conf: see conf.h. One table (conf.def), read four times: default, file,
 * environment, flag; a later one overwrites. Where each value came from is
 * kept for conf_print; there is one configuration in a process.
 */
#include "lib/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/arena.h"
#include "lib/json.h"
#include "lib/proc.h"

#define FILE_BYTES_MAX 65536u
#define NAME_BYTES_MAX 64u
#define TEXTS_BYTES_MAX (1u << 20)
/* sun_path holds 107 characters; "/analytics-63.tools" goes behind. */
#define RUN_DIR_BYTES_MAX 87u

enum kind { TEXT, PATH, ADDRESS, SECRET, INT, BYTES };
enum source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENV, SOURCE_FLAG };

static const char *const source_names[] = {"default", "file", "environment",
					   "flag"};

static const struct row {
	const char *name; /* file key */
	const char *env;
	const char *def;
	const char *help;
	enum kind kind;
	size_t offset;
	int64_t min;
	int64_t max;
} rows[] = {
#define CONF(field, kind, env, def, min, max, help)                            \
	{#field, #env, def, help, kind, offsetof(struct conf, field), min, max},
#include "lib/conf.def"
#undef CONF
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static enum source sources[ROW_COUNT];
static struct arena texts = {.limit_bytes = TEXTS_BYTES_MAX}; /* never freed */

static const char **
text_at(struct conf *conf, const struct row *row)
{
	return (const char **)(void *)((char *)conf + row->offset);
}

static int64_t *
number_at(struct conf *conf, const struct row *row)
{
	return (int64_t *)(void *)((char *)conf + row->offset);
}

/* listen_ms -> listen-ms */
static void
flag_of(const struct row *row, char out[NAME_BYTES_MAX])
{
	size_t i;

	for (i = 0; i < NAME_BYTES_MAX - 1 && row->name[i]; i++)
		out[i] = row->name[i] == '_' ? '-' : row->name[i];
	out[i] = '\0';
}

static bool
parse_number(const char *text, bool has_suffix, int64_t *out)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (end == text || errno || strchr(" \t\n+", text[0]))
		return false;
	suffix = *end ? strchr(suffixes, *end) : NULL;
	if (has_suffix && suffix) {
		int64_t unit = INT64_C(1024) << (10 * (suffix - suffixes));

		if (__builtin_mul_overflow(value, unit, &value))
			return false;
		end++;
	}
	*out = value;
	return *end == '\0';
}

/* name: what the user wrote it as, for the message. */
static enum err
set(struct conf *conf, const struct row *row, const char *value,
    enum source source, const char *name, struct why *why)
{
	int64_t number;
	const char *copy;

	if (row->kind == INT || row->kind == BYTES) {
		if (!parse_number(value, row->kind == BYTES, &number) ||
		    number < row->min || number > row->max)
			return why_field(
			    why, ERR_CONFIG, row->name,
			    "%s: \"%.40s\" is not a number from %lld to "
			    "%lld%s",
			    name, value, (long long)row->min,
			    (long long)row->max,
			    row->kind == BYTES ? " (K, M or G may follow)"
					       : "");
		*number_at(conf, row) = number;
	} else if (row->kind == ADDRESS && !proc_is_address(value)) {
		return why_field(why, ERR_CONFIG, row->name,
				 "%s: \"%.128s\" is no listener: write "
				 "host:port with a numeric host, as in "
				 "127.0.0.1:5010 or [::1]:5010",
				 name, value);
	} else {
		copy = arena_str(&texts, str_of(value)).p;
		if (copy == NULL)
			return why_set(why, ERR_NO_MEMORY, "out of memory");
		*text_at(conf, row) = copy;
	}
	sources[row - rows] = source;
	return ERR_OK;
}

static const struct row *
row_of(struct str name, bool is_flag)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		char flag[NAME_BYTES_MAX];

		flag_of(&rows[i], flag);
		if (str_eq(name, str_of(is_flag ? flag : rows[i].name)))
			return &rows[i];
	}
	return NULL;
}

static enum err
set_line(struct conf *conf, char *line, const char *where, bool is_private,
	 struct why *why)
{
	struct str text = str_trim(str_of(line)), key, value;
	const struct row *row;
	const char *equals;

	if (text.n == 0 || text.p[0] == '#')
		return ERR_OK;
	equals = memchr(text.p, '=', text.n);
	if (equals == NULL)
		return why_set(why, ERR_CONFIG, "%s: not `key = value`", where);
	key = str_trim(str_bytes(text.p, (size_t)(equals - text.p)));
	value = str_trim(
	    str_bytes(equals + 1, (size_t)(text.p + text.n - equals - 1)));
	row = row_of(key, false);
	if (row == NULL)
		return why_set(why, ERR_CONFIG,
			       "%s: no setting is called \"%.*s\"; --conf "
			       "lists them",
			       where, (int)(key.n < 64 ? key.n : 64), key.p);
	if (row->kind == SECRET && !is_private)
		return why_field(why, ERR_CONFIG, row->name,
				 "%s: the file holds %s and others may read "
				 "it; chmod 600 it",
				 where, row->name);
	line[value.p + value.n - line] = '\0';
	return set(conf, row, value.p, SOURCE_FILE, where, why);
}

static enum err
set_from_text(struct conf *conf, char *text, const char *path, bool is_private,
	      struct why *why)
{
	char where[128];
	unsigned number = 0;

	while (text) {
		char *line = strsep(&text, "\n");
		enum err err;

		snprintf(where, sizeof(where), "%.100s line %u", path,
			 ++number);
		err = set_line(conf, line, where, is_private, why);
		if (err)
			return err;
	}
	return ERR_OK;
}

static enum err
set_from_file(struct conf *conf, const char *path, struct why *why)
{
	char *text = NULL;
	enum err err = ERR_OK;
	struct stat st;
	size_t n;
	FILE *file = fopen(path, "re");

	if (file == NULL || fstat(fileno(file), &st) != 0) {
		err = why_set(why, ERR_CONFIG, "cannot read %.200s: %s", path,
			      strerror(errno));
		goto out;
	}
	text = malloc(FILE_BYTES_MAX + 1);
	if (text == NULL) {
		err = why_set(why, ERR_NO_MEMORY, "out of memory");
		goto out;
	}
	n = fread(text, 1, FILE_BYTES_MAX + 1, file);
	if (ferror(file) || n > FILE_BYTES_MAX || memchr(text, '\0', n)) {
		err = why_set(why, ERR_CONFIG,
			      "%.200s is no configuration file: it must be "
			      "text of at most 64 KiB",
			      path);
		goto out;
	}
	text[n] = '\0';
	err = set_from_text(conf, text, path, !(st.st_mode & S_IROTH), why);
out:
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	if (file)
		fclose(file);
	return err;
}

/* Splits "--name value" and "--name=value". *taken: how many of argv it is;
 * *value NULL when there is none. False: no flag. */
static bool
split_flag(char **argv, int left, struct str *name, const char **value,
	   int *taken)
{
	const char *equals = strchr(argv[0], '=');

	*taken = 1;
	if (strncmp(argv[0], "--", 2) != 0)
		return false;
	*name = str_of(argv[0] + 2);
	*value = NULL;
	if (equals) {
		name->n = (size_t)(equals - argv[0] - 2);
		*value = equals + 1;
	} else if (left > 1) {
		*value = argv[1];
		*taken = 2;
	}
	return true;
}

static const char *
config_path(int argc, char **argv)
{
	const char *path = NULL, *value;
	struct str name;
	int taken;

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i += taken)
		if (!split_flag(argv + i, argc - i, &name, &value, &taken))
			continue;
		else if (str_eq(name, STR("config")))
			path = value;
		else if (row_of(name, true) == NULL)
			taken = 1;
	return path;
}

static enum err
set_from_flag(struct conf *conf, const struct row *row, struct str name,
	      const char *value, struct why *why)
{
	char flag[NAME_BYTES_MAX + 2];

	snprintf(flag, sizeof(flag), "--%.*s", STR_ARG(name));
	if (row && row->kind == SECRET)
		return why_field(why, ERR_CONFIG, row->name,
				 "%s: a secret is never taken from the command "
				 "line, where all can read it; set %s in the "
				 "environment",
				 flag, row->env);
	if (value == NULL)
		return why_set(why, ERR_CONFIG, "%s needs a value behind it",
			       flag);
	return row ? set(conf, row, value, SOURCE_FLAG, flag, why) : ERR_OK;
}

/* Takes every flag of ours out of argv. */
static enum err
set_from_flags(struct conf *conf, int *argc, char **argv, struct why *why)
{
	int kept = 1, taken = 1, i;

	for (i = 1; i < *argc && strcmp(argv[i], "--") != 0; i += taken) {
		const char *value = NULL;
		const struct row *row = NULL;
		struct str name = STR_NONE;
		enum err err;

		if (split_flag(argv + i, *argc - i, &name, &value, &taken))
			row = row_of(name, true);
		if (row == NULL && !str_eq(name, STR("config"))) {
			argv[kept++] = argv[i];
			taken = 1;
			continue;
		}
		err = set_from_flag(conf, row, name, value, why);
		if (err)
			return err;
	}
	while (i < *argc)
		argv[kept++] = argv[i++];
	*argc = kept;
	argv[kept] = NULL;
	return ERR_OK;
}

static enum err
set_from_env(struct conf *conf, struct why *why)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		const char *value = getenv(rows[i].env);
		enum err err;

		if (value == NULL || value[0] == '\0')
			continue;
		err = set(conf, &rows[i], value, SOURCE_ENV, rows[i].env, why);
		if (err)
			return err;
	}
	return ERR_OK;
}

static bool
is_one_of(const char *text, const char *const *words)
{
	while (*words && strcmp(text, *words) != 0)
		words++;
	return *words != NULL;
}

/* https, or http to this machine: a provider key travels behind it. */
static bool
is_safe_url(const char *url)
{
	static const char *const local[] = {"localhost", "[::1]", NULL};
	char host[64];
	size_t n;

	if (strncmp(url, "https://", 8) == 0)
		return url[8] != '\0' && url[8] != '/' && !strchr(url, '@');
	if (strncmp(url, "http://", 7) != 0)
		return false;
	url += 7;
	n = url[0] == '[' ? strcspn(url, "]") + 1 : strcspn(url, ":/?#");
	if (n >= sizeof(host) || strchr(url, '@'))
		return false;
	memcpy(host, url, n);
	host[n] = '\0';
	return is_one_of(host, local) || (strncmp(host, "127.", 4) == 0 &&
					  strspn(host, "0123456789.") == n);
}

static enum err
check(const struct conf *conf, struct why *why)
{
	static const char *const levels[] = {"error", "warn", "info", "debug",
					     NULL};
	static const char *const formats[] = {"text", "json", NULL};
	const struct {
		const char *name, *url;
	} urls[] = {
#define PROVIDER(name, ...) {#name "_base_url", conf->name##_base_url},
#include "lib/providers.def"
#undef PROVIDER
	};

	if (!is_one_of(conf->log_level, levels))
		return why_field(why, ERR_CONFIG, "log_level",
				 "log_level: \"%.20s\" is none of error, warn, "
				 "info, debug",
				 conf->log_level);
	if (!is_one_of(conf->log_format, formats))
		return why_field(why, ERR_CONFIG, "log_format",
				 "log_format: \"%.20s\" is none of text, json",
				 conf->log_format);
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		if (!is_safe_url(urls[i].url))
			return why_field(why, ERR_CONFIG, urls[i].name,
					 "%s: \"%.100s\" must begin with "
					 "https:// (http:// is for this "
					 "machine's own addresses only)",
					 urls[i].name, urls[i].url);
	return ERR_OK;
}

static const char *
default_data(void)
{
	struct stat st;

	/* What a checkout has and an installation has not. */
	if (access("Makefile", F_OK) == 0 && stat("lib", &st) == 0 &&
	    S_ISDIR(st.st_mode))
		return "data";
	return "/var/lib/chatello";
}

static const char *
absolute(const char *path)
{
	const char *joined = NULL;
	char *folder;

	if (path[0] == '/')
		return path;
	folder = getcwd(NULL, 0);
	if (folder)
		joined = arena_printf(&texts, "%s/%s", folder, path).p;
	free(folder);
	return joined;
}

static enum err
derive(struct conf *conf, struct why *why)
{
	const char *given = conf->data[0] ? conf->data : default_data();

	while (strncmp(given, "./", 2) == 0 && given[2])
		given += 2;
	conf->data = absolute(given);
	/* Deep below the root a relative path may still fit a socket's name. */
	if (conf->data && strlen(conf->data) + 4 > RUN_DIR_BYTES_MAX)
		conf->data = given;
	if (conf->data && strlen(conf->data) + 4 > RUN_DIR_BYTES_MAX)
		return why_field(
		    why, ERR_CONFIG, "data",
		    "data: the path \"%.120s\" is too long for the "
		    "sockets in it; choose one of at most %u "
		    "characters with --data or CHATELLO_DATA",
		    conf->data, RUN_DIR_BYTES_MAX - 4);
	if (conf->data)
		conf->run_dir = arena_printf(&texts, "%s/run", conf->data).p;
	if (conf->data && conf->master_key_file[0] == '\0')
		conf->master_key_file =
		    arena_printf(&texts, "%s/master.key", conf->data).p;
	if (!conf->data || !conf->run_dir || !conf->master_key_file)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	return ERR_OK;
}

enum err
conf_load(struct conf *conf, int *argc, char **argv, struct why *why)
{
	const char *path = config_path(*argc, argv);
	enum err err = ERR_OK;

	memset(conf, 0, sizeof(*conf));
	for (size_t i = 0; i < ROW_COUNT && !err; i++)
		err = set(conf, &rows[i], rows[i].def, SOURCE_DEFAULT,
			  rows[i].name, why);
	if (!err && path)
		err = set_from_file(conf, path, why);
	if (!err)
		err = set_from_env(conf, why);
	if (!err)
		err = set_from_flags(conf, argc, argv, why);
	if (!err)
		err = check(conf, why);
	return err ? err : derive(conf, why);
}

static bool
is_number(const struct row *row)
{
	return row->kind == INT || row->kind == BYTES;
}

static int64_t
number_of(const struct conf *conf, const struct row *row)
{
	int64_t number;

	memcpy(&number, (const char *)conf + row->offset, sizeof(number));
	return number;
}

/* Of a secret only whether there is one. */
static const char *
text_of(const struct conf *conf, const struct row *row)
{
	const char *text;

	memcpy(&text, (const char *)conf + row->offset, sizeof(text));
	if (row->kind == SECRET)
		return text[0] ? "(set)" : "(unset)";
	return text;
}

void
conf_print(const struct conf *conf, struct buf *out)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		const struct row *row = &rows[i];

		buf_printf(out, "%-22s = ", row->name);
		if (is_number(row))
			buf_add_int(out, number_of(conf, row));
		else
			buf_add_z(out, text_of(conf, row));
		buf_printf(out, "  # %s\n", source_names[sources[i]]);
	}
}

void
conf_print_json(const struct conf *conf, struct buf *out)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		const struct row *row = &rows[i];

		buf_printf(out, "{\"name\":\"%s\",\"value\":", row->name);
		if (is_number(row))
			buf_add_int(out, number_of(conf, row));
		else
			json_write_string(out, str_of(text_of(conf, row)));
		buf_printf(out, ",\"source\":\"%s\"}\n",
			   source_names[sources[i]]);
	}
}

void
conf_print_help(struct buf *out)
{
	for (size_t i = 0; i < ROW_COUNT; i++) {
		const struct row *row = &rows[i];
		char flag[NAME_BYTES_MAX];

		flag_of(row, flag);
		if (row->kind == SECRET)
			buf_printf(out, "  %s (environment or file only)\n",
				   row->env);
		else
			buf_printf(out, "  --%s %s, %s\n", flag,
				   row->kind == INT	  ? "NUMBER"
				   : row->kind == BYTES	  ? "BYTES"
				   : row->kind == PATH	  ? "PATH"
				   : row->kind == ADDRESS ? "HOST:PORT"
							  : "TEXT",
				   row->env);
		buf_printf(out, "        %s", row->help);
		if (row->def[0])
			buf_printf(out, " [%s]", row->def);
		buf_add_char(out, '\n');
	}
	buf_add_z(out, "  --config FILE\n"
		       "        settings as `name = value` lines; environment "
		       "and flags go before it\n");
}
