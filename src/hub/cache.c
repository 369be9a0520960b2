/* The cache on disk, in the layout of the Hugging Face Hub: models--OWNER--REPO/blobs/HASH,
 * snapshots/COMMIT/NAME -> blob, refs/REVISION with the commit
 * (https://huggingface.co/docs/hub/local-cache). */
#include <stdio.h>
#include <string.h>

#include "base/folder.h"
#include "base/mem.h"
#include "base/sysfile.h"
#include "hub/hub.h"

jl_status jl_hub_cache(char *out, size_t cap, jl_error *err)
{
    static const struct {
        const char *variable, *below;
    } places[] = {{"HF_HUB_CACHE", ""},
                  {"HUGGINGFACE_HUB_CACHE", ""},
                  {"HF_HOME", "/hub"},
                  {"XDG_CACHE_HOME", "/huggingface/hub"},
                  {"HOME", "/.cache/huggingface/hub"}};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *value = jl_env(places[i].variable);
        if (value)
            return jl_hub_join(out, cap, err, "%s%s", value, places[i].below);
    }
    return jl_fail(err, JL_IO, "there is no place for models: set HF_HUB_CACHE to a folder");
}

jl_status jl_hub_path(const jl_hub_spec *spec, const char *sub, char *out, size_t cap,
                      jl_error *err)
{
    char cache[JL_HUB_PATH];
    const size_t owner = strcspn(spec->repo, "/");

    JL_TRY(jl_hub_cache(cache, sizeof cache, err));
    return jl_hub_join(out, cap, err, "%s/models--%.*s--%s%s%s", cache, (int)owner, spec->repo,
                       spec->repo + owner + 1, *sub ? "/" : "", sub);
}

jl_status jl_hub_commit(const jl_hub_spec *spec, char out[65], jl_error *err)
{
    char sub[128];
    char path[JL_HUB_PATH];
    char line[128];

    out[0] = '\0';
    snprintf(sub, sizeof sub, "refs/%s", spec->rev);
    JL_TRY(jl_hub_path(spec, sub, path, sizeof path, err));
    if (jl_line_read(path, line, sizeof line) == JL_READ_OK && jl_hub_is_hex(line, 40))
        memcpy(out, line, 41);
    else if (jl_hub_is_hex(spec->rev, 40))
        memcpy(out, spec->rev, 41);
    return JL_OK;
}

/* ---- a snapshot ----------------------------------------------------------------------------- */

enum { MAX_DEPTH = 6 };

typedef struct {
    const char *root; /* of the snapshot */
    char below[JL_HUB_NAME];
    int depth;
    jl_hub_files *files;
    jl_error *err;
    jl_status status;
} scan;

static bool scan_folder(scan *s);

/* The last part of the blob a link leads to; "" if it is no link. */
static void blob_of(const char *path, char out[65])
{
    char target[JL_HUB_PATH];

    out[0] = '\0';
    if (!jl_link_read(path, target, sizeof target))
        return;
    const char *name = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;
    if (jl_hub_is_hex(name, 64) || jl_hub_is_hex(name, 40))
        snprintf(out, 65, "%.64s", name);
}

static bool scan_name(void *ctx, const char *name)
{
    scan *s = ctx;
    char path[JL_HUB_PATH];
    char hash[65];
    uint64_t bytes;
    const size_t n = strlen(s->below);

    if (n + strlen(name) + 2 > sizeof s->below)
        return true;
    snprintf(s->below + n, sizeof s->below - n, "%s%s", n ? "/" : "", name);
    if (snprintf(path, sizeof path, "%s/%s", s->root, s->below) < (int)sizeof path) {
        if (jl_file_bytes(path, &bytes)) {
            blob_of(path, hash);
            s->status = jl_hub_files_add(s->files, s->below, bytes, hash, s->err);
        } else if (jl_is_folder(path) && s->depth < MAX_DEPTH) {
            s->depth++;
            (void)scan_folder(s);
            s->depth--;
        }
    }
    s->below[n] = '\0';
    return s->status == JL_OK;
}

static bool scan_folder(scan *s)
{
    char path[JL_HUB_PATH];

    if (snprintf(path, sizeof path, "%s%s%s", s->root, *s->below ? "/" : "", s->below) >=
        (int)sizeof path)
        return false;
    return jl_dir_each(path, scan_name, s);
}

