/* Quantisation plans: which tensor gets which type. */
#include "convert/plan.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/mem.h"

uint64_t jl_quant_bytes(const jl_gguf_tensor *t, jl_type type)
{
    const uint64_t row = jl_row_bytes((uint32_t)type, t->ne[0]);

    if (t->ne[1] % jl_type_get((uint32_t)type)->group_rows)
        return 0;
    return row * (t->n_elements / t->ne[0]);
}

double jl_quant_share(const jl_quant_plan *plan, const jl_quant_item *item)
{
    if (strcmp(item->kind, "token_embd") == 0 && !plan->tied)
        return 1.0 / (double)item->tensor->ne[1];
    if (strcmp(item->kind, "per_layer_token_embd") == 0)
        return 1.0 / (double)item->tensor->ne[1];
    if (item->tensor->ne[2] > 1 && item->tensor->ne[2] == plan->n_expert)
        return (double)plan->n_expert_used / (double)plan->n_expert;
    return 1.0;
}

/* Layer and kind from "blk.12.ffn_down_exps.weight". */
static void split_name(const char *name, jl_quant_item *item)
{
    const char *p = name;

    item->layer = -1;
    if (strncmp(name, "blk.", 4) == 0 && isdigit((unsigned char)name[4])) {
        long layer = 0;
        for (p = name + 4; isdigit((unsigned char)*p) && layer < 100000; p++)
            layer = 10 * layer + (*p - '0');
        item->layer = (int32_t)layer;
        p += *p == '.';
    }
    snprintf(item->kind, sizeof item->kind, "%.63s", p);
    char *end = strstr(item->kind, ".weight");
    if (end && end[7] == 0)
        *end = 0;
}

/* Matrices that inference multiplies with quantised values; routers and the projection of per-layer
 * embeddings are small and sensitive, and readers want them as they are. */
static bool is_matrix(const jl_gguf_tensor *t, const jl_quant_item *item)
{
    const size_t len = strlen(t->name);

    return t->n_dims >= 2 && t->ne[1] > 1 && t->ne[3] == 1 && t->ne[0] % 32 == 0 && len > 7 &&
           strcmp(t->name + len - 7, ".weight") == 0 && jl_type_get((uint32_t)t->type)->is_weight &&
           strcmp(item->kind, "ffn_gate_inp") != 0 &&
           strcmp(item->kind, "per_layer_model_proj") != 0 && !strstr(item->kind, "norm");
}

void jl_quant_arch_key(const jl_gguf *g, const char *name, char out[JL_QUANT_KEY])
{
    jl_str arch = {0};

    jl_gguf_get_str(g, "general.architecture", &arch);
    snprintf(out, JL_QUANT_KEY, "%.*s.%.80s", (int)(arch.len < 64 ? arch.len : 64), arch.ptr, name);
}

static uint32_t arch_u32(const jl_gguf *g, const char *key)
{
    char text[JL_QUANT_KEY];
    uint64_t value = 0;

    jl_quant_arch_key(g, key, text);
    return jl_gguf_get_u64(g, text, 0, &value) && value <= UINT32_MAX ? (uint32_t)value : 0;
}

static jl_status fill_items(jl_quant_plan *p, jl_error *err)
{
    for (size_t i = 0; i < p->n; i++) {
        jl_quant_item *item = &p->items[i];
        const jl_gguf_tensor *t = jl_gguf_tensor_at(p->gguf, i);
        item->tensor = t;
        item->type = t->type;
        item->damage = item->sensitivity = NAN;
        split_name(t->name, item);
        item->matrix = is_matrix(t, item);
        if (item->matrix && p->imatrix)
            JL_TRY(jl_imatrix_values(p->imatrix, t, &item->importance, err));
    }
    return JL_OK;
}

