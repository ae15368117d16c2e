/*
 * seal: the checksum that every stored value carries, over its table, key and
 * value. Called by store.c and the engines; see engine.h.
 */
#include "store/crc32c.h"
#include "store/engine.h"

static uint32_t
seal_of(enum engine_table table, struct str key, const void *value, size_t n)
{
	unsigned char kind = (unsigned char)table;
	uint32_t crc = crc32c(0, &kind, 1);

	crc = crc32c(crc, key.p, key.n);
	return crc32c(crc, value, n);
}

void
engine_seal(enum engine_table table, struct str key, struct str value,
	    void *out)
{
	uint32_t crc = seal_of(table, key, value.p, value.n);
	unsigned char *at = out;

	for (unsigned i = 0; i < ENGINE_SEAL_BYTES; i++)
		at[i] = (unsigned char)(crc >> (8 * i));
	if (value.n)
		memcpy(at + ENGINE_SEAL_BYTES, value.p, value.n);
}

bool
engine_is_sound(enum engine_table table, struct str key, struct str sealed)
{
	const unsigned char *at = (const unsigned char *)sealed.p;
	uint32_t crc = 0;

	if (sealed.n < ENGINE_SEAL_BYTES)
		return false;
	for (unsigned i = 0; i < ENGINE_SEAL_BYTES; i++)
		crc |= (uint32_t)at[i] << (8 * i);
	return crc == seal_of(table, key, sealed.p + ENGINE_SEAL_BYTES,
			      sealed.n - ENGINE_SEAL_BYTES);
}
