/*
 * Tests of requests that cannot be honoured in the other shape: each is refused
 * by the name or the place of its field.
 */
#include "workers/translate_world_test.h"

/* --- refusals ------------------------------------------------------------- */

struct refusal {
	const char *in; /* members, beside a complete request */
	const char *field;
};

static void
check_refused(enum ai_shape from, struct str in, const char *field)
{
	struct translate_call call = {.target = world_target()};
	struct str out;

	if (world_request(&call, from, in, &out) != ERR_BAD_FIELD)
		test_fail(__FILE__, __LINE__, "not refused: %.*s", STR_ARG(in));
	CHECK_STR(str_of(call.why->field), str_of(field));
	CHECK(strlen(call.why->text) > 10);
}

TEST(translate_refuses_fields_by_name)
{
	static const struct refusal openai[] = {
	    {"'n':2", "n"},
	    {"'n':'1'", "n"},
	    {"'logprobs':true", "logprobs"},
	    {"'top_logprobs':3", "top_logprobs"},
	    {"'logit_bias':{'1':2}", "logit_bias"},
	    {"'frequency_penalty':0.5", "frequency_penalty"},
	    {"'presence_penalty':-1", "presence_penalty"},
	    {"'verbosity':'low'", "verbosity"},
	    {"'modalities':['text','audio']", "modalities"},
	    {"'audio':{}", "audio"},
	    {"'functions':[]", "functions"},
	    {"'function_call':'auto'", "function_call"},
	    {"'web_search_options':{}", "web_search_options"},
	    {"'moderation':{}", "moderation"},
	    {"'system':'x'", "system"},
	    {"'stop_sequences':[]", "stop_sequences"},
	    {"'output_config':{}", "output_config"},
	    {"'base_url':'x'", "base_url"},
	    {"'api_base':'x'", "api_base"},
	    {"'api_key':'x'", "api_key"},
	    {"'temperature':'1'", "temperature"},
	    {"'top_p':'1'", "top_p"},
	    {"'stop':1", "stop"},
	    {"'stop':[1]", "stop"},
	    {"'max_tokens':0", "max_tokens"},
	    {"'max_tokens':1.5", "max_tokens"},
	    {"'max_completion_tokens':'9'", "max_completion_tokens"},
	    {"'user':1", "user"},
	    {"'safety_identifier':{}", "safety_identifier"},
	    {"'reasoning_effort':1", "reasoning_effort"},
	    {"'response_format':{}", "response_format"},
	    {"'response_format':{'type':'json_schema'}", "response_format"},
	    {"'tools':{}", "tools"},
	    {"'tools':[{'type':'custom','custom':{}}]", "tools[0]"},
	    {"'tools':[{'type':'function','function':{'name':'f'}},{'type':"
	     "'function','function':{}}]",
	     "tools[1]"},
	    {"'tool_choice':'required'", "tool_choice"},
	    {"'tools':[{'type':'function','function':{'name':'f'}}],"
	     "'tool_choice':{'type':'allowed_tools'}",
	     "tool_choice"},
	    {"'user':'a','user':'b'", "user"},
	    {"'us\\u0065r':'a'", "user"},
	    {"'b\\u0061se_url':'a'", "base_url"},
	};
	static const struct refusal anthropic[] = {
	    {"'top_k':5", "top_k"},
	    {"'container':'c'", "container"},
	    {"'thread':{'type':'create'}", "thread"},
	    {"'compaction':{}", "compaction"},
	    {"'fallbacks':'default'", "fallbacks"},
	    {"'fallback_credit_token':'t'", "fallback_credit_token"},
	    {"'mcp_servers':[{}]", "mcp_servers"},
	    {"'inference_geo':'eu'", "inference_geo"},
	    {"'n':1", "n"},
	    {"'stop':['x']", "stop"},
	    {"'max_completion_tokens':5", "max_completion_tokens"},
	    {"'parallel_tool_calls':false", "parallel_tool_calls"},
	    {"'user':'x'", "user"},
	    {"'response_format':{}", "response_format"},
	    {"'reasoning_effort':'low'", "reasoning_effort"},
	    {"'stream_options':{}", "stream_options"},
	    {"'api_key':'x'", "api_key"},
	    {"'system':1", "system"},
	    {"'system':[{'type':'image'}]", "system"},
	    {"'stream':1", "stream"},
	    {"'temperature':'1'", "temperature"},
	    {"'stop_sequences':'x'", "stop_sequences"},
	    {"'stop_sequences':[1]", "stop_sequences"},
	    {"'metadata':{'user_id':1}", "metadata.user_id"},
	    {"'output_config':{'effort':1}", "output_config.effort"},
	    {"'output_config':{'format':{'type':'grammar'}}",
	     "output_config.format"},
	    {"'tools':[{'type':'web_search_20250305','name':'web_search'}]",
	     "tools[0]"},
	    {"'tools':[{'name':'f'}]", "tools[0]"},
	    {"'tool_choice':{'type':'any'}", "tool_choice"},
	    {"'tools':[{'name':'f','input_schema':{}}],'tool_choice':'auto'",
	     "tool_choice"},
	};

	for (unsigned i = 0; i < sizeof(openai) / sizeof(openai[0]); i++)
		check_refused(AI_OPENAI,
			      world_request_of(OPENAI_HEAD, openai[i].in),
			      openai[i].field);
	for (unsigned i = 0; i < sizeof(anthropic) / sizeof(anthropic[0]); i++)
		check_refused(AI_ANTHROPIC,
			      world_request_of(ANTHROPIC_HEAD, anthropic[i].in),
			      anthropic[i].field);
	check_refused(AI_OPENAI, world_json("{'messages':[]}"), "model");
	check_refused(AI_OPENAI, world_json("{'model':1,'messages':[]}"),
		      "model");
	check_refused(AI_OPENAI, world_json("{'model':'m'}"), "messages");
	check_refused(AI_ANTHROPIC, world_json("{" OPENAI_HEAD "}"),
		      "max_tokens");
	check_refused(AI_ANTHROPIC, world_json("{'model':'m','max_tokens':1}"),
		      "messages");
}

