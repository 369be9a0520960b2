/* The golden models that are written as Hugging Face checkpoints. */
#ifndef JL_TESTS_CHECKPOINT_CASE_H
#define JL_TESTS_CHECKPOINT_CASE_H

#include "checkpoint.h"
#include "golden.h"

/* One checkpoint: SCRATCH/checkpoint-NAME, the model it was made of, and names for results. */
typedef struct {
    golden_case c;
    jl_gguf *model;
    char folder[512], model_path[512], out[512], config[2048];
    checkpoint_plan plan;
} checkpoint_case;

/* Writes the checkpoint of a golden case: llama3, mistral, e2b or 26b-a4b. */
void checkpoint_case_open(checkpoint_case *s, const char *data, const char *scratch,
                          const char *name, checkpoint_awq awq);
/* Lets go of the case; the checkpoint stays. */
void checkpoint_case_forget(checkpoint_case *s);
/* The same, and removes the checkpoint and what was made of it. */
void checkpoint_case_close(checkpoint_case *s);

#endif
