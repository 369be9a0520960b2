/* The driver's compiled shaders in a file: one per device and driver, with a checksum, because
 * drivers trust what they are given. */
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "backend/vulkan/vulkan.h"
#include "base/folder.h"
#include "base/mem.h"

enum { MAX_BYTES = 64 << 20, MAGIC_BYTES = 8, HEAD_BYTES = MAGIC_BYTES + 8 };
static const char magic[MAGIC_BYTES + 1] = "jlvkpc01";

/* FOLDER/<uuid of the driver's format>-<device>.bin */
static bool path_of(const jl_vk *v, char *path, size_t cap)
{
    char uuid[2 * VK_UUID_SIZE + 1];

    for (size_t i = 0; i < VK_UUID_SIZE; i++)
        snprintf(uuid + 2 * i, 3, "%02x", v->info.cache_uuid[i]);
    const int n = snprintf(path, cap, "%s/%s-%x-%x-%x.bin", v->limits.shader_cache, uuid,
                           v->info.vendor, v->info.device, v->info.driver);
    return n > 0 && (size_t)n < cap;
}

static bool is_valid(const char *data, size_t n)
{
    uint64_t sum;

    if (n < HEAD_BYTES || memcmp(data, magic, MAGIC_BYTES) != 0)
        return false;
    memcpy(&sum, data + MAGIC_BYTES, sizeof sum);
    return sum == XXH3_64bits(data + HEAD_BYTES, n - HEAD_BYTES);
}

VkResult jl_vk_cache_open(jl_vk *v)
{
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
    char path[4096];
    char *data = NULL;
    size_t n = 0;

    if (v->limits.shader_cache && path_of(v, path, sizeof path) &&
        jl_file_read(path, MAX_BYTES, &data, &n, NULL) == JL_OK && is_valid(data, n)) {
        info.pInitialData = data + HEAD_BYTES;
        info.initialDataSize = v->cache_bytes = n - HEAD_BYTES;
    }
    const VkResult r = v->api.CreatePipelineCache(v->device, &info, NULL, &v->cache);
    jl_free(data);
    return r;
}

static jl_status write_file(const char *path, const char *data, size_t n)
{
    jl_writer *w;

    JL_TRY(jl_writer_create(path, &w, NULL));
    const jl_status s = jl_writer_write(w, data, n, NULL);
    if (s == JL_OK)
        return jl_writer_commit(w, NULL);
    jl_writer_abort(w);
    return s;
}

void jl_vk_cache_save(jl_vk *v)
{
    char path[4096];
    size_t n = 0;

    if (!v->cache || !v->limits.shader_cache || !path_of(v, path, sizeof path) ||
        jl_folder_make(v->limits.shader_cache, NULL) != JL_OK ||
        v->api.GetPipelineCacheData(v->device, v->cache, &n, NULL) != VK_SUCCESS || n == 0 ||
        n == v->cache_bytes || n > MAX_BYTES)
        return;
    char *data = jl_malloc(HEAD_BYTES + n);
    if (data && v->api.GetPipelineCacheData(v->device, v->cache, &n, data + HEAD_BYTES) ==
                    VK_SUCCESS) {
        const uint64_t sum = XXH3_64bits(data + HEAD_BYTES, n);
        memcpy(data, magic, MAGIC_BYTES);
        memcpy(data + MAGIC_BYTES, &sum, sizeof sum);
        (void)write_file(path, data, HEAD_BYTES + n);
    }
    jl_free(data);
}
