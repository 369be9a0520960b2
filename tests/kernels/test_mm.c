/* Matrix products of every type and bundle against the scalar definition, bit for bit. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "act.h"
#include "kernels.h"
#include "quant/quant.h"
#include "quant/random.h"
#include "test.h"

enum { MAX_TABLES = 12, ACT_ROWS = 40 };

/* What the activations hold. */
typedef enum { ACT_RANDOM, ACT_EXTREME, ACT_ZERO, ACT_TINY, ACT_NAN, N_ACT } act_fill;

typedef struct {
    jl_type type;
    size_t n_rows, n_in, n_cols;
    size_t pad;       /* bytes between weight rows */
    size_t y_pad;     /* floats between output columns */
    bool listed;      /* columns chosen by an index list */
    bool random_bits; /* weights are arbitrary bytes instead of valid blocks */
    act_fill act;
} mm_case;

typedef struct {
    guarded w, q, d, sum, x, y, scratch;
    uint32_t cols[ACT_ROWS];
    jl_mm_args args;
} mm_data;

static bool is_float(jl_type t)
{
    return t == JL_TYPE_F32 || t == JL_TYPE_F16 || t == JL_TYPE_BF16;
}

static void fill_activation(float *x, size_t n, act_fill fill, rng *r)
{
    for (size_t i = 0; i < n; i++) {
        switch (fill) {
        case ACT_RANDOM: x[i] = rng_unit(r) * (rng_below(r, 16) ? 1.0f : 50.0f); break;
        case ACT_EXTREME: x[i] = rng_below(r, 2) ? 3.0f : -3.0f; break;
        case ACT_ZERO: x[i] = 0.0f; break;
        case ACT_TINY: x[i] = rng_unit(r) * (rng_below(r, 2) ? 1e-38f : 1e-30f); break;
        default: x[i] = rng_below(r, 60) ? rng_unit(r) : (rng_below(r, 2) ? NAN : INFINITY); break;
        }
    }
}

static void fill_weights(const mm_case *c, uint8_t *w, size_t row_bytes, size_t stride, rng *r)
{
    const size_t group = jl_type_get((uint32_t)c->type)->group_rows;

    for (size_t row = 0; row < c->n_rows; row += group) {
        uint8_t *at = w + row * stride;
        if (!c->random_bits) {
            jl_fill_random_rows(c->type, rng_u64(r), 0, 0.5f, at, c->n_in, group);
            continue;
        }
        for (size_t i = 0; i < row_bytes * group; i++)
            at[i] = (uint8_t)(rng_below(r, 4) ? rng_u64(r) : (rng_below(r, 2) ? 0x80 : 0xff));
    }
}

static void data_new(mm_data *t, const mm_case *c, rng *r)
{
    const size_t row_bytes = (size_t)jl_row_bytes((uint32_t)c->type, c->n_in);
    const size_t stride = row_bytes + c->pad;
    const size_t group = jl_type_get((uint32_t)c->type)->group_rows;
    const size_t blocks = jl_act_blocks(c->type, c->n_in);
    const size_t sums = jl_act_sums(c->type, c->n_in);

    /* offsets keep the alignment the formats promise: 2 bytes, floats 4 */
    t->w = guard_new((c->n_rows - group) * stride + row_bytes * group, is_float(c->type) ? 4 : 2);
    t->x = guard_new(ACT_ROWS * c->n_in * sizeof(float), 4);
    t->q = guard_new(ACT_ROWS * c->n_in, 1);
    t->d = guard_new(ACT_ROWS * (blocks + 1) * sizeof(float), 4);
    t->sum = guard_new(ACT_ROWS * (sums + 1) * sizeof(int16_t), 2);
    t->y = guard_new(c->n_cols * (c->n_rows + c->y_pad) * sizeof(float), 4);

    fill_weights(c, t->w.at, row_bytes, stride, r);
    float *x = (float *)(void *)t->x.at;
    float *d = (float *)(void *)t->d.at;
    int16_t *sum = (int16_t *)(void *)t->sum.at;
    fill_activation(x, ACT_ROWS * c->n_in, c->act, r);
    if (!is_float(c->type))
        act_rows(c->type, x, c->n_in, ACT_ROWS, (int8_t *)t->q.at, d, sum);
    for (size_t i = 0; i < c->n_cols; i++)
        t->cols[i] = (uint32_t)rng_below(r, ACT_ROWS);

    t->args = (jl_mm_args){
        .w = t->w.at, .w_stride = stride, .n_rows = c->n_rows, .n_in = c->n_in,
        .q = (const int8_t *)t->q.at, .d = d, .sum = sum, .x = x,
        .cols = c->listed ? t->cols : NULL, .n_cols = c->n_cols,
        .y = (float *)(void *)t->y.at, .y_stride = c->n_rows + c->y_pad,
    };
}

