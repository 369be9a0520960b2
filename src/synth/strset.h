/* A set of strings with numbers, for building vocabularies. Strings are not copied. */
#ifndef JL_SYNTH_STRSET_H
#define JL_SYNTH_STRSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gguf/gguf.h"

typedef struct {
    jl_str key; /* ptr NULL: free slot */
    uint32_t value;
} jl_strset_slot;

typedef struct {
    jl_strset_slot *slots; /* owned */
    size_t mask;
    size_t n_used;
} jl_strset;

/* Room for n strings, fixed. false when memory runs out. */
bool jl_strset_create(jl_strset *s, size_t n);
void jl_strset_destroy(jl_strset *s);
/* false if the string is there already, or the set is full. */
bool jl_strset_add(jl_strset *s, jl_str key, uint32_t value);
bool jl_strset_find(const jl_strset *s, jl_str key, uint32_t *value); /* value may be NULL */

#endif
