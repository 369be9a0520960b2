/* The tensor table of a shape: names and dimensions as in published GGUF files, and for each tensor
 * the spread of random values that keeps activations sane.
 *
 * Matrices get 1/sqrt(inputs), so that a product keeps the root mean square of its input. In Gemma
 * the norm after a block sets what the block adds to the residual stream: 0.1 for attention, whose
 * output is an average over the context and so nearly the same for neighbouring tokens, and 0.2 for
 * the FFN. The stream then stays mostly the token's own, and the router, which reads it, sends
 * different tokens to different experts. Keys are scaled by 2/sqrt(head size): scores of spread 2.
 * The last norm has random signs, since head and embedding are one matrix and the model would
 * repeat its last token. */
#include "synth/shape.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_PER_LAYER = 24, MAX_GLOBAL = 8 };

static const float post_attention_norm = 0.1f;
static const float post_ffn_norm = 0.2f;
static const float score_spread = 2.0f;
static const float logit_spread = 3.0f;
static const float router_spread = 1.5f;

typedef struct {
    jl_plan *plan;
    int32_t layer;
} builder;

static jl_plan_tensor *add(builder *b, jl_tensor_role role, const char *name)
{
    jl_plan_tensor *t = &b->plan->tensors[b->plan->n_tensors++];

    memset(t, 0, sizeof *t);
    if (b->layer >= 0)
        snprintf(t->name, sizeof t->name, "blk.%d.%s", b->layer, name);
    else
        snprintf(t->name, sizeof t->name, "%s", name);
    t->role = role;
    t->layer = b->layer;
    t->type = JL_TYPE_F32;
    t->ne[0] = t->ne[1] = t->ne[2] = 1;
    return t;
}

static jl_plan_tensor *add_vector(builder *b, const char *name, uint64_t n, float value)
{
    jl_plan_tensor *t = add(b, n == 1 ? JL_ROLE_SCALAR : JL_ROLE_VECTOR, name);

    t->n_dims = 1;
    t->ne[0] = n;
    t->value = value;
    return t;
}

static jl_plan_tensor *add_matrix(builder *b, jl_tensor_role role, const char *name, uint64_t ne0,
                                  uint64_t ne1)
{
    jl_plan_tensor *t = add(b, role, name);

    t->n_dims = 2;
    t->ne[0] = ne0;
    t->ne[1] = ne1;
    t->value = (float)(1.0 / sqrt((double)ne0));
    return t;
}

static void add_experts(builder *b, jl_tensor_role role, const char *name, uint64_t ne0,
                        uint64_t ne1)
{
    jl_plan_tensor *t = add_matrix(b, role, name, ne0, ne1);

    t->n_dims = 3;
    t->ne[2] = b->plan->shape->n_expert;
}

static void add_attention(builder *b, const jl_shape *s, uint32_t il)
{
    const bool global = jl_shape_is_global(s, il);
    const uint64_t d = global ? s->head_dim_global : s->head_dim;
    const uint64_t n_kv = global ? s->n_head_kv_global : s->n_head_kv;
    const bool shared = il >= s->n_layer - s->n_shared_kv;

    add_vector(b, "attn_norm.weight", s->n_embd, 1);
    add_matrix(b, JL_ROLE_Q, "attn_q.weight", s->n_embd, s->n_head * d);
    add_matrix(b, JL_ROLE_K, "attn_k.weight", s->n_embd, n_kv * d)->optional = shared;
    if (!(global && s->k_is_v))
        add_matrix(b, JL_ROLE_V, "attn_v.weight", s->n_embd, n_kv * d)->optional = shared;
    add_matrix(b, JL_ROLE_O, "attn_output.weight", s->n_head * d, s->n_embd);
    if (!jl_shape_is_gemma(s))
        return;
    add_vector(b, "attn_q_norm.weight", d, 1);
    add_vector(b, "attn_k_norm.weight", d, score_spread / sqrtf((float)d))->optional = shared;
    add_vector(b, "post_attention_norm.weight", s->n_embd, post_attention_norm);
}

static void add_ffn(builder *b, const jl_shape *s, uint32_t il)
{
    const bool shared = il >= s->n_layer - s->n_shared_kv;
    const uint64_t n_ff = shared && s->n_ff_shared ? s->n_ff_shared : s->n_ff;

    add_vector(b, "ffn_norm.weight", s->n_embd, 1);
    add_matrix(b, JL_ROLE_GATE, "ffn_gate.weight", s->n_embd, n_ff);
    add_matrix(b, JL_ROLE_UP, "ffn_up.weight", s->n_embd, n_ff);
    add_matrix(b, JL_ROLE_DOWN, "ffn_down.weight", n_ff, s->n_embd);
    if (jl_shape_is_gemma(s))
        add_vector(b, "post_ffw_norm.weight", s->n_embd, post_ffn_norm);
}

