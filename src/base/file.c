/* Reading files: mapping, touching, locking. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

/* Opens for reading; a FIFO without a writer must not hang the open itself, so it is looked at
 * first. */
static jl_status open_regular(const char *path, int *fd, jl_file *file, jl_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return jl_fail(err, JL_IO, "cannot open %s: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return jl_fail(err, JL_IO, "%s is a directory, a file is needed", path);
    if (!S_ISREG(st.st_mode))
        return jl_fail(err, JL_IO, "%s is not a regular file, it cannot be mapped", path);
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return jl_fail(err, JL_IO, "cannot open %s: %s", path, strerror(errno));
    file->n_bytes = (uint64_t)st.st_size;
#if defined(__APPLE__)
    const struct timespec t = st.st_mtimespec;
#else
    const struct timespec t = st.st_mtim;
#endif
    file->modified_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    return JL_OK;
}

jl_status jl_file_map(const char *path, jl_file *out, jl_error *err)
{
    int fd = -1;
    jl_file file = {.mapped = true};
    JL_TRY(open_regular(path, &fd, &file, err));
    const uint64_t n_bytes = file.n_bytes;
    if (n_bytes > SIZE_MAX) {
        close(fd);
        return jl_fail(err, JL_TOO_LARGE, "%s is too large for this machine's addresses", path);
    }
    if (n_bytes > 0) {
        void *p = mmap(NULL, (size_t)n_bytes, PROT_READ, MAP_SHARED, fd, 0);
        const int reason = errno;
        close(fd);
        if (p == MAP_FAILED)
            return jl_fail(err, reason == ENOMEM ? JL_NO_MEMORY : JL_IO, "cannot map %s: %s", path,
                           strerror(reason));
        file.data = p;
    } else {
        close(fd);
    }
    *out = file;
    return JL_OK;
}

void jl_file_unmap(jl_file *file)
{
    if (!file)
        return;
    if (file->mapped && file->data)
        munmap((void *)(uintptr_t)file->data, (size_t)file->n_bytes);
    *file = (jl_file){0};
}

typedef struct {
    char *data;
    size_t len, cap;
} read_buffer;

/* Grows to hold one more piece, never past the limit plus the byte that proves it was exceeded. */
static bool buffer_grow(read_buffer *b)
{
    if (b->cap - b->len > 1)
        return true;
    const size_t cap = b->cap ? b->cap * 2 : 65536;
    char *data = cap > b->cap ? jl_realloc(b->data, cap) : NULL;
    if (!data)
        return false;
    b->data = data;
    b->cap = cap;
    return true;
}

static jl_status read_all(int fd, const char *path, uint64_t max_bytes, read_buffer *b,
                          jl_error *err)
{
    for (;;) {
        if (!buffer_grow(b))
            return jl_fail(err, JL_NO_MEMORY, "out of memory while reading %s", path);
        const ssize_t n = read(fd, b->data + b->len, b->cap - b->len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return jl_fail(err, JL_IO, "cannot read %s: %s", path, strerror(errno));
        if (n == 0)
            return JL_OK;
        b->len += (size_t)n;
        if (b->len > max_bytes)
            return jl_fail(err, JL_TOO_LARGE, "%s is larger than the limit of %llu bytes", path,
                           (unsigned long long)max_bytes);
    }
}

jl_status jl_file_read(const char *path, uint64_t max_bytes, char **out, size_t *n_bytes,
                       jl_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return jl_fail(err, JL_IO, "cannot open %s: %s", path, strerror(errno));
    read_buffer b = {NULL, 0, 0};
    const jl_status status = read_all(fd, path, max_bytes, &b, err);
    close(fd);
    if (status != JL_OK) {
        jl_free(b.data);
        return status;
    }
    b.data[b.len] = '\0';
    *out = b.data;
    *n_bytes = b.len;
    return JL_OK;
}

jl_status jl_file_prefault(const jl_file *file, bool (*progress)(void *, float), void *ctx,
                           jl_error *err)
{
    enum { STEP = 64 << 20 }; /* bytes between two looks at progress */
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    volatile uint8_t sink = 0;
    for (uint64_t pos = 0; pos < file->n_bytes; pos += STEP) {
        const uint64_t end = file->n_bytes - pos < STEP ? file->n_bytes : pos + STEP;
        if (file->mapped)
            posix_madvise((void *)(uintptr_t)(file->data + pos), (size_t)(end - pos),
                          POSIX_MADV_WILLNEED);
        for (uint64_t p = pos; p < end; p += page)
            sink = file->data[p];
        if (progress && !progress(ctx, (float)((double)end / (double)file->n_bytes)))
            return jl_fail(err, JL_CANCELLED, "loading was cancelled");
    }
    (void)sink;
    return JL_OK;
}

void jl_file_release(const uint8_t *data, uint64_t n_bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)data + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)data + (uintptr_t)n_bytes) / page * page;

    if (begin < end) /* posix_madvise does nothing here in glibc */
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

jl_status jl_file_lock(const jl_file *file, jl_error *err)
{
    if (file->n_bytes == 0 || mlock(file->data, (size_t)file->n_bytes) == 0)
        return JL_OK;
    return jl_fail(err, JL_NO_MEMORY,
                   "cannot lock %.2f GB in memory: %s (raise `ulimit -l` or leave out --mlock)",
                   (double)file->n_bytes / 1e9, strerror(errno));
}

const char *jl_env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}
