/* joule: open a model, run sequences of tokens through it, sample. The whole public API of the
 * engine; chat.h beside it renders conversations and parses replies.
 *
 * Objects are opaque and thread-compatible: one thread at a time per object, except where a
 * function says otherwise. Every fallible function returns a jl_status, fills *err when err is not
 * NULL, and on failure leaves its outputs untouched. Parameter structs are zero-initialisable:
 * 0 means "default". */
#ifndef JL_JOULE_JOULE_H
#define JL_JOULE_JOULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joule/status.h"
#include "joule/version.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jl_model jl_model;
typedef struct jl_session jl_session;
typedef struct jl_sampler jl_sampler;
typedef struct jl_detok jl_detok;

/* ---- model ------------------------------------------------------------------------------ */

typedef struct {
    uint32_t struct_size; /* sizeof(jl_model_params) */
    bool vocab_only;      /* read metadata and tokenizer, skip the weights */
    bool prefault;        /* touch every page of the weights before returning */
    bool mlock;           /* lock the weights in memory */
    /* Called while loading with the share done, 0..1; return false to stop (JL_CANCELLED). */
    bool (*progress)(void *ctx, float done);
    void *progress_ctx;
    /* Weights that have a faster layout are brought into it once, and mapped from a folder from
     * then on: joule/repack.h. NULL: they are used as they are. */
    const struct jl_repack_params *repack;
} jl_model_params;

/* What a person wants to know of a model. Strings live as long as the model. */
typedef struct {
    const char *architecture;  /* "gemma4" */
    const char *name;          /* general.name, "" if absent */
    const char *variant;       /* "26B-A4B", "E4B", ..., "" if unknown */
    const char *chat_template; /* tokenizer.chat_template, NULL if absent */
    uint32_t n_layer, n_embd, n_vocab;
    uint32_t n_ctx_train; /* tokens */
    uint32_t n_expert, n_expert_used;
    uint32_t n_tensors;
    uint64_t n_params;               /* all parameters */
    uint64_t n_params_active;        /* parameters used for one token, LM head included */
    uint64_t file_bytes;             /* all parts of the file */
    uint64_t bytes_per_token;        /* weight bytes read to decode one token at batch 1 */
    int32_t bos, eos;                /* token ids, -1 if absent */
    float temperature, top_p, min_p; /* general.sampling.*, NAN if absent */
    int32_t top_k;                   /* general.sampling.top_k, -1 if absent */
} jl_model_info;

/* Opens a GGUF file (the first part of a split one). The weights are mapped, not read. Checks
 * every count, offset, shape and type before use. params may be NULL. */
JL_API JL_MUST_CHECK jl_status jl_model_open(const char *path, const jl_model_params *params,
                                             jl_model **out, jl_error *err);
JL_API void jl_model_close(jl_model *model); /* NULL is fine; close its sessions first */
JL_API void jl_model_get_info(const jl_model *model, jl_model_info *info);

/* Bytes and tensors by group, for `inspect`: fills at most cap rows, returns how many there are. */
typedef struct {
    const char *group; /* "token_embd", "attention", "ffn dense", "experts", "router", "norms" */
    const char *type;  /* "Q8_0" */
    uint32_t n_tensors;
    uint64_t n_params;
    uint64_t bytes;
} jl_model_group;
JL_API size_t jl_model_groups(const jl_model *model, jl_model_group *rows, size_t cap);

/* ---- tokens ----------------------------------------------------------------------------- */

enum {
    JL_TOKENIZE_BOS = 1,     /* put the beginning-of-sequence token first, unless already there */
    JL_TOKENIZE_SPECIAL = 2, /* parse special tokens in the text; never set it for user text */
};

/* Number of tokens of a text; writes at most cap ids to tokens (NULL allowed with cap 0). The text
 * is any bytes, invalid UTF-8 included (falls back to byte tokens). Returns SIZE_MAX if memory
 * runs out. Thread-safe. */
JL_API size_t jl_tokenize(const jl_model *model, const char *text, size_t text_len, unsigned flags,
                          int32_t *tokens, size_t cap);

