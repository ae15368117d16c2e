/*
 * output: see output.h.
 */
#include "cmd/output.h"

#include <assert.h>

#include "lib/calendar.h"
#include "lib/money.h"

#define BLOCK_ROWS 500u
#define CELLS_BYTES_MAX (16u << 20)
#define GAP 2u

/* --- cells ---------------------------------------------------------------- */

static const struct schema_field *
field_of(const struct schema *schema, const char *name)
{
	for (unsigned i = 0; i < schema->field_count; i++)
		if (strcmp(schema->fields[i].name, name) == 0)
			return &schema->fields[i];
	return NULL;
}

static const void *
at(const struct schema_field *field, const void *row)
{
	return (const char *)row + field->offset;
}

static uint32_t
count_of(const struct schema_field *field, const void *row)
{
	uint32_t count;

	memcpy(&count, (const char *)row + field->count_offset, sizeof(count));
	return count;
}

/* What is stored may hold anything; a terminal obeys control characters. */
static void
add_char(struct buf *out, char c)
{
	buf_add_char(out, (unsigned char)c < 0x20 || c == 0x7f ? '?' : c);
}

static void
add_text(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		add_char(out, s.p[i]);
}

static void
pad(struct buf *out, size_t n)
{
	while (n-- > 0)
		buf_add_char(out, ' ');
}

/* Each line behind a margin, so that none passes for a title. */
static void
add_lines(struct buf *out, struct str s)
{
	bool is_start = true;

	for (size_t i = 0; i < s.n; i++) {
		if (is_start) {
			buf_add_char(out, '\n');
			pad(out, GAP);
		}
		is_start = s.p[i] == '\n';
		if (s.p[i] == '\t')
			buf_add_char(out, '\t');
		else if (!is_start &&
			 !str_starts(str_bytes(s.p + i, s.n - i), STR("\r\n")))
			add_char(out, s.p[i]);
	}
}

static void
add_int(struct buf *out, int64_t value, enum form form)
{
	char text[32] = "";

	if (form == FORM_MONEY && value != SCHEMA_INT_NONE)
		money_print(value, text);
	if (value == SCHEMA_INT_NONE)
		buf_add_z(out, form == FORM_LIMIT ? "unlimited" : "");
	else if (form == FORM_MONEY)
		buf_add_z(out, text);
	else
		buf_add_int(out, value);
}

static void
add_time(struct buf *out, int64_t ms)
{
	char text[CALENDAR_TEXT_BYTES];

	if (ms == SCHEMA_INT_NONE)
		return;
	calendar_print_utc(ms, text);
	text[10] = ' ';
	buf_add(out, text, 16); /* 2026-11-22 07:04 */
}

static void
add_names(struct buf *out, const struct schema_field *field, const void *row)
{
	const struct str *names;

	memcpy(&names, at(field, row), sizeof(names));
	for (uint32_t i = 0; i < count_of(field, row); i++) {
		if (i)
			buf_add_z(out, ", ");
		add_text(out, names[i]);
	}
}

static void add_value(struct buf *out, const struct schema_field *field,
		      enum form form, const void *row);

/* name=value, name=value */
static void
add_map(struct buf *out, const struct schema_field *field, const void *row)
{
	const struct schema *sub = field->sub;
	const char *item;

	memcpy(&item, at(field, row), sizeof(item));
	for (uint32_t i = 0; i < count_of(field, row); i++, item += sub->size) {
		if (i)
			buf_add_z(out, ", ");
		add_value(out, &sub->fields[0], FORM_PLAIN, item);
		buf_add_char(out, '=');
		add_value(out, &sub->fields[1], FORM_LIMIT, item);
	}
}

static void
add_value(struct buf *out, const struct schema_field *field, enum form form,
	  const void *row)
{
	switch ((enum schema_kind)field->kind) {
	case KIND_BOOL:
		buf_add_z(out, *(const bool *)at(field, row) ? "yes" : "no");
		return;
	case KIND_INT:
		add_int(out, *(const int64_t *)at(field, row), form);
		return;
	case KIND_TIME:
		add_time(out, *(const int64_t *)at(field, row));
		return;
	case KIND_STR:
	case KIND_JSON:
		if (form == FORM_LINES)
			add_lines(out, *(const struct str *)at(field, row));
		else
			add_text(out, *(const struct str *)at(field, row));
		return;
	case KIND_NAMES:
		add_names(out, field, row);
		return;
	case KIND_MAP:
		add_map(out, field, row);
		return;
	case KIND_BIN:
	case KIND_SUB:
	case KIND_LIST:
		break;
	}
	assert(!"a column of a kind that has no text");
}

/* Characters, not bytes. */
static size_t
width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

/* --- rows ----------------------------------------------------------------- */

