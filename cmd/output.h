/*
 * output: records as people or scripts want them: aligned columns, or JSON (one
 * object, or a line per record). Columns name fields of the record's schema.
 * Rows are gathered and printed in blocks, so that a list may have any length.
 */
#ifndef CMD_OUTPUT_H
#define CMD_OUTPUT_H

#include "cmd/command.h"
#include "lib/schema.h"

#define OUTPUT_COLUMNS_MAX 16

enum form {
	FORM_PLAIN, /* by its kind; a time to the minute, in UTC */
	FORM_MONEY, /* micro-units as 7.99 */
	FORM_LIMIT, /* an integer whose absence means unlimited */
	FORM_LINES, /* a text in its own lines; of an object only */
};

struct column {
	const char *title; /* NULL ends a list */
	const char *field;
	enum form form;
};

struct output {
	struct command *command;
	const struct schema *schema;
	const struct column *columns;
	unsigned column_count;
	const struct schema_field *fields[OUTPUT_COLUMNS_MAX];
	size_t widths[OUTPUT_COLUMNS_MAX];
	struct buf cells; /* each ends in a NUL */
	size_t row_count; /* in cells */
	bool has_titles;  /* they were printed */
};

void output_open(struct output *output, struct command *command,
		 const struct schema *schema, const struct column *columns);
enum err output_row(struct output *output, const void *row, struct why *why);
/* What was gathered leaves now. */
enum err output_flush(struct output *output, struct why *why);
/* Prints what is left and frees. Returns e, what went wrong before; else what
 * goes wrong here. */
enum err output_close(struct output *output, enum err e, struct why *why);
/* All of it: an array of records. */
enum err output_rows(struct command *command, const struct schema *schema,
		     const struct column *columns, const void *rows,
		     size_t count, struct why *why);

/* One record: a JSON object, or a line `title  value` for each column that is
 * there. */
void output_object(struct command *command, const struct schema *schema,
		   const struct column *columns, const void *object);

/* A cell of CSV (RFC 4180) that no spreadsheet takes for a formula. */
void output_csv_cell(struct buf *out, struct str text);

#endif
