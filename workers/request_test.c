/*
 * Tests of the request scan: what is found, what is refused, what goes out.
 */
#include "workers/request.h"

#include "lib/test.h"

#include <stdio.h>

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static enum err
read_as(struct request *out, enum request_shape shape, struct str body,
	struct why *why)
{
	static struct arena arena;

	arena_fini(&arena);
	arena_init(&arena, 1u << 20);
	memset(why, 0, sizeof(*why));
	return request_read(out, shape, body, &arena, why);
}

static void
check_refused(enum request_shape shape, struct str body, const char *field)
{
	struct request request;
	struct why why;

	CHECK_ERR(read_as(&request, shape, body, &why), ERR_BAD_FIELD);
	CHECK_STR(str_of(why.field), str_of(field));
	CHECK(why.text[0]);
}

static void
check_written(enum request_shape shape, struct str body, struct str want)
{
	struct request request;
	struct json_value value;
	struct why why;
	struct buf out;

	CHECK_OK(read_as(&request, shape, body, &why));
	buf_init(&out, 1u << 20);
	request_write(&request, request.model.p ? request.model : STR("m-1"),
		      "max_completion_tokens", &out);
	CHECK_STR(buf_str(&out), want);
	CHECK(json_check(buf_str(&out), &value));
	buf_fini(&out);
}

TEST(request_goes_to_another_model)
{
	struct request request;
	struct why why;
	struct buf out;

	CHECK_OK(read_as(&request, REQUEST_OPENAI,
			 STR("{\"x\":{\"model\":\"a\"}, \"model\" :\"a\","
			     "\"stream\":true," MESSAGES "}"),
			 &why));
	buf_init(&out, 1u << 20);
	request_write(&request, STR("b\"c"), "max_tokens", &out);
	CHECK_STR(buf_str(&out),
		  STR("{\"x\":{\"model\":\"a\"},\"model\":\"b\\\"c\","
		      "\"stream\":true," MESSAGES
		      ",\"stream_options\":{\"include_usage\":true}}"));
	buf_fini(&out);
}

TEST(request_openai_is_understood)
{
	struct request request;
	struct why why;

	CHECK_OK(read_as(&request, REQUEST_OPENAI,
			 STR("{\"model\":\"gpt-4o\"," MESSAGES
			     ",\"stream\":true,\"stream_options\":"
			     "{\"include_usage\":true},\"x\":[1]}"),
			 &why));
	CHECK_STR(request.model, STR("gpt-4o"));
	CHECK(request.is_stream);
	CHECK(request.is_usage_wanted);
	CHECK(!request.has_own_members);
	CHECK(request.domain.p == NULL);
	CHECK_INT(request.prompt_tokens, 8);

	CHECK_OK(read_as(&request, REQUEST_OPENAI,
			 STR(" {\"model\":\"g\\u0070t\", \"stream\": null,"
			     "\"domain\":\"shop.example\"," MESSAGES "} "),
			 &why));
	CHECK_STR(request.model, STR("gpt"));
	CHECK(!request.is_stream);
	CHECK(request.has_own_members);
	CHECK_STR(request.domain, STR("shop.example"));
}

TEST(request_chat_is_understood)
{
	struct request request;
	struct why why;

	CHECK_OK(read_as(&request, REQUEST_CHAT, STR("{" MESSAGES "}"), &why));
	CHECK(request.model.p == NULL);
	CHECK(request.api_provider.p == NULL);
	CHECK(!request.is_stream);
	CHECK_OK(read_as(&request, REQUEST_CHAT,
			 STR("{" MESSAGES ",\"api_provider\":\"deepseek\","
			     "\"model\":null,\"temperature\":0.5,"
			     "\"max_tokens\":7,\"stream\":true}"),
			 &why));
	CHECK_STR(request.api_provider, STR("deepseek"));
	CHECK(request.model.p == NULL);
	CHECK(request.is_stream);
	CHECK_STR(request.max_tokens.raw, STR("7"));
}

