/* Vulkan functions, found at run time: joule starts on machines without a loader or a driver. */
#ifndef JL_BACKEND_VULKAN_API_H
#define JL_BACKEND_VULKAN_API_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include "base/status.h"
#include "base/sysfile.h"

/* Found without an instance, of an instance, of a device. */
#define JL_VK_GLOBAL_LIST(X) \
    X(CreateInstance)        \
    X(EnumerateInstanceVersion)

#define JL_VK_INSTANCE_LIST(X)             \
    X(DestroyInstance)                     \
    X(EnumeratePhysicalDevices)            \
    X(GetPhysicalDeviceProperties2)        \
    X(GetPhysicalDeviceFeatures2)          \
    X(GetPhysicalDeviceMemoryProperties2)  \
    X(GetPhysicalDeviceQueueFamilyProperties) \
    X(CreateDevice)                        \
    X(GetDeviceProcAddr)

#define JL_VK_DEVICE_LIST(X)      \
    X(DestroyDevice)              \
    X(GetDeviceQueue)             \
    X(DeviceWaitIdle)             \
    X(AllocateMemory)             \
    X(FreeMemory)                 \
    X(MapMemory)                  \
    X(CreateBuffer)               \
    X(DestroyBuffer)              \
    X(GetBufferMemoryRequirements) \
    X(BindBufferMemory)           \
    X(GetBufferDeviceAddress)     \
    X(CreateShaderModule)         \
    X(DestroyShaderModule)        \
    X(CreatePipelineLayout)       \
    X(DestroyPipelineLayout)      \
    X(CreatePipelineCache)        \
    X(GetPipelineCacheData)       \
    X(DestroyPipelineCache)       \
    X(CreateComputePipelines)     \
    X(DestroyPipeline)            \
    X(CreateCommandPool)          \
    X(DestroyCommandPool)         \
    X(AllocateCommandBuffers)     \
    X(BeginCommandBuffer)         \
    X(EndCommandBuffer)           \
    X(QueueSubmit)                \
    X(CreateSemaphore)            \
    X(DestroySemaphore)           \
    X(WaitSemaphores)             \
    X(CmdBindPipeline)            \
    X(CmdPushConstants)           \
    X(CmdDispatch)                \
    X(CmdPipelineBarrier)         \
    X(CmdCopyBuffer)

#define JL_VK_LIST(X) JL_VK_GLOBAL_LIST(X) JL_VK_INSTANCE_LIST(X) JL_VK_DEVICE_LIST(X)

typedef struct {
    jl_lib *lib;
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
#define JL_VK_FIELD(name) PFN_vk##name name;
    JL_VK_LIST(JL_VK_FIELD)
#undef JL_VK_FIELD
} jl_vk_api;

/* Loads the library and the functions that need no instance. JL_UNSUPPORTED: there is none. */
JL_MUST_CHECK jl_status jl_vk_api_open(jl_vk_api *api, jl_error *err);
JL_MUST_CHECK jl_status jl_vk_api_instance(jl_vk_api *api, VkInstance instance, jl_error *err);
JL_MUST_CHECK jl_status jl_vk_api_device(jl_vk_api *api, VkDevice device, jl_error *err);
void jl_vk_api_close(jl_vk_api *api);

/* "out of device memory" and the like. */
const char *jl_vk_result_text(VkResult r);

#endif