jl_status jl_hub_scan(const char *snapshot, jl_hub_files *out, jl_error *err)
{
    scan s = {.root = snapshot, .files = out, .err = err};

    (void)scan_folder(&s);
    return s.status;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

typedef struct {
    const char *folder;
    bool (*fn)(void *ctx, const char *snapshot);
    void *ctx;
} visit;

static bool on_snapshot(void *ctx, const char *name)
{
    const visit *v = ctx;
    char path[JL_HUB_PATH];

    if (snprintf(path, sizeof path, "%s/%s", v->folder, name) >= (int)sizeof path ||
        !jl_is_folder(path))
        return true;
    return v->fn(v->ctx, path);
}

jl_status jl_hub_each_snapshot(const jl_hub_spec *spec,
                               bool (*fn)(void *ctx, const char *snapshot), void *ctx,
                               jl_error *err)
{
    char folder[JL_HUB_PATH];
    visit v = {folder, fn, ctx};

    JL_TRY(jl_hub_path(spec, "snapshots", folder, sizeof folder, err));
    (void)jl_dir_each(folder, on_snapshot, &v); /* no folder: no snapshots */
    return JL_OK;
}

typedef struct {
    const char *folder;
    bool (*fn)(void *ctx, const jl_hub_blob *item);
    void *ctx;
} blob_visit;

static bool on_blob(void *ctx, const char *name)
{
    const blob_visit *v = ctx;
    char path[JL_HUB_PATH];
    jl_hub_blob item = {.name = name, .path = path};

    if (snprintf(path, sizeof path, "%s/%s", v->folder, name) >= (int)sizeof path ||
        !jl_file_bytes(path, &item.bytes))
        return true;
    return v->fn(v->ctx, &item);
}

jl_status jl_hub_each_blob(const jl_hub_spec *spec, bool (*fn)(void *ctx, const jl_hub_blob *item),
                           void *ctx, jl_error *err)
{
    char folder[JL_HUB_PATH];
    blob_visit v = {folder, fn, ctx};

    JL_TRY(jl_hub_path(spec, "blobs", folder, sizeof folder, err));
    (void)jl_dir_each(folder, on_blob, &v);
    return JL_OK;
}

typedef struct {
    const jl_hub_spec *spec;
    char *path; /* "" until it is found */
    size_t path_cap;
    jl_error *err;
    jl_status status;
} search;

static jl_status search_one(search *s, const char *snapshot, jl_hub_files *files)
{
    size_t first;

    JL_TRY(jl_hub_scan(snapshot, files, s->err));
    if (files->n == 0)
        return JL_OK;
    /* What is not among the files here may well be among those of the server. */
    const jl_status status = jl_hub_choose(files, s->spec, &first, s->err);
    if (status == JL_IO || status == JL_FORMAT)
        return JL_OK;
    JL_TRY(status);
    if (first == SIZE_MAX)
        return jl_hub_join(s->path, s->path_cap, s->err, "%s", snapshot);
    return jl_hub_join(s->path, s->path_cap, s->err, "%s/%s", snapshot, files->items[first].name);
}

static bool search_snapshot(void *ctx, const char *snapshot)
{
    search *s = ctx;
    jl_hub_files files = {0};

    s->status = search_one(s, snapshot, &files);
    jl_hub_files_free(&files);
    return s->status == JL_OK && !s->path[0];
}

jl_status jl_hub_find(const jl_hub_spec *spec, char *path, size_t path_cap, jl_error *err)
{
    search s = {.spec = spec, .path = path, .path_cap = path_cap, .err = err};
    char commit[65];
    char sub[96];
    char snapshot[JL_HUB_PATH];

    path[0] = '\0';
    JL_TRY(jl_hub_commit(spec, commit, err));
    if (!*commit)
        return JL_OK;
    snprintf(sub, sizeof sub, "snapshots/%s", commit);
    JL_TRY(jl_hub_path(spec, sub, snapshot, sizeof snapshot, err));
    /* A file of an earlier commit does too, if the newest one was pulled without it. */
    if (search_snapshot(&s, snapshot) && strcmp(spec->rev, "main") == 0)
        JL_TRY(jl_hub_each_snapshot(spec, search_snapshot, &s, err));
    return s.status;
}
