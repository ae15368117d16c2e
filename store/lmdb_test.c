/*
 * lmdb_test: what only the LMDB engine can get wrong: failing writes and
 * flushes, a kill inside a commit, a full map and disk, two writers, readers
 * that died.
 *
 * The calls by which liblmdb writes are taken over here for the whole test
 * program, pass on to the kernel, and fail or kill when a test says so.
 */
#include "lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"

#define MAP_BYTES (64 << 20)

/* --- the world, made to fail --------------------------------------------- */

enum failure_kind { FAIL_NOT, FAIL_ERROR, FAIL_SHORT, FAIL_KILL };

static struct {
	enum failure_kind kind;
	int error;
	int at; /* the at-th call from now on fails, once */
	int passed;
} io;

static struct statvfs *fake_disk;

static void
io_set(enum failure_kind kind, int at, int error)
{
	io.kind = kind;
	io.error = error;
	io.at = at;
	io.passed = 0;
}

/* True when this call is the one to fail, with errno set. */
static bool
io_fails(void)
{
	if (io.kind == FAIL_NOT || ++io.passed != io.at)
		return false;
	if (io.kind == FAIL_KILL)
		kill(getpid(), SIGKILL);
	errno = io.error;
	return true;
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (io_fails()) {
		if (io.kind == FAIL_ERROR)
			return -1;
		n /= 2;
	}
	return syscall(SYS_pwrite64, fd, p, n, at);
}

/* The pages of a writev go out by it, store_lmdb_writev.c. */
ssize_t
write(int fd, const void *p, size_t n)
{
	if (io_fails()) {
		if (io.kind == FAIL_ERROR)
			return -1;
		n /= 2;
	}
	return syscall(SYS_write, fd, p, n);
}

int
fdatasync(int fd)
{
	if (io_fails())
		return -1;
	return (int)syscall(SYS_fdatasync, fd);
}

