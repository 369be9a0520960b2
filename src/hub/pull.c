/* What is to be downloaded, and all of it. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/folder.h"
#include "base/mem.h"
#include "base/sysfile.h"
#include "hub/download.h"

enum { MAX_LISTING = 64 << 20, MARGIN = 64 << 20, LISTING_TRIES = 3 };

struct jl_hub_plan {
    jl_hub_spec spec;
    jl_http *http;
    char commit[65];
    jl_hub_files files;
    size_t first;
};

/* ---- the listing ---------------------------------------------------------------------------- */

typedef struct {
    char *data;
    size_t n, cap;
} text;

static bool on_listing(void *ctx, const jl_http_answer *a, const void *data, size_t n,
                       jl_error *err)
{
    text *t = ctx;

    (void)a;
    if (n > MAX_LISTING - t->n) {
        (void)jl_fail(err, JL_TOO_LARGE, "the list of files is longer than %d MiB",
                      MAX_LISTING >> 20);
        return false;
    }
    if (t->n + n > t->cap) {
        const size_t cap = 2 * (t->n + n);
        char *more = jl_realloc(t->data, cap);
        if (!more) {
            (void)jl_fail(err, JL_NO_MEMORY, "out of memory");
            return false;
        }
        t->data = more;
        t->cap = cap;
    }
    memcpy(t->data + t->n, data, n);
    t->n += n;
    return true;
}

static jl_status add_sibling(jl_hub_plan *p, const json_t *item, jl_error *err)
{
    const json_t *lfs = json_object_get(item, "lfs");
    const char *name = json_string_value(json_object_get(item, "rfilename"));
    const json_t *bytes = json_object_get(json_is_object(lfs) ? lfs : item, "size");
    const char *hash = json_string_value(json_is_object(lfs) ? json_object_get(lfs, "sha256")
                                                             : json_object_get(item, "blobId"));

    if (!name || !hash || !json_is_integer(bytes) || json_integer_value(bytes) < 0 ||
        !(jl_hub_is_hex(hash, 64) || jl_hub_is_hex(hash, 40)))
        return jl_fail(err, JL_FORMAT, "%s lists a file without name, size or hash",
                       jl_http_endpoint(p->http));
    return jl_hub_files_add(&p->files, name, (uint64_t)json_integer_value(bytes), hash, err);
}

static jl_status read_listing(jl_hub_plan *p, const text *t, jl_error *err)
{
    json_error_t why;
    json_t *root = json_loadb(t->data ? t->data : "", t->n, 0, &why);
    const char *sha = json_string_value(json_object_get(root, "sha"));
    const json_t *siblings = json_object_get(root, "siblings");
    jl_status s = JL_OK;

    if (!sha || !jl_hub_is_hex(sha, 40) || !json_is_array(siblings))
        s = jl_fail(err, JL_FORMAT, "%s sent no list of files; is HF_ENDPOINT right?",
                    jl_http_endpoint(p->http));
    else
        snprintf(p->commit, sizeof p->commit, "%s", sha);
    for (size_t i = 0; s == JL_OK && i < json_array_size(siblings); i++)
        s = add_sibling(p, json_array_get(siblings, i), err);
    json_decref(root);
    return s;
}

static jl_status ask(jl_hub_plan *p, jl_error *err)
{
    text t = {0};
    const jl_http_request request = {.on_body = on_listing, .ctx = &t};
    jl_http_answer a;
    bool again;
    char url[2048];

    JL_TRY(jl_hub_join(url, sizeof url, err, "%s/api/models/%s/revision/%s?blobs=true",
                       jl_http_endpoint(p->http), p->spec.repo, p->spec.rev));
    jl_status s = jl_http_get(p->http, url, &request, &a, &again, err);
    for (int i = 1; s != JL_OK && again && i < LISTING_TRIES; i++) {
        t.n = 0;
        jl_sleep_ns(500000000);
        s = jl_http_get(p->http, url, &request, &a, &again, err);
    }
    if (s == JL_OK && a.status != 200)
        s = jl_hub_refusal(p->http, p->spec.repo, p->spec.repo, &a, err);
    if (s == JL_OK)
        s = read_listing(p, &t, err);
    jl_free(t.data);
    return s;
}

