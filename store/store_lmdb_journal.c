/*
 * store_lmdb_journal: groups that are durable before the tree has them. A
 * commit of LMDB writes each page on the way from a leaf to the root and waits
 * for the disk twice; a group that nobody but the writer has to read yet is one
 * write at the end of a small file, and many of them become one commit later.
 *
 * The file's room is written once and used over and over: records lie from its
 * start, each at a page of its own, so that writing one never touches one that
 * is durable. A record is valid when it has the lease's token and the next
 * number; our first record says which number the tree has. So nothing is ever
 * erased: what a commit took in is old by its number.
 *
 *	magic 8, crc32c 4 (of all behind it), bytes 4, token 8, number 8, head
 *8, writes 4, events 4; each write: key length 2, value length 2 (0xffff:
 *	deleted), key, value; each event: length 2, bytes. Big endian.
 *
 * Always holds: the file is written by the holder of the lease only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fault.h"
#include "store/crc32c.h"
#include "store/store_lmdb.h"

#define MAGIC "chatlJ1\n"
#define MAGIC_BYTES 8u
#define CRC_AT 8u
#define CRC_FROM 12u
#define HEAD_BYTES 48u
#define PAGE_BYTES 4096u
#define JOURNAL_BYTES (2u << 20)
#define DELETED 0xffffu

struct header {
	uint32_t crc;
	uint32_t bytes;
	uint64_t token;
	uint64_t number;
	uint64_t head; /* of the log, before the record's events */
	uint32_t writes;
	uint32_t events;
};

/* --- bytes --------------------------------------------------------------- */

static void
put_u32(unsigned char *out, uint32_t u)
{
	for (int i = 0; i < 4; i++)
		out[i] = (unsigned char)(u >> (24 - 8 * i));
}

static uint32_t
get_u32(const unsigned char *in)
{
	return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 |
	       (uint32_t)in[2] << 8 | in[3];
}

static void
put_u16(unsigned char *out, size_t u)
{
	out[0] = (unsigned char)(u >> 8);
	out[1] = (unsigned char)u;
}

static uint16_t
get_u16(const unsigned char *in)
{
	return (uint16_t)(in[0] << 8 | in[1]);
}

static void
put_header(unsigned char *out, const struct header *header)
{
	memcpy(out, MAGIC, MAGIC_BYTES);
	put_u32(out + 12, header->bytes);
	engine_put_u64(out + 16, header->token);
	engine_put_u64(out + 24, header->number);
	engine_put_u64(out + 32, header->head);
	put_u32(out + 40, header->writes);
	put_u32(out + 44, header->events);
	put_u32(out + CRC_AT,
		crc32c(0, out + CRC_FROM, header->bytes - CRC_FROM));
}

