/* Attention over one block of keys, and the merge of partial results, of every instruction set
 * against the scalar definition, bit by bit: all cell types, partial visibility, tails of
 * queries. */
#include <math.h>

#include "kernels/kcheck.h"
#include "quant/float16.h"
#include "quant/quant.h"
#include "quant/random.h"

typedef struct {
    jl_cell_type type_k, type_v;
    size_t head_dim, n_q;
    int32_t first, window;
    bool empty; /* the running state starts empty */
    kbuf_place place;
    uint64_t seed;
} attn_case;

typedef struct {
    kbuf q, q_offset, pos, k, v, m, l, o, scratch;
    jl_attn_args args;
} attn_buffers;

static size_t cell_bytes(jl_cell_type type, size_t head_dim)
{
    const size_t n = JL_KV_BLOCK * head_dim;

    return type == JL_CELL_F32 ? 4 * n : type == JL_CELL_F16 ? 2 * n : n + n / 32 * 2;
}

/* Finite cells: scores stay moderate, a few are zero as unwritten cells are. */
static void fill_cells(void *page, jl_cell_type type, size_t head_dim, uint64_t seed)
{
    const size_t n = JL_KV_BLOCK * head_dim;
    uint16_t *scales = (uint16_t *)((int8_t *)page + n);

    for (size_t i = 0; i < n; i++) {
        const uint64_t z = jl_random_u64(seed, i);
        const float x = z % 61 == 0 ? 0.0f : (float)(int32_t)(z >> 32) * 0x1p-31f;
        if (type == JL_CELL_F32)
            ((float *)page)[i] = x;
        else if (type == JL_CELL_F16)
            ((uint16_t *)page)[i] = jl_f32_to_f16(x);
        else
            ((int8_t *)page)[i] = (int8_t)(x * 127.0f);
    }
    for (size_t i = 0; type == JL_CELL_Q8_0 && i < n / 32; i++)
        scales[i] = jl_f32_to_f16((float)(jl_random_u64(seed + 1, i) % 100) * 0x1p-13f);
}

static size_t cell_unit(jl_cell_type type)
{
    return type == JL_CELL_F32 ? 4 : 2;
}

static void open_queries(const attn_case *c, attn_buffers *b)
{
    const size_t stride = c->head_dim + 3; /* rows need not be adjacent */
    float *q = kbuf_open(&b->q, stride * c->n_q * sizeof *q, sizeof *q, c->place);
    size_t *offset = kbuf_open(&b->q_offset, c->n_q * sizeof *offset, sizeof *offset, c->place);
    int32_t *pos = kbuf_open(&b->pos, c->n_q * sizeof *pos, sizeof *pos, c->place);

    for (size_t i = 0; i < c->n_q; i++) {
        offset[i] = (c->n_q - 1 - i) * stride;
        kcheck_fill(q + offset[i], c->head_dim, KFILL_RANDOM, c->seed + i);
        /* from before the block over its middle to far behind it */
        pos[i] = c->first + (int32_t)(jl_random_u64(c->seed, i) % 150) - 10;
        if (pos[i] < 0)
            pos[i] = 0;
    }
    b->args.q = q;
    b->args.q_offset = offset;
    b->args.pos = pos;
}

/* The running state: empty, or what earlier blocks may have left. */
static void open_state(const attn_case *c, attn_buffers *b)
{
    float *m = kbuf_open(&b->m, c->n_q * sizeof *m, sizeof *m, c->place);
    float *l = kbuf_open(&b->l, c->n_q * sizeof *l, sizeof *l, c->place);
    float *o = kbuf_open(&b->o, c->n_q * c->head_dim * sizeof *o, sizeof *o, c->place);

    for (size_t i = 0; i < c->n_q; i++) {
        const float top = (float)(jl_random_u64(c->seed + 9, i) % 40) - 20.0f;
        m[i] = c->empty || i % 5 == 4 ? -INFINITY : top;
        l[i] = m[i] == -INFINITY ? 0.0f : 1.0f + (float)i;
        kcheck_fill(o + i * c->head_dim, c->head_dim, m[i] == -INFINITY ? KFILL_ZERO : KFILL_RANDOM,
                    c->seed + 50 + i);
    }
    b->args.m = m;
    b->args.l = l;
    b->args.o = o;
}

static void run(const jl_cpu_kernels *k, const attn_case *c, attn_buffers *b, const char *what)
{
    kbuf *all[] = {&b->q, &b->q_offset, &b->pos, &b->k, &b->v, &b->m, &b->l, &b->o, &b->scratch};

    memset(b, 0, sizeof *b);
    open_queries(c, b);
    open_state(c, b);
    b->args.k =
        kbuf_open(&b->k, cell_bytes(c->type_k, c->head_dim), cell_unit(c->type_k), c->place);
    b->args.v =
        kbuf_open(&b->v, cell_bytes(c->type_v, c->head_dim), cell_unit(c->type_v), c->place);
    fill_cells(b->k.data, c->type_k, c->head_dim, c->seed + 20);
    fill_cells(b->v.data, c->type_v, c->head_dim, c->seed + 40);
    b->args.scratch = kbuf_open(&b->scratch, (jl_attn_scratch(c->head_dim) + 63) / 64 * 64, 64,
                                KBUF_END);
    memset(b->scratch.data, 0xff, b->scratch.n_bytes);
    b->args.n_q = c->n_q;
    b->args.first = c->first;
    b->args.window = c->window;
    b->args.type_k = c->type_k;
    b->args.type_v = c->type_v;
    b->args.head_dim = c->head_dim;
    k->attn_block(&b->args);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        kbuf_check(all[i], what);
}