void
output_open(struct output *output, struct command *command,
	    const struct schema *schema, const struct column *columns)
{
	*output = (struct output){
	    .command = command, .schema = schema, .columns = columns};
	buf_init(&output->cells, CELLS_BYTES_MAX);
	for (; columns[output->column_count].title; output->column_count++) {
		unsigned i = output->column_count;

		assert(i < OUTPUT_COLUMNS_MAX);
		output->fields[i] = field_of(schema, columns[i].field);
		assert(output->fields[i]);
		output->widths[i] = width_of(columns[i].title);
	}
}

static void
print_cell(struct output *output, unsigned column, const char *text)
{
	struct buf *out = &output->command->out;
	size_t rest = output->widths[column] - width_of(text);
	bool is_number = output->fields[column]->kind == KIND_INT;

	if (column)
		pad(out, GAP);
	if (is_number)
		pad(out, rest);
	buf_add_z(out, text);
	if (!is_number && column + 1 < output->column_count)
		pad(out, rest);
}

static enum err
print_block(struct output *output, struct why *why)
{
	struct buf *out = &output->command->out;
	const char *cell = output->cells.p;

	if (output->cells.is_failed)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	for (unsigned i = 0; !output->has_titles && i < output->column_count;
	     i++)
		print_cell(output, i, output->columns[i].title);
	if (!output->has_titles)
		buf_add_char(out, '\n');
	output->has_titles = true;
	for (size_t row = 0; row < output->row_count; row++) {
		for (unsigned i = 0; i < output->column_count; i++) {
			print_cell(output, i, cell);
			cell += strlen(cell) + 1;
		}
		buf_add_char(out, '\n');
	}
	output->row_count = 0;
	buf_reset(&output->cells);
	return command_flush_large(output->command, why);
}

enum err
output_row(struct output *output, const void *row, struct why *why)
{
	struct buf *cells = &output->cells;

	if (output->command->is_json) {
		schema_print_json(output->schema, row, &output->command->out);
		buf_add_char(&output->command->out, '\n');
		return command_flush_large(output->command, why);
	}
	for (unsigned i = 0; i < output->column_count; i++) {
		size_t start = cells->n, width;

		add_value(cells, output->fields[i], output->columns[i].form,
			  row);
		buf_add_char(cells, '\0');
		if (cells->is_failed)
			break;
		width = width_of(cells->p + start);
		if (width > output->widths[i])
			output->widths[i] = width;
	}
	if (++output->row_count == BLOCK_ROWS || cells->is_failed)
		return print_block(output, why);
	return ERR_OK;
}

enum err
output_flush(struct output *output, struct why *why)
{
	enum err e = ERR_OK;

	if (!output->command->is_json && output->row_count)
		e = print_block(output, why);
	return e == ERR_OK ? command_flush(output->command, why) : e;
}

enum err
output_close(struct output *output, enum err e, struct why *why)
{
	enum err close_err = ERR_OK;

	if (!output->command->is_json && output->row_count)
		close_err = print_block(output, e == ERR_OK ? why : NULL);
	else if (!output->command->is_json && !output->has_titles)
		buf_add_z(&output->command->out, "none\n");
	buf_fini(&output->cells);
	return e != ERR_OK ? e : close_err;
}

enum err
output_rows(struct command *command, const struct schema *schema,
	    const struct column *columns, const void *rows, size_t count,
	    struct why *why)
{
	const char *row = rows;
	struct output output;
	enum err e = ERR_OK;

	output_open(&output, command, schema, columns);
	for (size_t i = 0; i < count && e == ERR_OK; i++, row += schema->size)
		e = output_row(&output, row, why);
	return output_close(&output, e, why);
}

void
output_object(struct command *command, const struct schema *schema,
	      const struct column *columns, const void *object)
{
	size_t width = 0;

	if (command->is_json) {
		schema_print_json(schema, object, &command->out);
		buf_add_char(&command->out, '\n');
		return;
	}
	for (const struct column *c = columns; c->title; c++)
		if (width_of(c->title) > width)
			width = width_of(c->title);
	for (const struct column *c = columns; c->title; c++) {
		const struct schema_field *field = field_of(schema, c->field);
		size_t start = command->out.n, value_at;

		assert(field);
		buf_add_z(&command->out, c->title);
		if (c->form != FORM_LINES)
			pad(&command->out, width - width_of(c->title) + GAP);
		value_at = command->out.n;
		add_value(&command->out, field, c->form, object);
		if (command->out.n == value_at)
			command->out.n = start; /* nothing there */
		else
			buf_add_char(&command->out, '\n');
	}
}

void
output_csv_cell(struct buf *out, struct str text)
{
	bool is_formula = text.n && strchr("=+-@\t\r", text.p[0]);
	bool is_quoted = is_formula;

	for (size_t i = 0; i < text.n; i++)
		is_quoted |= strchr(",\"\r\n", text.p[i]) != NULL;
	if (!is_quoted) {
		buf_add_str(out, text);
		return;
	}
	buf_add_char(out, '"');
	if (is_formula)
		buf_add_char(out, '\'');
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '"')
			buf_add_char(out, '"');
		buf_add_char(out, text.p[i]);
	}
	buf_add_char(out, '"');
}
