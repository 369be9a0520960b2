/* Models of every weight type: the same bits in pieces, on any number of threads and with scalar
 * kernels, and close to the F32 model of the same values. Usage: test_types DATA SCRATCH */
#include <unistd.h>

#include "golden.h"
#include "quant/types.h"
#include "test.h"

/* Tokens of a prompt: crosses the window of the cases used (48 and 20 tokens) three times. */
enum { N_TOKENS = 150 };

/* Median divergence of a quantised model from the F32 model of the same values: what rounding the
 * activations to 8 bits costs at a token whose expert choices do not flip. A block of 32 has amax /
 * rms about 2.4, so the step amax / 127 gives a relative error of 2.4 / 127 / sqrt(12) = 5.5e-3 per
 * product, independent over the summands; some ten products deep the relative error of a logit of
 * rms 6 is about sqrt(20) * 5.5e-3 = 0.025, that is 0.15, and KL = variance / 2 = 0.011 nats. Three
 * times that. */
static const double max_divergence = 0.033;

static const char *data_folder, *scratch_folder;

/* Sanitizers (of gcc, which ./check uses) look at memory and take ten times as long, scalar kernels
 * most of it: there they see the window of the cases crossed once. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1, N_SCALAR = 56 };
#else
enum { SANITIZED = 0, N_SCALAR = N_TOKENS };
#endif

/* How else the tokens are run; the logits of the first n are compared. */
typedef struct {
    size_t n;
    golden_plan plan;
} other_run;

static void run_others(const golden_case *c, jl_type type, jl_model *model, const float *first)
{
    /* every piece size and every thread count against the first run, a few together */
    static const other_run runs[] = {
        {N_TOKENS, {.piece = 7, .n_threads = 3, .kv = JL_KV_F32}},
        {N_SCALAR, {.piece = 0, .n_threads = 7, .kv = JL_KV_F32, .cpu_mask = "scalar"}},
        {N_TOKENS, {.piece = 1, .n_threads = 1, .kv = JL_KV_F32}},
        {N_TOKENS, {.piece = 64, .n_threads = 7, .kv = JL_KV_F32}},
        {N_TOKENS, {.piece = 0, .n_threads = 2, .kv = JL_KV_F32, .n_ubatch = 33}},
    };
    for (size_t i = 0; i < (SANITIZED ? 2 : sizeof runs / sizeof *runs); i++) {
        const golden_plan *plan = &runs[i].plan;
        char what[128];
        float *logits = golden_run(model, c->tokens, runs[i].n, plan);
        snprintf(what, sizeof what, "%s %s, pieces of %zu, %u threads, kernels %s", c->name,
                 jl_type_name(type), plan->piece, plan->n_threads,
                 plan->cpu_mask ? plan->cpu_mask : "best");
        golden_assert_same(first, logits, runs[i].n, c->n_vocab, what);
        free(logits);
    }
}

static jl_model *open_model(const char *path)
{
    jl_model *model;
    jl_error err;

    assert_ok(jl_model_open(path, NULL, &model, &err));
    return model;
}

static void check_type(const char *name, jl_type type)
{
    const golden_plan whole = {.n_threads = 1, .kv = JL_KV_F32};
    char path[512], wide_path[512];
    golden_case c;

    golden_open(&c, data_folder, name);
    snprintf(path, sizeof path, "%s/types-%s.tmp", scratch_folder, c.name);
    snprintf(wide_path, sizeof wide_path, "%s/types-%s-wide.tmp", scratch_folder, c.name);
    golden_write_model(&c, path, type);
    golden_widen_model(&c, path, wide_path);
    jl_model *model = open_model(path);
    float *stored = golden_run(model, c.tokens, N_TOKENS, &whole);
    run_others(&c, type, model, stored);
    jl_model_close(model);
    model = open_model(wide_path);
    float *wide = golden_run(model, c.tokens, N_TOKENS, &whole);
    jl_model_close(model);
    (void)unlink(path);
    (void)unlink(wide_path);
    const golden_kl kl = golden_divergence(wide, stored, N_TOKENS, c.n_vocab);
    print_message("# %s %s against its values in F32: KL median %.2g, mean %.2g, max %.2g nats, "
                  "%zu of %d best tokens differ\n", name, jl_type_name(type), kl.median, kl.mean,
                  kl.max, kl.n_other_top, (int)N_TOKENS);
    if (type == JL_TYPE_F32 || type == JL_TYPE_F16 || type == JL_TYPE_BF16)
        golden_assert_same(wide, stored, N_TOKENS, c.n_vocab, "16-bit weights are widened exactly");
    else
        assert_true(kl.median > 0 && kl.median <= max_divergence);
    free(wide);
    free(stored);
    golden_close(&c);
}

/* The case with rows of 256 serves every type, the odd one (rows of 32 to 160, per-layer
 * embeddings, shared KV) those with blocks of 32. */
static void test_type(void **state)
{
    const jl_type type = *(const jl_type *)*state;
    check_type("moe256", type);
    if (jl_type_get(type)->block_len <= 32)
        check_type("odd", type);
}

int main(int argc, char **argv)
{
    static jl_type types[JL_TYPE_MAX];
    struct CMUnitTest tests[JL_TYPE_MAX];
    size_t n = 0;
    if (argc != 3) {
        fprintf(stderr, "usage: test_types DATA SCRATCH\n");
        return 2;
    }
    data_folder = argv[1];
    scratch_folder = argv[2];
    for (uint32_t id = 0; id < JL_TYPE_MAX; id++) {
        const jl_type_info *info = jl_type_get(id);
        if (!info->name || !info->is_weight)
            continue;
        types[n] = (jl_type)id;
        tests[n] = (struct CMUnitTest){.name = info->name, .test_func = test_type,
                                       .initial_state = &types[n]};
        n++;
    }
    return _cmocka_run_group_tests("types", tests, n, NULL, NULL);
}
