/* Instance, device and queue. Of several devices the best one is taken: discrete before integrated
 * before software. */
#include <stdio.h>
#include <string.h>

#include "backend/vulkan/vulkan.h"
#include "base/mem.h"

enum { MAX_DEVICES = 16 };

/* Features in the chain that vkGetPhysicalDeviceFeatures2 fills and vkCreateDevice takes. */
typedef struct {
    VkPhysicalDeviceFeatures2 base;
    VkPhysicalDeviceVulkan11Features v11;
    VkPhysicalDeviceVulkan12Features v12;
    VkPhysicalDeviceVulkan13Features v13;
} features;

static void chain(features *f)
{
    *f = (features){0};
    f->base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    f->base.pNext = &f->v11;
    f->v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
    f->v11.pNext = &f->v12;
    f->v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    f->v12.pNext = &f->v13;
    f->v13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES;
}

/* NULL, or the feature that is missing. */
static const char *missing(const features *f)
{
    const struct {
        VkBool32 have;
        const char *name;
    } needs[] = {
        {f->base.features.shaderInt64, "shaderInt64"},
        {f->base.features.shaderInt16, "shaderInt16"},
        {f->v11.storageBuffer16BitAccess, "storageBuffer16BitAccess"},
        {f->v12.storageBuffer8BitAccess, "storageBuffer8BitAccess"},
        {f->v12.shaderInt8, "shaderInt8"},
        {f->v12.bufferDeviceAddress, "bufferDeviceAddress"},
        {f->v12.scalarBlockLayout, "scalarBlockLayout"},
        {f->v12.timelineSemaphore, "timelineSemaphore"},
        {f->v13.shaderIntegerDotProduct, "shaderIntegerDotProduct"},
        {f->v13.subgroupSizeControl, "subgroupSizeControl"},
        {f->v13.computeFullSubgroups, "computeFullSubgroups"},
    };

    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (!needs[i].have)
            return needs[i].name;
    return NULL;
}

/* Leaves what joule uses: features that are not asked for cost some drivers speed. */
static void wanted(features *f)
{
    features all = *f;

    chain(f);
    f->base.features.shaderInt64 = VK_TRUE;
    f->base.features.shaderInt16 = VK_TRUE;
    f->base.features.shaderFloat64 = all.base.features.shaderFloat64;
    f->v11.storageBuffer16BitAccess = VK_TRUE;
    f->v12.storageBuffer8BitAccess = VK_TRUE;
    f->v12.shaderInt8 = VK_TRUE;
    f->v12.shaderFloat16 = all.v12.shaderFloat16;
    f->v12.bufferDeviceAddress = VK_TRUE;
    f->v12.scalarBlockLayout = VK_TRUE;
    f->v12.timelineSemaphore = VK_TRUE;
    f->v12.vulkanMemoryModel = all.v12.vulkanMemoryModel;
    f->v12.vulkanMemoryModelDeviceScope = all.v12.vulkanMemoryModelDeviceScope;
    f->v13.shaderIntegerDotProduct = VK_TRUE;
    f->v13.subgroupSizeControl = VK_TRUE;
    f->v13.computeFullSubgroups = VK_TRUE;
    f->v13.synchronization2 = all.v13.synchronization2;
    f->v13.maintenance4 = all.v13.maintenance4;
}

static void properties(const jl_vk *v, VkPhysicalDevice d, jl_vk_device_info *info)
{
    VkPhysicalDeviceVulkan12Properties v12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                     .pNext = &v12};
    const VkPhysicalDeviceLimits *l = &p.properties.limits;

    v->api.GetPhysicalDeviceProperties2(d, &p);
    memcpy(info->name, p.properties.deviceName, sizeof info->name);
    memcpy(info->cache_uuid, p.properties.pipelineCacheUUID, sizeof info->cache_uuid);
    info->type = p.properties.deviceType;
    info->vendor = p.properties.vendorID;
    info->device = p.properties.deviceID;
    info->driver = p.properties.driverVersion;
    memcpy(info->max_groups, l->maxComputeWorkGroupCount, sizeof info->max_groups);
    info->denorm_preserve = v12.shaderDenormPreserveFloat32;
    info->nan_preserve = v12.shaderSignedZeroInfNanPreserveFloat32;
}

static void heap_bytes(const jl_vk *v, VkPhysicalDevice d, jl_vk_device_info *info)
{
    VkPhysicalDeviceMemoryProperties2 m = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};

    v->api.GetPhysicalDeviceMemoryProperties2(d, &m);
    for (uint32_t i = 0; i < m.memoryProperties.memoryHeapCount; i++)
        if (m.memoryProperties.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT &&
            m.memoryProperties.memoryHeaps[i].size > info->local_bytes)
            info->local_bytes = m.memoryProperties.memoryHeaps[i].size;
}