int
statvfs(const char *path, struct statvfs *out)
{
	int fd, result;

	if (fake_disk) {
		*out = *fake_disk;
		return 0;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	result = fstatvfs(fd, out);
	close(fd);
	return result;
}

/* --- a house's store ----------------------------------------------------- */

static struct arena arena;

static struct store *
open_in(const char *dir, bool is_created, int64_t map_bytes)
{
	struct store_conf conf = {.engine = "lmdb",
				  .dir = dir,
				  .map_bytes = map_bytes,
				  .is_created = is_created};
	struct store *store = NULL;
	struct why why = {.text = ""};

	if (arena.limit_bytes == 0)
		arena_init(&arena, 256u << 20);
	if (store_open(&store, &conf, &why) != ERR_OK)
		test_fail(__FILE__, __LINE__, "%s", why.text);
	return store;
}

struct writer {
	struct store *store;
	struct store_lease lease;
	uint64_t head;
	int late; /* rounds journalled since the last commit */
};

static struct writer
writer_in(const char *dir, bool is_created)
{
	struct writer w = {.store = open_in(dir, is_created, MAP_BYTES)};

	CHECK_OK(store_lease_take(w.store, &w.lease, NULL));
	CHECK_OK(store_head(w.store, &w.head));
	return w;
}

static void
writer_close(struct writer *w)
{
	store_lease_release(w->store, &w->lease);
	store_close(w->store);
}

#define BATCH 40
#define LATE_MAX 64

/* Group number `round`: BATCH keys and two events, all with its number. The
 * group of a commit has the events of the late ones, too. */
static enum err
write_round(struct writer *w, int round, bool is_late)
{
	static char names[BATCH][16], texts[LATE_MAX + 1][400], *text;
	struct store_write writes[BATCH];
	struct str events[2 * (LATE_MAX + 1)];
	struct store_group group = {writes, BATCH, events, 0};
	enum err err;

	CHECK(w->late < LATE_MAX);
	for (int i = is_late ? 0 : w->late; i >= 0; i--) {
		text = texts[i];
		snprintf(text, sizeof(texts[i]), "%-399d", round - i);
		events[group.event_count++] = str_of(text);
		events[group.event_count++] = str_of(text);
	}
	for (int i = 0; i < BATCH; i++) {
		snprintf(names[i], sizeof(names[i]), "k%03d", i);
		writes[i] =
		    (struct store_write){str_of(names[i]), str_of(text)};
	}
	if (is_late)
		err = store_journal(w->store, &w->lease,
				    w->head + 2 * (uint64_t)w->late, &group);
	else
		err = store_commit(w->store, &w->lease, &w->head, &group);
	if (err == ERR_OK)
		w->late = is_late ? w->late + 1 : 0;
	return err;
}

static enum err
commit_round(struct writer *w, int round)
{
	return write_round(w, round, false);
}

/* The round that the store is at; all of it must be of the same round. */
static int
round_of(struct store *store)
{
	struct store_row rows[BATCH + 1];
	struct store_event event;
	uint64_t head;
	size_t count;
	int round = 0;

	arena_reset(&arena);
	CHECK_OK(store_scan(store, STR("k"), STR_NONE, BATCH + 1, &arena, rows,
			    &count));
	CHECK(count == 0 || count == BATCH);
	if (count > 0)
		round = atoi(arena_str(&arena, rows[0].value).p);
	for (size_t i = 0; i < count; i++)
		CHECK_INT(atoi(arena_str(&arena, rows[i].value).p), round);
	CHECK_OK(store_head(store, &head));
	CHECK_INT(head, 2 * round);
	if (head > 0) {
		CHECK_OK(
		    store_tail(store, head - 1, 1, &arena, &event, &count));
		CHECK_INT(count, 1);
		CHECK_INT(atoi(arena_str(&arena, event.bytes).p), round);
	}
	return round;
}

static void
check_sound(struct store *store)
{
	uint64_t records, bad;
	struct why why = {.text = ""};

	if (store_verify(store, &records, &bad, &why) != ERR_OK)
		test_fail(__FILE__, __LINE__, "%s", why.text);
}

static pid_t
forked(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	return pid;
}

static int
status_of(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

/* --- writes that fail ---------------------------------------------------- */

/* The N-th call fails for N = 1, 2, ... until a commit passes without. */
static void
fail_each_call(enum failure_kind kind, int error, enum err clean)
{
	struct writer w = writer_in("store", true);
	bool is_passed = false;
	int round = 1;

	CHECK_OK(commit_round(&w, round));
	for (int n = 1; !is_passed; n++) {
		enum err err;

		CHECK(n < 100);
		io_set(kind, n, error);
		err = commit_round(&w, round + 1);
		is_passed = io.passed < n;
		io_set(FAIL_NOT, 0, 0);
		CHECK(is_passed ? err == ERR_OK
				: err == clean || err == ERR_COMMIT_UNKNOWN);
		if (err == ERR_OK)
			round++;
		if (err == ERR_STORE_FULL) { /* goes on in this process */
			CHECK_INT(round_of(w.store), round);
			CHECK_OK(commit_round(&w, ++round));
		}
		writer_close(&w);
		w = writer_in("store", false);
		if (err == ERR_COMMIT_UNKNOWN) {
			int now = round_of(w.store);

			CHECK(now == round || now == round + 1);
			round = now;
		}
		CHECK_INT(round_of(w.store), round);
		check_sound(w.store);
	}
	CHECK(round > 1);
	writer_close(&w);
}

TEST(a_disk_that_fills_at_any_write_loses_nothing)
{
	fail_each_call(FAIL_ERROR, ENOSPC, ERR_STORE_FULL);
}

TEST(a_failed_write_or_flush_is_unknown_and_reopens_whole)
{
	fail_each_call(FAIL_ERROR, EIO, ERR_COMMIT_UNKNOWN);
}

TEST(a_write_cut_short_is_never_taken_for_done)
{
	fail_each_call(FAIL_SHORT, EIO, ERR_COMMIT_UNKNOWN);
}

TEST(a_kill_at_any_call_inside_a_commit_leaves_all_or_nothing)
{
	bool is_passed = false;
	struct writer w = writer_in("store", true);

	CHECK_OK(commit_round(&w, 1));
	writer_close(&w);
	for (int n = 1, round = 1; !is_passed; n++) {
		pid_t pid = forked();
		int status, now;

		CHECK(n < 100);
		if (pid == 0) {
			struct writer child = writer_in("store", false);

			io_set(FAIL_KILL, n, 0);
			CHECK_OK(commit_round(&child, round + 1));
			_exit(0);
		}
		status = status_of(pid);
		is_passed = WIFEXITED(status);
		CHECK(is_passed ? WEXITSTATUS(status) == 0
				: WTERMSIG(status) == SIGKILL);
		w = writer_in("store", false); /* the lease died with it */
		now = round_of(w.store);
		CHECK(now == round + 1 || (!is_passed && now == round));
		check_sound(w.store);
		CHECK_OK(commit_round(&w, now + 1));
		round = now + 1;
		writer_close(&w);
	}
}

/* Journal, commit, journal, journal, commit: killed at each call in turn, it is
 * opened again behind the last round that was said to be durable, or the one
 * that was under way. */
TEST(a_kill_at_any_call_leaves_what_was_journalled)
{
	static const bool is_late[] = {true, false, true, true, false};
	enum { ROUNDS = sizeof(is_late) };
	bool is_passed = false;
	struct writer w = writer_in("store", true);
	int round = 1;

	CHECK_OK(commit_round(&w, round));
	CHECK_OK(write_round(&w, ++round, true)); /* makes the file */
	writer_close(&w);
	for (int n = 1; !is_passed; n++) {
		int told[2], now, done = 0;
		pid_t pid;
		char byte;

		CHECK(n < 200);
		CHECK(pipe(told) == 0);
		pid = forked();
		if (pid == 0) {
			struct writer child = writer_in("store", false);

			io_set(FAIL_KILL, n, 0);
			for (int i = 0; i < ROUNDS; i++) {
				CHECK_OK(write_round(&child, round + i + 1,
						     is_late[i]));
				CHECK_INT(syscall(SYS_write, told[1], ".", 1),
					  1);
			}
			_exit(0);
		}
		close(told[1]);
		is_passed = WIFEXITED(status_of(pid));
		while (read(told[0], &byte, 1) == 1)
			done++;
		close(told[0]);
		w = writer_in("store", false);
		now = round_of(w.store);
		CHECK(now == round + done ||
		      (!is_passed && now == round + done + 1));
		check_sound(w.store);
		round = now;
		writer_close(&w);
	}
	CHECK(round > ROUNDS);
}

/* What a failed write of the journal left is either whole or not there. */
static void
fail_a_journalled_round(enum failure_kind kind, int error)
{
	struct writer w = writer_in("store", true);
	bool is_behind;

	CHECK_OK(commit_round(&w, 1));
	CHECK_OK(write_round(&w, 2, true));
	io_set(kind, 1, error);
	CHECK_ERR(write_round(&w, 3, true), ERR_COMMIT_UNKNOWN);
	io_set(FAIL_NOT, 0, 0);
	CHECK_INT(round_of(w.store), 1);
	CHECK_OK(store_is_behind(w.store, &is_behind));
	CHECK(is_behind);
	writer_close(&w);
	w = writer_in("store", false);
	CHECK_INT(round_of(w.store), 2);
	CHECK_OK(store_is_behind(w.store, &is_behind));
	CHECK(!is_behind);
	CHECK_OK(write_round(&w, 3, true));
	CHECK_OK(commit_round(&w, 4));
	CHECK_INT(round_of(w.store), 4);
	check_sound(w.store);
	writer_close(&w);
}

TEST(a_journal_that_cannot_be_written_is_unknown)
{
	fail_a_journalled_round(FAIL_ERROR, EIO);
}

TEST(a_journal_written_half_is_not_taken)
{
	fail_a_journalled_round(FAIL_SHORT, EIO);
}

TEST(a_full_journal_asks_for_a_commit)
{
	static char text[1500];
	static struct store_write writes[300];
	static char names[300][16];
	struct store_group group = {writes, 300, NULL, 0};
	struct writer w = writer_in("store", true);
	struct stat file;
	int done[2] = {0, 0};

	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 300; i++) {
		snprintf(names[i], sizeof(names[i]), "k%d", i);
		writes[i] = (struct store_write){str_of(names[i]),
						 str_bytes(text, sizeof(text))};
	}
	for (int pass = 0; pass < 2; pass++) {
		while (done[pass] < 9 &&
		       store_journal(w.store, &w.lease, w.head, &group) ==
			   ERR_OK)
			done[pass]++;
		CHECK_ERR(store_journal(w.store, &w.lease, w.head, &group),
			  ERR_OVERLOADED);
		CHECK_OK(store_commit(w.store, &w.lease, &w.head, &group));
	}
	CHECK(done[0] > 1 && done[0] < 9);
	CHECK_INT(done[1], done[0]);
	CHECK_INT(stat("store/journal", &file), 0);
	CHECK_INT(file.st_size, 2 << 20); /* used over and over */
	writer_close(&w);
}

/* --- the journal's bytes ------------------------------------------------- */

static size_t
read_whole(const char *path, unsigned char *out, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	CHECK(fd >= 0);
	n = pread(fd, out, room, 0);
	CHECK(n > 0 && (size_t)n < room);
	close(fd);
	return (size_t)n;
}

static void
write_whole(const char *path, const unsigned char *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_INT(syscall(SYS_pwrite64, fd, bytes, n, 0), (long)n);
	close(fd);
}

struct files {
	unsigned char data[4 << 20], journal[4 << 20];
	size_t data_n, journal_n;
};

/* The round that a store is at whose journal has a flipped byte; 0: it said
 * that the journal is damaged. */
static int
round_with_flip(struct files *files, size_t at)
{
	struct store_lease lease;
	struct store *store;
	struct why why = {.text = ""};
	int round = 0;
	enum err err;

	files->journal[at] ^= 0x10;
	write_whole("store/data.mdb", files->data, files->data_n);
	write_whole("store/journal", files->journal, files->journal_n);
	files->journal[at] ^= 0x10;
	store = open_in("store", false, MAP_BYTES);
	err = store_lease_take(store, &lease, &why);
	if (err == ERR_OK) {
		round = round_of(store);
		check_sound(store);
		store_lease_release(store, &lease);
	} else {
		CHECK_INT(err, ERR_STORE_CORRUPT);
		CHECK(strstr(why.text, "journal") != NULL);
	}
	store_close(store);
	return round;
}

static size_t
bytes_of_record(const unsigned char *record)
{
	return (size_t)record[12] << 24 | (size_t)record[13] << 16 |
	       (size_t)record[14] << 8 | record[15];
}

/* Rounds 2 and 3 are in it: a damaged last record was never finished, a damaged
 * one in front of another was, and is missed. */
TEST_LIMITED(a_flipped_byte_in_the_journal_is_never_wrong_data, 60)
{
	static struct files files;
	struct writer w = writer_in("store", true);
	size_t first, last, start;

	CHECK_OK(commit_round(&w, 1));
	CHECK_OK(write_round(&w, 2, true));
	CHECK_OK(write_round(&w, 3, true));
	writer_close(&w);
	files.data_n =
	    read_whole("store/data.mdb", files.data, sizeof(files.data));
	files.journal_n =
	    read_whole("store/journal", files.journal, sizeof(files.journal));
	first = bytes_of_record(files.journal);
	start = (first + 4095) / 4096 * 4096;
	last = bytes_of_record(files.journal + start);
	CHECK(first > 4096 && first % 4096 != 0 && last == first);
	for (size_t at = 0; at < first; at += at < 48 ? 1 : 331) {
		CHECK_INT(round_with_flip(&files, at), 0);
		CHECK_INT(round_with_flip(&files, start + at), 2);
	}
	CHECK_INT(round_with_flip(&files, first), 3); /* filling */
	CHECK_INT(round_with_flip(&files, start + last), 3);
	CHECK_INT(round_with_flip(&files, files.journal_n - 1), 3);
}

TEST(a_real_disk_that_is_full_refuses_and_recovers)
{
	struct writer w;
	enum err err = ERR_OK;
	int round = 0, fd;

	if (unshare(CLONE_NEWNS) != 0 || mkdir("disk", 0700) != 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("tmpfs", "disk", "tmpfs", 0, "size=1m") != 0)
		test_skip("mounting a small disk is not allowed here");
	w = writer_in("disk/store", true);
	fd = open("disk/ballast", O_WRONLY | O_CREAT, 0600);
	CHECK(fd >= 0 && posix_fallocate(fd, 0, 700 << 10) == 0);
	/* The guard looks once a second at most: this is faster than that. */
	while (err == ERR_OK && round < 1000)
		err = commit_round(&w, ++round);
	CHECK_ERR(err, ERR_STORE_FULL);
	CHECK_INT(round_of(w.store), round - 1);
	CHECK(ftruncate(fd, 0) == 0);
	close(fd);
	CHECK_OK(commit_round(&w, round));
	CHECK_INT(round_of(w.store), round);
	check_sound(w.store);
	writer_close(&w);
}

TEST(a_full_map_refuses_and_a_larger_one_goes_on)
{
	struct store *store = open_in("store", true, 1 << 20);
	struct writer w = {.store = store};
	enum err err = ERR_OK;
	struct store_state state;
	int round = 0;

	CHECK_OK(store_lease_take(store, &w.lease, NULL));
	while (err == ERR_OK && round < 10000)
		err = commit_round(&w, ++round);
	CHECK_ERR(err, ERR_STORE_FULL);
	CHECK_ERR(commit_round(&w, round), ERR_STORE_FULL);
	CHECK_INT(round_of(store), round - 1);
	CHECK_OK(store_state(store, &state));
	CHECK(strstr(state.alarm, "map") != NULL);
	writer_close(&w);
	w = writer_in("store", false);
	CHECK_OK(commit_round(&w, round));
	CHECK_INT(round_of(w.store), round);
	check_sound(w.store);
	writer_close(&w);
}

/* Commits find written room behind the last page, and lose no page to it. */
TEST(room_is_written_ahead_of_what_grows)
{
	enum { ROUNDS = 100 };
	static char names[BATCH][24], text[1500];
	struct store_write writes[BATCH];
	struct store_group group = {writes, BATCH, NULL, 0};
	struct writer w = writer_in("store", true);
	struct store_state state;
	struct stat file;
	off_t size = 0;
	int grown = 0;

	memset(text, 'x', sizeof(text));
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < BATCH; i++) {
			snprintf(names[i], sizeof(names[i]), "k%03d%03d", round,
				 i);
			writes[i] = (struct store_write){
			    str_of(names[i]), str_bytes(text, sizeof(text))};
		}
		CHECK_OK(store_commit(w.store, &w.lease, &w.head, &group));
		CHECK_INT(stat("store/data.mdb", &file), 0);
		CHECK_OK(store_state(w.store, &state));
		/* One such commit takes less than 128 KiB. */
		CHECK(file.st_size >= state.used_bytes + (128 << 10));
		CHECK(file.st_size <= state.used_bytes + (2 << 20));
		grown += file.st_size > size;
		size = file.st_size;
	}
	CHECK(grown >= 5 && grown <= ROUNDS / 5);
	check_sound(w.store);
	writer_close(&w);
}

