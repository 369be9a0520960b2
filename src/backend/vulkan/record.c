/* Recording work and waiting for it. Every dispatch waits for the one before it, unless it is said
 * to stand beside it: the graph is a chain, and what can overlap is inside one operation. */
#include <stdio.h>
#include <string.h>

#include "backend/vulkan/vulkan.h"

enum { WAIT_SECONDS = 120 }; /* for one command buffer; a driver gives up earlier than that */

void jl_vk_failed(jl_vk *v, VkResult r, const char *what)
{
    if (r == VK_ERROR_DEVICE_LOST)
        v->lost = true;
    if (v->failed != JL_OK)
        return;
    v->failed = r == VK_ERROR_OUT_OF_HOST_MEMORY || r == VK_ERROR_OUT_OF_DEVICE_MEMORY
                    ? JL_NO_MEMORY
                    : JL_DEVICE;
    snprintf(v->failure, sizeof v->failure, "%s: %s: %s", v->info.name, what, jl_vk_result_text(r));
}

static bool check(jl_vk *v, VkResult r, const char *what)
{
    if (r == VK_SUCCESS)
        return true;
    jl_vk_failed(v, r, what);
    return false;
}

static bool wait_value(jl_vk *v, uint64_t value)
{
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &v->done,
                                      .pValues = &value};
    const VkResult r =
        value ? v->api.WaitSemaphores(v->device, &info, WAIT_SECONDS * 1000000000ull) : VK_SUCCESS;

    if (r == VK_TIMEOUT) /* the device still works on it: nothing it uses may be touched again */
        v->lost = true;
    return check(v, r, "waiting for the device");
}

/* The command buffer to record into; VK_NULL_HANDLE after a failure. */
static VkCommandBuffer current(jl_vk *v)
{
    const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                           .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VkCommandBuffer cmd = v->cmd[v->cmd_now];

    if (v->failed != JL_OK)
        return VK_NULL_HANDLE;
    if (v->n_recorded > 0)
        return cmd;
    if (!wait_value(v, v->cmd_value[v->cmd_now]) ||
        !check(v, v->api.BeginCommandBuffer(cmd, &info), "recording"))
        return VK_NULL_HANDLE;
    return cmd;
}

/* Between what was recorded and what comes; copies are named only where there are some, which is
 * cheaper. A new command buffer cannot know what the one before it ended with. */
static void barrier(jl_vk *v, VkCommandBuffer cmd, bool is_copy)
{
    const bool copies = is_copy || v->copied || v->n_recorded == 0;
    const VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT |
                                        (copies ? VK_PIPELINE_STAGE_TRANSFER_BIT : 0u);
    const VkMemoryBarrier memory = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | (copies ? VK_ACCESS_TRANSFER_WRITE_BIT : 0u),
        .dstAccessMask =
            VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
            (copies ? VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT : 0u),
    };

    v->api.CmdPipelineBarrier(cmd, stages, stages, 0, 1, &memory, 0, NULL, 0, NULL);
    v->copied = is_copy;
}

static void recorded(jl_vk *v)
{
    if (++v->n_recorded >= JL_VK_CMD_DISPATCHES)
        jl_vk_submit(v);
}

void jl_vk_dispatch(jl_vk *v, const jl_vk_call *call)
{
    const VkPipeline p = jl_vk_pipeline_get(v, call->shader, call->spec, call->n_spec);
    const VkCommandBuffer cmd = p ? current(v) : VK_NULL_HANDLE;
    uint32_t g[3];

    if (!cmd)
        return;
    for (int i = 0; i < 3; i++) {
        g[i] = call->groups[i] ? call->groups[i] : 1;
        if (g[i] > v->info.max_groups[i]) {
            jl_vk_failed(v, VK_ERROR_UNKNOWN, "too many work groups");
            return;
        }
    }
    if (!call->beside || v->n_recorded == 0)
        barrier(v, cmd, false);
    v->api.CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, p);
    v->api.CmdPushConstants(cmd, v->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, call->push_bytes,
                            call->push);
    v->api.CmdDispatch(cmd, g[0], g[1], g[2]);
    recorded(v);
}

