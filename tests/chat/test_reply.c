/* Replies of a model, good and bad, under every split of the stream. */
#include <jansson.h>
#include <string.h>

#include "chat/replay.h"
#include "test.h"

#define Q "<|\"|>"
#define CALL "<|tool_call>call:"
#define END "<tool_call|>"

/* Tools the cases call. */
static const char tools_json[] =
    "[{\"function\":{\"name\":\"bash\",\"parameters\":{\"type\":\"object\",\"properties\":{"
    "\"command\":{\"type\":\"string\"},\"timeout\":{\"type\":\"integer\"},"
    "\"background\":{\"type\":\"boolean\"}},\"required\":[\"command\"]}}},"
    "{\"function\":{\"name\":\"edit\",\"parameters\":{\"type\":\"object\",\"properties\":{"
    "\"filePath\":{\"type\":\"string\"},\"oldString\":{\"type\":\"string\"},"
    "\"newString\":{\"type\":\"string\"},\"replaceAll\":{\"type\":\"boolean\"},"
    "\"lines\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},"
    "\"opts\":{\"type\":\"object\",\"properties\":{\"depth\":{\"type\":\"number\"},"
    "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}},"
    "\"limit\":{\"anyOf\":[{\"type\":\"number\"},{\"type\":\"null\"}]},"
    "\"mode\":{\"$ref\":\"#/$defs/mode\"}},\"$defs\":{\"mode\":{\"enum\":[1,2]}},"
    "\"required\":[\"filePath\",\"oldString\"]}}}]";

typedef struct {
    const char *name;
    const char *reply;
    const char *log;
    bool in_thought;
    jl_chat_finish finish;
} reply_case;

