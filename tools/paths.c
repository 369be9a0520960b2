/* Where things are. */
#include "paths.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <mach-o/dyld.h>
#endif

#include "joule/sys.h"

#ifndef JOULE_DATADIR
#define JOULE_DATADIR "/usr/local/share/joule"
#endif

static const char bundled_name[] = "joule-tiny.gguf";

static bool readable(const char *path)
{
    return access(path, R_OK) == 0;
}

bool path_program(char *out, size_t cap)
{
#if defined(__APPLE__)
    uint32_t n = (uint32_t)cap;
    if (_NSGetExecutablePath(out, &n) != 0)
        return false;
#else
    const ssize_t n = readlink("/proc/self/exe", out, cap - 1);
    if (n <= 0)
        return false;
    out[n] = 0;
#endif
    return true;
}

/* Folder of this program, without the last slash. false if the system does not say. */
static bool program_folder(char *out, size_t cap)
{
    if (!path_program(out, cap))
        return false;
    char *slash = strrchr(out, '/');
    if (!slash)
        return false;
    *slash = 0;
    return true;
}

const char *path_bundled(void)
{
    static const char *const beside[] = {"../share/joule", "../models", "models", "../../models"};
    static char path[PATH_MAX + 64];
    static char real[PATH_MAX];
    char folder[PATH_MAX];

    const char *data = jl_env("JOULE_DATA_DIR");
    if (data) { /* the person's choice is the only place then */
        snprintf(path, sizeof path, "%.*s/%s", PATH_MAX, data, bundled_name);
        return path;
    }
    if (program_folder(folder, sizeof folder - 32))
        for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
            snprintf(path, sizeof path, "%s/%s/%s", folder, beside[i], bundled_name);
            if (realpath(path, real) && readable(real))
                return real;
        }
    snprintf(path, sizeof path, "%s/%s", JOULE_DATADIR, bundled_name);
    return readable(path) ? path : NULL;
}

const char *path_shared(const char *name)
{
    static const char *const beside[] = {"../share/joule", "../share", "../../share"};
    static char path[PATH_MAX + 128];
    static char real[PATH_MAX];
    char folder[PATH_MAX];

    if (program_folder(folder, sizeof folder - 32))
        for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
            snprintf(path, sizeof path, "%s/%s/%.80s", folder, beside[i], name);
            if (realpath(path, real) && readable(real))
                return real;
        }
    snprintf(path, sizeof path, "%s/%.80s", JOULE_DATADIR, name);
    return readable(path) ? path : NULL;
}

bool path_make_folders(char *path)
{
    for (char *s = path + 1; *s; s++)
        if (*s == '/') {
            *s = 0;
            const bool ok = mkdir(path, 0700) == 0 || errno == EEXIST;
            *s = '/';
            if (!ok)
                return false;
        }
    return true;
}

bool path_history(char *out, size_t cap)
{
    const char *state = jl_env("XDG_STATE_HOME");
    const char *home = jl_env("HOME");
    int n = 0;

    if (state && state[0] == '/')
        n = snprintf(out, cap, "%s/joule/history", state);
    else if (home && home[0] == '/')
        n = snprintf(out, cap, "%s/.local/state/joule/history", home);
    return n > 0 && (size_t)n < cap && path_make_folders(out);
}

/* Below the user's cache folder. */
static bool cache_folder(const char *name, char *out, size_t cap)
{
    const char *cache = jl_env("XDG_CACHE_HOME");
    const char *home = jl_env("HOME");
    int n = 0;

    if (cache && cache[0] == '/')
        n = snprintf(out, cap, "%s/joule/%s", cache, name);
    else if (home && home[0] == '/')
        n = snprintf(out, cap, "%s/.cache/joule/%s", home, name);
    return n > 0 && (size_t)n < cap;
}

bool path_cache(char *out, size_t cap)
{
    return cache_folder("prefix", out, cap);
}

bool path_converted(const char *name, char *out, size_t cap)
{
    char below[PATH_MAX];

    return snprintf(below, sizeof below, "converted/%s", name) < (int)sizeof below &&
           cache_folder(below, out, cap);
}

bool path_repack(char *out, size_t cap)
{
    return cache_folder("repack", out, cap);
}

bool path_shaders(char *out, size_t cap)
{
    return cache_folder("shaders", out, cap);
}

void path_model_id(const char *path, char *out, size_t cap)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const size_t len = strlen(name);
    const size_t n = len > 5 && strcmp(name + len - 5, ".gguf") == 0 ? len - 5 : len;

    snprintf(out, cap, "%.*s", (int)n, name);
}
