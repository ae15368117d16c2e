/*
 * crc32c: the table is made before main(), the instruction takes eight bytes at
 * a time and is chosen when the processor has it.
 */
#include "store/crc32c.h"

#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL_REFLECTED 0x82f63b78u

static uint32_t table[256];

__attribute__((constructor)) static void
make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL_REFLECTED : 0);
		table[i] = crc;
	}
}

uint32_t
crc32c_by_table(uint32_t crc, const void *p, size_t n)
{
	const unsigned char *at = p;

	crc = ~crc;
	while (n--)
		crc = table[(crc ^ *at++) & 0xff] ^ (crc >> 8);
	return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const void *p, size_t n)
{
	const unsigned char *at = p;
	uint64_t wide = (uint32_t)~crc, eight;

	for (; n >= sizeof(eight); n -= sizeof(eight), at += sizeof(eight)) {
		memcpy(&eight, at, sizeof(eight));
		wide = _mm_crc32_u64(wide, eight);
	}
	crc = (uint32_t)wide;
	while (n--)
		crc = _mm_crc32_u8(crc, *at++);
	return ~crc;
}

uint32_t
crc32c(uint32_t crc, const void *p, size_t n)
{
	if (__builtin_cpu_supports("sse4.2"))
		return by_instruction(crc, p, n);
	return crc32c_by_table(crc, p, n);
}
#else
uint32_t
crc32c(uint32_t crc, const void *p, size_t n)
{
	return crc32c_by_table(crc, p, n);
}
#endif
