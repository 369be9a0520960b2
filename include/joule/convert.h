/* Hugging Face checkpoints to GGUF files. */
#ifndef JL_JOULE_CONVERT_H
#define JL_JOULE_CONVERT_H

#include <stdbool.h>

#include "joule/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t struct_size; /* sizeof(jl_convert_params) */
    const char *name;     /* general.name; NULL: the name of the folder */
    const char *awq;      /* type of AWQ matrices: "AWQ4" (NULL) or "F32", which are exact, "Q4_1"
                             for other engines, or "F16" */
    /* Called with the bytes written and in all; return false to stop (JL_CANCELLED, no file left).
     */
    bool (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *progress_ctx;
} jl_convert_params;

/* What a conversion wrote. */
typedef struct {
    char architecture[16];
    uint32_t n_tensors;
    uint32_t n_left_out; /* tensors of other modalities */
    uint64_t n_params;
    uint64_t bytes; /* of tensors */
} jl_convert_result;

/* Converts the checkpoint in a folder (config.json, *.safetensors, tokenizer.json): Gemma 4 (its
 * text part), Llama 3 and Mistral. Matrices keep their type (BF16, F16, F32), vectors become F32;
 * tokenizer, chat template and sampling defaults go along. The file appears at path when it is
 * whole. JL_FORMAT for broken or missing files, JL_UNSUPPORTED for other models. params and result
 * may be NULL. */
JL_API JL_MUST_CHECK jl_status jl_convert(const char *folder, const char *path,
                                          const jl_convert_params *params,
                                          jl_convert_result *result, jl_error *err);

#ifdef __cplusplus
}
#endif
#endif
