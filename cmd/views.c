/*
 * views: the descriptors of what only the command line prints. See views.h.
 */
#include "cmd/views.h"

/* clang-format off */
#define SCHEMA_DEF_TABLES
#include "lib/schema_def.h"
#include "cmd/views.def"
#include "lib/schema_undef.h"
/* clang-format on */
