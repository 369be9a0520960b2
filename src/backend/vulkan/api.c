#include "backend/vulkan/api.h"

#include <string.h>

static jl_status missing(const char *name, jl_error *err)
{
    return jl_fail(err, JL_UNSUPPORTED, "the Vulkan driver has no vk%s; joule needs Vulkan 1.3",
                   name);
}

/* Object and function pointers are kept apart by ISO C; POSIX says they convert. */
static void assign(void *slot, const void *found, size_t n_bytes)
{
    memcpy(slot, found, n_bytes);
}

jl_status jl_vk_api_open(jl_vk_api *api, jl_error *err)
{
    static const char *const names[] = {"libvulkan.so.1", "libvulkan.so", "libvulkan.1.dylib",
                                        "libMoltenVK.dylib"};

    *api = (jl_vk_api){0};
    for (size_t i = 0; i < sizeof names / sizeof *names && !api->lib; i++)
        api->lib = jl_lib_open(names[i]);
    if (!api->lib)
        return jl_fail(err, JL_UNSUPPORTED,
                       "there is no Vulkan loader (libvulkan.so.1); Debian: libvulkan1");
    void *get = jl_lib_symbol(api->lib, "vkGetInstanceProcAddr");
    if (!get)
        return missing("GetInstanceProcAddr", err);
    assign(&api->GetInstanceProcAddr, &get, sizeof get);
#define LOAD(name)                                                                        \
    api->name = (PFN_vk##name)api->GetInstanceProcAddr(VK_NULL_HANDLE, "vk" #name);       \
    if (!api->name)                                                                       \
        return missing(#name, err);
    JL_VK_GLOBAL_LIST(LOAD)
#undef LOAD
    return JL_OK;
}

jl_status jl_vk_api_instance(jl_vk_api *api, VkInstance instance, jl_error *err)
{
#define LOAD(name)                                                                        \
    api->name = (PFN_vk##name)api->GetInstanceProcAddr(instance, "vk" #name);             \
    if (!api->name)                                                                       \
        return missing(#name, err);
    JL_VK_INSTANCE_LIST(LOAD)
#undef LOAD
    return JL_OK;
}

jl_status jl_vk_api_device(jl_vk_api *api, VkDevice device, jl_error *err)
{
#define LOAD(name)                                                                        \
    api->name = (PFN_vk##name)api->GetDeviceProcAddr(device, "vk" #name);                 \
    if (!api->name)                                                                       \
        return missing(#name, err);
    JL_VK_DEVICE_LIST(LOAD)
#undef LOAD
    return JL_OK;
}

void jl_vk_api_close(jl_vk_api *api)
{
    jl_lib_close(api->lib);
    *api = (jl_vk_api){0};
}

const char *jl_vk_result_text(VkResult r)
{
    switch (r) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        return "out of memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        return "out of device memory";
    case VK_ERROR_DEVICE_LOST:
        return "the device was lost";
    case VK_ERROR_INITIALIZATION_FAILED:
        return "the driver could not start";
    case VK_ERROR_INCOMPATIBLE_DRIVER:
        return "no driver is installed";
    case VK_ERROR_FEATURE_NOT_PRESENT:
        return "a feature is missing";
    case VK_ERROR_INVALID_SHADER_NV:
        return "the driver refused a shader";
    case VK_TIMEOUT:
        return "timed out";
    default:
        return "the driver reports an error";
    }
}
