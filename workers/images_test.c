/*
 * images_test: what is an image in each shape, and what only looks like one.
 */
#include "workers/images.h"

#include "lib/test.h"

#include <stdlib.h>

#define DATA "data:image/png;base64,iVBORw0KGgo="
#define PART(url) "{'type':'image_url','image_url':{'url':'" url "'}}"
#define BLOCK(source) "{'type':'image','source':{" source "}}"
#define BASE64                                                                 \
	BLOCK("'type':'base64','media_type':'image/"                           \
	      "png','data':'iVBORw0KGgo='")
#define USER(content) "[{'role':'user','content':" content "}]"

/* Quotes are written as '. */
static struct images
images_of(enum ai_shape shape, const char *text, char *copy, size_t room)
{
	struct json_value root;
	size_t n = strlen(text);

	CHECK(n < room);
	memcpy(copy, text, n + 1);
	for (char *at = copy; *at; at++)
		if (*at == '\'')
			*at = '"';
	CHECK(json_check(str_of(copy), &root));
	return images_in(shape, root);
}

TEST(images_are_found_in_their_shape)
{
	static const struct {
		enum ai_shape shape;
		const char *messages;
		int64_t count;
		size_t inline_bytes;
	} rows[] = {
	    {AI_OPENAI, USER("'no image'"), 0, 0},
	    {AI_OPENAI, USER("[" PART(DATA) "]"), 1, sizeof("''" DATA) - 1},
	    {AI_OPENAI, USER("[" PART(DATA) "," PART(DATA) "]"), 2,
	     2 * (sizeof("''" DATA) - 1)},
	    {AI_OPENAI, USER("[" PART("https://a.example/image.png") "]"), 1,
	     0},
	    /* Spelled otherwise it is one as well. */
	    {AI_OPENAI,
	     USER("[{'type':'im\\u0061ge_url','image_url':{'url':'" DATA
		  "'}}]"),
	     1, sizeof("''" DATA) - 1},
	    {AI_OPENAI,
	     USER("[{'\\u0074ype':'\\u0069mage_ur\\u006c','image_url':{"
		  "'url':'data:image\\/png;base64,AA=='}}]"),
	     1, sizeof("'data:image./png;base64,AA=='") - 1},
	    /* Text that says so is text. */
	    {AI_OPENAI, USER("'" DATA "'"), 0, 0},
	    {AI_OPENAI, USER("[{'type':'text','text':'" DATA "'}]"), 0, 0},
	    {AI_OPENAI,
	     USER("[{'type':'text','image_url':{'url':'" DATA "'}}]"), 0, 0},
	    {AI_OPENAI,
	     USER("[{'type':'image_url','type':'text','image_url':{'url':'" DATA
		  "'}}]"),
	     0, 0},
	    {AI_OPENAI, USER("[" BASE64 "]"), 0, 0},
	    {AI_OPENAI, USER("[{'type':'image_url','image_url':'" DATA "'}]"),
	     1, 0},
	    {AI_OPENAI, "['image_url',7,{'content':{'type':'image_url'}}]", 0,
	     0},
	    {AI_ANTHROPIC, USER("[" BASE64 "]"), 1,
	     sizeof("'iVBORw0KGgo='") - 1},
	    {AI_ANTHROPIC,
	     USER("[" BLOCK("'type':'url','url':'https://a.example/'") "]"), 1,
	     0},
	    {AI_ANTHROPIC,
	     USER("[{'type':'tool_result','tool_use_id':'t','content':[" BASE64
		  "," BASE64 "]}]"),
	     2, 2 * (sizeof("'iVBORw0KGgo='") - 1)},
	    {AI_ANTHROPIC, USER("[{'type':'tool_result','content':'image'}]"),
	     0, 0},
	    {AI_ANTHROPIC, USER("[" PART(DATA) "]"), 0, 0},
	    {AI_ANTHROPIC, USER("[{'type':'text','text':'image'}]"), 0, 0},
	    {AI_ANTHROPIC, USER("[" BLOCK("'type':'text','data':'image'") "]"),
	     1, 0},
	};
	char copy[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct images got = images_of(rows[i].shape, rows[i].messages,
					      copy, sizeof(copy));

		if (got.count != rows[i].count ||
		    got.inline_bytes != rows[i].inline_bytes)
			test_fail(__FILE__, __LINE__, "%s: %lld, %zu",
				  rows[i].messages, (long long)got.count,
				  got.inline_bytes);
	}
}