/* Incremental detokeniser: never hands out a broken UTF-8 sequence. */
JL_API JL_MUST_CHECK jl_status jl_detok_create(const jl_model *model, bool show_special,
                                               jl_detok **out, jl_error *err);
JL_API void jl_detok_destroy(jl_detok *detok);
/* Appends a token; returns the bytes that are complete now (valid until the next call; NUL after
 * the end; *len is their number). A token out of range adds nothing. */
JL_API const char *jl_detok_push(jl_detok *detok, int32_t token, size_t *len);
/* Returns what is left, incomplete UTF-8 replaced by U+FFFD, and resets. */
JL_API const char *jl_detok_flush(jl_detok *detok, size_t *len);

/* Text of a token as stored in the vocabulary: *len bytes, not NUL-terminated, the model's. Out of
 * range: "" and 0. */
JL_API const char *jl_token_text(const jl_model *model, int32_t token, size_t *len);
/* Id of a special token by its text, -1 if the vocabulary has none. */
JL_API int32_t jl_token_find(const jl_model *model, const char *text);
/* Whether the token ends a generation (<eos>, <turn|>, <|tool_response> for Gemma 4). */
JL_API bool jl_token_is_eog(const jl_model *model, int32_t token);
JL_API bool jl_token_is_special(const jl_model *model, int32_t token);

/* ---- session ---------------------------------------------------------------------------- */

typedef enum { JL_KV_F16 = 0, JL_KV_F32, JL_KV_Q8_0 } jl_kv_type;

/* Which cores threads are put on, where a machine has several kinds (fast and thrifty ones). Tokens
 * do not depend on it. The thread that evaluates is bound, too. */
typedef enum {
    JL_PLACEMENT_BALANCED = 0, /* fast cores */
    JL_PLACEMENT_PERFORMANCE,  /* prefill on all cores, decode on the fast ones */
    JL_PLACEMENT_EFFICIENCY    /* thrifty cores; half of the cores where all are alike */
} jl_placement;

typedef struct {
    uint32_t struct_size;  /* sizeof(jl_session_params) */
    uint32_t n_ctx;        /* tokens of one sequence; 0: the model's, at most 8192 */
    uint32_t n_ctx_total;  /* tokens of all sequences together; 0: n_ctx * n_seq_max */
    uint32_t n_seq_max;    /* sequences that exist at once; 0: 1 */
    uint32_t n_swa_total;  /* tokens that sliding-window layers hold for all sequences together
                            * (forks  share them); 0: enough for n_seq_max unrelated sequences */
    uint32_t n_ubatch;     /* tokens computed together; 0: 512, or with experts and enough free
                            * memory up to 2048 */
    uint32_t n_threads;    /* 0: one per physical core of the placement's */
    uint32_t n_logits_max; /* rows of logits kept per call; 0: n_seq_max */
    jl_kv_type type_k, type_v;
    const char *cpu_mask; /* highest instruction set used: "scalar", "avx2", ...; NULL: best */
    jl_placement placement;
    /* Called between layers and micro-batches with tokens done of this call. Must be quick. */
    void (*progress)(void *ctx, size_t n_done, size_t n_total);
    void *progress_ctx;
    uint32_t n_beside; /* tokens jl_session_eval_beside takes at once; 0: it is not used */
    /* Where everything is computed: "cpu" (also NULL), "vulkan" for the best GPU, "vulkan0",
     * "vulkan1", ... JL_UNSUPPORTED if it is not there: see jl_device_find. */
    const char *device;
    /* Folder that shaders compiled by a GPU's driver are kept in; made if it is missing. NULL: they
     * are compiled each time. What cannot be read or written there is no error. */
    const char *shader_cache;
    /* Called while weights are copied to a GPU with the share done, 0..1; false stops with
     * JL_CANCELLED. */
    bool (*upload)(void *ctx, float done);
    void *upload_ctx;
} jl_session_params;

/* A device that can compute. */
typedef struct {
    char text[320]; /* its description, one line */
    bool gpu;       /* false: the CPU works, also where it plays the part of a GPU */
} jl_device_info;

