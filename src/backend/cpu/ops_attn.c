/* Attention. Queries of neighbouring tokens and of the heads that share a KV head are computed
 * together (a tile); a tile walks its blocks of 64 keys in ascending order. When there are fewer
 * tiles than threads can use (decoding with a long context), the blocks of a tile are spread over
 * the threads in waves, each block giving its own (m, l, o), and then merged in ascending order: by
 * the contract (docs/numerics.md, section 4) that is the same computation. */
#include <math.h>
#include <string.h>

#include "backend/cpu/cpu.h"

typedef struct {
    cpu_backend *c;
    const jl_tensor *q, *y;
    const jl_kv_layer *kv;
    const jl_kv_batch *batch;
    uint32_t group;   /* query heads per KV head */
    uint32_t n_tiles; /* token tiles; items are tiles times KV heads */
    /* split mode */
    uint32_t rows_max; /* query rows of an item */
    uint32_t wave;     /* blocks per item in a wave */
    uint32_t wave_first;
} attn_ctx;

/* One item: the query rows of a tile for one KV head. */
typedef struct {
    uint32_t n_rows, kv_head, token;
    int32_t first_block, last_block;
    size_t q_offset[JL_ATTN_ROWS];
    int32_t pos[JL_ATTN_ROWS];
} attn_item;

static void item_init(const attn_ctx *a, uint32_t index, attn_item *it)
{
    const cpu_tile tile = a->c->tiles[index / a->kv->n_head_kv];
    const size_t row_floats = a->q->row_bytes / sizeof(float);
    const int32_t first_pos = a->batch->pos[tile.token];
    const int32_t last_pos = a->batch->pos[tile.token + tile.n_tokens - 1];
    const int32_t oldest = first_pos - a->kv->window + 1;

    it->kv_head = index % a->kv->n_head_kv;
    it->token = tile.token;
    it->n_rows = 0;
    for (uint32_t t = tile.token; t < tile.token + tile.n_tokens; t++) {
        for (uint32_t g = 0; g < a->group; g++) {
            const uint32_t head = it->kv_head * a->group + g;
            it->q_offset[it->n_rows] = t * row_floats + (size_t)head * a->kv->head_dim;
            it->pos[it->n_rows++] = a->batch->pos[t];
        }
    }
    it->first_block = oldest > 0 ? oldest / JL_KV_BLOCK : 0;
    it->last_block = last_pos / JL_KV_BLOCK;
}

static void item_block(const attn_ctx *a, const attn_item *it, int32_t block, float *m, float *l,
                       float *o, void *scratch)
{
    const jl_kv_layer *kv = a->kv;
    const int32_t page = a->batch->pages[it->token][block];
    const uint8_t *base = kv->buf->host + kv->offset + (uint64_t)page * kv->page_bytes;
    const jl_attn_args args = {
        .q = jl_tensor_f32(a->q),
        .q_offset = it->q_offset,
        .pos = it->pos,
        .n_q = it->n_rows,
        .first = block * JL_KV_BLOCK,
        .window = kv->window,
        .k = base + it->kv_head * kv->k_head_bytes,
        .v = base + kv->v_offset + it->kv_head * kv->v_head_bytes,
        .type_k = (jl_cell_type)kv->type_k,
        .type_v = (jl_cell_type)kv->type_v,
        .head_dim = kv->head_dim,
        .m = m,
        .l = l,
        .o = o,
        .scratch = scratch,
    };
    a->c->k.attn_block(&args);
}

static void state_clear(float *m, float *l, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        m[i] = -INFINITY;
        l[i] = 0.0f;
    }
}

/* l, o: of the row alone */
static void row_finish(const attn_ctx *a, const attn_item *it, uint32_t row, float l,
                       const float *o)
{
    float *y = jl_tensor_f32(a->y) + it->q_offset[row];

    for (size_t e = 0; e < a->kv->head_dim; e++)
        y[e] = o[e] / l;
}

static void whole_items(void *ctx, int ith, int nth)
{
    const attn_ctx *a = ctx;
    uint8_t *mem = cpu_attn_mem(a->c, ith);
    float *m = (float *)(void *)(mem + jl_attn_scratch(a->c->limits.head_dim));
    float *l = m + JL_ATTN_ROWS;
    float *o = l + JL_ATTN_ROWS;
    (void)nth;

    for (;;) {
        const size_t i = jl_queue_take(&a->c->queue);
        if (i >= (size_t)a->n_tiles * a->kv->n_head_kv)
            return;
        attn_item it;
        item_init(a, (uint32_t)i, &it);
        state_clear(m, l, it.n_rows);
        for (int32_t b = it.first_block; b <= it.last_block; b++)
            item_block(a, &it, b, m, l, o, mem);
        for (uint32_t r = 0; r < it.n_rows; r++)
            row_finish(a, &it, r, l[r], o + r * a->kv->head_dim);
    }
}

/* Partial results in c->partial: per item first the running state, then one triple per block. */
static float *partial_at(const attn_ctx *a, size_t item, uint32_t slot)
{
    const size_t triple = a->rows_max * (a->kv->head_dim + 2ull);
    return a->c->partial + (item * (a->wave + 1ull) + slot) * triple;
}

