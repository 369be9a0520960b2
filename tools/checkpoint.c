/* Checkpoint folders that are given where a model file is expected. */
#include "checkpoint.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "joule/convert.h"
#include "load.h"
#include "paths.h"
#include "ui.h"

static bool on_convert(void *ctx, uint64_t done, uint64_t total)
{
    ui_progress_show(ctx, (double)done / (double)total, NULL);
    return !ui_interrupted;
}

/* Cuts the last name off path and returns it; NULL if there is none. */
static char *cut_name(char *path)
{
    char *slash = strrchr(path, '/');

    if (!slash || !slash[1])
        return NULL;
    *slash = 0;
    return slash + 1;
}

enum { NAME_CAP = 256 };

/* The part behind the last "--" of OWNER--REPO. */
static void repo_name(const char *repo, char name[NAME_CAP])
{
    const char *last = repo;

    for (const char *at = repo; (at = strstr(at, "--")); at += 2)
        last = at + 2;
    snprintf(name, NAME_CAP, "%.*s", NAME_CAP - 1, last);
}

/* For .../models--OWNER--REPO/snapshots/COMMIT: path "OWNER--REPO/COMMIT.gguf" below joule's own
 * cache, model "REPO". false if folder is not such a snapshot; an empty path if there is no cache.
 */
static bool snapshot_file(const char *folder, char *path, size_t cap, char model[NAME_CAP])
{
    static const char prefix[] = "models--";
    char real[PATH_MAX];
    char name[PATH_MAX];

    if (!realpath(folder, real))
        return false;
    const char *commit = cut_name(real);
    const char *snapshots = commit ? cut_name(real) : NULL;
    const char *repo = snapshots && strcmp(snapshots, "snapshots") == 0 ? cut_name(real) : NULL;
    if (!repo || strncmp(repo, prefix, sizeof prefix - 1) != 0)
        return false;
    repo_name(repo + sizeof prefix - 1, model);
    if (snprintf(name, sizeof name, "%s/%s.gguf", repo + sizeof prefix - 1, commit) >=
            (int)sizeof name ||
        !path_converted(name, path, cap) || !path_make_folders(path))
        path[0] = 0;
    return true;
}

static bool is_newer(const char *made, const char *folder)
{
    char config[PATH_MAX];
    struct stat a;
    struct stat b;

    return snprintf(config, sizeof config, "%s/config.json", folder) < (int)sizeof config &&
           stat(config, &b) == 0 && stat(made, &a) == 0 && a.st_mtime >= b.st_mtime;
}

jl_status checkpoint_model(const opts *o, const char *folder, char *path, size_t cap, jl_error *err)
{
    char name[NAME_CAP];
    ui_progress progress;
    jl_convert_params params = {
        .struct_size = sizeof params, .progress = on_convert, .progress_ctx = &progress};

    if (snapshot_file(folder, path, cap, name)) {
        params.name = name;
        if (!path[0])
            return tool_error(err, JL_IO,
                              "no cache folder can be made for the converted checkpoint: set "
                              "XDG_CACHE_HOME or HOME, or use joule convert %s OUT.gguf",
                              folder);
    } else if (snprintf(path, cap, "%s/joule.gguf", folder) >= (int)cap) {
        return tool_error(err, JL_INVALID, "the folder's name is too long");
    }
    if (is_newer(path, folder))
        return JL_OK;
    if (!opt_on(o, OPT_QUIET))
        fprintf(stderr, "joule: %s is a checkpoint; it is converted once, to %s\n", folder, path);
    ui_progress_start(&progress, o, "converting");
    const jl_status status = jl_convert(folder, path, &params, NULL, err);
    ui_progress_end(&progress);
    return status;
}

/* Removes the file and returns its bytes. */
static uint64_t remove_file(const char *folder, const char *name)
{
    char path[2 * PATH_MAX];
    struct stat s;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path ||
        stat(path, &s) != 0 || !S_ISREG(s.st_mode) || unlink(path) != 0)
        return 0;
    return (uint64_t)s.st_size;
}

uint64_t checkpoint_forget(const char *repo)
{
    char folder[PATH_MAX];
    char name[PATH_MAX];
    uint64_t bytes = 0;
    const char *slash = strchr(repo, '/');

    if (!slash ||
        snprintf(name, sizeof name, "%.*s--%s", (int)(slash - repo), repo, slash + 1) >=
            (int)sizeof name ||
        !path_converted(name, folder, sizeof folder))
        return 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        bytes += remove_file(folder, e->d_name);
    if (d)
        (void)closedir(d);
    (void)rmdir(folder);
    return bytes;
}
