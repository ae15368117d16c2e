/*
 * proxy_recordings: see proxy_replay_test.h. Sources: OpenAI's, DeepSeek's and
 * Anthropic's published API references. Each has what is easy to get wrong:
 * usage that is null until the end, keep-alives, thinking, tools whose
 * arguments come in pieces, cache tokens, characters of several bytes, the last
 * value of a count in another event than the first.
 */
#include "workers/proxy_replay_test.h"

#include <stddef.h>

/* --- OpenAI: tools, a cache, reasoning; usage in a chunk of its own --------
 */

#define OPENAI_CHUNK(delta, reason)                                            \
	"data: {\"id\":\"chatcmpl-7\",\"object\":\"chat.completion.chunk\","   \
	"\"created\":1795331040,\"model\":\"gpt-r0-2026\",\"service_tier\":"   \
	"\"default\",\"choices\":[{\"index\":0,\"delta\":{" delta              \
	"},\"logprobs\":null,\"finish_reason\":" reason                        \
	"}],\"usage\":null}\n\n"
#define OPENAI_USAGE                                                           \
	"\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":77,"           \
	"\"total_tokens\":197,\"prompt_tokens_details\":{\"cached_tokens\":"   \
	"64,\"audio_tokens\":0},\"completion_tokens_details\":{"               \
	"\"reasoning_tokens\":40,\"accepted_prediction_tokens\":0}}"

static const char openai_stream[] = OPENAI_CHUNK(
    "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null", "null")
    OPENAI_CHUNK("\"content\":\"Perch\xc3\xa9 \"", "null") OPENAI_CHUNK(
	"\"content\":\"\\ud83d\\ude00 \xf0\x9f\x98\x80 \\\"ja\\\"\"", "null")
	OPENAI_CHUNK(
	    "\"tool_calls\":[{\"index\":0,\"id\":\"call_a\","
	    "\"type\":\"function\",\"function\":{\"name\":\"f\","
	    "\"arguments\":\"\"}}]",
	    "null") OPENAI_CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{"
				 "\"arguments\":\"{\\\"q\\\":\"}}]",
				 "null")
	    OPENAI_CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{"
			 "\"arguments\":\"\\\"x\\\"}\"}}]",
			 "null")
		OPENAI_CHUNK(
		    "", "\"tool_calls\"") "data: "
					  "{\"id\":\"chatcmpl-7\",\"object\":"
					  "\"chat.completion.chunk\","
					  "\"created\":1795331040,\"model\":"
					  "\"gpt-r0-2026\",\"choices\":"
					  "[]," OPENAI_USAGE
					  "}\n\ndata: [DONE]\n\n";

static const char openai_answer[] =
    "{\"id\":\"chatcmpl-7\",\"object\":\"chat.completion\",\"created\":"
    "1795331040,\"model\":\"gpt-r0-2026\",\"choices\":[{\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"Perch\xc3\xa9 "
    "\\ud83d\\ude00 \xf0\x9f\x98\x80 \\\"ja\\\"\",\"refusal\":null,"
    "\"tool_calls\":[{\"id\":\"call_a\",\"type\":\"function\",\"function\":{"
    "\"name\":\"f\",\"arguments\":\"{\\\"q\\\":\\\"x\\\"}\"}}]},\"logprobs\":"
    "null,\"finish_reason\":\"tool_calls\"}]," OPENAI_USAGE "}";

/* --- DeepSeek: keep-alives, reasoning; usage beside the finish reason ------
 */

#define DEEPSEEK_CHUNK(delta, rest)                                            \
	"data: {\"id\":\"d-1\",\"object\":\"chat.completion.chunk\","          \
	"\"created\":1795331040,\"model\":\"gpt-r1-deep\",\"choices\":[{"      \
	"\"index\":0,\"delta\":{" delta "},\"logprobs\":null," rest "}\n\n"
