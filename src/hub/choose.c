/* Which files of a repository are meant. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "hub/hub.h"

/* Relative, no empty, "." or ".." part, no control bytes. */
static bool is_safe(const char *name)
{
    const size_t n = strlen(name);

    if (n == 0 || n >= JL_HUB_NAME || name[0] == '/')
        return false;
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 32 || *c == '\\' || *c == 127)
            return false;
    for (const char *part = name;; part++) {
        const size_t len = strcspn(part, "/");
        if (len == 0 || (len == 1 && part[0] == '.') ||
            (len == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += len;
        if (!*part)
            return true;
    }
}

jl_status jl_hub_files_add(jl_hub_files *f, const char *name, uint64_t bytes, const char *hash,
                           jl_error *err)
{
    if (!is_safe(name))
        return jl_fail(err, JL_FORMAT, "a file of the repository is called '%.100s'", name);
    if (f->n >= JL_HUB_MAX_FILES)
        return jl_fail(err, JL_TOO_LARGE, "the repository has more than %d files",
                       JL_HUB_MAX_FILES);
    if (f->n == f->cap) {
        const size_t cap = f->cap ? 2 * f->cap : 64;
        jl_hub_file *items = jl_realloc(f->items, cap * sizeof *items);
        if (!items)
            return jl_fail(err, JL_NO_MEMORY, "out of memory");
        f->items = items;
        f->cap = cap;
    }
    jl_hub_file *file = &f->items[f->n];
    *file = (jl_hub_file){.name = jl_strndup(name, strlen(name)), .bytes = bytes};
    if (!file->name)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    snprintf(file->hash, sizeof file->hash, "%s", hash);
    f->n++;
    return JL_OK;
}

void jl_hub_files_free(jl_hub_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        jl_free(f->items[i].name);
    jl_free(f->items);
    *f = (jl_hub_files){0};
}

/* ---- names ---------------------------------------------------------------------------------- */

static bool ends(const char *s, const char *end)
{
    const size_t n = strlen(s);
    const size_t m = strlen(end);

    return n >= m && strcasecmp(s + n - m, end) == 0;
}

static const char *base_name(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash ? slash + 1 : name;
}

bool jl_hub_is_gguf(const char *name)
{
    const char *base = base_name(name);

    return ends(name, ".gguf") && strncasecmp(base, "mmproj", 6) != 0 &&
           strncasecmp(base, "imatrix", 7) != 0;
}

bool jl_hub_split(const char *name, unsigned *part, unsigned *n_parts, size_t *stem_len)
{
    enum { TAIL = sizeof "-00001-of-00003.gguf" - 1 };
    const size_t n = strlen(name);
    int used = 0;

    if (n <= TAIL)
        return false;
    const char *tail = name + n - TAIL;
    if (sscanf(tail, "-%5u-of-%5u.gguf%n", part, n_parts, &used) != 2 || used != TAIL ||
        *part < 1 || *part > *n_parts)
        return false;
    *stem_len = n - TAIL;
    return true;
}

/* The base name without parts and ".gguf". */
static void stem_of(const char *name, char *out, size_t cap)
{
    unsigned part;
    unsigned n_parts;
    size_t n = strlen(name);

    if (!jl_hub_split(name, &part, &n_parts, &n) && ends(name, ".gguf"))
        n -= 5;
    const size_t skip = (size_t)(base_name(name) - name);
    snprintf(out, cap, "%.*s", (int)(n - skip), name + skip);
}

static bool is_break(char c)
{
    return c == '-' || c == '.' || c == '_';
}

void jl_hub_label(const char *name, char *out, size_t cap)
{
    char stem[JL_HUB_NAME];

    stem_of(name, stem, sizeof stem);
    const char *at = strrchr(stem, '-');
    if (!at)
        at = strrchr(stem, '.');
    if (at && at - stem >= 3 && strncasecmp(at - 2, "UD", 2) == 0 && is_break(at[-3]))
        at -= 3;
    snprintf(out, cap, "%s", at ? at + 1 : "");
}

/* 2: the name ends with that quantisation; 1: with "UD-" before it; 3: it is the name; 0: no. */
static int matches(const char *name, const char *what)
{
    char stem[JL_HUB_NAME];
    const size_t m = strlen(what);

    if (strcmp(name, what) == 0 || strcmp(base_name(name), what) == 0)
        return 3;
    stem_of(name, stem, sizeof stem);
    const size_t n = strlen(stem);
    if (n < m || strcasecmp(stem + n - m, what) != 0)
        return 0;
    if (n == m)
        return 2;
    if (!is_break(stem[n - m - 1]))
        return 0;
    const bool ud = n - m >= 3 && strncasecmp(stem + n - m - 3, "UD", 2) == 0;
    return ud ? 1 : 2;
}

/* ---- the choice ----------------------------------------------------------------------------- */

/* A GGUF file that stands for a model: whole, or the first part. */
static bool is_first(const jl_hub_file *f)
{
    unsigned part;
    unsigned n_parts;
    size_t n;

    return jl_hub_is_gguf(f->name) && (!jl_hub_split(f->name, &part, &n_parts, &n) || part == 1);
}

static void describe(const jl_hub_files *f, char *out, size_t cap)
{
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < f->n && n + 40 < cap; i++) {
        char label[80];
        if (!is_first(&f->items[i]))
            continue;
        jl_hub_label(f->items[i].name, label, sizeof label);
        n += (size_t)snprintf(out + n, cap - n, "%s%.38s", n ? ", " : "",
                              *label ? label : base_name(f->items[i].name));
    }
}