TEST(a_nearly_full_disk_refuses_writes_and_serves_reads)
{
	struct statvfs disk = {
	    .f_frsize = 4096, .f_blocks = 100000, .f_bavail = 4999};
	struct store_state state;
	struct writer w;

	w = writer_in("store", true);
	CHECK_OK(commit_round(&w, 1));
	writer_close(&w);
	fake_disk = &disk;
	w = writer_in("store", false);
	CHECK_ERR(commit_round(&w, 2), ERR_STORE_FULL);
	CHECK_INT(round_of(w.store), 1);
	CHECK_OK(store_state(w.store, &state));
	CHECK(state.is_refusing_writes);
	CHECK(strstr(state.alarm, "disk") != NULL);
	writer_close(&w);
	disk.f_bavail = 15000;
	w = writer_in("store", false);
	CHECK_OK(commit_round(&w, 2));
	CHECK_OK(store_state(w.store, &state));
	CHECK(!state.is_refusing_writes);
	CHECK(strstr(state.alarm, "disk") != NULL);
	disk.f_bavail = 50000;
	CHECK_OK(store_state(w.store, &state));
	CHECK_INT(state.alarm[0], '\0');
	CHECK_INT(state.disk_free_bytes, 50000 * 4096);
	writer_close(&w);
}

