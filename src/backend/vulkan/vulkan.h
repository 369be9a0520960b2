/* Inside the Vulkan backend: the device, memory, recorded work, and the operations, one group per
 * file. Shaders get device addresses in their push constants; there are no descriptor sets. Work is
 * recorded in order and runs after wait, download or a full command buffer; failures are kept until
 * wait. */
#ifndef JL_BACKEND_VULKAN_VULKAN_H
#define JL_BACKEND_VULKAN_VULKAN_H

#include "backend/backend.h"
#include "backend/vulkan/api.h"
#include "backend/vulkan/shaders.h"

enum {
    JL_VK_SPEC_MAX = 8,        /* specialisation constants of a pipeline */
    JL_VK_PUSH_MAX = 128,      /* bytes of push constants: what every device has */
    JL_VK_CMD_BUFFERS = 4,     /* in flight at once */
    JL_VK_CMD_DISPATCHES = 256 /* recorded before they are sent off */
};

/* How a device is made to round as docs/numerics.md says. */
typedef enum {
    JL_VK_EXACT_NATIVE = 0, /* fma is fused; division and root are corrected with it */
    JL_VK_EXACT_F64 = 1,    /* fma, division and root by way of 64-bit floats */
    JL_VK_EXACT_KINDS
} jl_vk_exact;

/* What the chosen device has. */
typedef struct {
    char name[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE];
    VkPhysicalDeviceType type;
    uint32_t queue_family;
    uint32_t max_groups[3];
    uint64_t local_bytes; /* of device memory */
    bool f64;
    bool denorm_preserve, nan_preserve;
    uint8_t cache_uuid[VK_UUID_SIZE];
    uint32_t vendor, device, driver;
} jl_vk_device_info;

typedef struct {
    VkBuffer buffer;
    VkDeviceMemory memory;
    VkDeviceAddress address;
    uint8_t *map; /* NULL: not visible to the host */
    uint64_t n_bytes;
} jl_vk_memory;

/* Host-visible memory that data for recorded work is written to; emptied by wait. */
typedef struct {
    jl_vk_memory *chunks;
    size_t n_chunks, current;
    uint64_t used; /* of the current chunk */
} jl_vk_ring;

typedef struct {
    jl_vk_shader shader;
    uint32_t n_spec, spec[JL_VK_SPEC_MAX];
    VkPipeline pipeline;
} jl_vk_pipeline;

/* A weight tensor that has been copied to the device. */
typedef struct {
    const jl_buffer *buf;
    uint64_t offset; /* in buf */
    uint64_t n_bytes;
    VkDeviceAddress address;
} jl_vk_weight;

/* Positions and page tables of a batch, as the shaders want them. */
typedef struct {
    const void *pages, *pos; /* host arrays they were made from */
    uint32_t n_tokens;
    VkDeviceAddress pos_at;   /* I32 [n_tokens] */
    VkDeviceAddress table_at; /* U32 [n_tokens] offset of the token's table in pages_at */
    VkDeviceAddress pages_at; /* I32 */
} jl_vk_batch;

/* Quantised activation rows [n][n_in]: as jl_act_quantize makes them. */
typedef struct {
    VkDeviceAddress q, d, sum;
} jl_vk_act;

typedef struct {
    jl_backend base;
    jl_backend_limits limits;
    jl_vk_api api;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    jl_vk_device_info info;
    jl_vk_exact exact;

    VkPipelineLayout layout;
    VkPipelineCache cache;
    size_t cache_bytes; /* as read from its file */
    jl_vk_pipeline *pipelines;
    size_t n_pipelines, pipelines_cap;

    VkCommandPool pool;
    VkCommandBuffer cmd[JL_VK_CMD_BUFFERS];
    uint64_t cmd_value[JL_VK_CMD_BUFFERS]; /* of the semaphore when the buffer is free again */
    uint32_t cmd_now;
    uint32_t n_recorded; /* in the current command buffer; 0: not begun */
    bool copied;         /* what was recorded last is a copy */
    VkSemaphore done;    /* counts submissions */
    uint64_t submitted;

    jl_status failed; /* the first failure since wait */
    bool lost;        /* for good */
    char failure[512];

    jl_vk_ring ring;
    VkDeviceAddress rope[2]; /* in the ring: F32 [n_tokens][head_dim], cos and sin */
    jl_vk_memory readback;
    jl_vk_memory scratch; /* one allocation holds everything below */
    jl_vk_act act;        /* [n_tokens][n_in] in blocks of 32 */
    jl_vk_act act_wide;   /* the same in wide blocks */
    VkDeviceAddress router;  /* F32 [n_tokens][n_expert] */
    VkDeviceAddress partial; /* split attention */
    uint64_t partial_bytes;
    VkDeviceAddress experts; /* ops_experts.c: jl_vk_experts_scratch bytes */

    jl_vk_memory tables; /* tables.c */
    jl_vk_memory *weight_mem;
    size_t n_weight_mem;
    jl_vk_weight *weights; /* sorted by buf, offset */
    size_t n_weights;
    uint64_t weight_bytes;
    jl_vk_batch batch[2]; /* of this pass, by group of layers */
    uint32_t batch_next;
} jl_vk;

