/* output: columns, control characters, CSV; and what a child is given. */
#include "cmd/child.h"
#include "cmd/output.h"
#include "lib/msg.h"
#include "lib/proc.h"
#include "lib/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct column columns[] = {
    {"NAME", "email", FORM_PLAIN},
    {"PRICE", "price", FORM_MONEY},
    {"NOTE", "note", FORM_PLAIN},
    {NULL, NULL, FORM_PLAIN},
};

TEST(output_aligns_characters_and_defuses_controls)
{
	struct command command = {.is_json = false};
	struct license_view row;
	struct output output;
	struct why why;

	buf_init(&command.out, 4096);
	schema_clear(&license_view_schema, &row);
	output_open(&output, &command, &license_view_schema, columns);
	row.email = STR("\xc3\xa8\xc3\xa9");
	row.price = 7990000;
	row.note = STR("a\x1b[2Jb\nc");
	CHECK_OK(output_row(&output, &row, &why));
	row.email = STR("plain");
	row.price = SCHEMA_INT_NONE;
	row.note = STR_NONE;
	CHECK_OK(output_row(&output, &row, &why));
	CHECK_OK(output_close(&output, ERR_OK, &why));
	CHECK_STR(buf_str(&command.out), STR("NAME   PRICE  NOTE\n"
					     "\xc3\xa8\xc3\xa9      7.99  "
					     "a?[2Jb?c\n"
					     "plain         \n"));
	buf_fini(&command.out);
}

/* Line breaks stay, behind a margin: no line of a text passes for a title. */
TEST(output_shows_a_text_in_its_lines)
{
	static const struct column texts[] = {
	    {"email", "email", FORM_PLAIN},
	    {"note", "note", FORM_LINES},
	    {NULL, NULL, FORM_PLAIN},
	};
	static const char *const rows[][2] = {
	    {"one", "email  a\nnote\n  one\n"},
	    {"data: 1\r\n\r\n\tdata: \x1b[2J\rx\nemail  b\n",
	     "email  a\nnote\n  data: 1\n  \n  \tdata: ?[2J?x\n  email  "
	     "b\n"},
	    {"\n", "email  a\nnote\n  \n"},
	    {"", "email  a\n"},
	};
	struct command command = {.is_json = false};
	struct license_view row;

	buf_init(&command.out, 4096);
	schema_clear(&license_view_schema, &row);
	row.email = STR("a");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_reset(&command.out);
		row.note = str_of(rows[i][0]);
		output_object(&command, &license_view_schema, texts, &row);
		CHECK_STR(buf_str(&command.out), str_of(rows[i][1]));
	}
	buf_fini(&command.out);
}

TEST(output_csv_is_no_formula)
{
	static const char *const cells[][2] = {
	    {"plain", "plain"},
	    {"a,b", "\"a,b\""},
	    {"say \"x\"", "\"say \"\"x\"\"\""},
	    {"=1+1", "\"'=1+1\""},
	    {"@x", "\"'@x\""},
	    {"-5", "\"'-5\""},
	    {"a\nb", "\"a\nb\""},
	    {"", ""},
	};
	struct buf out;

	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		buf_reset(&out);
		output_csv_cell(&out, str_of(cells[i][0]));
		CHECK_STR(buf_str(&out), str_of(cells[i][1]));
	}
	buf_fini(&out);
}

static void
write_program(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);

	CHECK(fd >= 0);
	CHECK(dprintf(fd, "#!/bin/sh\nenv > $0.env\n"
			  "ls /proc/$$/fd > $0.fds\n"
			  "echo \"$LISTEN_PID $$\" > $0.pid\n") > 0);
	CHECK(close(fd) == 0);
}

static struct buf
contents(const char *path)
{
	char bytes[8192];
	struct buf buf;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	buf_init(&buf, 1 << 20);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		buf_add(&buf, bytes, (size_t)n);
	buf_add_char(&buf, '\0');
	close(fd);
	return buf;
}

static void
start(const struct child_launch *launch)
{
	int status;
	pid_t pid = child_start(launch);

	CHECK(pid > 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(child_gets_listeners_or_provider_keys_never_both)
{
	char name[] = "chatello", secret[] = "sk-canary", dir[4096];
	char *argv[] = {name, NULL};
	int argc = 1;
	struct conf conf;
	struct why why;
	struct buf text;

	CHECK(setenv("OPENAI_API_KEY", secret, 1) == 0);
	CHECK(getcwd(dir, sizeof(dir)));
	CHECK_OK(conf_load(&conf, &argc, argv, &why));
	struct child_launch launch = {.conf = &conf,
				      .program_dir = dir,
				      .kind = "edge",
				      .index = 2,
				      .notify = "@none",
				      .has_listeners = true};
	for (int i = 0; i < CHILD_LISTENERS; i++)
		CHECK_OK(
		    proc_listen("127.0.0.1:0", &launch.listeners[i], &why));
	write_program("chatello-edge");
	write_program("chatello-proxy");
	CHECK_OK(child_check_program(dir, "edge", &why));
	CHECK_ERR(child_check_program(dir, "usage", &why), ERR_CONFIG);
	start(&launch);
	text = contents("chatello-edge.env");
	CHECK(!strstr(text.p, secret));
	CHECK(strstr(text.p, "LISTEN_FDNAMES=public:admin:internal\n"));
	CHECK(strstr(text.p, "LISTEN_FDS=3\n"));
	CHECK(strstr(text.p, "CHATELLO_INDEX=2\n"));
	CHECK(strstr(text.p, "NOTIFY_SOCKET=@none\n"));
	buf_fini(&text);
	text = contents("chatello-edge.pid");
	CHECK_INT(atoi(text.p), atoi(strchr(text.p, ' ')));
	buf_fini(&text);
	text = contents("chatello-edge.fds");
	CHECK(strstr(text.p, "3\n4\n5\n"));
	buf_fini(&text);
	launch.kind = "proxy";
	launch.has_listeners = false;
	start(&launch);
	text = contents("chatello-proxy.env");
	CHECK(strstr(text.p, "OPENAI_API_KEY=sk-canary\n"));
	CHECK(!strstr(text.p, "LISTEN_FDS"));
	buf_fini(&text);
}
