#include "hub/download.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/folder.h"
#include "base/mem.h"
#include "base/sysfile.h"
#include "hub/hash.h"

enum {
    MAX_TRIES = 5,    /* in a row that bring no byte */
    FIRST_WAIT_MS = 500,
    MAX_WAIT_S = 600, /* a server that asks for more is not waited for */
    PIECE = 1 << 20,
};

typedef struct {
    jl_downloads *all;
    const jl_hub_file *file;
    jl_append *out;
    jl_hash *hash;
    uint64_t have;   /* bytes in the file and in the hash */
    uint64_t from;   /* what the request at hand asked for */
    bool begun;      /* its answer has been looked at */
    bool no_ranges;  /* the server's ranges are wrong: ask for all of it */
} job;

jl_status jl_hub_refusal(const jl_http *http, const char *repo, const char *what,
                         const jl_http_answer *a, jl_error *err)
{
    const char *host = jl_http_endpoint(http);
    const bool gated = strcmp(a->error_code, "GatedRepo") == 0;
    const bool revision = strcmp(a->error_code, "RevisionNotFound") == 0;

    if (gated || a->status == 403)
        return jl_fail(err, JL_IO,
                       "%s is gated (%ld): accept its licence at %s/%s, then set HF_TOKEN to a "
                       "token of that account (%s/settings/tokens)%s",
                       repo, a->status, host, repo, host,
                       jl_http_has_token(http) ? "; the token in HF_TOKEN has no access yet" : "");
    if (a->status == 401)
        return jl_fail(err, JL_IO,
                       "%s does not exist or is private (401): check the name%s", repo,
                       jl_http_has_token(http) ? "; or HF_TOKEN holds no valid token"
                                               : ", or set HF_TOKEN to a token that may read it");
    if (a->status == 404)
        return jl_fail(err, JL_IO, "%s is not at %s (404): check %s", what, host,
                       revision ? "the revision" : "the name");
    if (a->status == 429)
        return jl_fail(err, JL_IO, "%s asks for fewer requests (429): try again in %llu s%s", host,
                       (unsigned long long)(a->retry_after ? a->retry_after : 300),
                       jl_http_has_token(http) ? "" : ", or set HF_TOKEN");
    return jl_fail(err, JL_IO, "%s answers %ld to the request for %s", host, a->status, what);
}

static void notice(const job *j, const char *text)
{
    if (j->all->params->notice)
        j->all->params->notice(j->all->params->ctx, text);
}

static bool go_on(void *ctx)
{
    const job *j = ctx;
    const jl_hub_params *p = j->all->params;

    return !p->progress ||
           p->progress(p->ctx, j->all->done + j->have, j->all->total, j->file->name);
}

static jl_status restart(job *j, jl_error *err)
{
    j->have = 0;
    jl_hash_restart(j->hash);
    return jl_append_clear(j->out, err);
}

/* ---- the answer ----------------------------------------------------------------------------- */

static jl_status look_at_answer(job *j, const jl_http_answer *a, jl_error *err)
{
    char text[200];

    j->begun = true;
    if (*a->linked_etag && strcmp(a->linked_etag, j->file->hash) != 0)
        return jl_fail(err, JL_IO, "the server has another %s than it listed; run it again",
                       j->file->name);
    if (a->status == 200 && j->from > 0) {
        notice(j, "the server starts over from the first byte");
        JL_TRY(restart(j, err));
    }
    if (a->status == 206 && (a->range_first != j->from || a->range_total != j->file->bytes)) {
        snprintf(text, sizeof text, "the server sent another part than asked for");
        j->no_ranges = true;
        return jl_fail(err, JL_FORMAT, "%s", text);
    }
    if (a->status == 200 && a->length != UINT64_MAX && a->length != j->file->bytes)
        return jl_fail(err, JL_IO, "%s: the server sends %llu bytes, but lists %llu", j->file->name,
                       (unsigned long long)a->length, (unsigned long long)j->file->bytes);
    return JL_OK;
}

static bool on_body(void *ctx, const jl_http_answer *a, const void *data, size_t n, jl_error *err)
{
    job *j = ctx;

    if (!j->begun && look_at_answer(j, a, err) != JL_OK)
        return false;
    if (n > j->file->bytes - j->have) {
        (void)jl_fail(err, JL_IO, "%s: the server sends more than the %llu bytes it lists",
                      j->file->name, (unsigned long long)j->file->bytes);
        return false;
    }
    if (jl_append_write(j->out, data, n, err) != JL_OK)
        return false;
    jl_hash_add(j->hash, data, n);
    j->have += n;
    return true;
}

/* ---- trying again --------------------------------------------------------------------------- */

static jl_status pause_for(const job *j, uint64_t ms, jl_error *err)
{
    const uint64_t end = jl_time_ns() + ms * 1000000u;

    while (jl_time_ns() < end) {
        if (!go_on((void *)(uintptr_t)j))
            return jl_fail(err, JL_CANCELLED, "stopped");
        jl_sleep_ns(50000000);
    }
    return JL_OK;
}

