/*
 * reading: the store as the commands read it: opened directly, read only, in
 * pages that hold no view for long, so that it does not matter whether the
 * servers run.
 */
#ifndef CMD_READING_H
#define CMD_READING_H

#include "cmd/command.h"
#include "store/crypto.h"
#include "store/keys.h"
#include "store/records.h"

#define PAGE_ROWS 256

struct reading {
	struct store *store;
	struct crypto *crypto; /* NULL until reading_crypto */
};

/* ERR_STORE_MISSING: one line that says `chatello init`. */
enum err reading_open(struct reading *reading, const struct conf *conf,
		      struct why *why);
/* Opens the master key and checks that it is this store's. */
enum err reading_crypto(struct reading *reading, const struct conf *conf,
			struct why *why);
void reading_close(struct reading *reading);

/* ERR_NO_SUCH: there is none. */
enum err reading_load(struct reading *reading, const struct key *key,
		      const struct schema *schema, void *out,
		      struct arena *arena);

/* All rows whose keys have the prefix, in order. */
struct pages {
	struct store *store;
	struct key prefix;
	struct key after;
	struct arena arena; /* of one page */
	struct store_row rows[PAGE_ROWS];
	size_t count, at;
	bool is_last;
};
void pages_open(struct pages *pages, struct store *store,
		const struct key *prefix);
void pages_close(struct pages *pages);
/* The row lives until the next call. False at the end, or when *e says what
 * failed. */
bool pages_next(struct pages *pages, struct store_row *row, enum err *e);

/* A record of a list; it lives until the call returns. */
typedef enum err reading_fn(void *ctx, const void *record, struct why *why);
/* Calls fn for each record whose key has the prefix, in order, until one fails.
 */
enum err reading_each(struct reading *reading, const struct key *prefix,
		      const struct schema *schema, reading_fn *fn, void *ctx,
		      struct why *why);

/* The hash under which a licence is found, from its id or its key. */
enum err reading_license_hash(struct reading *reading, struct command *command,
			      struct str id_or_key,
			      unsigned char hash[CRYPTO_HASH_BYTES],
			      struct why *why);
/* The licence as the vendor sees it; strings live in the arena. */
enum err reading_license_view(struct reading *reading, struct str hash,
			      int64_t now_ms, struct arena *arena,
			      struct license_view *out);
/* As reading_open, for a list that --workspace may narrow: one that names no
 * workspace is ERR_WORKSPACE_UNKNOWN, not an empty list. */
enum err reading_open_filtered(struct reading *reading, struct command *command,
			       struct why *why);
/* The zone of the workspace that --workspace names, in the command's arena. */
enum err reading_zone(struct reading *reading, struct command *command,
		      const char **zone, struct why *why);
/* --workspace, or `default`. */
struct str reading_workspace(const struct command *command);

#endif
