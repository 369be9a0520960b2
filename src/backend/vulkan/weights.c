/* Weights on the device: packed into a few allocations in the order of the file, copied once, byte
 * for byte. Tensors start at multiples of 256 bytes. */
#include <stdlib.h>
#include <string.h>

#include "backend/vulkan/vulkan.h"
#include "base/mem.h"

enum { WEIGHT_ALIGN = 256, STAGE_BYTES = 16 << 20, STAGES = 2 };
#define SEGMENT_BYTES ((uint64_t)1 << 30) /* of an allocation, unless a tensor is larger */

typedef struct {
    jl_vk *v;
    const jl_weights_args *args;
    jl_vk_memory stage[STAGES];
    uint64_t stage_value[STAGES]; /* of the semaphore when the stage is free again */
    int now;
    uint64_t done, total; /* bytes */
} upload;

static int by_place(const void *a, const void *b)
{
    const jl_vk_weight *x = a;
    const jl_vk_weight *y = b;

    if (x->buf != y->buf)
        return x->buf < y->buf ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Fills v->weights: each tensor once, in order. */
static jl_status list(jl_vk *v, const jl_weights_args *a, jl_error *err)
{
    size_t n = 0;

    v->weights = jl_calloc(a->n ? a->n : 1, sizeof *v->weights);
    if (!v->weights)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < a->n; i++)
        if (a->tensors[i].buf)
            v->weights[n++] = (jl_vk_weight){.buf = a->tensors[i].buf,
                                             .offset = a->tensors[i].offset,
                                             .n_bytes = jl_tensor_bytes(&a->tensors[i])};
    if (n > 1)
        qsort(v->weights, n, sizeof *v->weights, by_place);
    for (size_t i = 0; i < n; i++)
        if (v->n_weights == 0 || by_place(&v->weights[v->n_weights - 1], &v->weights[i]) != 0)
            v->weights[v->n_weights++] = v->weights[i];
    return JL_OK;
}

static uint64_t padded(uint64_t n)
{
    return (n + WEIGHT_ALIGN - 1) / WEIGHT_ALIGN * WEIGHT_ALIGN;
}

/* Tensors first .. *end - 1 share the next allocation. */
static uint64_t segment(const jl_vk *v, size_t first, size_t *end)
{
    uint64_t n_bytes = padded(v->weights[first].n_bytes);

    for (*end = first + 1; *end < v->n_weights; ++*end) {
        const uint64_t more = padded(v->weights[*end].n_bytes);
        if (n_bytes + more > SEGMENT_BYTES)
            break;
        n_bytes += more;
    }
    return n_bytes;
}

static bool wait_stage(upload *u)
{
    jl_vk *v = u->v;
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &v->done,
                                      .pValues = &u->stage_value[u->now]};

    return u->stage_value[u->now] == 0 ||
           v->api.WaitSemaphores(v->device, &info, UINT64_MAX) == VK_SUCCESS;
}

/* One tensor to `offset` of an allocation, a stage at a time: the host fills one while the device
 * reads the other. */
static jl_status copy_tensor(upload *u, const jl_vk_weight *w, const jl_vk_memory *to,
                             uint64_t offset, jl_error *err)
{
    jl_vk *v = u->v;

    for (uint64_t at = 0; at < w->n_bytes;) {
        const uint64_t left = w->n_bytes - at;
        const uint64_t n = left < STAGE_BYTES ? left : STAGE_BYTES;
        if (!wait_stage(u))
            return jl_fail(err, JL_DEVICE, "%s does not take the weights", v->info.name);
        memcpy(u->stage[u->now].map, w->buf->host + w->offset + at, n);
        jl_vk_copy(v, u->stage[u->now].buffer, 0, to->buffer, offset + at, n);
        jl_vk_submit(v);
        u->stage_value[u->now] = v->submitted;
        u->now = (u->now + 1) % STAGES;
        at += n;
        u->done += n;
        if (u->args->progress &&
            !u->args->progress(u->args->progress_ctx, (float)u->done / (float)u->total))
            return jl_fail(err, JL_CANCELLED, "loading was stopped");
    }
    return JL_OK;
}

static jl_status copy_segment(upload *u, size_t first, size_t end, uint64_t n_bytes, jl_error *err)
{
    jl_vk *v = u->v;
    jl_vk_memory *more = jl_realloc(v->weight_mem, (v->n_weight_mem + 1) * sizeof *more);
    uint64_t offset = 0;

    if (!more)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    v->weight_mem = more;
    jl_vk_memory *m = &more[v->n_weight_mem];
    JL_TRY(jl_vk_memory_alloc(v, n_bytes, JL_VK_MEM_DEVICE, m, err));
    v->n_weight_mem++;
    v->weight_bytes += n_bytes;
    for (size_t i = first; i < end; i++) {
        v->weights[i].address = m->address + offset;
        JL_TRY(copy_tensor(u, &v->weights[i], m, offset, err));
        offset += padded(v->weights[i].n_bytes);
    }
    return JL_OK;
}

static jl_status too_large(const jl_vk *v, uint64_t n_bytes, jl_error *err)
{
    const double gib = 1073741824.0;

    return jl_fail(err, JL_NO_MEMORY,
                   "%s has %.2f GiB of memory, the weights alone need %.2f: %.2f GiB too little",
                   v->info.name, (double)v->info.local_bytes / gib, (double)n_bytes / gib,
                   (double)(n_bytes - v->info.local_bytes) / gib);
}

static jl_status copy_all(upload *u, jl_error *err)
{
    jl_vk *v = u->v;

    for (int i = 0; i < STAGES; i++)
        /* memory of the host: the device fetches from it while it computes nothing else */
        JL_TRY(jl_vk_memory_alloc(v, STAGE_BYTES, JL_VK_MEM_READBACK, &u->stage[i], err));
    for (size_t first = 0, end; first < v->n_weights; first = end) {
        const uint64_t n_bytes = segment(v, first, &end);
        JL_TRY(copy_segment(u, first, end, n_bytes, err));
    }
    return jl_vk_wait(&v->base, err);
}

jl_status jl_vk_weights_load(jl_backend *be, const jl_weights_args *a, jl_error *err)
{
    jl_vk *v = vk_of(be);
    upload u = {.v = v, .args = a};
    uint64_t need = 0;

    jl_vk_weights_free(v);
    JL_TRY(list(v, a, err));
    for (size_t i = 0; i < v->n_weights; i++) {
        u.total += v->weights[i].n_bytes;
        need += padded(v->weights[i].n_bytes);
    }
    if (need > v->info.local_bytes)
        return too_large(v, need, err);
    jl_status s = copy_all(&u, err);
    if (s != JL_OK) /* the stages may still be read */
        (void)jl_vk_wait(be, NULL);
    for (int i = 0; i < STAGES; i++)
        jl_vk_memory_free(v, &u.stage[i]);
    return s;
}

void jl_vk_weights_free(jl_vk *v)
{
    for (size_t i = 0; i < v->n_weight_mem; i++)
        jl_vk_memory_free(v, &v->weight_mem[i]);
    jl_free(v->weight_mem);
    jl_free(v->weights);
    v->weight_mem = NULL;
    v->weights = NULL;
    v->n_weight_mem = v->n_weights = 0;
    v->weight_bytes = 0;
}
