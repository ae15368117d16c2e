/*
 * audit_fuzz: the first line is the target, then `name:value` lines. What
 * passes must hold what the audit promises.
 */
#include "edge/audit.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str
cut(struct str *rest, char at)
{
	const char *p = rest->n ? memchr(rest->p, at, rest->n) : NULL;
	struct str head = *rest;

	if (p == NULL) {
		rest->p += rest->n;
		rest->n = 0;
		return head;
	}
	head.n = (size_t)(p - rest->p);
	rest->p += head.n + 1;
	rest->n -= head.n + 1;
	return head;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_bytes(data, size);
	struct str target = cut(&rest, '\n');
	struct audit audit;

	if (audit_target(target) == NULL &&
	    (target.n == 0 || target.p[0] != '/' ||
	     memchr(target.p, '\n', target.n)))
		abort();
	audit_begin(&audit);
	while (rest.n) {
		struct str value = cut(&rest, '\n');
		struct str name = cut(&value, ':');

		audit_add(&audit, name, value);
	}
	if (audit_end(&audit, STR("HTTP/1.1")) == NULL &&
	    (audit.hosts != 1 || audit.lengths + audit.encodings > 1 ||
	     audit.content_length < AUDIT_LENGTH_NONE))
		abort();
	return 0;
}
