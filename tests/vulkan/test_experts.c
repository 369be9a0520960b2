/* The experts' FFN against the scalar CPU backend, bit by bit: one token and many, fused and
 * separate gate and up, experts nobody chose and experts everybody chose. */
#include "pair.h"

enum { N_EMBD = 768, N_FF = 256, N_EXPERT = 11, N_USED = 3 };

typedef struct {
    jl_tensor gate_up, gate, up, down;
} weights;

static void make_weights(pair *p, weights *w, jl_type gate, jl_type down, bool fused)
{
    jl_tensor all[3];
    size_t n = 0;

    *w = (weights){0};
    if (fused) {
        all[n++] = w->gate_up = pair_weight(p, gate, N_EMBD, 2 * N_FF, N_EXPERT);
    } else {
        all[n++] = w->gate = pair_weight(p, gate, N_EMBD, N_FF, N_EXPERT);
        all[n++] = w->up = pair_weight(p, down, N_EMBD, N_FF, N_EXPERT);
    }
    all[n++] = w->down = pair_weight(p, down, N_FF, N_EMBD, N_EXPERT);
    pair_weights(p, all, n);
}

static void free_weights(weights *w)
{
    jl_tensor *const all[] = {&w->gate_up, &w->gate, &w->up, &w->down};

    for (int i = 0; i < 4; i++)
        if (all[i]->buf)
            pair_free_weight(all[i]);
}

/* Ascending ids; expert 2 is everybody's, expert 5 nobody's. */
static both make_ids(pair *p, uint32_t n_tokens)
{
    int32_t ids[64 * N_USED];

    for (uint32_t t = 0; t < n_tokens; t++) {
        ids[t * N_USED] = (int32_t)pair_random(p, 2);
        ids[t * N_USED + 1] = 2;
        ids[t * N_USED + 2] = 6 + (int32_t)pair_random(p, N_EXPERT - 6);
    }
    return pair_values(p, ids, N_USED, n_tokens);
}

static void run(jl_backend *be, const weights *w, const jl_tensor *ids, const jl_tensor *by,
                const jl_tensor *x, const jl_tensor *y)
{
    be->ops->experts(be, &(jl_experts_args){.gate_up = &w->gate_up,
                                            .gate = &w->gate,
                                            .up = &w->up,
                                            .down = &w->down,
                                            .ids = ids,
                                            .weights = by,
                                            .x = x,
                                            .y = y,
                                            .n_ff = N_FF});
}

static void check(pair *p, const weights *w, uint32_t n_tokens)
{
    both ids = make_ids(p, n_tokens);
    both by = pair_f32(p, N_USED, n_tokens, 0);
    both x = pair_f32(p, N_EMBD, n_tokens, 0);
    both y = pair_f32(p, N_EMBD, n_tokens, 0);

    run(p->cpu, w, &ids.cpu, &by.cpu, &x.cpu, &y.cpu);
    run(p->gpu, w, &ids.gpu, &by.gpu, &x.gpu, &y.gpu);
    pair_same(p, "experts", &y);
    pair_free(&ids);
    pair_free(&by);
    pair_free(&x);
    pair_free(&y);
}

static void test_experts(void **state)
{
    static const jl_type pairs[][2] = {{JL_TYPE_Q4_0, JL_TYPE_Q4_0}, {JL_TYPE_IQ4_XS, JL_TYPE_Q6_K},
                                       {JL_TYPE_JQ4, JL_TYPE_JQ4},   {JL_TYPE_BF16, JL_TYPE_BF16},
                                       {JL_TYPE_IQ3_S, JL_TYPE_JQ4}, {JL_TYPE_Q4_K, JL_TYPE_F16}};
    static const uint32_t n_tokens[] = {1, 2, 21, 22, 64};
    jl_backend_limits limits = pair_limits();
    pair p;

    (void)state;
    limits.n_embd = N_EMBD;
    limits.n_expert = N_EXPERT;
    limits.n_expert_used = N_USED;
    limits.n_ff_expert = N_FF;
    pair_open(&p, &limits);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (int fused = 0; fused < 2; fused++) {
            weights w;
            make_weights(&p, &w, pairs[i][0], pairs[i][1], fused);
            for (size_t t = 0; t < sizeof n_tokens / sizeof *n_tokens; t++)
                check(&p, &w, n_tokens[t]);
            free_weights(&w);
        }
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_experts),
    };

    return cmocka_run_group_tests_name("vulkan_experts", tests, NULL, NULL);
}