static jl_status pick(const jl_hub_files *f, const jl_hub_spec *spec, size_t *out, jl_error *err)
{
    const char *what = spec->what[0] ? spec->what : "Q4_K_M";
    size_t n[4] = {0};
    size_t last[4] = {0};
    size_t n_all = 0;
    size_t only = 0;
    char labels[260];

    for (size_t i = 0; i < f->n; i++) {
        const int m = is_first(&f->items[i]) ? matches(f->items[i].name, what) : 0;
        n[m]++;
        last[m] = i;
        if (is_first(&f->items[i])) {
            n_all++;
            only = i;
        }
    }
    if (!spec->what[0] && n_all == 1) {
        *out = only;
        return JL_OK;
    }
    for (int m = 3; m > 0; m--)
        if (n[m] == 1) {
            *out = last[m];
            return JL_OK;
        } else if (n[m] > 1) {
            return jl_fail(err, JL_INVALID,
                           "%s has %zu files for %s; name the file: hf:%s:FILE.gguf", spec->repo,
                           n[m], what, spec->repo);
        }
    describe(f, labels, sizeof labels);
    if (spec->what[0])
        return jl_fail(err, JL_IO, "%s has no file for %s; it has %s", spec->repo, what, labels);
    return jl_fail(err, JL_INVALID, "%s has several files; say which one, as in hf:%s:QUANT: %s",
                   spec->repo, spec->repo, labels);
}

static jl_status choose_parts(jl_hub_files *f, size_t first, jl_error *err)
{
    const char *name = f->items[first].name;
    unsigned part;
    unsigned n_parts;
    unsigned n_found = 0;
    size_t stem;

    f->items[first].chosen = true;
    if (!jl_hub_split(name, &part, &n_parts, &stem))
        return JL_OK;
    for (size_t i = 0; i < f->n; i++) {
        unsigned p;
        unsigned q;
        size_t n;
        if (!jl_hub_split(f->items[i].name, &p, &q, &n) || q != n_parts || n != stem ||
            strncmp(f->items[i].name, name, n) != 0)
            continue;
        f->items[i].chosen = true;
        n_found++;
    }
    if (n_found != n_parts)
        return jl_fail(err, JL_FORMAT, "%s: %u of its %u parts are there", name, n_found, n_parts);
    return JL_OK;
}

static bool of_checkpoint(const char *name)
{
    static const char *const names[] = {"config.json",
                                        "generation_config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "chat_template.jinja",
                                        "chat_template.json",
                                        "model.safetensors.index.json"};

    if (strchr(name, '/'))
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return ends(name, ".safetensors") && strncmp(name, "consolidated", 12) != 0;
}

static jl_status choose_checkpoint(jl_hub_files *f, const jl_hub_spec *spec, jl_error *err)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n; i++) {
        f->items[i].chosen = of_checkpoint(f->items[i].name);
        n += f->items[i].chosen && ends(f->items[i].name, ".safetensors");
    }
    if (n == 0)
        return jl_fail(err, JL_IO, "%s has neither GGUF files nor safetensors", spec->repo);
    if (spec->what[0])
        return jl_fail(err, JL_IO,
                       "%s has no GGUF files; without ':%.60s' its checkpoint is taken, which "
                       "joule converts",
                       spec->repo, spec->what);
    return JL_OK;
}

jl_status jl_hub_choose(jl_hub_files *f, const jl_hub_spec *spec, size_t *first, jl_error *err)
{
    bool any = false;

    for (size_t i = 0; i < f->n; i++) {
        f->items[i].chosen = false;
        any = any || is_first(&f->items[i]);
    }
    *first = SIZE_MAX;
    if (!any)
        return choose_checkpoint(f, spec, err);
    JL_TRY(pick(f, spec, first, err));
    return choose_parts(f, *first, err);
}
