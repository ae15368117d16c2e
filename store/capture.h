/*
 * capture: what of a licence's requests is kept while its debug capture is on:
 * at most CAPTURES_MAX requests, of each the first bytes of what its provider
 * was asked and said, in sealed pieces. Shared by the ledger, which seals, the
 * command line, which opens, and the proxy, which has the bytes.
 */
#ifndef STORE_CAPTURE_H
#define STORE_CAPTURE_H

#include "store/keys.h"

#define CAPTURES_MAX 32u	  /* requests of a licence */
#define CAPTURE_BYTES_MAX 16384u  /* of what was asked; of what was said */
#define CAPTURE_PIECE_BYTES 1400u /* sealed, it fits a record */
#define CAPTURE_PIECES_MAX 12u
#define CAPTURE_MS_MAX INT64_C(86400000)
#define CAPTURE_ASKED 'a'
#define CAPTURE_SAID 's'

/* The associated data of a piece's seal. NULL when the arena is full. */
static inline struct str
capture_identity(struct str license_id, struct str request_id, char part,
		 unsigned piece, struct arena *arena)
{
	return arena_printf(arena, "capture %.*s %.*s %c %u",
			    STR_ARG(license_id), STR_ARG(request_id), part,
			    piece);
}

#endif
