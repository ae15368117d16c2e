/*
 * pile: chunks that are filled from the front and go to a list of spare ones.
 * See pile.h.
 */
#include "store/pile.h"

#include <assert.h>
#include <stdlib.h>

#define CHUNK_BYTES (256u << 10)
#define ALIGN_BYTES ((size_t)16)

struct pile_chunk {
	struct pile_chunk *next;
	size_t used;
	_Alignas(16) char bytes[CHUNK_BYTES];
};

static struct pile_chunk *
next_chunk(struct pile *pile)
{
	struct pile_chunk *chunk = pile->spare;

	if (chunk) {
		pile->spare = chunk->next;
	} else {
		chunk = malloc(sizeof(*chunk));
		if (chunk == NULL)
			return NULL;
		pile->chunk_count++;
	}
	chunk->used = 0;
	chunk->next = pile->filling;
	pile->filling = chunk;
	pile->filling_count++;
	return chunk;
}

struct str
pile_add(struct pile *pile, const void *p, size_t n)
{
	struct pile_chunk *chunk = pile->filling;
	char *at;

	assert(n <= PILE_COPY_BYTES_MAX);
	if (chunk == NULL || CHUNK_BYTES - chunk->used < n)
		chunk = next_chunk(pile);
	if (chunk == NULL)
		return STR_NONE;
	at = chunk->bytes + chunk->used;
	if (n)
		memcpy(at, p, n);
	chunk->used += (n + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1);
	return str_bytes(at, n);
}

static void
free_chunks(struct pile_chunk *chunk)
{
	while (chunk) {
		struct pile_chunk *next = chunk->next;

		free(chunk);
		chunk = next;
	}
}

size_t
pile_bytes(const struct pile *pile)
{
	return pile->filling_count * CHUNK_BYTES;
}

void
pile_empty(struct pile *pile)
{
	pile->filling_count = 0;
	while (pile->filling) {
		struct pile_chunk *chunk = pile->filling;

		pile->filling = chunk->next;
		chunk->next = pile->spare;
		pile->spare = chunk;
	}
	if (pile->chunk_count * CHUNK_BYTES > PILE_KEPT_BYTES)
		pile_fini(pile);
}

void
pile_fini(struct pile *pile)
{
	free_chunks(pile->filling);
	free_chunks(pile->spare);
	*pile = (struct pile){NULL, NULL, 0, 0};
}