static jl_status open_files(jl_quant_plan *p, const char *path, const char *imatrix_path,
                            jl_error *err)
{
    JL_TRY(jl_gguf_open(path, &p->gguf, err));
    if (imatrix_path)
        JL_TRY(jl_imatrix_open(imatrix_path, &p->imatrix, err));
    p->n = jl_gguf_n_tensors(p->gguf);
    p->items = jl_calloc(p->n ? p->n : 1, sizeof *p->items);
    if (!p->items)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    p->n_layer = arch_u32(p->gguf, "block_count");
    p->n_expert = arch_u32(p->gguf, "expert_count");
    p->n_expert_used = arch_u32(p->gguf, "expert_used_count");
    p->tied = !jl_gguf_find_tensor(p->gguf, "output.weight");
    return fill_items(p, err);
}

jl_status jl_quant_plan_open(const char *path, const char *imatrix_path, jl_quant_plan **out,
                             jl_error *err)
{
    jl_quant_plan *p = jl_calloc(1, sizeof *p);

    if (!p)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    const jl_status s = open_files(p, path, imatrix_path, err);
    if (s != JL_OK) {
        jl_quant_plan_close(p);
        return s;
    }
    *out = p;
    return JL_OK;
}

void jl_quant_plan_close(jl_quant_plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; p->items && i < p->n; i++) {
        jl_free(p->items[i].importance);
        jl_free(p->items[i].gathered);
    }
    jl_free(p->items);
    jl_quant_free_drops(p);
    jl_imatrix_close(p->imatrix);
    jl_gguf_close(p->gguf);
    jl_free(p);
}

jl_status jl_quant_plan_set_mix(jl_quant_plan *plan, const char *name, bool pure, jl_error *err)
{
    return jl_quant_apply_mix(plan, name, pure, err);
}

/* ---- rules ---------------------------------------------------------------------------------- */

static jl_status find_type(const char *name, jl_type *out, jl_error *err)
{
    const int type = jl_type_find(name);

    if (type < 0 || !jl_quantizer_has((jl_type)type))
        return jl_fail(err, JL_INVALID,
                       "'%.40s' is no type joule can write: F32, F16, BF16, Q8_0, Q4_0, Q4_1, "
                       "Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS, IQ3_S, IQ3_XXS, IQ2_S, IQ2_XS,"
                       " IQ2_XXS, JQ4",
                       name);
    *out = (jl_type)type;
    return JL_OK;
}

static jl_status apply_rule(jl_quant_plan *plan, pcre2_code *code, const char *rule, jl_type type,
                            jl_error *err)
{
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(code, NULL);
    size_t n = 0;

    if (!match)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < plan->n; i++) {
        jl_quant_item *item = &plan->items[i];
        const char *name = item->tensor->name;
        if (!item->matrix || pcre2_match(code, (PCRE2_SPTR)(const void *)name, strlen(name), 0, 0,
                                         match, NULL) < 0)
            continue;
        item->type = type;
        n++;
    }
    pcre2_match_data_free(match);
    return n ? JL_OK
             : jl_fail(err, JL_INVALID, "no matrix of the model matches the rule '%.200s'", rule);
}

jl_status jl_quant_plan_set_rule(jl_quant_plan *plan, const char *rule, jl_error *err)
{
    const char *equals = strrchr(rule, '=');
    int number;
    PCRE2_SIZE offset;
    jl_type type = JL_TYPE_F32;

    if (!equals || equals == rule)
        return jl_fail(err, JL_INVALID, "rule '%.200s': write REGEX=TYPE, as in ffn_down=Q6_K",
                       rule);
    JL_TRY(find_type(equals + 1, &type, err));
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)(const void *)rule, (size_t)(equals - rule), 0,
                                     &number, &offset, NULL);
    if (!code) {
        PCRE2_UCHAR why[120] = {0};
        pcre2_get_error_message(number, why, sizeof why);
        return jl_fail(err, JL_INVALID, "rule '%.200s', at character %zu: %s", rule, offset + 1,
                       (const char *)(const void *)why);
    }
    const jl_status s = apply_rule(plan, code, rule, type, err);
    pcre2_code_free(code);
    return s;
}

/* ---- plan files ----------------------------------------------------------------------------- */

enum { MAX_PLAN_BYTES = 16 << 20 };

