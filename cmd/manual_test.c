/* manual: the page and the completion that are checked in are the table's. */
#include "cmd/command.h"
#include "lib/test.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char source_dir[PATH_MAX]; /* before the runner changes the folder */

__attribute__((constructor)) static void
remember_source_dir(void)
{
	if (getcwd(source_dir, sizeof(source_dir)) == NULL)
		source_dir[0] = '\0';
}

static struct str
file(const char *name, struct buf *buf)
{
	char path[PATH_MAX + 64], bytes[4096];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", source_dir, name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		test_skip("run from the top of the sources");
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		buf_add(buf, bytes, (size_t)n);
	close(fd);
	return buf_str(buf);
}

TEST(manual_page_is_the_tables)
{
	struct buf made, kept;

	buf_init(&made, 1 << 20);
	buf_init(&kept, 1 << 20);
	manual_man(&made);
	if (!str_eq(file("doc/man/chatello.1", &kept), buf_str(&made)))
		test_fail(__FILE__, __LINE__,
			  "run: build/chatello man >doc/man/chatello.1");
	buf_fini(&made);
	buf_fini(&kept);
}

TEST(manual_completion_is_the_tables)
{
	struct buf made, kept;

	buf_init(&made, 1 << 20);
	buf_init(&kept, 1 << 20);
	manual_completion(&made);
	if (!str_eq(file("cmd/chatello.bash", &kept), buf_str(&made)))
		test_fail(
		    __FILE__, __LINE__,
		    "run: build/chatello completion bash >cmd/chatello.bash");
	buf_fini(&made);
	buf_fini(&kept);
}

TEST(manual_has_a_row_for_every_command)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	manual_help(NULL, &out);
	buf_add_char(&out, '\0');
	for (size_t i = 0; i < command_row_count; i++) {
		CHECK(command_rows[i].run);
		CHECK(strstr(out.p, command_rows[i].help));
	}
	CHECK(strstr(out.p, "CHATELLO_DATA"));
	buf_reset(&out);
	manual_help("plan", &out);
	buf_add_char(&out, '\0');
	CHECK(strstr(out.p, "make or change a plan"));
	CHECK(!strstr(out.p, "issue a licence"));
	buf_fini(&out);
}