/* One request. JL_OK with *why set: it brought less than all, and another try may help. */
static jl_status one_try(job *j, const char *url, uint64_t *wait_ms, char why[300], jl_error *err)
{
    const jl_http_request request = {
        .from = j->no_ranges ? 0 : j->have, .on_body = on_body, .go_on = go_on, .ctx = j};
    jl_http_answer a;
    bool again = false;

    j->from = request.from;
    j->begun = false;
    if (j->no_ranges && j->have)
        JL_TRY(restart(j, err));
    const bool could_range = !j->no_ranges;
    const jl_status s = jl_http_get(j->all->http, url, &request, &a, &again, err);
    *why = '\0';
    if (s != JL_OK && (again || (could_range && j->no_ranges))) {
        snprintf(why, 300, "%.290s", err->text);
        *err = (jl_error){0};
        return JL_OK;
    }
    JL_TRY(s);
    if (a.status == 416) {
        snprintf(why, 300, "the server has no bytes behind byte %llu",
                 (unsigned long long)j->from);
        return restart(j, err);
    }
    if ((a.status == 429 || a.status >= 500) && a.retry_after <= MAX_WAIT_S) {
        *wait_ms = 1000 * a.retry_after;
        snprintf(why, 300, "the server answers %ld", a.status);
        return JL_OK;
    }
    if (a.status != 200 && a.status != 206)
        return jl_hub_refusal(j->all->http, j->all->repo, j->file->name, &a, err);
    if (j->have < j->file->bytes)
        snprintf(why, 300, "the server ended after %llu of %llu bytes", (unsigned long long)j->have,
                 (unsigned long long)j->file->bytes);
    return JL_OK;
}

static jl_status fetch(job *j, const char *url, jl_error *err)
{
    unsigned n_tries = 0;

    while (j->have < j->file->bytes) {
        const uint64_t before = j->have;
        uint64_t wait_ms = 0;
        char why[300];
        char text[400];
        JL_TRY(one_try(j, url, &wait_ms, why, err));
        if (!*why)
            continue;
        n_tries = j->have > before ? 0 : n_tries + 1;
        if (n_tries >= MAX_TRIES)
            return jl_fail(err, JL_IO, "%s: %s; given up after %d tries, what came is kept",
                           j->file->name, why, MAX_TRIES);
        if (wait_ms == 0)
            wait_ms = (uint64_t)FIRST_WAIT_MS << n_tries;
        snprintf(text, sizeof text, "%s; trying again in %.1f s", why, (double)wait_ms / 1000);
        notice(j, text);
        JL_TRY(pause_for(j, wait_ms, err));
    }
    return JL_OK;
}

/* ---- the file ------------------------------------------------------------------------------- */

static jl_status hash_old(job *j, uint64_t n_old, jl_error *err)
{
    uint8_t *piece = jl_malloc(PIECE);
    jl_status s = JL_OK;

    if (!piece)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    while (s == JL_OK && j->have < n_old) {
        const size_t n = n_old - j->have < PIECE ? (size_t)(n_old - j->have) : PIECE;
        s = jl_append_read(j->out, j->have, piece, n, err);
        if (s != JL_OK)
            break;
        jl_hash_add(j->hash, piece, n);
        j->have += n;
        if (!go_on(j))
            s = jl_fail(err, JL_CANCELLED, "stopped");
    }
    jl_free(piece);
    return s;
}

/* Until the hash is right; what an earlier run left may be wrong, so that gets a second chance. */
static jl_status fetch_checked(job *j, const char *url, uint64_t n_old, jl_error *err)
{
    char hash[65];

    if (n_old > j->file->bytes)
        JL_TRY(restart(j, err));
    else
        JL_TRY(hash_old(j, n_old, err));
    bool old = j->have > 0;
    for (;;) {
        JL_TRY(fetch(j, url, err));
        jl_hash_text(j->hash, hash);
        if (strcmp(hash, j->file->hash) == 0)
            return JL_OK;
        JL_TRY(restart(j, err));
        if (!old)
            return jl_fail(err, JL_FORMAT,
                           "%s: its hash is %.16s..., the server promised %.16s...; the damaged "
                           "download was removed",
                           j->file->name, hash, j->file->hash);
        notice(j, "the part from the earlier run was damaged; starting over");
        old = false;
    }
}

jl_status jl_hub_download(jl_downloads *all, const jl_hub_file *file, const char *url,
                          const char *blob, jl_error *err)
{
    job j = {.all = all, .file = file};
    char temp[JL_HUB_PATH];
    uint64_t n_old = 0;

    JL_TRY(jl_hub_join(temp, sizeof temp, err, "%s.incomplete", blob));
    JL_TRY(jl_hash_open(file->hash, file->bytes, &j.hash, err));
    jl_status s = jl_append_open(temp, &j.out, &n_old, err);
    if (s == JL_OK)
        s = fetch_checked(&j, url, n_old, err);
    if (s == JL_OK) {
        s = jl_append_finish(j.out, blob, err);
        j.out = NULL;
    }
    jl_append_close(j.out);
    jl_hash_close(j.hash);
    if (s != JL_OK && j.have == 0)
        (void)jl_file_remove(temp);
    if (s == JL_CANCELLED)
        return jl_fail(err, s, "stopped; what came is kept, the same command goes on");
    return s;
}