/* --- several processes --------------------------------------------------- */

/* A child that does `act` and then waits to be killed. */
static pid_t
child_that(void (*act)(void))
{
	int ready[2];
	pid_t pid;
	char byte;

	CHECK(pipe(ready) == 0);
	pid = forked();
	if (pid == 0) {
		act();
		CHECK(write(ready[1], "x", 1) == 1);
		pause();
		_exit(1);
	}
	close(ready[1]);
	CHECK(read(ready[0], &byte, 1) == 1);
	close(ready[0]);
	return pid;
}

static void
hold_lease(void)
{
	struct writer w = writer_in("store", false);

	CHECK_OK(commit_round(&w, 1));
}

TEST(the_lease_is_one_process_s_until_it_dies)
{
	struct store *store = open_in("store", true, MAP_BYTES);
	struct writer w = {.store = store};
	struct store_lease forged;
	struct why why = {.text = ""};
	pid_t pid;

	store_close(store);
	pid = child_that(hold_lease);
	store = w.store = open_in("store", false, MAP_BYTES);
	CHECK_ERR(store_lease_take(store, &w.lease, &why), ERR_STORE_LOCKED);
	CHECK(strstr(why.text, "another process") != NULL);
	CHECK_INT(round_of(store), 1);
	w.head = 2;
	forged.token = 1;
	w.lease = forged; /* the right number without the lock */
	CHECK_ERR(commit_round(&w, 2), ERR_FENCED);
	kill(pid, SIGKILL);
	status_of(pid);
	CHECK_OK(store_lease_take(store, &w.lease, NULL));
	CHECK_INT(w.lease.token, 2);
	w.lease = forged;
	CHECK_ERR(commit_round(&w, 2), ERR_FENCED);
	w.lease.token = 2;
	CHECK_OK(commit_round(&w, 2));
	CHECK_INT(round_of(store), 2);
	writer_close(&w);
}