static void add_moe(builder *b, const jl_shape *s)
{
    const uint64_t n_ff = s->n_ff_expert;

    add_matrix(b, JL_ROLE_ROUTER, "ffn_gate_inp.weight", s->n_embd, s->n_expert)->value =
        router_spread;
    add_vector(b, "ffn_gate_inp.scale", s->n_embd, 1);
    add_vector(b, "ffn_down_exps.scale", s->n_expert, 1);
    add_vector(b, "pre_ffw_norm_2.weight", s->n_embd, 1);
    add_vector(b, "post_ffw_norm_1.weight", s->n_embd, 0.7f);
    add_vector(b, "post_ffw_norm_2.weight", s->n_embd, 0.7f);
    add_experts(b, JL_ROLE_GATE_UP_EXPS, "ffn_gate_up_exps.weight", s->n_embd, 2 * n_ff);
    add_experts(b, JL_ROLE_DOWN_EXPS, "ffn_down_exps.weight", n_ff, s->n_embd);
}

static void add_layer(builder *b, const jl_shape *s, uint32_t il)
{
    b->layer = (int32_t)il;
    add_attention(b, s, il);
    add_ffn(b, s, il);
    if (s->n_expert)
        add_moe(b, s);
    if (s->n_ple) {
        add_matrix(b, JL_ROLE_PLE_GATE, "inp_gate.weight", s->n_embd, s->n_ple);
        add_matrix(b, JL_ROLE_PLE_OUT, "proj.weight", s->n_ple, s->n_embd);
        add_vector(b, "post_norm.weight", s->n_embd, post_attention_norm);
    }
    if (jl_shape_is_gemma(s))
        add_vector(b, "layer_output_scale.weight", 1, 1)->optional = true;
}

static void add_ple(builder *b, const jl_shape *s)
{
    const uint64_t width = (uint64_t)s->n_ple * b->plan->n_layer;

    add_matrix(b, JL_ROLE_PLE_EMBD, "per_layer_token_embd.weight", width, s->n_vocab)->value =
        1.0f / sqrtf((float)s->n_ple);
    add_matrix(b, JL_ROLE_PLE_MODEL_PROJ, "per_layer_model_proj.weight", s->n_embd, width);
    add_vector(b, "per_layer_proj_norm.weight", s->n_ple, 1);
}

static void add_globals(builder *b, const jl_shape *s)
{
    b->layer = -1;
    add_matrix(b, JL_ROLE_TOKEN_EMBD, "token_embd.weight", s->n_embd, s->n_vocab);
    if (s->n_ple)
        add_ple(b, s);
    jl_plan_tensor *norm = add_vector(b, "output_norm.weight", s->n_embd, logit_spread);
    if (jl_shape_is_gemma(s))
        norm->role = JL_ROLE_SIGNS;
    else
        add_matrix(b, JL_ROLE_OUTPUT, "output.weight", s->n_embd, s->n_vocab);
    if (s->n_vocab == 131072)
        return; /* Mistral has no frequency divisors */
    jl_plan_tensor *freqs = add_vector(b, "rope_freqs.weight", s->head_dim_global / 2, 1);
    freqs->role = jl_shape_is_gemma(s) ? JL_ROLE_ROPE_FREQS : JL_ROLE_SCALAR;
}

/* Without norms after the blocks the residual stream is kept in bounds by smaller output matrices.
 */
static void shrink_outputs(jl_plan *plan)
{
    const float share = 1.0f / sqrtf(2.0f * (float)plan->n_layer);

    for (uint32_t i = 0; i < plan->n_tensors; i++) {
        jl_plan_tensor *t = &plan->tensors[i];
        if (t->role == JL_ROLE_O || t->role == JL_ROLE_DOWN)
            t->value *= share;
        if (t->role == JL_ROLE_TOKEN_EMBD)
            t->value = 1;
    }
}

jl_status jl_plan_create(const jl_shape *shape, uint32_t n_layer, jl_plan *out, jl_error *err)
{
    if (n_layer == 0)
        n_layer = shape->n_layer;
    if (n_layer > shape->n_layer)
        return jl_fail(err, JL_INVALID, "%s has %u layers, not %u", shape->name, shape->n_layer,
                       n_layer);

    const size_t cap = (size_t)n_layer * MAX_PER_LAYER + MAX_GLOBAL;
    jl_plan plan = {.shape = shape, .n_layer = n_layer};
    plan.tensors = jl_malloc(cap * sizeof *plan.tensors);
    if (!plan.tensors)
        return jl_fail(err, JL_NO_MEMORY, "no memory for the tensor table of %s", shape->name);

    builder b = {.plan = &plan};
    add_globals(&b, shape);
    for (uint32_t il = 0; il < n_layer; il++)
        add_layer(&b, shape, il);
    if (!jl_shape_is_gemma(shape))
        shrink_outputs(&plan);
    *out = plan;
    return JL_OK;
}

void jl_plan_destroy(jl_plan *plan)
{
    jl_free(plan->tensors);
    memset(plan, 0, sizeof *plan);
}

uint64_t jl_plan_tensor_elements(const jl_plan_tensor *t)
{
    return t->ne[0] * t->ne[1] * t->ne[2];
}

uint64_t jl_plan_tensor_bytes(const jl_plan_tensor *t)
{
    return jl_row_bytes(t->type, t->ne[0]) * t->ne[1] * t->ne[2];
}
