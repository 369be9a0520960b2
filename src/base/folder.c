/* Private folders; see folder.h. */
#include "base/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sysfile.h"

struct jl_folder_lock {
    int fd;
};

static jl_status check_private(const char *path, jl_error *err)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return jl_fail(err, JL_IO, "cannot use %s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return jl_fail(err, JL_IO, "cannot use %s: it is not a folder", path);
    if (st.st_uid != geteuid())
        return jl_fail(err, JL_IO, "cannot use %s: it belongs to another user", path);
    if (st.st_mode & 077)
        return jl_fail(err, JL_IO, "will not use %s: others may enter it (chmod 700)", path);
    if (access(path, W_OK | X_OK) != 0)
        return jl_fail(err, JL_IO, "cannot write to %s: %s", path, strerror(errno));
    return JL_OK;
}

jl_status jl_folder_make(const char *path, jl_error *err)
{
    char *copy = jl_strndup(path, strlen(path));
    int reason = 0;

    if (!copy)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    for (char *s = copy + 1; *s && !reason; s++)
        if (*s == '/') {
            *s = '\0';
            reason = mkdir(copy, 0700) == 0 || errno == EEXIST ? 0 : errno;
            *s = '/';
        }
    jl_free(copy);
    if (!reason && mkdir(path, 0700) != 0 && errno != EEXIST)
        reason = errno;
    if (reason)
        return jl_fail(err, JL_IO, "cannot make the folder %s: %s", path, strerror(reason));
    return check_private(path, err);
}

jl_status jl_folder_lock_take(const char *path, jl_folder_lock **out, jl_error *err)
{
    jl_folder_lock *lock = jl_calloc(1, sizeof *lock);

    if (!lock)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock->fd >= 0 && flock(lock->fd, LOCK_EX | LOCK_NB) == 0) {
        *out = lock;
        return JL_OK;
    }
    const int reason = errno;
    jl_folder_lock_leave(lock);
    if (reason == EWOULDBLOCK)
        return jl_fail(err, JL_INVALID, "%s is held by another process", path);
    return jl_fail(err, JL_IO, "cannot lock %s: %s", path, strerror(reason));
}

void jl_folder_lock_leave(jl_folder_lock *lock)
{
    if (!lock)
        return;
    if (lock->fd >= 0)
        close(lock->fd);
    jl_free(lock);
}

static uint64_t modified_ns(const struct stat *st)
{
#if defined(__APPLE__)
    const struct timespec t = st->st_mtimespec;
#else
    const struct timespec t = st->st_mtim;
#endif
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

typedef struct {
    bool (*fn)(void *ctx, const jl_folder_item *item);
    void *ctx;
} walk;

static bool describe(void *ctx, int fd, const char *name)
{
    const walk *w = ctx;
    struct stat st;

    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return true;
    const jl_folder_item item = {.name = name,
                                 .is_folder = S_ISDIR(st.st_mode),
                                 .n_bytes = (uint64_t)st.st_size,
                                 .modified_ns = modified_ns(&st)};
    return w->fn(w->ctx, &item);
}

jl_status jl_folder_each(const char *path, bool (*fn)(void *ctx, const jl_folder_item *item),
                         void *ctx, jl_error *err)
{
    walk w = {fn, ctx};

    if (jl_dir_each_at(path, describe, &w))
        return JL_OK;
    return jl_fail(err, JL_IO, "cannot list %s: %s", path, strerror(errno));
}

void jl_folder_sync(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

bool jl_file_remove(const char *path)
{
    return remove(path) == 0;
}

void jl_file_touch(const char *path)
{
    (void)utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW);
}

uint64_t jl_clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool jl_random_bytes(void *out, size_t n)
{
    FILE *f = fopen("/dev/urandom", "rb");
    const bool ok = f && fread(out, 1, n, f) == n;

    if (f)
        fclose(f);
    return ok;
}
