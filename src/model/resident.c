/* Bringing weights into memory before they are needed, and keeping them there. */
#include "base/file.h"
#include "model/model.h"

/* Pieces of mapped files, one after the other, with one share done for all of them. */
typedef struct {
    const jl_model *m;
    const jl_model_params *params;
    uint64_t before, piece, total; /* bytes */
} settling;

static bool on_piece(void *ctx, float done)
{
    const settling *s = ctx;
    const double bytes = (double)s->before + (double)done * (double)s->piece;

    return s->params->progress(s->params->progress_ctx, (float)(bytes / (double)s->total));
}

static jl_status settle_piece(settling *s, const uint8_t *data, uint64_t n_bytes, jl_error *err)
{
    const jl_file piece = {.data = data, .n_bytes = n_bytes, .mapped = true};

    s->piece = n_bytes;
    if (s->params->prefault)
        JL_TRY(jl_file_prefault(&piece, s->params->progress ? on_piece : NULL, s, err));
    if (s->params->mlock)
        JL_TRY(jl_file_lock(&piece, err));
    s->before += n_bytes;
    return JL_OK;
}

/* The first tensor of a part, from offset pos on, that another one stands in for; NULL: none. */
static const jl_gguf_tensor *next_replaced(const jl_model *m, size_t part, uint64_t pos)
{
    const jl_gguf_tensor *next = NULL;

    for (size_t i = 0; m->repacked && i < jl_gguf_n_tensors(m->gguf); i++) {
        const jl_gguf_tensor *t = jl_gguf_tensor_at(m->gguf, i);
        if (t->part == part && t->offset >= pos && (!next || t->offset < next->offset) &&
            jl_model_in_use(m, t) != t)
            next = t;
    }
    return next;
}

/* What of a part is used. */
static jl_status settle_part(settling *s, size_t part, jl_error *err)
{
    const jl_file *f = jl_gguf_part_file(s->m->gguf, part);
    uint64_t pos = 0;

    while (pos < f->n_bytes) {
        const jl_gguf_tensor *t = next_replaced(s->m, part, pos);
        const uint64_t end = t ? t->offset : f->n_bytes;
        if (end > pos)
            JL_TRY(settle_piece(s, f->data + pos, end - pos, err));
        pos = t ? t->offset + t->n_bytes : end;
    }
    return JL_OK;
}

jl_status jl_model_settle(const jl_model *m, const jl_model_params *params, jl_error *err)
{
    settling s = {.m = m, .params = params, .total = jl_model_weight_bytes(m)};

    if (!params->prefault && !params->mlock)
        return JL_OK;
    for (size_t i = 0; i < jl_gguf_n_parts(m->gguf); i++)
        JL_TRY(settle_part(&s, i, err));
    if (!m->repacked)
        return JL_OK;
    return settle_piece(&s, m->repacked_part.host, m->repacked_part.n_bytes, err);
}