static const reply_case cases[] = {
    /* ---- text and thoughts ---- */
    {"empty", "", "F0|stop\n", 0, 0},
    {"text", "Hello, world\n", "C|Hello, world\n\nF0|stop\n", 0, 0},
    {"end of turn", "Hi<turn|>ignored" CALL "x{}", "C|Hi\nF0|stop\n", 0, 0},
    {"thought", "<|channel>thought\nhm\n<channel|>Hi<turn|>", "R|hm\nC|Hi\nF0|stop\n", 0, 0},
    {"thought of two lines", "<|channel>thought\na\n\nb\n\n<channel|>Hi", "R|a\n\nb\n\nC|Hi\n"
     "F0|stop\n",
     0, 0},
    {"empty thought", "<|channel>thought\n<channel|>Hi", "C|Hi\nF0|stop\n", 0, 0},
    {"empty thought without newline", "<|channel>thought<channel|>Hi", "C|Hi\nF0|stop\n", 0, 0},
    {"thought open in the prompt", "hm\n<channel|>Hi", "R|hm\nC|Hi\nF0|stop\n", 1, 0},
    {"thought opened twice", "<|channel>thought\nhm\n<channel|>Hi",
     "!-1|THOUGHT_REOPENED\nR|hm\nC|Hi\nF0|stop\n", 1, 0},
    {"thought opened again", "<|channel>thought\na\n<|channel>thought\nb\n<channel|>Hi",
     "R|a\n!-1|THOUGHT_REOPENED\nR|\nb\nC|Hi\nF0|stop\n", 0, 0},
    {"two thoughts", "<|channel>thought\na\n<channel|>x<|channel>thought\nb\n<channel|>y",
     "R|a\nC|x\nR|\nb\nC|y\nF0|stop\n", 0, 0},
    {"other channel", "<|channel>thoughts of mine<channel|>Hi", "R|thoughts of mine\nC|Hi\n"
     "F0|stop\n", 0,
     0},
    {"part of a channel name", "<|channel>thou<channel|>Hi", "R|thou\nC|Hi\nF0|stop\n", 0, 0},
    {"thought never closed", "<|channel>thought\nhm\n<turn|>", "R|hm\n!-1|THOUGHT_NOT_CLOSED\n"
     "F0|stop\n",
     0, 0},
    {"thought cut off", "<|channel>thought\nhm", "R|hm\nF0|length\n", 0, JL_FINISH_LENGTH},
    {"only a thought", "<|channel>thought\nhm\n<channel|>", "R|hm\nF0|stop\n", 0, 0},
    {"stray end of thought", "a<channel|>b", "C|a\n!-1|STRAY_MARK\nC|b\nF0|stop\n", 0, 0},
    {"quote mark in text", "say " Q "hi" Q, "C|say " Q "hi" Q "\nF0|stop\n", 0, 0},
    {"call begins inside a thought", "<|channel>thought\nhm" CALL "bash{command:" Q "ls" Q "}" END,
     "R|hm\n!-1|THOUGHT_NOT_CLOSED\nB0|bash\nA0|{\"command\":\"ls\"}\nE0|whole\nF0|tool_calls\n",
     0, 0},
    {"split character", "é😊", "C|é😊\nF0|stop\n", 0, 0},
    {"bad bytes", "a\xff\xc3z\xe2\x82", "C|a\n!-1|BAD_UTF8\nC|\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd"
     "\xef\xbf\xbd\nF0|stop\n", 0, 0},
    {"cancelled", "half", "C|half\nF0|cancelled\n", 0, JL_FINISH_CANCELLED},
    {"ended with its last token", "all<turn|>", "C|all\nF0|stop\n", 0, JL_FINISH_LENGTH},

    /* ---- calls as they should be ---- */
    {"call", CALL "bash{command:" Q "ls -la" Q "}" END "<|tool_response>",
     "B0|bash\nA0|{\"command\":\"ls -la\"}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"call after text", "I look.\n" CALL "bash{command:" Q "ls" Q "}" END "<turn|>",
     "C|I look.\n\nB0|bash\nA0|{\"command\":\"ls\"}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"no arguments", CALL "now{}" END, "B0|now\nA0|{}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"odd name", CALL "mcp.a-b_c9{}" END, "B0|mcp.a-b_c9\nA0|{}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"all types", CALL "f{a:1,b:-2.5e3,c:true,d:false,e:null,f:[1," Q "x" Q ",[]],g:{h:{},i:"
     Q Q "}}" END,
     "B0|f\nA0|{\"a\":1,\"b\":-2.5e3,\"c\":true,\"d\":false,\"e\":null,\"f\":[1,\"x\",[]],"
     "\"g\":{\"h\":{},\"i\":\"\"}}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"blanks", CALL " f { a : 1 , b : [ 1 , 2 ] , c : " Q " x " Q " }\n" END "\n",
     "B0|f\nA0|{\"a\":1,\"b\":[1,2],\"c\":\" x \"}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"quotes, braces and newlines in a string",
     CALL "edit{filePath:" Q "a.c" Q ",newString:" Q "if (x) {\n\tputs(\"a\\n\", '}');\n}\n`b` "
         "[c], d:e"
     Q ",oldString:" Q "}" Q "}" END,
     "B0|edit\nA0|{\"filePath\":\"a.c\",\"newString\":\"if (x) {\\n\\tputs(\\\"a\\\\n\\\", "
     "'}');\\n}\\n"
     "`b` [c], d:e\",\"oldString\":\"}\"}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"control bytes", CALL "f{a:" Q "\x1b[0m\x01" Q "}" END,
     "B0|f\nA0|{\"a\":\"\\u001b[0m\\u0001\"}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"two calls", CALL "f{a:1}" END CALL "g{b:2}" END "<|tool_response>",
     "B0|f\nA0|{\"a\":1}\nE0|whole\nB1|g\nA1|{\"b\":2}\nE1|whole\nF0|tool_calls\n", 0, 0},
    {"repeated end marks", CALL "f{}" END END END "\n" CALL "g{}" END END,
     "B0|f\nA0|{}\nE0|whole\nB1|g\nA1|{}\nE1|whole\nF0|tool_calls\n", 0, 0},
    {"text after a call", CALL "f{}" END "\nDone", "B0|f\nA0|{}\nE0|whole\nC|\nDone\n"
     "F0|tool_calls\n", 0, 0},
    {"call, thought, call", CALL "f{}" END "<|channel>thought\nhm\n<channel|>" CALL "g{}" END,
     "B0|f\nA0|{}\nE0|whole\nR|hm\nB1|g\nA1|{}\nE1|whole\nF0|tool_calls\n", 0, 0},
    {"stray end mark", "a" END "b", "C|a\n!-1|STRAY_MARK\nC|b\nF0|stop\n", 0, 0},
    {"key order is kept", CALL "f{b:1,a:2}" END, "B0|f\nA0|{\"b\":1,\"a\":2}\nE0|whole\n"
     "F0|tool_calls\n", 0,
     0},

    /* ---- cut off ---- */
    {"cut in a string", CALL "bash{command:" Q "ls -", "B0|bash\nA0|{\"command\":\"ls -\n"
     "E0|cut\nF0|length\n",
     0, JL_FINISH_LENGTH},
    {"cut before the end mark", CALL "bash{command:" Q "ls" Q "}",
     "B0|bash\nA0|{\"command\":\"ls\"}\nE0|whole\nF0|length\n", 0, JL_FINISH_LENGTH},
    {"cut in a key", CALL "bash{comm", "B0|bash\nA0|{\nE0|cut\nF0|length\n", 0, JL_FINISH_LENGTH},
    {"cut in a number", CALL "bash{timeout:12", "B0|bash\nA0|{\nE0|cut\nF0|length\n", 0,
     JL_FINISH_LENGTH},
    {"cut in the name", "x" CALL "ba", "C|x\nF0|length\n", 0, JL_FINISH_LENGTH},
    {"second call cut off", CALL "f{}" END CALL "g{a:[1,", "B0|f\nA0|{}\nE0|whole\nB1|g\n"
     "A1|{\"a\":[1\n"
     "E1|cut\nF0|length\n", 0, JL_FINISH_LENGTH},
    {"cancelled in a call", CALL "g{a:" Q "x", "B0|g\nA0|{\"a\":\"x\nE0|cut\nF0|cancelled\n", 0,
     JL_FINISH_CANCELLED},

    /* ---- missing marks ---- */
    {"no end mark", CALL "bash{command:" Q "ls" Q "}<turn|>",
     "B0|bash\nA0|{\"command\":\"ls\"}\n!0|CALL_NOT_CLOSED\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"no end mark, response mark", CALL "bash{command:" Q "ls" Q "}<|tool_response>",
     "B0|bash\nA0|{\"command\":\"ls\"}\n!0|CALL_NOT_CLOSED\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"no end mark between calls", CALL "f{a:1}" CALL "g{}" END,
     "B0|f\nA0|{\"a\":1}\n!0|CALL_NOT_CLOSED\nE0|whole\nB1|g\nA1|{}\nE1|whole\nF0|tool_calls\n",
     0, 0},
    {"no closing brace", CALL "bash{command:" Q "ls" Q END,
     "B0|bash\nA0|{\"command\":\"ls\"\n!0|BRACE_MISSING\nA0|}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"no brackets at all", CALL "f{a:[1,{b:2" END,
     "B0|f\nA0|{\"a\":[1,{\"b\":2\n!0|BRACE_MISSING\nA0|}]}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"missing bracket of an array", CALL "f{a:[1,2}" END,
     "B0|f\nA0|{\"a\":[1,2\n!0|BRACE_MISSING\nA0|]}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"no closing quote", CALL "bash{command:" Q "ls {x}}" END,
     "B0|bash\nA0|{\"command\":\"ls {x}\n!0|QUOTE_MISSING\nA0|\"}\nE0|whole\nF0|tool_calls\n", 0,
     0},
    {"no closing quote and no brace", CALL "bash{command:" Q "ls" END,
     "B0|bash\nA0|{\"command\":\"ls\n!0|QUOTE_MISSING\nA0|\"\n!0|BRACE_MISSING\nA0|}\nE0|whole\n"
     "F0|tool_calls\n", 0, 0},
    {"no closing quote in a list", CALL "f{a:[" Q "x" Q "," Q "y]}" END,
     "B0|f\nA0|{\"a\":[\"x\",\"y\n!0|QUOTE_MISSING\nA0|\"]}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"nothing closed at the end of the turn", CALL "bash{command:" Q "ls<turn|>",
     "B0|bash\nA0|{\"command\":\"ls\n!0|QUOTE_MISSING\nA0|\"\n!0|BRACE_MISSING\nA0|}\n"
     "!0|CALL_NOT_CLOSED\n"
     "E0|whole\nF0|tool_calls\n", 0, 0},
    {"no opening quote", CALL "bash{command:ls -la, now" Q "}" END,
     "B0|bash\nA0|{\n!0|QUOTE_UNOPENED\nA0|\"command\":\"ls -la, now\"}\nE0|whole\n"
     "F0|tool_calls\n", 0, 0},
    {"no quotes", CALL "bash{command:ls -la}" END,
     "B0|bash\nA0|{\"command\":\"ls -la\"\n!0|UNQUOTED_STRING\nA0|}\nE0|whole\nF0|tool_calls\n",
     0, 0},
    {"no quotes around braces and commas", CALL "bash{command:awk '{print $1, $2}' f}" END,
     "B0|bash\nA0|{\"command\":\"awk '{print $1, $2}' f\"\n!0|UNQUOTED_STRING\nA0|}\nE0|whole\n"
     "F0|tool_calls\n", 0, 0},
    {"no quotes, another key", CALL "bash{command:ls a, b,timeout:5}" END,
     "B0|bash\nA0|{\"command\":\"ls a, b\"\n!0|UNQUOTED_STRING\nA0|,\"timeout\":5}\nE0|whole\n"
     "F0|tool_calls\n", 0, 0},
    {"no quotes and no end", CALL "bash{command:make test<turn|>",
     "B0|bash\nA0|{\"command\":\"make test\"\n!0|UNQUOTED_STRING\n!0|BRACE_MISSING\nA0|}\n"
     "!0|CALL_NOT_CLOSED\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"no comma", CALL "bash{command:" Q "ls" Q " timeout:5}" END,
     "B0|bash\nA0|{\"command\":\"ls\"\n!0|COMMA_MISSING\nA0|,\"timeout\":5}\nE0|whole\n"
     "F0|tool_calls\n", 0, 0},
    {"no comma in a list", CALL "f{a:[" Q "x" Q " " Q "y" Q "]}" END,
     "B0|f\nA0|{\"a\":[\"x\"\n!0|COMMA_MISSING\nA0|,\"y\"]}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"no colon", CALL "bash{command" Q "ls" Q "}" END,
     "B0|bash\nA0|{\n!0|COMMA_MISSING\nA0|\"command\":\"ls\"}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"trailing commas", CALL "f{a:[1,],b:" Q "x" Q ",}" END,
     "B0|f\nA0|{\"a\":[1],\"b\":\"x\"}\nE0|whole\nF0|tool_calls\n", 0, 0},

    /* ---- strings that hold marks ---- */
    {"quote mark inside", CALL "edit{newString:" Q "a " Q "b" Q " c" Q ",oldString:" Q "x" Q "}"
     END,
     "B0|edit\nA0|{\"newString\":\"a <|\\\"|>b\n!0|QUOTE_INSIDE\nA0|<|\\\"|> c\n!0|QUOTE_INSIDE\n"
     "A0|\",\"oldString\":\"x\"}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"end mark inside", CALL "edit{newString:" Q "a" END "b" Q "}" END,
     "B0|edit\nA0|{\"newString\":\"a<tool_call|>\n!0|MARK_INSIDE\nA0|b\"}\nE0|whole\n"
     "F0|tool_calls\n", 0, 0},
    {"call mark inside", CALL "edit{newString:" Q "a<|tool_call>b" Q "}" END,
     "B0|edit\nA0|{\"newString\":\"a<|tool_call>\n!0|MARK_INSIDE\nA0|b\"}\nE0|whole\n"
     "F0|tool_calls\n", 0, 0},
    {"channel mark inside", CALL "edit{newString:" Q "a<|channel>b" Q "}" END,
     "B0|edit\nA0|{\"newString\":\"a<|channel>\n!0|MARK_INSIDE\nA0|b\"}\nE0|whole\n"
     "F0|tool_calls\n", 0, 0},
    {"comma and colon after a quote mark inside",
     CALL "edit{newString:" Q "x" Q ", y z: w" Q "}" END,
     "B0|edit\nA0|{\"newString\":\"x<|\\\"|>, y \n!0|QUOTE_INSIDE\nA0|z: w\"}\nE0|whole\n"
     "F0|tool_calls\n", 0,
     0},

    /* ---- other quotes ---- */
    {"JSON", CALL "bash{\"command\": \"echo \\\"hi\\\" \\u00e9\\n\", \"timeout\": 5}" END,
     "B0|bash\nA0|{\n!0|QUOTED_KEY\n!0|FOREIGN_QUOTES\nA0|\"command\":\"echo \\\"hi\\\" é\\n\"\n"
     "!0|QUOTED_KEY\nA0|,\"timeout\":5}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"key in quote marks", CALL "bash{" Q "command" Q ":" Q "ls" Q "}" END,
     "B0|bash\nA0|{\n!0|QUOTED_KEY\nA0|\"command\":\"ls\"}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"single quotes", CALL "bash{command:'it\\'s',timeout:5}" END,
     "B0|bash\nA0|{\n!0|FOREIGN_QUOTES\nA0|\"command\":\"it's\",\"timeout\":5}\nE0|whole\n"
     "F0|tool_calls\n", 0,
     0},
    {"surrogate pair", CALL "f{a:\"\\ud83d\\ude0a \\ud83d \\ud83d\\u0041 \\q\"}" END,
     "B0|f\nA0|{\n!0|FOREIGN_QUOTES\nA0|\"a\":\"😊 \xef\xbf\xbd \xef\xbf\xbd" "A \\\\q\"}\n"
     "E0|whole\n"
     "F0|tool_calls\n", 0, 0},
    {"quote inside JSON quotes", CALL "bash{command:\"say \"hi\" now\"}" END,
     "B0|bash\nA0|{\n!0|FOREIGN_QUOTES\nA0|\"command\":\"say \\\"hi\n!0|QUOTE_INSIDE\nA0|\\\" now\n"
     "!0|QUOTE_INSIDE\nA0|\"}\nE0|whole\nF0|tool_calls\n", 0, 0},

    /* ---- the schema decides ---- */
    {"number as string", CALL "bash{timeout:" Q "120" Q ",command:" Q "5" Q "}" END,
     "B0|bash\nA0|{\"timeout\":120\n!0|NUMBER_AS_STRING\nA0|,\"command\":\"5\"}\nE0|whole\n"
     "F0|tool_calls\n", 0,
     0},
    {"boolean as string", CALL "bash{background:" Q "True" Q ",command:" Q "true" Q "}" END,
     "B0|bash\nA0|{\"background\":true\n!0|BOOLEAN_AS_STRING\nA0|,\"command\":\"true\"}\nE0|whole\n"
     "F0|tool_calls\n", 0, 0},
    {"string as number", CALL "bash{command:5}" END,
     "B0|bash\nA0|{\"command\":\"5\"\n!0|STRING_AS_LITERAL\nA0|}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"list as string", CALL "edit{lines:" Q "[1, 2]" Q "}" END,
     "B0|edit\nA0|{\"lines\":[1, 2]\n!0|JSON_AS_STRING\nA0|}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"numbers inside values", CALL "edit{lines:[" Q "1" Q ",2],opts:{depth:" Q "2.5" Q ","
     "tags:[3]}}" END,
     "B0|edit\nA0|{\"lines\":[1\n!0|NUMBER_AS_STRING\nA0|,2],\"opts\":{\"depth\":2.5\n"
     "!0|NUMBER_AS_STRING\n"
     "A0|,\"tags\":[\"3\"\n!0|STRING_AS_LITERAL\nA0|]}}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"anyOf and $ref", CALL "edit{limit:" Q "7" Q ",mode:" Q "2" Q "}" END,
     "B0|edit\nA0|{\"limit\":7\n!0|NUMBER_AS_STRING\nA0|,\"mode\":2\n!0|NUMBER_AS_STRING\nA0|}\n"
     "E0|whole\n"
     "F0|tool_calls\n", 0, 0},
    {"text where a number should be", CALL "bash{timeout:" Q "soon" Q "}" END,
     "B0|bash\nA0|{\"timeout\":\"soon\"}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"Python's literals", CALL "bash{background:False,timeout:+5}" END,
     "B0|bash\nA0|{\"background\":false\n!0|LITERAL_SPELLING\nA0|,\"timeout\":5\n"
     "!0|LITERAL_SPELLING\nA0|}\n"
     "E0|whole\nF0|tool_calls\n", 0, 0},
    {"numbers out of range", CALL "f{a:1e999,b:123456789012345678901234567890}" END,
     "B0|f\nA0|{\"a\":\"1e999\"\n!0|UNQUOTED_STRING\nA0|,\"b\":123456789012345678901234567890}\n"
     "E0|whole\n"
     "F0|tool_calls\n", 0, 0},
    {"unknown tool", CALL "nope{a:" Q "1" Q ",b:True}" END,
     "B0|nope\nA0|{\"a\":\"1\",\"b\":true\n!0|LITERAL_SPELLING\nA0|}\nE0|whole\nF0|tool_calls\n",
     0, 0},
    {"arguments in a container", CALL "bash{arguments:{command:" Q "ls" Q ",timeout:" Q "5"
     Q "}}" END,
     "B0|bash\nA0|{\n!0|NUMBER_AS_STRING\nA0|\"command\":\"ls\",\"timeout\":5\n"
     "!0|ARGUMENTS_BURIED\nA0|}\n"
     "E0|whole\nF0|tool_calls\n", 0, 0},
    {"arguments beside a container", CALL "edit{filePath:" Q "a" Q ",input:{oldString:" Q "b"
     Q "}}" END,
     "B0|edit\nA0|{\"filePath\":\"a\",\"oldString\":\"b\"\n!0|ARGUMENTS_BURIED\nA0|}\nE0|whole\n"
     "F0|tool_calls\n", 0, 0},
    {"an unknown container is left alone", CALL "bash{extra:{x:1},command:" Q "ls" Q "}" END,
     "B0|bash\nA0|{\"extra\":{\"x\":1},\"command\":\"ls\"}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"repeated key", CALL "bash{command:" Q "a" Q ",command:" Q "b" Q ",timeout:1}" END,
     "B0|bash\nA0|{\"command\":\"a\"\n!0|DUPLICATE_KEY\nA0|,\"timeout\":1}\nE0|whole\n"
     "F0|tool_calls\n", 0, 0},

    /* ---- worse ---- */
    {"no argument list", CALL "now" END, "B0|now\nA0|{\n!0|NO_ARGUMENTS\nA0|}\nE0|whole\n"
     "F0|tool_calls\n", 0,
     0},
    {"no name", CALL "{a:1}" END, "!-1|CALL_WITHOUT_NAME\nC|call:{a:1}\n!-1|STRAY_MARK\n"
     "F0|stop\n", 0, 0},
    {"key without value", CALL "f{a,b:1}" END,
     "B0|f\nA0|{\n!0|KEY_WITHOUT_VALUE\nA0|\"b\":1}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"key with nothing behind", CALL "f{a:,b:1}" END,
     "B0|f\nA0|{\n!0|KEY_WITHOUT_VALUE\nA0|\"b\":1}\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"text after the arguments", CALL "f{a:1} done" END,
     "B0|f\nA0|{\"a\":1}\n!0|TEXT_AFTER_CALL\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"two closing braces", CALL "f{a:1}}" END,
     "B0|f\nA0|{\"a\":1}\n!0|TEXT_AFTER_CALL\nE0|whole\nF0|tool_calls\n", 0, 0},
    {"call written as plain text", "call:f{a:1}", "C|call:f{a:1}\nF0|stop\n", 0, 0},
};

static bool cut_everywhere(void *ctx, size_t i)
{
    (void)ctx;
    (void)i;
    return true;
}

static bool cut_at(void *ctx, size_t i)
{
    return i == *(size_t *)ctx;
}

static bool cut_by_bits(void *ctx, size_t i)
{
    return *(uint64_t *)ctx >> (i & 63) & 1;
}

static json_t *tools;

/* Runs one case cut by `cut` and compares the whole log. */
static bool agrees(const reply_case *c, replay_cut *cut, void *ctx, const char *how)
{
    const replay_params params = {tools, c->in_thought, c->finish};
    replay_log log;
    replay(c->reply, strlen(c->reply), &params, cut, ctx, &log);
    const bool same = !log.broken && strcmp(log.log, c->log) == 0;
    if (!same)
        print_error("%s, %s%s:\n--- got\n%s--- expected\n%s", c->name, how,
                    log.broken ? " (protocol broken)" : "", log.log, c->log);
    replay_log_free(&log);
    return same;
}

static void test_cases(void **state)
{
    (void)state;
    size_t n_bad = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        n_bad += !agrees(&cases[i], NULL, NULL, "whole");
    assert_int_equal(n_bad, 0);
}

static void test_splits(void **state)
{
    (void)state;
    uint64_t seed = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const reply_case *c = &cases[i];
        const size_t len = strlen(c->reply);
        assert_true(agrees(c, cut_everywhere, NULL, "byte by byte"));
        for (size_t at = 0; at <= len; at++)
            assert_true(agrees(c, cut_at, &at, "in two"));
        /* All splits of short replies, a thousand of long ones. */
        const uint64_t n = len <= 12 ? (uint64_t)1 << len : 1000;
        for (uint64_t k = 0; k < n; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            uint64_t bits = len <= 12 ? k : seed >> 1 & seed >> 20;
            assert_true(agrees(c, cut_by_bits, &bits, "in pieces"));
        }
    }
}

/* A value nested beyond the limit becomes null; the call stays whole. */
static void test_depth(void **state)
{
    (void)state;
    static char text[3000];
    size_t n = (size_t)sprintf(text, "%s", CALL "f{a:");
    for (int i = 0; i < 1000; i++)
        text[n++] = i % 2 ? '[' : '{';
    strcpy(text + n, ",b:1}" END);
    const replay_params params = {NULL, false, JL_FINISH_STOP};
    replay_log log;
    replay(text, strlen(text), &params, NULL, NULL, &log);
    assert_false(log.broken);
    assert_non_null(strstr(log.log, "E0|whole"));
    replay_log_free(&log);
}

/* A whole file as an argument, with everything in it that ends strings elsewhere. */
static void test_long_argument(void **state)
{
    (void)state;
    static const char line[] =
        "\tif (s[i] == '\"' || t[i] == '}') { puts(\"`a`, b:\\n\"); } // {[\n";
    enum { N_LINES = 3000 };
    const size_t n = sizeof line - 1;
    char *text = malloc(N_LINES * n + 200);
    uint64_t bits = 0x123456789abcdef0u;
    assert_non_null(text);
    size_t len = (size_t)sprintf(text, CALL "edit{filePath:" Q "a.c" Q ",newString:" Q);
    for (int i = 0; i < N_LINES; i++, len += n)
        memcpy(text + len, line, n);
    len += (size_t)sprintf(text + len, Q ",oldString:" Q "x" Q "}" END);

    const replay_params params = {tools, false, JL_FINISH_STOP};
    replay_log whole, bytes, pieces;
    replay(text, len, &params, NULL, NULL, &whole);
    replay(text, len, &params, cut_everywhere, NULL, &bytes);
    replay(text, len, &params, cut_by_bits, &bits, &pieces);
    assert_false(whole.broken || bytes.broken || pieces.broken);
    assert_string_equal(whole.log, bytes.log);
    assert_string_equal(whole.log, pieces.log);
    assert_null(strstr(whole.log, "\n!"));
    assert_non_null(strstr(whole.log, "E0|whole\nF0|tool_calls\n"));
    const char *arguments = strchr(whole.log, '{');
    json_t *v = json_loadb(arguments, (size_t)(strstr(whole.log, "\nE0") - arguments), 0, NULL);
    const json_t *made = json_object_get(v, "newString");
    assert_int_equal(json_string_length(made), N_LINES * n);
    assert_memory_equal(json_string_value(made), text + strlen(CALL "edit{filePath:" Q "a.c" Q
                                                               ",newString:" Q), N_LINES * n);
    json_decref(v);
    replay_log_free(&whole);
    replay_log_free(&bytes);
    replay_log_free(&pieces);
    free(text);
}

static void test_too_large(void **state)
{
    (void)state;
    const jl_chat_parser_params params = {.max_bytes = 100, .id_seed = 1};
    jl_reply r;
    replay_log log = {0};
    static const char text[] = "0123456789";
    jl_reply_init(&r, NULL, &params, replay_ignore, &log);
    for (int i = 0; i < 10; i++)
        jl_reply_text(&r, text, 10);
    assert_int_equal(r.status, JL_OK);
    jl_reply_text(&r, text, 10);
    assert_int_equal(r.status, JL_TOO_LARGE);
    assert_int_equal(jl_reply_message(&r)->content.len, 100);
    jl_reply_free(&r);
}

/* What was read can go back into a conversation, and reads the same when it is rendered. */
static void test_round_trip(void **state)
{
    (void)state;
    static const char reply[] = CALL "edit{filePath:" Q "a.c" Q ",lines:[1,2],oldString:"
        Q "\"x\"\n}" Q "}" END;
    jl_reply r;
    jl_error err = {0};
    jl_conversation *conv;
    const jl_chat_message user = {.role = JL_ROLE_USER, .content = jl_chat_str("go")};
    const jl_chat_options options = {.no_generation_prompt = true};
    const replay_params params = {NULL, false, JL_FINISH_STOP};
    replay_quietly(reply, &params, &r);
    assert_ok(jl_conversation_create(0, &conv, &err));
    assert_ok(jl_conversation_add(conv, &user, &err));
    assert_ok(jl_conversation_add(conv, jl_reply_message(&r), &err));
    char *text;
    size_t len;
    assert_ok(jl_chat_render_text(JL_CHAT_GEMMA4_LARGE, conv, &options, &text, &len, &err));
    assert_non_null(strstr(text, reply));
    jl_chat_text_free(text);
    jl_conversation_destroy(conv);
    jl_reply_free(&r);
}

static int setup(void **state)
{
    (void)state;
    tools = json_loads(tools_json, 0, NULL);
    return tools ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(tools);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),     cmocka_unit_test(test_splits),
        cmocka_unit_test(test_depth),     cmocka_unit_test(test_long_argument),
        cmocka_unit_test(test_too_large), cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