static void data_free(mm_data *t)
{
    guarded *const all[] = {&t->w, &t->q, &t->d, &t->sum, &t->x, &t->y};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_true(guard_intact(all[i]));
        guard_free(all[i]);
    }
}

static void clear_output(const guarded *y)
{
    for (size_t i = 0; i < y->n; i += sizeof(float))
        memcpy(y->at + i, &(float){-12345.5f}, sizeof(float));
}

/* The scalar result, then every table's, into the same cleared buffer: equal including the padding.
 */
static void check_case(const jl_cpu_kernels *tables, size_t n_tables, const mm_case *c, rng *r)
{
    mm_data t;
    char what[120];

    data_new(&t, c, r);
    float *expected = malloc(t.y.n);
    assert_non_null(expected);
    clear_output(&t.y);
    guarded scratch = guard_new(tables[0].mm_scratch, 0);
    t.args.scratch = scratch.at;
    tables[0].mm[c->type](&t.args);
    guard_free(&scratch);
    memcpy(expected, t.y.at, t.y.n);

    (void)snprintf(what, sizeof what, "%s %zux%zu, %zu columns%s, activations %d",
                   jl_type_name((uint32_t)c->type), c->n_rows, c->n_in, c->n_cols,
                   c->listed ? " listed" : "", (int)c->act);
    for (size_t i = 1; i < n_tables; i++) {
        if (tables[i].mm[c->type] == tables[i - 1].mm[c->type])
            continue;
        clear_output(&t.y);
        scratch = guard_new(tables[i].mm_scratch, 0);
        t.args.scratch = scratch.at;
        tables[i].mm[c->type](&t.args);
        assert_true(guard_intact(&scratch));
        guard_free(&scratch);
        expect_same_floats(tables[i].name, what, expected, (const float *)(const void *)t.y.at,
                           t.y.n / sizeof(float));
    }
    free(expected);
    data_free(&t);
}

static void check_type(jl_type type)
{
    static const size_t rows[] = {1, 3, 15, 16, 17, 31, 32, 33, 48, 75, 137};
    static const size_t cols[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 28, 32, 37};
    static const size_t widths[] = {32, 64, 96, 256, 288, 512, 704, 2816, 4352};
    static const size_t float_widths[] = {1, 7, 15, 16, 17, 30, 31, 33, 64, 100, 2816};
    const size_t step = jl_type_get((uint32_t)type)->block_len;
    const size_t group = jl_type_get((uint32_t)type)->group_rows;
    jl_cpu_kernels tables[MAX_TABLES];
    const size_t n_tables = bundle_tables(tables, MAX_TABLES);
    rng r = {.seed = 77 + (uint64_t)type};

    for (size_t i = 0; i < 260; i++) {
        const size_t width = is_float(type) ? float_widths[rng_below(&r, 11)]
                                            : widths[rng_below(&r, 9)];
        const mm_case c = {
            .type = type,
            .n_rows = (rows[rng_below(&r, 11)] + group - 1) / group * group,
            .n_in = (width + step - 1) / step * step,
            .n_cols = cols[rng_below(&r, rng_below(&r, 3) ? 14 : 3)],
            .pad = rng_below(&r, 2) * 4,
            .y_pad = rng_below(&r, 2) * 3,
            .listed = rng_below(&r, 2) == 1,
            .random_bits = rng_below(&r, 3) == 0,
            .act = (act_fill)rng_below(&r, N_ACT),
        };
        if (c.n_in * c.n_rows * c.n_cols < 3000000)
            check_case(tables, n_tables, &c, &r);
    }
}

static void test_type(void **state)
{
    check_type(*(const jl_type *)*state);
}

int main(void)
{
    static jl_type types[JL_TYPE_MAX];
    struct CMUnitTest tests[JL_TYPE_MAX];
    size_t n = 0;

    for (uint32_t id = 0; id < JL_TYPE_MAX; id++) {
        if (!jl_type_get(id)->name || !jl_type_get(id)->is_weight)
            continue;
        types[n] = (jl_type)id;
        tests[n] = (struct CMUnitTest){.name = jl_type_name(id), .test_func = test_type,
                                       .initial_state = &types[n]};
        n++;
    }
    return _cmocka_run_group_tests("mm", tests, n, NULL, NULL);
}
