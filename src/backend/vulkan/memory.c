/* Device memory: one allocation per buffer, addressed by shaders directly. Data for recorded work
 * go through a ring of host-visible chunks which wait empties. */
#include <string.h>

#include "backend/vulkan/vulkan.h"
#include "base/mem.h"

enum { RING_CHUNK = 4 << 20, RING_ALIGN = 64 };

/* What memory of a kind should be, the best first. Uploads go to memory of the device that the host
 * can write, where there is some: shaders read it many times. */
static const VkMemoryPropertyFlags wishes[][2] = {
    [JL_VK_MEM_DEVICE] = {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0},
    [JL_VK_MEM_UPLOAD] = {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT |
                              VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                              VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                          VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                              VK_MEMORY_PROPERTY_HOST_COHERENT_BIT},
    [JL_VK_MEM_READBACK] = {VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                VK_MEMORY_PROPERTY_HOST_COHERENT_BIT |
                                VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
                            VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                VK_MEMORY_PROPERTY_HOST_COHERENT_BIT},
};

/* The first memory type among `allowed` that is as wish k of the kind says; -1: none. */
static int memory_type(const jl_vk *v, uint32_t allowed, jl_vk_mem_kind kind, int k)
{
    const VkMemoryPropertyFlags want = wishes[kind][k];
    VkPhysicalDeviceMemoryProperties2 m = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};

    v->api.GetPhysicalDeviceMemoryProperties2(v->physical, &m);
    for (uint32_t i = 0; i < m.memoryProperties.memoryTypeCount; i++)
        if (allowed & 1u << i &&
            (m.memoryProperties.memoryTypes[i].propertyFlags & want) == want)
            return (int)i;
    return -1;
}

static VkResult allocate_of(jl_vk *v, jl_vk_mem_kind kind, jl_vk_memory *m)
{
    const VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                             .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    VkMemoryRequirements need;
    VkResult r = VK_ERROR_OUT_OF_DEVICE_MEMORY;

    v->api.GetBufferMemoryRequirements(v->device, m->buffer, &need);
    for (int k = 0; k < 2 && r != VK_SUCCESS; k++) {
        const int type = memory_type(v, need.memoryTypeBits, kind, k);
        const VkMemoryAllocateInfo alloc = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                            .pNext = &flags,
                                            .allocationSize = need.size,
                                            .memoryTypeIndex = (uint32_t)type};
        if (type >= 0)
            r = v->api.AllocateMemory(v->device, &alloc, NULL, &m->memory);
    }
    if (r != VK_SUCCESS)
        m->memory = VK_NULL_HANDLE;
    return r;
}

static VkResult allocate(jl_vk *v, jl_vk_mem_kind kind, jl_vk_memory *m)
{
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = m->n_bytes,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT,
    };
    VkResult r = v->api.CreateBuffer(v->device, &info, NULL, &m->buffer);

    if (r != VK_SUCCESS) {
        m->buffer = VK_NULL_HANDLE;
        return r;
    }
    r = allocate_of(v, kind, m);
    if (r == VK_SUCCESS)
        r = v->api.BindBufferMemory(v->device, m->buffer, m->memory, 0);
    if (r == VK_SUCCESS && kind != JL_VK_MEM_DEVICE) {
        void *map = NULL;
        r = v->api.MapMemory(v->device, m->memory, 0, VK_WHOLE_SIZE, 0, &map);
        m->map = map;
    }
    return r;
}

jl_status jl_vk_memory_alloc(jl_vk *v, uint64_t n_bytes, jl_vk_mem_kind kind,
                             jl_vk_memory *out, jl_error *err)
{
    jl_vk_memory m = {.n_bytes = n_bytes ? n_bytes : 64};
    const VkResult r = allocate(v, kind, &m);

    if (r != VK_SUCCESS) {
        jl_vk_memory_free(v, &m);
        return jl_fail(err, JL_NO_MEMORY, "%s: no memory for %.1f MiB: %s", v->info.name,
                       (double)m.n_bytes / 1048576.0, jl_vk_result_text(r));
    }
    const VkBufferDeviceAddressInfo at = {.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO,
                                          .buffer = m.buffer};
    m.address = v->api.GetBufferDeviceAddress(v->device, &at);
    *out = m;
    return JL_OK;
}

void jl_vk_memory_free(jl_vk *v, jl_vk_memory *m)
{
    if (m->buffer)
        v->api.DestroyBuffer(v->device, m->buffer, NULL);
    if (m->memory)
        v->api.FreeMemory(v->device, m->memory, NULL);
    *m = (jl_vk_memory){.n_bytes = m->n_bytes};
}

