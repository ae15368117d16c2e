/*
 * master_key: reading and writing the file. See master_key.h; the making of the
 * first one is declared in crypto.h.
 */
#include "store/master_key.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/id.h"
#include "store/crypto.h"

#define LINE_BYTES (2 * MASTER_KEY_BYTES + 1) /* digits and a line end */
#define TEXT_BYTES (MASTER_KEYS_MAX * LINE_BYTES)

void
master_keys_wipe(struct master_keys *keys)
{
	explicit_bzero(keys, sizeof(*keys));
}

void
master_keys_add(struct master_keys *keys)
{
	assert(keys->count < MASTER_KEYS_MAX);
	id_random(keys->bytes[keys->count++], MASTER_KEY_BYTES);
}

/* --- writing ------------------------------------------------------------- */

static bool
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t wrote = write(fd, p, n);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return false;
		p += wrote;
		n -= (size_t)wrote;
	}
	return fsync(fd) == 0;
}

/* The folder's entry of path, flushed. */
static bool
sync_folder(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int n = slash ? (int)(slash - path) + 1 : 1;
	bool is_synced;
	int fd;

	snprintf(folder, sizeof(folder), "%.*s", n, slash ? path : ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is_synced = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return is_synced;
}

static size_t
print(const struct master_keys *keys, char text[TEXT_BYTES + 1])
{
	size_t n = 0;

	for (unsigned i = 0; i < keys->count; i++) {
		for (size_t j = 0; j < MASTER_KEY_BYTES; j++, n += 2)
			snprintf(text + n, 3, "%02x", keys->bytes[i][j]);
		text[n++] = '\n';
	}
	return n;
}

/* like: whose owner and group it gets; NULL: the caller's. 0 or errno. */
static int
write_new(const char *path, const struct master_keys *keys,
	  const struct stat *like)
{
	char text[TEXT_BYTES + 1];
	size_t n = print(keys, text);
	int error = 0, fd;

	unlink(path); /* of a start that was interrupted */
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 ||
	    (like && (like->st_uid != geteuid() || like->st_gid != getegid()) &&
	     fchown(fd, like->st_uid, like->st_gid) != 0) ||
	    !write_all(fd, text, n))
		error = errno;
	if (fd >= 0 && close(fd) != 0 && error == 0)
		error = errno;
	explicit_bzero(text, sizeof(text));
	return error;
}

static bool
path_beside(const char *path, char out[PATH_MAX], struct why *why)
{
	if (snprintf(out, PATH_MAX, "%s.new", path) < PATH_MAX)
		return true;
	why_set(why, ERR_CONFIG, "the master key's path is too long");
	return false;
}

static enum err
cannot_write(const char *path, int error, struct why *why)
{
	return why_set(why, ERR_IO, "cannot write %.200s: %s", path,
		       strerror(error));
}

/* Complete or not there: written beside, then linked, which never replaces. */
enum err
crypto_make_master_key(const char *path, struct why *why)
{
	struct master_keys keys = {.count = 0};
	char beside[PATH_MAX];
	int error;

	if (!path_beside(path, beside, why))
		return ERR_CONFIG;
	master_keys_add(&keys);
	error = write_new(beside, &keys, NULL);
	if (error == 0 && link(beside, path) != 0)
		error = errno;
	unlink(beside);
	master_keys_wipe(&keys);
	if (error == EEXIST)
		return why_set(why, ERR_EXISTS,
			       "there is a master key in %.200s already: it is "
			       "not replaced",
			       path);
	if (error == 0 && !sync_folder(path))
		error = errno;
	return error == 0 ? ERR_OK : cannot_write(path, error, why);
}

enum err
master_keys_replace(const char *path, const struct master_keys *keys,
		    struct why *why)
{
	char real[PATH_MAX], beside[PATH_MAX];
	struct stat like;
	int error;

	if (realpath(path, real) == NULL || stat(real, &like) != 0)
		return cannot_write(path, errno, why);
	if (!path_beside(real, beside, why))
		return ERR_CONFIG;
	error = write_new(beside, keys, &like);
	if (error == 0 && rename(beside, real) != 0)
		error = errno;
	if (error)
		unlink(beside);
	else if (!sync_folder(real))
		error = errno;
	return error == 0 ? ERR_OK : cannot_write(real, error, why);
}

/* --- reading ------------------------------------------------------------- */

static bool
parse_line(const char *text, unsigned char key[MASTER_KEY_BYTES])
{
	for (size_t i = 0; i < MASTER_KEY_BYTES; i++) {
		int high = str_hex_digit(text[2 * i]);
		int low = str_hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		key[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

/* One line or two; the last one's end may be missing. */
static bool
parse(char *text, size_t n, struct master_keys *out)
{
	if (n % LINE_BYTES == LINE_BYTES - 1)
		text[n++] = '\n';
	if (n == 0 || n % LINE_BYTES != 0 || n > TEXT_BYTES)
		return false;
	for (out->count = 0; out->count * LINE_BYTES < n; out->count++) {
		const char *line = text + (size_t)out->count * LINE_BYTES;

		if (line[LINE_BYTES - 1] != '\n' ||
		    !parse_line(line, out->bytes[out->count]))
			return false;
	}
	return true;
}

/* Reads up to n bytes; -1 with errno on an error. */
static ssize_t
read_all(int fd, char *p, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t more = read(fd, p + got, n - got);

		if (more < 0 && errno == EINTR)
			continue;
		if (more < 0)
			return -1;
		if (more == 0)
			break;
		got += (size_t)more;
	}
	return (ssize_t)got;
}

static enum err
read_fd(int fd, const char *path, struct master_keys *out, struct why *why)
{
	char text[TEXT_BYTES + 1];
	struct stat st;
	ssize_t n;
	bool is_key;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return why_set(why, ERR_CONFIG,
			       "the master key %.200s is no file", path);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return why_set(why, ERR_CONFIG,
			       "the master key %.200s is open to others: "
			       "chmod 600 it",
			       path);
	n = read_all(fd, text, sizeof(text));
	if (n < 0)
		return why_set(why, ERR_CONFIG,
			       "cannot read the master key %.200s: %s", path,
			       strerror(errno));
	is_key = parse(text, (size_t)n, out);
	explicit_bzero(text, sizeof(text));
	if (is_key)
		return ERR_OK;
	master_keys_wipe(out);
	return why_set(why, ERR_CONFIG,
		       "the master key %.200s is damaged: it must be %u "
		       "hexadecimal digits; restore it",
		       path, 2 * MASTER_KEY_BYTES);
}

enum err
master_keys_read(const char *path, struct master_keys *out, struct why *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	enum err err;

	if (fd < 0 && errno == ENOENT)
		return why_set(why, ERR_CONFIG,
			       "no master key in %.200s: restore it from where "
			       "you keep it apart from the data",
			       path);
	if (fd < 0)
		return why_set(why, ERR_CONFIG,
			       "cannot open the master key %.200s: %s", path,
			       err_of_file(errno));
	err = read_fd(fd, path, out, why);
	close(fd);
	return err;
}
