/* Matrix products of every weight type and instruction set against the scalar definition, bit by
 * bit: tile tails in all three dimensions, gathered columns, strides, extremes, and the bytes
 * around every buffer. */
#include "act.h"
#include "kernels/kcheck.h"
#include "quant/quant.h"

typedef struct {
    jl_type type;
    size_t n_rows, n_cols, n_in;
    kfill fill_w, fill_x;
    kbuf_place place;
    bool gather;
    uint64_t seed;
} mm_case;

typedef struct {
    kbuf w, q, d, sum, x, cols, y, scratch;
    jl_mm_args args;
} mm_buffers;

static bool is_float(jl_type type)
{
    return jl_type_get((uint32_t)type)->block_len == 1;
}

static size_t weight_unit(jl_type type)
{
    return type == JL_TYPE_F32 ? 4 : type == JL_TYPE_MXFP4 ? 1 : 2;
}

static void fill_weights(const mm_case *c, mm_buffers *b)
{
    const size_t row_bytes = (size_t)jl_row_bytes((uint32_t)c->type, c->n_in);
    const size_t stride = row_bytes + (c->gather ? 12 : 0); /* rows of a wider matrix */

    const size_t group = jl_type_get((uint32_t)c->type)->group_rows;

    b->args.w = kbuf_open(&b->w, stride * (c->n_rows - group) + row_bytes * group,
                          weight_unit(c->type), c->place);
    b->args.w_stride = stride;
    for (size_t r = 0; r < c->n_rows; r += group)
        kcheck_fill_weights(c->type, b->w.data + r * stride, c->n_in, c->fill_w, c->seed + r);
}

static void fill_activations(const mm_case *c, mm_buffers *b, size_t n_act)
{
    const size_t n = n_act * c->n_in;
    float *x = kbuf_open(&b->x, n * sizeof *x, sizeof *x, c->place);
    int8_t *q = kbuf_open(&b->q, n, 1, c->place);
    const size_t n_d = jl_act_blocks(c->type, c->n_in);
    const size_t n_sum = jl_act_sums(c->type, c->n_in);
    float *d = kbuf_open(&b->d, n_act * n_d * sizeof *d, sizeof *d, c->place);
    int16_t *sum = kbuf_open(&b->sum, n_act * n_sum * sizeof *sum, sizeof *sum, c->place);

    for (size_t i = 0; i < n_act; i++)
        kcheck_fill(x + i * c->n_in, c->n_in, c->fill_x, c->seed + 100 + i);
    if (is_float(c->type)) {
        b->args.x = x;
        return;
    }
    act_rows(c->type, x, c->n_in, n_act, q, d, sum);
    b->args.q = q;
    b->args.d = d;
    b->args.sum = sum;
}

static void open_case(const mm_case *c, mm_buffers *b)
{
    const size_t n_act = c->gather ? c->n_cols + 3 : c->n_cols;
    const size_t y_stride = c->n_rows + (c->gather ? 5 : 0);

    memset(b, 0, sizeof *b);
    fill_weights(c, b);
    fill_activations(c, b, n_act);
    b->args.n_rows = c->n_rows;
    b->args.n_cols = c->n_cols;
    b->args.n_in = c->n_in;
    b->args.y_stride = y_stride;
    uint32_t *cols = kbuf_open(&b->cols, c->n_cols * sizeof *cols, sizeof *cols, c->place);
    for (size_t i = 0; i < c->n_cols; i++)
        cols[i] = (uint32_t)((i * 7 + 2) % n_act); /* some twice, some never */
    b->args.cols = c->gather ? cols : NULL;
    const size_t n_y = y_stride * (c->n_cols - 1) + c->n_rows;
    b->args.y = kbuf_open(&b->y, n_y * sizeof(float), sizeof(float), c->place);
}

static void close_case(mm_buffers *b)
{
    kbuf *all[] = {&b->w, &b->q, &b->d, &b->sum, &b->x, &b->cols, &b->y};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        kbuf_close(all[i]);
}

/* Runs one kernel on a y full of a pattern, with scratch of the promised size full of NaNs. */
static void run(const jl_cpu_kernels *k, const mm_case *c, mm_buffers *b, const char *what)
{
    const size_t scratch_bytes = (k->mm_scratch + 63) / 64 * 64;

    memset(b->y.data, 0x5a, b->y.n_bytes);
    b->args.scratch = kbuf_open(&b->scratch, scratch_bytes, 64, KBUF_END);
    memset(b->scratch.data, 0xff, scratch_bytes);
    k->mm[c->type](&b->args);
    kbuf_check(&b->scratch, what);
    kbuf_check(&b->y, what);
    kbuf_close(&b->scratch);
}

/* The function of table i for a type, NULL if it is that of the table before. */
static jl_mm_fn *own_kernel(const kcheck_tables *t, size_t i, jl_type type)
{
    const jl_cpu_kernels *before = i ? &t->kernels[i - 1] : &t->scalar;

    return t->kernels[i].mm[type] == before->mm[type] ? NULL : t->kernels[i].mm[type];
}

/* Rows of types that are stored in groups fill them. */
static void fill_groups(mm_case *c)
{
    const size_t group = jl_type_get((uint32_t)c->type)->group_rows;

    c->n_rows = (c->n_rows + group - 1) / group * group;
}

