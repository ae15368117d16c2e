/*
 * schema_def: the macros that turn a .def file into structs and descriptors.
 * A .def file has blocks of
 *     SCHEMA(number, name, "help")
 *     FIELD(name, field, KIND, max, flags)      BOOL INT TIME STR BIN JSON
 *     NAMES(name, field, max, flags)
 *     SUB(name, field, sub) LIST(name, field, sub, max) MAP(...same)
 *     END(name)
 * Define SCHEMA_DEF_STRUCTS or SCHEMA_DEF_TABLES, include this file, include
 * the .def file, include this file's undoing: lib/schema_undef.h.
 */
#if defined(SCHEMA_DEF_STRUCTS)
#define MEMBER_BOOL bool
#define MEMBER_INT int64_t
#define MEMBER_TIME int64_t
#define MEMBER_STR struct str
#define MEMBER_BIN struct str
#define MEMBER_JSON struct str
#define SCHEMA(number, name, help) struct name {
#define FIELD(name, field, kind, max, flags) MEMBER_##kind field;
#define NAMES(name, field, max, flags)                                         \
	struct str *field;                                                     \
	uint32_t field##_count;
#define SUB(name, field, sub) struct sub field;
#define LIST(name, field, sub, max)                                            \
	struct sub *field;                                                     \
	uint32_t field##_count;
#define MAP(name, field, sub, max) LIST(name, field, sub, max)
#define END(name)                                                              \
	}                                                                      \
	;                                                                      \
	extern const struct schema name##_schema;
#elif defined(SCHEMA_DEF_TABLES)
#define SCHEMA(number, name, help)                                             \
	enum { name##_number = number };                                       \
	static const char name##_help[] = help;                                \
	static const struct schema_field name##_fields[] = {
/* ,"name": with its length */
#define NAMED(field) #field, ",\"" #field "\":", sizeof(",\"" #field "\":") - 1
#define FIELD(name, field, kind, max, flags)                                   \
	{                                                                      \
	    NAMED(field),                                                      \
	    offsetof(struct name, field),                                      \
	    0,                                                                 \
	    KIND_##kind,                                                       \
	    flags,                                                             \
	    max,                                                               \
	    NULL},
#define NAMES(name, field, max, flags)                                         \
	{NAMED(field),                                                         \
	 offsetof(struct name, field),                                         \
	 offsetof(struct name, field##_count),                                 \
	 KIND_NAMES,                                                           \
	 flags,                                                                \
	 max,                                                                  \
	 NULL},
#define SUB(name, field, sub)                                                  \
	{NAMED(field), offsetof(struct name, field), 0, KIND_SUB, F_NONE, 0,   \
	 &sub##_schema},
#define LIST(name, field, sub, max)                                            \
	{NAMED(field),                                                         \
	 offsetof(struct name, field),                                         \
	 offsetof(struct name, field##_count),                                 \
	 KIND_LIST,                                                            \
	 F_NONE,                                                               \
	 max,                                                                  \
	 &sub##_schema},
#define MAP(name, field, sub, max)                                             \
	{NAMED(field),                                                         \
	 offsetof(struct name, field),                                         \
	 offsetof(struct name, field##_count),                                 \
	 KIND_MAP,                                                             \
	 F_NONE,                                                               \
	 max,                                                                  \
	 &sub##_schema},
#define END(name)                                                              \
	}                                                                      \
	;                                                                      \
	const struct schema name##_schema = {#name,                            \
					     name##_number,                    \
					     sizeof(struct name),              \
					     sizeof(name##_fields) /           \
						 sizeof(name##_fields[0]),     \
					     name##_fields,                    \
					     name##_help};
#endif
