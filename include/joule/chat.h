/* Conversations to tokens, and tokens back to messages: rendering of chat prompts and an
 * incremental parser of replies (text, thoughts, tool calls). The chat format is chosen from the
 * template text in the model file; an unknown template is refused, never replaced.
 *
 * Marker tokens are written by id. Text that comes from people, tools or files is never parsed for
 * special tokens. Strings given with a length may hold any bytes; invalid UTF-8 is replaced by
 * U+FFFD. Objects are thread-compatible; a jl_chat is immutable and thread-safe. */
#ifndef JL_JOULE_CHAT_H
#define JL_JOULE_CHAT_H

#include "joule/joule.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jl_chat jl_chat;                 /* a chat format bound to a tokenizer */
typedef struct jl_conversation jl_conversation; /* messages and tools, owned copies */
typedef struct jl_chat_parser jl_chat_parser;   /* one reply being read */

/* ---- the format ------------------------------------------------------------------------- */

typedef enum {
    JL_CHAT_UNKNOWN = 0,
    JL_CHAT_GEMMA4_LARGE, /* 12B, 26B-A4B, 31B: thinking off is written as an empty thought */
    JL_CHAT_GEMMA4_SMALL, /* E2B, E4B: no empty thought */
    JL_CHAT_LLAMA3,       /* Llama 3.1 to 3.3 */
    JL_CHAT_MISTRAL_V7,   /* Mistral Small 24B 2501 and 3.1 */
    JL_CHAT_MISTRAL_V3,   /* Mistral Nemo and others of the first Tekken vocabulary */
    JL_CHAT_MISTRAL_V11   /* Mistral Small 3.2 */
} jl_chat_format;

typedef struct {
    jl_chat_format format;
    bool official;      /* byte for byte a published template whose rendering joule reproduces */
    char text[400];     /* what was recognised, or why the template is refused and what to do */
} jl_chat_identity;

/* Recognises a chat template by its text. Never fails: format is JL_CHAT_UNKNOWN and text says why
 * when the template is absent (NULL) or none that joule renders. */
JL_API void jl_chat_identify(const char *template_text, size_t len, jl_chat_identity *out);

/* "gemma4-large" ...; never NULL. */
JL_API const char *jl_chat_format_name(jl_chat_format format);

/* The format of a model's own template. JL_UNSUPPORTED with the reason if the template is not known
 * or a marker token is missing from the vocabulary. The model must outlive the jl_chat. */
JL_API JL_MUST_CHECK jl_status jl_chat_create(const jl_model *model, jl_chat **out, jl_error *err);
/* The same with a format chosen by the caller (a person's explicit choice, never a fallback). */
JL_API JL_MUST_CHECK jl_status jl_chat_create_as(const jl_model *model, jl_chat_format format,
                                                 jl_chat **out, jl_error *err);
JL_API void jl_chat_destroy(jl_chat *chat); /* NULL is fine */
JL_API const jl_chat_identity *jl_chat_get_identity(const jl_chat *chat);

/* ---- conversations ---------------------------------------------------------------------- */

typedef enum {
    JL_ROLE_SYSTEM = 0,
    JL_ROLE_DEVELOPER,
    JL_ROLE_USER,
    JL_ROLE_ASSISTANT,
    JL_ROLE_TOOL
} jl_chat_role;

typedef enum { JL_PART_TEXT = 0, JL_PART_IMAGE, JL_PART_AUDIO, JL_PART_VIDEO } jl_chat_part_kind;

typedef struct {
    const char *ptr; /* NULL: absent, which is not the same as empty */
    size_t len;      /* bytes */
} jl_chat_text;

typedef struct {
    jl_chat_part_kind kind;
    jl_chat_text text; /* of JL_PART_TEXT; other kinds are refused when the prompt is rendered */
} jl_chat_part;

typedef struct {
    const char *id;         /* NUL-terminated; NULL: none */
    const char *name;       /* NUL-terminated, not empty; need not be a declared tool */
    jl_chat_text arguments; /* a JSON object; absent, empty or null: no arguments */
} jl_chat_call;

