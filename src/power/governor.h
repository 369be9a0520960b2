/* Holds a power budget: from what the meter says and what work was done it chooses cores, their
 * kind and the share of the time that is worked, so that as many tokens as possible come out of
 * that power. A pure function of its inputs: no clock, no files. */
#ifndef JL_POWER_GOVERNOR_H
#define JL_POWER_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#include "joule/joule.h"
#include "power/fit.h"

typedef enum { JL_PHASE_PROMPT, JL_PHASE_DECODE, JL_PHASES } jl_phase;

typedef struct {
    uint32_t n_fast, n_thrifty; /* cores that may be used */
    uint32_t n_threads;         /* most threads */
    double period_s, delay_s;   /* of the meter */
    double bytes_per_token;     /* of decode; 0: unknown */
    double ops_per_token;
} jl_gov_machine;

/* What happened since the step before. */
typedef struct {
    double t_s;     /* now; at least a millisecond after the step before */
    double busy_s;  /* computing, of the time since then */
    double tokens;  /* done */
    jl_phase phase; /* of most of them */
    bool sample;    /* the meter had a new value: */
    double joules;  /* used in the span_s seconds that ended delay_s ago */
    double span_s;
    double limit_w;  /* 0: no budget */
    double target_j; /* joules per token of the domain; 0: none */
} jl_gov_input;

typedef struct {
    jl_place place;
    uint32_t n_threads;
    double duty;   /* 0..1 */
    bool at_floor; /* less is not possible, and it is more than the budget */
    double expected_w;
} jl_gov_output;

/* One setting of cores, and what is known of it in one phase. */
typedef struct {
    double rate;   /* tokens per busy second; 0: not tried */
    double rate_n; /* weight of it, seconds */
    /* power measured at this setting: sums over samples, the older ones fading */
    double joules, busy, span; /* J, s, s; span 0: none */
    double trial_t;            /* when it was last tried; 0: never */
    double anchor;             /* rate when it came into use, or when the machine last changed */
} jl_gov_known;

enum { JL_GOV_SETTINGS = 160, JL_GOV_HISTORY = 512 };

typedef struct {
    double t, busy, fast, thrifty, tokens; /* sums since start */
    double stable_since;                   /* setting and phase unchanged */
} jl_gov_mark;

typedef struct {
    jl_gov_machine machine;
    jl_fit fit;
    struct {
        jl_place place;
        uint32_t n, fast, thrifty;
    } setting[JL_GOV_SETTINGS];
    uint32_t n_settings;
    jl_gov_known known[JL_PHASES][JL_GOV_SETTINGS];

    jl_gov_mark history[JL_GOV_HISTORY];
    uint32_t n_history, at_history;
    jl_gov_mark sum;

    jl_phase phase;
    uint32_t now; /* setting in use */
    double since; /* when it came into use */
    double phase_since;
    bool probing; /* going through settings for their speed */
    bool trial;   /* `now` is tried against `home` */
    uint32_t home;
    double next_review;
    double debt_j; /* energy beyond the budget, less what was paid back */
    double last_t, last_limit;
    double least_watts; /* lowest sample, above which static power cannot be */
    uint32_t n_samples;
    double gather_j, gather_s; /* samples put together to one that is long enough */
    double odd, odd_s;         /* measured over expected power, and seconds in that mean */
    double next_change;        /* no earlier the machine is said to have changed again */
    double next_trial;
    uint32_t n_extended; /* times the trial was made longer */
    jl_gov_output out;
} jl_governor;

void jl_governor_init(jl_governor *g, const jl_gov_machine *machine);
jl_gov_output jl_governor_step(jl_governor *g, const jl_gov_input *in);

/* Least share of the time that is worked. */
#define JL_GOV_DUTY_MIN 0.04

#endif