/* Whether a device can be used, by its name as in jl_session_params. JL_UNSUPPORTED with the reason
 * if it is not there, or joule was built without its backend; JL_INVALID: no such name. */
JL_API JL_MUST_CHECK jl_status jl_device_find(const char *name, jl_device_info *out, jl_error *err);

/* Memory a session needs, in bytes, known before anything is allocated. */
typedef struct {
    uint64_t weights; /* mapped file */
    uint64_t kv;      /* KV cache at full context */
    uint64_t compute; /* activations and scratch */
    uint64_t logits;
    uint64_t other; /* tables, page lists */
    uint64_t total;
    uint64_t device; /* of the total: in the memory of a GPU; 0 on the CPU */
} jl_memory;

JL_API JL_MUST_CHECK jl_status jl_session_measure(const jl_model *model,
                                                  const jl_session_params *params, jl_memory *out,
                                                  jl_error *err);
JL_API JL_MUST_CHECK jl_status jl_session_create(jl_model *model, const jl_session_params *params,
                                                 jl_session **out, jl_error *err);
JL_API void jl_session_destroy(jl_session *session);
JL_API uint32_t jl_session_n_ctx(const jl_session *session);
JL_API uint32_t jl_session_n_threads(const jl_session *session);

/* A piece of one sequence, appended to it. Pieces of several sequences share one call. */
typedef struct {
    int32_t seq;           /* 0 .. n_seq_max-1 */
    const int32_t *tokens; /* [n_tokens], caller's */
    size_t n_tokens;       /* >= 1 */
    bool no_logits;        /* this piece's last token needs no logits */
} jl_piece;

/* Runs the pieces. The logits of a token depend on its sequence's tokens alone: not on how they
 * were cut into pieces, batched with others, threaded or cached. Each sequence has at most one
 * piece in a call. On JL_CANCELLED or any failure the sequences keep the tokens of the
 * micro-batches that were finished: jl_seq_length says how many. */
JL_API JL_MUST_CHECK jl_status jl_session_eval(jl_session *session, const jl_piece *pieces,
                                               size_t n_pieces, jl_error *err);

/* Logits of the last token of piece i of the last successful eval: [n_vocab], F32, session's;
 * tokens that the model must not produce (tokenizer.ggml.suppress_tokens, image and audio marks)
 * are -inf; valid until the next eval. NULL if that piece asked for none. */
JL_API const float *jl_session_logits(const jl_session *session, size_t piece);

/* As eval of one piece, but hands over the logits of every token in order ; computes
 * n_logits_max rows at once. */
typedef void jl_logits_fn(void *ctx, size_t index, const float *logits);
JL_API JL_MUST_CHECK jl_status jl_session_eval_all(jl_session *session, const jl_piece *piece,
                                                   jl_logits_fn *fn, void *ctx, jl_error *err);

/* Asks a running eval to stop; takes effect within one layer. Any thread. */
JL_API void jl_session_cancel(jl_session *session);
/* Whether that was asked for since the last eval began; for pace functions. Any thread. */
JL_API bool jl_session_is_cancelled(const jl_session *session);

/* Sequences. All are empty at first. */
JL_API size_t jl_seq_length(const jl_session *session, int32_t seq); /* tokens */
/* Cuts a sequence to n_tokens. Sliding-window layers keep the window of the newest tokens, so a cut
 * reaches back only while those blocks are still held: JL_INVALID says how far it could go. */
JL_API JL_MUST_CHECK jl_status jl_seq_truncate(jl_session *session, int32_t seq, size_t n_tokens,
                                               jl_error *err);
/* Makes dst share the first n_tokens of src (blocks, not copies). dst must be empty. */
JL_API JL_MUST_CHECK jl_status jl_seq_fork(jl_session *session, int32_t src, int32_t dst,
                                           size_t n_tokens, jl_error *err);
JL_API void jl_seq_clear(jl_session *session, int32_t seq);
/* Shortest length the sequence can be truncated to (or forked at) now; 0 unless blocks were
 * dropped. */
