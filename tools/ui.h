/* What people see on stderr: errors, progress on a terminal, and Ctrl-C. */
#ifndef JL_TOOLS_UI_H
#define JL_TOOLS_UI_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "joule/status.h"
#include "opt.h"

/* Set by Ctrl-C (and TERM) after ui_catch_interrupt. */
extern volatile sig_atomic_t ui_interrupted;
/* The handler also calls fn(ctx), which must be async-signal-safe; NULL for none. */
void ui_catch_interrupt(void (*fn)(void *ctx), void *ctx);
/* Ctrl-C ends the program again. */
void ui_release_interrupt(void);

/* Prints "joule CMD: message" and returns the exit code: 130 after Ctrl-C, else 1. */
int ui_fail(const opts *o, const jl_error *err);

/* One line on stderr that rewrites itself, only if stderr is a terminal and -q is off. */
typedef struct {
    bool on;
    bool shown;
    uint64_t start_ns, last_ns;
    double from; /* share that was done before: the time left does not count it */
    const char *what;
} ui_progress;
void ui_progress_start(ui_progress *p, const opts *o, const char *what);
/* share 0..1; detail may be NULL. Prints after 0.4 s, at most ten times a second; time left after 2
 * s. */
void ui_progress_show(ui_progress *p, double share, const char *detail);
void ui_progress_end(ui_progress *p); /* clears the line */
/* For what writes a file: ctx is the ui_progress, done and total are bytes; false after Ctrl-C. */
bool ui_progress_bytes(void *ctx, uint64_t done, uint64_t total);

/* "13.60 GB" (decimal) for files; "1.50 GiB" for memory. */
const char *ui_bytes(uint64_t n, char out[24]);
const char *ui_memory(uint64_t n, char out[24]);

#endif
