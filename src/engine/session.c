/* Creating a session: the memory need is measured with the code that later lays it out. */
#include "engine/session.h"

#include <stdio.h>
#include <string.h>

#include "backend/describe.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "base/placement.h"

enum {
    DEFAULT_CTX = 8192,
    DEFAULT_UBATCH = 512,
    MOE_UBATCH = 2048,
    MAX_UBATCH = 8192,
    MAX_SEQ = 4096,
    MAX_THREADS = 256
};

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

static jl_kv_config kv_config(const jl_session_params *p)
{
    return (jl_kv_config){.n_ctx = p->n_ctx,
                          .n_ctx_total = p->n_ctx_total,
                          .n_swa_total = p->n_swa_total,
                          .n_seq_max = p->n_seq_max,
                          .n_ubatch = p->n_ubatch,
                          .type_k = p->type_k,
                          .type_v = p->type_v};
}

static uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static jl_backend_limits backend_limits(const jl_model *m, const jl_session_params *p)
{
    const jl_hparams *hp = &m->hp;
    jl_backend_limits l = {
        .n_threads = p->n_threads,
        .cpu_mask = p->cpu_mask,
        .shader_cache = p->shader_cache,
        .n_tokens = max_u32(max_u32(p->n_ubatch, p->n_logits_max), p->n_beside),
        .n_head = hp->n_head,
        .n_head_kv_min = hp->n_head,
        .head_dim = max_u32(hp->head_dim, hp->head_dim_swa),
        .n_ctx = p->n_ctx,
        .n_expert = hp->n_expert,
        .n_expert_used = hp->n_expert_used,
        .n_ff_expert = hp->n_ff_expert,
        .n_embd = hp->n_embd,
    };

    l.n_in = max_u32(hp->n_embd, hp->n_head * l.head_dim);
    l.n_in = max_u32(l.n_in, hp->n_embd_per_layer);
    for (uint32_t il = 0; il < hp->n_layer; il++) {
        l.n_in = max_u32(l.n_in, m->layers[il].n_ff);
        if (m->layers[il].n_head_kv < l.n_head_kv_min)
            l.n_head_kv_min = m->layers[il].n_head_kv;
    }
    return l;
}

/* Most tokens, pieces and rows of logits of a lane. */
typedef struct {
    uint32_t n_tokens, n_pieces, n_rows;
} lane_size;

static lane_size size_of(const jl_session_params *p, int lane)
{
    if (lane == JL_LANE_BESIDE)
        return (lane_size){p->n_beside, p->n_beside, p->n_beside};
    return (lane_size){p->n_ubatch, p->n_seq_max, p->n_logits_max};
}

static void layout_lane(jl_lane *l, const jl_model *m, lane_size size, jl_arena *arena)
{
    const uint64_t n = max_u32(size.n_tokens, size.n_rows);
    jl_ubatch *ub = &l->ub;

    ub->tokens = jl_arena_take(arena, n * sizeof *ub->tokens);
    ub->pos = jl_arena_take(arena, n * sizeof *ub->pos);
    for (int g = 0; g < JL_KV_GROUPS; g++)
        ub->pages[g] = jl_arena_take(arena, n * sizeof *ub->pages[g]);
    ub->out_rows = jl_arena_take(arena, n * sizeof *ub->out_rows);
    ub->out_piece = jl_arena_take(arena, n * sizeof *ub->out_piece);
    l->piece_done = jl_arena_take(arena, size.n_pieces * sizeof *l->piece_done);
    l->piece_before = jl_arena_take(arena, size.n_pieces * sizeof *l->piece_before);
    l->logits_row = jl_arena_take(arena, size.n_rows * sizeof *l->logits_row);
    l->logits = jl_arena_take(arena, (uint64_t)size.n_rows * m->hp.n_vocab * sizeof(float));
}

static void layout(jl_session *s, const jl_model *m, jl_arena *arena)
{
    s->inv_freq = jl_arena_take(arena, m->hp.head_dim / 2 * sizeof(float));
    s->inv_freq_swa = jl_arena_take(arena, m->hp.head_dim_swa / 2 * sizeof(float));
    for (int i = 0; i < JL_LANES; i++)
        layout_lane(&s->lanes[i], m, size_of(&s->params, i), arena);
}

