/* Text rules of the chat templates, which were written for Python: what counts as blank, how keys
 * are ordered, how numbers and containers are printed. */
#ifndef JL_CHAT_TEXT_H
#define JL_CHAT_TEXT_H

#include <jansson.h>
#include <stdbool.h>

#include "chat/buf.h"
#include "joule/chat.h"

/* Deepest nesting of JSON values that is rendered or parsed. */
enum { JL_CHAT_MAX_DEPTH = 64 };

/* str.strip(): without Unicode blanks at both ends. */
jl_chat_text jl_text_strip(jl_chat_text t);
/* Appends the text with invalid UTF-8 replaced by U+FFFD. */
JL_MUST_CHECK jl_status jl_text_put_valid(jl_buf *out, const char *s, size_t len, jl_error *err);
/* str(): strings as they are, None, True, False, floats with the fewest digits that read back,
 * containers in Python's notation. NULL prints nothing. */
JL_MUST_CHECK jl_status jl_text_put_str(jl_buf *out, const json_t *v, jl_error *err);
/* json.dumps(v, ensure_ascii=False): with indent >= 0 in lines, indented by that many blanks a
 * level; NULL is null. */
JL_MUST_CHECK jl_status jl_text_put_json(jl_buf *out, const json_t *v, int indent, jl_error *err);
JL_MUST_CHECK jl_status jl_text_put_json_string(jl_buf *out, jl_chat_text t, jl_error *err);
/* upper(): ASCII letters. */
void jl_text_upper(jl_buf *b);
/* Whether Python takes the value for true; NULL is false. */
bool jl_text_truthy(const json_t *v);

typedef struct {
    const char *key;
    json_t *value;
    size_t index; /* position in the object */
} jl_text_item;

/* The members of an object sorted by lower-cased key (ASCII, Latin-1, Greek, Cyrillic), equal
 * keys in their order. *items is to be freed with jl_free; NULL when there are none. */
JL_MUST_CHECK jl_status jl_text_dictsort(const json_t *object, jl_text_item **items, size_t *n,
                                         jl_error *err);

/* Parses JSON text; integers beyond 64 bits become reals. what names the text in the message. The
 * byte offset of a syntax error is in err->offset. */
JL_MUST_CHECK jl_status jl_text_parse_json(const char *s, size_t len, const char *what,
                                           json_t **out, jl_error *err);

#endif
