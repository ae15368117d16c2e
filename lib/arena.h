/*
 * arena: memory of one message. Bounded, reset by the loop, never freed piece
 * by piece. One thread at a time.
 */
#ifndef LIB_ARENA_H
#define LIB_ARENA_H

#include "lib/str.h"

struct arena_block;

struct arena {
	struct arena_block *first;
	struct arena_block *current;
	size_t used_bytes;  /* in all blocks */
	size_t limit_bytes; /* arena_alloc fails beyond it */
};

/* Takes no memory yet. */
void arena_init(struct arena *arena, size_t limit_bytes);
/* Frees all of it. */
void arena_fini(struct arena *arena);
/* Forgets what was allocated; keeps the first block for the next message. */
void arena_reset(struct arena *arena);
/* Overwrites what was allocated and not reset since: for what held a secret. */
void arena_wipe(struct arena *arena);
/* Zeroed, aligned to 16. NULL when the limit or the memory is exhausted. */
void *arena_alloc(struct arena *arena, size_t bytes);
/* count * size with an overflow check. */
void *arena_array(struct arena *arena, size_t count, size_t size);
/* A copy, with a NUL behind it that is not counted. p == NULL on no memory or
 * when s is absent. */
struct str arena_str(struct arena *arena, struct str s);
struct str arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
