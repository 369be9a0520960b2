/* The attention block kernel of every bundle against the scalar one: cell types, head sizes, group
 * sizes, windows, and states that continue from block to block. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "quant/quant.h"
#include "test.h"

enum { MAX_TABLES = 12, N_BLOCKS = 3 };

typedef struct {
    jl_cell_type type_k, type_v;
    size_t head_dim, n_q;
    int32_t window;
    float q_scale;
} attn_case;

static size_t cell_bytes(jl_cell_type type, size_t head_dim)
{
    const size_t n = JL_KV_BLOCK * head_dim;

    switch (type) {
    case JL_CELL_F32: return 4 * n;
    case JL_CELL_F16: return 2 * n;
    default: return n + n / 32 * 2;
    }
}

static void fill_cells(uint8_t *at, jl_cell_type type, size_t head_dim, rng *r)
{
    const size_t n = JL_KV_BLOCK * head_dim;

    for (size_t i = 0; i < n; i++) {
        const float x = rng_unit(r) * (rng_below(r, 20) ? 1.0f : 6.0f);
        const uint16_t h = jl_f32_to_f16(x);
        if (type == JL_CELL_F32)
            memcpy(at + 4 * i, &x, sizeof x);
        else if (type == JL_CELL_F16)
            memcpy(at + 2 * i, &h, sizeof h);
        else
            at[i] = (uint8_t)(int)rng_below(r, 256);
    }
    for (size_t i = 0; type == JL_CELL_Q8_0 && i < n / 32; i++) {
        const uint16_t d = jl_f32_to_f16(rng_unit(r) * 0.02f);
        memcpy(at + n + 2 * i, &d, sizeof d);
    }
}

/* Running state of one table. */
typedef struct {
    float m[JL_ATTN_ROWS], l[JL_ATTN_ROWS];
    guarded o;
} attn_state;

static void check_case(const jl_cpu_kernels *tables, size_t n_tables, const attn_case *c, rng *r)
{
    const size_t q_stride = c->head_dim + 8;
    float *q = malloc(c->n_q * q_stride * sizeof(float));
    size_t q_offset[JL_ATTN_ROWS];
    int32_t pos[JL_ATTN_ROWS];
    attn_state state[MAX_TABLES];
    guarded k[N_BLOCKS];
    guarded v[N_BLOCKS];

    assert_non_null(q);
    for (size_t i = 0; i < c->n_q * q_stride; i++)
        q[i] = rng_unit(r) * c->q_scale;
    for (size_t i = 0; i < c->n_q; i++) {
        q_offset[i] = (c->n_q - 1 - i) * q_stride;
        pos[i] = 128 + (int32_t)rng_below(r, N_BLOCKS * JL_KV_BLOCK + 20) - 10;
    }
    for (size_t b = 0; b < N_BLOCKS; b++) {
        k[b] = guard_new(cell_bytes(c->type_k, c->head_dim), 0);
        v[b] = guard_new(cell_bytes(c->type_v, c->head_dim), 0);
        fill_cells(k[b].at, c->type_k, c->head_dim, r);
        fill_cells(v[b].at, c->type_v, c->head_dim, r);
    }

    for (size_t t = 0; t < n_tables; t++) {
        attn_state *s = &state[t];
        guarded scratch = guard_new(jl_attn_scratch(c->head_dim), 0);
        s->o = guard_new(c->n_q * c->head_dim * sizeof(float), 4);
        memset(s->o.at, 0x11, s->o.n);
        for (size_t i = 0; i < JL_ATTN_ROWS; i++) {
            s->m[i] = -INFINITY;
            s->l[i] = 0.0f;
        }
        for (size_t b = 0; b < N_BLOCKS; b++) {
            const jl_attn_args a = {
                .q = q, .q_offset = q_offset, .pos = pos, .n_q = c->n_q,
                .first = 128 + (int32_t)(b * JL_KV_BLOCK), .window = c->window,
                .k = k[b].at, .v = v[b].at, .type_k = c->type_k, .type_v = c->type_v,
                .head_dim = c->head_dim, .m = s->m, .l = s->l,
                .o = (float *)(void *)s->o.at, .scratch = scratch.at,
            };
            tables[t].attn_block(&a);
        }
        assert_true(guard_intact(&scratch));
        assert_true(guard_intact(&s->o));
        guard_free(&scratch);
        expect_same_floats(tables[t].name, "attention m", state[0].m, s->m, c->n_q);
        expect_same_floats(tables[t].name, "attention l", state[0].l, s->l, c->n_q);
        expect_same_floats(tables[t].name, "attention o",
                           (const float *)(const void *)state[0].o.at,
                           (const float *)(const void *)s->o.at, c->n_q * c->head_dim);
    }
    for (size_t t = 0; t < n_tables; t++)
        guard_free(&state[t].o);
    for (size_t b = 0; b < N_BLOCKS; b++) {
        guard_free(&k[b]);
        guard_free(&v[b]);
    }
    free(q);
}

static void check_cells(jl_cell_type type_k, jl_cell_type type_v)
{
    static const size_t dims[] = {32, 64, 96, 128, 256, 512};
    static const size_t odd_dims[] = {2, 24, 40, 66, 100, 256};
    static const size_t queries[] = {1, 2, 3, 5, 6, 7, 8, 13, 32, 64};
    static const int32_t windows[] = {1, 7, 64, 65, 100, 1024, INT32_MAX};
    static const float scales[] = {0.1f, 1.0f, 30.0f, 1e-30f};
    const bool any_dim = type_k != JL_CELL_Q8_0 && type_v != JL_CELL_Q8_0;
    jl_cpu_kernels tables[MAX_TABLES];
    const size_t n_tables = bundle_tables(tables, MAX_TABLES);
    rng r = {.seed = 40 + 3 * (uint64_t)type_k + (uint64_t)type_v};

    for (int i = 0; i < 40; i++) {
        const attn_case c = {
            .type_k = type_k, .type_v = type_v,
            .head_dim = any_dim && rng_below(&r, 3) == 0 ? odd_dims[rng_below(&r, 6)]
                                                         : dims[rng_below(&r, 6)],
            .n_q = queries[rng_below(&r, 10)],
            .window = windows[rng_below(&r, 7)],
            .q_scale = scales[rng_below(&r, 4)],
        };
        if (c.head_dim * c.n_q <= 8192)
            check_case(tables, n_tables, &c, &r);
    }
}

#define ATTN_TEST(name, k, v)                      \
    static void test_##name(void **state)          \
    {                                              \
        (void)state;                               \
        check_cells(JL_CELL_##k, JL_CELL_##v);     \
    }
ATTN_TEST(f16, F16, F16)
ATTN_TEST(f32, F32, F32)
ATTN_TEST(q8_0, Q8_0, Q8_0)
ATTN_TEST(q8_0_f16, Q8_0, F16)
ATTN_TEST(f32_q8_0, F32, Q8_0)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f16),      cmocka_unit_test(test_f32),
        cmocka_unit_test(test_q8_0),     cmocka_unit_test(test_q8_0_f16),
        cmocka_unit_test(test_f32_q8_0),
    };

    return cmocka_run_group_tests_name("attn", tests, NULL, NULL);
}
