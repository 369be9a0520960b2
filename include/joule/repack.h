/* Weights in a type that multiplies faster, made once and kept in a folder. The values are the same
 * to the bit, and so is everything computed with them; only speed and memory differ. */
#ifndef JL_JOULE_REPACK_H
#define JL_JOULE_REPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joule/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    JL_REPACK_USED = 0, /* an earlier run had made the file; its checksums are right */
    JL_REPACK_MADE,
    JL_REPACK_DAMAGED, /* a file was there and is not what it should be: it is made anew */
    JL_REPACK_NOT      /* the weights are used as they are in the model's file */
} jl_repack_outcome;

typedef struct {
    jl_repack_outcome outcome;
    uint32_t n_tensors;
    const char *from, *to;   /* names of the types: "IQ3_S", "IQ3_S4" */
    uint64_t bytes_from, bytes; /* of these tensors, in the model's file and repacked */
    double seconds;          /* USED: for checking; MADE: for all of it */
    const char *path;        /* of the repacked file */
    const jl_error *why;     /* DAMAGED, NOT (JL_NO_MEMORY: they would not fit params.memory) */
} jl_repack_report;

typedef struct jl_repack_params {
    uint32_t struct_size; /* sizeof(jl_repack_params) */
    const char *folder;   /* where repacked weights are kept; made if missing, for this user only */
    uint32_t n_threads;   /* 0: one per physical core */
    uint64_t memory;      /* bytes for weights and work; 0: not looked at. Weights are repacked if
                           * all that are used then leave a ninth of it free */
    /* Called with what is being done ("repacking", "checking repacked weights") and bytes; false
     * stops: JL_CANCELLED, no file is left. May be NULL. */
    bool (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
    /* What was done; twice after DAMAGED, never for a model that has nothing to repack. What it
     * points to is gone afterwards. May be NULL. */
    void (*report)(void *ctx, const jl_repack_report *r);
    void *ctx;
} jl_repack_params;

/* ---- the folder ---------------------------------------------------------------------------- */

typedef struct {
    const char *path;
    const char *source; /* the model's file when it was made; "" if the file cannot be read */
    uint64_t bytes;
    uint32_t n_tensors;
    uint64_t age_s;  /* seconds since it was made */
    bool usable;     /* false: of another version of joule, damaged, or left over */
} jl_repack_entry;

/* Calls fn for every file of repacked weights, by name. A folder that is not there holds none. */
JL_API JL_MUST_CHECK jl_status jl_repack_list(const char *folder,
                                              void (*fn)(void *ctx, const jl_repack_entry *e),
                                              void *ctx, jl_error *err);
/* Removes them, and nothing else that may lie there; dry_run only counts. Programs that have one
 * mapped keep it until they end. JL_INVALID: a program is making one just now. */
JL_API JL_MUST_CHECK jl_status jl_repack_clear(const char *folder, bool dry_run, uint32_t *n_files,
                                               uint64_t *bytes, jl_error *err);

#ifdef __cplusplus
}
#endif
#endif
