#include "backend/vulkan/shaders.h"

/* made by meson.build: the arrays, NAME_0 and NAME_1 of each shader */
#include "backend/vulkan/spirv.inc"

#define WORDS(array) (sizeof(array) / sizeof *(array))
const jl_vk_spirv jl_vk_spirvs[JL_VK_SHADERS] = {
#define ENTRY(name) {#name, {name##_0, name##_1}, {WORDS(name##_0), WORDS(name##_1)}},
    JL_VK_SHADER_LIST(ENTRY)
#undef ENTRY
};
