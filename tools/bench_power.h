/* Energy of joule bench: what each row used, and the state of the machine beside it. */
#ifndef JL_TOOLS_BENCH_POWER_H
#define JL_TOOLS_BENCH_POWER_H

#include "power_cli.h"

typedef struct {
    jl_power *power;
    double joules, seconds; /* of the repetitions of a row; joules NAN without meter */
    double before;          /* joules when the repetition began */
    uint64_t start_ns;
} bench_power;

/* Opens meters and limits and puts the session under them. */
JL_MUST_CHECK jl_status bench_power_open(const opts *o, const jl_model *model, jl_session *session,
                                         bench_power *b, jl_error *err);
void bench_power_close(bench_power *b, jl_session *session);

void bench_power_row(bench_power *b);   /* a row begins */
void bench_power_start(bench_power *b); /* a repetition that counts */
void bench_power_stop(bench_power *b);

/* Joules per token of the row (NAN), mean watts (NAN). */
double bench_power_joules(const bench_power *b, double n_tokens);
double bench_power_watts(const bench_power *b);

/* "0.67" or "no meter"; "null" as JSON. */
const char *bench_power_text(double joules, char out[24]);
const char *bench_power_json(double value, char out[24]);
/* The line under the head of a table. */
void bench_power_print_state(const bench_power *b);
/* The machine's state as JSON members, with a comma before. */
void bench_power_print_json(const bench_power *b);

#endif