TEST(request_that_is_no_object)
{
	struct request request;
	struct why why;

	CHECK_ERR(read_as(&request, REQUEST_CHAT, STR(""), &why),
		  ERR_BAD_REQUEST);
	CHECK_ERR(read_as(&request, REQUEST_CHAT, STR("[]"), &why),
		  ERR_BAD_REQUEST);
	CHECK_ERR(read_as(&request, REQUEST_CHAT, STR("{} {}"), &why),
		  ERR_BAD_REQUEST);
	CHECK_ERR(read_as(&request, REQUEST_OPENAI, STR("{\"model\":\"\xff\"}"),
			  &why),
		  ERR_BAD_REQUEST);
	CHECK_ERR(read_as(&request, REQUEST_OPENAI, STR("{\"a\":1"), &why),
		  ERR_BAD_REQUEST);
}

TEST(request_refuses_redirects)
{
	check_refused(REQUEST_OPENAI,
		      STR("{\"model\":\"m\"," MESSAGES
			  ",\"base_url\":\"https://evil.example\"}"),
		      "base_url");
	check_refused(REQUEST_CHAT, STR("{" MESSAGES ",\"api_base\":null}"),
		      "api_base");
	check_refused(REQUEST_CHAT, STR("{" MESSAGES ",\"api_key\":\"k\"}"),
		      "api_key");
	check_refused(REQUEST_CHAT,
		      STR("{" MESSAGES ",\"\\u0061pi_key\":\"k\"}"), "api_key");
	/* Inside the messages it is only text. */
	check_written(REQUEST_OPENAI,
		      STR("{\"model\":\"m\",\"messages\":[{\"api_key\":1}]}"),
		      STR("{\"model\":\"m\",\"messages\":[{\"api_key\":1}]}"));
}

TEST(request_refuses_what_hides)
{
	check_refused(REQUEST_OPENAI,
		      STR("{\"model\":\"a\",\"model\":\"b\"," MESSAGES "}"),
		      "model");
	check_refused(REQUEST_OPENAI,
		      STR("{\"model\":\"a\"," MESSAGES
			  ",\"stream\":false,\"stream\":true}"),
		      "stream");
	check_refused(
	    REQUEST_OPENAI,
	    STR("{\"model\":\"a\"," MESSAGES ",\"stre\\u0061m\":true}"),
	    "stream");
	check_refused(REQUEST_OPENAI,
		      STR("{\"model\":\"a\"," MESSAGES ",\"stream_options\":{}"
			  ",\"stream_options\":{\"include_usage\":false}}"),
		      "stream_options");
	check_refused(REQUEST_OPENAI,
		      STR("{\"model\":\"a\"," MESSAGES
			  ",\"stream_options\":{\"include_usage\":true,"
			  "\"include_usage\":false}}"),
		      "stream_options");
	check_refused(REQUEST_OPENAI,
		      STR("{\"model\":\"a\"," MESSAGES
			  ",\"stream_options\":{\"includ\\u0065_usage\":1}}"),
		      "include_usage");
}

TEST(request_refuses_wrong_fields)
{
	check_refused(REQUEST_OPENAI, STR("{" MESSAGES "}"), "model");
	check_refused(REQUEST_OPENAI, STR("{\"model\":1," MESSAGES "}"),
		      "model");
	check_refused(REQUEST_OPENAI, STR("{\"model\":\"\"," MESSAGES "}"),
		      "model");
	check_refused(REQUEST_OPENAI,
		      STR("{\"model\":\"a\\u0000b\"," MESSAGES "}"), "model");
	check_refused(REQUEST_OPENAI, STR("{\"model\":\"m\"}"), "messages");
	check_refused(REQUEST_CHAT, STR("{\"messages\":[]}"), "messages");
	check_refused(REQUEST_CHAT, STR("{\"messages\":\"hi\"}"), "messages");
	check_refused(REQUEST_CHAT, STR("{" MESSAGES ",\"stream\":1}"),
		      "stream");
	check_refused(REQUEST_CHAT, STR("{" MESSAGES ",\"temperature\":\"1\"}"),
		      "temperature");
	check_refused(REQUEST_CHAT, STR("{" MESSAGES ",\"max_tokens\":0}"),
		      "max_tokens");
	check_refused(REQUEST_CHAT, STR("{" MESSAGES ",\"max_tokens\":1.5}"),
		      "max_tokens");
	check_refused(
	    REQUEST_OPENAI,
	    STR("{\"model\":\"m\"," MESSAGES ",\"max_completion_tokens\":-1}"),
	    "max_completion_tokens");
	check_refused(REQUEST_OPENAI,
		      STR("{\"model\":\"m\"," MESSAGES ",\"n\":\"2\"}"), "n");
	check_refused(REQUEST_ANTHROPIC,
		      STR("{\"model\":\"m\"," MESSAGES ",\"max_tokens\":1e20}"),
		      "max_tokens");
	check_refused(
	    REQUEST_OPENAI,
	    STR("{\"model\":\"m\"," MESSAGES ",\"stream_options\":true}"),
	    "stream_options");
}

