/* Atomic writing: an unnamed or temporary file that takes the target's name at the very end. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/mem.h"

enum { BUFFER_BYTES = 1 << 20 };

struct jl_writer {
    int fd;
    char *path;    /* the target, symbolic links resolved */
    char *temp;    /* temporary name beside it; NULL: written in place */
    bool unnamed;  /* opened with O_TMPFILE: temp does not exist before commit */
    uint64_t pos;  /* bytes accepted */
    size_t n_held; /* bytes in the buffer */
    uint8_t *buffer;
    bool partial;   /* temp is kept for a later run */
    uint64_t n_old; /* bytes of an earlier run that still count; pos is below or at it */
};

/* The file behind path if it is a symbolic link (rename would replace the link), else path. */
static char *resolve(const char *path)
{
    char *real = realpath(path, NULL);
    char *copy = real ? jl_strndup(real, strlen(real)) : jl_strndup(path, strlen(path));
    free(real);
    return copy;
}

static char *temp_name(const char *path, bool partial)
{
    const size_t cap = strlen(path) + 32;
    char *name = jl_malloc(cap);
    if (name && partial)
        snprintf(name, cap, "%s.partial", path);
    else if (name)
        snprintf(name, cap, "%s.%ld.tmp", path, (long)getpid());
    return name;
}

