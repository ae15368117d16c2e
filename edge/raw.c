/*
 * raw: see raw.h.
 */
#include "edge/raw.h"

#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FDS_MAX 262144 /* 3 listeners of 65536 connections, and the rest */

enum state {
	RAW_OFF, /* not watched, or behind the head */
	RAW_LINE_START,
	RAW_LINE,
	RAW_CR,
	RAW_LAST_CR, /* that of the empty line */
	RAW_DONE,
	RAW_BARE_CR,
	RAW_BARE_LF,
	RAW_NUL,
	RAW_FOLDED,
};

static struct raw {
	uint32_t head_bytes;
	bool is_first_line;
	uint8_t state; /* enum state */
} raws[FDS_MAX];

static struct raw *
raw_of(int fd)
{
	return fd >= 0 && fd < FDS_MAX ? &raws[fd] : NULL;
}

void
raw_watch(int fd)
{
	raw_next(fd);
}

void
raw_forget(int fd)
{
	struct raw *raw = raw_of(fd);

	if (raw)
		raw->state = RAW_OFF;
}

void
raw_next(int fd)
{
	struct raw *raw = raw_of(fd);

	if (raw)
		*raw = (struct raw){.state = RAW_LINE_START,
				    .is_first_line = true};
}

static enum state
after_line_start(struct raw *raw, unsigned char c)
{
	bool is_first = raw->is_first_line;

	if (c == '\r') /* empty lines before a request line are skipped */
		return is_first ? RAW_CR : RAW_LAST_CR;
	raw->is_first_line = false;
	if ((c == ' ' || c == '\t') && !is_first)
		return RAW_FOLDED;
	return c == '\n' ? RAW_BARE_LF : c == '\0' ? RAW_NUL : RAW_LINE;
}

static enum state
after(struct raw *raw, unsigned char c)
{
	switch ((enum state)raw->state) {
	case RAW_LINE_START:
		return after_line_start(raw, c);
	case RAW_LINE:
		if (c > '\r')
			return RAW_LINE;
		return c == '\r'   ? RAW_CR
		       : c == '\n' ? RAW_BARE_LF
		       : c == '\0' ? RAW_NUL
				   : RAW_LINE;
	case RAW_CR:
		return c == '\n' ? RAW_LINE_START : RAW_BARE_CR;
	case RAW_LAST_CR:
		return c == '\n' ? RAW_DONE : RAW_BARE_CR;
	case RAW_OFF:
	case RAW_DONE:
	case RAW_BARE_CR:
	case RAW_BARE_LF:
	case RAW_NUL:
	case RAW_FOLDED:
		break;
	}
	return (enum state)raw->state;
}

static void
look(struct raw *raw, const unsigned char *p, size_t n)
{
	size_t i = 0;

	while (i < n && raw->state > RAW_OFF && raw->state < RAW_DONE) {
		/* nearly all bytes are these */
		while (raw->state == RAW_LINE && i < n && p[i] > '\r')
			i++;
		if (i < n)
			raw->state = (uint8_t)after(raw, p[i++]);
	}
	raw->head_bytes += (uint32_t)i;
}

const char *
raw_fault(int fd, size_t head_bytes)
{
	const struct raw *raw = raw_of(fd);

	switch (raw ? (enum state)raw->state : RAW_OFF) {
	case RAW_DONE:
		if (raw->head_bytes == head_bytes)
			return NULL;
		break;
	case RAW_BARE_CR:
		return "a line of the head ends with CR alone";
	case RAW_BARE_LF:
		return "a line of the head ends with LF alone";
	case RAW_NUL:
		return "NUL byte in the head";
	case RAW_FOLDED:
		return "folded header line";
	case RAW_OFF:
	case RAW_LINE_START:
	case RAW_LINE:
	case RAW_CR:
	case RAW_LAST_CR:
		break;
	}
	return "requests are taken one by one: wait for the answer before the "
	       "next";
}

/* In the place of libc's, for the library too: its reference is bound to the
 * program's definition. */
ssize_t
recv(int fd, void *buf, size_t n, int flags)
{
	ssize_t got = syscall(SYS_recvfrom, fd, buf, n, flags, NULL, NULL);
	struct raw *raw = raw_of(fd);

	if (got > 0 && raw && raw->state != RAW_OFF && !(flags & MSG_PEEK))
		look(raw, buf, (size_t)got);
	return got;
}