/* Bytes of the activations of a lane, and their place in buf (NULL: only measure). */
static uint64_t layout_act(const jl_model *m, const jl_session_params *p, int lane, jl_buffer *buf,
                           jl_activations *out)
{
    const lane_size size = size_of(p, lane);

    return size.n_tokens ? jl_activations_layout(m, size.n_tokens, size.n_rows, buf, out) : 0;
}

/* What a device is called: "cpu", "vulkan", "vulkan2". */
typedef struct {
    const jl_backend_ops *ops; /* NULL: not in this build */
    int32_t which;
} device;

static bool parse_device(const char *name, device *out)
{
    static const char vulkan[] = "vulkan";
    const size_t len = sizeof vulkan - 1;

    *out = (device){.ops = &jl_backend_cpu, .which = -1};
    if (!name || strcmp(name, "cpu") == 0)
        return true;
    if (strncmp(name, vulkan, len) != 0 || strlen(name) > len + 2)
        return false;
#ifdef JL_HAVE_VULKAN
    out->ops = &jl_backend_vulkan;
#else
    out->ops = NULL;
#endif
    for (const char *p = name + len; *p; p++) {
        if (*p < '0' || *p > '9')
            return false;
        out->which = (out->which < 0 ? 0 : out->which * 10) + (*p - '0');
    }
    return true;
}

static jl_status find_device(const char *name, device *out, jl_error *err)
{
    if (!parse_device(name, out))
        return jl_fail(err, JL_INVALID, "unknown device '%s'; try cpu, vulkan or vulkan0", name);
    if (!out->ops)
        return jl_fail(err, JL_UNSUPPORTED, "joule was built without its Vulkan backend");
    return JL_OK;
}

jl_status jl_device_find(const char *name, jl_device_info *out, jl_error *err)
{
    device d;

    JL_TRY(find_device(name, &d, err));
#ifdef JL_HAVE_VULKAN
    if (d.ops == &jl_backend_vulkan)
        return jl_vulkan_find(d.which, out, err);
#endif
    *out = (jl_device_info){.text = "CPU"};
    return JL_OK;
}

/* All weights of a model, jl_free; NULL: out of memory. */
static jl_tensor *weight_list(const jl_model *m, size_t *n)
{
    *n = jl_model_weights(m, NULL, 0);
    jl_tensor *list = jl_calloc(*n ? *n : 1, sizeof *list);

    if (list)
        (void)jl_model_weights(m, list, *n);
    return list;
}

static uint64_t device_weights(const jl_model *m)
{
    size_t n;
    jl_tensor *list = weight_list(m, &n);
    uint64_t sum = 0;

    for (size_t i = 0; list && i < n; i++)
        sum += jl_tensor_bytes(&list[i]);
    jl_free(list);
    return sum;
}

static jl_status measure(const jl_model *m, const jl_session_params *p, jl_memory *out,
                         jl_error *err)
{
    const jl_kv_config kc = kv_config(p);
    const jl_backend_limits limits = backend_limits(m, p);
    jl_session s = {.params = *p};
    jl_arena arena = {0};
    jl_activations act;
    jl_kv_need need;
    device d;

    JL_TRY(find_device(p->device, &d, err));
    JL_TRY(jl_kv_measure(m, &kc, &need, err));
    layout(&s, m, &arena);
    *out = (jl_memory){
        .weights = jl_model_weight_bytes(m),
        .kv = need.cells,
        .compute = layout_act(m, p, JL_LANE_MAIN, NULL, &act) +
                   layout_act(m, p, JL_LANE_BESIDE, NULL, &act) +
                   d.ops->scratch_bytes(&limits),
        .logits = (uint64_t)(p->n_logits_max + p->n_beside) * m->hp.n_vocab * sizeof(float),
    };
    out->other = need.tables + arena.used - out->logits;
    out->total = out->weights + out->kv + out->compute + out->logits + out->other;
    if (d.ops != &jl_backend_cpu)
        out->device = device_weights(m) + out->kv + out->compute;
    return JL_OK;
}