static void close_case(attn_buffers *b)
{
    kbuf *all[] = {&b->q, &b->q_offset, &b->pos, &b->k, &b->v, &b->m, &b->l, &b->o, &b->scratch};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        kbuf_close(all[i]);
}

static void compare(const char *what, const char *part, const float *got, const float *expected,
                    size_t n)
{
    const size_t at = kcheck_diff(expected, got, n);

    if (at < n)
        fail_msg("%s: %s[%zu] is %a, expected %a", what, part, at, (double)got[at],
                 (double)expected[at]);
}

static void check_case(const kcheck_tables *t, const attn_case *c)
{
    attn_buffers expected;
    attn_buffers got;

    run(&t->scalar, c, &expected, "scalar");
    for (size_t i = 0; i < t->n; i++) {
        char what[160];
        if (t->kernels[i].attn_block == t->scalar.attn_block)
            continue;
        snprintf(what, sizeof what, "%s attn_block K %d V %d head %zu queries %zu window %d",
                 t->bundle[i], (int)c->type_k, (int)c->type_v, c->head_dim, c->n_q, (int)c->window);
        run(&t->kernels[i], c, &got, what);
        compare(what, "m", got.args.m, expected.args.m, c->n_q);
        compare(what, "l", got.args.l, expected.args.l, c->n_q);
        compare(what, "o", got.args.o, expected.args.o, c->n_q * c->head_dim);
        close_case(&got);
    }
    close_case(&expected);
}

static void test_attn_block(void **state)
{
    static const size_t dims[] = {32, 64, 96, 128, 256, 512};
    static const size_t counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 64};
    static const int32_t windows[] = {INT32_MAX, 1, 20, 64, 100};
    uint64_t seed = 0;

    for (int types = 0; types < 9; types++)
        for (size_t d = 0; d < 6; d++)
            for (size_t n = 0; n < 12; n++, seed++) {
                if (dims[d] * counts[n] > 4096 && seed % 5 != 0)
                    continue;
                const attn_case c = {
                    .type_k = (jl_cell_type)(types / 3),
                    .type_v = (jl_cell_type)(types % 3),
                    .head_dim = dims[d],
                    .n_q = counts[n],
                    .first = seed % 7 == 0 ? 0 : (int32_t)(64 * (seed % 1000)),
                    .window = windows[seed % 5],
                    .empty = seed % 3 == 0,
                    .place = (kbuf_place)(seed / 2 % KBUF_N_PLACES),
                    .seed = seed,
                };
                check_case(*state, &c);
            }
}

/* Head sizes that are no multiple of a vector, for the cell types that allow them. */
static void test_attn_odd_heads(void **state)
{
    for (size_t dim = 2; dim <= 80; dim += 2)
        for (int types = 0; types < 4; types++) {
            const attn_case c = {
                .type_k = (jl_cell_type)(types / 2),
                .type_v = (jl_cell_type)(types % 2),
                .head_dim = dim,
                .n_q = 1 + dim % 9,
                .first = 64,
                .window = INT32_MAX,
                .empty = dim % 4 == 0,
                .place = (kbuf_place)(dim / 2 % KBUF_N_PLACES),
                .seed = dim,
            };
            check_case(*state, &c);
        }
}

typedef struct {
    float m, l, o[512];
} partial;

static void merge(const jl_cpu_kernels *k, partial *a, const partial *b, size_t n)
{
    kbuf o;
    kbuf o2;

    memcpy(kbuf_open(&o, n * sizeof(float), sizeof(float), KBUF_END), a->o, n * sizeof(float));
    memcpy(kbuf_open(&o2, n * sizeof(float), sizeof(float), KBUF_END), b->o, n * sizeof(float));
    k->attn_merge(&a->m, &a->l, (float *)o.data, b->m, b->l, (const float *)o2.data, n);
    memcpy(a->o, o.data, n * sizeof(float));
    kbuf_check(&o, "attn_merge");
    kbuf_close(&o);
    kbuf_close(&o2);
}

static void test_attn_merge(void **state)
{
    const kcheck_tables *t = *state;
    const float tops[] = {-INFINITY, -100.0f, -3.5f, 0.0f, 3.0f, 90.0f};

    for (size_t i = 0; i < t->n; i++)
        for (size_t n = 2; n <= 512; n += n < 40 ? 2 : 59)
            for (int which = 0; which < 30; which++) {
                static partial start;
                static partial right;
                static partial left[2];
                start.m = tops[which % 6];
                start.l = start.m == -INFINITY ? 0.0f : 2.5f;
                right.m = tops[1 + which / 6]; /* a block without a visible key is never merged */
                right.l = 7.25f;
                kcheck_fill(start.o, n, KFILL_RANDOM, n);
                kcheck_fill(right.o, n, KFILL_RANDOM, n + 1);
                left[0] = left[1] = start;
                merge(&t->scalar, &left[0], &right, n);
                merge(&t->kernels[i], &left[1], &right, n);
                compare(t->bundle[i], "merged m", &left[1].m, &left[0].m, 1);
                compare(t->bundle[i], "merged l", &left[1].l, &left[0].l, 1);
                compare(t->bundle[i], "merged o", left[1].o, left[0].o, n);
            }
}

int main(void)
{
    static kcheck_tables tables;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_attn_block, &tables),
        cmocka_unit_test_prestate(test_attn_odd_heads, &tables),
        cmocka_unit_test_prestate(test_attn_merge, &tables),
    };
    kcheck_tables_init(&tables);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
