/* Element-wise operations and norms of the Vulkan backend against the scalar CPU backend. */
#include "backend/vulkan/vulkan.h"
#include "pair.h"
#include "quant/quant.h"

/* Odd lengths: below, at and above a work group, and widths of real models. */
static const uint32_t lengths[] = {1, 31, 64, 100, 255, 256, 257, 704, 2816};
enum { N_LENGTHS = sizeof lengths / sizeof *lengths };
static const uint32_t rows[] = {1, 3, 17};
enum { N_ROWS = sizeof rows / sizeof *rows };

typedef void check_fn(pair *p, uint32_t n, uint32_t n_rows);

static void each_shape(check_fn *fn)
{
    const jl_backend_limits limits = pair_limits();
    pair p;

    pair_open(&p, &limits);
    for (size_t i = 0; i < N_LENGTHS; i++)
        for (size_t j = 0; j < N_ROWS; j++)
            fn(&p, lengths[i], rows[j]);
    pair_close(&p);
}

static void check_add_scale(pair *p, uint32_t n, uint32_t n_rows)
{
    both x = pair_f32(p, n, n_rows, 3);
    both y = pair_f32(p, n, n_rows, 0);

    p->cpu->ops->add_scale(p->cpu, &x.cpu, &y.cpu, 0.7f);
    p->gpu->ops->add_scale(p->gpu, &x.gpu, &y.gpu, 0.7f);
    pair_same(p, "add_scale", &x);
    p->cpu->ops->add_scale(p->cpu, &x.cpu, NULL, 1.1f);
    p->gpu->ops->add_scale(p->gpu, &x.gpu, NULL, 1.1f);
    pair_same(p, "add_scale without y", &x);
    pair_free(&x);
    pair_free(&y);
}

static void check_norm(pair *p, uint32_t n, uint32_t n_rows)
{
    both x = pair_f32(p, n, n_rows, 1);
    both y = pair_f32(p, n, n_rows, 2);
    both w = pair_f32(p, n, 1, 0);

    p->cpu->ops->rms_norm(p->cpu, &x.cpu, &w.cpu, 1e-6f, &y.cpu);
    p->gpu->ops->rms_norm(p->gpu, &x.gpu, &w.gpu, 1e-6f, &y.gpu);
    pair_same(p, "rms_norm", &y);
    p->cpu->ops->rms_norm_add(p->cpu, &x.cpu, &w.cpu, 1e-6f, &y.cpu);
    p->gpu->ops->rms_norm_add(p->gpu, &x.gpu, &w.gpu, 1e-6f, &y.gpu);
    pair_same(p, "rms_norm_add", &y);
    p->cpu->ops->rms_norm(p->cpu, &x.cpu, NULL, 1e-5f, &x.cpu);
    p->gpu->ops->rms_norm(p->gpu, &x.gpu, NULL, 1e-5f, &x.gpu);
    pair_same(p, "rms_norm in place, without weight", &x);
    pair_free(&x);
    pair_free(&y);
    pair_free(&w);
}

static void check_glu(pair *p, uint32_t n, uint32_t n_rows)
{
    both gate = pair_f32(p, n, n_rows, 0);
    both up = pair_f32(p, n, n_rows, 5);
    both y = pair_f32(p, n, n_rows, 0);

    p->cpu->ops->geglu(p->cpu, &gate.cpu, &up.cpu, &y.cpu);
    p->gpu->ops->geglu(p->gpu, &gate.gpu, &up.gpu, &y.gpu);
    pair_same(p, "geglu", &y);
    p->cpu->ops->swiglu(p->cpu, &gate.cpu, &up.cpu, &gate.cpu);
    p->gpu->ops->swiglu(p->gpu, &gate.gpu, &up.gpu, &gate.gpu);
    pair_same(p, "swiglu in place", &gate);
    pair_free(&gate);
    pair_free(&up);
    pair_free(&y);
}