TEST(translate_refuses_messages_by_place)
{
	static const struct refusal openai[] = {
	    {"[]", "messages"},
	    {"[{'role':'user','content':''}]", "messages"},
	    {"[{'role':'system','content':'x'}]", "messages"},
	    {"[1]", "messages[0]"},
	    {"[{'role':'user','content':'x'},{'role':'king','content':'x'}]",
	     "messages[1].role"},
	    {"[{'content':'x'}]", "messages[0].role"},
	    {"[{'role':'function','name':'f','content':'x'}]",
	     "messages[0].role"},
	    {"[{'role':'user'}]", "messages[0].content"},
	    {"[{'role':'user','content':{}}]", "messages[0].content"},
	    {"[{'role':'system','content':1}]", "messages[0].content"},
	    {"[{'role':'system','content':[{'type':'image_url'}]}]",
	     "messages[0].content[0].type"},
	    {"[{'role':'user','content':[{'type':'text','text':'x'},{'type':"
	     "'input_audio'}]}]",
	     "messages[0].content[1].type"},
	    {"[{'role':'user','content':['x']}]",
	     "messages[0].content[0].type"},
	    {"[{'role':'user','content':[{'type':'text'}]}]",
	     "messages[0].content[0].text"},
	    {"[{'role':'user','content':[{'type':'image_url','image_url':"
	     "'x'}]}]",
	     "messages[0].content[0].image_url"},
	    {"[{'role':'user','content':[{'type':'image_url','image_url':{"
	     "'url':'file:///etc/passwd'}}]}]",
	     "messages[0].content[0].image_url"},
	    {"[{'role':'user','content':[{'type':'image_url','image_url':{"
	     "'url':'data:image/png,AAAA'}}]}]",
	     "messages[0].content[0].image_url"},
	    {"[{'role':'user','content':[{'type':'file','file':{'file_id':"
	     "'f'}}]}]",
	     "messages[0].content[0].file"},
	    {"[{'role':'tool','content':'x'}]", "messages[0].tool_call_id"},
	    {"[{'role':'assistant','function_call':{}}]",
	     "messages[0].function_call"},
	    {"[{'role':'assistant','tool_calls':{}}]",
	     "messages[0].tool_calls"},
	    {"[{'role':'assistant','tool_calls':[{'type':'custom','id':'x'}]"
	     "}]",
	     "messages[0].tool_calls[0]"},
	    {"[{'role':'assistant','tool_calls':[{'id':'x','function':{"
	     "'name':'f','arguments':'{'}}]}]",
	     "messages[0].tool_calls[0].function.arguments"},
	    {"[{'role':'assistant','tool_calls':[{'id':'x','function':{"
	     "'name':'f','arguments':'[1]'}}]}]",
	     "messages[0].tool_calls[0].function.arguments"},
	    {"[{'role':'assistant','tool_calls':[{'id':'x','function':{"
	     "'name':'f'}}]}]",
	     "messages[0].tool_calls[0].function.arguments"},
	};
	static const struct refusal anthropic[] = {
	    {"[]", "messages"},
	    {"[{'role':'user','content':[]}]", "messages"},
	    {"[{'role':'tool','content':'x'}]", "messages[0].role"},
	    {"[{'role':'user'}]", "messages[0].content"},
	    {"[{'role':'user','content':[{'type':'search_result'}]}]",
	     "messages[0].content[0].type"},
	    {"[{'role':'user','content':[{'type':'text','text':1}]}]",
	     "messages[0].content[0].type"},
	    {"[{'role':'user','content':[{'type':'image','source':{'type':"
	     "'file','file_id':'x'}}]}]",
	     "messages[0].content[0].source"},
	    {"[{'role':'user','content':[{'type':'document','source':{"
	     "'type':'url','url':'x'}}]}]",
	     "messages[0].content[0].source"},
	    {"[{'role':'user','content':[{'type':'tool_result'}]}]",
	     "messages[0].content[0].tool_use_id"},
	    {"[{'role':'user','content':[{'type':'tool_result',"
	     "'tool_use_id':'c','content':[{'type':'search_result'}]}]}]",
	     "messages[0].content[0].type"},
	    {"[{'role':'assistant','content':[{'type':'server_tool_use'}]}]",
	     "messages[0].content[0].type"},
	    {"[{'role':'assistant','content':[{'type':'text','text':'x'},{"
	     "'type':'tool_use','id':'c','name':'f','input':1}]}]",
	     "messages[0].content[1]"},
	};
	struct buf in;

	buf_init(&in, 1u << 20);
	for (unsigned i = 0; i < sizeof(openai) / sizeof(openai[0]); i++) {
		buf_reset(&in);
		buf_printf(&in, "{'model':'m','messages':%s}%c", openai[i].in,
			   0);
		check_refused(AI_OPENAI, world_json(in.p), openai[i].field);
	}
	for (unsigned i = 0; i < sizeof(anthropic) / sizeof(anthropic[0]);
	     i++) {
		buf_reset(&in);
		buf_printf(&in, "{'model':'m','max_tokens':9,'messages':%s}%c",
			   anthropic[i].in, 0);
		check_refused(AI_ANTHROPIC, world_json(in.p),
			      anthropic[i].field);
	}
	buf_fini(&in);
}

TEST(translate_without_memory)
{
	struct str in = world_json("{" OPENAI_HEAD "}");
	struct translate_call call = {.from = AI_OPENAI,
				      .target = world_target()};
	struct arena arena;
	struct buf out;

	arena_init(&arena, 0);
	call.arena = &arena;
	CHECK(json_check(in, &call.root));
	for (size_t limit = 0; limit < 70; limit++) {
		buf_init(&out, limit);
		CHECK_ERR(translate_request(&call, &out), ERR_NO_MEMORY);
		buf_fini(&out);
	}
	in = world_json("{'model':'m','messages':[{'role':'assistant',"
			"'tool_calls':[{'id':'c','function':{'name':'f',"
			"'arguments':'{\\'a\\':1}'}}]}]}");
	CHECK(json_check(in, &call.root));
	buf_init(&out, 4096);
	CHECK_ERR(translate_request(&call, &out), ERR_NO_MEMORY);
	buf_fini(&out);
}
