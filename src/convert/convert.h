/* Inside the converter. */
#ifndef JL_CONVERT_CONVERT_H
#define JL_CONVERT_CONVERT_H

#include "convert/safetensors.h"
#include "gguf/gguf.h"
#include "joule/convert.h"
#include "quant/types.h"

/* The text model of a checkpoint, as far as the tensors depend on it. */
typedef struct {
    bool gemma;
    const char *arch;
    const json_t *config; /* the text part of config.json */
    uint32_t n_layer, n_head, n_head_kv;
    bool tied;
} jl_checkpoint;

/* Metadata keys; a failure sticks. */
typedef struct {
    jl_gguf_writer *w;
    const jl_checkpoint *c;
    jl_error *err;
    jl_status status;
} jl_keys;

void jl_keys_u32(jl_keys *k, const char *key, uint32_t value); /* "general." and "tokenizer." keys
                                                                  stay as they are */
void jl_keys_i32(jl_keys *k, const char *key, int32_t value);
void jl_keys_f32(jl_keys *k, const char *key, double value);
void jl_keys_bool(jl_keys *k, const char *key, bool value);
void jl_keys_str(jl_keys *k, const char *key, const char *value);
void jl_keys_array(jl_keys *k, const char *key, jl_gguf_type type, const void *items, uint64_t n);
void jl_keys_strs(jl_keys *k, const char *key, const jl_str *items, uint64_t n);
void jl_keys_fail(jl_keys *k, jl_status status, const char *fmt, ...) JL_PRINTF(3, 4);

/* hparams.c */
JL_MUST_CHECK jl_status jl_checkpoint_read(const json_t *config, jl_checkpoint *out, jl_error *err);
void jl_put_hparams(jl_keys *k);
/* Frequency divisors [*n], jl_free them; NULL with *n 0 if the file needs none. */
JL_MUST_CHECK jl_status jl_rope_divisors(const jl_checkpoint *c, float **out, uint64_t *n,
                                         jl_error *err);
/* tokenizer.c: tokenizer.* and general.sampling.* from the files of the folder. */
void jl_put_tokenizer(jl_keys *k, const char *folder);
void jl_put_tokenizer_json(jl_keys *k, const json_t *tokenizer, const json_t *config);
/* names.c: GGUF name of a tensor. 1: *out is it; 0: not part of the text model; -1: unknown. */
int jl_tensor_name(const jl_checkpoint *c, const char *name, char *out, size_t cap);

/* Reads a JSON file of the folder; *out NULL if it is not there. */
JL_MUST_CHECK jl_status jl_read_json(const char *folder, const char *file, json_t **out,
                                     jl_error *err);

#endif
