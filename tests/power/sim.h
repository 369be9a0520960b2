/* A simulated laptop for the governor: two kinds of cores, memory-bound decode, a meter with
 * delay, noise and steps, heat, and a charger that may be pulled. Its curves are none that the
 * governor's model can represent. */
#ifndef JL_TESTS_POWER_SIM_H
#define JL_TESTS_POWER_SIM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    /* cores */
    int n_fast, n_thrifty;
    double fast_w, thrifty_w;         /* of one busy core at full clock */
    double clock_drop, clock_power;   /* clock of n cores; power goes with clock to this power */
    double fast_speed, thrifty_speed; /* compute-bound tokens/s of one core */
    double sync_loss;                 /* share of speed lost per further core */
    double fast_bw, thrifty_bw;       /* tokens/s that the memory feeds a kind of cores */
    double knee;                      /* sharpness of the change between the two bounds */
    /* the rest of the chip */
    double static_w, uncore_w, memory_w, memory_power;
    double idle_power; /* of duty: a package that works a little is awake more than a little */
    double slow_start; /* speed lost at low duties, where clocks are lowered */
    /* heat */
    double ambient_c, rise_c_per_w, heat_s, limit_c, leak_per_c;
    /* the meter */
    bool counter;
    double period_s, delay_s, noise, step, lag_s;
    /* events */
    double unplug_t, unplug_clock; /* s, < 0: never; clock factor afterwards */
    double burst_w, burst_every_s; /* other programs */
} sim_params;

/* Random parameters; the same for the same seed. */
sim_params sim_draw(uint64_t seed);

typedef struct {
    int n_fast, n_thrifty;
    double duty;
} sim_setting;

typedef struct {
    sim_params p;
    uint64_t rng;
    double t, temperature_c, clock; /* clock: what heat and the charger leave of it */
    double joules, tokens;          /* true, since start */
    double burst_until, burst_next;
    double lag_w, next_sample, shown_j;
    double ring_t[4096], ring_j[4096]; /* past of the energy counter */
    uint32_t ring_n;
    /* the last value of the meter */
    double sample_j, sample_span;
    double last_sample_t;
} sim;

void sim_start(sim *s, const sim_params *p, uint64_t seed);
/* Lets dt seconds pass at a setting; returns the busy time. *sample: the meter had a new value. */
double sim_run(sim *s, const sim_setting *use, double dt, bool *sample);

/* Mean watts and tokens/s of a setting that is kept from the start, between two moments in seconds,
 * without other programs and noise. */
void sim_alone(const sim_params *p, const sim_setting *use, double from, double to, double *watts,
               double *speed);

double sim_random(uint64_t *rng); /* 0..1 */

#endif
