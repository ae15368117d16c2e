/*
 * records: the descriptors of what the store holds, from records.def, and the
 * types of events, from events.def. See records.h.
 */
#include "store/records.h"

/* clang-format off */
#define SCHEMA_DEF_TABLES
#include "lib/schema_def.h"
#include "store/records.def"
#include "lib/schema_undef.h"
/* clang-format on */

const struct schema *
record_schema(unsigned number)
{
#define SCHEMA(n, name, help)                                                  \
	if (number == (n))                                                     \
		return &name##_schema;
#define FIELD(name, field, kind, max, flags)
#define NAMES(name, field, max, flags)
#define SUB(name, field, sub)
#define LIST(name, field, sub, max)
#define MAP(name, field, sub, max)
#define END(name)
/* clang-format off */
#include "store/records.def"
#include "lib/schema_undef.h"
	/* clang-format on */
	return NULL;
}

const struct str event_types[EVENT_TYPES] = {
#define EVENT(name) {#name, sizeof(#name) - 1},
#include "store/events.def"
#undef EVENT
};
