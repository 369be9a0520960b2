/* Timing prefill and decode of a session. */
#include "base/file.h"
#include "base/mem.h"
#include "joule/bench.h"
#include "model/kv.h"
#include "model/model.h"
#include "quant/random.h"

struct jl_bench {
    const jl_model *model;
    jl_session *session;
    jl_kv_type type_k, type_v;
    uint32_t n_vocab, n_max, depth;
    int32_t *tokens; /* [depth_max + n_max] */
};

enum { SEQ_DEPTH = 0, SEQ_TEST = 1 };

jl_status jl_bench_create(jl_model *model, const jl_bench_params *params, jl_bench **out,
                          jl_error *err)
{
    const uint64_t total = (uint64_t)params->depth_max + params->n_max;
    jl_session_params sp = params->session;
    jl_model_info info;

    if (params->n_max == 0 || total > 1u << 24)
        return jl_fail(err, JL_INVALID, "a test needs 1 to %u tokens in all", 1u << 24);
    jl_model_get_info(model, &info);
    sp.n_ctx = (uint32_t)total;
    sp.n_seq_max = 2;
    sp.n_ctx_total = (uint32_t)total + 128; /* the fork shares the depth */

    jl_bench *b = jl_calloc(1, sizeof *b);
    if (b)
        b->tokens = jl_calloc(total, sizeof *b->tokens);
    if (!b || !b->tokens) {
        jl_bench_destroy(b);
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    }
    b->model = model;
    b->type_k = sp.type_k;
    b->type_v = sp.type_v;
    b->n_vocab = info.n_vocab;
    b->n_max = params->n_max;
    for (uint64_t i = 0; i < total; i++)
        b->tokens[i] = (int32_t)(jl_random_u64(1, i) % info.n_vocab);
    const jl_status s = jl_session_create(model, &sp, &b->session, err);
    if (s != JL_OK) {
        jl_bench_destroy(b);
        return s;
    }
    *out = b;
    return JL_OK;
}

void jl_bench_destroy(jl_bench *b)
{
    if (!b)
        return;
    jl_session_destroy(b->session);
    jl_free(b->tokens);
    jl_free(b);
}

jl_session *jl_bench_session(jl_bench *b)
{
    return b->session;
}

jl_status jl_bench_set_depth(jl_bench *b, uint32_t depth, jl_error *err)
{
    const size_t have = jl_seq_length(b->session, SEQ_DEPTH);

    jl_seq_clear(b->session, SEQ_TEST);
    b->depth = depth;
    if (have > depth)
        jl_seq_clear(b->session, SEQ_DEPTH);
    const size_t from = have > depth ? 0 : have;
    if (from == depth)
        return JL_OK;
    const jl_piece p = {
        .seq = SEQ_DEPTH, .tokens = b->tokens + from, .n_tokens = depth - from, .no_logits = true};
    return jl_session_eval(b->session, &p, 1, err);
}

static jl_status start(jl_bench *b, uint32_t n, jl_error *err)
{
    if (n == 0 || n > b->n_max)
        return jl_fail(err, JL_INVALID, "a test of %u tokens; at most %u were announced", n,
                       b->n_max);
    jl_seq_clear(b->session, SEQ_TEST);
    return b->depth ? jl_seq_fork(b->session, SEQ_DEPTH, SEQ_TEST, b->depth, err) : JL_OK;
}

jl_status jl_bench_prefill(jl_bench *b, uint32_t n, jl_bench_time *out, jl_error *err)
{
    const jl_piece p = {.seq = SEQ_TEST, .tokens = b->tokens + b->depth, .n_tokens = n};

    JL_TRY(start(b, n, err));
    const double cpu = jl_time_cpu();
    const uint64_t t0 = jl_time_ns();
    JL_TRY(jl_session_eval(b->session, &p, 1, err));
    out->seconds = (double)(jl_time_ns() - t0) * 1e-9;
    out->cpu_seconds = jl_time_cpu() - cpu;
    return JL_OK;
}

jl_status jl_bench_decode(jl_bench *b, uint32_t n, jl_bench_time *out, jl_error *err)
{
    JL_TRY(start(b, n, err));
    const double cpu = jl_time_cpu();
    const uint64_t t0 = jl_time_ns();
    for (uint32_t i = 0; i < n; i++) {
        const jl_piece p = {.seq = SEQ_TEST, .tokens = b->tokens + b->depth + i, .n_tokens = 1};
        JL_TRY(jl_session_eval(b->session, &p, 1, err));
    }
    out->seconds = (double)(jl_time_ns() - t0) * 1e-9;
    out->cpu_seconds = jl_time_cpu() - cpu;
    return JL_OK;
}

/* ---- what a test needs at least */

/* Keys that the n tokens behind the depth see in a layer, all together. */
static double keys_seen(const jl_model *m, const jl_layer *layer, uint32_t depth, uint32_t n)
{
    const uint64_t window = layer->is_swa && m->hp.n_swa ? m->hp.n_swa : UINT64_MAX;
    double keys = 0;

    for (uint32_t i = 0; i < n; i++) {
        const uint64_t seen = (uint64_t)depth + i + 1;
        keys += (double)(seen < window ? seen : window);
    }
    return keys;
}

void jl_bench_get_work(const jl_bench *b, bool decode, uint32_t n, jl_bench_work *out)
{
    const jl_model *m = b->model;
    jl_model_info info;
    const double cell =
        (double)(jl_kv_row_bytes(b->type_k, 32) + jl_kv_row_bytes(b->type_v, 32)) / 32;
    double cells = 0; /* bytes of K and V */

    jl_model_get_info(m, &info);
    *out = (jl_bench_work){0};
    for (uint32_t i = 0; i < m->hp.n_layer; i++) {
        const jl_layer *l = &m->layers[i];
        const double keys = keys_seen(m, l, b->depth, n) / n;
        out->f32_ops += 4.0 * keys * m->hp.n_head * l->head_dim; /* q k and p v */
        cells += keys * l->n_head_kv * l->head_dim * cell;
    }
    const double head = (double)info.n_vocab * info.n_embd;
    out->int8_ops = 2.0 * (double)info.n_params_active;
    if (decode)
        out->bytes = (double)info.bytes_per_token + cells;
    else
        out->int8_ops -= 2.0 * head * (1.0 - 1.0 / n);
}