/* Hands out addresses from `base`, 256 bytes apart; with base 0 it only measures. */
typedef struct {
    VkDeviceAddress base;
    uint64_t used;
} jl_vk_cursor;

static inline jl_vk *vk_of(jl_backend *be)
{
    return (jl_vk *)be;
}
static inline uint32_t vk_div_up(uint64_t n, uint32_t by)
{
    return (uint32_t)((n + by - 1) / by);
}

static inline uint32_t vk_at_most(uint32_t n, uint32_t most)
{
    return n < most ? n : most;
}
/* Floats from row to row. */
static inline uint32_t vk_stride(const jl_tensor *t)
{
    return (uint32_t)(t->row_bytes / sizeof(float));
}

/* device.c: instance, device and queue. `which` is the number of the device, -1: the best.
 * JL_UNSUPPORTED with the reason if there is none. */
JL_MUST_CHECK jl_status jl_vk_device_open(jl_vk *v, int which, jl_error *err);
void jl_vk_device_close(jl_vk *v);

/* memory.c. Memory is zeroed nowhere. UPLOAD: mapped, written by the host in order and read by the
 * device; READBACK: mapped, read by the host. */
typedef enum { JL_VK_MEM_DEVICE, JL_VK_MEM_UPLOAD, JL_VK_MEM_READBACK } jl_vk_mem_kind;
JL_MUST_CHECK jl_status jl_vk_memory_alloc(jl_vk *v, uint64_t n_bytes, jl_vk_mem_kind kind,
                                           jl_vk_memory *out, jl_error *err);
void jl_vk_memory_free(jl_vk *v, jl_vk_memory *m);
VkDeviceAddress jl_vk_take(jl_vk_cursor *c, uint64_t n_bytes);
jl_vk_act jl_vk_take_act(jl_vk_cursor *c, uint64_t n_values); /* n_values: a multiple of 32 */
/* Copies from the host by way of the ring and waits. */
JL_MUST_CHECK jl_status jl_vk_memory_write(jl_vk *v, const jl_vk_memory *to, uint64_t offset,
                                           const void *src, uint64_t n_bytes, jl_error *err);
/* Room in the ring for data that recorded work reads: NULL after a failure (kept for wait). *at is
 * where shaders find it. */
void *jl_vk_ring_take(jl_vk *v, uint64_t n_bytes, VkDeviceAddress *at);
/* The same, and where the bytes lie, for copies. */
void *jl_vk_ring_take_buffer(jl_vk *v, uint64_t n_bytes, VkBuffer *buffer, uint64_t *offset);
VkDeviceAddress jl_vk_ring_put(jl_vk *v, const void *data, uint64_t n_bytes);
/* Where a tensor's data lie on the device; 0 after a failure (kept for wait). */
VkDeviceAddress jl_vk_addr(jl_vk *v, const jl_tensor *t);

/* weights.c */
JL_MUST_CHECK jl_status jl_vk_weights_load(jl_backend *be, const jl_weights_args *a, jl_error *err);
void jl_vk_weights_free(jl_vk *v);

/* pipeline.c */
JL_MUST_CHECK jl_status jl_vk_pipelines_open(jl_vk *v, jl_error *err);
void jl_vk_pipelines_close(jl_vk *v);
void jl_vk_pipelines_drop(jl_vk *v); /* v->exact changes; nothing may be running */
/* NULL after a failure (kept for wait). */
VkPipeline jl_vk_pipeline_get(jl_vk *v, jl_vk_shader shader, const uint32_t *spec, uint32_t n_spec);

/* pipeline_cache.c: what the driver compiled, from and to limits.shader_cache. */
VkResult jl_vk_cache_open(jl_vk *v);
void jl_vk_cache_save(jl_vk *v); /* best effort */

/* record.c */
typedef struct {
    jl_vk_shader shader;
    const uint32_t *spec; /* [n_spec] specialisation constants 0, 1, ... */
    uint32_t n_spec;
    const void *push; /* [push_bytes] */
    uint32_t push_bytes;
    uint32_t groups[3]; /* 0: 1 */
    bool beside;        /* reads and writes nothing that work since the last barrier writes */
} jl_vk_call;
JL_MUST_CHECK jl_status jl_vk_record_open(jl_vk *v, jl_error *err);
void jl_vk_record_close(jl_vk *v);
void jl_vk_dispatch(jl_vk *v, const jl_vk_call *call);
void jl_vk_copy(jl_vk *v, VkBuffer src, uint64_t src_offset, VkBuffer dst, uint64_t dst_offset,
                uint64_t n_bytes);
