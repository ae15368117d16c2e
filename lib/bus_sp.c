/*
 * bus_sp: the bytes of nng's ipc transport, so that our inboxes and outboxes
 * understand any nng PUSH and PULL: a greeting of 8 bytes each way, then
 * messages behind a head of 9 bytes. Source: the "SP TCP mapping" RFC
 * (sp-tcp-mapping-01) for the greeting; nng's ipc adds the leading 1 of a
 * message's head. Pure.
 */
#include "lib/bus_internal.h"

#include <endian.h>

#define GREETING_START "\0SP\0"
#define HEAD_KIND 1 /* a message; nng knows no other */

void
sp_greeting_put(uint16_t protocol, char out[SP_GREETING_BYTES])
{
	const uint16_t be = htobe16(protocol);

	memcpy(out, GREETING_START, 4);
	memcpy(out + 4, &be, 2);
	memset(out + 6, 0, 2);
}

bool
sp_greeting_is(uint16_t protocol, const char *in)
{
	char right[SP_GREETING_BYTES];

	sp_greeting_put(protocol, right);
	return memcmp(in, right, sizeof(right)) == 0;
}

void
sp_head_put(size_t body_bytes, char out[SP_HEAD_BYTES])
{
	const uint64_t be = htobe64(body_bytes);

	out[0] = HEAD_KIND;
	memcpy(out + 1, &be, sizeof(be));
}

bool
sp_head_read(const char *in, size_t *body_bytes)
{
	uint64_t be;

	memcpy(&be, in + 1, sizeof(be));
	if (in[0] != HEAD_KIND || be64toh(be) > BUS_BATCH_BYTES_MAX)
		return false;
	*body_bytes = be64toh(be);
	return true;
}
