/* Calls written as JSON. Llama 3: the reply is an object {"name", "parameters"}, or several, maybe
 * behind <|python_tag|>. Mistral: [TOOL_CALLS] and a list of {"name", "arguments", "id"}, or the
 * name and then the arguments. A call is handed over when its last brace has come. */
#include <string.h>

#include "chat/reply.h"
#include "chat/schema.h"

/* J_TEXT: no call may begin. J_START: one may begin here. J_BETWEEN: behind a call. */
enum { J_TEXT, J_START, J_BETWEEN, J_NAME, J_OBJECT };
enum { MAX_NAME = 256 };

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void put(jl_reply *r, jl_buf *b, const char *s, size_t len)
{
    if (r->status == JL_OK)
        r->status = jl_buf_put(b, s, len, &r->error);
}

void jl_reply_set_style(jl_reply *r, jl_call_style style)
{
    r->json.style = style;
    r->json.where = style == JL_CALLS_LLAMA3 && r->tools ? J_START : J_TEXT;
    jl_buf_init(&r->json.held, r->head.max);
    jl_buf_init(&r->json.name, r->head.max);
    jl_buf_init(&r->json.id, r->head.max);
}

void jl_reply_json_free(jl_reply *r)
{
    jl_buf_free(&r->json.held);
    jl_buf_free(&r->json.name);
    jl_buf_free(&r->json.id);
}

/* What was held is no call. */
static void give_up(jl_reply *r)
{
    put(r, &r->content, jl_buf_str(&r->json.name), r->json.name.len);
    put(r, &r->content, jl_buf_str(&r->json.held), r->json.held.len);
    jl_buf_clear(&r->json.name);
    jl_buf_clear(&r->json.id);
    jl_buf_clear(&r->json.held);
    r->json.list = false;
    r->json.where = J_TEXT;
}

/* ---- one object ------------------------------------------------------------------------- */

/* Copies JSON with control characters inside strings escaped, which models tend to forget. */
static bool escape_controls(jl_reply *r, jl_buf *out)
{
    bool in_string = false, escaped = false, changed = false;
    const char *s = jl_buf_str(&r->json.held);

    for (size_t i = 0; i < r->json.held.len; i++) {
        const unsigned char c = (unsigned char)s[i];
        if (in_string && c < 0x20) {
            static const char hex[] = "0123456789abcdef";
            const char text[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            put(r, out, text, sizeof text);
            changed = true;
            escaped = false;
            continue;
        }
        put(r, out, s + i, 1);
        if (c == '"' && !escaped)
            in_string = !in_string;
        escaped = in_string && c == '\\' && !escaped;
    }
    return changed;
}

/* The text of a member's value in an object's valid JSON text, outer blanks included. */
static jl_chat_text member_text(jl_chat_text t, const char *key)
{
    const size_t key_len = strlen(key);
    bool in_string = false, wanted = false;
    size_t begin = 0, string_at = 0;
    int depth = 0;

    for (size_t i = 0; i < t.len; i++) {
        const char c = t.ptr[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
            if (!in_string && depth == 1 && !begin)
                wanted = i - string_at == key_len && memcmp(t.ptr + string_at, key, key_len) == 0;
            continue;
        }
        if (c == '"') {
            in_string = true;
            string_at = i + 1;
        }
        if (depth == 1 && (c == ',' || c == '}')) {
            if (wanted && begin)
                return (jl_chat_text){t.ptr + begin, i - begin};
            begin = 0;
            wanted = false;
        }
        if (depth == 1 && c == ':' && !begin)
            begin = i + 1;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
    }
    return (jl_chat_text){0};
}

static bool is_declared(const jl_reply *r, const char *name)
{
    size_t i;
    json_t *tool;

    json_array_foreach(r->tools, i, tool)
    {
        const char *n =
            json_string_value(json_object_get(json_object_get(tool, "function"), "name"));
        if (n && strcmp(n, name) == 0)
            return true;
    }
    return false;
}

/* Ids that the format can write again are kept, so that the prompt of the next turn is the same. */
static jl_chat_text usable_id(const char *s)
{
    const size_t len = s ? strlen(s) : 0;

    for (size_t i = 0; i < len; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'z') ||
              (s[i] >= 'A' && s[i] <= 'Z')))
            return (jl_chat_text){0};
    return len >= 9 && len < 32 ? (jl_chat_text){s, len} : (jl_chat_text){0};
}

typedef struct {
    const char *name;
    jl_chat_text id, arguments;
    json_t *parsed; /* of arguments that stood in a string */
    jl_chat_repair repairs[2];
    size_t n_repairs;
} found_call;

