/*
 * upstream_text: what upstream reads of texts, without curl: base URLs and
 * header lines (RFC 9112). Pure but for the wall clock of an HTTP date.
 */
#ifndef WORKERS_UPSTREAM_TEXT_H
#define WORKERS_UPSTREAM_TEXT_H

#include "workers/upstream.h"

/* ERR_CONFIG unless base may be called: see upstream_target_open. */
enum err upstream_base_check(const char *base, struct why *why);
/* "HTTP/1.1 200 OK": begins *head anew. */
void upstream_read_status(struct upstream_head *head, struct str line);
/* One trimmed header line; the content type is copied to type. */
void upstream_read_header(struct upstream_head *head, struct str line,
			  char *type, size_t type_room);

#endif
