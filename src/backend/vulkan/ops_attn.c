/* Keys and values into their pages, and attention. With many queries a work group walks all blocks
 * of its tile; with few, blocks are spread over work groups and joined afterwards, in waves that
 * fit the memory for partial results: by the contract that is the same computation. */
#include "backend/vulkan/vulkan.h"

enum {
    Q_FLOATS = 4096,  /* of queries in a work group's shared memory */
    MAX_ROWS = 16,    /* query rows of a work group */
    BUSY_GROUPS = 512 /* work groups that keep a device busy without splitting blocks */
};

void jl_vk_kv_store(jl_backend *be, const jl_tensor *k, const jl_tensor *v0, const jl_kv_layer *kv,
                    const jl_kv_batch *batch)
{
    jl_vk *v = vk_of(be);
    const jl_vk_batch *b = jl_vk_batch_of(v, batch);
    const uint32_t spec[] = {kv->type_k, kv->type_v};

    if (!b)
        return;
    const struct {
        VkDeviceAddress k, v, cells, pos, table, pages;
        uint64_t page_bytes;
        uint32_t v_offset, k_head_bytes, v_head_bytes, head_dim, n_tokens, k_stride, v_stride;
    } push = {jl_vk_addr(v, k),
              jl_vk_addr(v, v0),
              ((const jl_vk_memory *)kv->buf->impl)->address + kv->offset,
              b->pos_at,
              b->table_at,
              b->pages_at,
              kv->page_bytes,
              (uint32_t)kv->v_offset,
              (uint32_t)kv->k_head_bytes,
              (uint32_t)kv->v_head_bytes,
              kv->head_dim,
              batch->n_tokens,
              vk_stride(k),
              vk_stride(v0)};
    jl_vk_dispatch(v, &(jl_vk_call){.shader = JL_VK_kv_store,
                                    .spec = spec,
                                    .n_spec = 2,
                                    .push = &push,
                                    .push_bytes = sizeof push,
                                    .groups = {kv->n_head_kv, vk_at_most(batch->n_tokens,
                                                                         v->info.max_groups[1])}});
}

/* As shaders/attention.comp wants it. */
typedef struct {
    VkDeviceAddress q, y, cells, partial, tiles, pos, table, pages;
    uint64_t page_bytes;
    uint32_t v_offset, k_head_bytes, v_head_bytes, group, q_stride, y_stride;
    int32_t window;
    uint32_t first_block, n_blocks, n_head_kv;
} attn_push;
_Static_assert(sizeof(attn_push) <= JL_VK_PUSH_MAX, "push constants");

typedef struct {
    jl_vk *v;
    const jl_tensor *q, *y;
    const jl_kv_layer *kv;
    const jl_kv_batch *batch;
    const jl_vk_batch *b;
    uint32_t n_head, group;
    uint32_t rows; /* of a work group */
    uint32_t n_tiles;
    bool split;
    attn_push push;
} attn;

/* Rows [begin, end) of the batch in tiles; returns how many, writes them if `tiles` is given. */
static uint32_t cut(const attn *a, uint32_t begin, uint32_t end, uint32_t *tiles)
{
    uint32_t n = 0;

    for (uint32_t row = begin; row < end; row += a->rows, n++)
        if (tiles) {
            tiles[2 * n] = row;
            tiles[2 * n + 1] = end - row < a->rows ? end - row : a->rows;
        }
    return n;
}

/* A tile's rows are of one sequence, of one token if blocks are split. */
static uint32_t cut_all(const attn *a, uint32_t *tiles)
{
    const jl_kv_batch *b = a->batch;
    uint32_t n = 0;

    for (uint32_t t = 0, end; t < b->n_tokens; t = end) {
        end = a->split ? t + 1 : jl_vk_run_end(b, t);
        n += cut(a, t * a->group, end * a->group, tiles ? tiles + 2 * n : NULL);
    }
    return n;
}

static uint32_t n_visible_blocks(const attn *a, uint32_t t)
{
    const int32_t pos = a->batch->pos[t];
    const int32_t oldest = pos - a->kv->window + 1;

    return (uint32_t)(pos / 64 - (oldest > 0 ? oldest : 0) / 64 + 1);
}

static uint32_t most_blocks(const attn *a)
{
    uint32_t most = 0;

    for (uint32_t t = 0; t < a->batch->n_tokens; t++) {
        const uint32_t n = n_visible_blocks(a, t);
        most = n > most ? n : most;
    }
    return most;
}

static uint64_t partial_row_bytes(const attn *a)
{
    return (a->kv->head_dim + 2ull) * sizeof(float);
}

/* Blocks that a wave of split attention can hold, beside the running state of every row. */
static uint64_t wave_of(const attn *a)
{
    const uint64_t rows_bytes = (uint64_t)a->batch->n_tokens * a->n_head * partial_row_bytes(a);

    return a->v->partial_bytes / rows_bytes > 1 ? a->v->partial_bytes / rows_bytes - 1 : 0;
}