static void check_rest(pair *p, uint32_t n, uint32_t n_rows)
{
    both x = pair_f32(p, n, n_rows, 0);
    both w = pair_f32(p, n, 1, 0);
    both y = pair_f32(p, n, 2 * n_rows, 0);
    uint32_t from[64];

    for (uint32_t r = 0; r < 2 * n_rows; r++)
        from[r] = pair_random(p, n_rows);
    p->cpu->ops->gather_rows(p->cpu, &x.cpu, from, &y.cpu);
    p->gpu->ops->gather_rows(p->gpu, &x.gpu, from, &y.gpu);
    pair_same(p, "gather_rows", &y);
    p->cpu->ops->mul_row(p->cpu, &x.cpu, &w.cpu, 0.3f, &x.cpu);
    p->gpu->ops->mul_row(p->gpu, &x.gpu, &w.gpu, 0.3f, &x.gpu);
    pair_same(p, "mul_row", &x);
    p->cpu->ops->softcap(p->cpu, &y.cpu, 30.0f);
    p->gpu->ops->softcap(p->gpu, &y.gpu, 30.0f);
    pair_same(p, "softcap", &y);
    pair_free(&x);
    pair_free(&w);
    pair_free(&y);
}

/* Values over the whole range of exp, tanh's borders, and rows of zeros. */
static void test_ranges(void **state)
{
    enum { N = 8192 };
    const jl_backend_limits limits = pair_limits();
    float *values = malloc(N * sizeof *values);
    pair p;

    (void)state;
    assert_non_null(values);
    pair_open(&p, &limits);
    for (size_t i = 0; i < N; i++)
        values[i] = ((float)i - N / 2) * 0.0371f;
    both x = pair_values(&p, values, N, 1);
    both y = pair_f32(&p, N, 1, 0);
    p.cpu->ops->geglu(p.cpu, &x.cpu, &y.cpu, &y.cpu);
    p.gpu->ops->geglu(p.gpu, &x.gpu, &y.gpu, &y.gpu);
    pair_same(&p, "geglu over the range", &y);
    p.cpu->ops->swiglu(p.cpu, &x.cpu, &x.cpu, &y.cpu);
    p.gpu->ops->swiglu(p.gpu, &x.gpu, &x.gpu, &y.gpu);
    pair_same(&p, "swiglu over the range", &y);
    p.cpu->ops->softcap(p.cpu, &x.cpu, 30.0f);
    p.gpu->ops->softcap(p.gpu, &x.gpu, 30.0f);
    pair_same(&p, "softcap over the range", &x);
    memset(values, 0, N * sizeof *values);
    both z = pair_values(&p, values, N, 1);
    p.cpu->ops->rms_norm(p.cpu, &z.cpu, NULL, 1e-6f, &z.cpu);
    p.gpu->ops->rms_norm(p.gpu, &z.gpu, NULL, 1e-6f, &z.gpu);
    pair_same(&p, "rms_norm of zeros", &z);
    pair_free(&x);
    pair_free(&y);
    pair_free(&z);
    pair_close(&p);
    free(values);
}

static void test_embed(void **state)
{
    static const jl_type types[] = {JL_TYPE_F32, JL_TYPE_Q8_0, JL_TYPE_Q6_K, JL_TYPE_BF16};
    const jl_backend_limits limits = pair_limits();
    const int32_t ids[] = {5, 0, 11, 5};
    pair p;

    (void)state;
    pair_open(&p, &limits);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        jl_tensor w = pair_weight(&p, types[i], 512, 12, 1);
        both y = pair_f32(&p, 512, 4, i % 2 ? 16 : 0);
        p.cpu->ops->embed(p.cpu, &w, ids, 1.7f, &y.cpu);
        p.gpu->ops->embed(p.gpu, &w, ids, 1.7f, &y.gpu);
        pair_same(&p, "embed", &y);
        pair_free(&y);
        pair_free_weight(&w);
    }
    pair_close(&p);
}

