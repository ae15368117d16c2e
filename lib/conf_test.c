/* conf: the order of the sources, what is refused, what is printed. */
#include "lib/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/test.h"

#define ARGS_MAX 16

static struct conf conf;
static struct why why;
static char texts[ARGS_MAX][256];
static char *args[ARGS_MAX];
static int arg_count;

/* The environment of the test run must not decide. */
static void
clear_environment(void)
{
#define CONF(field, kind, env, def, min, max, help) unsetenv(#env);
#include "lib/conf.def"
#undef CONF
}

static enum err
load_all(const char *const *given, size_t count)
{
	arg_count = 0;
	for (size_t i = 0; i < count && given[i]; i++) {
		snprintf(texts[i], sizeof(texts[i]), "%s", given[i]);
		args[arg_count++] = texts[i];
	}
	args[arg_count] = NULL;
	why = (struct why){.text = ""};
	return conf_load(&conf, &arg_count, args, &why);
}

static enum err
load(const char *first, const char *second, const char *third)
{
	const char *given[] = {"chatello", first, second, third};

	return load_all(given, 4);
}

static void
write_file(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	CHECK(file);
	fputs(text, file);
	fclose(file);
	CHECK(chmod(path, mode) == 0);
}

TEST(conf_defaults)
{
	clear_environment();
	CHECK_OK(load(NULL, NULL, NULL));
	CHECK_STR(str_of(conf.data), STR("/var/lib/chatello"));
	CHECK_STR(str_of(conf.run_dir), STR("/var/lib/chatello/run"));
	CHECK_STR(str_of(conf.master_key_file),
		  STR("/var/lib/chatello/master.key"));
	CHECK_STR(str_of(conf.public), STR("127.0.0.1:5010"));
	CHECK_STR(str_of(conf.openai_api_key), STR(""));
	CHECK_INT(conf.edges, 1);
	CHECK_INT(conf.map_bytes, INT64_C(64) << 30);
}

TEST(conf_data_of_a_checkout)
{
	char *folder = getcwd(NULL, 0);
	char want[256];

	clear_environment();
	write_file("Makefile", "", 0644);
	CHECK(mkdir("lib", 0755) == 0);
	CHECK_OK(load(NULL, NULL, NULL));
	snprintf(want, sizeof(want), "%s/data/run", folder);
	CHECK_STR(str_of(conf.run_dir), str_of(want));
	CHECK_OK(load("--data", "./house", NULL));
	snprintf(want, sizeof(want), "%s/house", folder);
	CHECK_STR(str_of(conf.data), str_of(want));
	free(folder);
}

TEST(conf_each_source_overwrites_the_one_before)
{
	clear_environment();
	write_file("c",
		   "# comment\n\n edges = 2 \r\nproxies=2\nvalidators = 2\n"
		   "public = 127.0.0.1:1\n",
		   0644);
	setenv("CHATELLO_PROXIES", "3", 1);
	setenv("CHATELLO_VALIDATORS", "3", 1);
	setenv("CHATELLO_DRAIN_MS", "", 1);
	CHECK_OK(load("--config", "c", "--validators=4"));
	CHECK_INT(conf.edges, 2);
	CHECK_INT(conf.proxies, 3);
	CHECK_INT(conf.validators, 4);
	CHECK_INT(conf.drain_ms, 10000);
	CHECK_STR(str_of(conf.public), STR("127.0.0.1:1"));
	CHECK_INT(arg_count, 1);
}

TEST(conf_leaves_other_arguments)
{
	static const char *const given[] = {
	    "chatello", "license",   "--data", "/d",	    "issue", "--email",
	    "a@b.c",	"--index=3", "--",     "--proxies", "9"};

	clear_environment();
	CHECK_OK(load_all(given, 11));
	CHECK_INT(arg_count, 8);
	CHECK_STR(str_of(args[1]), STR("license"));
	CHECK_STR(str_of(args[2]), STR("issue"));
	CHECK_STR(str_of(args[3]), STR("--email"));
	CHECK_STR(str_of(args[4]), STR("a@b.c"));
	CHECK_STR(str_of(args[5]), STR("--"));
	CHECK_STR(str_of(args[7]), STR("9"));
	CHECK(args[8] == NULL);
	CHECK_INT(conf.index, 3);
	CHECK_INT(conf.proxies, 1);
	CHECK_STR(str_of(conf.data), STR("/d"));
}

TEST(conf_numbers_and_bytes)
{
	static const char *bad[] = {
	    "0",  "65", "-1",  "1x", "",
	    " 2", "+2", "1.5", "1K", "99999999999999999999"};

	clear_environment();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK_ERR(load("--edges", bad[i], NULL), ERR_CONFIG);
		CHECK_STR(str_of(why.field), STR("edges"));
		CHECK(strstr(why.text, "--edges"));
		CHECK(strstr(why.text, "from 1 to 64"));
	}
	CHECK_OK(load("--map-bytes", "2M", NULL));
	CHECK_INT(conf.map_bytes, 2 << 20);
	CHECK_OK(load("--map-bytes=1048576", NULL, NULL));
	CHECK_INT(conf.map_bytes, 1 << 20);
	CHECK_ERR(load("--map-bytes", "2T", NULL), ERR_CONFIG);
	CHECK_ERR(load("--map-bytes", "2MB", NULL), ERR_CONFIG);
	CHECK_ERR(load("--map-bytes", "9223372036854775807G", NULL),
		  ERR_CONFIG);
	CHECK_ERR(load("--map-bytes", "1K", NULL), ERR_CONFIG);
}

