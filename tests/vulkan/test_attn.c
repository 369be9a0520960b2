/* Keys and values stored in pages, and attention over them, against the scalar CPU backend: head
 * sizes, types of cells, windows, groups of heads, several sequences at once, split and whole. */
#include "pair.h"

enum { MAX_TOKENS = 64, PAGES = 64, BLOCKS = 16 };

typedef struct {
    uint32_t head_dim, n_head_kv, group;
    uint32_t type_k, type_v; /* jl_kv_type: 0 F16, 1 F32, 2 Q8_0 */
    int32_t window;
} shape;

typedef struct {
    pair *p;
    shape s;
    jl_kv_layer cpu, gpu;
    int32_t tables[3][BLOCKS];
    int32_t length[3];
    uint64_t n_bytes;
} cache;

static uint64_t head_bytes(uint32_t type, uint32_t head_dim)
{
    const uint64_t n = 64ull * head_dim;

    return type == 1 ? 4 * n : type == 0 ? 2 * n : n + n / 32 * 2;
}

static void cache_open(cache *c, pair *p, const shape *s)
{
    const uint64_t kb = head_bytes(s->type_k, s->head_dim);
    const uint64_t vb = head_bytes(s->type_v, s->head_dim);
    jl_error err = {0};

    *c = (cache){.p = p, .s = *s};
    c->cpu = (jl_kv_layer){.offset = 64,
                           .page_bytes = (kb + vb) * s->n_head_kv + 64,
                           .v_offset = kb * s->n_head_kv,
                           .k_head_bytes = kb,
                           .v_head_bytes = vb,
                           .n_head_kv = s->n_head_kv,
                           .head_dim = s->head_dim,
                           .type_k = s->type_k,
                           .type_v = s->type_v,
                           .window = s->window};
    c->gpu = c->cpu;
    c->n_bytes = c->cpu.page_bytes * PAGES + 64;
    assert_ok(p->cpu->ops->buffer_alloc(p->cpu, c->n_bytes, &c->cpu.buf, &err));
    assert_ok(p->gpu->ops->buffer_alloc(p->gpu, c->n_bytes, &c->gpu.buf, &err));
    memset(c->cpu.buf->host, 0xff, c->n_bytes); /* cells nobody wrote are NaN */
    assert_ok(p->gpu->ops->write(c->gpu.buf, 0, c->cpu.buf->host, c->n_bytes, &err));
    for (int i = 0; i < 3; i++)
        for (int b = 0; b < BLOCKS; b++)
            c->tables[i][b] = (b * 3 + i) * 7 % PAGES;
}

static void cache_close(cache *c)
{
    c->p->cpu->ops->buffer_free(c->cpu.buf);
    c->p->gpu->ops->buffer_free(c->gpu.buf);
}

/* The next n[i] tokens of each sequence in one batch: stored, then attended to. */
static void step(cache *c, const uint32_t n[3])
{
    pair *p = c->p;
    const uint32_t n_head = c->s.group * c->s.n_head_kv;
    int32_t pos[MAX_TOKENS];
    const int32_t *pages[MAX_TOKENS];
    uint32_t total = 0;

    for (int i = 0; i < 3; i++)
        for (uint32_t t = 0; t < n[i]; t++, total++) {
            pos[total] = c->length[i]++;
            pages[total] = c->tables[i];
        }
    const jl_kv_batch batch = {.n_tokens = total, .pos = pos, .pages = pages};
    both k = pair_f32(p, c->s.n_head_kv * c->s.head_dim, total, 0);
    both v = pair_f32(p, c->s.n_head_kv * c->s.head_dim, total, 0);
    both q = pair_f32(p, n_head * c->s.head_dim, total, 0);
    both y = pair_f32(p, n_head * c->s.head_dim, total, 0);

    p->cpu->ops->kv_store(p->cpu, &k.cpu, &v.cpu, &c->cpu, &batch);
    p->gpu->ops->kv_store(p->gpu, &k.gpu, &v.gpu, &c->gpu, &batch);
    p->cpu->ops->attention(p->cpu, &q.cpu, &c->cpu, &batch, n_head, &y.cpu);
    p->gpu->ops->attention(p->gpu, &q.gpu, &c->gpu, &batch, n_head, &y.gpu);
    pair_same(p, "attention", &y);
    pair_free(&k);
    pair_free(&v);
    pair_free(&q);
    pair_free(&y);
}

static void same_cells(cache *c)
{
    uint8_t *got = malloc(c->n_bytes);
    jl_error err = {0};

    assert_non_null(got);
    assert_ok(c->p->gpu->ops->read(c->gpu.buf, 0, got, c->n_bytes, &err));
    assert_memory_equal(got, c->cpu.buf->host, c->n_bytes);
    free(got);
}

static void run_shape(const shape *s)
{
    static const uint32_t steps[][3] = {{37, 1, 0}, {1, 0, 0}, {40, 3, 20}, {0, 1, 1},
                                        {64, 0, 0}, {1, 1, 1}, {2, 0, 0}};
    const jl_backend_limits limits = pair_limits();
    cache c;
    pair p;

    pair_open(&p, &limits);
    cache_open(&c, &p, s);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        step(&c, steps[i]);
    for (uint32_t i = 0; i < 8; i++)
        step(&c, (uint32_t[3]){60, 1, 0});
    step(&c, (uint32_t[3]){1, 0, 1});
    same_cells(&c);
    cache_close(&c);
    pair_close(&p);
}

static void test_gemma(void **state)
{
    (void)state;
    run_shape(&(shape){256, 2, 2, 0, 0, 100});
    run_shape(&(shape){512, 1, 8, 0, 0, INT32_MAX});
}

static void test_small(void **state)
{
    (void)state;
    run_shape(&(shape){16, 3, 1, 0, 0, INT32_MAX});
    run_shape(&(shape){80, 1, 5, 1, 1, 70});
    run_shape(&(shape){128, 2, 4, 0, 1, INT32_MAX});
    run_shape(&(shape){2, 1, 16, 0, 0, 1});
}

static void test_q8_0(void **state)
{
    (void)state;
    run_shape(&(shape){64, 2, 3, 2, 2, INT32_MAX});
    run_shape(&(shape){256, 1, 8, 2, 0, 100});
    run_shape(&(shape){96, 1, 2, 1, 2, INT32_MAX});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemma),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_q8_0),
    };

    return cmocka_run_group_tests_name("vulkan_attn", tests, NULL, NULL);
}
