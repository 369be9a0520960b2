/* From bytes to tokens: what a token costs in each kind of layer is found by measuring sessions. */
#include "server/size.h"

#include "base/mem.h"
#include "base/status.h"

enum { DEFAULT_PARALLEL = 4, DEFAULT_UBATCH = 512, PROBE = 64000, MAX_TOKENS = 1 << 22 };

static jl_status kv_bytes(const jl_model *model, const jl_session_params *sp, uint64_t *out,
                          jl_error *err)
{
    jl_memory need;

    JL_TRY(jl_session_measure(model, sp, &need, err));
    *out = need.kv;
    return JL_OK;
}

/* Bytes that another token costs in global layers and in window layers. */
static jl_status token_bytes(const jl_model *model, jl_session_params sp, double *global,
                             double *swa, jl_error *err)
{
    uint64_t base;
    uint64_t more;

    sp.n_ctx_total = sp.n_ctx;
    sp.n_swa_total = PROBE;
    JL_TRY(kv_bytes(model, &sp, &base, err));
    sp.n_ctx_total += PROBE;
    JL_TRY(kv_bytes(model, &sp, &more, err));
    *global = (double)(more - base) / PROBE;
    sp.n_ctx_total -= PROBE;
    sp.n_swa_total += PROBE;
    JL_TRY(kv_bytes(model, &sp, &more, err));
    *swa = (double)(more - base) / PROBE;
    return JL_OK;
}

static uint32_t tokens_of(double n_bytes, double per_token)
{
    const double n = per_token > 0 ? n_bytes / per_token : 0;

    return n < MAX_TOKENS ? (uint32_t)n : MAX_TOKENS;
}

jl_status jl_server_session_params(const jl_model *model, const jl_server_params *params,
                                   jl_session_params *out, jl_error *err)
{
    jl_session_params sp = params->session;
    jl_model_info info;
    double global;
    double swa;
    uint64_t n_running;
    uint64_t without;

    jl_model_get_info(model, &info);
    sp.struct_size = sizeof sp;
    const uint32_t n_parallel = params->n_parallel ? params->n_parallel : DEFAULT_PARALLEL;
    sp.n_ubatch = sp.n_ubatch ? sp.n_ubatch : DEFAULT_UBATCH;
    if (sp.n_ctx == 0)
        sp.n_ctx = info.n_ctx_train < 8192 ? info.n_ctx_train : 8192;
    sp.n_ubatch = sp.n_ubatch < sp.n_ctx ? sp.n_ubatch : sp.n_ctx;
    JL_TRY(token_bytes(model, sp, &global, &swa, err));

    /* What n_parallel requests need in window layers, in tokens. */
    jl_session_params running = sp;
    running.n_seq_max = n_parallel;
    running.n_ctx_total = sp.n_ctx * n_parallel;
    JL_TRY(kv_bytes(model, &running, &n_running, err));
    running.n_swa_total = 1; /* the least: what one sequence needs */
    JL_TRY(kv_bytes(model, &running, &without, err));
    const double per_seq = n_parallel > 1 ? (double)(n_running - without) / (n_parallel - 1) : 0;
    running.n_swa_total = 0;
    running.n_seq_max = 1;

    /* An entry holds all its tokens in global layers, and a window of them in the others. */
    const double share = swa > 0 ? 0.67 : 0.0;
    const double cache = (double)params->cache_ram;
    sp.n_seq_max = n_parallel + JL_CACHE_SEQS;
    sp.n_logits_max = n_parallel;
    sp.n_beside = n_parallel;
    sp.n_ctx_total = sp.n_ctx * n_parallel + tokens_of(cache * (1 - share), global);
    sp.n_swa_total =
        tokens_of(per_seq * (n_parallel + 1) + cache * share, swa) + sp.n_ubatch * 4 + 64;
    *out = sp;
    return JL_OK;
}

jl_status jl_server_measure(const jl_model *model, const jl_server_params *params, jl_memory *out,
                            jl_error *err)
{
    jl_session_params sp;

    JL_TRY(jl_server_session_params(model, params, &sp, err));
    return jl_session_measure(model, &sp, out, err);
}
