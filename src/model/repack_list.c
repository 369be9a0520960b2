/* The folder of repacked weights: what is in it, and removing it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/folder.h"
#include "base/mem.h"
#include "model/repack.h"

enum { MAX_FILES = 1024 };

typedef struct {
    char name[JL_REPACK_NAME_CAP];
    uint64_t n_bytes, modified_ns;
} found;

typedef struct {
    found *files; /* [MAX_FILES] */
    size_t n;
} listing;

/* 32 hexadecimal digits, "-v1.gguf", and of an unfinished one ".1234.tmp". */
bool jl_repack_is_name(const char *name)
{
    static const char hex[] = "0123456789abcdef";
    static const char digits[] = "0123456789";

    if (strlen(name) >= JL_REPACK_NAME_CAP || strspn(name, hex) != 32)
        return false;
    name += 32;
    if (strncmp(name, "-v", 2) != 0 || strspn(name + 2, digits) == 0)
        return false;
    name += 2 + strspn(name + 2, digits);
    if (strncmp(name, ".gguf", 5) != 0)
        return false;
    name += 5;
    if (*name == '\0')
        return true;
    if (*name != '.' || strspn(name + 1, digits) == 0)
        return false;
    return strcmp(name + 1 + strspn(name + 1, digits), ".tmp") == 0;
}

static bool take_name(void *ctx, const jl_folder_item *item)
{
    listing *l = ctx;

    if (item->is_folder || !jl_repack_is_name(item->name))
        return true;
    found *f = &l->files[l->n++];
    snprintf(f->name, sizeof f->name, "%s", item->name);
    f->n_bytes = item->n_bytes;
    f->modified_ns = item->modified_ns;
    return l->n < MAX_FILES;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const found *)a)->name, ((const found *)b)->name);
}

/* l->files is freed by the caller in any case. A folder that is not there holds nothing. */
static jl_status list(const char *folder, listing *l, jl_error *err)
{
    *l = (listing){.files = jl_calloc(MAX_FILES, sizeof *l->files)};
    if (!l->files)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    if (jl_folder_each(folder, take_name, l, NULL) != JL_OK)
        l->n = 0;
    qsort(l->files, l->n, sizeof *l->files, by_name);
    return JL_OK;
}

/* The model that a file was made of, in text; false if it does not say. */
static bool read_source(const char *path, char *text, size_t cap, uint32_t *n_tensors)
{
    jl_gguf *g = NULL;
    jl_str source;

    if (jl_gguf_open(path, &g, NULL) != JL_OK)
        return false;
    const bool is_one = jl_gguf_find_tensor(g, JL_REPACK_SUMS) &&
                        jl_gguf_get_str(g, JL_REPACK_KEY_SOURCE, &source) && source.len < cap;
    if (is_one) {
        memcpy(text, source.ptr, source.len);
        text[source.len] = '\0';
        *n_tensors = (uint32_t)jl_gguf_n_tensors(g) - 1;
    }
    jl_gguf_close(g);
    return is_one;
}

static void show(const found *f, const char *path, void (*fn)(void *ctx, const jl_repack_entry *e),
                 void *ctx)
{
    const uint64_t now = jl_clock_ns();
    char version[24];
    char source[4096] = "";
    jl_repack_entry e = {.path = path, .source = source, .bytes = f->n_bytes};

    e.age_s = now > f->modified_ns ? (now - f->modified_ns) / 1000000000u : 0;
    snprintf(version, sizeof version, "-v%d.gguf", JL_REPACK_VERSION);
    e.usable = read_source(path, source, sizeof source, &e.n_tensors) &&
               strcmp(f->name + 32, version) == 0;
    fn(ctx, &e);
}

jl_status jl_repack_list(const char *folder, void (*fn)(void *ctx, const jl_repack_entry *e),
                         void *ctx, jl_error *err)
{
    listing l;
    jl_status s = list(folder, &l, err);

    for (size_t i = 0; s == JL_OK && i < l.n; i++) {
        char *path = jl_repack_join(folder, l.files[i].name);
        if (path)
            show(&l.files[i], path, fn, ctx);
        else
            s = jl_fail(err, JL_NO_MEMORY, "out of memory");
        jl_free(path);
    }
    jl_free(l.files);
    return s;
}

/* false: it could not be removed. */
static bool remove_in(const char *folder, const char *name)
{
    char *path = jl_repack_join(folder, name);
    const bool ok = path && jl_file_remove(path);

    jl_free(path);
    return ok;
}

static jl_status clear(const char *folder, const listing *l, bool dry_run, uint32_t *n_files,
                       uint64_t *bytes, jl_error *err)
{
    *n_files = 0;
    *bytes = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (!dry_run && !remove_in(folder, l->files[i].name))
            return jl_fail(err, JL_IO, "cannot remove %s/%s", folder, l->files[i].name);
        ++*n_files;
        *bytes += l->files[i].n_bytes;
    }
    return JL_OK;
}

jl_status jl_repack_lock(const char *folder, jl_folder_lock **out, jl_error *err)
{
    char *path = jl_repack_join(folder, "lock");

    if (!path)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    jl_status s = jl_folder_lock_take(path, out, err);
    if (s == JL_INVALID)
        s = jl_fail(err, s, "another joule is writing to %s at this moment", folder);
    jl_free(path);
    return s;
}

jl_status jl_repack_clear(const char *folder, bool dry_run, uint32_t *n_files, uint64_t *bytes,
                          jl_error *err)
{
    jl_folder_lock *held = NULL;
    listing l;

    jl_status s = list(folder, &l, err);
    if (s == JL_OK && l.n && !dry_run)
        s = jl_repack_lock(folder, &held, err);
    if (s == JL_OK)
        s = clear(folder, &l, dry_run, n_files, bytes, err);
    jl_folder_lock_leave(held);
    jl_free(l.files);
    return s;
}

void jl_repack_tidy(const jl_repack_job *job)
{
    const char *folder = job->params->folder;
    const char *own = strrchr(job->path, '/') + 1;
    char real[PATH_MAX];
    const bool known = realpath(job->source, real) != NULL;
    listing l;

    if (list(folder, &l, NULL) != JL_OK)
        l.n = 0;
    for (size_t i = 0; i < l.n; i++) {
        char *path = jl_repack_join(folder, l.files[i].name);
        char source[4096];
        uint32_t unused;
        const bool left_over = strstr(l.files[i].name, ".tmp") != NULL;
        const bool same = path && known && read_source(path, source, sizeof source, &unused) &&
                          strcmp(source, real) == 0;
        if (path && (left_over || (same && strcmp(own, l.files[i].name) != 0)))
            (void)jl_file_remove(path);
        jl_free(path);
    }
    jl_free(l.files);
}
