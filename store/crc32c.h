/*
 * crc32c: the Castagnoli checksum (RFC 3720, appendix B.4) over every stored
 * record. Called by the store and its engines. Any thread.
 */
#ifndef STORE_CRC32C_H
#define STORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from crc (0 at the start); with the processor's instruction where
 * there is one. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same without it. */
uint32_t crc32c_by_table(uint32_t crc, const void *p, size_t n);

#endif