jl_status jl_hub_plan_open(const jl_hub_spec *spec, jl_hub_plan **out, jl_error *err)
{
    jl_hub_plan *p = jl_calloc(1, sizeof *p);

    if (!p)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    p->spec = *spec;
    jl_status s = jl_http_open(&p->http, err);
    if (s == JL_OK)
        s = ask(p, err);
    if (s == JL_OK)
        s = jl_hub_choose(&p->files, spec, &p->first, err);
    if (s != JL_OK) {
        jl_hub_plan_close(p);
        return s;
    }
    *out = p;
    return JL_OK;
}

void jl_hub_plan_close(jl_hub_plan *p)
{
    if (!p)
        return;
    jl_http_close(p->http);
    jl_hub_files_free(&p->files);
    jl_free(p);
}

/* ---- what is here --------------------------------------------------------------------------- */

static jl_status blob_path(const jl_hub_plan *p, const jl_hub_file *f, char *out, jl_error *err)
{
    char sub[80];

    snprintf(sub, sizeof sub, "blobs/%s", f->hash);
    return jl_hub_path(&p->spec, sub, out, JL_HUB_PATH, err);
}

/* Bytes of a file that are on the disk. */
static uint64_t present(const jl_hub_plan *p, const jl_hub_file *f)
{
    char path[JL_HUB_PATH];
    char part[JL_HUB_PATH];
    jl_error ignored;
    uint64_t n;

    if (blob_path(p, f, path, &ignored) != JL_OK)
        return 0;
    if (jl_file_bytes(path, &n) && n == f->bytes)
        return n;
    if (jl_hub_join(part, sizeof part, &ignored, "%s.incomplete", path) == JL_OK &&
        jl_file_bytes(part, &n) && n <= f->bytes)
        return n;
    return 0;
}

void jl_hub_plan_size(const jl_hub_plan *p, jl_hub_size *out)
{
    *out = (jl_hub_size){0};
    for (size_t i = 0; i < p->files.n; i++) {
        const jl_hub_file *f = &p->files.items[i];
        if (!f->chosen)
            continue;
        out->n_files++;
        out->bytes += f->bytes;
        out->missing += f->bytes - present(p, f);
    }
}

static jl_status check_space(const jl_hub_plan *p, jl_error *err)
{
    char folder[JL_HUB_PATH];
    jl_hub_size size;

    JL_TRY(jl_hub_path(&p->spec, "blobs", folder, sizeof folder, err));
    jl_hub_plan_size(p, &size);
    const uint64_t room = jl_disk_free(folder);
    const uint64_t need = size.missing ? size.missing + MARGIN : 0;
    if (need > room)
        return jl_fail(err, JL_IO,
                       "%.2f GB are missing, %.2f GB are free in %s: %.2f GB too little; free "
                       "some, or set HF_HUB_CACHE to another disk",
                       (double)size.missing / 1e9, (double)room / 1e9, folder,
                       (double)(need - room) / 1e9);
    return JL_OK;
}

/* ---- one file ------------------------------------------------------------------------------- */

static jl_status lock_blob(const jl_hub_plan *p, const jl_hub_file *f, jl_folder_lock **out,
                           jl_error *err)
{
    char cache[JL_HUB_PATH];
    char path[JL_HUB_PATH];
    const size_t owner = strcspn(p->spec.repo, "/");

    JL_TRY(jl_hub_cache(cache, sizeof cache, err));
    JL_TRY(jl_hub_join(path, sizeof path, err, "%s/.locks/models--%.*s--%s/%s.lock", cache,
                       (int)owner, p->spec.repo, p->spec.repo + owner + 1, f->hash));
    JL_TRY(jl_folders_make(path, err));
    const jl_status s = jl_folder_lock_take(path, out, err);
    if (s == JL_INVALID)
        return jl_fail(err, JL_IO, "another process is downloading %s; wait for it", f->name);
    return s;
}

