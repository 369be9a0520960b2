/* The power model that is fitted while running: watts as a sum of what is there anyway, what a
 * working machine costs beyond that, each busy core of a kind, each byte read and each operation.
 * Recursive least squares with a prior, so that it has an opinion (and a doubt) from the start. */
#ifndef JL_POWER_FIT_H
#define JL_POWER_FIT_H

/* What was done per second of a span of time. */
enum {
    JL_FIT_ONE,     /* 1: static power */
    JL_FIT_BUSY,    /* share of the time that anything worked */
    JL_FIT_FAST,    /* busy fast cores */
    JL_FIT_THRIFTY, /* busy thrifty cores */
    JL_FIT_BYTES,   /* GB/s read */
    JL_FIT_OPS,     /* Tera-operations/s */
    JL_FIT_N
};

typedef struct {
    double mean[JL_FIT_N]; /* W per unit */
    double cov[JL_FIT_N][JL_FIT_N];
} jl_fit;

void jl_fit_init(jl_fit *f);
/* One measurement: watts over a span whose work was x. spread: standard deviation of its error. */
void jl_fit_add(jl_fit *f, const double x[JL_FIT_N], double watts, double spread);
/* Expected watts (each term at least 0) and its standard deviation (NULL: not wanted). */
double jl_fit_watts(const jl_fit *f, const double x[JL_FIT_N], double *spread);
/* Raises the doubt about everything: the machine has changed. */
void jl_fit_doubt(jl_fit *f);

#endif