typedef struct {
    jl_chat_role role;
    jl_chat_text content;      /* the text, when there are no parts */
    const jl_chat_part *parts; /* [n_parts], instead of content */
    size_t n_parts;
    jl_chat_text reasoning;    /* the thought of an assistant message */
    const jl_chat_call *calls; /* [n_calls], of an assistant message */
    size_t n_calls;
    const char *call_id;       /* of a tool message: the call it answers; NULL: none */
    const char *name;          /* of a tool message: the tool, if no call has call_id; NULL: none */
} jl_chat_message;

/* Text of a C string. */
static inline jl_chat_text jl_chat_str(const char *s)
{
    jl_chat_text t = {s, 0};
    while (s && s[t.len])
        t.len++;
    return t;
}

/* An empty conversation that holds at most max_bytes of text (0: 256 MiB). */
JL_API JL_MUST_CHECK jl_status jl_conversation_create(size_t max_bytes, jl_conversation **out,
                                                      jl_error *err);
JL_API void jl_conversation_destroy(jl_conversation *conv); /* NULL is fine */
/* Appends a copy. JL_INVALID (arguments not a JSON object, calls on a user message, ...) names the
 * message and field; JL_TOO_LARGE beyond max_bytes. The conversation is unchanged on failure. */
JL_API JL_MUST_CHECK jl_status jl_conversation_add(jl_conversation *conv,
                                                   const jl_chat_message *message, jl_error *err);
/* Declares the tools: a JSON array of {"type":"function","function":{"name","description",
 * "parameters"}}; NULL or an empty array removes them. */
JL_API JL_MUST_CHECK jl_status jl_conversation_set_tools(jl_conversation *conv, const char *json,
                                                         size_t len, jl_error *err);
/* Appends the "messages" and sets the "tools" of an OpenAI chat completion request (unknown keys
 * are ignored). err->offset is the position of a JSON syntax error. */
JL_API JL_MUST_CHECK jl_status jl_conversation_load(jl_conversation *conv, const char *json,
                                                    size_t len, jl_error *err);
JL_API size_t jl_conversation_length(const jl_conversation *conv); /* messages */
/* Message i, the conversation's until it is truncated below i or destroyed; NULL out of range. */
JL_API const jl_chat_message *jl_conversation_at(const jl_conversation *conv, size_t i);
/* Keeps the first n_messages. */
JL_API void jl_conversation_truncate(jl_conversation *conv, size_t n_messages);

/* ---- rendering -------------------------------------------------------------------------- */

typedef struct {
    uint32_t struct_size;       /* sizeof(jl_chat_options) */
    bool thinking;              /* ask the model to think */
    bool no_generation_prompt;  /* do not open the model's turn at the end */
    bool preserve_thinking;     /* keep thoughts of earlier messages that have tool calls */
} jl_chat_options;

typedef struct {
    int32_t *tokens;  /* [n_tokens], begins with <bos>; owned, see jl_chat_prompt_free */
    size_t n_tokens;
    bool in_thought;  /* the prompt ends inside a thought: give it to the parser */
} jl_chat_prompt;

/* Renders the whole conversation. options may be NULL. JL_UNSUPPORTED for images, audio and video,
 * JL_INVALID for tool schemas the template cannot write. */
JL_API JL_MUST_CHECK jl_status jl_chat_render(const jl_chat *chat, const jl_conversation *conv,
                                              const jl_chat_options *options, jl_chat_prompt *out,
                                              jl_error *err);
JL_API void jl_chat_prompt_free(jl_chat_prompt *prompt); /* frees tokens, zeroes; NULL is fine */
/* The same as text with the marks written out, NUL-terminated, for people and tests. Free with
 * jl_chat_text_free. Feeding it to a tokenizer is not equivalent: text may look like marks. */
JL_API JL_MUST_CHECK jl_status jl_chat_render_text(jl_chat_format format,
                                                   const jl_conversation *conv,
                                                   const jl_chat_options *options, char **out,
                                                   size_t *len, jl_error *err);
