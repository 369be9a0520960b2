/* Paged KV cache; see kv.h. All memory is laid out once at creation. */
#include "model/kv.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"

/* Pages of the layers of one kind. Page p of layer l lies at layer_offset(l) + p * page_bytes(l).
 */
typedef struct {
    uint32_t n_pages, n_free;
    uint32_t *refs;     /* [n_pages] */
    int32_t *free_list; /* [n_pages] stack */
    int32_t *tables;    /* [n_seq_max][n_blocks] */
} kv_group;

typedef struct {
    size_t length;
    size_t n_reserved;                  /* length + tokens with room */
    uint32_t first_block[JL_KV_GROUPS]; /* lowest block held */
    bool building;                      /* blocks are being put: holes, and no tokens yet */
} kv_seq;

struct jl_kv {
    const jl_model *m;
    jl_backend *be;
    jl_kv_config config;
    uint32_t n_blocks; /* of a full sequence */
    jl_buffer *cells;
    void *block;
    uint64_t block_bytes;
    kv_group groups[JL_KV_GROUPS];
    kv_seq *seqs;        /* [n_seq_max] */
    jl_kv_layer *layers; /* [n_layer] */
};

uint64_t jl_kv_row_bytes(jl_kv_type type, uint64_t n)
{
    if (type == JL_KV_F32)
        return n * 4;
    if (type == JL_KV_F16)
        return n * 2;
    return n + n / 32 * 2;
}

static uint64_t align64(uint64_t n)
{
    return (n + 63) / 64 * 64;
}

static bool owns_cells(const jl_model *m, uint32_t il)
{
    return m->layers[il].kv_layer == il;
}

static uint32_t blocks_of(uint64_t n_tokens)
{
    return (uint32_t)((n_tokens + JL_KV_PAGE - 1) / JL_KV_PAGE);
}

enum { MOST_KEPT = 512 };

/* Tokens behind the window that stay, so that this many can be taken back. */
static uint32_t kept_tokens(const jl_kv_config *c)
{
    return c->n_ubatch < MOST_KEPT ? c->n_ubatch : MOST_KEPT;
}

/* Window layers hold the window, what can be taken back, the tokens of a micro-batch and a page cut
 * at either end. */
static uint32_t swa_blocks(const jl_model *m, const jl_kv_config *c)
{
    const uint32_t held = blocks_of((uint64_t)m->hp.n_swa + kept_tokens(c) + c->n_ubatch) + 2;
    const uint32_t all = blocks_of(c->n_ctx);

    return held < all && m->hp.n_swa ? held : all;
}

static void layer_layout(const jl_model *m, const jl_kv_config *c, uint32_t il, jl_kv_layer *out)
{
    const jl_layer *l = &m->layers[il];

    *out = (jl_kv_layer){
        .k_head_bytes = align64(jl_kv_row_bytes(c->type_k, (uint64_t)l->head_dim * JL_KV_PAGE)),
        .v_head_bytes = align64(jl_kv_row_bytes(c->type_v, (uint64_t)l->head_dim * JL_KV_PAGE)),
        .n_head_kv = l->n_head_kv,
        .head_dim = l->head_dim,
        .type_k = c->type_k,
        .type_v = c->type_v,
        .window = l->is_swa ? (int32_t)m->hp.n_swa : INT32_MAX,
    };
    out->v_offset = out->k_head_bytes * l->n_head_kv;
    out->page_bytes = out->v_offset + out->v_head_bytes * l->n_head_kv;
}

static uint64_t cells_bytes(const jl_model *m, const jl_kv_config *c, const uint32_t n_pages[])
{
    uint64_t total = 0;

    for (uint32_t il = 0; il < m->hp.n_layer; il++) {
        jl_kv_layer l;
        if (!owns_cells(m, il))
            continue;
        layer_layout(m, c, il, &l);
        total += l.page_bytes * n_pages[m->layers[il].is_swa ? JL_KV_SWA : JL_KV_GLOBAL];
    }
    return total;
}