static void check_heads(pair *p, uint32_t head_dim, uint32_t n_tokens)
{
    const uint32_t n_head = 3;
    both x = pair_f32(p, n_head * head_dim, n_tokens, 0);
    both w = pair_f32(p, head_dim, 1, 0);
    const jl_tensor none = {0};
    float inv_freq[256];
    int32_t pos[64];

    for (uint32_t i = 0; i < head_dim / 2; i++)
        inv_freq[i] = 1.0f / (float)(1 + i * i);
    for (uint32_t t = 0; t < n_tokens; t++)
        pos[t] = (int32_t)(t * 977);
    for (int slot = 0; slot < 2; slot++) {
        const float mscale = slot ? 1.0f : 1.1f;
        p->cpu->ops->rope_prepare(p->cpu, slot, inv_freq, head_dim, mscale, pos, n_tokens);
        p->gpu->ops->rope_prepare(p->gpu, slot, inv_freq, head_dim, mscale, pos, n_tokens);
    }
    p->cpu->ops->head_norm_rope(p->cpu, &x.cpu, &w.cpu, 1e-6f, head_dim, 0);
    p->gpu->ops->head_norm_rope(p->gpu, &x.gpu, &w.gpu, 1e-6f, head_dim, 0);
    p->cpu->ops->head_norm_rope(p->cpu, &x.cpu, &none, 1e-6f, head_dim, -1);
    p->gpu->ops->head_norm_rope(p->gpu, &x.gpu, &none, 1e-6f, head_dim, -1);
    p->cpu->ops->head_norm_rope(p->cpu, &x.cpu, NULL, 1e-6f, head_dim, 1);
    p->gpu->ops->head_norm_rope(p->gpu, &x.gpu, NULL, 1e-6f, head_dim, 1);
    p->cpu->ops->rope_adjacent(p->cpu, &x.cpu, head_dim, 1, 0.25f);
    p->gpu->ops->rope_adjacent(p->gpu, &x.gpu, head_dim, 1, 0.25f);
    pair_same(p, "heads", &x);
    pair_free(&x);
    pair_free(&w);
}

static void test_heads(void **state)
{
    static const uint32_t dims[] = {2, 16, 64, 80, 128, 256, 512};
    const jl_backend_limits limits = pair_limits();
    pair p;

    (void)state;
    pair_open(&p, &limits);
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (uint32_t n = 1; n < 20; n += 9)
            check_heads(&p, dims[i], n);
    pair_close(&p);
}

static void check_router(pair *p, jl_type type, uint32_t n_expert, uint32_t n_used)
{
    const uint32_t n_tokens = 5;
    jl_tensor w = pair_weight(p, type, 352, n_expert, 1);
    both x = pair_f32(p, 352, n_tokens, 0);
    both scale = pair_f32(p, n_expert, 1, 0);
    both ids = pair_f32(p, n_used, n_tokens, 0);
    both weights = pair_f32(p, n_used, n_tokens, 0);

    if (n_expert > 4) /* equal rows, equal probabilities */
        memcpy(jl_tensor_host(&w) + 3 * w.row_bytes, jl_tensor_host(&w), w.row_bytes);
    pair_weights(p, &w, 1);
    p->cpu->ops->router(p->cpu, &(jl_router_args){&w, &x.cpu, &scale.cpu, ids.cpu, weights.cpu});
    p->gpu->ops->router(p->gpu, &(jl_router_args){&w, &x.gpu, &scale.gpu, ids.gpu, weights.gpu});
    pair_same(p, "router: ids", &ids);
    pair_same(p, "router: weights", &weights);
    p->cpu->ops->router(p->cpu, &(jl_router_args){&w, &x.cpu, NULL, ids.cpu, weights.cpu});
    p->gpu->ops->router(p->gpu, &(jl_router_args){&w, &x.gpu, NULL, ids.gpu, weights.gpu});
    pair_same(p, "router: weights without scale", &weights);
    pair_free(&x);
    pair_free(&scale);
    pair_free(&ids);
    pair_free(&weights);
    pair_free_weight(&w);
}

