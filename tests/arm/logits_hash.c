/* Hash of the logits of 24 tokens, for comparing instruction sets, processors, thread counts and
 * batches: logits_hash MODEL THREADS PIECE [MASK...]. Prints "MODEL MASK THREADS PIECE HASH" for
 * every mask ("best" if none is given); a mask the processor lacks is named and skipped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "joule/joule.h"

enum { N_TOKENS = 24 };

typedef struct {
    uint64_t hash;
    size_t n_vocab;
} hasher;

static void on_logits(void *ctx, size_t index, const float *logits)
{
    hasher *h = ctx;

    (void)index;
    for (size_t i = 0; i < h->n_vocab; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        h->hash = (h->hash ^ bits) * 0x100000001b3u;
    }
}

static jl_status run(jl_model *model, uint32_t threads, size_t piece, const char *mask,
                     hasher *out, char *kernels, size_t cap, jl_error *err)
{
    const jl_session_params params = {.struct_size = sizeof params,
                                      .n_ctx = 64,
                                      .n_threads = threads,
                                      .n_logits_max = N_TOKENS,
                                      .cpu_mask = mask};
    jl_model_info info;
    jl_session *session;
    int32_t tokens[N_TOKENS];

    jl_model_get_info(model, &info);
    *out = (hasher){0xcbf29ce484222325u, info.n_vocab};
    for (int i = 0; i < N_TOKENS; i++)
        tokens[i] = (int32_t)((i * 7919 + 13) % info.n_vocab);
    jl_status s = jl_session_create(model, &params, &session, err);
    if (s != JL_OK)
        return s;
    jl_session_describe(session, kernels, cap);
    for (size_t i = 0; i < N_TOKENS && s == JL_OK; i += piece) {
        const size_t n = N_TOKENS - i < piece ? N_TOKENS - i : piece;
        const jl_piece p = {.tokens = tokens + i, .n_tokens = n};
        s = jl_session_eval_all(session, &p, on_logits, out, err);
    }
    jl_session_destroy(session);
    return s;
}

int main(int argc, char **argv)
{
    const jl_model_params params = {.struct_size = sizeof params};
    jl_model *model;
    jl_error err;

    if (argc < 4) {
        fprintf(stderr, "usage: logits_hash MODEL THREADS PIECE [MASK...]\n");
        return 2;
    }
    if (jl_model_open(argv[1], &params, &model, &err) != JL_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    for (int i = 4; i < argc || i == 4; i++) {
        const char *mask = i < argc ? argv[i] : NULL;
        char kernels[256];
        hasher h;
        if (run(model, (uint32_t)atoi(argv[2]), (size_t)atoi(argv[3]), mask, &h, kernels,
                sizeof kernels, &err) != JL_OK) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        printf("%s %s threads %s pieces %s [%s]: %016llx\n", argv[1], mask ? mask : "best", argv[2],
               argv[3], kernels, (unsigned long long)h.hash);
        fflush(stdout);
    }
    jl_model_close(model);
    return 0;
}
