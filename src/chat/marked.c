#include "chat/marked.h"

#include "base/mem.h"

const char *jl_mark_text(jl_mark mark)
{
    static const char *const texts[] = {
#define JL_MARK_TEXT(name, text) text,
        JL_MARK_LIST(JL_MARK_TEXT) JL_MARK_LIST_LLAMA3(JL_MARK_TEXT)
        JL_MARK_LIST_MISTRAL(JL_MARK_TEXT)
#undef JL_MARK_TEXT
    };
    return (unsigned)mark < JL_MARK_END ? texts[mark] : "";
}

void jl_marked_init(jl_marked *m, size_t max_bytes)
{
    *m = (jl_marked){0};
    jl_buf_init(&m->text, max_bytes);
}

void jl_marked_free(jl_marked *m)
{
    jl_buf_free(&m->text);
    jl_free(m->marks);
    m->marks = NULL;
    m->n_marks = m->cap = 0;
}

jl_status jl_marked_mark(jl_marked *m, jl_mark mark, jl_error *err)
{
    JL_TRY(jl_grow(&m->marks, &m->cap, m->n_marks + 1, sizeof *m->marks, err));
    m->marks[m->n_marks++] = (jl_mark_at){m->text.len, mark};
    return JL_OK;
}

jl_status jl_marked_puts(jl_marked *m, const char *s, jl_error *err)
{
    return jl_buf_puts(&m->text, s, err);
}

jl_status jl_marked_put(jl_marked *m, jl_chat_text t, jl_error *err)
{
    return jl_buf_put(&m->text, t.ptr, t.len, err);
}

jl_status jl_marked_quoted(jl_marked *m, jl_chat_text t, jl_error *err)
{
    JL_TRY(jl_marked_mark(m, JL_MARK_QUOTE, err));
    JL_TRY(jl_marked_put(m, t, err));
    return jl_marked_mark(m, JL_MARK_QUOTE, err);
}

jl_status jl_marked_flatten(const jl_marked *m, jl_buf *out, jl_error *err)
{
    const char *s = jl_buf_str(&m->text);
    size_t done = 0;
    for (size_t i = 0; i < m->n_marks; i++) {
        JL_TRY(jl_buf_put(out, s + done, m->marks[i].offset - done, err));
        JL_TRY(jl_buf_puts(out, jl_mark_text(m->marks[i].mark), err));
        done = m->marks[i].offset;
    }
    return jl_buf_put(out, s + done, m->text.len - done, err);
}