static bool find_queue(const jl_vk *v, VkPhysicalDevice d, uint32_t *family)
{
    VkQueueFamilyProperties q[16];
    uint32_t n = sizeof q / sizeof *q;

    v->api.GetPhysicalDeviceQueueFamilyProperties(d, &n, q);
    for (uint32_t i = 0; i < n; i++)
        if (q[i].queueFlags & VK_QUEUE_COMPUTE_BIT) {
            *family = i;
            return true;
        }
    return false;
}

static int rank(VkPhysicalDeviceType t)
{
    return t == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU     ? 4
           : t == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU ? 3
           : t == VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU    ? 2
                                                         : 1;
}

static jl_status choose(jl_vk *v, int which, jl_error *err)
{
    VkPhysicalDevice found[MAX_DEVICES];
    uint32_t n = MAX_DEVICES;
    const VkResult r = v->api.EnumeratePhysicalDevices(v->instance, &n, found);
    int best = -1;

    if ((r != VK_SUCCESS && r != VK_INCOMPLETE) || n == 0)
        return jl_fail(err, JL_UNSUPPORTED, "Vulkan finds no device: %s",
                       r == VK_SUCCESS ? "no driver is installed" : jl_vk_result_text(r));
    if (which >= (int)n)
        return jl_fail(err, JL_INVALID, "there is no Vulkan device %d; this machine has %u", which,
                       n);
    for (uint32_t i = 0; i < n; i++) {
        jl_vk_device_info info = {0};
        properties(v, found[i], &info);
        if (which >= 0 ? (int)i == which : best < 0 || rank(info.type) > rank(v->info.type)) {
            best = (int)i;
            v->info = info;
        }
    }
    v->physical = found[best];
    heap_bytes(v, v->physical, &v->info);
    return JL_OK;
}

static jl_status create_instance(jl_vk *v, jl_error *err)
{
    uint32_t version = 0;
    const VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                   .pApplicationName = "joule",
                                   .apiVersion = VK_API_VERSION_1_3};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pApplicationInfo = &app};

    if (v->api.EnumerateInstanceVersion(&version) != VK_SUCCESS || version < VK_API_VERSION_1_3)
        return jl_fail(err, JL_UNSUPPORTED,
                       "the Vulkan loader is of version %u.%u; joule needs 1.3",
                       VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));
    const VkResult r = v->api.CreateInstance(&info, NULL, &v->instance);
    if (r != VK_SUCCESS) {
        v->instance = VK_NULL_HANDLE;
        return jl_fail(err, JL_UNSUPPORTED, "Vulkan does not start: %s", jl_vk_result_text(r));
    }
    return jl_vk_api_instance(&v->api, v->instance, err);
}

static jl_status create_device(jl_vk *v, jl_error *err)
{
    const float priority = 1.0f;
    features f;

    chain(&f);
    v->api.GetPhysicalDeviceFeatures2(v->physical, &f.base);
    const char *lacks = missing(&f);
    if (lacks || !find_queue(v, v->physical, &v->info.queue_family))
        return jl_fail(err, JL_UNSUPPORTED, "%s lacks %s, which joule needs", v->info.name,
                       lacks ? lacks : "a compute queue");
    wanted(&f);
    v->info.f64 = f.base.features.shaderFloat64;

    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = v->info.queue_family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = &f.base,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue};
    const VkResult r = v->api.CreateDevice(v->physical, &info, NULL, &v->device);
    if (r != VK_SUCCESS) {
        v->device = VK_NULL_HANDLE;
        return jl_fail(err, JL_DEVICE, "%s does not start: %s", v->info.name, jl_vk_result_text(r));
    }
    JL_TRY(jl_vk_api_device(&v->api, v->device, err));
    v->api.GetDeviceQueue(v->device, v->info.queue_family, 0, &v->queue);
    return JL_OK;
}

jl_status jl_vk_device_open(jl_vk *v, int which, jl_error *err)
{
    JL_TRY(jl_vk_api_open(&v->api, err));
    JL_TRY(create_instance(v, err));
    JL_TRY(choose(v, which, err));
    return create_device(v, err);
}

void jl_vk_device_close(jl_vk *v)
{
    if (v->device && v->api.DestroyDevice)
        v->api.DestroyDevice(v->device, NULL);
    if (v->instance && v->api.DestroyInstance)
        v->api.DestroyInstance(v->instance, NULL);
    jl_vk_api_close(&v->api);
}