TEST(request_passes_bytes_on)
{
	struct str odd = STR("{ \"model\" : \"gpt-4o\",\n " MESSAGES
			     ", \"seed\":1e2,\"u\":\"\\u00e8\" }");
	struct str asked = STR("{\"stream_options\":{\"include_usage\":true},"
			       "\"stream\":true,\"model\":\"m\"," MESSAGES "}");

	check_written(REQUEST_OPENAI, odd, odd);
	check_written(REQUEST_OPENAI, asked, asked);
}

TEST(request_forces_usage)
{
	struct str want = STR("{\"model\":\"m\",\"stream\":true," MESSAGES
			      ",\"stream_options\":{\"include_usage\":true}}");

	check_written(REQUEST_OPENAI,
		      STR("{\"model\":\"m\",\"stream\":true," MESSAGES "}"),
		      want);
	check_written(REQUEST_OPENAI,
		      STR("{\"model\":\"m\",\"stream_options\":null,"
			  "\"stream\":true," MESSAGES "}"),
		      want);
	check_written(REQUEST_OPENAI,
		      STR("{\"model\":\"m\",\"stream_options\":"
			  "{\"include_usage\":false},\"stream\":true," MESSAGES
			  "}"),
		      want);
	check_written(REQUEST_OPENAI,
		      STR("{\"stream_options\":{\"a\":[1, 2],"
			  "\"include_usage\":null},\"model\":\"m\","
			  "\"stream\":true," MESSAGES "}"),
		      STR("{\"model\":\"m\",\"stream\":true," MESSAGES
			  ",\"stream_options\":{\"a\":[1, 2],"
			  "\"include_usage\":true}}"));
}

TEST(request_keeps_its_own_members)
{
	check_written(REQUEST_OPENAI,
		      STR("{\"domain\":\"shop.example\",\"model\":\"m\","
			  "\"api_provider\":\"openai\"," MESSAGES
			  ",\"seed\": 1}"),
		      STR("{\"model\":\"m\"," MESSAGES ",\"seed\":1}"));
}

TEST(request_chat_makes_a_body)
{
	check_written(REQUEST_CHAT, STR("{" MESSAGES ",\"domain\":\"x.y\"}"),
		      STR("{\"model\":\"m-1\"," MESSAGES "}"));
	check_written(REQUEST_CHAT,
		      STR("{\"stream\":true,\"max_tokens\":5,\"junk\":1,"
			  "\"temperature\":0.2,\"model\":\"a\\\"b\"," MESSAGES
			  "}"),
		      STR("{\"model\":\"a\\\"b\"," MESSAGES
			  ",\"temperature\":0.2,\"max_completion_tokens\":5,"
			  "\"stream\":true,\"stream_options\":"
			  "{\"include_usage\":true}}"));
}

