/* Mixes: which kind of matrix gets which type. The k-quant mixes follow llama.cpp's of the same
 * names, UD-IQ4_XS and UD-Q4_K_M what published files of Gemma 4 26B-A4B hold. */
#include <string.h>
#include <strings.h>

#include "convert/plan.h"

typedef jl_type mix_fn(const jl_quant_plan *plan, const jl_quant_item *item, bool head);

/* Layers that get one step better: the first and last eighth, and every third between. */
static bool is_better(const jl_quant_plan *plan, const jl_quant_item *item)
{
    const uint32_t n = plan->n_layer;
    const uint32_t i = item->layer < 0 ? 0 : (uint32_t)item->layer;

    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

static bool is(const jl_quant_item *item, const char *kind)
{
    return strcmp(item->kind, kind) == 0;
}

static jl_type k_mix(const jl_quant_plan *plan, const jl_quant_item *item, bool head, jl_type base,
                     jl_type better)
{
    const bool sensitive = is(item, "attn_v") || is(item, "ffn_down") || is(item, "ffn_down_exps");

    return head || (sensitive && is_better(plan, item)) ? better : base;
}

static jl_type q4_k_m(const jl_quant_plan *plan, const jl_quant_item *item, bool head)
{
    return k_mix(plan, item, head, JL_TYPE_Q4_K, JL_TYPE_Q6_K);
}

static jl_type q5_k_m(const jl_quant_plan *plan, const jl_quant_item *item, bool head)
{
    return k_mix(plan, item, head, JL_TYPE_Q5_K, JL_TYPE_Q6_K);
}

static jl_type iq4_xs(const jl_quant_plan *plan, const jl_quant_item *item, bool head)
{
    const bool first = item->layer >= 0 && (uint32_t)item->layer < plan->n_layer / 8;

    if (head)
        return JL_TYPE_Q6_K;
    return is(item, "attn_v") || (first && strstr(item->kind, "ffn_down")) ? JL_TYPE_Q5_K
                                                                          : JL_TYPE_IQ4_XS;
}

/* As IQ4_XS, in joule's own layout; rows so short that its scales weigh more take IQ4_NL. */
static jl_type jq4(const jl_quant_plan *plan, const jl_quant_item *item, bool head)
{
    const uint64_t n_in = item->tensor->ne[0];
    const jl_type type = iq4_xs(plan, item, head);

    if (type != JL_TYPE_IQ4_XS)
        return type;
    return jl_row_bytes(JL_TYPE_JQ4, n_in) > jl_row_bytes(JL_TYPE_IQ4_NL, n_in) ? JL_TYPE_IQ4_NL
                                                                                : JL_TYPE_JQ4;
}

/* Everything a token reads in Q8_0, experts smaller, those of the last layer one step better. */
static jl_type ud_mix(const jl_quant_plan *plan, const jl_quant_item *item, const jl_type up[2],
                      jl_type down)
{
    const bool last = item->layer >= 0 && (uint32_t)item->layer + 1 == plan->n_layer;

    if (is(item, "ffn_down_exps"))
        return last ? JL_TYPE_Q8_0 : down;
    return strstr(item->kind, "_exps") ? up[last] : JL_TYPE_Q8_0;
}

static jl_type ud_iq4_xs(const jl_quant_plan *plan, const jl_quant_item *item, bool head)
{
    static const jl_type up[2] = {JL_TYPE_IQ3_S, JL_TYPE_IQ4_XS};

    if (plan->n_expert)
        return ud_mix(plan, item, up, JL_TYPE_IQ4_NL);
    return k_mix(plan, item, head, JL_TYPE_IQ4_XS, JL_TYPE_Q6_K);
}

static jl_type ud_q4_k_m(const jl_quant_plan *plan, const jl_quant_item *item, bool head)
{
    static const jl_type up[2] = {JL_TYPE_Q4_K, JL_TYPE_Q4_K};

    if (plan->n_expert)
        return ud_mix(plan, item, up, JL_TYPE_Q5_1);
    return k_mix(plan, item, head, JL_TYPE_Q4_K, JL_TYPE_Q6_K);
}

static const struct {
    const char *name;
    mix_fn *type;
} mixes[] = {
    {"Q4_K_M", q4_k_m},       {"Q5_K_M", q5_k_m},       {"IQ4_XS", iq4_xs},
    {"UD-IQ4_XS", ud_iq4_xs}, {"UD-Q4_K_M", ud_q4_k_m}, {"JQ4", jq4},
};

static mix_fn *find_mix(const char *name)
{
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        if (strcasecmp(mixes[i].name, name) == 0)
            return mixes[i].type;
    return NULL;
}

static bool fewer_bits(jl_type a, jl_type b)
{
    const jl_type_info *x = jl_type_get((uint32_t)a);
    const jl_type_info *y = jl_type_get((uint32_t)b);

    return (uint64_t)x->block_bytes * y->block_len < (uint64_t)y->block_bytes * x->block_len;
}

jl_status jl_quant_apply_mix(jl_quant_plan *plan, const char *name, bool pure, jl_error *err)
{
    mix_fn *mix = pure ? NULL : find_mix(name);
    const int found = mix ? (int)JL_TYPE_F32 : jl_type_find(name);

    if (found < 0 || !jl_quantizer_has((jl_type)found))
        return jl_fail(err, JL_INVALID,
                       "'%.40s' is no mix (Q4_K_M, Q5_K_M, IQ4_XS, UD-IQ4_XS, UD-Q4_K_M, JQ4) and "
                       "no type joule can write (F16, BF16, Q8_0, Q6_K, Q5_K, Q4_K, Q3_K, Q2_K, "
                       "Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, IQ4_XS, IQ3_S, IQ3_XXS, IQ2_S, IQ2_XS, "
                       "IQ2_XXS)",
                       name);
    for (size_t i = 0; i < plan->n; i++) {
        jl_quant_item *item = &plan->items[i];
        const bool head = is(item, "output") || (plan->tied && is(item, "token_embd"));
        if (!item->matrix)
            continue;
        item->type = mix ? mix(plan, item, head) : (jl_type)found;
        if (!mix && head && !pure && fewer_bits(item->type, JL_TYPE_Q6_K))
            item->type = JL_TYPE_Q6_K;
    }
    return JL_OK;
}
