/* Reading and writing files of saved logits. */
#include "eval/logits_file.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"

enum { HEADER_BYTES = 20, MAX_CTX = 1 << 24, MAX_VOCAB = 1 << 24, MAX_CHUNKS = 1 << 24 };

#define RANGE_NATS 16.0f

static uint64_t row_bytes(uint32_t n_vocab)
{
    return 8 + 4 * (((uint64_t)n_vocab + 1) / 2);
}

uint64_t jl_logits_bytes(uint32_t n_ctx, uint32_t n_vocab, uint32_t n_chunks)
{
    return HEADER_BYTES +
           (uint64_t)n_chunks * (4 * (uint64_t)n_ctx + jl_scored_rows(n_ctx) * row_bytes(n_vocab));
}

static uint32_t read_u32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

static jl_status check(jl_logits_file *f, const char *path, jl_error *err)
{
    const uint8_t *p = f->file.data;

    if (f->file.n_bytes < HEADER_BYTES || memcmp(p, "_logits_", 8) != 0)
        return jl_fail(err, JL_FORMAT,
                       "%s is no file of saved logits: make one with joule perplexity "
                       "--save-logits, or llama-perplexity --kl-divergence-base",
                       path);
    f->n_ctx = read_u32(p + 8);
    f->n_vocab = read_u32(p + 12);
    f->n_chunks = read_u32(p + 16);
    if (f->n_ctx < 4 || f->n_ctx > MAX_CTX || f->n_vocab == 0 || f->n_vocab > MAX_VOCAB ||
        f->n_chunks == 0 || f->n_chunks > MAX_CHUNKS)
        return jl_fail(err, JL_FORMAT,
                       "%s: %u chunks of %u tokens with a vocabulary of %u cannot be right", path,
                       f->n_chunks, f->n_ctx, f->n_vocab);
    const uint64_t need = jl_logits_bytes(f->n_ctx, f->n_vocab, f->n_chunks);
    if (f->file.n_bytes < need)
        return jl_fail(err, JL_FORMAT,
                       "%s is not complete: it has %" PRIu64 " of %" PRIu64 " bytes", path,
                       f->file.n_bytes, need);
    const int32_t *tokens = jl_logits_file_tokens(f);
    for (uint64_t i = 0; i < (uint64_t)f->n_chunks * f->n_ctx; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= f->n_vocab)
            return jl_fail(err, JL_FORMAT, "%s: token %d, number %" PRIu64 ", is out of range",
                           path, tokens[i], i);
    f->row_bytes = row_bytes(f->n_vocab);
    return JL_OK;
}

jl_status jl_logits_file_open(const char *path, jl_logits_file **out, jl_error *err)
{
    jl_logits_file *f = jl_calloc(1, sizeof *f);

    if (!f)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    jl_status s = jl_file_map(path, &f->file, err);
    if (s == JL_OK)
        s = check(f, path, err);
    if (s != JL_OK) {
        jl_logits_file_close(f);
        return s;
    }
    *out = f;
    return JL_OK;
}

void jl_logits_file_close(jl_logits_file *f)
{
    if (!f)
        return;
    jl_file_unmap(&f->file);
    jl_free(f);
}

uint32_t jl_logits_file_n_ctx(const jl_logits_file *f)
{
    return f->n_ctx;
}

uint32_t jl_logits_file_n_vocab(const jl_logits_file *f)
{
    return f->n_vocab;
}

uint32_t jl_logits_file_n_chunks(const jl_logits_file *f)
{
    return f->n_chunks;
}

const int32_t *jl_logits_file_tokens(const jl_logits_file *f)
{
    return (const int32_t *)(const void *)(f->file.data + HEADER_BYTES);
}

void jl_logits_file_row(const jl_logits_file *f, uint32_t chunk, uint32_t row, float *logprobs)
{
    const uint64_t index = (uint64_t)chunk * jl_scored_rows(f->n_ctx) + row;
    const uint8_t *p = f->file.data + HEADER_BYTES + 4 * (uint64_t)f->n_chunks * f->n_ctx +
                       index * f->row_bytes;
    float head[2]; /* scale, min */

    memcpy(head, p, sizeof head);
    const uint16_t *code = (const uint16_t *)(const void *)(p + sizeof head);
    for (uint32_t i = 0; i < f->n_vocab; i++)
        logprobs[i] = head[1] + head[0] * (float)code[i];
}

jl_status jl_logits_put_header(jl_writer *w, const jl_eval_text *text, uint32_t n_vocab,
                               uint32_t n_chunks, jl_error *err)
{
    const uint32_t head[3] = {text->n_ctx, n_vocab, n_chunks};

    JL_TRY(jl_writer_reserve(w, jl_logits_bytes(text->n_ctx, n_vocab, n_chunks), err));
    JL_TRY(jl_writer_write(w, "_logits_", 8, err));
    JL_TRY(jl_writer_write(w, head, sizeof head, err));
    return jl_writer_write(w, text->tokens,
                           (size_t)n_chunks * text->n_ctx * sizeof *text->tokens, err);
}

jl_status jl_logits_put_row(jl_writer *w, const float *logits, uint32_t n_vocab,
                            double log_sum_exp, uint16_t *scratch, jl_error *err)
{
    const size_t n = row_bytes(n_vocab) / 2;
    float low = INFINITY;
    float high = -INFINITY;

    for (uint32_t i = 0; i < n_vocab; i++) {
        low = logits[i] < low ? logits[i] : low;
        high = logits[i] > high ? logits[i] : high;
    }
    low = low > high - RANGE_NATS ? low : high - RANGE_NATS;
    const float head[2] = {(high - low) / 65535.0f, (float)((double)low - log_sum_exp)};
    const float inverse = head[0] > 0.0f ? 1.0f / head[0] : 0.0f;
    memcpy(scratch, head, sizeof head);
    scratch[n - 1] = 0; /* the padding of an odd vocabulary */
    for (uint32_t i = 0; i < n_vocab; i++) {
        const float step = rintf((logits[i] - low) * inverse);
        scratch[4 + i] = logits[i] > low ? (uint16_t)(step < 65535.0f ? step : 65535.0f) : 0;
    }
    return jl_writer_write(w, scratch, 2 * n, err);
}