static void
hold_view(void)
{
	struct store *store = open_in("store", false, MAP_BYTES);

	CHECK_OK(store_view_begin(store));
	CHECK_INT(round_of(store), 1);
}

TEST(a_view_of_a_dead_process_is_cleared_and_its_pages_come_back)
{
	struct writer w = writer_in("store", true);
	struct store_state before, after;
	unsigned cleared = 9;
	pid_t pid;

	CHECK_OK(commit_round(&w, 1));
	writer_close(&w);
	pid = child_that(hold_view);
	w = writer_in("store", false);
	CHECK_OK(store_check_readers(w.store, &cleared));
	CHECK_INT(cleared, 0);
	kill(pid, SIGKILL);
	status_of(pid);
	CHECK_OK(store_check_readers(w.store, &cleared));
	CHECK_INT(cleared, 1);
	for (int round = 2; round < 12; round++)
		CHECK_OK(commit_round(&w, round));
	CHECK_OK(store_state(w.store, &before));
	for (int round = 12; round < 22; round++)
		CHECK_OK(commit_round(&w, round));
	CHECK_OK(store_state(w.store, &after));
	/* Twenty more events, and no copy of the keys kept for the dead. */
	CHECK(after.used_bytes - before.used_bytes < 40 * 1024);
	writer_close(&w);
}

