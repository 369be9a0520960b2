/* Files of saved logits, as llama.cpp's perplexity tool writes and reads them.
 *
 *   "_logits_"  u32 n_ctx  i32 n_vocab  i32 n_chunks  i32 tokens[n_chunks][n_ctx]
 *   then for each chunk n_ctx - 1 - n_ctx / 2 rows of
 *   f32 scale  f32 min  u16 code[n_vocab rounded up to even]
 *
 * little-endian; the log probability of token i is min + scale * code[i], never more than 16 nats
 * below the best one. */
#ifndef JL_EVAL_LOGITS_FILE_H
#define JL_EVAL_LOGITS_FILE_H

#include "base/file.h"
#include "joule/eval.h"

struct jl_logits_file {
    jl_file file;
    uint32_t n_ctx, n_vocab, n_chunks;
    uint64_t row_bytes;
};

/* Scored positions of a chunk: n_ctx / 2 .. n_ctx - 2. */
static inline uint32_t jl_scored_rows(uint32_t n_ctx)
{
    return n_ctx - 1 - n_ctx / 2;
}

const int32_t *jl_logits_file_tokens(const jl_logits_file *f); /* [n_chunks][n_ctx] */
/* Log probabilities [n_vocab] of a row (0 .. jl_scored_rows - 1) of a chunk, as stored. */
void jl_logits_file_row(const jl_logits_file *f, uint32_t chunk, uint32_t row, float *logprobs);

/* Writing: the header, then rows in order. */
JL_MUST_CHECK jl_status jl_logits_put_header(jl_writer *w, const jl_eval_text *text,
                                             uint32_t n_vocab, uint32_t n_chunks, jl_error *err);
/* logits [n_vocab]; scratch [n_vocab + 6]. */
JL_MUST_CHECK jl_status jl_logits_put_row(jl_writer *w, const float *logits, uint32_t n_vocab,
                                          double log_sum_exp, uint16_t *scratch, jl_error *err);
uint64_t jl_logits_bytes(uint32_t n_ctx, uint32_t n_vocab, uint32_t n_chunks);

#endif
