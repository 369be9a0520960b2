/* Models of the Hugging Face Hub: what "hf:OWNER/REPO:QUANT" means, the local cache that other
 * programs share, and downloads into it. Part of the program, not of the library. */
#ifndef JL_JOULE_HUB_H
#define JL_JOULE_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joule/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* hf:OWNER/REPO[@REVISION][:WHAT]; WHAT is a quantisation (Q4_K_M) or the name of a file. */
typedef struct {
    char repo[200]; /* "OWNER/REPO" */
    char rev[100];  /* branch, tag or commit; "main" */
    char what[200]; /* "" if there is none */
} jl_hub_spec;

bool jl_hub_is_spec(const char *text); /* begins with "hf:" */
JL_MUST_CHECK jl_status jl_hub_parse(const char *text, jl_hub_spec *out, jl_error *err);

/* Where the model lies in the cache: its first GGUF file, or the folder of a checkpoint. "" if it
 * is not there, or not all of it. JL_INVALID if it is not clear which one is meant. */
JL_MUST_CHECK jl_status jl_hub_find(const jl_hub_spec *spec, char *path, size_t path_cap,
                                    jl_error *err);

/* One thing in the cache. */
typedef struct {
    const char *repo; /* "OWNER/REPO" */
    const char *name; /* file below the snapshot, its first part; "": a checkpoint */
    const char *spec; /* what to say to joule: "hf:OWNER/REPO:QUANT" */
    const char *path; /* of the file or the folder */
    uint64_t bytes;   /* of all its parts */
    uint32_t n_files;
    bool unfinished;  /* a download that was stopped; name is that of the blob */
} jl_hub_entry;

/* Calls fn for every model of the cache, by name. */
JL_MUST_CHECK jl_status jl_hub_list(void (*fn)(void *ctx, const jl_hub_entry *e), void *ctx,
                                    jl_error *err);

/* Removes what spec names (without WHAT: all of the repository, unfinished downloads too), and the
 * blobs nothing refers to any more. dry_run only counts. JL_INVALID if there is no such thing. */
JL_MUST_CHECK jl_status jl_hub_remove(const jl_hub_spec *spec, bool dry_run, uint32_t *n_files,
                                      uint64_t *bytes, jl_error *err);

/* ---- downloads: only where the program was built with libcurl ---- */

typedef struct jl_hub_plan jl_hub_plan;

typedef struct {
    uint32_t n_files;
    uint64_t bytes;   /* of all files */
    uint64_t missing; /* of them, not here yet */
} jl_hub_size;

/* Asks the server (HF_ENDPOINT, default https://huggingface.co; HF_TOKEN is sent to it and to
 * nobody else) which files spec means. */
JL_MUST_CHECK jl_status jl_hub_plan_open(const jl_hub_spec *spec, jl_hub_plan **out, jl_error *err);
void jl_hub_plan_close(jl_hub_plan *plan); /* NULL is fine */
void jl_hub_plan_size(const jl_hub_plan *plan, jl_hub_size *out);

typedef struct {
    uint32_t struct_size;
    /* Bytes that are here, of all, and the file at hand; false stops (JL_CANCELLED, what is here
     * stays for the next time). */
    bool (*progress)(void *ctx, uint64_t done, uint64_t total, const char *file);
    /* What went wrong and is tried again; one line. May be NULL. */
    void (*notice)(void *ctx, const char *text);
    void *ctx;
} jl_hub_params;

/* Downloads what is missing, checks every file against the server's hash and puts it into the
 * cache; path is as jl_hub_find has it. After a failure the parts that came stay for the next time,
 * those with a wrong hash do not. */
JL_MUST_CHECK jl_status jl_hub_plan_run(jl_hub_plan *plan, const jl_hub_params *params, char *path,
                                        size_t path_cap, jl_error *err);

#ifdef __cplusplus
}
#endif
#endif