TEST(a_view_is_one_instant_while_another_process_commits)
{
	struct writer w = writer_in("store", true);
	struct store *reader;
	pid_t pid;

	writer_close(&w);
	reader = open_in("store", false, MAP_BYTES);
	CHECK_OK(store_view_begin(reader));
	CHECK_INT(round_of(reader), 0);
	pid = child_that(hold_lease);
	CHECK_INT(round_of(reader), 0);
	store_view_end(reader);
	CHECK_INT(round_of(reader), 1);
	kill(pid, SIGKILL);
	status_of(pid);
	store_close(reader);
}

/* --- rest ---------------------------------------------------------------- */

#define REST_ROUNDS 200

static _Noreturn void
write_and_rest(void)
{
	struct writer w = writer_in("store", false);

	for (int round = 1; round <= REST_ROUNDS; round++) {
		CHECK_OK(write_round(&w, round, round % 4 != 0));
		CHECK_OK(store_rest(w.store));
	}
	writer_close(&w);
	_exit(0);
}

/* Each maps the file anew all the time, while it grows. */
TEST(a_reader_rests_while_a_writer_writes_and_rests)
{
	struct writer w = writer_in("store", true);
	struct store *reader;
	int round = 0;
	pid_t pid;

	writer_close(&w);
	pid = forked();
	if (pid == 0)
		write_and_rest();
	reader = open_in("store", false, MAP_BYTES);
	while (round < REST_ROUNDS) {
		int now;

		CHECK_OK(store_view_begin(reader));
		now = round_of(reader);
		CHECK(now >= round);
		round = now;
		store_view_end(reader);
		CHECK_OK(store_rest(reader));
	}
	CHECK_INT(status_of(pid), 0);
	check_sound(reader);
	store_close(reader);
}

