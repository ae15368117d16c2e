/*
 * translate_tools: tools, their choice and the arguments of their calls, both
 * ways. Only functions of the client's own can be: what a provider would run
 * itself has no like in the other shape. See translate_parts.h.
 */
#include "workers/translate_parts.h"

#include <stdio.h>

bool
translate_arguments(struct json_value arguments, struct arena *arena,
		    struct str *object)
{
	struct json_value value;
	struct str text;

	*object = STR_NONE;
	if (!translate_is_string(arguments))
		return true;
	if (translate_is_blank(arguments)) {
		*object = STR("{}");
		return true;
	}
	text = json_string(arguments, arena);
	if (text.p == NULL)
		return false;
	if (json_check(text, &value) && value.type == JSON_OBJECT)
		*object = value.raw;
	return true;
}

/* An array with something in it; absent when it is empty. */
static enum err
take_tools(struct translation *t, unsigned field, struct json_value *out)
{
	struct json_value tools = t->fields[field], item;
	struct json_walk walk = json_walk(tools);

	*out = tools;
	if (!translate_is_there(tools))
		return ERR_OK;
	if (tools.type != JSON_ARRAY)
		return translate_refuse(t, "tools", "tools must be an array");
	if (!json_next_item(&walk, &item))
		*out = (struct json_value){JSON_NULL, STR_NONE};
	return ERR_OK;
}

static enum err
refuse_tool(struct translation *t, unsigned index, const char *text)
{
	char field[32];

	snprintf(field, sizeof(field), "tools[%u]", index);
	return translate_refuse(t, field, "%s", text);
}

static enum err
refuse_choice(struct translation *t, const char *text)
{
	return translate_refuse(t, "tool_choice", "%s", text);
}

/* --- to Anthropic's shape ------------------------------------------------- */

/* Anthropic demands the type that OpenAI lets be left out. */
static void
write_schema(struct translation *t, struct json_value schema)
{
	static const struct str names[] = {PICK("type")};
	struct json_value type;

	translate_pick(schema, names, 1, &type);
	buf_add_z(t->out, ",\"input_schema\":");
	if (!translate_is_there(schema)) {
		buf_add_z(t->out, "{\"type\":\"object\",\"properties\":{}}");
	} else if (translate_is_there(type)) {
		buf_add_str(t->out, schema.raw);
	} else {
		buf_add_z(t->out, "{\"type\":\"object\"");
		translate_write_others(schema, names, 1, t->out);
		buf_add_char(t->out, '}');
	}
}

static enum err
write_tool_anthropic(struct translation *t, unsigned index,
		     struct json_value tool)
{
	static const struct str names[] = {PICK("type"), PICK("function")};
	static const struct str function_names[] = {
	    PICK("name"), PICK("description"), PICK("parameters"),
	    PICK("strict")};
	struct json_value members[2], function[4];

	translate_pick(tool, names, 2, members);
	translate_pick(members[1], function_names, 4, function);
	if (!translate_string_is(members[0], STR("function")))
		return refuse_tool(t, index,
				   "only tools of type function can be sent "
				   "to this model");
	if (!translate_is_string(function[0]) ||
	    (translate_is_there(function[2]) &&
	     function[2].type != JSON_OBJECT))
		return refuse_tool(t, index,
				   "function must have a name, and parameters "
				   "must be an object");
	buf_add_z(t->out, index ? ",{\"name\":" : "{\"name\":");
	buf_add_str(t->out, function[0].raw);
	if (translate_is_there(function[1])) {
		buf_add_z(t->out, ",\"description\":");
		buf_add_str(t->out, function[1].raw);
	}
	write_schema(t, function[2]);
	if (function[3].type == JSON_TRUE)
		buf_add_z(t->out, ",\"strict\":true");
	translate_write_others(members[1], function_names, 4, t->out);
	translate_write_others(tool, names, 2, t->out);
	buf_add_char(t->out, '}');
	return ERR_OK;
}

/* "auto" or {"type":"function","function":{"name":...}} */
struct choice {
	const char *type; /* Anthropic's; NULL: none was made */
	struct json_value name;
};

static enum err
read_choice_openai(struct translation *t, struct choice *out)
{
	static const struct str names[] = {PICK("type"), PICK("function")};
	static const struct str function_names[] = {PICK("name")};
	struct json_value value = t->fields[OPENAI_tool_choice];
	struct json_value members[2];

	memset(out, 0, sizeof(*out));
	if (!translate_is_there(value))
		return ERR_OK;
	translate_pick(value, names, 2, members);
	translate_pick(members[1], function_names, 1, &out->name);
	if (translate_string_is(value, STR("auto")))
		out->type = "auto";
	else if (translate_string_is(value, STR("required")))
		out->type = "any";
	else if (translate_string_is(value, STR("none")))
		out->type = "none";
	else if (translate_string_is(members[0], STR("function")) &&
		 translate_is_string(out->name))
		out->type = "tool";
	else
		return refuse_choice(t, "tool_choice must be auto, required, "
					"none or a function by its name");
	return ERR_OK;
}

