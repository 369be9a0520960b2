/* joule pull, list and rm: models of the Hugging Face Hub in the shared cache. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint.h"
#include "hub_cli.h"
#include "json.h"
#include "ui.h"

enum { PATH_CAP = 4096 };

int cmd_pull(const opts *o)
{
    char path[PATH_CAP];
    jl_hub_spec spec;
    jl_error err = {0};

    if (o->n_args != 1)
        return usage_error(o, "say which model: hf:OWNER/REPO:QUANT");
    jl_status s = jl_hub_parse(o->args[0], &spec, &err);
    if (s == JL_OK)
        s = hub_pull(o, &spec, path, sizeof path, &err);
    if (s != JL_OK)
        return ui_fail(o, &err);
    printf("%s\n", path);
    return EXIT_OK;
}

typedef struct {
    bool json;
    unsigned n;
    uint64_t bytes;
} list_run;

static void print_entry(void *ctx, const jl_hub_entry *e)
{
    list_run *r = ctx;
    char bytes[24];

    r->bytes += e->bytes;
    if (r->json) {
        printf("%s\n  {\"spec\": ", r->n++ ? "," : "");
        json_print_string(stdout, e->spec, strlen(e->spec));
        printf(", \"repo\": ");
        json_print_string(stdout, e->repo, strlen(e->repo));
        printf(", \"name\": ");
        json_print_string(stdout, e->name, strlen(e->name));
        printf(", \"path\": ");
        json_print_string(stdout, e->path, strlen(e->path));
        printf(", \"bytes\": %llu, \"n_files\": %u, \"unfinished\": %s}",
               (unsigned long long)e->bytes, e->n_files, e->unfinished ? "true" : "false");
        return;
    }
    r->n++;
    printf("%10s  %-60s %s\n", ui_bytes(e->bytes, bytes), e->spec,
           e->unfinished ? "(stopped download)" : *e->name ? e->name : "(checkpoint)");
}

int cmd_list(const opts *o)
{
    list_run r = {.json = opt_on(o, OPT_JSON)};
    jl_error err = {0};
    char bytes[24];

    if (r.json)
        printf("[");
    const jl_status s = jl_hub_list(print_entry, &r, &err);
    if (r.json)
        printf("%s]\n", r.n ? "\n" : "");
    else if (r.n)
        printf("%10s  in all\n", ui_bytes(r.bytes, bytes));
    return s == JL_OK ? EXIT_OK : ui_fail(o, &err);
}

static int remove_model(const opts *o, const jl_hub_spec *spec, jl_error *err)
{
    char question[400];
    char size[24];
    uint32_t n = 0;
    uint64_t bytes = 0;

    jl_status s = jl_hub_remove(spec, true, &n, &bytes, err);
    if (s != JL_OK)
        return ui_fail(o, err);
    if (!opt_on(o, OPT_YES)) {
        if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
            return usage_error(o, "this removes %u file%s, %s; say --yes", n, n == 1 ? "" : "s",
                               ui_bytes(bytes, size));
        snprintf(question, sizeof question, "Remove %u file%s of %s, %s?", n, n == 1 ? "" : "s",
                 spec->repo, ui_bytes(bytes, size));
        if (!hub_ask(question))
            return EXIT_FAIL;
    }
    s = jl_hub_remove(spec, false, &n, &bytes, err);
    if (s != JL_OK)
        return ui_fail(o, err);
    if (!*spec->what) /* all of the repository: what was made of its checkpoint, too */
        bytes += checkpoint_forget(spec->repo);
    if (!opt_on(o, OPT_QUIET))
        fprintf(stderr, "%u file%s removed, %s freed\n", n, n == 1 ? "" : "s",
                ui_bytes(bytes, size));
    return EXIT_OK;
}

int cmd_rm(const opts *o)
{
    jl_hub_spec spec;
    jl_error err = {0};

    if (o->n_args != 1)
        return usage_error(o, "say which model, as joule list prints it: hf:OWNER/REPO:QUANT");
    if (jl_hub_parse(o->args[0], &spec, &err) != JL_OK)
        return ui_fail(o, &err);
    return remove_model(o, &spec, &err);
}