static long
page_tables_kib(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];
	long kib = -1;

	CHECK(status);
	while (kib < 0 && fgets(line, sizeof(line), status))
		if (strncmp(line, "VmPTE:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	fclose(status);
	CHECK(kib > 0);
	return kib;
}

static void
write_much(struct writer *w)
{
	enum { COUNT = 500, GROUPS = 20 };
	static char names[COUNT][24], text[1500];
	struct store_write writes[COUNT];
	struct store_group group = {writes, COUNT, NULL, 0};

	memset(text, 'x', sizeof(text));
	for (int g = 0; g < GROUPS; g++) {
		for (int i = 0; i < COUNT; i++) {
			snprintf(names[i], sizeof(names[i]), "m%03d%03d", g, i);
			writes[i] = (struct store_write){
			    str_of(names[i]), str_bytes(text, sizeof(text))};
		}
		CHECK_OK(store_commit(w->store, &w->lease, &w->head, &group));
	}
}

/* 20 MB that were read: a page table for each 2 MiB. */
TEST(rest_gives_the_page_tables_back)
{
	struct writer w = writer_in("store", true);
	long read_kib, rested_kib;

	write_much(&w);
	check_sound(w.store);
	read_kib = page_tables_kib();
	CHECK_OK(store_rest(w.store));
	rested_kib = page_tables_kib();
	CHECK(read_kib - rested_kib >= 32);
	check_sound(w.store);
	CHECK(page_tables_kib() - rested_kib >= 32);
	writer_close(&w);
}

#ifndef __SANITIZE_THREAD__ /* which needs room of its own for each munmap */
/* No room for the map: the store is lost to this process, and to nobody else.
 */
TEST(a_store_that_cannot_be_mapped_again_can_be_closed)
{
	struct writer w = writer_in("store", true);
	struct rlimit limit;
	rlim_t most;
	enum err err;

	CHECK_OK(commit_round(&w, 1));
	CHECK_INT(getrlimit(RLIMIT_AS, &limit), 0);
	most = limit.rlim_cur;
	limit.rlim_cur = 1 << 20;
	CHECK_INT(setrlimit(RLIMIT_AS, &limit), 0);
	err = store_rest(w.store);
	limit.rlim_cur = most;
	CHECK_INT(setrlimit(RLIMIT_AS, &limit), 0);
	CHECK_ERR(err, ERR_NO_MEMORY);
	writer_close(&w);
	w = writer_in("store", false);
	CHECK_INT(round_of(w.store), 1);
	CHECK_OK(commit_round(&w, 2));
	writer_close(&w);
}
#endif

/* --- opening ------------------------------------------------------------- */

static enum err
open_err(const char *dir, struct why *why)
{
	struct store_conf conf = {
	    .engine = "lmdb", .dir = dir, .map_bytes = MAP_BYTES};
	struct store *store = NULL;
	enum err err = store_open(&store, &conf, why);

	CHECK(err != ERR_OK || store != NULL);
	store_close(store);
	return err;
}

TEST(what_is_no_store_is_said_in_one_line_and_left_alone)
{
	struct why why = {.text = ""};
	struct stat st;
	FILE *file;

	CHECK_ERR(open_err("nowhere", &why), ERR_STORE_MISSING);
	CHECK(strstr(why.text, "chatello init") != NULL);
	CHECK(access("nowhere", F_OK) != 0);
	CHECK(mkdir("garbage", 0700) == 0);
	file = fopen("garbage/data.mdb", "w");
	CHECK(file != NULL);
	for (int i = 0; i < 3000; i++)
		fputs("not a store ", file);
	fclose(file);
	CHECK_ERR(open_err("garbage", &why), ERR_STORE_CORRUPT);
	CHECK(strchr(why.text, '\n') == NULL);
	/* Cut to nothing, or never begun: nobody can tell. */
	CHECK(truncate("garbage/data.mdb", 0) == 0);
	CHECK_ERR(open_err("garbage", &why), ERR_STORE_MISSING);
	CHECK_STR(str_of(why.text),
		  STR("the store in garbage is empty: restore a backup; where "
		      "there never was a store, run `chatello init`"));
	CHECK(stat("garbage/data.mdb", &st) == 0 && st.st_size == 0);
}

TEST(a_store_whose_making_was_interrupted_is_missing_and_can_be_made)
{
	bool is_passed = false;

	for (int n = 1; !is_passed; n++) {
		pid_t pid = forked();
		enum err err;
		struct writer w;

		CHECK(n < 100);
		if (pid == 0) {
			io_set(FAIL_KILL, n, 0);
			store_close(open_in("store", true, MAP_BYTES));
			_exit(0);
		}
		is_passed = WIFEXITED(status_of(pid));
		err = open_err("store", NULL);
		CHECK(err == ERR_OK || (!is_passed && err != ERR_UNAVAILABLE));
		w = writer_in("store", true);
		CHECK_INT(round_of(w.store), 0);
		writer_close(&w);
		CHECK(unlink("store/data.mdb") == 0);
		CHECK(unlink("store/lock.mdb") == 0);
	}
}

/* The store's pages go out one by one (store_lmdb_writev.c), all and in order,
 * up to the first that did not fit. */
TEST(writev_writes_parts_up_to_a_short_one)
{
	char one[] = "one", two[] = "two", three[] = "three", back[16] = "";
	const struct iovec parts[] = {{one, 3}, {two, 3}, {three, 5}};
	const struct rlimit four = {4, 4};
	int fd = open("parts", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK_INT(writev(fd, parts, 3), 11);
	CHECK_INT(pread(fd, back, sizeof(back), 0), 11);
	CHECK_STR(str_of(back), STR("onetwothree"));

	signal(SIGXFSZ, SIG_IGN);
	CHECK_INT(ftruncate(fd, 0), 0);
	CHECK_INT(lseek(fd, 0, SEEK_SET), 0);
	CHECK_INT(setrlimit(RLIMIT_FSIZE, &four), 0);
	CHECK_INT(writev(fd, parts, 3), 4);
	CHECK_INT(writev(fd, parts, 3), -1);
	CHECK_INT(errno, EFBIG);
	close(fd);
}