static jl_status fetch_blob(const jl_hub_plan *p, jl_downloads *all, const jl_hub_file *f,
                            jl_error *err)
{
    char blob[JL_HUB_PATH];
    char url[8192];
    jl_folder_lock *lock = NULL;
    uint64_t n;

    JL_TRY(blob_path(p, f, blob, err));
    if (jl_file_bytes(blob, &n) && n == f->bytes)
        return JL_OK;
    JL_TRY(jl_hub_join(url, sizeof url, err, "%s/%s/resolve/%s/", jl_http_endpoint(p->http),
                       p->spec.repo, p->commit));
    JL_TRY(jl_http_append_path(p->http, url, sizeof url, f->name, err));
    JL_TRY(lock_blob(p, f, &lock, err));
    const jl_status s = jl_hub_download(all, f, url, blob, err);
    jl_folder_lock_leave(lock);
    return s;
}

/* snapshots/COMMIT/a/b -> ../../../blobs/HASH */
static jl_status link_blob(const jl_hub_plan *p, const jl_hub_file *f, jl_error *err)
{
    char sub[JL_HUB_NAME + 96];
    char path[JL_HUB_PATH];
    char target[JL_HUB_NAME * 3];
    size_t n = 0;

    snprintf(sub, sizeof sub, "snapshots/%s/%s", p->commit, f->name);
    JL_TRY(jl_hub_path(&p->spec, sub, path, sizeof path, err));
    JL_TRY(jl_folders_make(path, err));
    for (const char *c = sub; *c; c++)
        if (*c == '/' && n + 80 < sizeof target)
            n += (size_t)snprintf(target + n, sizeof target - n, "../");
    snprintf(target + n, sizeof target - n, "blobs/%s", f->hash);
    return jl_link_put(target, path, err);
}

static jl_status put_ref(const jl_hub_plan *p, jl_error *err)
{
    char sub[128];
    char path[JL_HUB_PATH];
    jl_writer *w = NULL;

    if (jl_hub_is_hex(p->spec.rev, 40))
        return JL_OK;
    snprintf(sub, sizeof sub, "refs/%s", p->spec.rev);
    JL_TRY(jl_hub_path(&p->spec, sub, path, sizeof path, err));
    JL_TRY(jl_folders_make(path, err));
    JL_TRY(jl_writer_create(path, &w, err));
    const jl_status s = jl_writer_write(w, p->commit, strlen(p->commit), err);
    if (s == JL_OK)
        return jl_writer_commit(w, err);
    jl_writer_abort(w);
    return s;
}

jl_status jl_hub_plan_run(jl_hub_plan *p, const jl_hub_params *params, char *path, size_t path_cap,
                          jl_error *err)
{
    jl_downloads all = {.http = p->http, .params = params, .repo = p->spec.repo};
    jl_hub_size size;
    char sub[JL_HUB_NAME + 96];

    JL_TRY(jl_hub_path(&p->spec, "blobs/", path, path_cap, err));
    JL_TRY(jl_folders_make(path, err));
    JL_TRY(check_space(p, err));
    jl_hub_plan_size(p, &size);
    all.total = size.bytes;
    for (size_t i = 0; i < p->files.n; i++) {
        const jl_hub_file *f = &p->files.items[i];
        if (!f->chosen)
            continue;
        JL_TRY(fetch_blob(p, &all, f, err));
        JL_TRY(link_blob(p, f, err));
        all.done += f->bytes;
    }
    JL_TRY(put_ref(p, err));
    snprintf(sub, sizeof sub, "snapshots/%s%s%s", p->commit, p->first == SIZE_MAX ? "" : "/",
             p->first == SIZE_MAX ? "" : p->files.items[p->first].name);
    return jl_hub_path(&p->spec, sub, path, path_cap, err);
}
