/* joule launch opencode: a server, a configuration, and the client. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "joule/sys.h"
#include "opt.h"
#include "paths.h"

enum { START_S = 600, MAX_ARGS = 32 }; /* a slow disk, or weights that are repacked */

/* The options of launch that serve takes too, as they were given. */
static void serve_args(const opts *o, const char *program, const char **argv)
{
    static const opt_id passed[] = {
        OPT_MODEL,     OPT_CTX,        OPT_THREADS,          OPT_PORT, OPT_PARALLEL,
        OPT_CACHE_RAM, OPT_CACHE_DISK, OPT_CACHE_DISK_DAILY, OPT_THINK};
    static const char *const names[] = {"--model",      "--ctx-size",         "--threads",
                                        "--port",       "--parallel",         "--cache-ram",
                                        "--cache-disk", "--cache-disk-daily", "--think"};
    int n = 0;

    argv[n++] = program;
    argv[n++] = "serve";
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        if (opt_is_set(o, passed[i])) {
            argv[n++] = names[i];
            argv[n++] = opt_text(o, passed[i]);
        }
    argv[n] = NULL;
}

/* Starts `joule serve` in a group of its own, so that Ctrl-C in the client does not reach it. */
static pid_t start_server(const opts *o, const char *log)
{
    const char *argv[MAX_ARGS];
    static char program[4096];

    if (!path_program(program, sizeof program))
        return -1;
    serve_args(o, program, argv);
    const pid_t pid = fork();
    if (pid != 0)
        return pid;
    setsid();
    const int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
    }
    execv(program, (char *const *)(uintptr_t)argv);
    _exit(127);
}

static bool wait_for_server(pid_t pid, int port, char *id, size_t cap, long *n_ctx)
{
    const struct timespec pause = {.tv_nsec = 100000000};

    for (int i = 0; i < START_S * 10; i++) {
        int status;
        if (launch_find(port, id, cap, n_ctx))
            return true;
        if (waitpid(pid, &status, WNOHANG) == pid)
            return false;
        nanosleep(&pause, NULL);
    }
    return false;
}

static void stop_server(pid_t pid)
{
    if (pid > 0) {
        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
    }
}

/* Whether a folder of PATH has the client: asked before a server is started in vain. */
static bool has_client(void)
{
    const char *folder = jl_env("PATH");
    char path[4096];

    while (folder && *folder) {
        const size_t n = strcspn(folder, ":");
        snprintf(path, sizeof path, "%.*s/opencode", (int)n, folder);
        if (access(path, X_OK) == 0)
            return true;
        folder += n + (folder[n] == ':');
    }
    fprintf(stderr, "joule: opencode is not installed; npm install -g opencode-ai does that\n");
    return false;
}

/* The person's own arguments first, since one of them may be a command of the client. */
static void client_args(const opts *o, const char *model, const char **argv)
{
    int n = 0;

    argv[n++] = "opencode";
    for (int i = 1; i < o->n_args; i++)
        argv[n++] = o->args[i];
    argv[n++] = "-m";
    argv[n++] = model;
    argv[n] = NULL;
}

/* Ctrl-C belongs to the client; this program waits for it. */
static int run_client(const opts *o, const char *model)
{
    const char *argv[MAX_ARGS];

    client_args(o, model, argv);
    signal(SIGINT, SIG_IGN);
    const pid_t pid = fork();
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        fprintf(stderr, "joule: cannot start opencode: %s\n", strerror(errno));
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return EXIT_FAIL;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAIL;
}

static char *config_path(char *out, size_t cap)
{
    const char *xdg = jl_env("XDG_CONFIG_HOME");
    const char *home = jl_env("HOME");

    if (xdg)
        snprintf(out, cap, "%s/opencode/opencode.json", xdg);
    else if (home)
        snprintf(out, cap, "%s/.config/opencode/opencode.json", home);
    else
        return NULL;
    return out;
}

static int launch(const opts *o, const char *id, int port, long n_ctx)
{
    char path[4096];
    char model[200];
    int rc = EXIT_FAIL;
    json_t *config = launch_config(id, port, n_ctx, path_shared("opencode/lean.md"));
    char *text = json_dumps(config, JSON_INDENT(2));

    if (text) {
        launch_offer(config_path(path, sizeof path), config);
        /* In the environment too: it wins over files, and holds when the person said no. */
        setenv("OPENCODE_CONFIG_CONTENT", text, 1);
        snprintf(model, sizeof model, "joule/%s", id);
        rc = run_client(o, model);
    }
    jl_free(text);
    json_decref(config);
    return rc;
}

static int print_config(const char *id, int port, long n_ctx)
{
    json_t *config = launch_config(id, port, n_ctx, path_shared("opencode/lean.md"));

    json_dumpf(config, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(config);
    return EXIT_OK;
}

int cmd_launch(const opts *o)
{
    const int port = opt_int(o, OPT_PORT);
    char id[128];
    char log[64];
    long n_ctx = opt_int(o, OPT_CTX) > 0 ? opt_int(o, OPT_CTX) : 32768;
    pid_t server = 0;

    if (o->n_args == 0 || strcmp(o->args[0], "opencode") != 0)
        return usage_error(o, "say which client: opencode");
    if (port <= 0)
        return usage_error(o, "launch needs a port, 1 to 65535");
    path_model_id(opt_text(o, OPT_MODEL) ? opt_text(o, OPT_MODEL) : "joule-tiny", id, sizeof id);
    const bool running = launch_find(port, id, sizeof id, &n_ctx);
    if (opt_on(o, OPT_PRINT))
        return print_config(id, port, n_ctx);
    if (!has_client())
        return EXIT_FAIL;
    if (!running) {
        snprintf(log, sizeof log, "/tmp/joule-serve-%ld.log", (long)getuid());
        fprintf(stderr, "joule: starting a server on port %d (log: %s)\n", port, log);
        server = start_server(o, log);
        if (server < 0 || !wait_for_server(server, port, id, sizeof id, &n_ctx)) {
            fprintf(stderr, "joule: the server did not start; %s says why\n", log);
            return EXIT_FAIL;
        }
    } else if (opt_is_set(o, OPT_MODEL)) {
        fprintf(stderr, "joule: a server on port %d has %s already; -m is not used\n", port, id);
    }
    const int rc = launch(o, id, port, n_ctx);
    stop_server(server);
    return rc;
}
