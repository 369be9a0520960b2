/* Messages, progress line, interrupt. */
#include "ui.h"

#include <string.h>
#include <unistd.h>

#include "joule/sys.h"

volatile sig_atomic_t ui_interrupted;

static void (*interrupt_fn)(void *ctx);
static void *interrupt_ctx;

static void on_interrupt(int sig)
{
    (void)sig;
    ui_interrupted = 1;
    if (interrupt_fn)
        interrupt_fn(interrupt_ctx);
}

void ui_catch_interrupt(void (*fn)(void *ctx), void *ctx)
{
    /* Restarted: a write that Ctrl-C cuts short would leave stdout in error for the whole chat. */
    struct sigaction sa = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};

    interrupt_fn = NULL;
    interrupt_ctx = ctx;
    interrupt_fn = fn;
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

void ui_release_interrupt(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    interrupt_fn = NULL;
}

int ui_fail(const opts *o, const jl_error *err)
{
    fprintf(stderr, "joule %s: %s\n", o->cmd->name,
            err->text[0] ? err->text : jl_status_name(err->status));
    return err->status == JL_CANCELLED && ui_interrupted ? EXIT_INTERRUPTED : EXIT_FAIL;
}

void ui_progress_start(ui_progress *p, const opts *o, const char *what)
{
    *p = (ui_progress){.on = isatty(STDERR_FILENO) && !opt_on(o, OPT_QUIET), .what = what};
    p->start_ns = jl_time_ns();
}

void ui_progress_show(ui_progress *p, double share, const char *detail)
{
    if (!p->on)
        return;
    const uint64_t now = jl_time_ns();
    if (now - p->start_ns < 400000000u || now - p->last_ns < 100000000u)
        return;
    p->last_ns = now;
    const double spent = (double)(now - p->start_ns) * 1e-9;
    /* Carriage return, erase to the end of the line. */
    fprintf(stderr, "\r\x1b[K%s %3.0f %%", p->what, 100 * share);
    if (detail)
        fprintf(stderr, "  %s", detail);
    const double gained = share - p->from;
    const double left = gained > 0 ? spent * (1 - share) / gained : 0;
    if (spent > 2 && gained > 0.001)
        fprintf(stderr, left < 120 ? "  %.0f s left" : "  %.0f min left",
                left < 120 ? left : left / 60);
    fflush(stderr);
    p->shown = true;
}

void ui_progress_end(ui_progress *p)
{
    if (p->shown)
        fputs("\r\x1b[K", stderr);
    p->shown = false;
}

static const char *scaled(uint64_t n, double unit, const char *const names[4], char out[24])
{
    double v = (double)n;
    int i = 0;

    while (i < 3 && v >= unit) {
        v /= unit;
        i++;
    }
    snprintf(out, 24, i ? "%.2f %s" : "%.0f %s", v, names[i]);
    return out;
}

const char *ui_bytes(uint64_t n, char out[24])
{
    static const char *const names[4] = {"B", "kB", "MB", "GB"};
    return scaled(n, 1000, names, out);
}

const char *ui_memory(uint64_t n, char out[24])
{
    static const char *const names[4] = {"B", "KiB", "MiB", "GiB"};
    return scaled(n, 1024, names, out);
}

bool ui_progress_bytes(void *ctx, uint64_t done, uint64_t total)
{
    char a[24];
    char b[24];
    char detail[64];

    snprintf(detail, sizeof detail, "%s of %s", ui_bytes(done, a), ui_bytes(total, b));
    ui_progress_show(ctx, (double)done / (double)total, detail);
    return !ui_interrupted;
}