static void page_counts(const jl_model *m, const jl_kv_config *c, uint32_t n_pages[])
{
    n_pages[JL_KV_GLOBAL] = blocks_of(c->n_ctx_total) + 2 * c->n_seq_max;
    n_pages[JL_KV_SWA] = (swa_blocks(m, c) + 1) * c->n_seq_max;
    if (c->n_swa_total && m->hp.n_swa) {
        const uint32_t wanted = blocks_of(c->n_swa_total);
        const uint32_t one = swa_blocks(m, c) + 1; /* what a single sequence needs */
        n_pages[JL_KV_SWA] = wanted > one ? wanted : one;
    }
}

static void layout(jl_kv *kv, jl_arena *arena)
{
    const uint64_t n_seq = kv->config.n_seq_max;

    for (int g = 0; g < JL_KV_GROUPS; g++) {
        kv_group *group = &kv->groups[g];
        group->refs = jl_arena_take(arena, group->n_pages * sizeof *group->refs);
        group->free_list = jl_arena_take(arena, group->n_pages * sizeof *group->free_list);
        group->tables = jl_arena_take(arena, n_seq * kv->n_blocks * sizeof *group->tables);
    }
    kv->seqs = jl_arena_take(arena, n_seq * sizeof *kv->seqs);
    kv->layers = jl_arena_take(arena, kv->m->hp.n_layer * sizeof *kv->layers);
}

static jl_status prepare(jl_kv *kv, jl_error *err)
{
    uint32_t n_pages[JL_KV_GROUPS];
    const jl_model *m = kv->m;

    for (uint32_t il = 0; il < m->hp.n_layer; il++)
        if ((kv->config.type_k == JL_KV_Q8_0 || kv->config.type_v == JL_KV_Q8_0) &&
            m->layers[il].head_dim % 32 != 0)
            return jl_fail(err, JL_UNSUPPORTED,
                           "a Q8_0 KV cache needs head sizes that are multiples "
                           "of 32; layer %u has %u",
                           il, m->layers[il].head_dim);
    page_counts(m, &kv->config, n_pages);
    for (int g = 0; g < JL_KV_GROUPS; g++)
        kv->groups[g].n_pages = n_pages[g];
    kv->n_blocks = blocks_of(kv->config.n_ctx);
    return JL_OK;
}

jl_status jl_kv_measure(const jl_model *m, const jl_kv_config *config, jl_kv_need *out,
                        jl_error *err)
{
    jl_kv kv = {.m = m, .config = *config};
    jl_arena measure = {0};
    uint32_t n_pages[JL_KV_GROUPS];

    JL_TRY(prepare(&kv, err));
    layout(&kv, &measure);
    page_counts(m, config, n_pages);
    out->cells = cells_bytes(m, config, n_pages);
    out->tables = measure.used;
    return JL_OK;
}

static void place_layers(jl_kv *kv)
{
    const jl_model *m = kv->m;
    uint64_t offset = 0;

    for (uint32_t il = 0; il < m->hp.n_layer; il++) {
        if (!owns_cells(m, il)) {
            kv->layers[il] = kv->layers[m->layers[il].kv_layer];
            continue;
        }
        layer_layout(m, &kv->config, il, &kv->layers[il]);
        kv->layers[il].buf = kv->cells;
        kv->layers[il].offset = offset;
        const int g = m->layers[il].is_swa ? JL_KV_SWA : JL_KV_GLOBAL;
        offset += kv->layers[il].page_bytes * kv->groups[g].n_pages;
    }
}

jl_status jl_kv_create(const jl_model *m, jl_backend *be, const jl_kv_config *config, jl_kv **out,
                       jl_error *err)
{
    jl_kv_need need;
    jl_kv *kv = jl_calloc(1, sizeof *kv);

    if (!kv)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    kv->m = m;
    kv->be = be;
    kv->config = *config;
    jl_status s = prepare(kv, err);
    if (s == JL_OK)
        s = jl_kv_measure(m, config, &need, err);
    if (s == JL_OK) {
        kv->block_bytes = need.tables;
        kv->block = jl_map_anon(need.tables);
        if (!kv->block)
            s = jl_fail(err, JL_NO_MEMORY, "no memory for the KV tables");
    }
    if (s == JL_OK)
        s = be->ops->buffer_alloc(be, need.cells, &kv->cells, err);
    if (s != JL_OK) {
        jl_kv_destroy(kv);
        return s;
    }

    jl_arena arena = {.base = kv->block, .cap = kv->block_bytes};
    layout(kv, &arena);
    place_layers(kv);
    for (int g = 0; g < JL_KV_GROUPS; g++) {
        kv_group *group = &kv->groups[g];
        group->n_free = group->n_pages;
        for (uint32_t p = 0; p < group->n_pages; p++)
            group->free_list[p] = (int32_t)(group->n_pages - 1 - p);
        memset(group->tables, 0xff,
               (size_t)config->n_seq_max * kv->n_blocks * sizeof *group->tables);
    }
    *out = kv;
    return JL_OK;
}