/* The arguments: an object, or one written as a string. */
static bool find_arguments(jl_chat_text object, const json_t *v, found_call *c)
{
    const char *key = json_object_get(v, "parameters") ? "parameters" : "arguments";
    const json_t *a = json_object_get(v, key);
    jl_error ignored;

    c->arguments = (jl_chat_text){"{}", 2};
    if (!a || json_is_null(a)) {
        c->repairs[c->n_repairs++] = JL_REPAIR_NO_ARGUMENTS;
        return true;
    }
    if (json_is_object(a)) {
        c->arguments = jl_text_strip(member_text(object, key));
        return c->arguments.ptr != NULL; /* NULL: the key was spelled with escapes */
    }
    if (!json_is_string(a) ||
        jl_text_parse_json(json_string_value(a), json_string_length(a), "arguments", &c->parsed,
                           &ignored) != JL_OK ||
        !json_is_object(c->parsed))
        return false;
    c->arguments = jl_text_strip((jl_chat_text){json_string_value(a), json_string_length(a)});
    c->repairs[c->n_repairs++] = JL_REPAIR_JSON_AS_STRING;
    return true;
}

/* Reads the object in text as a call; false if it is none. */
static bool read_call(jl_reply *r, jl_chat_text text, bool complete)
{
    const bool named = r->json.name.len > 0;
    found_call c = {0};
    json_t *v = NULL;
    jl_error ignored;
    bool ok = jl_text_parse_json(text.ptr, text.len, "the call", &v, &ignored) == JL_OK &&
              json_is_object(v);

    if (ok && named) {
        c.name = jl_buf_str(&r->json.name);
        c.id = usable_id(jl_buf_str(&r->json.id));
        c.arguments = text;
    } else if (ok) {
        const json_t *name = json_object_get(v, "name");
        c.name = json_string_value(name);
        ok = c.name && json_string_length(name) > 0 && strlen(c.name) == json_string_length(name) &&
             (r->json.marked || is_declared(r, c.name)) && find_arguments(text, v, &c);
        c.id = r->json.style == JL_CALLS_MISTRAL
                   ? usable_id(json_string_value(json_object_get(v, "id")))
                   : (jl_chat_text){0};
    }
    if (ok) {
        jl_reply_add_call(r, jl_chat_str(c.name), c.id, c.arguments, complete);
        for (size_t i = 0; i < c.n_repairs; i++)
            jl_reply_report(r, c.repairs[i]);
    }
    json_decref(c.parsed);
    json_decref(v);
    return ok;
}

/* The held object is whole. */
static void end_object(jl_reply *r)
{
    jl_buf text;

    jl_buf_init(&text, 6 * r->head.max);
    const bool changed = escape_controls(r, &text);
    const jl_chat_text t = {jl_buf_str(&text), text.len};
    const bool ok = r->status == JL_OK && read_call(r, t, true);
    jl_buf_free(&text);
    if (!ok) {
        if (r->json.marked && r->status == JL_OK)
            jl_reply_report(r, JL_REPAIR_CALL_WITHOUT_NAME);
        give_up(r);
        return;
    }
    if (changed)
        jl_reply_report(r, JL_REPAIR_RAW_CONTROL);
    jl_buf_clear(&r->json.held);
    jl_buf_clear(&r->json.name);
    jl_buf_clear(&r->json.id);
    r->json.where = J_BETWEEN;
}

/* ---- text ------------------------------------------------------------------------------- */

static void begin_object(jl_reply *r)
{
    jl_json_calls *j = &r->json;

    jl_buf_clear(&j->held); /* blanks and separators before it */
    put(r, &j->held, "{", 1);
    j->stack[0] = '}';
    j->depth = 1;
    j->in_string = j->escaped = false;
    j->where = J_OBJECT;
}

static void read_object(jl_reply *r, char c)
{
    jl_json_calls *j = &r->json;

    put(r, &j->held, &c, 1);
    if (j->in_string) {
        j->in_string = c != '"' || j->escaped;
        j->escaped = c == '\\' && !j->escaped;
        return;
    }
    j->in_string = c == '"';
    if (c == '{' || c == '[') {
        if (j->depth == sizeof j->stack) {
            give_up(r);
            return;
        }
        j->stack[j->depth++] = c == '{' ? '}' : ']';
    } else if (c == '}' || c == ']') {
        if (c != j->stack[--j->depth]) { /* no JSON */
            give_up(r);
            return;
        }
        if (j->depth == 0)
            end_object(r);
    }
}

static void read_start(jl_reply *r, char c)
{
    jl_json_calls *j = &r->json;
    const bool behind = j->where == J_BETWEEN;

    if (c == '{') {
        begin_object(r);
        return;
    }
    put(r, &j->held, &c, 1);
    if (is_space(c) || (behind && (c == ',' || c == ';')))
        return;
    if (j->style == JL_CALLS_MISTRAL && j->marked && c == '[' && !j->list && !behind) {
        j->list = true;
        return;
    }
    if (j->list && c == ']') {
        j->list = j->marked = false;
        j->where = J_BETWEEN;
        jl_buf_clear(&j->held);
        return;
    }
    if (j->style == JL_CALLS_MISTRAL && j->marked && !j->list && !behind) {
        j->where = J_NAME;
        return;
    }
    give_up(r);
}

