/* Evaluating models: perplexity of a text, divergence from a reference model's saved logits, log
 * likelihood of given answers. Conventions are those of llama.cpp's perplexity tool, so that
 * figures and files of logits can be exchanged with it. */
#ifndef JL_JOULE_EVAL_H
#define JL_JOULE_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joule/joule.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A mean and its standard error. The error takes the tokens as independent, which those of one text
 * are not quite: take it as a lower bound. */
typedef struct {
    double value, error;
} jl_estimate;

/* A text, cut into chunks of n_ctx tokens that do not overlap; what is left over is not used. Each
 * chunk is a sequence of its own whose first token is replaced by BOS, and only its second half is
 * scored: every scored token has at least n_ctx / 2 tokens before it. */
typedef struct {
    uint32_t struct_size; /* sizeof(jl_eval_text) */
    const int32_t *tokens; /* [n_tokens], caller's */
    size_t n_tokens;
    uint32_t n_ctx;    /* tokens of a chunk, at least 4; 0: 512 */
    uint32_t n_chunks; /* at most; 0: all */
    /* Called with the chunks done, before the first and after each, and what was found so far (the
     * perplexity or the mean divergence; NAN at first). Return false to stop (JL_CANCELLED). */
    bool (*progress)(void *ctx, size_t done, size_t total, double so_far);
    void *progress_ctx;
} jl_eval_text;

typedef struct {
    size_t n_chunks, n_tokens; /* scored */
    jl_estimate nll;           /* mean negative log likelihood, nats per token */
    jl_estimate ppl;           /* perplexity, exp(nll) */
} jl_perplexity_result;

/* Runs the text through sequence 0 of the session, whose context must hold n_ctx tokens. save_path
 * (NULL: none) gets the logits of all scored positions: llama.cpp's format of a file for
 * --kl-divergence-base, log probabilities in 16 bits over a range of at most 16 nats. It appears
 * whole or not at all. JL_INVALID if the text is shorter than two chunks. */
JL_API JL_MUST_CHECK jl_status jl_perplexity(jl_session *session, const jl_eval_text *text,
                                             const char *save_path, jl_perplexity_result *out,
                                             jl_error *err);

/* Saved logits, read as they are needed. */
typedef struct jl_logits_file jl_logits_file;

/* Refused with a message: a file of another kind, one that is not complete. */
JL_API JL_MUST_CHECK jl_status jl_logits_file_open(const char *path, jl_logits_file **out,
                                                   jl_error *err);
JL_API void jl_logits_file_close(jl_logits_file *file); /* NULL is fine */
JL_API uint32_t jl_logits_file_n_ctx(const jl_logits_file *file);
JL_API uint32_t jl_logits_file_n_vocab(const jl_logits_file *file);
JL_API uint32_t jl_logits_file_n_chunks(const jl_logits_file *file);

typedef struct {
    size_t n_chunks, n_tokens;
    jl_estimate ppl, ppl_reference; /* of the same tokens */
    jl_estimate log_ratio;          /* ln(ppl / ppl_reference) */
    jl_estimate kl;                 /* KL(reference || model), nats per token: mean */
    jl_estimate kl_median, kl_p90, kl_p99, kl_p999; /* order statistics; error: half of the one
                                                     * standard deviation interval of their rank */
    double kl_max;
    jl_estimate top1;     /* share of positions with the same best token, 0..1 */
    jl_estimate delta_p;  /* probability of the right token, model minus reference: mean */
    jl_estimate rms_delta_p;
} jl_kl_result;

/* Runs the file's tokens (the first n_chunks chunks of text; 0: all) through sequence 0 of the
 * session and compares. The vocabularies must have the same size. Of text (NULL: defaults) only
 * n_chunks and progress count. Tokens that the reference holds for less likely than e^-16 are left
 * out of the divergence, and both distributions normalised over the others. */
JL_API JL_MUST_CHECK jl_status jl_kl(jl_session *session, jl_logits_file *reference,
                                     const jl_eval_text *text, jl_kl_result *out, jl_error *err);

/* Log likelihood of a continuation. */
typedef struct {
    double logprob; /* nats, sum over its tokens */
    size_t n_tokens;
    bool greedy; /* every token is the most probable one */
} jl_continuation;

/* Scores continuations of a common context: token lists, each at least one token. The session needs
 * two sequences; both are cleared. out: [n]. */
typedef struct {
    const int32_t *tokens;
    size_t n_tokens;
} jl_token_span;
JL_API JL_MUST_CHECK jl_status jl_score_continuations(jl_session *session, jl_token_span context,
                                                      const jl_token_span *continuations, size_t n,
                                                      jl_continuation *out, jl_error *err);

/* Continues a context greedily in sequence 0 until the model ends, cap tokens, or on_token returns
 * false. tokens: [cap], filled without the ending token; *n their number. */
JL_API JL_MUST_CHECK jl_status jl_generate_greedy(jl_session *session, jl_token_span context,
                                                  bool (*on_token)(void *ctx, int32_t token),
                                                  void *ctx, int32_t *tokens, size_t cap, size_t *n,
                                                  jl_error *err);

#ifdef __cplusplus
}
#endif
#endif
