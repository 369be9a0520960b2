/* joule inspect: what a person wants to know first about a model file. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "joule/joule.h"
#include "json.h"
#include "load.h"
#include "opt.h"
#include "ui.h"

enum { MAX_GROUPS = 256 };

typedef struct {
    jl_model_info info;
    jl_model_group groups[MAX_GROUPS];
    size_t n_groups;
    jl_memory need;
    uint32_t n_ctx;
    jl_session_params params;
    const opts *o;
} facts;

static jl_status gather(const opts *o, const jl_model *model, facts *f, jl_error *err)
{
    f->o = o;
    jl_model_get_info(model, &f->info);
    f->n_groups = jl_model_groups(model, f->groups, MAX_GROUPS);
    if (f->n_groups > MAX_GROUPS)
        f->n_groups = MAX_GROUPS;
    f->n_ctx = (uint32_t)opt_int(o, OPT_CTX);
    if (f->n_ctx == 0)
        f->n_ctx = f->info.n_ctx_train < 8192 ? f->info.n_ctx_train : 8192;
    load_session_params(o, &f->params);
    f->params.n_ctx = f->n_ctx;
    return jl_session_measure(model, &f->params, &f->need, err);
}

static void print_sampling(const jl_model_info *m)
{
    if (isnan(m->temperature) && m->top_k < 0 && isnan(m->top_p))
        return;
    printf("sampling       ");
    if (!isnan(m->temperature))
        printf(" temperature %g", (double)m->temperature);
    if (m->top_k >= 0)
        printf(" top-k %d", m->top_k);
    if (!isnan(m->top_p))
        printf(" top-p %g", (double)m->top_p);
    if (!isnan(m->min_p))
        printf(" min-p %g", (double)m->min_p);
    putchar('\n');
}

static void print_text(const facts *f)
{
    const jl_model_info *m = &f->info;
    char s[5][24];

    printf("name            %s\n", *m->name ? m->name : "(none)");
    printf("architecture    %s %s\n", m->architecture, m->variant);
    printf("parameters      %.3f billion, %.3f billion used per token\n",
           (double)m->n_params * 1e-9, (double)m->n_params_active * 1e-9);
    printf("file            %s, %u tensors, %.2f bits per parameter\n",
           ui_bytes(m->file_bytes, s[0]), m->n_tensors,
           m->n_params ? 8.0 * (double)m->file_bytes / (double)m->n_params : 0);
    printf("read per token  %s of weights\n", ui_bytes(m->bytes_per_token, s[0]));
    printf("layers          %u, width %u", m->n_layer, m->n_embd);
    if (m->n_expert)
        printf(", %u of %u experts", m->n_expert_used, m->n_expert);
    printf("\nvocabulary      %u tokens, bos %d, eos %d\n", m->n_vocab, m->bos, m->eos);
    printf("context         %u tokens trained\n", m->n_ctx_train);
    print_sampling(m);
    printf("chat template   %s\n", m->chat_template ? "yes" : "no");
    printf("memory          %s at -c %u -ctk %s -ctv %s: weights %s, KV cache %s, the rest %s\n\n",
           ui_memory(f->need.total, s[0]), f->n_ctx, opt_text(f->o, OPT_CTK),
           opt_text(f->o, OPT_CTV), ui_memory(f->need.weights, s[1]), ui_memory(f->need.kv, s[2]),
           ui_memory(f->need.compute + f->need.logits + f->need.other, s[3]));
    printf("%-16s %-8s %8s %16s %12s\n", "tensors", "type", "number", "parameters", "size");
    for (size_t i = 0; i < f->n_groups; i++) {
        const jl_model_group *g = &f->groups[i];
        printf("%-16s %-8s %8u %16" PRIu64 " %12s\n", g->group, g->type, g->n_tensors, g->n_params,
               ui_bytes(g->bytes, s[0]));
    }
}

static void json_text(const char *key, const char *s)
{
    printf("  \"%s\": ", key);
    json_print_string(stdout, s, strlen(s));
    puts(",");
}

static void json_number(const char *key, uint64_t v)
{
    printf("  \"%s\": %" PRIu64 ",\n", key, v);
}

static void print_json(const facts *f)
{
    const jl_model_info *m = &f->info;

    puts("{");
    json_text("name", m->name);
    json_text("architecture", m->architecture);
    json_text("variant", m->variant);
    json_number("n_params", m->n_params);
    json_number("n_params_active", m->n_params_active);
    json_number("n_tensors", m->n_tensors);
    json_number("file_bytes", m->file_bytes);
    json_number("bytes_per_token", m->bytes_per_token);
    json_number("n_layer", m->n_layer);
    json_number("n_embd", m->n_embd);
    json_number("n_expert", m->n_expert);
    json_number("n_expert_used", m->n_expert_used);
    json_number("n_vocab", m->n_vocab);
    json_number("n_ctx_train", m->n_ctx_train);
    printf("  \"bos\": %d,\n  \"eos\": %d,\n  \"chat_template\": %s,\n", m->bos, m->eos,
           m->chat_template ? "true" : "false");
    printf("  \"memory\": {\"n_ctx\": %u, \"weights\": %" PRIu64 ", \"kv\": %" PRIu64
           ", \"compute\": %" PRIu64 ", \"logits\": %" PRIu64 ", \"other\": %" PRIu64
           ", \"total\": %" PRIu64 "},\n",
           f->n_ctx, f->need.weights, f->need.kv, f->need.compute, f->need.logits, f->need.other,
           f->need.total);
    printf("  \"groups\": [");
    for (size_t i = 0; i < f->n_groups; i++) {
        const jl_model_group *g = &f->groups[i];
        printf("%s\n    {\"group\": \"%s\", \"type\": \"%s\", \"n_tensors\": %u, \"n_params\": "
               "%" PRIu64 ", \"bytes\": %" PRIu64 "}",
               i ? "," : "", g->group, g->type, g->n_tensors, g->n_params, g->bytes);
    }
    puts("\n  ]\n}");
}

int cmd_inspect(const opts *o)
{
    jl_model *model = NULL;
    jl_error err = {0};
    facts f;

    jl_status status = load_model(o, o->n_args ? o->args[0] : NULL, LOAD_WEIGHTS, &model, &err);
    if (status == JL_OK)
        status = gather(o, model, &f, &err);
    if (status == JL_OK && opt_on(o, OPT_JSON))
        print_json(&f);
    else if (status == JL_OK)
        print_text(&f);
    jl_model_close(model);
    return status == JL_OK ? EXIT_OK : ui_fail(o, &err);
}
