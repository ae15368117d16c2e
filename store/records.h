/*
 * records: what the store holds (fields in records.def) as structs and
 * descriptors, by the same machinery as the messages; and the types of events
 * (events.def).
 */
#ifndef STORE_RECORDS_H
#define STORE_RECORDS_H

#include "lib/msg.h"

/* clang-format off */
#define SCHEMA_DEF_STRUCTS
#include "lib/schema_def.h"
#include "store/records.def"
#include "lib/schema_undef.h"
/* clang-format on */

/* The schema of a record number, or NULL. */
const struct schema *record_schema(unsigned number);

enum event_type {
#define EVENT(name) EVENT_##name,
#include "store/events.def"
#undef EVENT
	EVENT_TYPES
};
/* As the log has them. */
extern const struct str event_types[EVENT_TYPES];

#endif