void jl_vk_copy(jl_vk *v, VkBuffer src, uint64_t src_offset, VkBuffer dst, uint64_t dst_offset,
                uint64_t n_bytes)
{
    const VkCommandBuffer cmd = current(v);
    const VkBufferCopy region = {src_offset, dst_offset, n_bytes};

    if (!cmd)
        return;
    barrier(v, cmd, true);
    v->api.CmdCopyBuffer(cmd, src, dst, 1, &region);
    recorded(v);
}

/* The end of a command buffer makes what was written visible to the host. */
static void host_barrier(jl_vk *v, VkCommandBuffer cmd)
{
    const VkMemoryBarrier memory = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_HOST_READ_BIT};

    v->api.CmdPipelineBarrier(cmd,
                              VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                              VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &memory, 0, NULL, 0, NULL);
}

void jl_vk_submit(jl_vk *v)
{
    const VkCommandBuffer cmd = v->cmd[v->cmd_now];
    const uint64_t value = v->submitted + 1;
    const VkTimelineSemaphoreSubmitInfo timeline = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .signalSemaphoreValueCount = 1,
        .pSignalSemaphoreValues = &value};
    const VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                 .pNext = &timeline,
                                 .commandBufferCount = 1,
                                 .pCommandBuffers = &cmd,
                                 .signalSemaphoreCount = 1,
                                 .pSignalSemaphores = &v->done};

    if (v->n_recorded == 0)
        return;
    v->n_recorded = 0;
    host_barrier(v, cmd);
    if (!check(v, v->api.EndCommandBuffer(cmd), "recording") || v->failed != JL_OK)
        return;
    if (!check(v, v->api.QueueSubmit(v->queue, 1, &submit, VK_NULL_HANDLE), "starting work"))
        return;
    v->submitted = value;
    v->cmd_value[v->cmd_now] = value;
    v->cmd_now = (v->cmd_now + 1) % JL_VK_CMD_BUFFERS;
}

jl_status jl_vk_wait(jl_backend *be, jl_error *err)
{
    jl_vk *v = vk_of(be);

    jl_vk_submit(v);
    if (!v->lost)
        (void)wait_value(v, v->submitted);
    v->ring.current = 0;
    v->ring.used = 0;
    memset(v->batch, 0, sizeof v->batch);

    const jl_status s = v->failed;
    if (s == JL_OK)
        return JL_OK;
    if (!v->lost)
        v->failed = JL_OK;
    return jl_fail(err, s, "%s%s", v->failure,
                   v->lost ? "; the model must be opened again" : "");
}

jl_status jl_vk_record_open(jl_vk *v, jl_error *err)
{
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT |
                 VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
        .queueFamilyIndex = v->info.queue_family};
    const VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                            .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    const VkSemaphoreCreateInfo semaphore = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                             .pNext = &type};
    VkResult r = v->api.CreateCommandPool(v->device, &pool, NULL, &v->pool);

    if (r == VK_SUCCESS) {
        const VkCommandBufferAllocateInfo cmd = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
            .commandPool = v->pool,
            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
            .commandBufferCount = JL_VK_CMD_BUFFERS};
        r = v->api.AllocateCommandBuffers(v->device, &cmd, v->cmd);
    }
    if (r == VK_SUCCESS)
        r = v->api.CreateSemaphore(v->device, &semaphore, NULL, &v->done);
    return r == VK_SUCCESS
               ? JL_OK
               : jl_fail(err, JL_DEVICE, "%s: command buffers: %s", v->info.name,
                         jl_vk_result_text(r));
}

void jl_vk_record_close(jl_vk *v)
{
    v->api.DeviceWaitIdle(v->device);
    if (v->done)
        v->api.DestroySemaphore(v->device, v->done, NULL);
    if (v->pool)
        v->api.DestroyCommandPool(v->device, v->pool, NULL);
}
