/* Inside a session. */
#ifndef JL_ENGINE_SESSION_H
#define JL_ENGINE_SESSION_H

#include <stdatomic.h>

#include "joule/joule.h"
#include "model/graph.h"

/* A micro-batch being put together: parallel arrays of n tokens. */
typedef struct {
    uint32_t n, n_out;
    int32_t *tokens, *pos;
    const int32_t **pages[JL_KV_GROUPS];
    uint32_t *out_rows;  /* [n_ubatch] */
    uint32_t *out_piece; /* [n_ubatch] logits row each wanted token goes to */
} jl_ubatch;

/* What one eval works on. A session has one for evals and, if asked for, a small one for those that
 * run while the first pauses between two layers. */
typedef struct {
    jl_buffer *act_buf;
    jl_activations act;
    jl_ubatch ub;
    float *logits;       /* [rows][n_vocab] of the last eval */
    int32_t *logits_row; /* [rows] piece of each row, -1: none */
    uint32_t n_logits;
    size_t *piece_done;   /* [pieces] tokens of each piece computed or in the micro-batch */
    size_t *piece_before; /* [pieces] the same before the micro-batch */
    uint32_t n_tokens;    /* of a micro-batch, at most */
    atomic_bool cancel;
    jl_pace_point pace_point; /* of the micro-batch being computed */
} jl_lane;

enum { JL_LANE_MAIN = 0, JL_LANE_BESIDE = 1, JL_LANES = 2 };

struct jl_session {
    const jl_model *m;
    jl_backend *be;
    jl_kv *kv;
    jl_session_params params; /* defaults resolved */
    float *inv_freq, *inv_freq_swa;
    float mscale;
    jl_lane lanes[JL_LANES];
    const jl_lane *last;    /* whose logits are asked for */
    const jl_lane *current; /* whose micro-batch is at hand */
    bool paused;            /* an eval is between two layers, in the between function */
    bool ran_beside;        /* which evaluated something */
    void *block;
    uint64_t block_bytes;
    jl_layer_fn *observe;
    void *observe_ctx;
    jl_pace_fn *pace; /* NULL: none */
    void *pace_ctx;
    jl_between_fn *between; /* NULL: none */
    void *between_ctx;
    jl_thread_plan plan;
    uint32_t n_threads_now, n_ubatch_now; /* at most */
    int place;                            /* jl_core_kind, or JL_USE_PLAN */
    uint32_t n_threads_used;              /* by the backend; 0: not told yet */
    int place_used;
};

/* Tells the backend threads and place for the micro-batch at hand. */
void jl_session_apply_use(jl_session *s);

#endif