JL_API size_t jl_seq_min_length(const jl_session *session, int32_t seq);

/* ---- stored sequences -------------------------------------------------------------------
 * A sequence can be stored elsewhere and brought back, in blocks of 64 tokens at positions that are
 * multiples of 64. A block of global layers is needed for every 64 tokens, a block of window layers
 * for those that the window still reaches. The same tokens give the same bytes, as long as the
 * model, JL_NUMERICS_VERSION and jl_session_arithmetic are the same. */
enum { JL_BLOCK_TOKENS = 64 };
typedef enum { JL_BLOCK_GLOBAL = 0, JL_BLOCK_WINDOW, JL_BLOCK_KINDS } jl_block_kind;

/* Bytes of one block; 0: the model has no such layers. */
JL_API uint64_t jl_session_block_bytes(const jl_session *session, jl_block_kind kind);
/* First block of window layers that a sequence of n_tokens needs to go on. */
JL_API size_t jl_session_first_window_block(const jl_session *session, size_t n_tokens);
/* Whether the sequence holds all tokens of that block, and its cells. */
JL_API bool jl_seq_has_block(const jl_session *session, int32_t seq, jl_block_kind kind,
                             size_t block);
/* Copies a block that the sequence has to out [jl_session_block_bytes]. */
JL_API JL_MUST_CHECK jl_status jl_seq_get_block(const jl_session *session, int32_t seq,
                                                jl_block_kind kind, size_t block, void *out,
                                                jl_error *err);
/* Puts a block into an empty sequence, in any order; jl_seq_put_done makes a sequence of n_tokens,
 * a multiple of 64, of them, jl_seq_clear gives up. JL_TOO_LARGE: no page is free. Until then the
 * sequence counts as empty and cannot be evaluated. */
JL_API JL_MUST_CHECK jl_status jl_seq_put_block(jl_session *session, int32_t seq,
                                                jl_block_kind kind, size_t block, const void *data,
                                                jl_error *err);
JL_API JL_MUST_CHECK jl_status jl_seq_put_done(jl_session *session, int32_t seq, size_t n_tokens,
                                               jl_error *err);
/* What the bits of stored blocks depend on besides the model and JL_NUMERICS_VERSION: instruction
 * set and types of the cache, as one line; returns the length. */
JL_API size_t jl_session_arithmetic(const jl_session *session, char *text, size_t cap);
/* Bytes of the KV cache in use by all sequences; what they share is counted once. */
JL_API uint64_t jl_session_kv_used(const jl_session *session);
/* Tells models apart: hash of metadata, tensor list, samples of every tensor, and sizes and times
 * of modification of the files. Reads some megabytes of the file. */
JL_API void jl_model_fingerprint(const jl_model *model, uint64_t out[2]);

/* Observer of the hidden state after each layer, for tests: layer -1 is the scaled embedding,
 * n_layer the final norm (only of tokens that want logits). x is [n_tokens][n_embd]. */
typedef void jl_layer_fn(void *ctx, int layer, const float *x, size_t n_tokens);
JL_API void jl_session_observe(jl_session *session, jl_layer_fn *fn, void *ctx);

/* What a session may use at present; 0 leaves a value as it is. Nothing here changes a token. */
typedef enum {
    JL_PLACE_KEEP = 0, /* as it is */
    JL_PLACE_ANY,      /* all processors of this process */
    JL_PLACE_FAST,     /* fast cores only, where there are two kinds */
    JL_PLACE_THRIFTY   /* thrifty cores only */
} jl_place;
typedef struct {
    uint32_t n_threads; /* at most what the session was made with */
    uint32_t n_ubatch;  /* tokens computed together, likewise */
    jl_place place;
} jl_session_use;
/* Between evals, or from the pace function; the micro-batch takes effect with the next one. */
JL_API void jl_session_set_use(jl_session *session, const jl_session_use *use);

/* Where a running eval is when it calls the pace function, on its own thread and outside of any
 * work that is shared by threads. The function may sleep (briefly: a cancelled eval returns after
 * it) and may call jl_session_set_use. */
