/* Row kernels (quantisation, norms, activation functions, rotation) of every instruction set
 * against the scalar definition, bit by bit. */
#include <math.h>

#include "kernels/kcheck.h"
#include "quant/quant.h"

static const size_t lengths[] = {1,  2,  3,  4,  7,  8,  9,  15, 16,  17,  23,  24,  31,
                                 32, 33, 47, 48, 63, 64, 65, 96, 100, 127, 256, 704, 2816};
enum { N_LENGTHS = sizeof lengths / sizeof *lengths };

/* One call of a kernel on rows a, b and in-out y. */
typedef void vec_call(const jl_cpu_kernels *k, const float *a, const float *b, float *y, size_t n);

static void call_rms_norm(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                          size_t n)
{
    k->rms_norm(a, b, y, n, 1e-6f);
}

static void call_rms_norm_plain(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                                size_t n)
{
    k->rms_norm(a, NULL, y, n, 1e-6f);
}

static void call_rms_norm_here(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                               size_t n)
{
    k->rms_norm(y, b, y, n, 1e-5f);
}

static void call_rms_norm_add(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                              size_t n)
{
    k->rms_norm_add(a, b, y, n, 1e-6f);
}

static void call_geglu(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                       size_t n)
{
    k->geglu(a, b, y, n);
}

static void call_geglu_gate(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                            size_t n)
{
    k->geglu(y, b, y, n);
}

static void call_geglu_up(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                          size_t n)
{
    k->geglu(a, y, y, n);
}

static void call_swiglu(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                        size_t n)
{
    k->swiglu(a, b, y, n);
}

static void call_swiglu_up(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                           size_t n)
{
    k->swiglu(a, y, y, n);
}

static void call_swiglu_gate(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                             size_t n)
{
    k->swiglu(y, b, y, n);
}

static void call_softcap(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                         size_t n)
{
    k->softcap(y, n, 30.0f);
}

static void call_axpy(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                      size_t n)
{
    k->axpy(b[0], a, y, n);
}

static void call_rope(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                      size_t n)
{
    if (n % 2 == 0)
        k->rope(y, a, n);
}

static void call_rope_adjacent(const jl_cpu_kernels *k, const float *a, const float *b, float *y,
                               size_t n)
{
    if (n % 2 == 0)
        k->rope_adjacent(y, a, n, 0.125f);
}

static const struct {
    const char *name;
    vec_call *call;
} calls[] = {
    {"rms_norm", call_rms_norm},
    {"rms_norm without weights", call_rms_norm_plain},
    {"rms_norm in place", call_rms_norm_here},
    {"rms_norm_add", call_rms_norm_add},
    {"geglu", call_geglu},
    {"geglu over gate", call_geglu_gate},
    {"geglu over up", call_geglu_up},
    {"swiglu", call_swiglu},
    {"swiglu over gate", call_swiglu_gate},
    {"swiglu over up", call_swiglu_up},
    {"softcap", call_softcap},
    {"axpy", call_axpy},
    {"rope", call_rope},
    {"rope_adjacent", call_rope_adjacent},
};

typedef struct {
    size_t n;
    kfill fill;
    kbuf_place place;
    uint64_t seed;
} vec_case;

static void run(const jl_cpu_kernels *k, vec_call *call, const vec_case *c, float *result,
                const char *what)
{
    const size_t n_bytes = c->n * sizeof(float);
    kbuf a;
    kbuf b;
    kbuf y;

    kcheck_fill(kbuf_open(&a, n_bytes, sizeof(float), c->place), c->n, c->fill, c->seed);
    kcheck_fill(kbuf_open(&b, n_bytes, sizeof(float), c->place), c->n, c->fill, c->seed + 1);
    kcheck_fill(kbuf_open(&y, n_bytes, sizeof(float), c->place), c->n, c->fill, c->seed + 2);
    call(k, (const float *)a.data, (const float *)b.data, (float *)y.data, c->n);
    memcpy(result, y.data, n_bytes);
    kbuf_check(&a, what);
    kbuf_check(&b, what);
    kbuf_check(&y, what);
    kbuf_close(&a);
    kbuf_close(&b);
    kbuf_close(&y);
}

static void check_call(const kcheck_tables *t, size_t which, const vec_case *c)
{
    static float expected[4096];
    static float got[4096];

    run(&t->scalar, calls[which].call, c, expected, "scalar");
    for (size_t i = 0; i < t->n; i++) {
        char what[128];
        snprintf(what, sizeof what, "%s %s of %zu, %s", t->bundle[i], calls[which].name, c->n,
                 kfill_name(c->fill));
        run(&t->kernels[i], calls[which].call, c, got, what);
        const size_t at = kcheck_diff(expected, got, c->n);
        if (at < c->n)
            fail_msg("%s: value %zu is %a, expected %a", what, at, (double)got[at],
                     (double)expected[at]);
    }
}

static void test_rows(void **state)
{
    for (size_t which = 0; which < sizeof calls / sizeof *calls; which++)
        for (size_t l = 0; l < N_LENGTHS; l++)
            for (int fill = 0; fill < KFILL_N; fill++)
                for (int place = 0; place < KBUF_N_PLACES; place++) {
                    const vec_case c = {lengths[l], (kfill)fill, (kbuf_place)place, 11 * l};
                    check_call(*state, which, &c);
                }
}

