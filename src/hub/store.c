/* What is in the cache, and removing it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/folder.h"
#include "base/mem.h"
#include "base/sysfile.h"
#include "hub/hub.h"

/* ---- listing -------------------------------------------------------------------------------- */

typedef struct {
    char (*names)[256];
    size_t n, cap;
    bool failed;
} name_list;

static bool add_name(void *ctx, const char *name)
{
    name_list *l = ctx;

    if (strncmp(name, "models--", 8) != 0 || strlen(name) >= sizeof *l->names)
        return true;
    if (l->n == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : 32;
        char(*names)[256] = jl_realloc(l->names, cap * sizeof *names);
        if (!names) {
            l->failed = true;
            return false;
        }
        l->names = names;
        l->cap = cap;
    }
    snprintf(l->names[l->n++], sizeof *l->names, "%s", name);
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

typedef struct {
    void (*fn)(void *ctx, const jl_hub_entry *e);
    void *ctx;
    jl_hub_spec spec; /* of the repository at hand */
    jl_error *err;
    jl_status status;
} listing;

static int by_file(const void *a, const void *b)
{
    return strcmp(((const jl_hub_file *)a)->name, ((const jl_hub_file *)b)->name);
}

static void tell(const listing *l, const jl_hub_files *files, const char *snapshot, size_t first)
{
    char path[JL_HUB_PATH];
    char spec[512];
    char label[80] = "";
    jl_hub_entry e = {.repo = l->spec.repo, .name = "", .path = path, .spec = spec};

    for (size_t i = 0; i < files->n; i++)
        if (files->items[i].chosen) {
            e.bytes += files->items[i].bytes;
            e.n_files++;
        }
    if (first == SIZE_MAX) {
        snprintf(path, sizeof path, "%s", snapshot);
    } else {
        e.name = files->items[first].name;
        snprintf(path, sizeof path, "%s/%s", snapshot, e.name);
        jl_hub_label(e.name, label, sizeof label);
    }
    snprintf(spec, sizeof spec, "hf:%s%s%s", l->spec.repo, *label ? ":" : "", label);
    l->fn(l->ctx, &e);
}

static jl_status list_files(listing *l, const char *snapshot, jl_hub_files *files)
{
    jl_hub_spec spec = l->spec;
    jl_error ignored;
    size_t first;
    bool any = false;

    JL_TRY(jl_hub_scan(snapshot, files, l->err));
    if (files->n)
        qsort(files->items, files->n, sizeof *files->items, by_file);
    for (size_t i = 0; i < files->n; i++) {
        unsigned part = 1;
        unsigned n_parts;
        size_t stem;
        if (!jl_hub_is_gguf(files->items[i].name) ||
            (jl_hub_split(files->items[i].name, &part, &n_parts, &stem) && part != 1) ||
            snprintf(spec.what, sizeof spec.what, "%s", files->items[i].name) >=
                (int)sizeof spec.what)
            continue;
        any = true;
        if (jl_hub_choose(files, &spec, &first, &ignored) == JL_OK)
            tell(l, files, snapshot, first);
    }
    spec.what[0] = '\0';
    if (!any && jl_hub_choose(files, &spec, &first, &ignored) == JL_OK)
        tell(l, files, snapshot, first);
    return JL_OK;
}

static bool list_snapshot(void *ctx, const char *snapshot)
{
    listing *l = ctx;
    jl_hub_files files = {0};

    l->status = list_files(l, snapshot, &files);
    jl_hub_files_free(&files);
    return l->status == JL_OK;
}

static bool list_blob(void *ctx, const jl_hub_blob *item)
{
    const listing *l = ctx;
    const char *dot = strrchr(item->name, '.');
    char spec[512];

    if (!dot || strcmp(dot, ".incomplete") != 0)
        return true;
    snprintf(spec, sizeof spec, "hf:%s", l->spec.repo);
    const jl_hub_entry e = {.repo = l->spec.repo,
                            .name = item->name,
                            .spec = spec,
                            .path = item->path,
                            .bytes = item->bytes,
                            .n_files = 1,
                            .unfinished = true};
    l->fn(l->ctx, &e);
    return true;
}

/* "models--OWNER--REPO" to "OWNER/REPO"; false if it is none. */
static bool repo_of(const char *folder, jl_hub_spec *out)
{
    const char *owner = folder + strlen("models--");
    const char *mid = strstr(owner, "--");
    jl_error ignored;
    char text[300];

    if (!mid)
        return false;
    snprintf(text, sizeof text, "hf:%.*s/%s", (int)(mid - owner), owner, mid + 2);
    return jl_hub_parse(text, out, &ignored) == JL_OK;
}

jl_status jl_hub_list(void (*fn)(void *ctx, const jl_hub_entry *e), void *ctx, jl_error *err)
{
    listing l = {.fn = fn, .ctx = ctx, .err = err};
    name_list names = {0};
    char cache[JL_HUB_PATH];

    JL_TRY(jl_hub_cache(cache, sizeof cache, err));
    (void)jl_dir_each(cache, add_name, &names);
    if (names.n)
        qsort(names.names, names.n, sizeof *names.names, by_name);
    for (size_t i = 0; i < names.n && l.status == JL_OK; i++) {
        if (!repo_of(names.names[i], &l.spec))
            continue;
        l.status = jl_hub_each_snapshot(&l.spec, list_snapshot, &l, err);
        if (l.status == JL_OK)
            l.status = jl_hub_each_blob(&l.spec, list_blob, &l, err);
    }
    jl_free(names.names);
    return names.failed ? jl_fail(err, JL_NO_MEMORY, "out of memory") : l.status;
}

/* ---- removing ------------------------------------------------------------------------------- */

typedef struct {
    const jl_hub_spec *spec;
    bool dry_run, all;
    uint32_t n_files; /* links removed */
    uint64_t bytes;   /* of blobs removed */
    jl_hub_files gone, kept; /* by their blobs */
    jl_error *err;
    jl_status status;
} removal;

static bool has_hash(const jl_hub_files *f, const char *hash)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->items[i].hash, hash) == 0)
            return true;
    return false;
}