void jl_kv_destroy(jl_kv *kv)
{
    if (!kv)
        return;
    if (kv->be)
        kv->be->ops->buffer_free(kv->cells);
    jl_unmap_anon(kv->block, kv->block_bytes);
    jl_free(kv);
}

static int32_t *table_of(const jl_kv *kv, int32_t seq, int g)
{
    return kv->groups[g].tables + (size_t)seq * kv->n_blocks;
}

static void page_release(kv_group *g, int32_t *entry)
{
    if (*entry >= 0 && --g->refs[*entry] == 0)
        g->free_list[g->n_free++] = *entry;
    *entry = -1;
}

static void copy_page(jl_kv *kv, int g, int32_t dst, int32_t src)
{
    for (uint32_t il = 0; il < kv->m->hp.n_layer; il++) {
        const jl_kv_layer *l = &kv->layers[il];
        const int group = kv->m->layers[il].is_swa ? JL_KV_SWA : JL_KV_GLOBAL;
        if (owns_cells(kv->m, il) && group == g)
            kv->be->ops->copy(kv->cells, l->offset + (uint64_t)dst * l->page_bytes,
                              l->offset + (uint64_t)src * l->page_bytes, l->page_bytes);
    }
}

/* A page of the sequence's own for a block that will be written: new, or a copy of a shared one. */
static bool own_page(jl_kv *kv, int32_t seq, int g, uint32_t block)
{
    kv_group *group = &kv->groups[g];
    int32_t *entry = &table_of(kv, seq, g)[block];

    if (*entry >= 0 && group->refs[*entry] == 1)
        return true;
    if (group->n_free == 0)
        return false;
    const int32_t page = group->free_list[--group->n_free];
    group->refs[page] = 1;
    if (*entry >= 0) {
        copy_page(kv, g, page, *entry);
        page_release(group, entry);
    }
    *entry = page;
    return true;
}

jl_status jl_kv_reserve(jl_kv *kv, int32_t seq, size_t n, jl_error *err)
{
    kv_seq *s = &kv->seqs[seq];

    if (s->building)
        return jl_fail(err, JL_INVALID, "sequence %d is being put together", seq);
    if (n > kv->config.n_ctx - s->length)
        return jl_fail(err, JL_TOO_LARGE,
                       "sequence %d holds %zu tokens; %zu more exceed the context "
                       "of %u tokens (raise -c)",
                       seq, s->length, n, kv->config.n_ctx);
    if (n == 0)
        return JL_OK;
    /* first, so that a failure half way leaves no page without an owner */
    if (s->length + n > s->n_reserved)
        s->n_reserved = s->length + n;
    for (int g = 0; g < JL_KV_GROUPS; g++)
        for (uint32_t b = (uint32_t)(s->length / JL_KV_PAGE);
             b <= (uint32_t)((s->length + n - 1) / JL_KV_PAGE); b++)
            if (!own_page(kv, seq, g, b))
                return jl_fail(err, JL_TOO_LARGE,
                               "no free KV page of %u: all sequences together "
                               "exceed the room; clear one or raise the total context",
                               kv->groups[g].n_pages);
    return JL_OK;
}

/* Releases the window pages that no token at or after `keep_from` can see. */
static void drop_old(jl_kv *kv, int32_t seq)
{
    kv_seq *s = &kv->seqs[seq];
    kv_group *g = &kv->groups[JL_KV_SWA];
    const size_t reach = (size_t)kv->m->hp.n_swa + kept_tokens(&kv->config);
    const uint32_t keep = s->length > reach ? (uint32_t)((s->length - reach) / JL_KV_PAGE) : 0;

    if (kv->m->hp.n_swa == 0) /* no layer has a window: the group's pages have no cells */
        return;
    for (; s->first_block[JL_KV_SWA] < keep; s->first_block[JL_KV_SWA]++)
        page_release(g, &table_of(kv, seq, JL_KV_SWA)[s->first_block[JL_KV_SWA]]);
}