#define DEEPSEEK_USAGE                                                         \
	"\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":45,"            \
	"\"total_tokens\":75,\"prompt_tokens_details\":{\"cached_tokens\":"    \
	"20},\"completion_tokens_details\":{\"reasoning_tokens\":12},"         \
	"\"prompt_cache_hit_tokens\":20,\"prompt_cache_miss_tokens\":10}"
#define DEEPSEEK_GOES_ON "\"finish_reason\":null}]"

static const char deepseek_stream[] =
    ": keep-alive\n\n: keep-alive\n\n" DEEPSEEK_CHUNK(
	"\"role\":\"assistant\",\"content\":null,\"reasoning_content\":"
	"\"Erst \"",
	DEEPSEEK_GOES_ON) DEEPSEEK_CHUNK("\"content\":null,\"reasoning_"
					 "content\":\"\xc3\xbc"
					 "ber\"",
					 DEEPSEEK_GOES_ON)
	DEEPSEEK_CHUNK(
	    "\"content\":\"Dann \",\"reasoning_content\":null",
	    DEEPSEEK_GOES_ON) ": keep-alive\n\n" DEEPSEEK_CHUNK("\"content\":"
								"\"weiter.\","
								"\"reasoning_"
								"content\":"
								"null",
								DEEPSEEK_GOES_ON)
	    DEEPSEEK_CHUNK(
		"\"content\":\"\",\"reasoning_content\":null",
		"\"finish_reason\":\"stop\"}]," DEEPSEEK_USAGE) "data: "
								"[DONE]\n\n";

static const char deepseek_answer[] =
    "\n\n\n{\"id\":\"d-1\",\"object\":\"chat.completion\",\"created\":"
    "1795331040,\"model\":\"gpt-r1-deep\",\"choices\":[{\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"Dann weiter.\","
    "\"reasoning_content\":\"Erst \xc3\xbc"
    "ber\"},\"logprobs\":null,\"finish_reason\":"
    "\"stop\"}]," DEEPSEEK_USAGE "}";

/* --- Anthropic: thinking, text, a tool, caches of both lives -------------- */

#define EVENT(type, members)                                                   \
	"event: " type "\ndata: {\"type\":\"" type "\"" members "}\n\n"
#define DELTA(index, type, member, text)                                       \
	EVENT("content_block_delta",                                           \
	      ",\"index\":" index ",\"delta\":{\"type\":\"" type               \
	      "\",\"" member "\":\"" text "\"}")
#define BLOCK(index, members)                                                  \
	EVENT("content_block_start",                                           \
	      ",\"index\":" index ",\"content_block\":{" members "}")
#define STOP(index) EVENT("content_block_stop", ",\"index\":" index)