JL_API void jl_chat_text_free(char *text);

/* ---- reading a reply -------------------------------------------------------------------- */

typedef enum {
    JL_EVENT_CONTENT = 0,   /* text of the answer */
    JL_EVENT_REASONING,     /* text of a thought */
    JL_EVENT_CALL_BEGIN,    /* call: id and name are known */
    JL_EVENT_CALL_ARGUMENTS, /* text: the next piece of the arguments' JSON */
    JL_EVENT_CALL_END,      /* complete: the arguments are a whole JSON object */
    JL_EVENT_REPAIR,        /* the model's output was mended: repair, text says what */
    JL_EVENT_FINISH         /* finish */
} jl_chat_event_kind;

/* One line per repair: enumerator, what happened. */
#define JL_REPAIR_LIST(X)                                                                \
    X(CALL_NOT_CLOSED,   "a tool call had no end mark")                                  \
    X(BRACE_MISSING,     "a closing brace or bracket was missing")                       \
    X(QUOTE_MISSING,     "a string had no closing mark")                                 \
    X(QUOTE_UNOPENED,    "a string had no opening mark")                                 \
    X(QUOTE_INSIDE,      "a string mark inside a string was kept as text")               \
    X(MARK_INSIDE,       "a marker inside a string was kept as text")                    \
    X(FOREIGN_QUOTES,    "a string was written in JSON or single quotes")                \
    X(QUOTED_KEY,        "a key was written in quotes")                                  \
    X(UNQUOTED_STRING,   "a string was written without marks")                           \
    X(COMMA_MISSING,     "a comma or colon was missing")                                 \
    X(NUMBER_AS_STRING,  "a number was written as a string")                             \
    X(BOOLEAN_AS_STRING, "a boolean was written as a string")                            \
    X(JSON_AS_STRING,    "an object or array was written as a string")                   \
    X(STRING_AS_LITERAL, "a string was written as a number or literal")                  \
    X(LITERAL_SPELLING,  "true, false, null or a number was spelled in another way")     \
    X(DUPLICATE_KEY,     "a repeated key was dropped")                                   \
    X(KEY_WITHOUT_VALUE, "a key without a value was dropped")                            \
    X(ARGUMENTS_BURIED,  "arguments inside a container were moved out of it")            \
    X(TOO_DEEP,          "values nested too deeply were written as null")                \
    X(TEXT_AFTER_CALL,   "text after the arguments of a call was dropped")               \
    X(CALL_WITHOUT_NAME, "a tool call without a name was kept as text")                  \
    X(NO_ARGUMENTS,      "a tool call had no argument list")                             \
    X(THOUGHT_NOT_CLOSED, "a thought had no end mark")                                   \
    X(THOUGHT_REOPENED,  "a thought was opened inside a thought")                        \
    X(STRAY_MARK,        "a marker in the wrong place was dropped")                      \
    X(RAW_CONTROL,       "a control character inside a string was escaped")              \
    X(BAD_UTF8,          "bytes that are not UTF-8 were replaced")

typedef enum {
#define JL_REPAIR_ENUM(name, text) JL_REPAIR_##name,
    JL_REPAIR_LIST(JL_REPAIR_ENUM)
#undef JL_REPAIR_ENUM
    JL_REPAIR_COUNT
} jl_chat_repair;

JL_API const char *jl_chat_repair_name(jl_chat_repair repair); /* "QUOTE_MISSING"; never NULL */
JL_API const char *jl_chat_repair_text(jl_chat_repair repair); /* never NULL */

typedef enum {
    JL_FINISH_STOP = 0,   /* the model ended its turn, or a stop string was met */
    JL_FINISH_TOOL_CALLS, /* at least one whole call */
    JL_FINISH_LENGTH,     /* cut by the token limit */
    JL_FINISH_CANCELLED
} jl_chat_finish;

JL_API const char *jl_chat_finish_name(jl_chat_finish finish); /* "tool_calls"; never NULL */

