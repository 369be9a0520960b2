/* A tiny model and sessions of it, for the tests of the server's engine side. */
#ifndef JL_TESTS_SERVER_TINY_H
#define JL_TESTS_SERVER_TINY_H

#include "joule/joule.h"

typedef struct {
    jl_model *model;
    int32_t tokens[512]; /* of the golden case */
    size_t n_tokens;
    uint32_t n_vocab;
} tiny;

/* Makes the model file in work_folder. Ends the test on failure. */
void tiny_open(tiny *t, const char *golden_folder, const char *work_folder);
void tiny_close(tiny *t);
jl_session *tiny_session(const tiny *t, jl_session_params params);
/* What a session of its own generates after the prompt; n tokens into out. */
void tiny_solo(const tiny *t, const int32_t *prompt, size_t n_prompt, uint64_t seed, int32_t *out,
               size_t n);
jl_sampler *tiny_sampler(const tiny *t, uint64_t seed);

#endif