/* Experts see n_ubatch * n_used / n_expert tokens each and expand their weights once for all of
 * them: a large micro-batch pays there, if the memory is free. */
static jl_status default_ubatch(const jl_model *m, jl_session_params *p, jl_error *err)
{
    const uint64_t available = jl_memory_available();
    jl_memory need;

    p->n_ubatch = m->hp.n_expert ? MOE_UBATCH : DEFAULT_UBATCH;
    for (; p->n_ubatch > DEFAULT_UBATCH; p->n_ubatch /= 2) {
        jl_session_params tried = *p;
        if (tried.n_ubatch > p->n_ctx)
            tried.n_ubatch = p->n_ctx;
        JL_TRY(measure(m, &tried, &need, err));
        if (need.total + need.total / 8 <= available)
            break;
    }
    return JL_OK;
}

/* Threads and where they go; p->n_threads 0 becomes the plan's number. */
static void plan_threads(jl_session_params *p, jl_thread_plan *plan)
{
    const unsigned features = jl_cpu_mask(jl_cpu_features(), p->cpu_mask, NULL);

    jl_thread_plan_session(jl_topology_machine(), p->placement, (int)p->n_threads,
                    features & JL_CPU_SME_ASKED, plan);
    const uint32_t n = (uint32_t)jl_thread_plan_threads(plan);
    p->n_threads = n < MAX_THREADS ? n : MAX_THREADS;
}

static jl_status resolve(const jl_model *m, const jl_session_params *in, jl_session_params *p,
                         jl_thread_plan *plan, jl_error *err)
{
    *p = in ? *in : (jl_session_params){0};
    if (!m->layers)
        return jl_fail(err, JL_INVALID, "the model was opened without weights (vocab_only)");

    const uint32_t ctx = m->hp.n_ctx_train < DEFAULT_CTX ? m->hp.n_ctx_train : DEFAULT_CTX;
    p->n_ctx = or_default(p->n_ctx, ctx);
    p->n_seq_max = or_default(p->n_seq_max, 1);
    p->n_logits_max = or_default(p->n_logits_max, p->n_seq_max);
    if (p->n_ctx > JL_MAX_CTX || p->n_ubatch > MAX_UBATCH || p->n_seq_max > MAX_SEQ ||
        p->n_threads > MAX_THREADS || p->n_logits_max > MAX_UBATCH || p->n_beside > MAX_SEQ)
        return jl_fail(err, JL_INVALID,
                       "out of range: context %u (at most %d tokens), micro-batch %u "
                       "(at most %d tokens), %u sequences (at most %d), %u threads (at most %d)",
                       p->n_ctx, JL_MAX_CTX, p->n_ubatch, MAX_UBATCH, p->n_seq_max, MAX_SEQ,
                       p->n_threads, MAX_THREADS);
    if ((unsigned)p->placement > JL_PLACEMENT_EFFICIENCY)
        return jl_fail(err, JL_INVALID, "unknown placement %d", (int)p->placement);
    plan_threads(p, plan);
    if ((unsigned)p->type_k > JL_KV_Q8_0 || (unsigned)p->type_v > JL_KV_Q8_0)
        return jl_fail(err, JL_INVALID, "unknown KV cache type");
    const uint64_t total = (uint64_t)p->n_ctx * p->n_seq_max;
    p->n_ctx_total = or_default(p->n_ctx_total, total < JL_MAX_CTX ? (uint32_t)total : JL_MAX_CTX);
    if (p->n_ubatch == 0)
        JL_TRY(default_ubatch(m, p, err));
    if (p->n_ubatch > p->n_ctx)
        p->n_ubatch = p->n_ctx;
    return JL_OK;
}

jl_status jl_session_measure(const jl_model *m, const jl_session_params *params, jl_memory *out,
                             jl_error *err)
{
    jl_session_params p;
    jl_thread_plan plan;

    JL_TRY(resolve(m, params, &p, &plan, err));
    return measure(m, &p, out, err);
}

