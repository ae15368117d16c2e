/*
 * msg: the descriptors of the messages, from msg.def. See msg.h.
 */
#include "lib/msg.h"

/* clang-format off */
#define SCHEMA_DEF_TABLES
#include "lib/schema_def.h"
#include "lib/msg.def"
#include "lib/schema_undef.h"
/* clang-format on */

const struct schema *
msg_schema(unsigned number)
{
	if (number == 0)
		return NULL; /* only nested */
#define SCHEMA(n, name, help)                                                  \
	if (number == (n))                                                     \
		return &name##_schema;
#define FIELD(name, field, kind, max, flags)
#define NAMES(name, field, max, flags)
#define SUB(name, field, sub)
#define LIST(name, field, sub, max)
#define MAP(name, field, sub, max)
#define END(name)
#include "lib/msg.def"
#include "lib/schema_undef.h"
	return NULL;
}
