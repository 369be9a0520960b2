/* The shaders of this build: jl_vk_shader names them, SPIR-V in both ways of exact arithmetic. */
#ifndef JL_BACKEND_VULKAN_SHADERS_H
#define JL_BACKEND_VULKAN_SHADERS_H

#include <stddef.h>
#include <stdint.h>

#include "backend/vulkan/shader_list.h" /* made by meson.build: JL_VK_SHADER_LIST(X) */

typedef enum {
#define JL_VK_SHADER_ENUM(name) JL_VK_##name,
    JL_VK_SHADER_LIST(JL_VK_SHADER_ENUM)
#undef JL_VK_SHADER_ENUM
    JL_VK_SHADERS
} jl_vk_shader;

typedef struct {
    const char *name;
    const uint32_t *words[2]; /* by jl_vk_exact */
    size_t n_words[2];
} jl_vk_spirv;

extern const jl_vk_spirv jl_vk_spirvs[JL_VK_SHADERS];

#endif
