/* Running pieces of sequences: cut into micro-batches, computed, logits kept for who wants them. */
#include <math.h>
#include <string.h>

#include "engine/session.h"

/* What an eval does with the logits of a token. */
typedef struct {
    jl_logits_fn *fn; /* NULL: keep the last row of each piece */
    void *ctx;
} logits_sink;

static jl_status check_piece(const jl_session *s, const jl_piece *p, jl_error *err)
{
    if (p->seq < 0 || (uint32_t)p->seq >= s->params.n_seq_max)
        return jl_fail(err, JL_INVALID, "sequence %d does not exist; this session has 0 to %u",
                       p->seq, s->params.n_seq_max - 1);
    if (p->n_tokens == 0 || !p->tokens)
        return jl_fail(err, JL_INVALID, "a piece of sequence %d has no tokens", p->seq);
    for (size_t i = 0; i < p->n_tokens; i++)
        if (p->tokens[i] < 0 || (uint32_t)p->tokens[i] >= s->m->hp.n_vocab)
            return jl_fail(err, JL_INVALID, "token %d at index %zu is outside the vocabulary of %u",
                           p->tokens[i], i, s->m->hp.n_vocab);
    const size_t have = jl_kv_length(s->kv, p->seq);
    if (p->n_tokens > s->params.n_ctx - have)
        return jl_fail(err, JL_TOO_LARGE,
                       "%zu tokens do not fit: sequence %d holds %zu of a context "
                       "of %u tokens (raise -c)",
                       p->n_tokens, p->seq, have, s->params.n_ctx);
    return JL_OK;
}

/* n_max, n_rows: most pieces of a call, and of those that want logits. */
static jl_status check_pieces(const jl_session *s, const jl_piece *pieces, size_t n,
                              uint32_t n_max, uint32_t n_rows, jl_error *err)
{
    uint32_t n_logits = 0;

    if (n == 0 || n > n_max)
        return jl_fail(err, JL_INVALID, "%zu pieces; a call takes 1 to %u, one per sequence", n,
                       n_max);
    for (size_t i = 0; i < n; i++) {
        JL_TRY(check_piece(s, &pieces[i], err));
        n_logits += !pieces[i].no_logits;
        for (size_t j = 0; j < i; j++)
            if (pieces[j].seq == pieces[i].seq)
                return jl_fail(err, JL_INVALID, "sequence %d has two pieces in one call",
                               pieces[i].seq);
    }
    if (n_logits > n_rows)
        return jl_fail(err, JL_INVALID, "%u pieces want logits; the session keeps %u rows",
                       n_logits, n_rows);
    return JL_OK;
}

/* Tokens that the micro-batch can still take. */
static size_t room_of(const jl_session *s, const jl_lane *l)
{
    const uint32_t n_max = l == &s->lanes[JL_LANE_MAIN] ? s->n_ubatch_now : l->n_tokens;

    return n_max > l->ub.n ? n_max - l->ub.n : 0;
}

/* Adds tokens of a piece to the micro-batch until it is full; every: all tokens want logits. */
static jl_status fill(jl_session *s, jl_lane *l, const jl_piece *p, size_t index, bool every,
                      jl_error *err)
{
    jl_ubatch *ub = &l->ub;
    const size_t done = l->piece_done[index];
    const size_t left = p->n_tokens - done;
    const size_t room = room_of(s, l);
    const size_t n = left < room ? left : room;
    const size_t start = jl_kv_length(s->kv, p->seq);

    JL_TRY(jl_kv_reserve(s->kv, p->seq, n, err));
    *(p->n_tokens > 1 ? &l->pace_point.n_prompt : &l->pace_point.n_decode) += (uint32_t)n;
    for (size_t i = 0; i < n; i++, ub->n++) {
        ub->tokens[ub->n] = p->tokens[done + i];
        ub->pos[ub->n] = (int32_t)(start + i);
        for (int g = 0; g < JL_KV_GROUPS; g++)
            ub->pages[g][ub->n] = jl_kv_pages(s->kv, p->seq, g);
        if (every || (done + i + 1 == p->n_tokens && !p->no_logits)) {
            ub->out_rows[ub->n_out] = ub->n;
            ub->out_piece[ub->n_out++] = (uint32_t)index;
        }
    }
    l->piece_done[index] = done + n;
    return JL_OK;
}

static void pace(jl_session *s, jl_lane *l, jl_pace_where where)
{
    l->pace_point.where = where;
    if (s->pace)
        s->pace(s->pace_ctx, s, &l->pace_point);
}