typedef struct {
    jl_chat_event_kind kind;
    const char *text; /* NUL-terminated UTF-8, valid during the callback; "" if none */
    size_t len;
    int call;         /* index of the call in this reply, -1 outside calls */
    const char *id;   /* CALL_BEGIN: unique within the process's parsers of different seeds */
    const char *name; /* CALL_BEGIN */
    bool complete;    /* CALL_END */
    jl_chat_repair repair;
    jl_chat_finish finish;
} jl_chat_event;

/* Receives events in order. Must not call into the parser. */
typedef void jl_chat_event_fn(void *ctx, const jl_chat_event *event);

typedef struct {
    uint32_t struct_size;
    bool in_thought;    /* from jl_chat_prompt */
    uint64_t id_seed;   /* makes the ids of calls; 0: from the clock */
    size_t max_bytes;   /* of text kept for one reply; 0: 64 MiB */
} jl_chat_parser_params;

/* A parser for one reply. tools (may be NULL) supplies the schemas that direct repairs and must
 * outlive the parser unchanged; params may be NULL. */
JL_API JL_MUST_CHECK jl_status jl_chat_parser_create(const jl_chat *chat,
                                                     const jl_conversation *tools,
                                                     const jl_chat_parser_params *params,
                                                     jl_chat_event_fn *fn, void *ctx,
                                                     jl_chat_parser **out, jl_error *err);
JL_API void jl_chat_parser_destroy(jl_chat_parser *parser); /* NULL is fine */
/* The next token of the reply, end-of-generation tokens included. The concatenated events do not
 * depend on how the text was cut into tokens. Fails with JL_TOO_LARGE or JL_NO_MEMORY only. */
JL_API JL_MUST_CHECK jl_status jl_chat_parser_push(jl_chat_parser *parser, int32_t token,
                                                   jl_error *err);
/* Ends the reply; finish is why generation stopped as the caller knows it (STOP, LENGTH or
 * CANCELLED). Open thoughts and calls are closed: after STOP a cut call is mended and reported,
 * after LENGTH and CANCELLED it stays incomplete. The last event is FINISH. */
JL_API JL_MUST_CHECK jl_status jl_chat_parser_finish(jl_chat_parser *parser, jl_chat_finish finish,
                                                     jl_error *err);
/* What has been read so far as a message for jl_conversation_add: content, reasoning and whole
 * calls. The parser's, valid until the next call on it. */
JL_API const jl_chat_message *jl_chat_parser_message(jl_chat_parser *parser);

/* ---- loops ------------------------------------------------------------------------------ */

/* Watches the tokens of one reply for text that repeats itself. Zero-initialise it. */
enum { JL_LOOP_MAX_PERIOD = 512 };
typedef struct {
    uint64_t n_tokens;
    int32_t recent[JL_LOOP_MAX_PERIOD];
    uint32_t run[JL_LOOP_MAX_PERIOD]; /* tokens in a row that equal the one `period` before */
} jl_loop_guard;

/* A cycle at the end of what has been seen: its length (tokens, or steps) and how often it stood
 * there in a row; repeats 1 is no loop. */
typedef struct {
    uint32_t period;
    uint32_t repeats;
} jl_loop;

/* Takes a token. Returns the shortest cycle of at least min_repeats repeats over at least
 * min_tokens tokens (0: 8 and 512), else {0, 1}. Does not allocate; a call costs about a
 * microsecond. */
JL_API jl_loop jl_loop_guard_push(jl_loop_guard *guard, int32_t token, uint32_t min_repeats,
                                  uint32_t min_tokens);

/* How often the tool calls of a reply have been made in a row since the last user message, with the
 * same arguments (whatever their order) and the same results, alone or in a cycle of up to 4 steps.
 * {0, 1} if the reply has no calls or they are new. */
JL_API JL_MUST_CHECK jl_status jl_conversation_find_loop(const jl_conversation *conv,
                                                         const jl_chat_message *reply,
                                                         jl_loop *out, jl_error *err);

#ifdef __cplusplus
}
#endif
#endif
