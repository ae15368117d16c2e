/*
 * translate_client_test: the other side of the tests of translation, which
 * knows JSON only through jansson (whose names are also those of lib/json.h:
 * never both in one file): clients that read a stream as the official ones do,
 * checking the order of what comes.
 */
#ifndef WORKERS_TRANSLATE_CLIENT_TEST_H
#define WORKERS_TRANSLATE_CLIENT_TEST_H

#include "lib/ai_error.h"
#include "lib/arena.h"

/* Memory that lives until the process ends. */
struct arena *client_arena(void);

/* The text is JSON without duplicate members, or the test fails. */
void client_check_is_json(struct str text);
/* Fails with both texts when they are not the same JSON. */
#define CHECK_JSON(got, want) client_check_json(__FILE__, __LINE__, got, want)
void client_check_json(const char *file, int line, struct str got,
		       struct str want);

/* What a client makes of a whole stream: the JSON answer that it stands for.
 * Fails when the order is not valid or an end is missing. */
struct str client_read(enum ai_shape shape, struct str stream);

/* What the tests that know jansson need of the other side
 * (translate_world_test.c): a client's request for the provider; a provider's
 * answer, and its stream in parts of so many bytes, for the client. */
struct str world_request_ok(enum ai_shape from, struct str body);
struct str world_answer_of(enum ai_shape from, struct str body);
struct str world_stream_of(enum ai_shape from, struct str bytes, size_t part);

#endif
