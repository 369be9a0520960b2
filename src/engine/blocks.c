/* Sequences as blocks of bytes, and what those bytes depend on. */
#include <stdio.h>
#include <string.h>

#include "engine/session.h"

_Static_assert((int)JL_BLOCK_TOKENS == (int)JL_KV_PAGE, "a block is a page");
_Static_assert((int)JL_BLOCK_GLOBAL == (int)JL_KV_GLOBAL, "kinds of blocks are groups");
_Static_assert((int)JL_BLOCK_WINDOW == (int)JL_KV_SWA, "kinds of blocks are groups");

uint64_t jl_session_block_bytes(const jl_session *s, jl_block_kind kind)
{
    return jl_kv_block_bytes(s->kv, (int)kind);
}

size_t jl_session_first_window_block(const jl_session *s, size_t n_tokens)
{
    return jl_kv_first_window_block(s->kv, n_tokens);
}

uint64_t jl_session_kv_used(const jl_session *s)
{
    return jl_kv_used_bytes(s->kv);
}

static jl_status check(const jl_session *s, int32_t seq, jl_block_kind kind, size_t block,
                       jl_error *err)
{
    if (seq < 0 || (uint32_t)seq >= s->params.n_seq_max || (unsigned)kind >= JL_BLOCK_KINDS ||
        block >= s->params.n_ctx / JL_BLOCK_TOKENS)
        return jl_fail(err, JL_INVALID, "there is no block %zu of sequence %d", block, seq);
    return JL_OK;
}

bool jl_seq_has_block(const jl_session *s, int32_t seq, jl_block_kind kind, size_t block)
{
    return check(s, seq, kind, block, NULL) == JL_OK &&
           jl_kv_has_block(s->kv, seq, (int)kind, (uint32_t)block);
}

jl_status jl_seq_get_block(const jl_session *s, int32_t seq, jl_block_kind kind, size_t block,
                           void *out, jl_error *err)
{
    JL_TRY(check(s, seq, kind, block, err));
    if (!jl_kv_has_block(s->kv, seq, (int)kind, (uint32_t)block))
        return jl_fail(err, JL_INVALID, "sequence %d does not hold block %zu", seq, block);
    JL_TRY(s->be->ops->wait(s->be, err));
    return jl_kv_get_block(s->kv, seq, (int)kind, (uint32_t)block, out, err);
}

jl_status jl_seq_put_block(jl_session *s, int32_t seq, jl_block_kind kind, size_t block,
                           const void *data, jl_error *err)
{
    JL_TRY(check(s, seq, kind, block, err));
    return jl_kv_put_block(s->kv, seq, (int)kind, (uint32_t)block, data, err);
}

jl_status jl_seq_put_done(jl_session *s, int32_t seq, size_t n_tokens, jl_error *err)
{
    JL_TRY(check(s, seq, JL_BLOCK_GLOBAL, 0, err));
    return jl_kv_put_done(s->kv, seq, n_tokens, err);
}

size_t jl_session_arithmetic(const jl_session *s, char *text, size_t cap)
{
    static const char *const types[] = {"f16", "f32", "q8_0"};
    char device[128];

    s->be->ops->describe(s->be, device, sizeof device);
    /* "CPU, 8 threads, avx2 kernels": neither threads nor the name of a GPU matter */
    const char *kernels = strrchr(device, ',');
    const int n =
        snprintf(text, cap, "%s%s; k %s, v %s", s->be->ops->name, kernels ? kernels : device,
                 types[s->params.type_k], types[s->params.type_v]);
    return n < 0 ? 0 : (size_t)n;
}