static bool wants_split(const attn *a)
{
    const uint32_t row_tiles = vk_div_up((uint64_t)a->batch->n_tokens * a->group, a->rows);

    return row_tiles * a->kv->n_head_kv < BUSY_GROUPS && most_blocks(a) > 1 && wave_of(a) > 0;
}

static uint32_t power_of_two(uint32_t n)
{
    uint32_t p = 1;

    while (p < n && p < 256)
        p *= 2;
    return p;
}

static void run_blocks(attn *a, uint32_t z)
{
    const uint32_t spec[] = {a->kv->head_dim, a->rows / 4, a->kv->type_k,
                             a->kv->type_v,   a->split,    power_of_two(a->kv->head_dim)};

    jl_vk_dispatch(a->v, &(jl_vk_call){.shader = JL_VK_attention,
                                       .spec = spec,
                                       .n_spec = 6,
                                       .push = &a->push,
                                       .push_bytes = sizeof a->push,
                                       .groups = {a->n_tiles, a->kv->n_head_kv, z}});
}

static void join_blocks(attn *a)
{
    const uint32_t n_rows = a->batch->n_tokens * a->n_head;
    const uint64_t state = a->v->partial_bytes - n_rows * partial_row_bytes(a);
    const struct {
        VkDeviceAddress partial, state, y, pos;
        uint32_t head_dim, n_head, n_blocks, first_block, y_stride;
        int32_t window;
        uint32_t n_rows;
    } push = {a->v->partial,  a->v->partial + state / 4 * 4, a->push.y,
              a->b->pos_at,   a->kv->head_dim,               a->n_head,
              a->push.n_blocks, a->push.first_block,         a->push.y_stride,
              a->kv->window,  n_rows};

    jl_vk_dispatch(a->v, &(jl_vk_call){.shader = JL_VK_attn_merge,
                                       .push = &push,
                                       .push_bytes = sizeof push,
                                       .groups = {vk_at_most(n_rows, a->v->info.max_groups[0])}});
}

static void run_split(attn *a)
{
    const uint32_t most = most_blocks(a);
    const uint64_t wave = wave_of(a);
    uint32_t step = wave < most ? (uint32_t)wave : most;

    step = vk_at_most(step, a->v->info.max_groups[2]);
    a->push.n_blocks = step;
    for (uint32_t first = 0; first < most; first += step) {
        a->push.first_block = first;
        run_blocks(a, most - first < step ? most - first : step);
        join_blocks(a);
    }
}

/* Rows of a work group: no more than there are, a multiple of 4. */
static uint32_t rows_of(const attn *a)
{
    const uint32_t fit = Q_FLOATS / a->kv->head_dim / 4 * 4;
    const uint32_t have = vk_div_up((uint64_t)a->group * a->batch->n_tokens, 4) * 4;
    const uint32_t most = fit < MAX_ROWS ? fit : MAX_ROWS;

    return have < most ? have : most;
}

void jl_vk_attention(jl_backend *be, const jl_tensor *q, const jl_kv_layer *kv,
                     const jl_kv_batch *batch, uint32_t n_head, const jl_tensor *y)
{
    jl_vk *v = vk_of(be);
    attn a = {.v = v,
              .q = q,
              .y = y,
              .kv = kv,
              .batch = batch,
              .b = jl_vk_batch_of(v, batch),
              .n_head = n_head,
              .group = n_head / kv->n_head_kv};

    if (!a.b)
        return;
    a.rows = rows_of(&a);
    a.split = wants_split(&a);
    a.n_tiles = cut_all(&a, NULL);
    a.push = (attn_push){.q = jl_vk_addr(v, q),
                         .y = jl_vk_addr(v, y),
                         .cells = ((const jl_vk_memory *)kv->buf->impl)->address + kv->offset,
                         .partial = v->partial,
                         .pos = a.b->pos_at,
                         .table = a.b->table_at,
                         .pages = a.b->pages_at,
                         .page_bytes = kv->page_bytes,
                         .v_offset = (uint32_t)kv->v_offset,
                         .k_head_bytes = (uint32_t)kv->k_head_bytes,
                         .v_head_bytes = (uint32_t)kv->v_head_bytes,
                         .group = a.group,
                         .q_stride = vk_stride(q),
                         .y_stride = vk_stride(y),
                         .window = kv->window,
                         .n_head_kv = kv->n_head_kv};
    uint32_t *tiles = jl_vk_ring_take(v, a.n_tiles * 2ull * sizeof *tiles, &a.push.tiles);
    if (!tiles)
        return;
    (void)cut_all(&a, tiles);
    if (a.split)
        run_split(&a);
    else
        run_blocks(&a, 1);
}
