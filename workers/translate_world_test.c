/*
 * translate_world_test: see translate_world_test.h.
 */
#include "workers/translate_world_test.h"

#include <stdlib.h>

#define WORLD_BYTES (64u << 20)

static struct str
keep(struct str s)
{
	struct str kept = arena_str(client_arena(), s);

	CHECK(kept.p != NULL);
	return kept;
}

struct str
world_json(const char *text)
{
	struct str s = keep(str_of(text));
	char *p = strdup(s.p);

	CHECK(p != NULL);
	for (size_t i = 0; i < s.n; i++)
		if (p[i] == '\'')
			p[i] = '"';
	s = keep(str_bytes(p, s.n));
	free(p);
	return s;
}

struct str
world_request_of(const char *head, const char *members)
{
	struct buf buf;
	struct str out;

	buf_init(&buf, WORLD_BYTES);
	buf_printf(&buf, "{%s%s%s}", head, members[0] ? "," : "", members);
	buf_add_char(&buf, '\0');
	out = world_json(buf.p);
	buf_fini(&buf);
	return out;
}

bool
world_holds(struct str text, const char *part)
{
	return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

/* --- requests ------------------------------------------------------------- */

/* Not a hash: the text in front, so that a test sees what was hashed. */
static void
plain_hash(void *ctx, struct str text, unsigned char out[TRANSLATE_HASH_BYTES])
{
	(void)ctx;
	memset(out, 0, TRANSLATE_HASH_BYTES);
	memcpy(out, text.p,
	       text.n < TRANSLATE_HASH_BYTES ? text.n : TRANSLATE_HASH_BYTES);
}

struct translate_target
world_target(void)
{
	return (struct translate_target){
	    .max_tokens_name = "max_completion_tokens",
	    .takes_effort = true,
	    .hash = plain_hash,
	};
}

enum err
world_request(struct translate_call *call, enum ai_shape from, struct str body,
	      struct str *out)
{
	static struct why why;
	struct buf buf;
	enum err err;

	memset(&why, 0, sizeof(why));
	call->from = from;
	call->arena = client_arena();
	call->why = &why;
	if (!json_check(body, &call->root))
		test_fail(__FILE__, __LINE__, "no JSON: %.*s", STR_ARG(body));
	buf_init(&buf, WORLD_BYTES);
	err = translate_request(call, &buf);
	*out = keep(buf_str(&buf));
	buf_fini(&buf);
	if (err == ERR_OK)
		client_check_is_json(*out);
	return err;
}

struct str
world_request_ok(enum ai_shape from, struct str body)
{
	struct translate_call call = {.target = world_target()};
	struct str out;
	enum err err = world_request(&call, from, body, &out);

	if (err != ERR_OK)
		test_fail(__FILE__, __LINE__, "%s %s: %s of %.*s",
			  err_code(err), call.why->field, call.why->text,
			  STR_ARG(body));
	return out;
}

/* --- answers and streams -------------------------------------------------- */

struct translate_how
world_how(enum ai_shape from)
{
	return (struct translate_how){
	    .from = from,
	    .to = from == AI_OPENAI ? AI_ANTHROPIC : AI_OPENAI,
	    .created_s = 1700000000,
	    .id = STR("req_1"),
	    .model = STR("some-model"),
	    .is_usage_wanted = true,
	    .is_thinking_wanted = true,
	    .prompt_tokens = 7,
	};
}

static const struct provider_wire *
wire_of(enum ai_shape shape)
{
	return shape == AI_OPENAI ? &openai_wire : &anthropic_wire;
}

struct str
world_answer(const struct translate_how *how, struct str body)
{
	struct provider_usage usage;
	struct provider_answer answer;
	struct str out;
	struct buf buf;

	provider_usage_clear(&usage);
	CHECK(wire_of(how->from)->read_answer(body, &usage, &answer));
	buf_init(&buf, WORLD_BYTES);
	CHECK_OK(translate_answer(how, body, &usage, client_arena(), &buf));
	out = keep(buf_str(&buf));
	buf_fini(&buf);
	client_check_is_json(out);
	return out;
}

void
world_stream_open(struct world_stream *w, const struct translate_how *how)
{
	memset(w, 0, sizeof(*w));
	translate_stream_init(&w->stream, how);
	provider_usage_clear(&w->usage);
	sse_init(&w->sse);
	buf_init(&w->out, WORLD_BYTES);
}

static bool
on_event(void *ctx, const struct sse_event *event)
{
	struct world_stream *w = ctx;
	struct provider_event said;
	enum err err;

	wire_of(w->stream.how.from)->read_event(event, &w->usage, &said);
	err = translate_stream_event(&w->stream, event, &w->usage, &w->out);
	if (w->err == ERR_OK)
		w->err = err;
	return true;
}

void
world_stream_feed(struct world_stream *w, struct str bytes, size_t part)
{
	while (bytes.n) {
		size_t n = part && part < bytes.n ? part : bytes.n;

		CHECK_OK(sse_feed(&w->sse, str_bytes(bytes.p, n), on_event, w));
		bytes = str_bytes(bytes.p + n, bytes.n - n);
	}
}

void
world_stream_close(struct world_stream *w)
{
	translate_stream_fini(&w->stream);
	sse_fini(&w->sse);
	buf_fini(&w->out);
}

struct str
world_stream(const struct translate_how *how, struct str bytes, size_t part)
{
	struct world_stream w;
	struct str out;

	world_stream_open(&w, how);
	world_stream_feed(&w, bytes, part);
	CHECK_OK(sse_end(&w.sse, on_event, &w));
	CHECK_OK(w.err);
	out = keep(buf_str(&w.out));
	world_stream_close(&w);
	return out;
}

struct str
world_events(enum ai_shape shape, const char *lines)
{
	struct str all = world_json(lines);
	struct str out;
	struct buf buf;

	buf_init(&buf, WORLD_BYTES);
	while (all.n) {
		const char *end = memchr(all.p, '\n', all.n);
		size_t n = end ? (size_t)(end - all.p) : all.n;
		struct str line = str_bytes(all.p, n);
		struct json_value root, type;

		if (shape == AI_ANTHROPIC && json_check(line, &root) &&
		    json_get(root, STR("type"), &type)) {
			buf_add_z(&buf, "event: ");
			buf_add(&buf, type.raw.p + 1, type.raw.n - 2);
			buf_add_char(&buf, '\n');
		}
		buf_add_z(&buf, "data: ");
		buf_add_str(&buf, line);
		buf_add_z(&buf, "\n\n");
		n += end != NULL;
		all = str_bytes(all.p + n, all.n - n);
	}
	out = keep(buf_str(&buf));
	buf_fini(&buf);
	return out;
}

struct str
world_answer_of(enum ai_shape from, struct str body)
{
	struct translate_how how = world_how(from);

	return world_answer(&how, body);
}

struct str
world_stream_of(enum ai_shape from, struct str bytes, size_t part)
{
	struct translate_how how = world_how(from);

	return world_stream(&how, bytes, part);
}