/* An unnamed file in the target's folder, or -1 where that does not work. */
static int open_unnamed(const char *path)
{
#if defined(O_TMPFILE)
    if (access("/proc/self/fd", X_OK) != 0) /* naming it goes through there */
        return -1;
    char *dir = jl_strndup(path, strlen(path));
    if (!dir)
        return -1;
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = '\0';
    const int fd = open(slash ? dir : ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    jl_free(dir);
    return fd;
#else
    (void)path;
    return -1;
#endif
}

/* The file of an earlier run, or a new one. Held by one process at a time. */
static int open_partial(jl_writer *w, jl_error *err)
{
    struct stat st;
    const int fd = open(w->temp, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        errno = EBUSY; /* another run is writing it */
        return -1;
    }
    w->n_old = fstat(fd, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
    (void)err;
    return fd;
}

static jl_status open_target(jl_writer *w, jl_error *err)
{
    struct stat st;
    const bool exists = stat(w->path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode))
        return jl_fail(err, JL_IO, "cannot write %s: it is a directory", w->path);
    if (exists && !S_ISREG(st.st_mode)) {
        jl_free(w->temp);
        w->temp = NULL;
        w->fd = open(w->path, O_WRONLY | O_CLOEXEC);
    } else if (w->partial) {
        w->fd = open_partial(w, err);
    } else if ((w->fd = open_unnamed(w->path)) >= 0) {
        w->unnamed = true;
    } else {
        w->fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    if (w->fd < 0)
        return jl_fail(err, JL_IO, "cannot write %s: %s", w->path, strerror(errno));
    return JL_OK;
}

static void writer_free(jl_writer *w)
{
    jl_free(w->path);
    jl_free(w->temp);
    jl_free(w->buffer);
    jl_free(w);
}

static jl_status create(const char *path, bool partial, jl_writer **out, jl_error *err)
{
    jl_writer *w = jl_calloc(1, sizeof *w);
    if (!w)
        return jl_fail(err, JL_NO_MEMORY, "out of memory for writing %s", path);
    w->fd = -1;
    w->path = resolve(path);
    w->partial = partial;
    w->temp = w->path ? temp_name(w->path, partial) : NULL;
    w->buffer = jl_malloc(BUFFER_BYTES);
    const jl_status status = w->path && w->temp && w->buffer
                                 ? open_target(w, err)
                                 : jl_fail(err, JL_NO_MEMORY, "out of memory for writing %s", path);
    if (status != JL_OK) {
        writer_free(w);
        return status;
    }
    *out = w;
    return JL_OK;
}

jl_status jl_writer_create(const char *path, jl_writer **out, jl_error *err)
{
    return create(path, false, out, err);
}

jl_status jl_writer_create_partial(const char *path, jl_writer **out, jl_error *err)
{
    return create(path, true, out, err);
}

static jl_status write_failed(const jl_writer *w, int reason, jl_error *err)
{
    return jl_fail(err, JL_IO, "cannot write %s after %.3f GB: %s%s", w->path, (double)w->pos / 1e9,
                   strerror(reason),
                   reason == ENOSPC ? "; free some space or write elsewhere" : "");
}

static jl_status write_fully(jl_writer *w, const uint8_t *data, size_t n_bytes, jl_error *err)
{
    while (n_bytes > 0) {
        const ssize_t n = write(w->fd, data, n_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return write_failed(w, n < 0 ? errno : ENOSPC, err);
        data += n;
        n_bytes -= (size_t)n;
    }
    return JL_OK;
}

static jl_status flush(jl_writer *w, jl_error *err)
{
    const size_t n = w->n_held;
    w->n_held = 0;
    return write_fully(w, w->buffer, n, err);
}

jl_status jl_writer_reserve(jl_writer *w, uint64_t n_bytes, jl_error *err)
{
    if (!w->temp || n_bytes == 0)
        return JL_OK;
    int reason = 0;
#if defined(__linux__)
    if (n_bytes <= INT64_MAX && fallocate(w->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)n_bytes) != 0)
        reason = errno;
    if (reason != ENOSPC && reason != EFBIG && reason != EDQUOT)
        return JL_OK; /* done, or a file system without the call: then the writes will tell */
#endif
    struct statvfs fs;
    uint64_t free_bytes = 0;
    if (fstatvfs(w->fd, &fs) == 0)
        free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (reason == 0 && free_bytes >= n_bytes)
        return JL_OK;
    return jl_fail(err, JL_IO, "cannot write %s: it needs %.3f GB, the disk has %.3f GB free (%s)",
                   w->path, (double)n_bytes / 1e9, (double)free_bytes / 1e9,
                   strerror(reason ? reason : ENOSPC));
}

jl_status jl_writer_peek(const jl_writer *w, uint64_t pos, void *data, size_t n_bytes,
                         jl_error *err)
{
    uint8_t *p = data;

    if (pos > w->n_old || n_bytes > w->n_old - pos)
        return jl_fail(err, JL_INVALID, "%s does not reach that far", w->temp);
    while (n_bytes > 0) {
        const ssize_t n = pread(w->fd, p, n_bytes, (off_t)pos);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return jl_fail(err, JL_IO, "cannot read %s: %s", w->temp, strerror(n ? errno : EIO));
        p += n;
        pos += (uint64_t)n;
        n_bytes -= (size_t)n;
    }
    return JL_OK;
}

uint64_t jl_writer_left_over(const jl_writer *w)
{
    return w->n_old - (w->pos < w->n_old ? w->pos : w->n_old);
}

/* From here on the earlier run does not count. */
static jl_status drop_old(jl_writer *w, jl_error *err)
{
    w->n_old = 0;
    if (ftruncate(w->fd, (off_t)w->pos) != 0 || lseek(w->fd, (off_t)w->pos, SEEK_SET) < 0)
        return write_failed(w, errno, err);
    return JL_OK;
}

jl_status jl_writer_skip(jl_writer *w, uint64_t n_bytes, jl_error *err)
{
    if (n_bytes > jl_writer_left_over(w))
        return jl_fail(err, JL_INVALID, "%s does not reach that far", w->temp);
    w->pos += n_bytes;
    return w->pos == w->n_old ? drop_old(w, err) : JL_OK;
}

jl_status jl_writer_rewind(jl_writer *w, jl_error *err)
{
    return w->n_old ? drop_old(w, err) : JL_OK;
}

/* Whether the earlier run wrote the same bytes here. */
static bool same_as_old(jl_writer *w, const void *data, size_t n_bytes)
{
    const uint8_t *p = data;
    uint8_t old[4096];

    for (size_t at = 0; at < n_bytes;) {
        const size_t n = n_bytes - at < sizeof old ? n_bytes - at : sizeof old;
        if (jl_writer_peek(w, w->pos + at, old, n, NULL) != JL_OK || memcmp(old, p + at, n) != 0)
            return false;
        at += n;
    }
    return true;
}

jl_status jl_writer_write(jl_writer *w, const void *data, size_t n_bytes, jl_error *err)
{
    if (w->n_old && n_bytes && same_as_old(w, data, n_bytes))
        return jl_writer_skip(w, n_bytes, err);
    if (w->n_old && n_bytes)
        JL_TRY(drop_old(w, err));
    if (n_bytes > BUFFER_BYTES - w->n_held)
        JL_TRY(flush(w, err));
    if (n_bytes >= BUFFER_BYTES) {
        JL_TRY(write_fully(w, data, n_bytes, err));
    } else if (n_bytes > 0) {
        memcpy(w->buffer + w->n_held, data, n_bytes);
        w->n_held += n_bytes;
    }
    w->pos += n_bytes;
    return JL_OK;
}

jl_status jl_writer_hole(jl_writer *w, uint64_t n_bytes, jl_error *err)
{
    if (!w->temp)
        return jl_fail(err, JL_INVALID, "%s is no file that can have holes", w->path);
    if (w->n_old)
        JL_TRY(drop_old(w, err));
    JL_TRY(flush(w, err));
    w->pos += n_bytes;
    if (w->pos > INT64_MAX || ftruncate(w->fd, (off_t)w->pos) != 0 ||
        lseek(w->fd, (off_t)w->pos, SEEK_SET) < 0)
        return write_failed(w, errno, err);
    return JL_OK;
}

jl_status jl_writer_make_private(jl_writer *w, jl_error *err)
{
    return fchmod(w->fd, 0600) == 0 ? JL_OK : write_failed(w, errno, err);
}

jl_status jl_writer_sync(jl_writer *w, jl_error *err)
{
    JL_TRY(flush(w, err));
    return !w->temp || fsync(w->fd) == 0 ? JL_OK : write_failed(w, errno, err);
}

uint64_t jl_writer_tell(const jl_writer *w)
{
    return w->pos;
}

/* Gives an unnamed file its temporary name. */
static bool name_it(jl_writer *w)
{
#if defined(O_TMPFILE)
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", w->fd);
    unlink(w->temp); /* left by a killed process of the same number */
    if (linkat(AT_FDCWD, link, AT_FDCWD, w->temp, AT_SYMLINK_FOLLOW) != 0)
        return false;
    w->unnamed = false;
#endif
    return true;
}

static jl_status put_in_place(jl_writer *w, jl_error *err)
{
    JL_TRY(flush(w, err));
    if (w->n_old) /* an earlier run wrote more than this one */
        JL_TRY(drop_old(w, err));
    if (!w->temp)
        return JL_OK;
    struct stat st;
    if (stat(w->path, &st) == 0 && fchmod(w->fd, st.st_mode & 07777) != 0)
        return write_failed(w, errno, err);
    if (fsync(w->fd) != 0)
        return write_failed(w, errno, err);
    if (w->unnamed && !name_it(w))
        return write_failed(w, errno, err);
    if (rename(w->temp, w->path) != 0)
        return write_failed(w, errno, err);
    jl_free(w->temp); /* nothing left to remove */
    w->temp = NULL;
    return JL_OK;
}

jl_status jl_writer_commit(jl_writer *w, jl_error *err)
{
    jl_status status = put_in_place(w, err);
    if (status == JL_OK && close(w->fd) != 0 && errno != EINTR)
        status = write_failed(w, errno, err);
    else if (status != JL_OK)
        close(w->fd);
    if (w->temp && !w->unnamed)
        unlink(w->temp);
    writer_free(w);
    return status;
}

void jl_writer_abort(jl_writer *w)
{
    if (!w)
        return;
    close(w->fd);
    if (w->temp && !w->unnamed)
        unlink(w->temp);
    writer_free(w);
}

uint64_t jl_writer_keep(jl_writer *w)
{
    const uint64_t kept = w->n_old > w->pos ? w->n_old : w->pos;

    if (!w->partial || flush(w, NULL) != JL_OK) {
        jl_writer_abort(w);
        return 0;
    }
    close(w->fd);
    writer_free(w);
    return kept;
}
