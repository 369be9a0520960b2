/* The file check: tensors against the published tables, chat template, and the order of it all. */
#include "synth/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "joule/chat.h"
#include "synth/shape.h"

void jl_check_report(const jl_check *c, jl_check_result result, const char *what, const char *fmt,
                     ...)
{
    char text[600];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const jl_check_finding f = {result, what, text};
    c->params->finding(c->params->ctx, &f);
}

static bool key_u64(const jl_gguf *g, jl_str arch, const char *key, uint64_t *out)
{
    char name[128];

    snprintf(name, sizeof name, "%.*s.%s", (int)arch.len, arch.ptr, key);
    return jl_gguf_get_u64(g, name, 0, out);
}

/* The published shape with this architecture, layer count, width and experts, or NULL. */
static const jl_shape *detect(const jl_gguf *g, jl_str arch, uint64_t *n_layer, uint64_t *n_embd)
{
    uint64_t n_expert = 0;

    if (!key_u64(g, arch, "block_count", n_layer) || !key_u64(g, arch, "embedding_length", n_embd))
        return NULL;
    (void)key_u64(g, arch, "expert_count", &n_expert);
    for (uint32_t i = 0; jl_shape_at(i); i++) {
        const jl_shape *s = jl_shape_at(i);
        if (strlen(s->arch) == arch.len && memcmp(s->arch, arch.ptr, arch.len) == 0 &&
            s->n_layer == *n_layer && s->n_embd == *n_embd && s->n_expert == n_expert)
            return s;
    }
    return NULL;
}

/* A list of names that stops when it gets long. */
typedef struct {
    char text[400];
    size_t len;
    uint32_t n;
} name_list;

static void add_name(name_list *l, const char *name)
{
    l->n++;
    if (l->n <= 4)
        l->len += (size_t)snprintf(l->text + l->len, sizeof l->text - l->len, "%s%.64s",
                                   l->n > 1 ? ", " : "", name);
    else if (l->n == 5)
        l->len += (size_t)snprintf(l->text + l->len, sizeof l->text - l->len, ", ...");
}

static bool same_shape(const jl_gguf_tensor *t, const jl_plan_tensor *want)
{
    return t->ne[0] == want->ne[0] && t->ne[1] == want->ne[1] && t->ne[2] == want->ne[2] &&
           t->ne[3] == 1;
}

static bool in_plan(const jl_plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->n_tensors; i++)
        if (strcmp(plan->tensors[i].name, name) == 0)
            return true;
    return false;
}

static void report_names(const jl_check *c, jl_check_result result, const char *what,
                         const name_list *l)
{
    if (l->n)
        jl_check_report(c, result, "tensors", "%u %s: %s", l->n, what, l->text);
}

static void compare(const jl_check *c, const jl_plan *plan)
{
    name_list missing = {0};
    name_list absent = {0};
    name_list wrong = {0};
    name_list vectors = {0};
    name_list more = {0};

    for (uint32_t i = 0; i < plan->n_tensors; i++) {
        const jl_plan_tensor *want = &plan->tensors[i];
        const jl_gguf_tensor *t = jl_gguf_find_tensor(c->g, want->name);
        if (!t)
            add_name(want->optional ? &absent : &missing, want->name);
        else if (!same_shape(t, want))
            add_name(&wrong, want->name);
        else if (want->role >= JL_ROLE_VECTOR && t->type != JL_TYPE_F32)
            add_name(&vectors, want->name);
    }
    for (size_t i = 0; i < jl_gguf_n_tensors(c->g); i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(c->g, i);
        if (!in_plan(plan, t->name))
            add_name(&more, t->name);
    }
    report_names(c, JL_CHECK_FAIL, "missing", &missing);
    report_names(c, JL_CHECK_FAIL, "of another shape", &wrong);
    report_names(c, JL_CHECK_NOTE, "absent that some files have", &absent);
    report_names(c, JL_CHECK_NOTE, "norms or scales not in F32", &vectors);
    report_names(c, JL_CHECK_NOTE, "that the published file has not", &more);
    if (missing.n + wrong.n + absent.n + vectors.n + more.n == 0)
        jl_check_report(c, JL_CHECK_PASS, "tensors", "all %u as published for %s", plan->n_tensors,
                        plan->shape->name);
}

jl_status jl_check_tensors(const jl_check *c, jl_error *err)
{
    uint64_t n_layer = 0;
    uint64_t n_embd = 0;
    jl_str arch = {"", 0};
    jl_plan plan = {0};

    (void)jl_gguf_get_str(c->g, "general.architecture", &arch);
    const jl_shape *shape = detect(c->g, arch, &n_layer, &n_embd);
    if (!shape) {
        jl_check_report(c, JL_CHECK_NOTE, "tensors",
                        "no published shape has architecture %.*s, %llu layers, width %llu: names "
                        "and shapes are checked when the model is opened",
                        (int)(arch.len < 40 ? arch.len : 40), arch.ptr, (unsigned long long)n_layer,
                        (unsigned long long)n_embd);
        return JL_OK;
    }
    JL_TRY(jl_plan_create(shape, 0, &plan, err));
    compare(c, &plan);
    jl_plan_destroy(&plan);
    return JL_OK;
}

void jl_check_template(const jl_check *c)
{
    jl_chat_identity id;
    jl_str text = {NULL, 0};

    (void)jl_gguf_get_str(c->g, "tokenizer.chat_template", &text);
    jl_chat_identify(text.ptr, text.len, &id);
    jl_check_report(c, id.format == JL_CHAT_UNKNOWN ? JL_CHECK_NOTE : JL_CHECK_PASS,
                    "chat template", "%s", id.text);
}

static jl_status check_all(const jl_check *c, jl_error *err)
{
    JL_TRY(jl_check_tensors(c, err));
    jl_check_tokens(c);
    jl_check_template(c);
    return jl_check_scan(c, err);
}

jl_status jl_check_file(const char *path, const jl_check_params *params, jl_error *err)
{
    jl_gguf *g = NULL;

    JL_TRY(jl_gguf_open(path, &g, err));
    const jl_check c = {params, g};
    const jl_status status = check_all(&c, err);
    jl_gguf_close(g);
    return status;
}
