/*
 * arena: a list of blocks, the first kept over a reset. See arena.h.
 */
#include "lib/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_BLOCK_BYTES 16384u
#define ALIGN_BYTES 16u

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t size;
	size_t padding;
	unsigned char bytes[];
};

void
arena_init(struct arena *arena, size_t limit_bytes)
{
	*arena = (struct arena){.limit_bytes = limit_bytes};
}

static void
free_from(struct arena_block *block)
{
	while (block) {
		struct arena_block *next = block->next;

		free(block);
		block = next;
	}
}

void
arena_fini(struct arena *arena)
{
	free_from(arena->first);
	arena->first = arena->current = NULL;
	arena->used_bytes = 0;
}

void
arena_reset(struct arena *arena)
{
	if (arena->first) {
		free_from(arena->first->next);
		arena->first->next = NULL;
		arena->first->used = 0;
	}
	arena->current = arena->first;
	arena->used_bytes = 0;
}

void
arena_wipe(struct arena *arena)
{
	for (struct arena_block *block = arena->first; block;
	     block = block->next)
		explicit_bzero(block->bytes, block->used);
}

static struct arena_block *
block_add(struct arena *arena, size_t need)
{
	size_t size = need > FIRST_BLOCK_BYTES ? need : FIRST_BLOCK_BYTES;
	struct arena_block *block = malloc(sizeof(*block) + size);

	if (block == NULL)
		return NULL;
	block->next = NULL;
	block->used = 0;
	block->size = size;
	if (arena->current)
		arena->current->next = block;
	else
		arena->first = block;
	arena->current = block;
	return block;
}

void *
arena_alloc(struct arena *arena, size_t bytes)
{
	struct arena_block *block = arena->current;
	size_t need;
	void *p;

	if (bytes > arena->limit_bytes)
		return NULL;
	need = (bytes + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
	if (need == 0)
		need = ALIGN_BYTES;
	if (need > arena->limit_bytes - arena->used_bytes)
		return NULL;
	if (block == NULL || block->size - block->used < need)
		block = block_add(arena, need);
	if (block == NULL)
		return NULL;
	p = block->bytes + block->used;
	block->used += need;
	arena->used_bytes += need;
	memset(p, 0, need);
	return p;
}

void *
arena_array(struct arena *arena, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		return NULL;
	return arena_alloc(arena, bytes);
}

struct str
arena_str(struct arena *arena, struct str s)
{
	char *p;

	if (s.p == NULL)
		return STR_NONE;
	p = arena_alloc(arena, s.n + 1);
	if (p == NULL)
		return STR_NONE;
	memcpy(p, s.p, s.n);
	return str_bytes(p, s.n);
}

struct str
arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args, again;
	char *p = NULL;
	int n;

	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, args);
	if (n >= 0)
		p = arena_alloc(arena, (size_t)n + 1);
	if (p)
		vsnprintf(p, (size_t)n + 1, format, again);
	va_end(again);
	va_end(args);
	return p ? str_bytes(p, (size_t)n) : STR_NONE;
}