static void check_case(const kcheck_tables *t, mm_case *c)
{
    mm_buffers b;
    size_t n_own = 0;

    for (size_t i = 0; i < t->n; i++)
        n_own += own_kernel(t, i, c->type) != NULL;
    if (n_own == 0)
        return; /* only the scalar kernel: nothing to compare */
    fill_groups(c);
    open_case(c, &b);
    run(&t->scalar, c, &b, "scalar");
    float *expected = malloc(b.y.n_bytes);
    assert_non_null(expected);
    memcpy(expected, b.y.data, b.y.n_bytes);
    for (size_t i = 0; i < t->n; i++) {
        char what[160];
        if (!own_kernel(t, i, c->type))
            continue;
        snprintf(what, sizeof what, "%s %s rows %zu cols %zu n %zu, weights %s, values %s, %s%s",
                 t->bundle[i], jl_type_name((uint32_t)c->type), c->n_rows, c->n_cols, c->n_in,
                 kfill_name(c->fill_w), kfill_name(c->fill_x),
                 c->place == KBUF_MISALIGNED ? "misaligned" : "aligned",
                 c->gather ? ", gathered" : "");
        run(&t->kernels[i], c, &b, what);
        const size_t n = b.y.n_bytes / sizeof(float); /* gaps between columns included */
        const size_t at = kcheck_diff(expected, b.args.y, n);
        if (at < n)
            fail_msg("%s: row %zu of column %zu is %a, expected %a", what, at % b.args.y_stride,
                     at / b.args.y_stride, (double)b.args.y[at], (double)expected[at]);
    }
    free(expected);
    close_case(&b);
}

static size_t some_length(jl_type type, uint64_t seed)
{
    static const size_t floats[] = {1, 5, 16, 17, 31, 33, 64, 100, 257};
    static const size_t blocks[] = {1, 2, 3, 5, 8, 22, 41};
    static const size_t supers[] = {1, 2, 3, 5};

    if (is_float(type))
        return floats[seed % 9];
    return jl_type_get((uint32_t)type)->block_len == 32 ? 32 * blocks[seed % 7]
                                                       : 256 * supers[seed % 4];
}

static mm_case some_case(jl_type type, size_t n_rows, size_t n_cols, uint64_t seed)
{
    return (mm_case){
        .type = type,
        .n_rows = n_rows,
        .n_cols = n_cols,
        .n_in = some_length(type, seed),
        .fill_w = (kfill)(seed / 2 % KFILL_N),
        .fill_x = seed % 3 == 0 ? KFILL_RANDOM : (kfill)(seed / 5 % KFILL_N),
        .place = (kbuf_place)(seed % KBUF_N_PLACES),
        .gather = seed / 3 % 2,
        .seed = seed,
    };
}

static void test_mm(void **state)
{
    static const size_t rows[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97,
                                  145};
    static const size_t cols[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 24, 28, 31, 32, 33,
                                  65};
    const kcheck_tables *t = *state;
    uint64_t seed = 0;

    for (uint32_t type = 0; type < JL_TYPE_MAX; type++) {
        if (!t->scalar.mm[type]) {
            assert_false(jl_type_get(type)->is_weight);
            continue;
        }
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            for (size_t j = 0; j < sizeof cols / sizeof *cols; j++) {
                if (rows[i] * cols[j] > 256 && (i + j) % 4 != 0)
                    continue;
                mm_case c = some_case((jl_type)type, rows[i], cols[j], seed++);
                check_case(t, &c);
            }
    }
}

/* Every pair of fills at one shape: integers, scales and activations at their extremes together. */
static void test_mm_extremes(void **state)
{
    const kcheck_tables *t = *state;

    for (uint32_t type = 0; type < JL_TYPE_MAX; type++)
        for (int f = 0; t->scalar.mm[type] && f < KFILL_N * KFILL_N; f++)
            for (uint64_t seed = 0; seed < 2; seed++) {
                mm_case c = some_case((jl_type)type, 18, seed ? 5 : 1, seed);
                c.n_in = jl_type_get(type)->act_block == JL_ACT_WIDE ? JL_ACT_WIDE : 512;
                c.fill_w = (kfill)(f % KFILL_N);
                c.fill_x = (kfill)(f / KFILL_N);
                check_case(t, &c);
            }
}

/* Every table has a product for every weight type, and tiles the engine can cut by. */
static void test_tables(void **state)
{
    const kcheck_tables *t = *state;

    for (size_t i = 0; i < t->n; i++) {
        const jl_cpu_kernels *k = &t->kernels[i];
        assert_non_null(k->name);
        assert_true(k->mm_tile_rows > 0 && k->mm_tile_rows % 32 == 0);
        for (uint32_t type = 0; type < JL_TYPE_MAX; type++)
            assert_int_equal(k->mm[type] != NULL, jl_type_get(type)->is_weight);
        printf("# %s: kernels \"%s\"\n", t->bundle[i], k->name);
    }
}

int main(void)
{
    static kcheck_tables tables;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_tables, &tables),
        cmocka_unit_test_prestate(test_mm, &tables),
        cmocka_unit_test_prestate(test_mm_extremes, &tables),
    };
    kcheck_tables_init(&tables);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
