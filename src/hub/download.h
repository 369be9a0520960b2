/* One file into the cache: continued where an earlier run ended, checked, named at the very end. */
#ifndef JL_HUB_DOWNLOAD_H
#define JL_HUB_DOWNLOAD_H

#include "hub/http.h"
#include "hub/hub.h"

/* What a run of several downloads shares. */
typedef struct {
    jl_http *http;
    const jl_hub_params *params;
    const char *repo; /* for messages */
    uint64_t done, total; /* bytes of all files; done without the file at hand */
} jl_downloads;

/* Fetches url to blob ("BLOBS/HASH"), growing BLOB.incomplete. The caller holds the lock. */
JL_MUST_CHECK jl_status jl_hub_download(jl_downloads *all, const jl_hub_file *file, const char *url,
                                        const char *blob, jl_error *err);
/* The message for an answer that is not the thing itself. */
jl_status jl_hub_refusal(const jl_http *http, const char *repo, const char *what,
                         const jl_http_answer *a, jl_error *err);

#endif
