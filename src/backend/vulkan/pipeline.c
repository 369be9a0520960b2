/* Pipelines: made when first used, from SPIR-V and specialisation constants. */
#include <string.h>

#include "backend/vulkan/vulkan.h"
#include "base/mem.h"

enum { OP_CAPABILITY = 17, OP_EXECUTION_MODE = 16, HEADER_WORDS = 5 };
enum { MODE_DENORM_PRESERVE = 4459, MODE_NAN_PRESERVE = 4461 };
enum { CAP_DENORM_PRESERVE = 4464, CAP_NAN_PRESERVE = 4466 };

/* Whether the device lacks what an instruction of the shader's beginning asks for. */
static bool is_lacking(const jl_vk *v, const uint32_t *op)
{
    const uint32_t code = op[0] & 0xffff;
    const uint32_t what = code == OP_CAPABILITY ? op[1] : code == OP_EXECUTION_MODE ? op[2] : 0;

    if (what == CAP_DENORM_PRESERVE || what == MODE_DENORM_PRESERVE)
        return !v->info.denorm_preserve;
    if (what == CAP_NAN_PRESERVE || what == MODE_NAN_PRESERVE)
        return !v->info.nan_preserve;
    return false;
}

/* Copies SPIR-V without float controls that the device does not have; returns the words. */
static size_t strip(const jl_vk *v, const uint32_t *words, size_t n, uint32_t *out)
{
    size_t to = HEADER_WORDS;

    memcpy(out, words, HEADER_WORDS * sizeof *out);
    for (size_t at = HEADER_WORDS; at < n;) {
        const size_t len = words[at] >> 16;
        if (!is_lacking(v, words + at)) {
            memcpy(out + to, words + at, len * sizeof *out);
            to += len;
        }
        at += len;
    }
    return to;
}

static VkResult make_module(jl_vk *v, jl_vk_shader shader, VkShaderModule *out)
{
    const jl_vk_spirv *s = &jl_vk_spirvs[shader];
    const size_t n = s->n_words[v->exact];
    uint32_t *words = jl_malloc(n * sizeof *words);

    if (!words)
        return VK_ERROR_OUT_OF_HOST_MEMORY;
    const size_t kept = strip(v, s->words[v->exact], n, words);
    const VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                           .codeSize = kept * sizeof *words,
                                           .pCode = words};
    const VkResult r = v->api.CreateShaderModule(v->device, &info, NULL, out);
    jl_free(words);
    return r;
}

static VkResult make(jl_vk *v, jl_vk_pipeline *p)
{
    VkSpecializationMapEntry entries[JL_VK_SPEC_MAX];
    VkShaderModule module;
    VkResult r = make_module(v, p->shader, &module);

    if (r != VK_SUCCESS)
        return r;
    for (uint32_t i = 0; i < p->n_spec; i++)
        entries[i] = (VkSpecializationMapEntry){i, i * (uint32_t)sizeof *p->spec, sizeof *p->spec};
    const VkSpecializationInfo spec = {p->n_spec, entries, p->n_spec * sizeof *p->spec, p->spec};
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &spec},
        .layout = v->layout};
    r = v->api.CreateComputePipelines(v->device, v->cache, 1, &info, NULL, &p->pipeline);
    v->api.DestroyShaderModule(v->device, module, NULL);
    return r;
}

static bool grow(jl_vk *v)
{
    if (v->n_pipelines < v->pipelines_cap)
        return true;
    const size_t cap = v->pipelines_cap ? v->pipelines_cap * 2 : 64;
    jl_vk_pipeline *p = jl_realloc(v->pipelines, cap * sizeof *p);
    if (!p)
        return false;
    v->pipelines = p;
    v->pipelines_cap = cap;
    return true;
}

VkPipeline jl_vk_pipeline_get(jl_vk *v, jl_vk_shader shader, const uint32_t *spec, uint32_t n_spec)
{
    for (size_t i = 0; i < v->n_pipelines; i++) {
        const jl_vk_pipeline *p = &v->pipelines[i];
        if (p->shader == shader && p->n_spec == n_spec &&
            (n_spec == 0 || memcmp(p->spec, spec, n_spec * sizeof *spec) == 0))
            return p->pipeline;
    }

    jl_vk_pipeline p = {.shader = shader, .n_spec = n_spec};
    if (n_spec)
        memcpy(p.spec, spec, n_spec * sizeof *spec);
    VkResult r = v->failed != JL_OK ? VK_ERROR_UNKNOWN
                 : grow(v)          ? make(v, &p)
                                    : VK_ERROR_OUT_OF_HOST_MEMORY;
    if (r != VK_SUCCESS) {
        jl_vk_failed(v, r, jl_vk_spirvs[shader].name);
        return VK_NULL_HANDLE;
    }
    v->pipelines[v->n_pipelines++] = p;
    return p.pipeline;
}

jl_status jl_vk_pipelines_open(jl_vk *v, jl_error *err)
{
    const VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, JL_VK_PUSH_MAX};
    const VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &push};
    VkResult r = v->api.CreatePipelineLayout(v->device, &layout, NULL, &v->layout);

    if (r == VK_SUCCESS)
        r = jl_vk_cache_open(v);
    return r == VK_SUCCESS ? JL_OK
                           : jl_fail(err, JL_DEVICE, "%s: pipelines: %s", v->info.name,
                                     jl_vk_result_text(r));
}

void jl_vk_pipelines_drop(jl_vk *v)
{
    for (size_t i = 0; i < v->n_pipelines; i++)
        v->api.DestroyPipeline(v->device, v->pipelines[i].pipeline, NULL);
    v->n_pipelines = 0;
}

void jl_vk_pipelines_close(jl_vk *v)
{
    jl_vk_cache_save(v);
    jl_vk_pipelines_drop(v);
    jl_free(v->pipelines);
    if (v->cache)
        v->api.DestroyPipelineCache(v->device, v->cache, NULL);
    if (v->layout)
        v->api.DestroyPipelineLayout(v->device, v->layout, NULL);
}
