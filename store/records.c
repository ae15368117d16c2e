/*
 * records: the descriptors of what the store holds, from records.def. See
 * records.h.
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