/* Folders between a removed file and its snapshot that are empty now. */
static void remove_parents(char *path, size_t snapshot_len)
{
    char *slash = strrchr(path, '/');

    while (slash && (size_t)(slash - path) > snapshot_len) {
        *slash = '\0';
        if (!jl_file_remove(path))
            return;
        slash = strrchr(path, '/');
    }
}

static jl_status remove_link(removal *r, const char *snapshot, const jl_hub_file *f)
{
    char path[JL_HUB_PATH];

    JL_TRY(jl_hub_join(path, sizeof path, r->err, "%s/%s", snapshot, f->name));
    r->n_files++;
    if (!*f->hash) /* a copy, where links do not work */
        r->bytes += f->bytes;
    if (!r->dry_run && !jl_file_remove(path))
        return jl_fail(r->err, JL_IO, "cannot remove %s", path);
    if (!r->dry_run)
        remove_parents(path, strlen(snapshot));
    return jl_hub_files_add(&r->gone, f->name, f->bytes, f->hash, r->err);
}

static jl_status remove_in(removal *r, const char *snapshot, jl_hub_files *files)
{
    size_t first;

    JL_TRY(jl_hub_scan(snapshot, files, r->err));
    if (!r->all && files->n) {
        const jl_status s = jl_hub_choose(files, r->spec, &first, r->err);
        if (s != JL_OK && s != JL_IO)
            return s;
        if (s == JL_IO)
            for (size_t i = 0; i < files->n; i++)
                files->items[i].chosen = false;
    }
    for (size_t i = 0; i < files->n; i++) {
        jl_hub_file *f = &files->items[i];
        if (r->all || f->chosen)
            JL_TRY(remove_link(r, snapshot, f));
        else
            JL_TRY(jl_hub_files_add(&r->kept, f->name, f->bytes, f->hash, r->err));
    }
    return JL_OK;
}

static bool remove_snapshot(void *ctx, const char *snapshot)
{
    removal *r = ctx;
    jl_hub_files files = {0};

    r->status = remove_in(r, snapshot, &files);
    jl_hub_files_free(&files);
    if (r->status == JL_OK && r->all && !r->dry_run)
        (void)jl_file_remove(snapshot); /* stays if folders in it stay */
    return r->status == JL_OK;
}

/* A blob goes if its last link went, or with everything. */
static bool remove_blob(void *ctx, const jl_hub_blob *item)
{
    removal *r = ctx;
    const bool goes = r->all || (has_hash(&r->gone, item->name) && !has_hash(&r->kept, item->name));

    if (!goes)
        return true;
    r->bytes += item->bytes;
    if (r->all)
        r->n_files += strstr(item->name, ".incomplete") != NULL;
    if (!r->dry_run && !jl_file_remove(item->path))
        r->status = jl_fail(r->err, JL_IO, "cannot remove %s", item->path);
    return r->status == JL_OK;
}

static void remove_folders(const removal *r)
{
    static const char *const subs[] = {"refs/main", "refs", "snapshots", "blobs", ""};
    char path[JL_HUB_PATH];
    jl_error ignored;

    for (size_t i = 0; i < sizeof subs / sizeof *subs; i++)
        if (jl_hub_path(r->spec, subs[i], path, sizeof path, &ignored) == JL_OK)
            (void)jl_file_remove(path); /* one that is not empty stays */
}

jl_status jl_hub_remove(const jl_hub_spec *spec, bool dry_run, uint32_t *n_files, uint64_t *bytes,
                        jl_error *err)
{
    removal r = {.spec = spec, .dry_run = dry_run, .all = !spec->what[0], .err = err};

    jl_status s = jl_hub_each_snapshot(spec, remove_snapshot, &r, err);
    if (s == JL_OK)
        s = r.status;
    if (s == JL_OK)
        s = jl_hub_each_blob(spec, remove_blob, &r, err);
    if (s == JL_OK)
        s = r.status;
    jl_hub_files_free(&r.gone);
    jl_hub_files_free(&r.kept);
    if (s == JL_OK && r.n_files == 0)
        return jl_fail(err, JL_INVALID, "the cache has no hf:%s%s%s; joule list shows what it has",
                       spec->repo, spec->what[0] ? ":" : "", spec->what);
    if (s == JL_OK && r.all && !dry_run)
        remove_folders(&r);
    *n_files = r.n_files;
    *bytes = r.bytes;
    return s;
}