static enum err
write_choice_anthropic(struct translation *t, bool has_tools)
{
	struct json_value parallel = t->fields[OPENAI_parallel_tool_calls];
	bool is_single =
	    translate_is_there(parallel) && parallel.type == JSON_FALSE;
	struct choice choice;
	enum err err = read_choice_openai(t, &choice);

	if (err != ERR_OK)
		return err;
	if (!has_tools && choice.type && strcmp(choice.type, "auto") != 0 &&
	    strcmp(choice.type, "none") != 0)
		return refuse_choice(t, "tool_choice wants a tool, and there "
					"are none: send tools");
	if (choice.type && strcmp(choice.type, "none") == 0)
		is_single = false; /* there is no such member beside none */
	if (!has_tools || (choice.type == NULL && !is_single))
		return ERR_OK;
	buf_add_z(t->out, ",\"tool_choice\":{\"type\":\"");
	buf_add_z(t->out, choice.type ? choice.type : "auto");
	buf_add_char(t->out, '"');
	if (translate_is_there(choice.name)) {
		buf_add_z(t->out, ",\"name\":");
		buf_add_str(t->out, choice.name.raw);
	}
	if (is_single)
		buf_add_z(t->out, ",\"disable_parallel_tool_use\":true");
	buf_add_char(t->out, '}');
	return ERR_OK;
}

enum err
translate_write_tools_anthropic(struct translation *t)
{
	struct json_value tools, tool;
	enum err err = take_tools(t, OPENAI_tools, &tools);
	struct json_walk walk = json_walk(tools);

	if (err != ERR_OK)
		return err;
	if (translate_is_there(tools)) {
		buf_add_z(t->out, ",\"tools\":[");
		for (unsigned i = 0;
		     err == ERR_OK && json_next_item(&walk, &tool); i++)
			err = write_tool_anthropic(t, i, tool);
		buf_add_char(t->out, ']');
	}
	if (err == ERR_OK)
		err = write_choice_anthropic(t, translate_is_there(tools));
	return err;
}

/* --- to OpenAI's shape ---------------------------------------------------- */

static enum err
write_tool_openai(struct translation *t, unsigned index, struct json_value tool)
{
	static const struct str names[] = {
	    PICK("type"), PICK("name"), PICK("description"),
	    PICK("input_schema"), PICK("strict")};
	struct json_value members[5];

	translate_pick(tool, names, 5, members);
	if (translate_is_there(members[0]) &&
	    !translate_string_is(members[0], STR("custom")))
		return refuse_tool(t, index,
				   "tools that the provider runs cannot be "
				   "sent to this model: leave it out");
	if (!translate_is_string(members[1]) ||
	    !translate_is_there(members[3]) || members[3].type != JSON_OBJECT)
		return refuse_tool(t, index,
				   "a tool must have a name and an "
				   "input_schema that is an object");
	buf_add_z(t->out, index ? "," : "");
	buf_add_z(t->out, "{\"type\":\"function\",\"function\":{\"name\":");
	buf_add_str(t->out, members[1].raw);
	if (translate_is_there(members[2])) {
		buf_add_z(t->out, ",\"description\":");
		buf_add_str(t->out, members[2].raw);
	}
	buf_add_z(t->out, ",\"parameters\":");
	buf_add_str(t->out, members[3].raw);
	if (members[4].type == JSON_TRUE)
		buf_add_z(t->out, ",\"strict\":true");
	buf_add_z(t->out, "}}");
	return ERR_OK;
}

static enum err
write_choice_type(struct translation *t, struct json_value type,
		  struct json_value name)
{
	static const struct {
		struct str type;
		const char *openai;
	} rows[] = {
	    {PICK("auto"), "\"auto\""},
	    {PICK("any"), "\"required\""},
	    {PICK("none"), "\"none\""},
	};

	buf_add_z(t->out, ",\"tool_choice\":");
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (translate_string_is(type, rows[i].type)) {
			buf_add_z(t->out, rows[i].openai);
			return ERR_OK;
		}
	}
	if (!translate_string_is(type, STR("tool")) ||
	    !translate_is_string(name))
		return refuse_choice(t, "tool_choice.type must be auto, any, "
					"none or tool with a name");
	buf_add_z(t->out, "{\"type\":\"function\",\"function\":{\"name\":");
	buf_add_str(t->out, name.raw);
	buf_add_z(t->out, "}}");
	return ERR_OK;
}

static enum err
write_choice_openai(struct translation *t, bool has_tools)
{
	static const struct str names[] = {PICK("type"), PICK("name"),
					   PICK("disable_parallel_tool_use")};
	struct json_value choice = t->fields[ANTHROPIC_tool_choice];
	struct json_value members[3];
	enum err err;

	if (!translate_is_there(choice))
		return ERR_OK;
	translate_pick(choice, names, 3, members);
	if (!has_tools && (translate_string_is(members[0], STR("auto")) ||
			   translate_string_is(members[0], STR("none"))))
		return ERR_OK;
	if (!has_tools)
		return refuse_choice(t, "tool_choice wants a tool, and there "
					"are none: send tools");
	err = write_choice_type(t, members[0], members[1]);
	if (err == ERR_OK && members[2].type == JSON_TRUE)
		buf_add_z(t->out, ",\"parallel_tool_calls\":false");
	return err;
}

enum err
translate_write_tools_openai(struct translation *t)
{
	struct json_value tools, tool;
	enum err err = take_tools(t, ANTHROPIC_tools, &tools);
	struct json_walk walk = json_walk(tools);

	if (err != ERR_OK)
		return err;
	if (translate_is_there(tools)) {
		buf_add_z(t->out, ",\"tools\":[");
		for (unsigned i = 0;
		     err == ERR_OK && json_next_item(&walk, &tool); i++)
			err = write_tool_openai(t, i, tool);
		buf_add_char(t->out, ']');
	}
	if (err == ERR_OK)
		err = write_choice_openai(t, translate_is_there(tools));
	return err;
}