void jl_vk_submit(jl_vk *v); /* what was recorded starts to run */
jl_status jl_vk_wait(jl_backend *be, jl_error *err);
/* Remembers the first failure. */
void jl_vk_failed(jl_vk *v, VkResult r, const char *what);

/* ops_act.c: quantises the rows of x (F32 [n_in][n]) into v->act (blocks of 32), v->act_wide or
 * both. Rows are packed: n_in a multiple of 32 is the distance of rows in q. */
enum { JL_VK_ACT_32 = 1, JL_VK_ACT_WIDE = 2 };
void jl_vk_act_rows(jl_vk *v, const jl_tensor *x, unsigned kinds);
/* The same anywhere: rows of n floats at x, x_stride floats apart. */
void jl_vk_act_quantize(jl_vk *v, VkDeviceAddress x, uint32_t x_stride, uint32_t n, uint32_t n_rows,
                        unsigned kind, const jl_vk_act *to);

/* probe.c: whether the device rounds as the contract says, with v->exact. */
JL_MUST_CHECK jl_status jl_vk_probe(jl_vk *v, bool *exact, jl_error *err);

/* ops_batch.c: positions and page tables on the device. NULL after a failure. */
const jl_vk_batch *jl_vk_batch_of(jl_vk *v, const jl_kv_batch *batch);

/* Tokens from `first` on that are of one sequence: index behind the last. */
static inline uint32_t jl_vk_run_end(const jl_kv_batch *b, uint32_t first)
{
    uint32_t end = first + 1;

    while (end < b->n_tokens && b->pages[end] == b->pages[first])
        end++;
    return end;
}

/* ops_vec.c */
/* Push constants of shaders/elementwise.comp, all of them F32; z: 0 or a second tensor. Strides are
 * in floats. */
typedef struct {
    VkDeviceAddress x, z, y;
    uint32_t n, n_rows, x_stride, z_stride, y_stride;
    float value;
} jl_vk_elementwise;
void jl_vk_elementwise_run(jl_vk *v, jl_vk_shader shader, const jl_vk_elementwise *push);
void jl_vk_embed(jl_backend *be, const jl_tensor *w, const int32_t *ids, float scale,
                 const jl_tensor *y);
void jl_vk_rms_norm(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                    const jl_tensor *y);
void jl_vk_rms_norm_add(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                        const jl_tensor *y);
void jl_vk_geglu(jl_backend *be, const jl_tensor *gate, const jl_tensor *up, const jl_tensor *y);
void jl_vk_swiglu(jl_backend *be, const jl_tensor *gate, const jl_tensor *up, const jl_tensor *y);
void jl_vk_add_scale(jl_backend *be, const jl_tensor *x, const jl_tensor *y, float scale);
void jl_vk_mul_row(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float scale,
                   const jl_tensor *y);
void jl_vk_softcap(jl_backend *be, const jl_tensor *x, float cap);
void jl_vk_gather_rows(jl_backend *be, const jl_tensor *x, const uint32_t *rows,
                       const jl_tensor *y);

/* ops_rope.c */
void jl_vk_rope_prepare(jl_backend *be, int slot, const float *inv_freq, uint32_t head_dim,
                        float mscale, const int32_t *pos, uint32_t n_tokens);
void jl_vk_head_norm_rope(jl_backend *be, const jl_tensor *x, const jl_tensor *w, float eps,
                          uint32_t head_dim, int slot);
void jl_vk_rope_adjacent(jl_backend *be, const jl_tensor *x, uint32_t head_dim, int slot,
                         float scale);

/* ops_attn.c */
void jl_vk_kv_store(jl_backend *be, const jl_tensor *k, const jl_tensor *v, const jl_kv_layer *kv,
                    const jl_kv_batch *batch);
void jl_vk_attention(jl_backend *be, const jl_tensor *q, const jl_kv_layer *kv,
                     const jl_kv_batch *batch, uint32_t n_head, const jl_tensor *y);

/* ops_router.c */
void jl_vk_router(jl_backend *be, const jl_router_args *a);

/* ops_matmul.c */
void jl_vk_matmul(jl_backend *be, const jl_tensor *x, const jl_matmul_out *outs, size_t n_outs);
/* ops_experts.c */
void jl_vk_experts(jl_backend *be, const jl_experts_args *a);
uint64_t jl_vk_experts_scratch(const jl_backend_limits *limits); /* bytes of v->experts */

#endif
