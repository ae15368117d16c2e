/*
 * id: ULIDs and random bytes. See id.h. Random bytes are gathered from the
 * kernel a page at a time; a forked child never uses what its parent gathered.
 */
#include "lib/id.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#define GATHERED_BYTES 4096u
#define REQUEST_ID_BYTES_MAX 64u

static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static void
fill(unsigned char *p, size_t n)
{
	while (n) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort(); /* no kernel without it is supported */
		p += got;
		n -= (size_t)got;
	}
}

static size_t gathered_left;

static void
forget_gathered(void)
{
	gathered_left = 0;
}

void
id_random(void *out, size_t n)
{
	static unsigned char gathered[GATHERED_BYTES];
	static bool is_watching;

	if (n > GATHERED_BYTES / 4) {
		fill(out, n);
		return;
	}
	if (!is_watching && pthread_atfork(NULL, NULL, forget_gathered) != 0)
		abort(); /* only without memory for one entry */
	is_watching = true;
	if (gathered_left < n) {
		fill(gathered, sizeof(gathered));
		gathered_left = sizeof(gathered);
	}
	gathered_left -= n;
	memcpy(out, gathered + gathered_left, n);
	/* What was given out may be a secret: it does not stay here. */
	explicit_bzero(gathered + gathered_left, n);
}

struct str
id_new(const char *prefix, int64_t wall_ms, char out[ID_TEXT_BYTES])
{
	size_t head = strnlen(prefix, ID_TEXT_BYTES - ID_ULID_CHARS - 1);
	uint64_t time = (uint64_t)wall_ms & UINT64_C(0xffffffffffff);
	unsigned char noise[10];
	char *p = out + head;

	memcpy(out, prefix, head);
	id_random(noise, sizeof(noise));
	for (int i = 9; i >= 0; i--) {
		p[i] = crockford[time & 31];
		time >>= 5;
	}
	for (int half = 0; half < 2; half++) {
		uint64_t bits = 0;

		for (int i = 0; i < 5; i++)
			bits = bits << 8 | noise[half * 5 + i];
		for (int i = 7; i >= 0; i--) {
			p[10 + half * 8 + i] = crockford[bits & 31];
			bits >>= 5;
		}
	}
	p[ID_ULID_CHARS] = '\0';
	return str_bytes(out, head + ID_ULID_CHARS);
}

bool
id_is_valid_request_id(struct str s)
{
	if (s.n == 0 || s.n > REQUEST_ID_BYTES_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		      (c >= '0' && c <= '9') || c == '.' || c == '_' ||
		      c == ':' || c == '-'))
			return false;
	}
	return true;
}
