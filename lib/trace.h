/*
 * trace: the traceparent header of W3C Trace Context (Recommendation of
 * 2021-11-23, sections 3.2 and 4.3): read strictly, passed on with a parent of
 * our own; and tracestate (3.3), which goes on as it came. Pure but for the
 * random bytes of that parent.
 */
#ifndef LIB_TRACE_H
#define LIB_TRACE_H

#include "lib/str.h"

#define TRACE_ID_CHARS 32u
#define TRACE_PARENT_CHARS 55u /* of a traceparent; a later version's head */

/* Whether it may be passed on. Of a version that is not known yet, what
 * version 00 has is read. */
bool trace_is_valid(struct str traceparent);
/* The trace's id in a valid one: TRACE_ID_CHARS. */
struct str trace_id(struct str traceparent);
/* What the next one gets: the same trace, we as its parent, version 00, of the
 * flags only `sampled`. TRACE_PARENT_CHARS and a NUL. */
void trace_next(struct str traceparent, char out[TRACE_PARENT_CHARS + 1]);

/* Whether it may go on beside a valid traceparent: TRACE_STATE_CHARS_MAX of the
 * characters that its members may have. */
#define TRACE_STATE_CHARS_MAX 512u
bool trace_state_is_valid(struct str tracestate);

#endif
