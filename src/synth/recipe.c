/* Which matrix gets which type. The mixtures follow published files: UD-IQ4_XS, UD-Q4_K_M and QAT
 * Q4_0 of Gemma 4 26B-A4B are derived from their exact sizes; Q4_K_M and Q5_K_M are the usual
 * k-quant mixtures (values and down projections of some layers one step better). */
#include <string.h>
#include <strings.h>

#include "synth/shape.h"

/* Rows that are no multiple of 256 take a type with blocks of 32 of about the same size, and so do
 * matrices whose rows do not fill groups. */
static jl_type fallback(jl_type type, uint64_t ne0, uint64_t ne1)
{
    if (ne0 % jl_type_get(type)->block_len == 0 && ne1 % jl_type_get(type)->group_rows == 0)
        return type;
    if (ne0 % 32)
        return JL_TYPE_F16;
    switch (type) {
    case JL_TYPE_Q4_K:
        return JL_TYPE_Q5_0;
    case JL_TYPE_Q5_K:
        return JL_TYPE_Q5_1;
    case JL_TYPE_Q6_K:
        return JL_TYPE_Q8_0;
    default:
        return JL_TYPE_IQ4_NL;
    }
}

/* Layers that a k-quant mixture stores one step better: the first and last eighth, and every third
 * between. */
static bool is_better(uint32_t i, uint32_t n)
{
    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

typedef struct {
    uint32_t n_layer;
    uint32_t i_v, n_v; /* number of this value matrix, and how many there are */
    bool moe;
} place;

typedef jl_type mixture_fn(const jl_plan_tensor *t, const place *p);

static jl_type k_mixture(const jl_plan_tensor *t, const place *p, jl_type base, jl_type better)
{
    const uint32_t il = t->layer < 0 ? 0 : (uint32_t)t->layer;

    if (t->role == JL_ROLE_TOKEN_EMBD || t->role == JL_ROLE_OUTPUT || t->role == JL_ROLE_PLE_EMBD)
        return better;
    if (t->role == JL_ROLE_V && is_better(p->i_v, p->n_v))
        return better;
    if ((t->role == JL_ROLE_DOWN || t->role == JL_ROLE_DOWN_EXPS) && is_better(il, p->n_layer))
        return better;
    return base;
}

/* Dynamic mixtures of the MoE model: everything that every token reads in Q8_0, experts smaller,
 * the experts of one layer (here the last) one step better. */
static jl_type ud_mixture(const jl_plan_tensor *t, const place *p, const jl_type gate_up[2],
                          jl_type down)
{
    const bool last = t->layer == (int32_t)p->n_layer - 1;

    if (t->role == JL_ROLE_GATE_UP_EXPS)
        return gate_up[last];
    if (t->role == JL_ROLE_DOWN_EXPS)
        return last ? JL_TYPE_Q8_0 : down;
    return JL_TYPE_Q8_0;
}

static jl_type ud_iq4_xs(const jl_plan_tensor *t, const place *p)
{
    static const jl_type gate_up[2] = {JL_TYPE_IQ3_S, JL_TYPE_IQ4_XS};

    if (p->moe)
        return ud_mixture(t, p, gate_up, JL_TYPE_IQ4_NL);
    return k_mixture(t, p, JL_TYPE_IQ4_XS, JL_TYPE_Q6_K);
}

static jl_type ud_q4_k_m(const jl_plan_tensor *t, const place *p)
{
    static const jl_type gate_up[2] = {JL_TYPE_Q4_K, JL_TYPE_Q4_K};

    if (p->moe)
        return ud_mixture(t, p, gate_up, JL_TYPE_Q5_1);
    return k_mixture(t, p, JL_TYPE_Q4_K, JL_TYPE_Q6_K);
}

static jl_type q4_k_m(const jl_plan_tensor *t, const place *p)
{
    return k_mixture(t, p, JL_TYPE_Q4_K, JL_TYPE_Q6_K);
}

static jl_type q5_k_m(const jl_plan_tensor *t, const place *p)
{
    return k_mixture(t, p, JL_TYPE_Q5_K, JL_TYPE_Q6_K);
}

static jl_type qat_q4_0(const jl_plan_tensor *t, const place *p)
{
    (void)t;
    (void)p;
    return JL_TYPE_Q4_0;
}

static const struct {
    const char *name;
    mixture_fn *type;
} mixtures[] = {
    {"UD-IQ4_XS", ud_iq4_xs}, {"UD-Q4_K_M", ud_q4_k_m}, {"Q4_K_M", q4_k_m},
    {"Q5_K_M", q5_k_m},       {"QAT-Q4_0", qat_q4_0},
};

/* mixture NULL: every matrix gets the single type. */
static void set_types(jl_plan *plan, mixture_fn *mixture, jl_type single)
{
    place p = {.n_layer = plan->n_layer, .moe = plan->shape->n_expert > 0};

    for (uint32_t i = 0; i < plan->n_tensors; i++)
        p.n_v += plan->tensors[i].role == JL_ROLE_V;
    for (uint32_t i = 0; i < plan->n_tensors; i++) {
        jl_plan_tensor *t = &plan->tensors[i];
        if (t->role >= JL_ROLE_ROUTER)
            continue;
        const jl_type type = mixture ? mixture(t, &p) : single;
        t->type = fallback(type, t->ne[0], t->ne[1]);
        if (t->role == JL_ROLE_PLE_MODEL_PROJ && type != JL_TYPE_F32)
            t->type = JL_TYPE_BF16;
        p.i_v += t->role == JL_ROLE_V;
    }
}

jl_status jl_plan_apply_recipe(jl_plan *plan, const char *name, jl_error *err)
{
    for (size_t i = 0; i < sizeof mixtures / sizeof *mixtures; i++)
        if (strcasecmp(mixtures[i].name, name) == 0) {
            set_types(plan, mixtures[i].type, JL_TYPE_F32);
            return JL_OK;
        }

    const int type = jl_type_find(name);
    if (type < 0 || !jl_type_get((uint32_t)type)->is_weight)
        return jl_fail(err, JL_INVALID,
                       "'%.40s' is no mixture (UD-IQ4_XS, UD-Q4_K_M, Q4_K_M, Q5_K_M, QAT-Q4_0) and "
                       "no type of weights (F32, F16, BF16, Q8_0, Q4_0, Q4_K, ...)",
                       name);
    set_types(plan, NULL, (jl_type)type);
    return JL_OK;
}