TEST(conf_secrets_have_no_flag_and_are_not_printed)
{
	struct buf out;

	clear_environment();
	buf_init(&out, 65536);
	CHECK_ERR(load("--openai-api-key", "sk-canary", NULL), ERR_CONFIG);
	CHECK(strstr(why.text, "OPENAI_API_KEY"));
	CHECK(!strstr(why.text, "canary"));
	CHECK_ERR(load("--openai-api-key=sk-canary", NULL, NULL), ERR_CONFIG);
	CHECK(!strstr(why.text, "canary"));
	setenv("OPENAI_API_KEY", "sk-canary", 1);
	CHECK_OK(load("--edges", "2", NULL));
	CHECK_STR(str_of(conf.openai_api_key), STR("sk-canary"));
	conf_print(&conf, &out);
	buf_add_char(&out, '\0');
	CHECK(!out.is_failed && !strstr(out.p, "canary"));
	CHECK(strstr(out.p, "openai_api_key         = (set)  # environment\n"));
	CHECK(strstr(out.p, "deepseek_api_key       = (unset)  # default\n"));
	CHECK(strstr(out.p, "edges                  = 2  # flag\n"));
	buf_reset(&out);
	conf_print_help(&out);
	buf_add_char(&out, '\0');
	CHECK(strstr(out.p, "  --map-bytes BYTES, CHATELLO_MAP_BYTES\n"));
	CHECK(!strstr(out.p, "--openai-api-key"));
	CHECK(strstr(out.p, "OPENAI_API_KEY (environment or file only)"));
	buf_fini(&out);
}

TEST(conf_files_that_are_refused)
{
	clear_environment();
	CHECK_ERR(load("--config", "absent", NULL), ERR_CONFIG);
	CHECK(strstr(why.text, "absent"));
	CHECK_ERR(load("--config", NULL, NULL), ERR_CONFIG);
	write_file("c", "edges = 2\nedgs = 3\n", 0644);
	CHECK_ERR(load("--config=c", NULL, NULL), ERR_CONFIG);
	CHECK(strstr(why.text, "c line 2") && strstr(why.text, "\"edgs\""));
	write_file("c", "edges\n", 0644);
	CHECK_ERR(load("--config=c", NULL, NULL), ERR_CONFIG);
	write_file("c", "openai_api_key = sk-canary\n", 0644);
	CHECK_ERR(load("--config=c", NULL, NULL), ERR_CONFIG);
	CHECK(strstr(why.text, "chmod 600") && !strstr(why.text, "canary"));
	write_file("c", "openai_api_key = sk-canary", 0600);
	CHECK_OK(load("--config=c", NULL, NULL));
	CHECK_STR(str_of(conf.openai_api_key), STR("sk-canary"));
	CHECK_ERR(load("--config", "/", NULL), ERR_CONFIG);
}

TEST(conf_values_that_are_refused)
{
	static const struct {
		const char *flag, *value;
	} bad[] = {
	    {"--log-level", "loud"},
	    {"--log-format", "xml"},
	    {"--openai-base-url", "http://api.openai.com/v1"},
	    {"--openai-base-url", "http://127.0.0.1@evil.example/"},
	    {"--openai-base-url", "http://127.evil.example/"},
	    {"--openai-base-url", "http://localhost.evil.example/"},
	    {"--openai-base-url", "ftp://127.0.0.1/"},
	    {"--openai-base-url", "https://"},
	    {"--edges", NULL},
	};
	char deep[200];

	clear_environment();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_ERR(load(bad[i].flag, bad[i].value, NULL), ERR_CONFIG);
	CHECK_OK(load("--openai-base-url", "http://127.0.0.1:8080/v1", NULL));
	CHECK_OK(load("--openai-base-url", "http://localhost:80", NULL));
	CHECK_OK(load("--openai-base-url", "http://[::1]:80/v1", NULL));
	memset(deep, 'a', sizeof(deep));
	deep[0] = '/';
	deep[199] = '\0';
	CHECK_ERR(load("--data", deep, NULL), ERR_CONFIG);
	CHECK(strstr(why.text, "too long"));
}

TEST(conf_deep_checkouts_keep_the_relative_path)
{
	clear_environment();
	for (int i = 0; i < 4; i++) {
		CHECK(mkdir("a-folder-with-a-long-name", 0755) == 0);
		CHECK(chdir("a-folder-with-a-long-name") == 0);
	}
	CHECK_OK(load("--data", "./data", NULL));
	CHECK_STR(str_of(conf.run_dir), STR("data/run"));
}
