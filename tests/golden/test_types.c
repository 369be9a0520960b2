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

static float *run_type(const golden_case *c, jl_type type, bool widen, const golden_plan *plans,
                       size_t n_plans)
{
    char path[512];
    jl_model *model;
    jl_error err;
    snprintf(path, sizeof path, "%s/types-%s.tmp", scratch_folder, c->name);
    golden_write_model(c, path, type, widen);
    assert_ok(jl_model_open(path, NULL, &model, &err));
    float *first = golden_run(model, c->tokens, N_TOKENS, &plans[0]);
    for (size_t i = 1; i < n_plans; i++) {
        char what[128];
        float *logits = golden_run(model, c->tokens, N_TOKENS, &plans[i]);
        snprintf(what, sizeof what, "%s %s, pieces of %zu, %u threads, kernels %s", c->name,
                 jl_type_name(type), plans[i].piece, plans[i].n_threads,
                 plans[i].cpu_mask ? plans[i].cpu_mask : "best");
        golden_assert_same(first, logits, N_TOKENS, c->n_vocab, what);
        free(logits);
    }
    jl_model_close(model);
    (void)unlink(path);
    return first;
}

static void check_type(const char *name, jl_type type)
{
    /* every piece size and every thread count against the first run, a few together */
    static const golden_plan plans[] = {
        {.piece = 0, .n_threads = 1, .kv = JL_KV_F32},
        {.piece = 7, .n_threads = 3, .kv = JL_KV_F32},
        {.piece = 0, .n_threads = 7, .kv = JL_KV_F32, .cpu_mask = "scalar"},
/* Sanitizers (of gcc, which ./check uses) look at memory, and take ten times as long. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        {.piece = 1, .n_threads = 1, .kv = JL_KV_F32},
        {.piece = 64, .n_threads = 7, .kv = JL_KV_F32},
        {.piece = 0, .n_threads = 2, .kv = JL_KV_F32, .n_ubatch = 33},
#endif
    };
    golden_case c;
    golden_open(&c, data_folder, name);
    float *stored = run_type(&c, type, false, plans, sizeof plans / sizeof plans[0]);
    float *wide = run_type(&c, type, true, plans, 1);
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
