/* The power model that is fitted while running: watts as what is there anyway, and for every
 * setting of cores in use the sum of what a working machine, each busy core of a kind, each byte
 * read and each operation cost, times a factor of that setting alone. An extended Kalman filter, so
 * that it has an opinion and a doubt from the start, learns from spans in which several settings
 * were in use, and knows that a reading may be early or late. */
#ifndef JL_POWER_POWER_MODEL_H
#define JL_POWER_POWER_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum { JL_PM_SETTINGS = 34, JL_PM_PHASES = 2 };

/* What was done per busy second. */
enum {
    JL_PM_BUSY,    /* 1: a package that works */
    JL_PM_FAST,    /* fast cores */
    JL_PM_THRIFTY, /* thrifty cores */
    JL_PM_BYTES,   /* GB/s read */
    JL_PM_OPS,     /* Tera-operations/s */
    JL_PM_CROWD,   /* fast cores times the share of the others that work too: clocks fall */
    JL_PM_TERMS
};

/* The state: static watts, watts per unit of each term, relative deviations of the settings in each
 * phase, and by how many joules the last reading was too high. */
enum {
    JL_PM_STATIC,
    JL_PM_TERM,
    JL_PM_DEVIATION = JL_PM_TERM + JL_PM_TERMS,
    JL_PM_LATE = JL_PM_DEVIATION + JL_PM_PHASES * JL_PM_SETTINGS,
    JL_PM_LATE_NEW,
    JL_PM_N
};

typedef struct {
    int kind; /* of cores */
    uint32_t cores;
} jl_pm_setting;

typedef struct {
    double mean[JL_PM_N];
    double cov[JL_PM_N][JL_PM_N];
    jl_pm_setting setting[JL_PM_SETTINGS];
    uint32_t n_settings;
    double watts; /* the last measurement */
} jl_power_model;

/* Deviations of settings [n] begin alike where their numbers of cores are near. */
void jl_pm_init(jl_power_model *m, const jl_pm_setting *settings, uint32_t n);

/* A span of time: add what was done setting by setting, then compare with the meter. */
typedef struct {
    double watts;       /* expected */
    double by[JL_PM_N]; /* its derivatives */
} jl_pm_span;
void jl_pm_begin(const jl_power_model *m, jl_pm_span *s);
/* share: of the span's time that was worked with setting k (phase * JL_PM_SETTINGS + number). */
void jl_pm_work(const jl_power_model *m, jl_pm_span *s, uint32_t k, double share,
                const double x[JL_PM_TERMS]);
/* One measurement. seconds: of the span. spread: standard deviation of the watts. late_j: of the
 * energy by which a reading may be early or late; it is missing in, or part of, the next one. */
void jl_pm_learn(jl_power_model *m, const jl_pm_span *s, double watts, double seconds,
                 double spread, double late_j);
/* Standard deviation of what is expected of a span. */
double jl_pm_doubt(const jl_power_model *m, const jl_pm_span *s);

double jl_pm_static(const jl_power_model *m);
/* Watts above static while setting k works. */
double jl_pm_slope(const jl_power_model *m, uint32_t k, const double x[JL_PM_TERMS]);
/* Static power is not above this. */
void jl_pm_bound_static(jl_power_model *m, double watts);
/* Time passes: the machine warms, clocks change. k: the setting in use. */
void jl_pm_age(jl_power_model *m, double seconds, uint32_t k);
/* The machine has changed, most likely its clocks: all cores draw more or less by a common factor,
 * which is in doubt. ratio: of the speed, afterwards to before. */
void jl_pm_changed(jl_power_model *m, double ratio);

#endif
