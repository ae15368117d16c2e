/* fuzz_test: see fuzz_test.h. */
#include "lib/fuzz_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CUTS 16u /* beginnings of each input */

static char source_dir[PATH_MAX]; /* before the runner changes the folder */

__attribute__((constructor)) static void
remember_source_dir(void)
{
	if (getcwd(source_dir, sizeof(source_dir)) == NULL)
		source_dir[0] = '\0';
}

/* Each in a block of its own length, so that a sanitizer sees what is read
 * beyond it. */
static void
run(fuzz_fn *fn, const uint8_t *data, size_t size)
{
	uint8_t *own = malloc(size ? size : 1);

	CHECK(own);
	if (size)
		memcpy(own, data, size);
	CHECK_INT(fn(own, size), 0);
	free(own);
}

static void
replay_file(fuzz_fn *fn, int folder, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *data;
	size_t size;

	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	size = (size_t)st.st_size;
	data = malloc(size + 1);
	CHECK(data && read(fd, data, size) == (ssize_t)size);
	close(fd);
	run(fn, data, size);
	for (size_t i = 1; i < CUTS; i++)
		run(fn, data, size * i / CUTS);
	free(data);
}

static void
note(int fd, const char *name)
{
	CHECK(ftruncate(fd, 0) == 0 &&
	      pwrite(fd, name, strlen(name), 0) == (ssize_t)strlen(name));
}

void
fuzz_replay(fuzz_fn *fn, const char *path)
{
	int input = open("input", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	char folder[2 * PATH_MAX];
	struct dirent *entry;
	unsigned count = 0;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%s/%s.c", source_dir, path);
	if (access(folder, R_OK) != 0)
		test_skip("run from the top of the sources");
	snprintf(folder, sizeof(folder), "%s/%s_corpus", source_dir, path);
	dir = opendir(folder);
	if (dir == NULL)
		test_fail(__FILE__, __LINE__, "no %s_corpus", path);
	CHECK(input >= 0);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		note(input, entry->d_name);
		replay_file(fn, dirfd(dir), entry->d_name);
		count++;
	}
	closedir(dir);
	close(input);
	CHECK(count > 0);
}
