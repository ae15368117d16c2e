/*
 * master_key: the file of the master key: a line of hexadecimal digits. While
 * the key is being changed it has two lines, the key that was and the one to
 * come, so that whoever starts meanwhile knows both; see
 * doc/decisions/017-master-key.md. It is always whole: a new file is written
 * beside and flushed before it takes the place of the old one.
 */
#ifndef STORE_MASTER_KEY_H
#define STORE_MASTER_KEY_H

#include "lib/err.h"

#define MASTER_KEY_BYTES 32u
#define MASTER_KEYS_MAX 2u

struct master_keys {
	unsigned count;
	unsigned char bytes[MASTER_KEYS_MAX][MASTER_KEY_BYTES];
};

/* Missing, unreadable, readable by others, damaged: ERR_CONFIG and one line.
 * *out is to be wiped. */
enum err master_keys_read(const char *path, struct master_keys *out,
			  struct why *why);
/* Takes the place of the file at path, whose owner and group it gets (a link is
 * followed). ERR_IO: why says what; the old file is as it was, unless only the
 * folder could not be flushed. */
enum err master_keys_replace(const char *path, const struct master_keys *keys,
			     struct why *why);
/* Random, in the last place; count is below MASTER_KEYS_MAX. */
void master_keys_add(struct master_keys *keys);
void master_keys_wipe(struct master_keys *keys);

#endif
