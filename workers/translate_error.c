/*
 * translate_error: a provider's error as one of the other shape, and errors as
 * events of a stream. The sentence is kept as it is written; type and code are
 * those that the other shape has for the status. See translate.h.
 */
#include "workers/translate_parts.h"

/* The status that the names of an error in mid-stream stand for: the code
 * says more than the type. */
static int
status_of(enum ai_shape from, struct json_value type, struct json_value code)
{
	int status = 500;

	if (translate_is_string(code))
		status = ai_error_status(from, translate_inner(code));
	if (status == 500 && translate_is_string(type))
		status = ai_error_status(from, translate_inner(type));
	return status;
}

void
translate_error(enum ai_shape from, int status, struct str body,
		struct str request_id, struct buf *out)
{
	static const struct str names[] = {PICK("error"), PICK("message")};
	static const struct str error_names[] = {PICK("message"), PICK("type"),
						 PICK("code"), PICK("param")};
	struct ai_error error = {.request_id = request_id, .is_raw = true};
	struct json_value root, members[2], parts[4];

	if (!json_check(body, &root))
		root = (struct json_value){JSON_NULL, STR_NONE};
	translate_pick(root, names, 2, members);
	translate_pick(members[0], error_names, 4, parts);
	if (translate_has_text(parts[0]))
		error.message = parts[0].raw;
	else if (translate_has_text(members[0])) /* {"error":"..."} */
		error.message = members[0].raw;
	else if (translate_has_text(members[1]))
		error.message = members[1].raw;
	else
		error.message = STR("\"the AI provider failed\"");
	if (translate_has_text(parts[3]))
		error.param = parts[3].raw;
	error.status = status ? status : status_of(from, parts[1], parts[2]);
	ai_error_write(from == AI_OPENAI ? AI_ANTHROPIC : AI_OPENAI, &error,
		       out);
}

void
translate_error_event(enum ai_shape to, const struct ai_failure *failure,
		      struct buf *out)
{
	buf_add_z(out, to == AI_ANTHROPIC ? "event: error\ndata: " : "data: ");
	ai_error_write_own(to, failure, out);
	buf_add_z(out, "\n\n");
}
