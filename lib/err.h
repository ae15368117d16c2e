/*
 * err: the one set of outcomes (rows in err.def). A foreign code (errno, MDB_*,
 * CURLE_*, NNG_*) is translated once, in the file that includes that library.
 */
#ifndef LIB_ERR_H
#define LIB_ERR_H

#include "lib/str.h"

enum err {
#define ERR(name, status, retry, text) ERR_##name,
#include "lib/err.def"
#undef ERR
	ERR_COUNT
};

enum err_retry { ERR_RETRY_NEVER, ERR_RETRY_LATER, ERR_RETRY_ELSEWHERE };

struct err_row {
	const char *code;     /* "RATE_LIMITED" */
	int http_status;      /* RFC 9110 */
	enum err_retry retry; /* what a caller may do */
	const char *text;     /* one sentence for users, with the remedy */
};

/* The row of e; for a number from elsewhere that is no err, INTERNAL's. */
const struct err_row *err_row(enum err e);
const char *err_code(enum err e);
const char *err_text(enum err e);
/* The err of a code name; ERR_INTERNAL when there is none. */
enum err err_of_code(struct str code);

/*
 * why: a caller's buffer for the one line that an operator or user reads when
 * something fails ("port 5010 is in use: ..."). Functions that take one fill it
 * on failure and leave it alone on success; NULL is allowed.
 */
struct why {
	char field[64]; /* the field at fault, "" when none */
	char text[320];
};

/* What errno says of a file or folder, with what to do about it: for the end of
 * a why. Valid until the next call in this thread. */
const char *err_of_file(int error);

/* Fills why and returns e, so that `return why_set(why, ERR_X, ...)` reads. */
enum err why_set(struct why *why, enum err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum err why_field(struct why *why, enum err e, const char *field,
		   const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