static void wave_blocks(void *ctx, int ith, int nth)
{
    const attn_ctx *a = ctx;
    const size_t n_items = (size_t)a->n_tiles * a->kv->n_head_kv;
    (void)nth;

    for (;;) {
        const size_t i = jl_queue_take(&a->c->queue);
        if (i >= n_items * a->wave)
            return;
        attn_item it;
        item_init(a, (uint32_t)(i / a->wave), &it);
        const uint32_t slot = (uint32_t)(i % a->wave);
        const int32_t block = it.first_block + (int32_t)(a->wave_first + slot);
        if (block > it.last_block)
            continue;
        float *m = partial_at(a, i / a->wave, slot + 1);
        state_clear(m, m + a->rows_max, it.n_rows);
        item_block(a, &it, block, m, m + a->rows_max, m + 2 * a->rows_max, cpu_attn_mem(a->c, ith));
    }
}

/* Row r of an item: the blocks of this wave, in order, into its running state. */
static void merge_row(const attn_ctx *a, const attn_item *it, size_t item, uint32_t r)
{
    const size_t d = a->kv->head_dim;
    float *m = partial_at(a, item, 0) + r;
    float *l = m + a->rows_max;
    float *o = partial_at(a, item, 0) + 2 * a->rows_max + r * d;

    if (a->wave_first == 0)
        state_clear(m, l, 1);
    for (uint32_t s = 0; s < a->wave; s++) {
        if (it->first_block + (int32_t)(a->wave_first + s) > it->last_block)
            break;
        const float *p = partial_at(a, item, s + 1);
        if (p[r] != -INFINITY)
            a->c->k.attn_merge(m, l, o, p[r], p[a->rows_max + r], p + 2 * a->rows_max + r * d, d);
    }
    if (it->first_block + (int32_t)(a->wave_first + a->wave) > it->last_block)
        row_finish(a, it, r, *l, o);
}

/* By rows: two KV heads with eight rows each keep sixteen threads busy. */
static void wave_merge(void *ctx, int ith, int nth)
{
    const attn_ctx *a = ctx;
    const size_t n_items = (size_t)a->n_tiles * a->kv->n_head_kv;
    const jl_range rows = jl_split(n_items * a->rows_max, 1, ith, nth);
    size_t have = SIZE_MAX; /* the item in `it` */
    attn_item it;

    for (size_t i = rows.begin; i < rows.end; i++) {
        const size_t item = i / a->rows_max;
        const uint32_t r = (uint32_t)(i % a->rows_max);
        if (item != have)
            item_init(a, (uint32_t)item, &it);
        have = item;
        if (r < it.n_rows && it.first_block + (int32_t)a->wave_first <= it.last_block)
            merge_row(a, &it, item, r);
    }
}

static void attention_split(attn_ctx *a, uint32_t n_blocks)
{
    const uint64_t n_items = (uint64_t)a->n_tiles * a->kv->n_head_kv;
    const uint64_t triple = a->rows_max * (a->kv->head_dim + 2ull) * sizeof(float);
    const uint64_t slots = a->c->partial_bytes / (triple * n_items);

    a->wave = slots - 1 < n_blocks ? (uint32_t)(slots - 1) : n_blocks;
    for (a->wave_first = 0; a->wave_first < n_blocks; a->wave_first += a->wave) {
        jl_queue_reset(&a->c->queue);
        jl_pool_run(a->c->pool, wave_blocks, a);
        jl_pool_run(a->c->pool, wave_merge, a);
    }
}

/* Cuts the batch into tiles of tokens of one sequence. */
static uint32_t make_tiles(const attn_ctx *a)
{
    const jl_kv_batch *b = a->batch;
    const uint32_t most = JL_ATTN_ROWS / a->group;
    uint32_t n = 0;

    for (uint32_t t = 0; t < b->n_tokens; n++) {
        uint32_t end = t + 1;
        while (end < b->n_tokens && end - t < most && b->pages[end] == b->pages[t])
            end++;
        a->c->tiles[n] = (cpu_tile){.token = t, .n_tokens = end - t};
        t = end;
    }
    return n;
}

/* Most blocks any item visits. */
static uint32_t most_blocks(const attn_ctx *a)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < a->n_tiles; i++) {
        attn_item it;
        item_init(a, i * a->kv->n_head_kv, &it);
        const uint32_t n = (uint32_t)(it.last_block - it.first_block + 1);
        most = n > most ? n : most;
    }
    return most;
}

static bool split_fits(const attn_ctx *a)
{
    const uint64_t n_items = (uint64_t)a->n_tiles * a->kv->n_head_kv;
    const uint64_t triple = a->rows_max * (a->kv->head_dim + 2ull) * sizeof(float);

    return n_items * triple * 2 <= a->c->partial_bytes;
}

void jl_cpu_attention(jl_backend *be, const jl_tensor *q, const jl_kv_layer *kv,
                      const jl_kv_batch *batch, uint32_t n_head, const jl_tensor *y)
{
    cpu_backend *c = cpu_of(be);
    attn_ctx a = {
        .c = c, .q = q, .y = y, .kv = kv, .batch = batch, .group = n_head / kv->n_head_kv};
    const uint32_t n_threads = c->limits.n_threads;

    a.n_tiles = make_tiles(&a);
    const uint32_t n_items = a.n_tiles * kv->n_head_kv;
    if (n_threads > 1 && n_items < 2 * n_threads) {
        for (uint32_t i = 0; i < a.n_tiles; i++) {
            const uint32_t rows = c->tiles[i].n_tokens * a.group;
            a.rows_max = rows > a.rows_max ? rows : a.rows_max;
        }
        const uint32_t n_blocks = most_blocks(&a);
        if (n_blocks * n_items >= 2 * n_threads && split_fits(&a)) {
            attention_split(&a, n_blocks);
            return;
        }
    }
    jl_queue_reset(&c->queue);
    if (n_items == 1)
        whole_items(&a, 0, 1);
    else
        jl_pool_run(c->pool, whole_items, &a);
}