static jl_quant_item *find_item(const jl_quant_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->n; i++)
        if (strcmp(plan->items[i].tensor->name, name) == 0)
            return &plan->items[i];
    return NULL;
}

/* One line, NUL-terminated, comment cut off. */
static jl_status load_line(jl_quant_plan *plan, char *line, size_t number, jl_error *err)
{
    char type_name[32];
    char name[300];
    char rest;
    double sensitivity = NAN;
    jl_error why;
    jl_type type = JL_TYPE_F32;

    const int n = sscanf(line, " %31s %299s sensitivity=%lf %c", type_name, name, &sensitivity,
                         &rest);
    if (n <= 0)
        return JL_OK;
    if ((n != 3 && (n != 2 || sscanf(line, " %*s %*s %c", &rest) == 1)) ||
        (n == 3 && !(sensitivity >= 0 && isfinite(sensitivity))))
        return jl_fail(err, JL_FORMAT,
                       "plan, line %zu: write a type, the name of a tensor and, if it was "
                       "measured, sensitivity=NUMBER",
                       number);
    if (find_type(type_name, &type, &why) != JL_OK)
        return jl_fail(err, JL_FORMAT, "plan, line %zu: %s", number, why.text);
    jl_quant_item *item = find_item(plan, name);
    if (!item)
        return jl_fail(err, JL_FORMAT, "plan, line %zu: the model has no tensor %s", number, name);
    if (!item->matrix && type != item->type)
        return jl_fail(err, JL_FORMAT, "plan, line %zu: %s stays %s", number, name,
                       jl_type_name((uint32_t)item->type));
    item->type = type;
    if (n == 3 && item->matrix)
        item->sensitivity = sensitivity;
    return JL_OK;
}

bool jl_quant_plan_is_measured(const jl_quant_plan *plan)
{
    for (size_t i = 0; i < plan->n; i++)
        if (plan->items[i].matrix && isnan(plan->items[i].sensitivity))
            return false;
    return true;
}

jl_status jl_quant_plan_load(jl_quant_plan *plan, const char *path, jl_error *err)
{
    char *text = NULL;
    size_t len = 0;
    size_t number = 0;

    JL_TRY(jl_file_read(path, MAX_PLAN_BYTES, &text, &len, err));
    jl_status s = JL_OK;
    for (char *line = text; s == JL_OK && line < text + len;) {
        const size_t n = strcspn(line, "\n");
        char *next = line + n + 1;
        line[n] = 0;
        line[strcspn(line, "#")] = 0;
        number++;
        s = jl_quant_is_drop(line) ? jl_quant_read_drop(plan, line, number, err)
                                   : load_line(plan, line, number, err);
        line = next;
    }
    jl_free(text);
    if (s == JL_OK && plan->n_drops && !plan->dropped)
        s = jl_quant_apply_drops(plan, err);
    return s;
}

static jl_status put_line(jl_writer *w, const char *text, jl_error *err)
{
    JL_TRY(jl_writer_write(w, text, strlen(text), err));
    return jl_writer_write(w, "\n", 1, err);
}

static jl_status put_plan(const jl_quant_plan *plan, jl_writer *w, const char *comment,
                          jl_error *err)
{
    char line[512];

    snprintf(line, sizeof line, "# %.480s", comment);
    JL_TRY(put_line(w, line, err));
    for (size_t i = 0; i < plan->n_drops; i++) {
        char drop[JL_QUANT_DROP_LINE];
        jl_quant_drop_line(&plan->drops[i], drop);
        JL_TRY(put_line(w, drop, err));
    }
    for (size_t i = 0; i < plan->n; i++) {
        const jl_quant_item *item = &plan->items[i];
        if (!item->matrix)
            continue;
        int n = snprintf(line, sizeof line, "%-8s %s", jl_type_name((uint32_t)item->type),
                         item->tensor->name);
        if (!isnan(item->sensitivity) && n > 0)
            n += snprintf(line + n, sizeof line - (size_t)n, "  sensitivity=%.9g",
                          item->sensitivity);
        if (!isnan(item->damage) && n > 0)
            snprintf(line + n, sizeof line - (size_t)n, "  # KL %.3g", item->damage);
        JL_TRY(put_line(w, line, err));
    }
    return JL_OK;
}

