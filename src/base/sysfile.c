/* One-line files, folders, libraries, helper processes. */
#include "base/sysfile.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

jl_read_result jl_line_read(const char *path, char *text, size_t cap)
{
    text[0] = '\0';
    /* O_NONBLOCK: a FIFO put in a meter's place must not hang the program */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? JL_READ_ABSENT
               : errno == EACCES || errno == EPERM ? JL_READ_DENIED
                                                   : JL_READ_FAILED;
    const ssize_t n = read(fd, text, cap - 1);
    const int reason = errno;
    close(fd);
    if (n < 0) {
        text[0] = '\0';
        return reason == EACCES || reason == EPERM ? JL_READ_DENIED
               : reason == ENODEV                  ? JL_READ_ABSENT
                                                   : JL_READ_FAILED;
    }
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return JL_READ_OK;
}

bool jl_dir_each_at(const char *path, jl_dir_at_fn *fn, void *ctx)
{
    /* open, not opendir: ThreadSanitizer does not see the latter, and takes a descriptor's second
     * use for the first one's */
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        const int reason = errno;
        if (fd >= 0)
            close(fd);
        errno = reason;
        return false;
    }
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !fn(ctx, fd, e->d_name))
            break;
    closedir(dir);
    return true;
}

typedef struct {
    jl_dir_fn *fn;
    void *ctx;
} names_only;

static bool pass_name(void *ctx, int fd, const char *name)
{
    const names_only *n = ctx;

    (void)fd;
    return n->fn(n->ctx, name);
}

bool jl_dir_each(const char *path, jl_dir_fn *fn, void *ctx)
{
    names_only n = {fn, ctx};

    return jl_dir_each_at(path, pass_name, &n);
}

jl_lib *jl_lib_open(const char *path)
{
    return (jl_lib *)dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

void *jl_lib_symbol(jl_lib *lib, const char *name)
{
    return dlsym(lib, name);
}

void jl_lib_close(jl_lib *lib)
{
    if (lib)
        dlclose(lib);
}

/* Not fork: copying the page tables of a mapped model takes longer than starting the child. in and
 * out: its stdin and stdout; -1: nothing. */
static pid_t spawn(const char *const *argv, int in, int out)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none;
    pid_t pid = -1;

    sigemptyset(&none);
    posix_spawn_file_actions_init(&files);
    if (in >= 0)
        posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    else
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (out >= 0)
        posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    else
        posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attr);
    /* Out of the terminal's group: Ctrl-C is the program's, which ends its child itself. */
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attr, &none);
    const int rc =
        posix_spawnp(&pid, argv[0], &files, &attr, (char *const *)(uintptr_t)argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return rc == 0 ? pid : -1;
}

static bool private_pipe(int fds[2])
{
    if (pipe(fds) != 0)
        return false;
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    return true;
}

int jl_child_start(const char *const *argv, int *pipe_fd)
{
    int fds[2];

    if (!private_pipe(fds))
        return -1;
    const pid_t pid = spawn(argv, fds[0], -1);
    close(fds[0]);
    if (pid < 0) {
        close(fds[1]);
        return -1;
    }
    *pipe_fd = fds[1];
    return (int)pid;
}

bool jl_child_output(const char *const *argv, char *text, size_t cap)
{
    char rest[256];
    size_t n = 0;
    int status = -1;
    int fds[2];

    text[0] = '\0';
    if (!private_pipe(fds))
        return false;
    const pid_t pid = spawn(argv, -1, fds[1]);
    close(fds[1]);
    while (pid >= 0) {
        char *to = n + 1 < cap ? text + n : rest; /* what is too much is read and dropped */
        const ssize_t got = read(fds[0], to, to == rest ? sizeof rest : cap - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += to == rest ? 0 : (size_t)got;
    }
    text[n] = '\0';
    close(fds[0]);
    if (pid < 0)
        return false;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void jl_child_stop(int pid, int pipe_fd)
{
    int status;

    close(pipe_fd);
    kill((pid_t)pid, SIGTERM);
    while (waitpid((pid_t)pid, &status, 0) < 0 && errno == EINTR) {
    }
}

void jl_sleep_ns(uint64_t ns)
{
    const struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};

    nanosleep(&t, NULL);
}

bool jl_process_nice(int level)
{
    return setpriority(PRIO_PROCESS, 0, level) == 0;
}