static jl_status open_lane(jl_session *s, const jl_model *m, int lane, jl_error *err)
{
    jl_lane *l = &s->lanes[lane];
    const uint64_t bytes = layout_act(m, &s->params, lane, NULL, &l->act);

    l->n_tokens = size_of(&s->params, lane).n_tokens;
    if (bytes == 0)
        return JL_OK;
    JL_TRY(s->be->ops->buffer_alloc(s->be, bytes, &l->act_buf, err));
    layout_act(m, &s->params, lane, l->act_buf, &l->act);
    return JL_OK;
}

static jl_status check_device_memory(const jl_session *s, const jl_model *m, jl_error *err)
{
    const uint64_t have = s->be->ops->device_bytes(s->be);
    const double gib = 1073741824.0;
    jl_memory need;

    JL_TRY(measure(m, &s->params, &need, err));
    if (have == 0 || need.device <= have)
        return JL_OK;
    return jl_fail(err, JL_NO_MEMORY,
                   "the device has %.2f GiB of memory, %.2f are needed (weights %.2f, KV cache "
                   "%.2f, compute %.2f): %.2f GiB too little; try a smaller context or file, or "
                   "--device cpu",
                   (double)have / gib, (double)need.device / gib,
                   (double)(need.device - need.kv - need.compute) / gib, (double)need.kv / gib,
                   (double)need.compute / gib, (double)(need.device - have) / gib);
}

/* Copies weights to a device that has its own memory. */
static jl_status bring_weights(jl_session *s, const jl_model *m, jl_error *err)
{
    size_t n;
    jl_tensor *list = weight_list(m, &n);

    if (!list)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    const jl_weights_args args = {.tensors = list,
                                  .n = n,
                                  .progress = s->params.upload,
                                  .progress_ctx = s->params.upload_ctx};
    const jl_status status = s->be->ops->weights(s->be, &args, err);
    jl_free(list);
    return status;
}

static jl_status open_parts(jl_session *s, const jl_model *m, jl_error *err)
{
    const jl_session_params *p = &s->params;
    const jl_kv_config kc = kv_config(p);
    jl_backend_limits limits = backend_limits(m, p);
    device d;

    limits.plan = s->plan;
    JL_TRY(find_device(p->device, &d, err));
    limits.device = d.which;
    JL_TRY(d.ops->open(&limits, &s->be, err));
    JL_TRY(check_device_memory(s, m, err));
    JL_TRY(bring_weights(s, m, err));
    for (int i = 0; i < JL_LANES; i++)
        JL_TRY(open_lane(s, m, i, err));
    JL_TRY(jl_kv_create(m, s->be, &kc, &s->kv, err));

    jl_arena arena = {0};
    layout(s, m, &arena);
    s->block_bytes = arena.used;
    s->block = jl_map_anon(s->block_bytes);
    if (!s->block)
        return jl_fail(err, JL_NO_MEMORY, "no memory for %.1f MiB of logits and tables",
                       (double)s->block_bytes / 1048576.0);
    arena = (jl_arena){.base = s->block, .cap = s->block_bytes};
    layout(s, m, &arena);
    return JL_OK;
}

jl_status jl_session_create(jl_model *m, const jl_session_params *params, jl_session **out,
                            jl_error *err)
{
    jl_session *s = jl_calloc(1, sizeof *s);
    float unused;

    if (!s)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    s->m = m;
    jl_status status = resolve(m, params, &s->params, &s->plan, err);
    if (status == JL_OK)
        status = open_parts(s, m, err);
    if (status != JL_OK) {
        jl_session_destroy(s);
        return status;
    }
    const float *divisors = m->rope_freqs.buf ? jl_tensor_f32(&m->rope_freqs) : NULL;
    jl_rope_inv_freq(&m->hp.rope, m->hp.head_dim, divisors, s->inv_freq, &s->mscale);
    jl_rope_inv_freq(&m->hp.rope_swa, m->hp.head_dim_swa, NULL, s->inv_freq_swa, &unused);
    s->n_threads_now = s->params.n_threads;
    s->place = JL_USE_PLAN;
    s->n_ubatch_now = s->params.n_ubatch;
    s->last = s->current = &s->lanes[JL_LANE_MAIN];
    *out = s;
    return JL_OK;
}

