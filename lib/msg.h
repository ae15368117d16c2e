/*
 * msg: the messages (fields and limits in msg.def) as structs and descriptors.
 * `struct validate_license` goes with `validate_license_schema`, whose number
 * is the message's type on the bus (MSG_validate_license).
 */
#ifndef LIB_MSG_H
#define LIB_MSG_H

#include "lib/schema.h"

/* clang-format off */
#define SCHEMA_DEF_STRUCTS
#include "lib/schema_def.h"
#include "lib/msg.def"
#include "lib/schema_undef.h"
/* clang-format on */

enum msg {
#define SCHEMA(number, name, help) MSG_##name = number,
#define FIELD(name, field, kind, max, flags)
#define NAMES(name, field, max, flags)
#define SUB(name, field, sub)
#define LIST(name, field, sub, max)
#define MAP(name, field, sub, max)
#define END(name)
#include "lib/msg.def"
#include "lib/schema_undef.h"
};

/* The schema of a message number, or NULL. */
const struct schema *msg_schema(unsigned number);

#endif