void jl_kv_commit(jl_kv *kv, int32_t seq, size_t n)
{
    kv->seqs[seq].length += n;
    drop_old(kv, seq);
}

size_t jl_kv_length(const jl_kv *kv, int32_t seq)
{
    return kv->seqs[seq].length;
}

size_t jl_kv_min_length(const jl_kv *kv, int32_t seq)
{
    const kv_seq *s = &kv->seqs[seq];
    const uint32_t first = s->first_block[JL_KV_SWA];

    /* the next token at position n sees n - window + 1 and later */
    return first == 0 ? 0 : (size_t)first * JL_KV_PAGE + kv->m->hp.n_swa - 1;
}

jl_status jl_kv_truncate(jl_kv *kv, int32_t seq, size_t n, jl_error *err)
{
    kv_seq *s = &kv->seqs[seq];

    if (n == s->length)
        return JL_OK;
    if (n > s->length)
        return jl_fail(err, JL_INVALID, "cannot cut sequence %d to %zu tokens: it holds %zu", seq,
                       n, s->length);
    if (n == 0) {
        jl_kv_clear(kv, seq);
        return JL_OK;
    }
    if (n < jl_kv_min_length(kv, seq))
        return jl_fail(err, JL_INVALID,
                       "cannot cut sequence %d to %zu tokens: the sliding-window "
                       "layers hold enough for %zu or more",
                       seq, n, jl_kv_min_length(kv, seq));
    for (int g = 0; g < JL_KV_GROUPS; g++)
        for (uint32_t b = blocks_of(n); b < blocks_of(s->n_reserved); b++)
            page_release(&kv->groups[g], &table_of(kv, seq, g)[b]);
    s->length = n;
    s->n_reserved = n;
    return JL_OK;
}

jl_status jl_kv_fork(jl_kv *kv, int32_t src, int32_t dst, size_t n, jl_error *err)
{
    kv_seq *from = &kv->seqs[src];
    kv_seq *to = &kv->seqs[dst];

    if (src == dst || to->n_reserved != 0)
        return jl_fail(err, JL_INVALID, "cannot fork sequence %d into %d: it is not empty", src,
                       dst);
    if (n > from->length || n < jl_kv_min_length(kv, src))
        return jl_fail(err, JL_INVALID,
                       "cannot fork sequence %d at %zu tokens: it can be forked at "
                       "%zu to %zu",
                       src, n, jl_kv_min_length(kv, src), from->length);
    for (int g = 0; g < JL_KV_GROUPS; g++) {
        to->first_block[g] = from->first_block[g];
        for (uint32_t b = from->first_block[g]; b < blocks_of(n); b++) {
            const int32_t page = table_of(kv, src, g)[b];
            table_of(kv, dst, g)[b] = page;
            kv->groups[g].refs[page]++;
        }
    }
    to->length = n;
    to->n_reserved = n;
    return JL_OK;
}

void jl_kv_clear(jl_kv *kv, int32_t seq)
{
    kv_seq *s = &kv->seqs[seq];

    for (int g = 0; g < JL_KV_GROUPS; g++)
        for (uint32_t b = s->first_block[g]; b < blocks_of(s->n_reserved); b++)
            page_release(&kv->groups[g], &table_of(kv, seq, g)[b]);
    *s = (kv_seq){0};
}

/* ---- blocks that come and go whole ------------------------------------------------------ */

static bool layer_in(const jl_kv *kv, uint32_t il, int g)
{
    return owns_cells(kv->m, il) && (kv->m->layers[il].is_swa ? JL_KV_SWA : JL_KV_GLOBAL) == g;
}

uint64_t jl_kv_block_bytes(const jl_kv *kv, int g)
{
    uint64_t total = 0;

    for (uint32_t il = 0; il < kv->m->hp.n_layer; il++)
        if (layer_in(kv, il, g))
            total += kv->layers[il].page_bytes;
    return total;
}

uint64_t jl_kv_used_bytes(const jl_kv *kv)
{
    uint64_t total = 0;

    for (int g = 0; g < JL_KV_GROUPS; g++)
        total += jl_kv_block_bytes(kv, g) * (kv->groups[g].n_pages - kv->groups[g].n_free);
    return total;
}