void jl_session_destroy(jl_session *s)
{
    if (!s)
        return;
    jl_kv_destroy(s->kv);
    if (s->be) {
        for (int i = 0; i < JL_LANES; i++)
            s->be->ops->buffer_free(s->lanes[i].act_buf);
        s->be->ops->close(s->be);
    }
    jl_unmap_anon(s->block, s->block_bytes);
    jl_free(s);
}

uint32_t jl_session_n_ctx(const jl_session *s)
{
    return s->params.n_ctx;
}

uint32_t jl_session_n_threads(const jl_session *s)
{
    return s->params.n_threads;
}

static uint32_t at_most(uint32_t value, uint32_t most)
{
    return value < most ? value : most;
}

/* Threads of the phase the micro-batch is in, where the plan says, unless jl_session_set_use said
 * something else. */
void jl_session_apply_use(jl_session *s)
{
    const int planned = s->current->pace_point.n_prompt ? s->plan.n_prefill : s->plan.n_decode;
    const bool by_plan = s->place == JL_USE_PLAN;
    const uint32_t n = by_plan && planned ? at_most((uint32_t)planned, s->n_threads_now)
                                          : s->n_threads_now;

    if (n != s->n_threads_used || s->place != s->place_used)
        s->be->ops->use(s->be, n, s->place);
    s->n_threads_used = n;
    s->place_used = s->place;
}

void jl_session_set_use(jl_session *s, const jl_session_use *use)
{
    if (use->n_threads)
        s->n_threads_now = at_most(use->n_threads, s->params.n_threads);
    if (use->n_ubatch)
        s->n_ubatch_now = at_most(use->n_ubatch, s->params.n_ubatch);
    if (use->place != JL_PLACE_KEEP)
        s->place = (int)use->place - (int)JL_PLACE_ANY; /* jl_core_kind */
    jl_session_apply_use(s);
}

void jl_session_set_pace(jl_session *s, jl_pace_fn *fn, void *ctx)
{
    s->pace = fn;
    s->pace_ctx = ctx;
}

void jl_session_set_between(jl_session *s, jl_between_fn *fn, void *ctx)
{
    s->between = fn;
    s->between_ctx = ctx;
}

void jl_session_cancel(jl_session *s)
{
    atomic_store(&s->lanes[JL_LANE_MAIN].cancel, true);
}

bool jl_session_is_cancelled(const jl_session *s)
{
    return atomic_load(&s->lanes[JL_LANE_MAIN].cancel);
}

void jl_session_observe(jl_session *s, jl_layer_fn *fn, void *ctx)
{
    s->observe = fn;
    s->observe_ctx = ctx;
}

size_t jl_session_describe(const jl_session *s, char *text, size_t cap)
{
    return s->be->ops->describe(s->be, text, cap);
}

static bool seq_ok(const jl_session *s, int32_t seq)
{
    return seq >= 0 && (uint32_t)seq < s->params.n_seq_max;
}

size_t jl_seq_length(const jl_session *s, int32_t seq)
{
    return seq_ok(s, seq) ? jl_kv_length(s->kv, seq) : 0;
}

size_t jl_seq_min_length(const jl_session *s, int32_t seq)
{
    return seq_ok(s, seq) ? jl_kv_min_length(s->kv, seq) : 0;
}

static jl_status check_seq(const jl_session *s, int32_t seq, jl_error *err)
{
    if (seq_ok(s, seq))
        return JL_OK;
    return jl_fail(err, JL_INVALID, "sequence %d does not exist; this session has 0 to %u", seq,
                   s->params.n_seq_max - 1);
}

jl_status jl_seq_truncate(jl_session *s, int32_t seq, size_t n_tokens, jl_error *err)
{
    JL_TRY(check_seq(s, seq, err));
    return jl_kv_truncate(s->kv, seq, n_tokens, err);
}

jl_status jl_seq_fork(jl_session *s, int32_t src, int32_t dst, size_t n_tokens, jl_error *err)
{
    JL_TRY(check_seq(s, src, err));
    JL_TRY(check_seq(s, dst, err));
    return jl_kv_fork(s->kv, src, dst, n_tokens, err);
}

void jl_seq_clear(jl_session *s, int32_t seq)
{
    if (seq_ok(s, seq))
        jl_kv_clear(s->kv, seq);
}
