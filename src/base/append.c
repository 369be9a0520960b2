/* Growing files; see append.h. */
#include "base/append.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/mem.h"

struct jl_append {
    int fd;
    char *path;
};

static jl_status io_error(const char *what, const char *path, jl_error *err)
{
    const int reason = errno;

    return jl_fail(err, JL_IO, "cannot %s %s: %s", what, path, strerror(reason));
}

jl_status jl_append_open(const char *path, jl_append **out, uint64_t *n_old, jl_error *err)
{
    jl_append *a = jl_calloc(1, sizeof *a);
    struct stat st;

    if (a)
        a->path = jl_strndup(path, strlen(path));
    if (!a || !a->path) {
        jl_free(a);
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    }
    a->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (a->fd < 0 || fstat(a->fd, &st) != 0) {
        const jl_status s = io_error("write", path, err);
        jl_append_close(a);
        return s;
    }
    *n_old = (uint64_t)st.st_size;
    *out = a;
    return JL_OK;
}

jl_status jl_append_read(jl_append *a, uint64_t pos, void *data, size_t n, jl_error *err)
{
    uint8_t *to = data;

    while (n > 0) {
        const ssize_t got = pread(a->fd, to, n, (off_t)pos);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return io_error("read", a->path, err);
        if (got == 0)
            return jl_fail(err, JL_IO, "%s became shorter while it was read", a->path);
        to += got;
        pos += (uint64_t)got;
        n -= (size_t)got;
    }
    return JL_OK;
}

jl_status jl_append_write(jl_append *a, const void *data, size_t n, jl_error *err)
{
    const uint8_t *from = data;

    while (n > 0) {
        const ssize_t put = write(a->fd, from, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return io_error("write", a->path, err);
        from += put;
        n -= (size_t)put;
    }
    return JL_OK;
}

jl_status jl_append_clear(jl_append *a, jl_error *err)
{
    return ftruncate(a->fd, 0) == 0 ? JL_OK : io_error("shorten", a->path, err);
}

jl_status jl_append_finish(jl_append *a, const char *path, jl_error *err)
{
    jl_status s = JL_OK;

    if (fsync(a->fd) != 0)
        s = io_error("write", a->path, err);
    else if (rename(a->path, path) != 0)
        s = io_error("make", path, err);
    jl_append_close(a);
    return s;
}

void jl_append_close(jl_append *a)
{
    if (!a)
        return;
    if (a->fd >= 0)
        close(a->fd);
    jl_free(a->path);
    jl_free(a);
}

jl_status jl_folders_make(const char *path, jl_error *err)
{
    char *copy = jl_strndup(path, strlen(path));
    jl_status s = JL_OK;

    if (!copy)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (char *c = copy + 1; *c && s == JL_OK; c++) {
        if (*c != '/')
            continue;
        *c = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST && !jl_is_folder(copy))
            s = io_error("make the folder", copy, err);
        *c = '/';
    }
    jl_free(copy);
    return s;
}

jl_status jl_link_put(const char *target, const char *path, jl_error *err)
{
    const size_t cap = strlen(path) + 32;
    char *temp = jl_malloc(cap);
    jl_status s = JL_OK;

    if (!temp)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    snprintf(temp, cap, "%s.%ld.tmp", path, (long)getpid());
    (void)unlink(temp);
    if (symlink(target, temp) != 0 || rename(temp, path) != 0) {
        s = io_error("make the link", path, err);
        (void)unlink(temp);
    }
    jl_free(temp);
    return s;
}

bool jl_link_read(const char *path, char *out, size_t cap)
{
    const ssize_t n = readlink(path, out, cap);

    if (n < 0 || (size_t)n >= cap)
        return false;
    out[n] = '\0';
    return true;
}

bool jl_file_bytes(const char *path, uint64_t *out)
{
    struct stat st;

    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    *out = (uint64_t)st.st_size;
    return true;
}

bool jl_is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

uint64_t jl_disk_free(const char *path)
{
    struct statvfs v;

    if (statvfs(path, &v) != 0 || v.f_frsize == 0)
        return UINT64_MAX;
    return (uint64_t)v.f_bavail * v.f_frsize;
}