static void test_router(void **state)
{
    const jl_backend_limits limits = pair_limits();
    pair p;

    (void)state;
    pair_open(&p, &limits);
    check_router(&p, JL_TYPE_F32, 128, 8);
    check_router(&p, JL_TYPE_F16, 100, 16);
    check_router(&p, JL_TYPE_BF16, 256, 1);
    check_router(&p, JL_TYPE_F32, 4, 4);
    pair_close(&p);
}

/* Quantised rows as they lie on the device, and as the scalar code makes them. */
static void same_act(pair *p, const both *x, uint32_t n, uint32_t block)
{
    const uint32_t n_sum = block == 32 ? n / 16 : (n + 255) / 256;
    const uint32_t n_d = (n + block - 1) / block;
    const uint64_t q_bytes = (n + 255) / 256 * 256;
    jl_vk *v = (jl_vk *)p->gpu;
    jl_buffer *buf;
    jl_error err = {0};
    int8_t q[2][4096];
    float d[2][128];
    int16_t sum[2][256];

    assert_ok(p->gpu->ops->buffer_alloc(p->gpu, q_bytes + sizeof *d + sizeof *sum, &buf, &err));
    const VkDeviceAddress at = ((const jl_vk_memory *)buf->impl)->address;
    const jl_vk_act to = {at, at + q_bytes, at + q_bytes + sizeof *d};
    jl_vk_act_quantize(v, jl_vk_addr(v, &x->gpu), n, n, 1,
                       block == 32 ? JL_VK_ACT_32 : JL_VK_ACT_WIDE, &to);
    assert_ok(p->gpu->ops->read(buf, 0, q[1], n, &err));
    assert_ok(p->gpu->ops->read(buf, q_bytes, d[1], n_d * sizeof **d, &err));
    assert_ok(p->gpu->ops->read(buf, q_bytes + sizeof *d, sum[1], n_sum * sizeof **sum, &err));
    if (block == 32)
        jl_act_quantize(jl_tensor_f32(&x->cpu), n, q[0], d[0], sum[0]);
    else
        jl_act_quantize_wide(jl_tensor_f32(&x->cpu), n, q[0], d[0], sum[0]);
    assert_memory_equal(q[0], q[1], n);
    assert_memory_equal(d[0], d[1], n_d * sizeof **d);
    assert_memory_equal(sum[0], sum[1], n_sum * sizeof **sum);
    p->gpu->ops->buffer_free(buf);
}

static void test_act(void **state)
{
    static const uint32_t sizes[] = {32, 64, 224, 256, 288, 704, 1024, 1056, 2816, 4096};
    const jl_backend_limits limits = pair_limits();
    float values[4096];
    pair p;

    (void)state;
    pair_open(&p, &limits);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int kind = 0; kind < 3; kind++) { /* ties, zeros, anything */
            for (uint32_t k = 0; k < sizes[i]; k++)
                values[k] = kind == 0   ? (float)pair_random(&p, 255) * 0.5f - 63.5f
                            : kind == 1 ? (k / 32 % 2 ? 0.0f : pair_unit(&p) * 1e-20f)
                                        : pair_unit(&p) * 30.0f;
            both x = pair_values(&p, values, sizes[i], 1);
            same_act(&p, &x, sizes[i], 32);
            same_act(&p, &x, sizes[i], JL_ACT_WIDE);
            pair_free(&x);
        }
    pair_close(&p);
}

static void test_add_scale(void **state)
{
    (void)state;
    each_shape(check_add_scale);
}

static void test_norm(void **state)
{
    (void)state;
    each_shape(check_norm);
}

static void test_glu(void **state)
{
    (void)state;
    each_shape(check_glu);
}

static void test_rest(void **state)
{
    (void)state;
    each_shape(check_rest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_scale), cmocka_unit_test(test_norm),
        cmocka_unit_test(test_glu),       cmocka_unit_test(test_rest),
        cmocka_unit_test(test_ranges),    cmocka_unit_test(test_embed),
        cmocka_unit_test(test_heads),     cmocka_unit_test(test_router),
        cmocka_unit_test(test_act),
    };

    return cmocka_run_group_tests_name("vulkan_vec", tests, NULL, NULL);
}