static bool layer_done(void *session)
{
    jl_session *s = session;

    pace(s, &s->lanes[JL_LANE_MAIN], JL_PACE_LAYER);
    if (!s->between)
        return false;
    s->paused = true;
    s->ran_beside = false;
    s->between(s->between_ctx, s);
    s->paused = false;
    if (!s->ran_beside)
        return false;
    s->current = &s->lanes[JL_LANE_MAIN];
    jl_session_apply_use(s);
    return true;
}

static jl_graph graph_of(jl_session *s, jl_lane *l)
{
    const bool pauses = l == &s->lanes[JL_LANE_MAIN] && (s->pace || s->between);

    return (jl_graph){
        .m = s->m,
        .be = s->be,
        .kv = s->kv,
        .act = &l->act,
        .inv_freq = s->inv_freq,
        .inv_freq_swa = s->inv_freq_swa,
        .mscale = s->mscale,
        .n_tokens = l->ub.n,
        .tokens = l->ub.tokens,
        .pos = l->ub.pos,
        .pages = {(const int32_t *const *)l->ub.pages[0], (const int32_t *const *)l->ub.pages[1]},
        .out_rows = l->ub.out_rows,
        .n_out = l->ub.n_out,
        .cancel = &l->cancel,
        .observe = s->observe,
        .observe_ctx = s->observe_ctx,
        .layer_done = pauses ? layer_done : NULL,
        .layer_done_ctx = s,
    };
}

/* Fetches n rows of logits; (13) suppressed tokens cannot be chosen. */
static jl_status download(jl_session *s, const jl_lane *l, uint32_t n, float *dst,
                          jl_error *err)
{
    size_t n_suppressed;
    const int32_t *suppressed = jl_vocab_suppressed(s->m->vocab, &n_suppressed);
    jl_tensor t = l->act.logits;

    t.ne[1] = n;
    JL_TRY(s->be->ops->download(s->be, &t, dst, err));
    for (uint32_t r = 0; r < n; r++)
        for (size_t i = 0; i < n_suppressed; i++)
            dst[(size_t)r * s->m->hp.n_vocab + (size_t)suppressed[i]] = -INFINITY;
    return JL_OK;
}

/* Runs the micro-batch and keeps the logits rows of pieces that end in it. */
static jl_status run_keep(jl_session *s, jl_lane *l, jl_error *err)
{
    const jl_graph g = graph_of(s, l);

    JL_TRY(jl_graph_forward(&g, err));
    if (g.n_out == 0)
        return JL_OK;
    JL_TRY(download(s, l, g.n_out, l->logits + (size_t)l->n_logits * s->m->hp.n_vocab, err));
    for (uint32_t i = 0; i < g.n_out; i++)
        l->logits_row[l->n_logits++] = (int32_t)l->ub.out_piece[i];
    return JL_OK;
}

/* Runs the micro-batch and hands over the logits of all its tokens, n_logits_max rows at a time. */
static jl_status run_all(jl_session *s, jl_lane *l, const logits_sink *sink, size_t first,
                         jl_error *err)
{
    const uint32_t step = s->params.n_logits_max;
    const uint32_t n = l->ub.n_out;
    jl_graph g = graph_of(s, l);

    g.n_out = n < step ? n : step;
    JL_TRY(jl_graph_forward(&g, err));
    for (uint32_t row = 0;;) {
        JL_TRY(download(s, l, g.n_out, l->logits, err));
        for (uint32_t i = 0; i < g.n_out; i++)
            sink->fn(sink->ctx, first + row + i, l->logits + (size_t)i * s->m->hp.n_vocab);
        row += g.n_out;
        if (row >= n)
            return JL_OK;
        g.out_rows = l->ub.out_rows + row;
        g.n_out = n - row < step ? n - row : step;
        JL_TRY(jl_graph_head(&g, err));
    }
}

static void commit(jl_session *s, const jl_lane *l, const jl_piece *pieces, size_t n_pieces)
{
    for (size_t i = 0; i < n_pieces; i++)
        if (l->piece_done[i] > l->piece_before[i])
            jl_kv_commit(s->kv, pieces[i].seq, l->piece_done[i] - l->piece_before[i]);
}

static size_t sum_done(const jl_lane *l, size_t n_pieces)
{
    size_t sum = 0;

    for (size_t i = 0; i < n_pieces; i++)
        sum += l->piece_done[i];
    return sum;
}

