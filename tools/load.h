/* Opening the model that the options name, and reading texts and token lists. */
#ifndef JL_TOOLS_LOAD_H
#define JL_TOOLS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joule/joule.h"
#include "opt.h"

typedef enum { LOAD_WEIGHTS, LOAD_VOCAB } load_what;

/* Opens the file of -m, or the bundled model and says so on stderr. path (may be NULL: -m) wins. */
JL_MUST_CHECK jl_status load_model(const opts *o, const char *path, load_what what, jl_model **out,
                                   jl_error *err);

/* Session parameters from -c -t -ub -ctk -ctv --cpu-mask. */
void load_session_params(const opts *o, jl_session_params *out);

/* Whether sessions of these options compute on a GPU (and not on the CPU in its place). */
bool load_uses_gpu(const opts *o);

/* JL_UNSUPPORTED: -ngl asks for some of the model's layers, and all or none can be on the GPU. */
JL_MUST_CHECK jl_status load_check_layers(const opts *o, const jl_model *model, jl_error *err);
/* Whether the host has the memory, or is told to do without. A GPU's own memory is checked when the
 * session is made. */
bool load_memory_is_enough(const opts *o, const jl_memory *need, uint64_t free_bytes);
/* -ngl as above, then the need of a session against the memory that is free: JL_NO_MEMORY with the
 * shortfall and the flag that would make it fit. */
JL_MUST_CHECK jl_status load_check_memory(const opts *o, const jl_model *model,
                                          const jl_session_params *params, jl_error *err);

/* Input text: -p, else -f, else stdin. *text is freed with jl_free. */
JL_MUST_CHECK jl_status load_text(const opts *o, char **text, size_t *len, jl_error *err);

typedef struct {
    int32_t *ids; /* owned, jl_free */
    size_t n;
} token_list;

/* Tokens of a text. */
JL_MUST_CHECK jl_status load_tokenize(const jl_model *model, const char *text, size_t len,
                                      unsigned flags, token_list *out, jl_error *err);
/* Tokens of the input text, as load_text finds it. */
JL_MUST_CHECK jl_status load_text_tokens(const opts *o, const jl_model *model, unsigned flags,
                                         token_list *out, jl_error *err);
/* Ids from "[1, 2, 3]", "1,2,3" or "1 2 3"; each must be below n_vocab. */
JL_MUST_CHECK jl_status load_ids(const char *text, size_t len, uint32_t n_vocab, token_list *out,
                                 jl_error *err);

/* Fills *err and returns the status; the text is cut to fit. */
jl_status tool_error(jl_error *err, jl_status status, const char *fmt, ...) JL_PRINTF(3, 4);

#endif
