/* Writes golden models as Hugging Face checkpoints, with names, row orders and packings of its own.
 */
#ifndef JL_TESTS_CHECKPOINT_H
#define JL_TESTS_CHECKPOINT_H

#include "gguf/gguf.h"

typedef enum {
    AWQ_NONE,
    AWQ_RANDOM,  /* matrices of layers get random 4-bit values, groups of 32 */
    AWQ_ROUNDED, /* their own, rounded as scripts/make-awq-goldens does it, groups of 32 to 128 */
} checkpoint_awq;

typedef struct {
    const char *folder;   /* exists */
    const jl_gguf *model; /* F32 */
    const char *config;   /* text of config.json */
    bool sharded;         /* two files and an index */
    checkpoint_awq awq;
    bool gemma;           /* names of Gemma 4, else of Llama */
    uint32_t n_head, n_head_kv;
} checkpoint_plan;

void checkpoint_write(const checkpoint_plan *p);
/* Weight of input i, output o of a random AWQ matrix, as (q - zero) * scale. */
float checkpoint_awq_weight(uint64_t tensor, uint64_t i, uint64_t o);
/* |zero * scale| of the same. */
float checkpoint_awq_offset(uint64_t tensor, uint64_t i, uint64_t o);
/* Checkpoint row that is row r of the file, for a matrix of n_rows rows in n_head heads. */
uint64_t checkpoint_row(uint64_t r, uint64_t n_rows, uint32_t n_head);
void checkpoint_write_text(const char *folder, const char *file, const char *text);

#endif
