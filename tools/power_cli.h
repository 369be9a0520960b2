/* Energy in the program: options to a power object, and its figures as text. */
#ifndef JL_TOOLS_POWER_CLI_H
#define JL_TOOLS_POWER_CLI_H

#include "joule/power.h"
#include "opt.h"

/* Reads --power-budget and the options beside it. A value that cannot be read: usage error, returns
 * EXIT_USAGE. */
int power_check_options(const opts *o);
/* Opens the power object as the options say, measures the idle baseline if asked for. model: for
 * the bytes and operations of a token; NULL: unknown. The options have been checked. */
JL_MUST_CHECK jl_status power_open(const opts *o, const jl_model *model, jl_power **out,
                                   jl_error *err);

/* "0.031 J per prompt token, 0.67 J per generated token, 8.1 W mean, 62 % above idle (rapl
 * package-0, package)" of what was used between two totals; "no meter: ..." without one. */
void power_describe(jl_power *power, const jl_power_totals *before, const jl_power_totals *after,
                    char *text, size_t cap);
/* "on AC, battery 74 %, 61 C, thermal nominal, Low Power Mode off"; what is unknown is left out. */
void power_describe_state(const jl_machine_state *s, char *text, size_t cap);
const char *power_thermal_name(int level); /* "nominal", "unknown" */

/* A chart of samples (power_svg.c); n of them, at least 2. */
JL_MUST_CHECK jl_status power_write_svg(const char *path, const jl_power_sample *samples, size_t n,
                                        const char *meter, jl_error *err);

#endif
