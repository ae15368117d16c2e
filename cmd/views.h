/*
 * views: what only the command line prints (fields in views.def) as structs and
 * descriptors.
 */
#ifndef CMD_VIEWS_H
#define CMD_VIEWS_H

#include "lib/msg.h"

/* clang-format off */
#define SCHEMA_DEF_STRUCTS
#include "lib/schema_def.h"
#include "cmd/views.def"
#include "lib/schema_undef.h"
/* clang-format on */

#endif
