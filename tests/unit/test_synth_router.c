/* The residual stream of a synthetic MoE model keeps its scale, and its routers use the experts. */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "gguf/gguf.h"
#include "joule/joule.h"
#include "joule/synth.h"
#include "quant/random.h"

enum { N_TOKENS = 512, N_EMBD = 256, N_EXPERT = 32, N_USED = 4, N_LAYER = 6 };

typedef struct {
    const jl_gguf *g;
    int picked[N_LAYER][N_EXPERT]; /* times each expert was among the best */
    double rms[N_LAYER + 1];
} statistic;

static const float *weights(const jl_gguf *g, int layer, const char *name)
{
    char full[64];

    snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    const jl_gguf_tensor *t = jl_gguf_find_tensor(g, full);
    assert_non_null(t);
    return (const float *)(const void *)t->data;
}

/* Scores of one token, up to a factor that does not change their order. */
static void score(const float *x, const float *w, const float *scale, float z[N_EXPERT])
{
    for (int e = 0; e < N_EXPERT; e++) {
        z[e] = 0;
        for (int i = 0; i < N_EMBD; i++)
            z[e] += w[e * N_EMBD + i] * scale[i] * x[i];
    }
}

static void count_best(float z[N_EXPERT], int picked[N_EXPERT])
{
    for (int k = 0; k < N_USED; k++) {
        int best = 0;
        for (int e = 1; e < N_EXPERT; e++)
            best = z[e] > z[best] ? e : best;
        picked[best]++;
        z[best] = -INFINITY;
    }
}

/* The output of layer l is what the router of layer l + 1 reads, but for the attention between
 * them, which adds a tenth. */
static void observe(void *ctx, int layer, const float *x, size_t n_tokens)
{
    statistic *s = ctx;
    float z[N_EXPERT];
    double sum = 0;

    if (layer + 1 > N_LAYER)
        return;
    for (size_t i = 0; i < n_tokens * N_EMBD; i++)
        sum += (double)x[i] * x[i];
    s->rms[layer + 1] = sqrt(sum / (double)(n_tokens * N_EMBD));
    if (layer + 1 == N_LAYER)
        return;
    const float *w = weights(s->g, layer + 1, "ffn_gate_inp.weight");
    const float *scale = weights(s->g, layer + 1, "ffn_gate_inp.scale");
    for (size_t t = 0; t < n_tokens; t++) {
        score(x + t * N_EMBD, w, scale, z);
        count_best(z, s->picked[layer + 1]);
    }
}

static void run(const char *path, statistic *s)
{
    const jl_session_params params = {.struct_size = sizeof params, .n_ctx = N_TOKENS};
    int32_t tokens[N_TOKENS] = {2};
    jl_error err = {0};
    jl_model *model;
    jl_session *session;

    for (int i = 1; i < N_TOKENS; i++)
        tokens[i] = 500 + (int32_t)(jl_random_u64(3, (uint64_t)i) % 3000);
    assert_ok(jl_model_open(path, NULL, &model, &err));
    assert_ok(jl_session_create(model, &params, &session, &err));
    jl_session_observe(session, observe, s);
    const jl_piece piece = {0, tokens, N_TOKENS, false};
    assert_ok(jl_session_eval(session, &piece, 1, &err));
    jl_session_destroy(session);
    jl_model_close(model);
}

static void test_router(void **state)
{
    static statistic s;
    char path[] = "/tmp/joule-synth-XXXXXX";
    const jl_synth_params params = {
        .struct_size = sizeof params, .shape = "tiny-moe", .type = "Q8_0", .seed = 1};
    jl_error err = {0};
    jl_gguf *g;

    (void)state;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_ok(jl_synth_write(&params, path, &err));
    assert_ok(jl_gguf_open(path, &g, &err));
    s.g = g;
    run(path, &s);
    for (int l = 0; l < N_LAYER; l++) {
        int n = 0;
        for (int e = 0; e < N_EXPERT; e++)
            n += s.picked[l][e] > 0;
        assert_true(n >= N_EXPERT * 120 / 128);
    }
    for (int l = 0; l <= N_LAYER; l++)
        assert_true(s.rms[l] > 0.5 && s.rms[l] < 4);
    jl_gguf_close(g);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_router)};
    return cmocka_run_group_tests_name("synth_router", tests, NULL, NULL);
}
