#include "tiny.h"

#include "../golden/golden.h"
#include "test.h"

void tiny_open(tiny *t, const char *golden_folder, const char *work_folder)
{
    char path[1024];
    golden_case gc;
    jl_error err;

    golden_open(&gc, golden_folder, "26b-a4b");
    snprintf(path, sizeof path, "%s/server-model-%p.gguf", work_folder, (void *)t);
    golden_write_model(&gc, path, JL_TYPE_Q8_0);
    assert_ok(jl_model_open(path, NULL, &t->model, &err));
    remove(path);
    t->n_tokens = gc.n_tokens < 512 ? gc.n_tokens : 512;
    memcpy(t->tokens, gc.tokens, t->n_tokens * sizeof *t->tokens);
    t->n_vocab = gc.n_vocab;
    golden_close(&gc);
}

void tiny_close(tiny *t)
{
    jl_model_close(t->model);
}

jl_session *tiny_session(const tiny *t, jl_session_params params)
{
    jl_session *s = NULL;
    jl_error err;

    params.struct_size = sizeof params;
    params.n_threads = params.n_threads ? params.n_threads : 1;
    assert_ok(jl_session_create(t->model, &params, &s, &err));
    return s;
}

jl_sampler *tiny_sampler(const tiny *t, uint64_t seed)
{
    jl_sampler_params params;
    jl_sampler *sampler = NULL;
    jl_error err;

    jl_sampler_defaults(t->model, &params);
    params.seed = seed;
    params.temperature = 1.5f;
    assert_ok(jl_sampler_create(t->model, &params, &sampler, &err));
    return sampler;
}

void tiny_solo(const tiny *t, const int32_t *prompt, size_t n_prompt, uint64_t seed, int32_t *out,
               size_t n)
{
    jl_session *s = tiny_session(t, (jl_session_params){.n_ctx = 512});
    jl_sampler *sampler = tiny_sampler(t, seed);
    jl_error err;

    const jl_piece p = {.seq = 0, .tokens = prompt, .n_tokens = n_prompt};
    assert_ok(jl_session_eval(s, &p, 1, &err));
    for (size_t i = 0; i < n; i++) {
        out[i] = jl_sampler_pick(sampler, jl_session_logits(s, 0), NULL);
        jl_sampler_accept(sampler, out[i]);
        const jl_piece one = {.seq = 0, .tokens = &out[i], .n_tokens = 1};
        assert_ok(jl_session_eval(s, &one, 1, &err));
    }
    jl_sampler_destroy(sampler);
    jl_session_destroy(s);
}
