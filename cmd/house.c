/*
 * house: see house.h.
 */
#include "cmd/house.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FILE_BYTES_MAX 4096

/* A line of /proc/locks: "1: FLOCK  ADVISORY  WRITE 708 08:01:2490393 0 EOF" */
static bool
holds(const char *line, const struct stat *st, long long *pid)
{
	unsigned major_number, minor_number;
	unsigned long long inode;

	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers */
	return sscanf(line, "%*d: FLOCK %*s %*s %lld %x:%x:%llu", pid,
		      &major_number, &minor_number, &inode) == 4 &&
	       major_number == major(st->st_dev) &&
	       minor_number == minor(st->st_dev) && inode == st->st_ino;
}

int64_t
house_lock_holder(const struct conf *conf, const char *name)
{
	char path[4096], line[256];
	long long pid, holder = 0;
	struct stat st;
	FILE *locks;

	snprintf(path, sizeof(path), "%s/%s.lock", conf->run_dir, name);
	if (stat(path, &st) != 0)
		return 0;
	locks = fopen("/proc/locks", "re");
	while (locks && holder == 0 && fgets(line, sizeof(line), locks))
		if (holds(line, &st, &pid))
			holder = pid;
	if (locks)
		fclose(locks);
	return holder;
}

static void
add(struct command *command, struct process_state *processes, uint32_t *count,
    const char *kind, int64_t how_many)
{
	for (int64_t i = 0; i < how_many && *count < HOUSE_PROCESSES_MAX; i++) {
		struct process_state *at = &processes[(*count)++];
		int64_t pid;

		schema_clear(&process_state_schema, at);
		at->name = arena_printf(&command->arena, "%s-%lld", kind,
					(long long)i);
		pid = at->name.p ? house_lock_holder(&command->conf, at->name.p)
				 : 0;
		at->state = pid ? STR("running") : STR("stopped");
		if (pid)
			at->pid = pid;
	}
}

enum err
house_processes(struct command *command, struct process_state **processes,
		uint32_t *count)
{
	const struct conf *conf = &command->conf;

	*count = 0;
	*processes = arena_array(&command->arena, HOUSE_PROCESSES_MAX,
				 sizeof(**processes));
	if (*processes == NULL)
		return ERR_NO_MEMORY;
	add(command, *processes, count, "edge", conf->edges);
	add(command, *processes, count, "validate", conf->validators);
	add(command, *processes, count, "proxy", conf->proxies);
	add(command, *processes, count, "usage", 1);
	add(command, *processes, count, "analytics", 1);
	return ERR_OK;
}

enum err
house_listeners(struct command *command, struct up_listeners *out)
{
	char path[4096], *text;
	ssize_t n;
	int fd;

	schema_clear(&up_listeners_schema, out);
	if (house_lock_holder(&command->conf, "up") == 0)
		return ERR_OK;
	snprintf(path, sizeof(path), "%s/up.json", command->conf.run_dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return ERR_OK;
	text = arena_alloc(&command->arena, FILE_BYTES_MAX);
	n = text ? read(fd, text, FILE_BYTES_MAX) : -1;
	close(fd);
	if (text == NULL)
		return ERR_NO_MEMORY;
	if (n <= 0 ||
	    schema_read_json(&up_listeners_schema, str_bytes(text, (size_t)n),
			     out, &command->arena, NULL) != ERR_OK)
		schema_clear(&up_listeners_schema, out);
	return ERR_OK;
}