/* What is held is the name, or the id that stands behind it. */
static void end_field(jl_reply *r)
{
    jl_json_calls *j = &r->json;
    const jl_chat_text t = jl_text_strip((jl_chat_text){jl_buf_str(&j->held), j->held.len});
    jl_buf *field = j->name.len ? &j->id : &j->name;

    jl_buf_clear(field);
    put(r, field, t.ptr, t.len);
    jl_buf_clear(&j->held);
}

/* The name before the arguments; what is held becomes it at the brace. */
static void read_name(jl_reply *r, char c)
{
    jl_json_calls *j = &r->json;

    if (c != '{') {
        put(r, &j->held, &c, 1);
        if (j->held.len > MAX_NAME)
            give_up(r);
        return;
    }
    if (j->held.len)
        end_field(r);
    begin_object(r);
}

size_t jl_reply_json_text(jl_reply *r, const char *s, size_t len)
{
    switch (r->json.where) {
    case J_TEXT:
        put(r, &r->content, s, len);
        return len;
    case J_NAME:
        read_name(r, *s);
        return 1;
    case J_OBJECT:
        read_object(r, *s);
        return 1;
    default:
        read_start(r, *s);
        return 1;
    }
}

/* ---- marks and the end ------------------------------------------------------------------ */

static void mend(jl_reply *r, bool cut);

void jl_reply_json_mark(jl_reply *r, jl_mark mark)
{
    jl_json_calls *j = &r->json;

    if (mark == JL_MARK_L3_EOT || mark == JL_MARK_L3_EOM || mark == JL_MARK_M_EOS) {
        jl_reply_stop(r);
        return;
    }
    if (j->where == J_NAME && (mark == JL_MARK_M_CALL_ID || mark == JL_MARK_M_ARGS)) {
        if (j->held.len)
            end_field(r);
        return;
    }
    if (mark != JL_MARK_L3_PYTHON && mark != JL_MARK_M_CALLS) {
        jl_reply_report(r, JL_REPAIR_STRAY_MARK);
        return;
    }
    mend(r, false);
    j->marked = true;
    j->list = false;
    j->where = J_START;
}

/* Tries the held object with an ending put behind it. */
static bool try_ending(jl_reply *r, const char *s, size_t len, const char *ending, bool cut)
{
    const jl_json_calls *j = &r->json;
    jl_buf text;

    jl_buf_init(&text, 7 * r->head.max);
    put(r, &text, s, len);
    put(r, &text, ending, strlen(ending));
    for (size_t d = j->depth; d-- > 0;)
        put(r, &text, &j->stack[d], 1);
    const bool ok =
        r->status == JL_OK && read_call(r, (jl_chat_text){jl_buf_str(&text), text.len}, !cut);
    jl_buf_free(&text);
    return ok;
}

/* Closes an object that ends in the middle: as it is, with null for a missing value, without the
 * last comma. */
static bool close_object(jl_reply *r, bool cut)
{
    jl_json_calls *j = &r->json;
    jl_buf fixed;

    jl_buf_init(&fixed, 6 * r->head.max);
    if (j->in_string && j->escaped)
        jl_buf_cut(&j->held, j->held.len - 1);
    const bool was_string = j->in_string;
    if (was_string)
        put(r, &j->held, "\"", 1);
    (void)escape_controls(r, &fixed);
    const char *s = jl_buf_str(&fixed);
    const jl_chat_text t = jl_text_strip((jl_chat_text){s, fixed.len});
    bool ok = try_ending(r, t.ptr, t.len, "", cut) || try_ending(r, t.ptr, t.len, "null", cut) ||
              try_ending(r, t.ptr, t.len, ":null", cut);
    if (!ok && t.len && t.ptr[t.len - 1] == ',')
        ok = try_ending(r, t.ptr, t.len - 1, "", cut);
    jl_buf_free(&fixed);
    if (ok && !cut && was_string)
        jl_reply_report(r, JL_REPAIR_QUOTE_MISSING);
    if (ok && !cut)
        jl_reply_report(r, JL_REPAIR_BRACE_MISSING);
    if (!ok && was_string && r->json.held.len)
        jl_buf_cut(&j->held, j->held.len - 1);
    return ok;
}

/* Ends what is open. */
static void mend(jl_reply *r, bool cut)
{
    jl_json_calls *j = &r->json;

    if (j->where == J_OBJECT && close_object(r, cut)) {
        jl_buf_clear(&j->held);
        jl_buf_clear(&j->name);
        jl_buf_clear(&j->id);
        j->where = J_BETWEEN;
        return;
    }
    const bool drop = j->where == J_BETWEEN || (j->where == J_START && j->marked);
    if (drop) /* blanks and separators */
        jl_buf_clear(&j->held);
    if (j->where != J_TEXT)
        give_up(r);
}

void jl_reply_json_end(jl_reply *r, bool cut)
{
    mend(r, cut);
}