TEST(request_is_clamped_in_its_own_bytes)
{
	const struct {
		const char *body, *clamped;
	} rows[] = {
	    {"{\"max_tokens\":9}", "{\"max_tokens\":9}"},
	    {"{\"max_tokens\":10}", "{\"max_tokens\":9}"},
	    {"{ \"a\" : [1], \"max_tokens\" : 1e3 , \"b\":2 }",
	     "{ \"a\" : [1], \"max_tokens\" : 9 , \"b\":2 }"},
	    {"{\"max_tokens\":5,\"max_completion_tokens\":50}",
	     "{\"max_tokens\":5,\"max_completion_tokens\":9}"},
	    {"{\"max_tokens\":null}", "{\"max_tokens\":null,\"max\":9}"},
	    {"{\"max\":1,\"max_completion_tokens\":50,\"max_tokens\":null}",
	     "{\"max\":1,\"max_completion_tokens\":9,\"max_tokens\":null}"},
	    {"{\"max_tokens\":-1}", "{\"max_tokens\":9}"},
	    {"{\"max_tokens\":\"77\"}", "{\"max_tokens\":9}"},
	    {"{\"a\":{\"max_tokens\":10}}",
	     "{\"a\":{\"max_tokens\":10},\"max\":9}"},
	    {"{}", "{\"max\":9}"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_value root;
		struct buf out;

		buf_init(&out, 256);
		CHECK(json_check(str_of(rows[i].body), &root));
		request_clamp(root, "max", 9, &out);
		CHECK_STR(buf_str(&out), str_of(rows[i].clamped));
		buf_fini(&out);
	}
}

TEST(request_depth_bomb)
{
	static char bomb[100000];
	struct request request;
	struct why why;

	memset(bomb, '[', sizeof(bomb));
	CHECK_ERR(read_as(&request, REQUEST_OPENAI,
			  str_bytes(bomb, sizeof(bomb)), &why),
		  ERR_BAD_REQUEST);
}

/* By their number, not by their bytes; all else by its bytes. */
TEST(request_images_are_counted_apart)
{
	static const char part[] = "[{\"role\":\"user\",\"content\":[{\"type\":"
				   "\"image_url\",\"image_url\":{\"url\":}}]}]";
	static char body[400000];
	struct request request;
	struct why why;
	size_t n;

	n = (size_t)snprintf(body, sizeof(body),
			     "{\"model\":\"m\",\"messages\":[{\"role\":"
			     "\"user\",\"content\":[{\"type\":\"image_url\","
			     "\"image_url\":{\"url\":\"data:image/png;base64,");
	memset(body + n, 'A', 300000);
	strcpy(body + n + 300000, "\"}}]}]}");
	CHECK_OK(read_as(&request, REQUEST_OPENAI, str_of(body), &why));
	CHECK_INT(request.images, 1);
	CHECK_INT(request.prompt_tokens, (sizeof(part) - 1 + 3) / 4);
	CHECK_INT(request_prompt_tokens(&request, 1600),
		  1600 + request.prompt_tokens);
	CHECK_OK(read_as(&request, REQUEST_CHAT, str_of(body), &why));
	CHECK_INT(request.images, 1);
	/* In the other shape it is no image. */
	CHECK_OK(read_as(&request, REQUEST_ANTHROPIC, str_of(body), &why));
	CHECK_INT(request.images, 0);
	CHECK(request.prompt_tokens > 75000);
}

TEST(request_shapes)
{
	enum request_shape shape;

	CHECK(request_shape_of(STR("chat"), &shape));
	CHECK_INT(shape, REQUEST_CHAT);
	CHECK(request_shape_of(STR("openai"), &shape));
	CHECK_INT(shape, REQUEST_OPENAI);
	CHECK(!request_shape_of(STR("soap"), &shape));
	CHECK(!request_shape_of(STR_NONE, &shape));
}

/* The bytes that came, but for what is ours. */
TEST(request_anthropic_is_passed_as_it_came)
{
	static const char body[] =
	    "{\"model\":\"claude-x\", "
	    "\"max_tokens\":5,\"stream\":true," MESSAGES
	    ",\"system\":\"Be brief.\",\"tools\":[{\"name\":\"t\"}]}";
	struct request request;
	struct why why;

	CHECK_OK(read_as(&request, REQUEST_ANTHROPIC, str_of(body), &why));
	CHECK(request.is_stream);
	CHECK_STR(request.model, STR("claude-x"));
	CHECK_INT(request.prompt_tokens, (33 + 11 + 14 + 3) / 4);
	check_written(REQUEST_ANTHROPIC, str_of(body), str_of(body));
	check_written(REQUEST_ANTHROPIC,
		      STR("{\"model\":\"m\",\"domain\":\"a.example\"," MESSAGES
			  ",\"api_provider\":\"anthropic\",\"max_tokens\":1}"),
		      STR("{\"model\":\"m\"," MESSAGES ",\"max_tokens\":1}"));
	check_refused(REQUEST_ANTHROPIC, STR("{" MESSAGES "}"), "model");
	check_refused(REQUEST_ANTHROPIC,
		      STR("{\"model\":\"m\",\"api_base\":\"x\"," MESSAGES "}"),
		      "api_base");
}
