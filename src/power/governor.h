/* Holds a power budget: from what the meter says and what work was done it chooses cores, their
 * kind and the share of the time that is worked, so that as many tokens as possible come out of
 * that power. A pure function of its inputs: no clock, no files. */
#ifndef JL_POWER_GOVERNOR_H
#define JL_POWER_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#include "joule/joule.h"
#include "power/power_model.h"

typedef enum { JL_PHASE_PROMPT, JL_PHASE_DECODE, JL_PHASES } jl_phase;

typedef struct {
    uint32_t n_fast, n_thrifty; /* cores that may be used */
    uint32_t n_threads;         /* most threads */
    double period_s, delay_s;   /* of the meter */
    bool shows_power;           /* the meter shows power of a moment, not energy of a span */
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

/* Speed of one setting of cores in one phase. */
typedef struct {
    double rate;   /* tokens per busy second; 0: not tried */
    double duty;   /* that it was measured at */
    double quick;  /* the same over the last moments */
    double busy_s; /* that it is a mean of; 0: a guess */
    double anchor; /* rate when it came into use, or when the machine last changed */
    double seen_s; /* time it was in use since the machine last changed */
} jl_gov_speed;

/* Work of a short time with one setting. */
typedef struct {
    double t, dt; /* its end, its length, s */
    double busy_s, tokens;
    uint32_t phase, setting;
} jl_gov_record;

enum { JL_GOV_HISTORY = 512 };

typedef struct {
    jl_gov_machine machine;
    jl_power_model model;
    struct {
        jl_place place;
        uint32_t n, fast, thrifty;
    } setting[JL_PM_SETTINGS]; /* the most frugal first */
    uint32_t n_settings;
    jl_gov_speed speed[JL_PHASES][JL_PM_SETTINGS];

    jl_gov_record record[JL_GOV_HISTORY];
    uint32_t n_record; /* ever */

    jl_phase phase;
    uint32_t now;  /* setting in use */
    double since;  /* when it came into use */
    double last_t; /* of the step before */
    bool probing;  /* going through settings for their speed */
    double explore_until;
    double next_review, next_trial;
    double trial_s; /* from one late trial to the next */
    uint32_t home; /* the best known; `now` differs from it in a trial */

    double last_limit;
    double debt_j; /* energy beyond the budget, less what was paid back */
    double least_watts; /* lowest sample, above which static power cannot be */
    double slow; /* share of the speed that is lost as duty goes to nothing */
    uint32_t n_samples;
    double gather_j, gather_s; /* samples put together to one that is long enough */
    double odd_j, sum_j; /* measured beyond expected, expected: fading sums of samples */
    double changed_t;          /* when it last did, or seemed to */
    double next_change;        /* no earlier the machine is said to have changed again */
    jl_gov_output out;
} jl_governor;

void jl_governor_init(jl_governor *g, const jl_gov_machine *machine);
jl_gov_output jl_governor_step(jl_governor *g, const jl_gov_input *in);

/* Least share of the time that is worked. */
#define JL_GOV_DUTY_MIN 0.04

/* ---- between the files of the governor -------------------------------------------------- */

/* Takes in what was done and measured since the step before (gov_learn.c). */
void jl_gov_learn(jl_governor *g, const jl_gov_input *in);
/* Tokens per busy second of a setting at a duty in the phase; of one not tried, a guess.
 * slow: g->slow, or more to be hopeful about settings that were seen at low duty. */
double jl_gov_rate(const jl_governor *g, uint32_t setting, double duty, double slow);
/* Work per busy second of a setting at a speed and a duty, for the model. */
void jl_gov_work(const jl_governor *g, uint32_t phase, uint32_t setting, double rate, double duty,
                 double x[JL_PM_TERMS]);
/* The model's name of a setting in a phase. */
uint32_t jl_gov_key(uint32_t phase, uint32_t setting);
/* The unit of waiting: a period of the meter, or a second if that is longer. */
double jl_gov_unit(const jl_governor *g);

#endif