static const char anthropic_stream[] = EVENT(
    "message_start",
    ",\"message\":{\"id\":\"msg_7\",\"type\":\"message\",\"role\":"
    "\"assistant\",\"model\":\"claude-r2-2026\",\"content\":[],"
    "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{"
    "\"input_tokens\":43,\"cache_creation_input_tokens\":30,"
    "\"cache_read_input_tokens\":500,\"cache_creation\":{"
    "\"ephemeral_5m_input_tokens\":10,\"ephemeral_1h_input_tokens\":20},"
    "\"output_tokens\":1,\"service_tier\":\"standard\"}}")
    BLOCK("0", "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"")
	EVENT("ping", "") DELTA("0", "thinking_delta", "thinking",
				"Hm\xc3\xa8") DELTA("0", "signature_delta",
						    "signature", "EqQBCg==")
	    STOP("0") BLOCK("1", "\"type\":\"text\",\"text\":\"\"") DELTA(
		"1", "text_delta", "text",
		"Vado \xe2\x80\xa8") DELTA("1", "text_delta", "text",
					   "\\ud83d\\ude00.") STOP("1")
		BLOCK("2",
		      "\"type\":\"tool_use\",\"id\":\"toolu_7\",\"name\":\"f\","
		      "\"input\":{}")
		    DELTA("2", "input_json_delta", "partial_json", "")
			DELTA("2", "input_json_delta", "partial_json",
			      "{\\\"q\\\": \\\"") DELTA("2", "input_json_delta",
							"partial_json",
							"x\\\"}") STOP("2")
			    EVENT("message_delta",
				  ",\"delta\":{\"stop_reason\":\"tool_use\","
				  "\"stop_sequence\":null},"
				  "\"usage\":{\"input_tokens\":61,\"output_"
				  "tokens\":89,"
				  "\"output_tokens_details\":{\"thinking_"
				  "tokens\":25}}") EVENT("message_stop", "");

static const char anthropic_answer[] =
    "{\"id\":\"msg_7\",\"type\":\"message\",\"role\":\"assistant\",\"model\":"
    "\"claude-r2-2026\",\"content\":[{\"type\":\"thinking\",\"thinking\":"
    "\"Hm\xc3\xa8\",\"signature\":\"EqQBCg==\"},{\"type\":\"text\",\"text\":"
    "\"Vado \xe2\x80\xa8\\ud83d\\ude00.\"},{\"type\":\"tool_use\",\"id\":"
    "\"toolu_7\",\"name\":\"f\",\"input\":{\"q\":\"x\"}}],\"stop_reason\":"
    "\"tool_use\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":61,"
    "\"cache_creation_input_tokens\":30,\"cache_read_input_tokens\":500,"
    "\"cache_creation\":{\"ephemeral_5m_input_tokens\":10,"
    "\"ephemeral_1h_input_tokens\":20},\"output_tokens\":89,"
    "\"output_tokens_details\":{\"thinking_tokens\":25}}}";

/* --- Anthropic: all of it again in the last event; an event to come --------
 */

static const char late_stream[] = EVENT(
    "message_start",
    ",\"message\":{\"id\":\"msg_8\",\"type\":\"message\",\"role\":"
    "\"assistant\",\"model\":\"claude-r3-2026\",\"content\":[],"
    "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{"
    "\"input_tokens\":9,\"cache_creation_input_tokens\":0,"
    "\"cache_read_input_tokens\":0,\"output_tokens\":2}}")
    EVENT("content_block_start",
	  ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":"
	  "\"\"}") DELTA("0", "text_delta", "text",
			 "A longer answer, ") EVENT("block_of_a_later_version",
						    ",\"index\":0,\"x\":[1,{}]")
	DELTA("0", "text_delta", "text", "in two parts.") STOP("0") EVENT(
	    "message_delta",
	    ",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
	    "\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":4,"
	    "\"cache_read_input_tokens\":0,\"output_tokens\":33}")
	    EVENT("message_stop", "");

static const char late_answer[] =
    "{\"id\":\"msg_8\",\"type\":\"message\",\"role\":\"assistant\",\"model\":"
    "\"claude-r3-2026\",\"content\":[{\"type\":\"text\",\"text\":\"A longer "
    "answer, in two parts.\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":"
    "null,\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":4,"
    "\"cache_read_input_tokens\":0,\"output_tokens\":33}}";

const struct replay replays[REPLAYS] = {
    {"gpt-r0",
     openai_stream,
     openai_answer,
     {{"\"choices\":[],", 56, 64, 0, 0, 77, 40}}},
    {"gpt-r1",
     deepseek_stream,
     deepseek_answer,
     {{"prompt_cache_hit_tokens", 10, 20, 0, 0, 45, 12}}},
    {"claude-r2",
     anthropic_stream,
     anthropic_answer,
     {{"message_start\",", 43, 500, 30, 20, 1, 0},
      {"\"input_tokens\":61", 61, 500, 30, 20, 89, 25}}},
    {"claude-r3",
     late_stream,
     late_answer,
     {{"message_start\",", 9, 0, 0, 0, 2, 0},
      {"\"input_tokens\":5", 5, 0, 4, 0, 33, 0}}},
};