jl_status jl_quant_plan_save(const jl_quant_plan *plan, const char *path, const char *comment,
                             jl_error *err)
{
    jl_writer *w = NULL;

    JL_TRY(jl_writer_create(path, &w, err));
    const jl_status s = put_plan(plan, w, comment, err);
    if (s == JL_OK)
        return jl_writer_commit(w, err);
    jl_writer_abort(w);
    return s;
}

/* ---- rows that do not fit ------------------------------------------------------------------- */

static jl_status settle_item(jl_quant_item *item, jl_error *err)
{
    static const jl_type smaller_first[] = {JL_TYPE_Q4_0, JL_TYPE_IQ4_NL, JL_TYPE_Q4_1,
                                            JL_TYPE_Q5_0, JL_TYPE_Q5_1,   JL_TYPE_Q8_0};
    const jl_type wanted = item->type;
    double limit;
    double best_error = INFINITY;
    jl_type best = JL_TYPE_Q8_0;

    JL_TRY(jl_quant_sample_error(item, wanted, true, &limit, err));
    for (size_t i = 0; i < sizeof smaller_first / sizeof *smaller_first; i++) {
        const jl_type type = smaller_first[i];
        double error;
        if (best_error <= 1.02 * limit && jl_quant_bytes(item->tensor, type) >
                                              jl_quant_bytes(item->tensor, best))
            break;
        JL_TRY(jl_quant_sample_error(item, type, false, &error, err));
        if (error < best_error) {
            best_error = error;
            best = type;
        }
    }
    item->type = best;
    snprintf(item->note, sizeof item->note, "rows of %llu, wanted %s (error %.2g): %.2g",
             (unsigned long long)item->tensor->ne[0], jl_type_name((uint32_t)wanted), limit,
             best_error);
    return JL_OK;
}

jl_status jl_quant_plan_settle(jl_quant_plan *plan, jl_error *err)
{
    for (size_t i = 0; i < plan->n; i++)
        if (jl_quant_bytes(plan->items[i].tensor, plan->items[i].type) == 0)
            JL_TRY(settle_item(&plan->items[i], err));
    return JL_OK;
}

/* ---- queries -------------------------------------------------------------------------------- */

size_t jl_quant_plan_length(const jl_quant_plan *plan)
{
    return plan->n;
}

bool jl_quant_plan_has_imatrix(const jl_quant_plan *plan)
{
    return plan->imatrix != NULL;
}

void jl_quant_plan_entry(const jl_quant_plan *plan, size_t i, jl_quant_entry *out)
{
    const jl_quant_item *item = &plan->items[i];

    *out = (jl_quant_entry){
        .name = item->tensor->name,
        .kind = item->kind,
        .from = jl_type_name((uint32_t)item->tensor->type),
        .to = jl_type_name((uint32_t)item->type),
        .note = item->note,
        .matrix = item->matrix,
        .n_params = item->tensor->n_elements,
        .from_bytes = item->tensor->n_bytes,
        .to_bytes = jl_quant_bytes(item->tensor, item->type),
        .share_per_token = jl_quant_share(plan, item),
        .damage = item->damage,
    };
}

void jl_quant_plan_measure(const jl_quant_plan *plan, jl_quant_size *out)
{
    *out = (jl_quant_size){0};
    for (size_t i = 0; i < plan->n; i++) {
        const jl_quant_item *item = &plan->items[i];
        const uint64_t n_bytes = jl_quant_bytes(item->tensor, item->type);
        out->n_params += item->tensor->n_elements;
        out->bytes += n_bytes;
        out->bytes_per_token += (double)n_bytes * jl_quant_share(plan, item);
        out->n_without_importance += item->matrix && item->type != item->tensor->type &&
                                     !item->importance &&
                                     n_bytes * 8 < 5 * item->tensor->n_elements;
    }
}
