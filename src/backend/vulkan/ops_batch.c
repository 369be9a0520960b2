/* Positions and page tables of a batch on the device: made once for all layers of a group. */
#include <string.h>

#include "backend/vulkan/vulkan.h"

static uint32_t n_blocks(int32_t last_pos)
{
    return (uint32_t)last_pos / 64 + 1;
}

static bool fill(jl_vk *v, const jl_kv_batch *b, jl_vk_batch *out)
{
    uint64_t n_pages = 0;
    int32_t *pages = NULL;

    for (uint32_t t = 0; t < b->n_tokens; t = jl_vk_run_end(b, t))
        n_pages += n_blocks(b->pos[jl_vk_run_end(b, t) - 1]);
    out->pos_at = jl_vk_ring_put(v, b->pos, b->n_tokens * sizeof *b->pos);
    uint32_t *table = jl_vk_ring_take(v, b->n_tokens * sizeof *table, &out->table_at);
    if (table)
        pages = jl_vk_ring_take(v, n_pages * sizeof *pages, &out->pages_at);
    if (!pages)
        return false;

    uint32_t at = 0;
    for (uint32_t t = 0; t < b->n_tokens;) {
        const uint32_t end = jl_vk_run_end(b, t);
        const uint32_t n = n_blocks(b->pos[end - 1]);
        memcpy(pages + at, b->pages[t], n * sizeof *pages);
        for (; t < end; t++)
            table[t] = at;
        at += n;
    }
    return true;
}

const jl_vk_batch *jl_vk_batch_of(jl_vk *v, const jl_kv_batch *batch)
{
    for (int i = 0; i < 2; i++) {
        const jl_vk_batch *b = &v->batch[i];
        if (b->n_tokens == batch->n_tokens && b->pages == batch->pages && b->pos == batch->pos)
            return b;
    }
    jl_vk_batch made = {.pages = batch->pages, .pos = batch->pos, .n_tokens = batch->n_tokens};
    if (!fill(v, batch, &made))
        return NULL;
    jl_vk_batch *to = &v->batch[v->batch_next];
    v->batch_next ^= 1;
    *to = made;
    return to;
}
