/* One-line files below a root. */
#include "power/sysfs.h"

#include <stdio.h>
#include <string.h>

bool jl_path_join(char *out, size_t cap, const char *folder, const char *name)
{
    const int n = snprintf(out, cap, "%s/%s", folder, name);

    return n > 0 && (size_t)n < cap;
}

static jl_read_result real_line(void *ctx, const char *path, char *text, size_t cap)
{
    char full[2 * JL_SYS_PATH];

    text[0] = '\0';
    if (!jl_path_join(full, sizeof full, ctx, path))
        return JL_READ_FAILED;
    return jl_line_read(full, text, cap);
}

static bool real_each(void *ctx, const char *path, jl_dir_fn *fn, void *fn_ctx)
{
    char full[2 * JL_SYS_PATH];

    return jl_path_join(full, sizeof full, ctx, path) && jl_dir_each(full, fn, fn_ctx);
}

jl_sysfs jl_sysfs_at(const char *root)
{
    return (jl_sysfs){real_line, real_each, (void *)(uintptr_t)root};
}

jl_read_result jl_sysfs_text(const jl_sysfs *fs, const char *folder, const char *name, char *text,
                             size_t cap)
{
    char path[JL_SYS_PATH];

    text[0] = '\0';
    if (!jl_path_join(path, sizeof path, folder, name))
        return JL_READ_FAILED;
    return fs->line(fs->ctx, path, text, cap);
}

bool jl_number_parse(const char *text, int64_t *out)
{
    const char *s = text + strspn(text, " \t");
    const bool negative = *s == '-';
    uint64_t value = 0;

    s += *s == '-' || *s == '+';
    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9'; s++) {
        const uint64_t digit = (uint64_t)(*s - '0');
        if (value > (INT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    s += strspn(s, " \t\r");
    if (*s)
        return false;
    *out = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

jl_read_result jl_sysfs_number(const jl_sysfs *fs, const char *folder, const char *name,
                               int64_t *out)
{
    char text[64];
    const jl_read_result r = jl_sysfs_text(fs, folder, name, text, sizeof text);

    if (r != JL_READ_OK)
        return r;
    return jl_number_parse(text, out) ? JL_READ_OK : JL_READ_FAILED;
}

typedef struct {
    const char *prefix;
    jl_sys_names *names;
} name_filter;

/* Keeps the list sorted, so that nothing depends on the order of a folder. */
static bool add_name(void *ctx, const char *name)
{
    const name_filter *f = ctx;
    jl_sys_names *l = f->names;
    const size_t len = strlen(name);
    size_t i = l->n;

    if (strncmp(name, f->prefix, strlen(f->prefix)) != 0 || len >= JL_SYS_NAME)
        return true;
    if (l->n == JL_SYS_NAMES)
        return false;
    while (i > 0 && strcmp(l->name[i - 1], name) > 0)
        i--;
    if (i > 0 && strcmp(l->name[i - 1], name) == 0) /* a folder that changes while it is read */
        return true;
    memmove(l->name[i + 1], l->name[i], (l->n - i) * JL_SYS_NAME);
    memcpy(l->name[i], name, len + 1);
    l->n++;
    return true;
}

size_t jl_sysfs_names(const jl_sysfs *fs, const char *folder, const char *prefix, jl_sys_names *out)
{
    name_filter f = {prefix, out};

    out->n = 0;
    (void)fs->each(fs->ctx, folder, add_name, &f);
    return out->n;
}
