/* The published shapes, from the configuration files of the released models. The tiny ones have
 * every feature in a few megabytes. */
#include "synth/shape.h"

#include <string.h>
#include <strings.h>

static const jl_shape shapes[] = {
    {.name = "gemma-4-26b-a4b", .arch = "gemma4", .label = "26B-A4B", .n_layer = 30, .n_embd = 2816,
     .n_head = 16, .n_head_kv = 8, .n_head_kv_global = 2, .head_dim = 256, .head_dim_global = 512,
     .global_every = 6, .k_is_v = true, .window = 1024, .n_ff = 2112, .n_expert = 128,
     .n_expert_used = 8, .n_ff_expert = 704, .n_vocab = 262144, .n_ctx = 262144, .rope_base = 1e6f},
    {.name = "gemma-4-31b", .arch = "gemma4", .label = "31B", .n_layer = 60, .n_embd = 5376,
     .n_head = 32, .n_head_kv = 16, .n_head_kv_global = 4, .head_dim = 256, .head_dim_global = 512,
     .global_every = 6, .k_is_v = true, .window = 1024, .n_ff = 21504, .n_vocab = 262144,
     .n_ctx = 262144, .rope_base = 1e6f},
    {.name = "gemma-4-12b", .arch = "gemma4", .label = "12B", .n_layer = 48, .n_embd = 3840,
     .n_head = 16, .n_head_kv = 8, .n_head_kv_global = 1, .head_dim = 256, .head_dim_global = 512,
     .global_every = 6, .k_is_v = true, .window = 1024, .n_ff = 15360, .n_vocab = 262144,
     .n_ctx = 262144, .rope_base = 1e6f},
    {.name = "gemma-4-e4b", .arch = "gemma4", .label = "E4B", .n_layer = 42, .n_embd = 2560,
     .n_head = 8, .n_head_kv = 2, .n_head_kv_global = 2, .head_dim = 256, .head_dim_global = 512,
     .global_every = 6, .window = 512, .n_shared_kv = 18, .n_ff = 10240, .n_ple = 256,
     .n_vocab = 262144, .n_ctx = 131072, .rope_base = 1e6f},
    {.name = "gemma-4-e2b", .arch = "gemma4", .label = "E2B", .n_layer = 35, .n_embd = 1536,
     .n_head = 8, .n_head_kv = 1, .n_head_kv_global = 1, .head_dim = 256, .head_dim_global = 512,
     .global_every = 5, .window = 512, .n_shared_kv = 20, .n_ff = 6144, .n_ff_shared = 12288,
     .n_ple = 256, .n_vocab = 262144, .n_ctx = 131072, .rope_base = 1e6f},
    {.name = "llama-3.1-8b", .arch = "llama", .label = "8B", .n_layer = 32, .n_embd = 4096,
     .n_head = 32, .n_head_kv = 8, .n_head_kv_global = 8, .head_dim = 128, .head_dim_global = 128,
     .global_every = 1, .n_ff = 14336, .n_vocab = 128256, .n_ctx = 131072, .rope_base = 5e5f},
    {.name = "llama-3.3-70b", .arch = "llama", .label = "70B", .n_layer = 80, .n_embd = 8192,
     .n_head = 64, .n_head_kv = 8, .n_head_kv_global = 8, .head_dim = 128, .head_dim_global = 128,
     .global_every = 1, .n_ff = 28672, .n_vocab = 128256, .n_ctx = 131072, .rope_base = 5e5f},
    {.name = "mistral-small-24b", .arch = "llama", .label = "24B", .n_layer = 40, .n_embd = 5120,
     .n_head = 32, .n_head_kv = 8, .n_head_kv_global = 8, .head_dim = 128, .head_dim_global = 128,
     .global_every = 1, .n_ff = 32768, .n_vocab = 131072, .n_ctx = 32768, .rope_base = 1e8f},
    {.name = "tiny", .arch = "gemma4", .label = "tiny", .n_layer = 6, .n_embd = 256, .n_head = 4,
     .n_head_kv = 2, .n_head_kv_global = 1, .head_dim = 64, .head_dim_global = 128,
     .global_every = 3, .k_is_v = true, .window = 128, .n_ff = 512, .n_vocab = 4096, .n_ctx = 4096,
     .rope_base = 1e6f},
    {.name = "tiny-moe", .arch = "gemma4", .label = "tiny-moe", .n_layer = 6, .n_embd = 256,
     .n_head = 4, .n_head_kv = 2, .n_head_kv_global = 1, .head_dim = 64, .head_dim_global = 128,
     .global_every = 3, .k_is_v = true, .window = 128, .n_ff = 320, .n_expert = 32,
     .n_expert_used = 4, .n_ff_expert = 96, .n_vocab = 4096, .n_ctx = 4096, .rope_base = 1e6f},
    {.name = "tiny-ple", .arch = "gemma4", .label = "tiny-ple", .n_layer = 8, .n_embd = 256,
     .n_head = 4, .n_head_kv = 1, .n_head_kv_global = 1, .head_dim = 64, .head_dim_global = 128,
     .global_every = 4, .window = 128, .n_shared_kv = 4, .n_ff = 512, .n_ff_shared = 1024,
     .n_ple = 64, .n_vocab = 4096, .n_ctx = 4096, .rope_base = 1e6f},
    /* with the whole vocabulary of their families */
    {.name = "tiny-llama", .arch = "llama", .label = "tiny-llama", .n_layer = 2, .n_embd = 32,
     .n_head = 2, .n_head_kv = 1, .n_head_kv_global = 1, .head_dim = 32, .head_dim_global = 32,
     .global_every = 1, .n_ff = 64, .n_vocab = 128256, .n_ctx = 4096, .rope_base = 5e5f},
    {.name = "tiny-mistral", .arch = "llama", .label = "tiny-mistral", .n_layer = 3, .n_embd = 32,
     .n_head = 2, .n_head_kv = 1, .n_head_kv_global = 1, .head_dim = 32, .head_dim_global = 32,
     .global_every = 1, .n_ff = 64, .n_vocab = 131072, .n_ctx = 4096, .rope_base = 1e8f},
};

enum { N_SHAPES = sizeof shapes / sizeof *shapes };

const jl_shape *jl_shape_at(uint32_t i)
{
    return i < N_SHAPES ? &shapes[i] : NULL;
}

const jl_shape *jl_shape_find(const char *name)
{
    for (uint32_t i = 0; i < N_SHAPES; i++)
        if (strcasecmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

bool jl_shape_is_global(const jl_shape *s, uint32_t layer)
{
    return (layer + 1) % s->global_every == 0;
}

bool jl_shape_is_gemma(const jl_shape *s)
{
    return strcmp(s->arch, "gemma4") == 0;
}
