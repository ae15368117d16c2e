/*
 * Tests of messages in the other shape: system texts, parts, tools and their
 * results, and that strings stay as they are written.
 */
#include "workers/translate_world_test.h"

struct row {
	const char *in;
	const char *want; /* members of the result */
};

#define TRANSLATE_JSON_ONLY_TEXT                                               \
	"Answer with one JSON object and nothing else: no text around it and " \
	"no code fence."

/* --- messages ------------------------------------------------------------- */

static void
check_messages(enum ai_shape from, const struct row *row)
{
	struct buf in, want;

	buf_init(&in, 1u << 20);
	buf_init(&want, 1u << 20);
	buf_printf(&in, "{'model':'m','max_tokens':9,%s}%c", row->in, 0);
	buf_printf(&want, "{'model':'m','%s':9,%s}%c",
		   from == AI_OPENAI ? "max_tokens" : "max_completion_tokens",
		   row->want, 0);
	CHECK_JSON(world_request_ok(from, world_json(in.p)),
		   world_json(want.p));
	buf_fini(&in);
	buf_fini(&want);
}

TEST(translate_openai_messages)
{
	static const struct row rows[] = {
	    /* System texts from anywhere. */
	    {"'messages':[{'role':'system','content':'a'},{'role':'user',"
	     "'content':'q'},{'role':'developer','content':[{'type':'text',"
	     "'text':'b'},{'type':'text','text':''},{'type':'text','text':'c'"
	     "}]}]",
	     "'system':'a\\nb\\nc','messages':[{'role':'user','content':'q'}]"},
	    {"'messages':[{'role':'system','content':[{'type':'text','text':"
	     "'a','cache_control':{'type':'ephemeral'}}]},{'role':'system',"
	     "'content':'b'},{'role':'user','content':'q'}]",
	     "'system':[{'type':'text','text':'a','cache_control':{'type':"
	     "'ephemeral'}},{'type':'text','text':'b'}],'messages':[{'role':"
	     "'user','content':'q'}]"},
	    {"'messages':[{'role':'system','content':' '},{'role':'user',"
	     "'content':'q','name':'bob'}]",
	     "'messages':[{'role':'user','content':'q'}]"},
	    {"'response_format':{'type':'json_object'},'messages':[{'role':"
	     "'system','content':'a'},{'role':'user','content':'q'}]",
	     "'system':'a\\n" TRANSLATE_JSON_ONLY_TEXT "','messages':[{'role':"
	     "'user','content':'q'}]"},
	    /* Parts. */
	    {"'messages':[{'role':'user','content':[{'type':'text','text':'x',"
	     "'cache_control':{'type':'ephemeral'}},{'type':'image_url',"
	     "'image_url':{'url':'data:image/png;base64,AAAA','detail':"
	     "'low'}},{'type':'image_url','image_url':{'url':"
	     "'https://shop.example/a.png'},'cache_control':{'type':"
	     "'ephemeral'}},{'type':'file','file':{'filename':'a.pdf',"
	     "'file_data':'data:application/pdf;base64,BBBB'}},{'type':"
	     "'text','text':' '}]}]",
	     "'messages':[{'role':'user','content':[{'type':'text','text':'x',"
	     "'cache_control':{'type':'ephemeral'}},{'type':'image','source':"
	     "{'type':'base64','media_type':'image/png','data':'AAAA'}},{"
	     "'type':'image','source':{'type':'url','url':"
	     "'https://shop.example/a.png'},'cache_control':{'type':"
	     "'ephemeral'}},{'type':'document','source':{'type':'base64',"
	     "'media_type':'application/pdf','data':'BBBB'},'title':'a.pdf'}]"
	     "}]"},
	    /* Tools: a run with results is one turn, results first. */
	    {"'messages':[{'role':'user','content':'q'},{'role':'assistant',"
	     "'content':null,'tool_calls':[{'id':'c1','type':'function',"
	     "'function':{'name':'f','arguments':'{\\'a\\': 1}'}},{'id':'c2',"
	     "'type':'function','function':{'name':'g','arguments':''}}]},{"
	     "'role':'user','content':'now'},{'role':'tool','tool_call_id':"
	     "'c1','content':'r1'},{'role':'system','content':'s'},{'role':"
	     "'tool','tool_call_id':'c2','content':[{'type':'text','text':"
	     "'r2'}]},{'role':'user','content':[{'type':'text','text':"
	     "'more'}]},{'role':'assistant','content':'ok'},{'role':'user',"
	     "'content':'a'},{'role':'user','content':'b'}]",
	     "'system':'s','messages':[{'role':'user','content':'q'},{'role':"
	     "'assistant','content':[{'type':'tool_use','id':'c1','name':'f',"
	     "'input':{'a':1}},{'type':'tool_use','id':'c2','name':'g',"
	     "'input':{}}]},{'role':'user','content':[{'type':'tool_result',"
	     "'tool_use_id':'c1','content':'r1'},{'type':'tool_result',"
	     "'tool_use_id':'c2','content':[{'type':'text','text':'r2'}]},{"
	     "'type':'text','text':'now'},{'type':'text','text':'more'}]},{"
	     "'role':'assistant','content':'ok'},{'role':'user','content':"
	     "'a'},{'role':'user','content':'b'}]"},
	    {"'messages':[{'role':'tool','tool_call_id':'c','content':null},{"
	     "'role':'assistant','content':'x','tool_calls':[{'id':'c',"
	     "'function':{'name':'f','arguments':' '}}]},{'role':'tool',"
	     "'tool_call_id':'c','content':''}]",
	     "'messages':[{'role':'user','content':[{'type':'tool_result',"
	     "'tool_use_id':'c','content':''}]},{'role':'assistant','content'"
	     ":[{'type':'text','text':'x'},{'type':'tool_use','id':'c',"
	     "'name':'f','input':{}}]},{'role':'user','content':[{'type':"
	     "'tool_result','tool_use_id':'c','content':''}]}]"},
	    /* What says nothing, refusals, reasoning. */
	    {"'messages':[{'role':'user','content':'q'},{'role':'assistant',"
	     "'content':'\\n'},{'role':'user','content':[]},{'role':"
	     "'assistant','content':null,'refusal':'no','reasoning_content':"
	     "'hm'},{'role':'assistant','content':[{'type':'refusal',"
	     "'refusal':'never'}],'tool_calls':[]},{'role':'user','content':"
	     "'q'}]",
	     "'messages':[{'role':'user','content':'q'},{'role':'assistant',"
	     "'content':'no'},{'role':'assistant','content':[{'type':'text',"
	     "'text':'never'}]},{'role':'user','content':'q'}]"},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_messages(AI_OPENAI, &rows[i]);
}

TEST(translate_anthropic_messages)
{
	static const struct row rows[] = {
	    {"'system':'s','messages':[{'role':'user','content':'q'},{'role':"
	     "'assistant','content':'a'},{'role':'system','content':'now'}]",
	     "'messages':[{'role':'system','content':'s'},{'role':'user',"
	     "'content':'q'},{'role':'assistant','content':'a'},{'role':"
	     "'system','content':'now'}]"},
	    {"'system':[{'type':'text','text':'a','cache_control':{'type':"
	     "'ephemeral'}},{'type':'text','text':'b'}],'messages':[{'role':"
	     "'user','content':[{'type':'text','text':'x'},{'type':'text',"
	     "'text':'y','cache_control':{'type':'ephemeral'}}]}]",
	     "'messages':[{'role':'system','content':'a\\nb'},{'role':'user',"
	     "'content':'x\\ny'}]"},
	    {"'system':'','messages':[{'role':'user','content':[{'type':"
	     "'text','text':'x'},{'type':'image','source':{'type':'base64',"
	     "'media_type':'image/png','data':'AAAA'}},{'type':'image',"
	     "'source':{'type':'url','url':'https://shop.example/a.png'}},{"
	     "'type':'document','source':{'type':'base64','media_type':"
	     "'application/pdf','data':'BBBB'},'title':'a.pdf'},{'type':"
	     "'document','source':{'type':'text','media_type':'text/plain',"
	     "'data':'plain'}}]}]",
	     "'messages':[{'role':'user','content':[{'type':'text','text':'x'"
	     "},{'type':'image_url','image_url':{'url':"
	     "'data:image/png;base64,AAAA'}},{'type':'image_url','image_url'"
	     ":{'url':'https://shop.example/a.png'}},{'type':'file','file':{"
	     "'filename':'a.pdf','file_data':"
	     "'data:application/pdf;base64,BBBB'}},{'type':'text','text':"
	     "'plain'}]}]"},
	    /* Tools. */
	    {"'messages':[{'role':'assistant','content':[{'type':'thinking',"
	     "'thinking':'hm','signature':'s'},{'type':'redacted_thinking',"
	     "'data':'x'},{'type':'text','text':'let '},{'type':'text',"
	     "'text':'me'},{'type':'tool_use','id':'c1','name':'f','input':{"
	     "'a':'\\'\\\\n'}},{'type':'tool_use','id':'c2','name':'g',"
	     "'input':{}}]},{'role':'user','content':[{'type':'text','text':"
	     "'go'},{'type':'tool_result','tool_use_id':'c2'},{'type':"
	     "'tool_result','tool_use_id':'c1','is_error':true,'content':[{"
	     "'type':'text','text':'x'},{'type':'image','source':{'type':"
	     "'url','url':'https://shop.example/a.png'}},{'type':'text',"
	     "'text':'y'}]}]}]",
	     "'messages':[{'role':'assistant','content':'let me','tool_calls'"
	     ":[{'id':'c1','type':'function','function':{'name':'f',"
	     "'arguments':'{\\'a\\':\\'\\\\\\'\\\\\\\\n\\'}'}},{'id':'c2',"
	     "'type':'function','function':{'name':'g','arguments':'{}'}}]},{"
	     "'role':'tool','tool_call_id':'c2','content':''},{'role':'tool',"
	     "'tool_call_id':'c1','content':'Error: x\\ny'},{'role':'user',"
	     "'content':[{'type':'image_url','image_url':{'url':"
	     "'https://shop.example/a.png'}},{'type':'text','text':'go'}]}]"},
	    {"'messages':[{'role':'assistant','content':[{'type':'tool_use',"
	     "'id':'c','name':'f','input':{}}]},{'role':'user','content':[{"
	     "'type':'tool_result','tool_use_id':'c','content':'r'}]},{"
	     "'role':'assistant','content':[{'type':'thinking','thinking':"
	     "'x','signature':'s'}]}]",
	     "'messages':[{'role':'assistant','content':null,'tool_calls':[{"
	     "'id':'c','type':'function','function':{'name':'f','arguments':"
	     "'{}'}}]},{'role':'tool','tool_call_id':'c','content':'r'}]"},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_messages(AI_ANTHROPIC, &rows[i]);
}

/* --- as it is written ----------------------------------------------------- */

TEST(translate_copies_strings_as_they_are)
{
	static const char *const strings[] = {
	    "\"caf\\u00e9 \\/ \\ud83d\\ude00 \\\"q\\\" \\\\ \\b\\f\"",
	    "\"caf\xc3\xa9 / \xf0\x9f\x98\x80 \xe2\x80\xa8\"",
	    "\"\\u0022 \\u0000 \\n\"",
	};
	struct buf in;
	struct str out;

	buf_init(&in, 1u << 20);
	for (unsigned i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		const char *s = strings[i];

		buf_reset(&in);
		buf_printf(&in,
			   "{\"model\":%s,\"stop\":%s,\"messages\":[{\"role\":"
			   "\"system\",\"content\":%s},{\"role\":\"user\","
			   "\"content\":%s}]}",
			   s, s, s, s);
		CHECK_OK(world_request(
		    &(struct translate_call){.target = world_target()},
		    AI_OPENAI, buf_str(&in), &out));
		buf_reset(&in);
		buf_printf(&in,
			   "{\"model\":%s,\"max_tokens\":4096,\"system\":%s,"
			   "\"messages\":[{\"role\":\"user\",\"content\":%s}],"
			   "\"stop_sequences\":[%s]}",
			   s, s, s, s);
		CHECK_STR(out, buf_str(&in));
	}
	buf_fini(&in);
	/* A slash that is written \/, as PHP writes it. */
	out = world_request_ok(
	    AI_OPENAI,
	    world_json("{'model':'m','messages':[{'role':'user','content':[{"
		       "'type':'image_url','image_url':{'url':"
		       "'data:image\\/png;base64,\\/9j\\/+='}},{'type':"
		       "'image_url','image_url':{'url':"
		       "'https:\\/\\/shop.example\\/a'}}]}]}"));
	CHECK(world_holds(out, "\"data\":\"\\/9j\\/+=\""));
	CHECK(world_holds(out, "\"media_type\":\"image\\/png\""));
	CHECK(world_holds(out, "\"url\":\"https:\\/\\/shop.example\\/a\""));
}

TEST(translate_long_texts)
{
	const size_t bytes = 100 * 1024;
	struct buf in;
	struct str out;

	buf_init(&in, 1u << 20);
	buf_add_z(&in, "{\"model\":\"m\",\"max_tokens\":4096,\"messages\":[{"
		       "\"role\":\"user\",\"content\":\"");
	while (in.n < bytes)
		buf_add_z(&in, "Perch\xc3\xa9 no\\n\\u20ac \xf0\x9f\x98\x80 ");
	buf_add_z(&in, "\"}]}");
	out = world_request_ok(AI_OPENAI, buf_str(&in));
	CHECK_JSON(out, buf_str(&in));
	buf_fini(&in);
}
