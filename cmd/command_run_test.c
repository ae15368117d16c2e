/*
 * command_run: see command_run_test.h.
 */
#include "cmd/command_run_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WORDS_MAX 24
#define FILE_BYTES_MAX (1 << 20)

static void
take_file(const char *path, struct buf *buf)
{
	char bytes[4096];
	ssize_t n;
	int fd = open(path, O_RDONLY);

	buf_init(buf, FILE_BYTES_MAX);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		buf_add(buf, bytes, (size_t)n);
	buf_add_char(buf, '\0');
	close(fd);
}

static int
redirect(int fd, const char *path)
{
	int kept = dup(fd);
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	CHECK(kept >= 0 && file >= 0 && dup2(file, fd) >= 0);
	close(file);
	return kept;
}

static void
restore(int fd, int kept)
{
	dup2(kept, fd);
	close(kept);
}

struct ran
run(const char *line)
{
	static char copy[1024], name[] = "chatello";
	char *words[WORDS_MAX + 2] = {name}, *at = copy, *word;
	struct ran ran;
	int count = 1, out, err;

	snprintf(copy, sizeof(copy), "%s", line);
	while ((word = strsep(&at, " ")) != NULL && count <= WORDS_MAX)
		if (*word)
			words[count++] = word;
	fflush(NULL);
	out = redirect(STDOUT_FILENO, "stdout");
	err = redirect(STDERR_FILENO, "stderr");
	ran.code = command_main(count, words);
	fflush(NULL);
	restore(STDOUT_FILENO, out);
	restore(STDERR_FILENO, err);
	take_file("stdout", &ran.out);
	take_file("stderr", &ran.err);
	return ran;
}

void
ran_free(struct ran *ran)
{
	buf_fini(&ran->out);
	buf_fini(&ran->err);
}

void
expect(const char *line, int code, const char *out_part, const char *err_part)
{
	struct ran ran = run(line);

	if (ran.code != code || !strstr(ran.out.p, out_part) ||
	    !strstr(ran.err.p, err_part))
		test_fail(__FILE__, __LINE__, "%s: %d\n%s%s", line, ran.code,
			  ran.out.p, ran.err.p);
	if (code != 0 && code != EXIT_FAILED)
		CHECK_INT(ran.out.n, 1);
	if (code == EXIT_FAILED) /* one line */
		CHECK(strchr(ran.err.p, '\n') == ran.err.p + ran.err.n - 2);
	if (code == 0)
		CHECK_INT(ran.err.n, 1);
	ran_free(&ran);
}

void
set_up(void)
{
	CHECK(setenv("CHATELLO_DATA", "data", 1) == 0);
	CHECK(setenv("CHATELLO_MAP_BYTES", "64M", 1) == 0);
	unsetenv("CHATELLO_MASTER_KEY_FILE");
}

void
set_up_store(void)
{
	set_up();
	expect("init --json", 0, "\"workspace\":\"default\"", "");
}

void
write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}
