/* Parts that the loaders of all architectures share: numbers, RoPE scaling, lists of tensors. */
#include <stdio.h>
#include <string.h>

#include "model/model.h"

jl_status jl_hparam_u32(const jl_model *m, const char *key, uint32_t min, uint32_t max,
                        uint32_t *out, jl_error *err)
{
    return jl_model_u32(m, &(jl_want_u32){.key = key, .min = min, .max = max}, 0, out, err);
}

jl_status jl_hparam_optional_u32(const jl_model *m, const char *key, uint32_t max, uint32_t *out,
                                   jl_error *err)
{
    return jl_model_u32(m, &(jl_want_u32){.key = key, .max = max, .optional = true}, 0, out, err);
}

jl_status jl_load_rope_scaling(const jl_model *m, jl_rope_params *p, jl_error *err)
{
    char key[128];
    jl_str type;

    snprintf(key, sizeof key, "%s.rope.scaling.type", m->architecture);
    p->factor = 1.0f;
    p->attn_factor = 1.0f;
    p->beta_fast = 32.0f;
    p->beta_slow = 1.0f;
    if (!jl_gguf_get_str(m->gguf, key, &type))
        return JL_OK;
    if (type.len == 6 && memcmp(type.ptr, "linear", 6) == 0)
        p->scaling = JL_ROPE_LINEAR;
    else if (type.len == 4 && memcmp(type.ptr, "yarn", 4) == 0)
        p->scaling = JL_ROPE_YARN;
    else if (!(type.len == 4 && memcmp(type.ptr, "none", 4) == 0))
        return jl_fail(err, JL_UNSUPPORTED, "%s is '%.*s'; joule knows none, linear and yarn", key,
                       (int)(type.len < 40 ? type.len : 40), type.ptr);

    p->n_ctx_orig = m->hp.n_ctx_train;
    JL_TRY(jl_model_f32(m, "rope.scaling.factor", true, &p->factor, err));
    JL_TRY(jl_model_f32(m, "rope.scaling.attn_factor", true, &p->attn_factor, err));
    JL_TRY(jl_model_f32(m, "rope.scaling.yarn_beta_fast", true, &p->beta_fast, err));
    JL_TRY(jl_model_f32(m, "rope.scaling.yarn_beta_slow", true, &p->beta_slow, err));
    JL_TRY(jl_hparam_optional_u32(m, "rope.scaling.original_context_length", JL_MAX_CTX,
                                  &p->n_ctx_orig, err));
    if (p->factor < 1.0f || p->beta_fast <= 0.0f || p->beta_slow <= 0.0f || p->n_ctx_orig == 0)
        return jl_fail(err, JL_FORMAT, "the rope.scaling values of the file are out of range");
    return JL_OK;
}

jl_status jl_load_entries(const jl_model *m, uint32_t il, const jl_load_entry *e, size_t n,
                          jl_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const jl_want want = {
            .name = e[i].name,
            .ne = {e[i].ne[0], e[i].ne[1] ? e[i].ne[1] : 1, e[i].ne[2] ? e[i].ne[2] : 1},
            .optional = e[i].flags & JL_LOAD_OPTIONAL,
            .f32 = e[i].flags & JL_LOAD_NORM,
        };
        JL_TRY(jl_model_layer_tensor(m, il, &want, e[i].out, err));
    }
    return JL_OK;
}
