/* schema_undef: undoes lib/schema_def.h after a .def file was read. */
#undef SCHEMA
#undef FIELD
#undef NAMES
#undef SUB
#undef LIST
#undef MAP
#undef END
#undef NAMED
#undef MEMBER_BOOL
#undef MEMBER_INT
#undef MEMBER_TIME
#undef MEMBER_STR
#undef MEMBER_BIN
#undef MEMBER_JSON
#undef SCHEMA_DEF_STRUCTS
#undef SCHEMA_DEF_TABLES
