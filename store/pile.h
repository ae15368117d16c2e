/*
 * pile: copies that stay where they are until all are dropped at once. For the
 * group: its memory is used over and over without an allocation.
 */
#ifndef STORE_PILE_H
#define STORE_PILE_H

#include "lib/str.h"

#define PILE_COPY_BYTES_MAX (64u << 10)
#define PILE_KEPT_BYTES (8u << 20) /* what an empty pile holds at most */

struct pile_chunk;

/* Zeroed = empty. */
struct pile {
	struct pile_chunk *filling; /* and the full ones behind it */
	struct pile_chunk *spare;
	size_t chunk_count;
	size_t filling_count;
};

/* A copy of n <= PILE_COPY_BYTES_MAX bytes, aligned for any struct; STR_NONE
 * without memory. */
struct str pile_add(struct pile *pile, const void *p, size_t n);
/* What its copies take, in whole chunks. */
size_t pile_bytes(const struct pile *pile);
/* Drops all copies. */
void pile_empty(struct pile *pile);
void pile_fini(struct pile *pile);

#endif