static size_t
whole_pages(size_t n)
{
	return (n + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static size_t
record_bytes(const struct store_group *group)
{
	size_t n = HEAD_BYTES;

	for (size_t i = 0; i < group->write_count; i++)
		n += 4 + group->writes[i].key.n + group->writes[i].value.n;
	for (size_t i = 0; i < group->event_count; i++)
		n += 2 + group->events[i].n;
	return n;
}

static unsigned char *
put_bytes(unsigned char *out, struct str s)
{
	if (s.p)
		memcpy(out, s.p, s.n);
	return out + s.n;
}

static void
put_body(unsigned char *out, const struct store_group *group)
{
	for (size_t i = 0; i < group->write_count; i++) {
		const struct store_write *write = &group->writes[i];

		put_u16(out, write->key.n);
		put_u16(out + 2, write->value.p ? write->value.n : DELETED);
		out = put_bytes(out + 4, write->key);
		out = put_bytes(out, write->value);
	}
	for (size_t i = 0; i < group->event_count; i++) {
		put_u16(out, group->events[i].n);
		out = put_bytes(out + 2, group->events[i]);
	}
}

/* --- the file ------------------------------------------------------------ */

static void
path_of(const struct lmdb *lmdb, char path[LMDB_PATH_BYTES + 16])
{
	snprintf(path, LMDB_PATH_BYTES + 16, "%s/journal", lmdb->dir);
}

void
lmdb_journal_rest(struct lmdb *lmdb)
{
	free(lmdb->journal.record);
	lmdb->journal.record = NULL;
}

void
lmdb_journal_close(struct lmdb *lmdb)
{
	struct journal *journal = &lmdb->journal;

	if (journal->fd >= 0)
		close(journal->fd);
	lmdb_journal_rest(lmdb);
	*journal = (struct journal){.fd = -1};
}

/* The name is durable, too. */
static bool
sync_folder(const struct lmdb *lmdb)
{
	int fd = open(lmdb->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool is_done = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return is_done;
}

/* Writes the file's whole room, so that no record makes it longer: a flush then
 * has nothing but the record's pages to write. */
static bool
write_room(const char *path)
{
	static const char zeros[PAGE_BYTES];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	bool is_done = fd >= 0;
	struct stat st;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && st.st_size == (off_t)JOURNAL_BYTES) {
		close(fd);
		return true;
	}
	for (off_t at = 0; at < (off_t)JOURNAL_BYTES && is_done;
	     at += PAGE_BYTES)
		is_done = pwrite(fd, zeros, sizeof(zeros), at) == PAGE_BYTES;
	is_done = is_done && fsync(fd) == 0;
	close(fd);
	return is_done;
}

void
lmdb_journal_begin(struct lmdb *lmdb, const struct root *root)
{
	struct journal *journal = &lmdb->journal;

	journal->end = 0;
	journal->token = root->token;
	journal->number = root->number;
	journal->head = root->head;
}

/* Made when the first group comes; a house of tools has none. */
static enum err
open_to_write(struct lmdb *lmdb)
{
	struct journal *journal = &lmdb->journal;
	char path[LMDB_PATH_BYTES + 16];
	int fd;

	path_of(lmdb, path);
	if (!write_room(path) || !sync_folder(lmdb))
		return ERR_UNAVAILABLE;
	fd = open(path, O_WRONLY | O_CLOEXEC | O_DSYNC);
	if (fd < 0)
		return ERR_UNAVAILABLE;
	journal->fd = fd;
	return ERR_OK;
}

static enum err
need_record(struct journal *journal)
{
	if (journal->record == NULL)
		journal->record = malloc(JOURNAL_BYTES);
	return journal->record ? ERR_OK : ERR_NO_MEMORY;
}

enum err
lmdb_journal(void *engine, uint64_t token, uint64_t head,
	     const struct store_group *group)
{
	struct lmdb *lmdb = engine;
	struct journal *journal = &lmdb->journal;
	size_t n = record_bytes(group), room = whole_pages(n);
	struct header header = {.bytes = (uint32_t)n,
				.token = token,
				.number = journal->number + 1,
				.head = head,
				.writes = (uint32_t)group->write_count,
				.events = (uint32_t)group->event_count};
	enum err err = ERR_OK;

	if (token != journal->token || head != journal->head)
		return ERR_FENCED;
	if (room > JOURNAL_BYTES - journal->end)
		return ERR_OVERLOADED;
	if (journal->fd < 0)
		err = open_to_write(lmdb);
	if (err == ERR_OK)
		err = need_record(journal);
	if (err != ERR_OK)
		return err;
	put_body(journal->record + HEAD_BYTES, group);
	put_header(journal->record, &header);
	memset(journal->record + n, 0, room - n);
	if (fault("store-flush") ||
	    pwrite(journal->fd, journal->record, room, (off_t)journal->end) !=
		(ssize_t)room)
		return ERR_COMMIT_UNKNOWN;
	journal->number++;
	journal->end += room;
	journal->head += group->event_count;
	return ERR_OK;
}

/* --- recovery ------------------------------------------------------------ */

struct file {
	unsigned char *bytes;
	size_t n;
};

/* No file is an empty one. */
static enum err
read_file(const struct lmdb *lmdb, struct file *file)
{
	char path[LMDB_PATH_BYTES + 16];
	ssize_t n = 0;
	int fd;

	*file = (struct file){NULL, 0};
	path_of(lmdb, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? ERR_OK : ERR_UNAVAILABLE;
	file->bytes = malloc(JOURNAL_BYTES);
	while (file->bytes && file->n < JOURNAL_BYTES && n >= 0) {
		n = pread(fd, file->bytes + file->n, JOURNAL_BYTES - file->n,
			  (off_t)file->n);
		if (n == 0)
			break;
		file->n += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	if (file->bytes == NULL)
		return ERR_NO_MEMORY;
	if (n >= 0)
		return ERR_OK;
	free(file->bytes);
	return ERR_UNAVAILABLE;
}

/* A record of this lease begins at `at`, whole and sound. */
static bool
find_record(const struct file *file, size_t at, uint64_t token,
	    struct header *out)
{
	const unsigned char *p = file->bytes + at;

	if (at >= file->n || file->n - at < HEAD_BYTES ||
	    memcmp(p, MAGIC, MAGIC_BYTES) != 0)
		return false;
	*out = (struct header){.crc = get_u32(p + CRC_AT),
			       .bytes = get_u32(p + 12),
			       .token = engine_get_u64((const char *)p + 16),
			       .number = engine_get_u64((const char *)p + 24),
			       .head = engine_get_u64((const char *)p + 32),
			       .writes = get_u32(p + 40),
			       .events = get_u32(p + 44)};
	return out->bytes >= HEAD_BYTES && out->bytes <= file->n - at &&
	       out->token == token &&
	       crc32c(0, p + CRC_FROM, out->bytes - CRC_FROM) == out->crc;
}

/* What is left of a record's body; NULL: it is not what its header says. */
struct body {
	const unsigned char *p;
	size_t n;
};

static struct str
take(struct body *body, size_t n)
{
	struct str s = STR_NONE;

	if (body->p && n <= body->n) {
		s = str_bytes(body->p, n);
		body->p += n;
		body->n -= n;
	} else {
		body->p = NULL;
	}
	return s;
}

static size_t
take_u16(struct body *body)
{
	struct str s = take(body, 2);

	return s.p ? get_u16((const unsigned char *)s.p) : 0;
}

static struct store_write
take_write(struct body *body)
{
	size_t key_n = take_u16(body), value_n = take_u16(body);
	struct store_write write = {.key = take(body, key_n)};

	if (value_n != DELETED)
		write.value = take(body, value_n);
	return write;
}

/* Puts one record into the transaction. */
static enum err
replay_record(struct lmdb *lmdb, MDB_txn *txn, const struct header *header,
	      const unsigned char *record, struct root *root)
{
	struct body body = {record + HEAD_BYTES, header->bytes - HEAD_BYTES};
	struct store_write write;
	const struct store_write *const writes[] = {&write};
	struct str event;
	struct engine_group one = {.writes = writes, .write_count = 1};
	enum err err = ERR_OK;

	for (uint32_t i = 0; i < header->writes && err == ERR_OK; i++) {
		write = take_write(&body);
		err = body.p ? lmdb_put_group(lmdb, txn, root, &one)
			     : ERR_STORE_CORRUPT;
	}
	one = (struct engine_group){.events = &event, .event_count = 1};
	for (uint32_t i = 0; i < header->events && err == ERR_OK; i++) {
		event = take(&body, take_u16(&body));
		root->head++;
		err = body.p ? lmdb_put_group(lmdb, txn, root, &one)
			     : ERR_STORE_CORRUPT;
	}
	return err;
}

/* A record behind the place where the next one should be: that one was there,
 * and is damaged. */
static bool
goes_on_behind(const struct file *file, size_t at, const struct root *root)
{
	struct header header;

	for (; at < file->n; at += PAGE_BYTES)
		if (find_record(file, at, root->token, &header) &&
		    header.number > root->number)
			return true;
	return false;
}

enum err
lmdb_journal_replay(struct lmdb *lmdb, MDB_txn *txn, struct root *root)
{
	struct header header;
	struct file file;
	size_t at = 0;
	enum err err = read_file(lmdb, &file);

	if (err != ERR_OK)
		return err;
	while (err == ERR_OK && find_record(&file, at, root->token, &header) &&
	       header.number == root->number + 1) {
		err = header.head == root->head
			  ? replay_record(lmdb, txn, &header, file.bytes + at,
					  root)
			  : ERR_STORE_CORRUPT;
		root->number++;
		at += whole_pages(header.bytes);
	}
	if (err == ERR_OK && goes_on_behind(&file, at, root))
		err = ERR_STORE_CORRUPT;
	free(file.bytes);
	return err;
}

enum err
lmdb_is_behind(void *engine, bool *is_behind)
{
	struct lmdb *lmdb = engine;
	struct root root;
	struct file file;
	enum err err = lmdb_root(lmdb, &root);

	if (err == ERR_OK)
		err = read_file(lmdb, &file);
	if (err != ERR_OK)
		return err;
	*is_behind = goes_on_behind(&file, 0, &root);
	free(file.bytes);
	return ERR_OK;
}