bool jl_kv_has_block(const jl_kv *kv, int32_t seq, int g, uint32_t block)
{
    return ((size_t)block + 1) * JL_KV_PAGE <= kv->seqs[seq].length &&
           table_of(kv, seq, g)[block] >= 0;
}

jl_status jl_kv_get_block(const jl_kv *kv, int32_t seq, int g, uint32_t block, uint8_t *out,
                          jl_error *err)
{
    const uint64_t page = (uint64_t)table_of(kv, seq, g)[block];

    for (uint32_t il = 0; il < kv->m->hp.n_layer; il++) {
        const jl_kv_layer *l = &kv->layers[il];
        if (!layer_in(kv, il, g))
            continue;
        JL_TRY(kv->be->ops->read(kv->cells, l->offset + page * l->page_bytes, out, l->page_bytes,
                                 err));
        out += l->page_bytes;
    }
    return JL_OK;
}

jl_status jl_kv_put_block(jl_kv *kv, int32_t seq, int g, uint32_t block, const uint8_t *data,
                          jl_error *err)
{
    kv_seq *s = &kv->seqs[seq];
    const size_t end = ((size_t)block + 1) * JL_KV_PAGE;

    if (s->length != 0 || (s->n_reserved != 0 && !s->building))
        return jl_fail(err, JL_INVALID, "sequence %d is not empty", seq);
    if (end > kv->config.n_ctx)
        return jl_fail(err, JL_INVALID, "block %u lies behind the context of %u tokens", block,
                       kv->config.n_ctx);
    s->building = true;
    if (end > s->n_reserved)
        s->n_reserved = end;
    if (!own_page(kv, seq, g, block))
        return jl_fail(err, JL_TOO_LARGE, "no free KV page of %u", kv->groups[g].n_pages);
    const uint64_t page = (uint64_t)table_of(kv, seq, g)[block];
    for (uint32_t il = 0; il < kv->m->hp.n_layer; il++) {
        const jl_kv_layer *l = &kv->layers[il];
        if (!layer_in(kv, il, g))
            continue;
        JL_TRY(kv->be->ops->write(kv->cells, l->offset + page * l->page_bytes, data, l->page_bytes,
                                  err));
        data += l->page_bytes;
    }
    return JL_OK;
}

uint32_t jl_kv_first_window_block(const jl_kv *kv, size_t n)
{
    const size_t window = kv->m->hp.n_swa;

    return n < window ? 0 : (uint32_t)((n - window + 1) / JL_KV_PAGE);
}

jl_status jl_kv_put_done(jl_kv *kv, int32_t seq, size_t n, jl_error *err)
{
    kv_seq *s = &kv->seqs[seq];
    const uint32_t first[JL_KV_GROUPS] = {0, jl_kv_first_window_block(kv, n)};

    if (!s->building || n == 0 || n % JL_KV_PAGE != 0 || n != s->n_reserved)
        return jl_fail(err, JL_INVALID, "%zu tokens are not what was put into sequence %d", n, seq);
    for (int g = 0; g < JL_KV_GROUPS; g++) {
        const bool no_layers = jl_kv_block_bytes(kv, g) == 0; /* then nobody puts its pages */
        int32_t *table = table_of(kv, seq, g);
        for (uint32_t b = 0; b < first[g]; b++)
            page_release(&kv->groups[g], &table[b]);
        for (uint32_t b = first[g]; b < n / JL_KV_PAGE; b++)
            if (table[b] < 0 && !(no_layers && own_page(kv, seq, g, b)))
                return jl_fail(err, JL_INVALID, "block %u of sequence %d is missing", b, seq);
    }
    s->building = false;
    s->length = n;
    s->first_block[JL_KV_SWA] = first[JL_KV_SWA];
    return JL_OK;
}

const int32_t *jl_kv_pages(const jl_kv *kv, int32_t seq, int group)
{
    return table_of(kv, seq, group);
}

const jl_kv_layer *jl_kv_layer_of(const jl_kv *kv, uint32_t layer)
{
    return &kv->layers[layer];
}

uint32_t jl_kv_n_free(const jl_kv *kv, int group)
{
    return kv->groups[group].n_free;
}
