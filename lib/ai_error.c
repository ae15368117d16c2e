/*
 * ai_error: the table of statuses and their names in both shapes. See
 * ai_error.h.
 */
#include "lib/ai_error.h"

#include "lib/json.h"

struct row {
	int status;
	const char *openai_type;
	const char *openai_code; /* NULL: null */
	const char *anthropic_type;
};

/* The first row of a status names it, the first row of a name has its status.
 * The first of all is for whatever the client did. */
/* clang-format off */
static const struct row rows[] = {
	{400, "invalid_request_error", NULL,                  "invalid_request_error"},
	{401, "authentication_error",  "invalid_api_key",     "authentication_error"},
	{402, "insufficient_quota",    "insufficient_quota",  "billing_error"},
	{403, "permission_error",      NULL,                  "permission_error"},
	{404, "not_found_error",       "model_not_found",     "not_found_error"},
	{413, "request_too_large",     "request_too_large",   "request_too_large"},
	{429, "requests",              "rate_limit_exceeded", "rate_limit_error"},
	{429, "tokens",                "rate_limit_exceeded", "rate_limit_error"},
	{429, "rate_limit_error",      "rate_limit_exceeded", "rate_limit_error"},
	{500, "server_error",          NULL,                  "api_error"},
	{504, "timeout_error",         "timeout",             "timeout_error"},
	{529, "overloaded_error",      "overloaded",          "overloaded_error"},
};
/* clang-format on */

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

/* A status without a row is as good as the general one of its hundred. */
static const struct row *
row_of(int status)
{
	const struct row *row = &rows[0];

	for (unsigned i = 0; i < ROW_COUNT; i++) {
		if (rows[i].status == status)
			return &rows[i];
		if (rows[i].status == 500 && status >= 500)
			row = &rows[i];
	}
	return row;
}

int
ai_error_status(enum ai_shape shape, struct str name)
{
	for (unsigned i = 0; i < ROW_COUNT; i++) {
		const struct row *row = &rows[i];

		if (shape == AI_ANTHROPIC &&
		    str_eq(name, str_of(row->anthropic_type)))
			return row->status;
		if (shape == AI_OPENAI &&
		    (str_eq(name, str_of(row->openai_type)) ||
		     (row->openai_code &&
		      str_eq(name, str_of(row->openai_code)))))
			return row->status;
	}
	return 500;
}

static void
write_text(struct str text, bool is_raw, struct buf *out)
{
	if (text.p == NULL)
		buf_add_z(out, "null");
	else if (is_raw)
		buf_add_str(out, text);
	else
		json_write_string(out, text);
}

static void
write_openai(const struct ai_error *error, struct buf *out)
{
	const struct row *row = row_of(error->status);
	const char *code = error->code ? error->code : row->openai_code;

	buf_add_z(out, "{\"error\":{\"message\":");
	write_text(error->message, error->is_raw, out);
	buf_add_z(out, ",\"type\":");
	json_write_string(out,
			  str_of(error->type ? error->type : row->openai_type));
	buf_add_z(out, ",\"param\":");
	write_text(error->param, error->is_raw, out);
	buf_add_z(out, ",\"code\":");
	write_text(str_of(code), false, out);
	buf_add_z(out, "}}");
}

static void
write_anthropic(const struct ai_error *error, struct buf *out)
{
	buf_add_z(out, "{\"type\":\"error\",\"error\":{\"type\":\"");
	buf_add_z(out, row_of(error->status)->anthropic_type);
	buf_add_z(out, "\",\"message\":");
	write_text(error->message, error->is_raw, out);
	if (error->details) {
		buf_add_z(out, ",\"details\":");
		buf_add_z(out, error->details);
	}
	buf_add_z(out, "},\"request_id\":");
	write_text(error->request_id, false, out);
	buf_add_char(out, '}');
}

void
ai_error_write(enum ai_shape shape, const struct ai_error *error,
	       struct buf *out)
{
	if (shape == AI_OPENAI)
		write_openai(error, out);
	else
		write_anthropic(error, out);
}

/* What OpenAI's service sends in `type` for the like of it. */
static const char *
own_type(enum err err, int status)
{
	if (err == ERR_LIMIT_REACHED)
		return "insufficient_quota";
	if (status == 429)
		return "requests";
	return status >= 500 ? "server_error" : "invalid_request_error";
}

/* Anthropic's client, whose tool runner has the provider keep the conversation
 * unless it hears this, goes on by sending all of it. Source: its own code. */
static const char *
own_details(const struct ai_failure *failure)
{
	return str_eq(failure->field, STR("thread"))
		   ? "{\"error_code\":\"thread_unsupported_request\","
		     "\"unsupported\":[\"model\"]}"
		   : NULL;
}

void
ai_error_write_own(enum ai_shape shape, const struct ai_failure *failure,
		   struct buf *out)
{
	const struct err_row *row = err_row(failure->err);
	struct ai_error error = {
	    .status = row->http_status,
	    .type = own_type(failure->err, row->http_status),
	    .code = row->code,
	    .message = failure->message,
	    .param = failure->field.n ? failure->field : STR_NONE,
	    .request_id = failure->request_id,
	    .details = own_details(failure),
	};

	if (error.message.n == 0)
		error.message = str_of(row->text);
	ai_error_write(shape, &error, out);
}