/* The functions of one value over floats of all magnitudes: every 4099th pattern of bits. */
static void test_functions_everywhere(void **state)
{
    enum { N = 1024 };
    static float x[N];
    static float up[N];
    static float expected[N];
    static float got[N];
    const kcheck_tables *t = *state;

    for (size_t i = 0; i < N; i++)
        up[i] = 1.0f;
    for (uint64_t first = 0; first < (uint64_t)1 << 32; first += (uint64_t)N * 4099) {
        for (size_t i = 0; i < N; i++) {
            const uint32_t bits = (uint32_t)(first + i * 4099);
            memcpy(x + i, &bits, sizeof bits);
        }
        for (int f = 0; f < 3; f++) {
            for (size_t k = 0; k <= t->n; k++) {
                const jl_cpu_kernels *table = k == 0 ? &t->scalar : &t->kernels[k - 1];
                float *y = k == 0 ? expected : got;
                memcpy(y, x, sizeof x);
                if (f == 0)
                    table->geglu(x, up, y, N);
                else if (f == 2)
                    table->swiglu(x, up, y, N);
                else
                    table->softcap(y, N, 30.0f);
                const size_t at = k == 0 ? N : kcheck_diff(expected, got, N);
                if (at < N)
                    fail_msg("%s %s(%a): %a, expected %a", t->bundle[k - 1],
                             f == 2 ? "swiglu" : f ? "softcap" : "geglu", (double)x[at],
                             (double)got[at], (double)expected[at]);
            }
        }
    }
}

typedef struct {
    kbuf x, q, d, sum;
} act_buffers;

static void act_open(act_buffers *b, const vec_case *c, bool wide)
{
    kcheck_fill(kbuf_open(&b->x, c->n * sizeof(float), sizeof(float), c->place), c->n, c->fill,
                c->seed);
    kbuf_open(&b->q, c->n, 1, c->place);
    const jl_type type = wide ? JL_TYPE_JQ4 : JL_TYPE_Q8_0; /* some type that takes them so */
    kbuf_open(&b->d, jl_act_blocks(type, c->n) * sizeof(float), sizeof(float), c->place);
    kbuf_open(&b->sum, jl_act_sums(type, c->n) * sizeof(int16_t), sizeof(int16_t), c->place);
}

static void act_run(const jl_cpu_kernels *k, act_buffers *b, size_t n, bool wide, const char *what)
{
    kbuf *all[] = {&b->x, &b->q, &b->d, &b->sum};

    (wide ? k->act_quantize_wide : k->act_quantize)((const float *)b->x.data, n,
                                                   (int8_t *)b->q.data, (float *)b->d.data,
                                                   (int16_t *)b->sum.data);
    for (int i = 0; i < 4; i++)
        kbuf_check(all[i], what);
}

static void act_close(act_buffers *b)
{
    kbuf_close(&b->x);
    kbuf_close(&b->q);
    kbuf_close(&b->d);
    kbuf_close(&b->sum);
}

static void check_act(const kcheck_tables *t, const vec_case *c, bool wide)
{
    act_buffers expected;
    act_buffers got;

    act_open(&expected, c, wide);
    act_run(&t->scalar, &expected, c->n, wide, "scalar");
    for (size_t i = 0; i < t->n; i++) {
        char what[128];
        snprintf(what, sizeof what, "%s act_quantize%s of %zu, %s", t->bundle[i],
                 wide ? "_wide" : "", c->n, kfill_name(c->fill));
        act_open(&got, c, wide);
        act_run(&t->kernels[i], &got, c->n, wide, what);
        if (memcmp(got.q.data, expected.q.data, c->n) != 0)
            fail_msg("%s: q differs", what);
        const size_t n_d = expected.d.n_bytes / sizeof(float);
        if (kcheck_diff((const float *)got.d.data, (const float *)expected.d.data, n_d) < n_d)
            fail_msg("%s: d differs", what);
        if (memcmp(got.sum.data, expected.sum.data, expected.sum.n_bytes) != 0)
            fail_msg("%s: sum differs", what);
        act_close(&got);
    }
    act_close(&expected);
}

static void test_act_quantize(void **state)
{
    for (size_t n = 32; n <= 32 * 88; n += n < 512 ? 32 : 736)
        for (int fill = 0; fill < KFILL_N; fill++)
            for (uint64_t seed = 0; seed < 12; seed++) {
                const vec_case c = {n, (kfill)fill, (kbuf_place)(seed % KBUF_N_PLACES), seed};
                check_act(*state, &c, false);
                check_act(*state, &c, true);
            }
}

/* Ties and blocks with one damaged value: amax 127 makes x.5 a tie. */
static void test_act_ties(void **state)
{
    enum { N = 1024 };
    static float x[N];
    static int8_t q[2][N];
    static float d[2][N / 32];
    static int16_t sum[2][N / 16];
    const kcheck_tables *t = *state;

    for (size_t i = 0; i < N; i++)
        x[i] = (float)((int)(i * 37 % 508) - 254) * 0.5f;
    for (size_t b = 0; b < N / 32; b++)
        x[32 * b + b % 32] = b % 5 == 4 ? NAN : b % 7 == 6 ? -INFINITY : 127.0f;
    jl_act_quantize(x, N, q[0], d[0], sum[0]);
    for (size_t i = 0; i < t->n; i++) {
        t->kernels[i].act_quantize(x, N, q[1], d[1], sum[1]);
        assert_memory_equal(q[0], q[1], sizeof q[0]);
        assert_memory_equal(sum[0], sum[1], sizeof sum[0]);
        assert_int_equal(kcheck_diff(d[0], d[1], N / 32), N / 32);
    }
}

int main(void)
{
    static kcheck_tables tables;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_rows, &tables),
        cmocka_unit_test_prestate(test_functions_everywhere, &tables),
        cmocka_unit_test_prestate(test_act_quantize, &tables),
        cmocka_unit_test_prestate(test_act_ties, &tables),
    };
    kcheck_tables_init(&tables);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
