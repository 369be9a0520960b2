/* Rendered text with marker tokens in it, before it becomes tokens or display text. */
#ifndef JL_CHAT_MARKED_H
#define JL_CHAT_MARKED_H

#include <stddef.h>

#include "chat/buf.h"
#include "chat/text.h"

/* One line per marker of the Gemma 4 format: enumerator, token text. */
#define JL_MARK_LIST(X)                     \
    X(BOS,            "<bos>")              \
    X(TURN_OPEN,      "<|turn>")            \
    X(TURN_CLOSE,     "<turn|>")            \
    X(THINK,          "<|think|>")          \
    X(CHANNEL_OPEN,   "<|channel>")         \
    X(CHANNEL_CLOSE,  "<channel|>")         \
    X(TOOL_OPEN,      "<|tool>")            \
    X(TOOL_CLOSE,     "<tool|>")            \
    X(CALL_OPEN,      "<|tool_call>")       \
    X(CALL_CLOSE,     "<tool_call|>")       \
    X(RESPONSE_OPEN,  "<|tool_response>")   \
    X(RESPONSE_CLOSE, "<tool_response|>")   \
    X(QUOTE,          "<|\"|>")

#define JL_MARK_LIST_LLAMA3(X)                 \
    X(L3_BOS,          "<|begin_of_text|>")   \
    X(L3_HEADER_OPEN,  "<|start_header_id|>") \
    X(L3_HEADER_CLOSE, "<|end_header_id|>")   \
    X(L3_EOT,          "<|eot_id|>")          \
    X(L3_EOM,          "<|eom_id|>")          \
    X(L3_PYTHON,       "<|python_tag|>")

#define JL_MARK_LIST_MISTRAL(X)                \
    X(M_BOS,           "<s>")                 \
    X(M_EOS,           "</s>")                \
    X(M_INST_OPEN,     "[INST]")              \
    X(M_INST_CLOSE,    "[/INST]")             \
    X(M_TOOLS_OPEN,    "[AVAILABLE_TOOLS]")   \
    X(M_TOOLS_CLOSE,   "[/AVAILABLE_TOOLS]")  \
    X(M_RESULTS_OPEN,  "[TOOL_RESULTS]")      \
    X(M_RESULTS_CLOSE, "[/TOOL_RESULTS]")     \
    X(M_CALLS,         "[TOOL_CALLS]")        \
    X(M_SYSTEM_OPEN,   "[SYSTEM_PROMPT]")     \
    X(M_SYSTEM_CLOSE,  "[/SYSTEM_PROMPT]")    \
    X(M_CALL_ID,       "[CALL_ID]")           \
    X(M_ARGS,          "[ARGS]")              \
    X(M_RESULT_CONTENT, "[TOOL_CONTENT]")

/* Gemma 4's first; JL_MARK_COUNT is their number, JL_MARK_END that of all families. */
typedef enum {
#define JL_MARK_ENUM(name, text) JL_MARK_##name,
    JL_MARK_LIST(JL_MARK_ENUM)
    JL_MARK_COUNT,
    JL_MARK_BEFORE_LLAMA3 = JL_MARK_COUNT - 1,
    JL_MARK_LIST_LLAMA3(JL_MARK_ENUM)
    JL_MARK_LIST_MISTRAL(JL_MARK_ENUM)
#undef JL_MARK_ENUM
    JL_MARK_END
} jl_mark;

const char *jl_mark_text(jl_mark mark);

typedef struct {
    size_t offset; /* bytes of text before the mark */
    jl_mark mark;
} jl_mark_at;

typedef struct {
    jl_buf text; /* without the marks */
    jl_mark_at *marks;
    size_t n_marks;
    size_t cap;
} jl_marked;

void jl_marked_init(jl_marked *m, size_t max_bytes);
void jl_marked_free(jl_marked *m);
JL_MUST_CHECK jl_status jl_marked_mark(jl_marked *m, jl_mark mark, jl_error *err);
JL_MUST_CHECK jl_status jl_marked_puts(jl_marked *m, const char *s, jl_error *err);
JL_MUST_CHECK jl_status jl_marked_put(jl_marked *m, jl_chat_text t, jl_error *err);
/* The text between two quote marks. */
JL_MUST_CHECK jl_status jl_marked_quoted(jl_marked *m, jl_chat_text t, jl_error *err);
/* Marks written out as their token text. */
JL_MUST_CHECK jl_status jl_marked_flatten(const jl_marked *m, jl_buf *out, jl_error *err);

#endif
