/* joule cache: what is kept of repacked weights. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hub_cli.h"
#include "joule/repack.h"
#include "json.h"
#include "load.h"
#include "paths.h"
#include "ui.h"

enum { PATH_CAP = 4096 };

typedef struct {
    bool json;
    unsigned n;
    uint64_t bytes;
} list_run;

/* "45 s", "12 min", "3 h", "5 d" */
static const char *age(uint64_t s, char out[24])
{
    static const struct {
        uint64_t least, unit;
        const char *name;
    } units[] = {{172800, 86400, "d"}, {7200, 3600, "h"}, {120, 60, "min"}, {0, 1, "s"}};
    size_t i = 0;

    while (s < units[i].least)
        i++;
    snprintf(out, 24, "%llu %s", (unsigned long long)(s / units[i].unit), units[i].name);
    return out;
}

static void print_json(const jl_repack_entry *e, bool first)
{
    printf("%s\n  {\"path\": ", first ? "" : ",");
    json_print_string(stdout, e->path, strlen(e->path));
    printf(", \"model\": ");
    json_print_string(stdout, e->source, strlen(e->source));
    printf(", \"bytes\": %llu, \"n_tensors\": %u, \"age_s\": %llu, \"usable\": %s}",
           (unsigned long long)e->bytes, e->n_tensors, (unsigned long long)e->age_s,
           e->usable ? "true" : "false");
}

static void print_entry(void *ctx, const jl_repack_entry *e)
{
    list_run *r = ctx;
    char text[2][24];

    r->bytes += e->bytes;
    if (r->json)
        print_json(e, r->n == 0);
    else if (e->usable)
        printf("%10s  %7s old  %4u tensors of %s: %s\n", ui_bytes(e->bytes, text[0]),
               age(e->age_s, text[1]), e->n_tensors, e->source, e->path);
    else
        printf("%10s  %7s old  not usable (of another version, or damaged): %s\n",
               ui_bytes(e->bytes, text[0]), age(e->age_s, text[1]), e->path);
    r->n++;
}

static int list(const opts *o, const char *folder)
{
    list_run r = {.json = opt_on(o, OPT_JSON)};
    jl_error err = {0};
    char bytes[24];

    if (r.json)
        printf("[");
    const jl_status s = jl_repack_list(folder, print_entry, &r, &err);
    if (r.json)
        printf("%s]\n", r.n ? "\n" : "");
    else if (r.n)
        printf("%10s  in all\n", ui_bytes(r.bytes, bytes));
    return s == JL_OK ? EXIT_OK : ui_fail(o, &err);
}

static int clear(const opts *o, const char *folder)
{
    char question[PATH_CAP + 100];
    char size[24];
    uint32_t n = 0;
    uint64_t bytes = 0;
    jl_error err = {0};

    if (jl_repack_clear(folder, true, &n, &bytes, &err) != JL_OK)
        return ui_fail(o, &err);
    if (n && !opt_on(o, OPT_YES)) {
        if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
            return usage_error(o, "this removes %u file%s, %s; say --yes", n, n == 1 ? "" : "s",
                               ui_bytes(bytes, size));
        snprintf(question, sizeof question, "Remove %u file%s of repacked weights, %s, from %s?", n,
                 n == 1 ? "" : "s", ui_bytes(bytes, size), folder);
        if (!hub_ask(question))
            return EXIT_FAIL;
    }
    if (jl_repack_clear(folder, false, &n, &bytes, &err) != JL_OK)
        return ui_fail(o, &err);
    if (!opt_on(o, OPT_QUIET))
        fprintf(stderr, "%u file%s removed, %s freed\n", n, n == 1 ? "" : "s",
                ui_bytes(bytes, size));
    return EXIT_OK;
}

int cmd_cache(const opts *o)
{
    const char *what = o->n_args == 1 ? o->args[0] : "";
    char folder[PATH_CAP];
    jl_error err = {0};

    if (strcmp(what, "list") != 0 && strcmp(what, "clear") != 0)
        return usage_error(o, "say list or clear");
    if (!path_repack(folder, sizeof folder)) {
        (void)tool_error(&err, JL_IO, "there is no cache folder: set XDG_CACHE_HOME or HOME");
        return ui_fail(o, &err);
    }
    return strcmp(what, "list") == 0 ? list(o, folder) : clear(o, folder);
}
