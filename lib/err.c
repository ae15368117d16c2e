/*
 * err: the table of outcomes and the line that explains one. See err.h.
 */
#include "lib/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const struct err_row rows[] = {
#define ERR(name, status, retry, text) {#name, status, ERR_RETRY_##retry, text},
#include "lib/err.def"
#undef ERR
};

const struct err_row *
err_row(enum err e)
{
	if ((unsigned)e >= ERR_COUNT)
		e = ERR_INTERNAL;
	return &rows[e];
}

const char *
err_code(enum err e)
{
	return err_row(e)->code;
}

const char *
err_text(enum err e)
{
	return err_row(e)->text;
}

enum err
err_of_code(struct str code)
{
	for (unsigned i = 0; i < ERR_COUNT; i++)
		if (str_eq(code, str_of(rows[i].code)))
			return (enum err)i;
	return ERR_INTERNAL;
}

const char *
err_of_file(int error)
{
	if (error == EACCES || error == EPERM)
		return "permission denied: run as the owner of the data folder";
	if (error == ENOSPC || error == EDQUOT)
		return "no room: free some of the disk";
	if (error == EROFS)
		return "the file system is read-only: name another folder with "
		       "--data";
	return strerror(error);
}

static void
fill(struct why *why, const char *field, const char *format, va_list args)
{
	if (why == NULL)
		return;
	snprintf(why->field, sizeof(why->field), "%s", field);
	vsnprintf(why->text, sizeof(why->text), format, args);
}

enum err
why_set(struct why *why, enum err e, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fill(why, "", format, args);
	va_end(args);
	return e;
}

enum err
why_field(struct why *why, enum err e, const char *field, const char *format,
	  ...)
{
	va_list args;

	va_start(args, format);
	fill(why, field, format, args);
	va_end(args);
	return e;
}