/* Makes the chunk after the current one the current one; it holds at least n_bytes. */
static jl_status next_chunk(jl_vk *v, uint64_t n_bytes, jl_error *err)
{
    jl_vk_ring *r = &v->ring;
    jl_vk_memory chunk;

    while (r->n_chunks > 0 && r->current + 1 < r->n_chunks) {
        r->used = 0;
        if (r->chunks[++r->current].n_bytes >= n_bytes)
            return JL_OK;
    }
    jl_vk_memory *more = jl_realloc(r->chunks, (r->n_chunks + 1) * sizeof *more);
    if (!more)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    r->chunks = more;
    JL_TRY(jl_vk_memory_alloc(v, n_bytes > RING_CHUNK ? n_bytes : RING_CHUNK, JL_VK_MEM_UPLOAD,
                              &chunk, err));
    r->chunks[r->n_chunks] = chunk;
    r->current = r->n_chunks++;
    r->used = 0;
    return JL_OK;
}

/* The chunk with room for n_bytes and where in it; NULL after a failure. */
static const jl_vk_memory *take(jl_vk *v, uint64_t n_bytes, uint64_t *offset)
{
    jl_vk_ring *r = &v->ring;
    jl_error err = {0};

    if (v->failed != JL_OK)
        return NULL;
    if ((r->n_chunks == 0 || r->used + n_bytes > r->chunks[r->current].n_bytes) &&
        next_chunk(v, n_bytes, &err) != JL_OK) {
        jl_vk_failed(v, VK_ERROR_OUT_OF_HOST_MEMORY, "data for the device");
        return NULL;
    }
    *offset = r->used;
    r->used += (n_bytes + RING_ALIGN - 1) / RING_ALIGN * RING_ALIGN;
    return &r->chunks[r->current];
}

void *jl_vk_ring_take(jl_vk *v, uint64_t n_bytes, VkDeviceAddress *at)
{
    uint64_t offset;
    const jl_vk_memory *chunk = take(v, n_bytes, &offset);

    *at = chunk ? chunk->address + offset : 0;
    return chunk ? chunk->map + offset : NULL;
}

void *jl_vk_ring_take_buffer(jl_vk *v, uint64_t n_bytes, VkBuffer *buffer, uint64_t *offset)
{
    const jl_vk_memory *chunk = take(v, n_bytes, offset);

    *buffer = chunk ? chunk->buffer : VK_NULL_HANDLE;
    return chunk ? chunk->map + *offset : NULL;
}

VkDeviceAddress jl_vk_ring_put(jl_vk *v, const void *data, uint64_t n_bytes)
{
    VkDeviceAddress at;
    void *to = jl_vk_ring_take(v, n_bytes, &at);

    if (to)
        memcpy(to, data, n_bytes);
    return at;
}

jl_status jl_vk_memory_write(jl_vk *v, const jl_vk_memory *to, uint64_t offset, const void *src,
                             uint64_t n_bytes, jl_error *err)
{
    VkBuffer from;
    uint64_t from_offset;
    void *staged = jl_vk_ring_take_buffer(v, n_bytes, &from, &from_offset);

    if (staged) {
        memcpy(staged, src, n_bytes);
        jl_vk_copy(v, from, from_offset, to->buffer, offset, n_bytes);
    }
    return jl_vk_wait(&v->base, err);
}

VkDeviceAddress jl_vk_take(jl_vk_cursor *c, uint64_t n_bytes)
{
    const VkDeviceAddress at = c->base + c->used;

    c->used += (n_bytes + 255) / 256 * 256;
    return at;
}

jl_vk_act jl_vk_take_act(jl_vk_cursor *c, uint64_t n_values)
{
    jl_vk_act act;

    act.q = jl_vk_take(c, n_values);
    act.d = jl_vk_take(c, n_values / 32 * sizeof(float));
    act.sum = jl_vk_take(c, n_values / 16 * sizeof(int16_t));
    return act;
}

static const jl_vk_weight *find_weight(const jl_vk *v, const jl_buffer *buf, uint64_t offset)
{
    size_t lo = 0;
    size_t hi = v->n_weights;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const jl_vk_weight *w = &v->weights[mid];
        if (w->buf < buf || (w->buf == buf && w->offset + w->n_bytes <= offset))
            lo = mid + 1;
        else
            hi = mid;
    }
    const jl_vk_weight *w = v->weights + lo;
    return lo < v->n_weights && w->buf == buf && w->offset <= offset ? w : NULL;
}

VkDeviceAddress jl_vk_addr(jl_vk *v, const jl_tensor *t)
{
    if (t->buf->be == &v->base)
        return ((const jl_vk_memory *)t->buf->impl)->address + t->offset;
    const jl_vk_weight *w = find_weight(v, t->buf, t->offset);
    if (!w) {
        jl_vk_failed(v, VK_ERROR_UNKNOWN, "a tensor that was not copied to the device");
        return 0;
    }
    return w->address + (t->offset - w->offset);
}
