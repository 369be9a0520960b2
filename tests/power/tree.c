/* Looking up paths in a tree that is a text. */
#include "tree.h"

#include <string.h>

typedef struct {
    const char *path, *value;
    size_t path_len, value_len;
    char kind; /* '=' or '!' */
} row;

/* The next row at *at; false at the end. Lines of another form are skipped. */
static bool next_row(const tree *t, size_t *at, row *r)
{
    while (*at < t->len) {
        const char *line = t->text + *at;
        const char *nl = memchr(line, '\n', t->len - *at);
        const size_t len = nl ? (size_t)(nl - line) : t->len - *at;
        *at += len + (nl != NULL);
        const char *space = memchr(line, ' ', len);
        if (!space || (size_t)(space - line) + 3 > len || space[2] != ' ' ||
            (space[1] != '=' && space[1] != '!'))
            continue;
        *r = (row){line, space + 3, (size_t)(space - line), len - (size_t)(space - line) - 3,
                   space[1]};
        return true;
    }
    return false;
}

static jl_read_result tree_line(void *ctx, const char *path, char *text, size_t cap)
{
    const tree *t = ctx;
    const size_t len = strlen(path);
    jl_read_result result = JL_READ_ABSENT;
    size_t at = 0;
    row r;

    text[0] = '\0';
    while (next_row(t, &at, &r)) {
        if (r.path_len != len || memcmp(r.path, path, len) != 0)
            continue;
        text[0] = '\0';
        result = JL_READ_OK;
        if (r.kind == '!')
            result = r.value[0] == 'd'   ? JL_READ_DENIED
                     : r.value[0] == 'a' ? JL_READ_ABSENT
                                         : JL_READ_FAILED;
        if (result != JL_READ_OK)
            continue;
        const size_t n = r.value_len < cap - 1 ? r.value_len : cap - 1;
        memcpy(text, r.value, n);
        text[n] = '\0';
    }
    return result;
}

/* Names below a folder; one may come several times, as a folder that changes while it is read may
 * show it. */
static bool tree_each(void *ctx, const char *path, jl_dir_fn *fn, void *fn_ctx)
{
    const tree *t = ctx;
    const size_t len = strlen(path);
    char last[64] = "";
    bool found = false;
    size_t at = 0;
    row r;

    while (next_row(t, &at, &r)) {
        char name[64];
        if (r.path_len <= len + 1 || memcmp(r.path, path, len) != 0 || r.path[len] != '/')
            continue;
        const char *rest = r.path + len + 1;
        const size_t left = r.path_len - len - 1;
        const char *slash = memchr(rest, '/', left);
        const size_t n = slash ? (size_t)(slash - rest) : left;
        if (n == 0 || n >= sizeof name)
            continue;
        memcpy(name, rest, n);
        name[n] = '\0';
        found = true;
        if (strcmp(name, last) == 0)
            continue;
        memcpy(last, name, n + 1);
        if (!fn(fn_ctx, name))
            return true;
    }
    return found;
}

jl_sysfs tree_sysfs(const tree *t)
{
    return (jl_sysfs){tree_line, tree_each, (void *)(uintptr_t)t};
}