/* Puts the next micro-batch together. */
static jl_status gather(jl_session *s, jl_lane *l, const jl_piece *pieces, size_t n_pieces,
                        bool every, jl_error *err)
{
    l->ub.n = 0;
    l->ub.n_out = 0;
    l->pace_point.n_prompt = l->pace_point.n_decode = 0;
    memcpy(l->piece_before, l->piece_done, n_pieces * sizeof *l->piece_done);
    for (size_t i = 0; i < n_pieces && room_of(s, l) > 0; i++)
        if (l->piece_done[i] < pieces[i].n_tokens)
            JL_TRY(fill(s, l, &pieces[i], i, every, err));
    return JL_OK;
}

static size_t begin(jl_session *s, jl_lane *l, const jl_piece *pieces, size_t n_pieces)
{
    size_t total = 0;

    s->last = s->current = l;
    l->n_logits = 0;
    for (size_t i = 0; i < n_pieces; i++) {
        l->piece_done[i] = 0;
        total += pieces[i].n_tokens;
    }
    return total;
}

static jl_status eval(jl_session *s, const jl_piece *pieces, size_t n_pieces,
                      const logits_sink *sink, jl_error *err)
{
    jl_lane *l = &s->lanes[JL_LANE_MAIN];
    const size_t total = begin(s, l, pieces, n_pieces);

    atomic_store(&l->cancel, false);
    for (size_t done = 0; done < total;) {
        JL_TRY(gather(s, l, pieces, n_pieces, sink->fn != NULL, err));
        pace(s, l, JL_PACE_BEGIN);
        jl_session_apply_use(s);
        if (sink->fn)
            JL_TRY(run_all(s, l, sink, done, err));
        else
            JL_TRY(run_keep(s, l, err));
        commit(s, l, pieces, n_pieces);
        pace(s, l, JL_PACE_END);
        done = sum_done(l, n_pieces);
        if (s->params.progress)
            s->params.progress(s->params.progress_ctx, done, total);
    }
    return JL_OK;
}

/* As eval; logits are those of this eval again, not of one that ran beside it. */
static jl_status eval_main(jl_session *s, const jl_piece *pieces, size_t n_pieces,
                           const logits_sink *sink, jl_error *err)
{
    const jl_status status = eval(s, pieces, n_pieces, sink, err);

    s->last = &s->lanes[JL_LANE_MAIN];
    if (status != JL_OK)
        s->lanes[JL_LANE_MAIN].n_logits = 0;
    return status;
}

jl_status jl_session_eval(jl_session *s, const jl_piece *pieces, size_t n_pieces, jl_error *err)
{
    const logits_sink keep = {0};

    s->lanes[JL_LANE_MAIN].n_logits = 0;
    JL_TRY(check_pieces(s, pieces, n_pieces, s->params.n_seq_max, s->params.n_logits_max, err));
    return eval_main(s, pieces, n_pieces, &keep, err);
}

jl_status jl_session_eval_all(jl_session *s, const jl_piece *piece, jl_logits_fn *fn, void *ctx,
                              jl_error *err)
{
    const logits_sink sink = {.fn = fn, .ctx = ctx};

    s->lanes[JL_LANE_MAIN].n_logits = 0;
    JL_TRY(check_piece(s, piece, err));
    return eval_main(s, piece, 1, &sink, err);
}

jl_status jl_session_eval_beside(jl_session *s, const jl_piece *pieces, size_t n_pieces,
                                 jl_error *err)
{
    jl_lane *l = &s->lanes[JL_LANE_BESIDE];

    if (!s->paused || l->n_tokens == 0)
        return jl_fail(err, JL_INVALID, "an eval beside another one is possible from the between "
                                        "function of a session made with n_beside only");
    JL_TRY(check_pieces(s, pieces, n_pieces, l->n_tokens, l->n_tokens, err));
    const size_t total = begin(s, l, pieces, n_pieces);
    s->ran_beside = true;
    while (sum_done(l, n_pieces) < total) {
        JL_TRY(gather(s, l, pieces, n_pieces, false, err));
        jl_session_apply_use(s);
        JL_TRY(run_keep(s, l, err));
        commit(s, l, pieces, n_pieces);
        pace(s, l, JL_PACE_BESIDE);
    }
    return JL_OK;
}

const float *jl_session_logits(const jl_session *s, size_t piece)
{
    const jl_lane *l = s->last;

    for (uint32_t r = 0; r < l->n_logits; r++)
        if (l->logits_row[r] == (int32_t)piece)
            return l->logits + (size_t)r * s->m->hp.n_vocab;
    return NULL;
}
