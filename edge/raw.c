/*
 * raw: see raw.h.
 */
#include "edge/raw.h"

#include "edge/chunks.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FDS_MAX 262144 /* 3 listeners of 65536 connections, and the rest */

static struct raw {
	struct head head;
	struct chunks chunks;  /* when the body is chunked */
	raw_refuse_fn *refuse; /* NULL: not watched */
	void *ctx;
	int64_t body_left; /* or HEAD_BODY_UNKNOWN */
	char *pending;	   /* behind the request, RAW_PENDING_BYTES_MAX */
	uint32_t pending_n;
	uint32_t drained;
	bool has_begun; /* bytes of the next head are here */
	bool is_refused;
	bool has_lost; /* bytes that the library has and nobody read */
} raws[FDS_MAX];

static struct raw *
raw_of(int fd)
{
	return fd >= 0 && fd < FDS_MAX && raws[fd].refuse ? &raws[fd] : NULL;
}

void
raw_watch(int fd, raw_refuse_fn *refuse, void *ctx)
{
	if (fd < 0 || fd >= FDS_MAX)
		return; /* each of its requests is refused */
	raws[fd] = (struct raw){.refuse = refuse, .ctx = ctx};
	head_begin(&raws[fd].head);
}

void
raw_forget(int fd)
{
	struct raw *raw = raw_of(fd);

	if (raw == NULL)
		return;
	free(raw->pending);
	raw->pending = NULL;
	raw->refuse = NULL;
}

/* It comes before its turn. */
static void
put_off(struct raw *raw, const char *p, size_t n)
{
	if (raw->pending == NULL)
		raw->pending = malloc(RAW_PENDING_BYTES_MAX);
	if (raw->pending == NULL || n > RAW_PENDING_BYTES_MAX - raw->pending_n)
		raw->has_lost = true;
	if (raw->has_lost)
		return;
	memcpy(raw->pending + raw->pending_n, p, n);
	raw->pending_n += (uint32_t)n;
}

/* A body that is wrong makes the request wrong, as a head does. */
static size_t
look_at_chunks(struct raw *raw, const char *p, size_t n)
{
	size_t used = chunks_take(&raw->chunks, p, n);

	if (chunks_is_done(&raw->chunks))
		raw->body_left = 0;
	if (raw->chunks.fault)
		head_fail(&raw->head, raw->chunks.fault);
	return used;
}

/* Up to the end of the request; the rest is put off. */
static void
look(struct raw *raw, const char *p, size_t n)
{
	size_t used = 0;

	if (!head_is_done(&raw->head)) {
		raw->has_begun = true;
		used = head_take(&raw->head, p, n);
		raw->body_left = raw->head.body_bytes;
		chunks_begin(&raw->chunks);
	}
	p += used;
	n -= used;
	if (n == 0 || head_is_wrong(&raw->head))
		return;
	if (raw->body_left == HEAD_BODY_UNKNOWN) {
		used = look_at_chunks(raw, p, n);
		p += used;
		n -= used;
	}
	if (n == 0 || raw->body_left == HEAD_BODY_UNKNOWN)
		return;
	used = (int64_t)n < raw->body_left ? n : (size_t)raw->body_left;
	raw->body_left -= (int64_t)used;
	if (n > used)
		put_off(raw, p + used, n - used);
}

static void
judge(struct raw *raw)
{
	if (!head_is_wrong(&raw->head))
		return;
	raw->is_refused = true;
	raw->refuse(raw->ctx, &raw->head);
}

void
raw_next(int fd, bool is_kept)
{
	struct raw *raw = raw_of(fd);
	uint32_t n;
	char *pending;

	if (raw == NULL || raw->is_refused)
		return;
	is_kept = is_kept && !head_closes(&raw->head);
	head_begin(&raw->head);
	raw->has_begun = false;
	if (raw->pending == NULL)
		return;
	n = raw->pending_n;
	pending = raw->pending;
	raw->pending = NULL;
	raw->pending_n = 0;
	look(raw, pending, n);
	free(pending);
	if (is_kept)
		judge(raw);
}

const char *
raw_fault(int fd, size_t head_bytes)
{
	const struct raw *raw = raw_of(fd);

	if (raw && head_is_wrong(&raw->head))
		return raw->head.fault;
	if (raw && head_is_done(&raw->head) && !raw->has_lost &&
	    raw->head.bytes == head_bytes)
		return NULL;
	return "requests that wait for their turn are at most 8 KiB: wait for "
	       "the answers";
}

bool
raw_has_begun(int fd)
{
	const struct raw *raw = raw_of(fd);

	return raw && raw->has_begun && !head_is_done(&raw->head);
}

bool
raw_is_refused(int fd)
{
	const struct raw *raw = raw_of(fd);

	return raw && raw->is_refused;
}

static ssize_t
receive(int fd, void *buf, size_t n, int flags)
{
	return syscall(SYS_recvfrom, fd, buf, n, flags, NULL, NULL);
}

/* The library hears nothing of it but the end. */
static ssize_t
drain(int fd, struct raw *raw)
{
	static char bytes[65536];
	ssize_t got;

	do {
		got = receive(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (got > 0)
			raw->drained += (uint32_t)got;
	} while (got > 0 && raw->drained <= RAW_DRAIN_BYTES_MAX);
	return got > 0 ? 0 : got;
}

/* In the place of libc's, for the library too: its reference is bound to the
 * program's definition. */
ssize_t
recv(int fd, void *buf, size_t n, int flags)
{
	struct raw *raw = raw_of(fd);
	ssize_t got;

	if (raw && raw->is_refused)
		return drain(fd, raw);
	got = receive(fd, buf, n, flags);
	if (got <= 0 || raw == NULL || (flags & MSG_PEEK))
		return got;
	look(raw, buf, (size_t)got);
	judge(raw);
	return raw->is_refused ? drain(fd, raw) : got;
}
