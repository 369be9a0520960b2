/* Tensor names of checkpoints and of GGUF files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"

typedef struct {
    const char *from, *to;
} pair;

static const pair gemma_top[] = {
    {"embed_tokens.weight", "token_embd.weight"},
    {"norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {"embed_tokens_per_layer.weight", "per_layer_token_embd.weight"},
    {"per_layer_model_projection.weight", "per_layer_model_proj.weight"},
    {"per_layer_projection_norm.weight", "per_layer_proj_norm.weight"},
    {NULL, NULL},
};
static const pair gemma_layer[] = {
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"post_attention_layernorm.weight", "post_attention_norm.weight"},
    {"pre_feedforward_layernorm.weight", "ffn_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
    {"post_feedforward_layernorm.weight", "post_ffw_norm.weight"},
    {"post_feedforward_layernorm_1.weight", "post_ffw_norm_1.weight"},
    {"post_feedforward_layernorm_2.weight", "post_ffw_norm_2.weight"},
    {"pre_feedforward_layernorm_2.weight", "pre_ffw_norm_2.weight"},
    {"router.proj.weight", "ffn_gate_inp.weight"},
    {"router.scale", "ffn_gate_inp.scale"},
    {"router.per_expert_scale", "ffn_down_exps.scale"},
    {"experts.gate_up_proj", "ffn_gate_up_exps.weight"},
    {"experts.down_proj", "ffn_down_exps.weight"},
    {"per_layer_input_gate.weight", "inp_gate.weight"},
    {"per_layer_projection.weight", "proj.weight"},
    {"post_per_layer_input_norm.weight", "post_norm.weight"},
    {"layer_scalar", "layer_output_scale.weight"},
    {NULL, NULL},
};
static const pair llama_top[] = {
    {"embed_tokens.weight", "token_embd.weight"},
    {"norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {NULL, NULL},
};
static const pair llama_layer[] = {
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
    {NULL, NULL},
};

static const char *lookup(const pair *list, const char *name)
{
    for (; list->from; list++)
        if (strcmp(list->from, name) == 0)
            return list->to;
    return NULL;
}

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *name, const char *end)
{
    const size_t n = strlen(name);
    const size_t m = strlen(end);

    return n >= m && strcmp(name + n - m, end) == 0;
}

static const char *without_prefix(const char *name)
{
    static const char *const prefixes[] = {"model.language_model.", "language_model.model.",
                                           "language_model.", "model."};

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (begins(name, prefixes[i]))
            return name + strlen(prefixes[i]);
    return name;
}

/* Weights of images and sound, and what is computed instead of read. */
static bool left_out(const char *name)
{
    static const char *const others[] = {
        "vision_tower.",    "audio_tower.",           "embed_vision.", "embed_audio.",
        "vision_embedder.", "multi_modal_projector.", "vision_model."};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (begins(name, others[i]))
            return true;
    return ends(name, "inv_freq") || ends(name, "embed_scale") || ends(name, "v_norm.weight");
}

int jl_tensor_name(const jl_checkpoint *c, const char *full, char *out, size_t cap)
{
    const char *name = without_prefix(full);
    char *rest = NULL;

    if (left_out(name) || (c->tied && strcmp(name, "lm_head.weight") == 0))
        return 0;
    const char *top = lookup(c->gemma ? gemma_top : llama_top, name);
    if (top) {
        snprintf(out, cap, "%s", top);
        return 1;
    }
    if (!begins(name, "layers.") || name[7] < '0' || name[7] > '9')
        return -1;
    const unsigned long layer = strtoul(name + 7, &rest, 10);
    const char *to = *rest == '.' && layer < c->n_layer
                         ? lookup(c->gemma ? gemma_layer : llama_layer, rest + 1)
                         : NULL;
    if (!to)
        return -1;
    snprintf(out, cap, "blk.%lu.%s", layer, to);
    return 1;
}
