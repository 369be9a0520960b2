/* The KV cache: pages of 64 tokens, counted references, one page table per sequence and group of
 * layers. A sequence is a list of pages; a fork shares them. Sliding-window layers (group SWA) drop
 * pages that no coming token can see. */
#ifndef JL_MODEL_KV_H
#define JL_MODEL_KV_H

#include "backend/backend.h"
#include "joule/joule.h"
#include "model/model.h"

enum { JL_KV_PAGE = 64 };
enum { JL_KV_GLOBAL = 0, JL_KV_SWA = 1, JL_KV_GROUPS = 2 };

typedef struct jl_kv jl_kv;

typedef struct {
    uint32_t n_ctx;       /* tokens of one sequence */
    uint32_t n_ctx_total; /* tokens of all sequences */
    uint32_t n_swa_total; /* tokens of all sequences in window layers; 0: for n_seq_max of them */
    uint32_t n_seq_max;
    uint32_t n_ubatch;
    jl_kv_type type_k, type_v;
} jl_kv_config;

/* Bytes of cells and of tables; the need is known before anything is allocated. */
typedef struct {
    uint64_t cells, tables;
} jl_kv_need;

/* Bytes of n values, a multiple of 32, in cells of a type. */
uint64_t jl_kv_row_bytes(jl_kv_type type, uint64_t n);
JL_MUST_CHECK jl_status jl_kv_measure(const jl_model *m, const jl_kv_config *config,
                                      jl_kv_need *out, jl_error *err);
JL_MUST_CHECK jl_status jl_kv_create(const jl_model *m, jl_backend *be, const jl_kv_config *config,
                                     jl_kv **out, jl_error *err);
void jl_kv_destroy(jl_kv *kv);

size_t jl_kv_length(const jl_kv *kv, int32_t seq);
size_t jl_kv_min_length(const jl_kv *kv, int32_t seq); /* see jl_seq_min_length */
/* Makes room for n more tokens: own pages for every cell that will be written. JL_TOO_LARGE when
 * the context or the pages are used up (what was reserved stays with the sequence). */
JL_MUST_CHECK jl_status jl_kv_reserve(jl_kv *kv, int32_t seq, size_t n, jl_error *err);
/* The reserved tokens have been computed. Pages that fell out of the window are released. */
void jl_kv_commit(jl_kv *kv, int32_t seq, size_t n);
JL_MUST_CHECK jl_status jl_kv_truncate(jl_kv *kv, int32_t seq, size_t n, jl_error *err);
JL_MUST_CHECK jl_status jl_kv_fork(jl_kv *kv, int32_t src, int32_t dst, size_t n, jl_error *err);
void jl_kv_clear(jl_kv *kv, int32_t seq);

/* Whole blocks of 64 tokens, to store them elsewhere and bring them back: see joule.h. Waits
 * for the device. */
uint64_t jl_kv_block_bytes(const jl_kv *kv, int group); /* 0: no layer of this kind */
bool jl_kv_has_block(const jl_kv *kv, int32_t seq, int group, uint32_t block);
JL_MUST_CHECK jl_status jl_kv_get_block(const jl_kv *kv, int32_t seq, int group, uint32_t block,
                                        uint8_t *out, jl_error *err);
JL_MUST_CHECK jl_status jl_kv_put_block(jl_kv *kv, int32_t seq, int group, uint32_t block,
                                        const uint8_t *data, jl_error *err);
/* First block that window layers need to go on after n tokens. */
uint32_t jl_kv_first_window_block(const jl_kv *kv, size_t n);
JL_MUST_CHECK jl_status jl_kv_put_done(jl_kv *kv, int32_t seq, size_t n, jl_error *err);
/* Bytes of the pages in use, shared ones counted once. */
uint64_t jl_kv_used_bytes(const jl_kv *kv);

/* Page table of a sequence for the layers of a group: page id by block, -1 where none is held. */
const int32_t *jl_kv_pages(const jl_kv *kv, int32_t seq, int group);
/* Where the cells of a layer lie (of its donor, for layers that share). */
const jl_kv_layer *jl_kv_layer_of(const jl_kv *kv, uint32_t layer);
/* Free pages of a group, for tests and reports. */
uint32_t jl_kv_n_free(const jl_kv *kv, int group);

#endif
