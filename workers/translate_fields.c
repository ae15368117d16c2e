/*
 * translate_fields: the top-level fields of a request, by the rules of
 * translate.def. A field that is there twice, or whose name is written with
 * escapes, is refused, so that nobody sees another request than the provider
 * does. See translate_parts.h.
 */
#include "workers/translate_parts.h"

#include <stdarg.h>
#include <stdio.h>

enum rule { RULE_MAP, RULE_DROP, RULE_ONLY, RULE_REFUSE };

struct field {
	enum rule rule;
	struct str only;
	const char *text;
};

/* The names, and what is done with each, in the same order. */
static const struct str openai_names[] = {
#define OPENAI(name, rule, only, text) PICK(#name),
#define ANTHROPIC(name, rule, only, text)
#include "workers/translate.def"
#undef OPENAI
#undef ANTHROPIC
};

static const struct field openai_fields[] = {
#define OPENAI(name, rule, only, text) {RULE_##rule, PICK(only), text},
#define ANTHROPIC(name, rule, only, text)
#include "workers/translate.def"
#undef OPENAI
#undef ANTHROPIC
};

static const struct str anthropic_names[] = {
#define OPENAI(name, rule, only, text)
#define ANTHROPIC(name, rule, only, text) PICK(#name),
#include "workers/translate.def"
#undef OPENAI
#undef ANTHROPIC
};

static const struct field anthropic_fields[] = {
#define OPENAI(name, rule, only, text)
#define ANTHROPIC(name, rule, only, text) {RULE_##rule, PICK(only), text},
#include "workers/translate.def"
#undef OPENAI
#undef ANTHROPIC
};

struct fields {
	const struct str *names;
	const struct field *rows;
	unsigned count;
};

static struct fields
fields_of(const struct translation *t)
{
	if (t->call->from == AI_OPENAI)
		return (struct fields){openai_names, openai_fields,
				       OPENAI_FIELDS};
	return (struct fields){anthropic_names, anthropic_fields,
			       ANTHROPIC_FIELDS};
}

static bool
is_only(struct json_value value, struct str only)
{
	struct json_value want;
	int64_t a, b;

	if (!json_check(only, &want) || want.type != value.type)
		return false;
	if (value.type == JSON_NUMBER)
		return json_int(value, &a) && json_int(want, &b) && a == b;
	return str_eq(value.raw, only);
}

static enum err
take_field(struct translation *t, const char *name, const struct field *field,
	   struct json_value *place, struct json_value value)
{
	if (place->raw.p)
		return translate_refuse(
		    t, name, "%s is there twice: send it once", name);
	*place = value;
	if (value.type == JSON_NULL || field->rule == RULE_MAP ||
	    field->rule == RULE_DROP ||
	    (field->rule == RULE_ONLY && is_only(value, field->only)))
		return ERR_OK;
	return translate_refuse(t, name, "%s cannot be honoured: %s", name,
				field->text);
}

enum err
translate_collect(struct translation *t)
{
	struct fields fields = fields_of(t);
	struct json_walk walk = json_walk(t->call->root);
	struct json_value value;
	struct str key;

	for (unsigned i = 0; i < fields.count; i++)
		t->fields[i] = (struct json_value){JSON_NULL, STR_NONE};
	while (json_next_member(&walk, &key, &value)) {
		int place = translate_place_of(key, fields.names, fields.count);
		const char *name;
		enum err err;

		if (place < 0)
			continue;
		name = fields.names[place].p;
		if (memchr(key.p, '\\', key.n))
			return translate_refuse(
			    t, name,
			    "%s is written with escapes: write it plainly",
			    name);
		err = take_field(t, name, &fields.rows[place],
				 &t->fields[place], value);
		if (err != ERR_OK)
			return err;
	}
	for (unsigned i = 0; i < fields.count; i++) {
		if (t->fields[i].type == JSON_NULL)
			t->fields[i].raw = STR_NONE;
	}
	return ERR_OK;
}

void
translate_write_kept(struct translation *t)
{
	struct fields fields = fields_of(t);

	translate_write_others(t->call->root, fields.names, fields.count,
			       t->out);
}

/* --- refusals ------------------------------------------------------------- */

enum err
translate_refuse(struct translation *t, const char *field, const char *format,
		 ...)
{
	char text[sizeof(((struct why *)NULL)->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return why_field(t->call->why, ERR_BAD_FIELD, field, "%s", text);
}

enum err
translate_refuse_here(struct translation *t, const char *member,
		      const char *text)
{
	char field[sizeof(((struct why *)NULL)->field)], part[24] = "";

	if (t->part >= 0)
		snprintf(part, sizeof(part), ".content[%d]", t->part);
	snprintf(field, sizeof(field), "messages[%u]%s%s", t->message, part,
		 member);
	return translate_refuse(t, field, "%s", text);
}

/* --- values that both shapes have ----------------------------------------- */

enum err
translate_take_tokens(struct translation *t, unsigned field, const char *name,
		      int64_t *out)
{
	struct json_value value = t->fields[field];
	int64_t tokens;

	if (!translate_is_there(value))
		return ERR_OK;
	if (!json_int(value, &tokens) || tokens < 1)
		return translate_refuse(
		    t, name, "%s must be a whole number from 1 on", name);
	*out = tokens;
	return ERR_OK;
}

enum err
translate_write_hashed(struct translation *t, struct json_value user)
{
	static const char digits[] = "0123456789abcdef";
	const struct translate_target *target = &t->call->target;
	unsigned char hash[TRANSLATE_HASH_BYTES];
	struct str text = json_string(user, t->call->arena);

	if (text.p == NULL)
		return ERR_NO_MEMORY;
	target->hash(target->hash_ctx, text, hash);
	buf_add_char(t->out, '"');
	for (unsigned i = 0; i < sizeof(hash); i++) {
		buf_add_char(t->out, digits[hash[i] >> 4]);
		buf_add_char(t->out, digits[hash[i] & 15]);
	}
	buf_add_char(t->out, '"');
	return ERR_OK;
}

enum err
translate_request(struct translate_call *call, struct buf *out)
{
	struct translation t = {.call = call, .out = out, .part = -1};
	enum err err = translate_collect(&t);

	call->max_tokens = 0;
	call->is_thinking_wanted = false;
	if (err == ERR_OK)
		err = call->from == AI_OPENAI ? translate_to_anthropic(&t)
					      : translate_to_openai(&t);
	return err == ERR_OK && out->is_failed ? ERR_NO_MEMORY : err;
}