typedef enum { JL_PACE_BEGIN, JL_PACE_LAYER, JL_PACE_END, JL_PACE_BESIDE } jl_pace_where;
typedef struct {
    jl_pace_where where; /* a micro-batch begins, finished a layer, ended; BESIDE: another one was
                          * computed whole while the first paused */
    uint32_t n_prompt;   /* its tokens of pieces longer than one token */
    uint32_t n_decode;   /* its tokens that continue a sequence one by one */
} jl_pace_point;
typedef void jl_pace_fn(void *ctx, jl_session *session, const jl_pace_point *at);
JL_API void jl_session_set_pace(jl_session *session, jl_pace_fn *fn, void *ctx); /* NULL: none */

/* Called between the layers of an eval, on its thread: a long eval pauses, so that others need not
 * wait for its end. The function may call jl_session_eval_beside, jl_session_logits, and what works
 * on sequences other than those of the eval. NULL: none. */
typedef void jl_between_fn(void *ctx, jl_session *session);
JL_API void jl_session_set_between(jl_session *session, jl_between_fn *fn, void *ctx);
/* As jl_session_eval, for other sequences than those of the eval that pauses; n_beside pieces at
 * most. jl_session_cancel does not reach it. JL_INVALID outside of a between function. */
JL_API JL_MUST_CHECK jl_status jl_session_eval_beside(jl_session *session, const jl_piece *pieces,
                                                      size_t n_pieces, jl_error *err);

/* One line about the device and the kernels in use; returns the length. */
JL_API size_t jl_session_describe(const jl_session *session, char *text, size_t cap);

/* Hardware and choices, for `doctor`: a NUL-terminated, multi-line text, "key: value" per line. */
JL_API size_t jl_describe_machine(char *text, size_t cap);

/* ---- sampling --------------------------------------------------------------------------- */

typedef struct {
    int32_t token;
    float bias; /* added to the logit; -INFINITY forbids */
} jl_logit_bias;

/* The sampler chain, in this order: logit bias, repetition/presence/frequency penalties, DRY,
 * top-k, typical, top-p, min-p, temperature, draw. Fields as in llama.cpp. jl_sampler_defaults
 * fills them. */
typedef struct {
    uint32_t struct_size;
    float temperature;                                         /* 0: greedy */
    int32_t top_k;                                             /* <= 0: off */
    float top_p;                                               /* 1: off */
    float min_p;                                               /* 0: off */
    float typical_p;                                           /* 1: off */
    float repeat_penalty, presence_penalty, frequency_penalty; /* 1, 0, 0: off */
    int32_t repeat_last_n;          /* tokens looked back; -1: all, 0: off */
    float dry_multiplier, dry_base; /* multiplier 0: off */
    int32_t dry_allowed_length, dry_penalty_last_n;
    uint64_t seed;
    const jl_logit_bias *logit_bias; /* [n_logit_bias], copied */
    size_t n_logit_bias;
} jl_sampler_params;

/* Defaults: the file's general.sampling.*, else temperature 1, top_k 64, top_p 0.95. */
JL_API void jl_sampler_defaults(const jl_model *model, jl_sampler_params *params);
JL_API JL_MUST_CHECK jl_status jl_sampler_create(const jl_model *model,
                                                 const jl_sampler_params *params, jl_sampler **out,
                                                 jl_error *err);
JL_API void jl_sampler_destroy(jl_sampler *sampler);
/* Picks a token from logits [n_vocab]. Does not allocate. allowed may be NULL, or a bitmap of
 * n_vocab bits; tokens with a 0 bit cannot be picked (constrained decoding). */
JL_API int32_t jl_sampler_pick(jl_sampler *sampler, const float *logits, const uint32_t *allowed);
/* Records a token that entered the context (prompt or generated). */
JL_API void jl_sampler_accept(jl_sampler *sampler, int32_t token);
JL_API void jl_sampler_reset(jl_sampler *sampler);

#ifdef __cplusplus
}
#endif
#endif
