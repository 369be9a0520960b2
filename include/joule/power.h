/* Energy: what is measured, a budget that is kept, and rules for laptops. docs/energy.md says how
 * each figure comes about. Nothing here changes a token.
 *
 * Without a meter there are no joules: figures that were not measured are NAN. */
#ifndef JL_JOULE_POWER_H
#define JL_JOULE_POWER_H

#include "joule/joule.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- meters ----------------------------------------------------------------------------- */

/* What a meter covers. */
enum {
    JL_COVERS_CPU = 1, /* processor package: cores and what lies beside them */
    JL_COVERS_DRAM = 2,
    JL_COVERS_GPU = 4,
    JL_COVERS_REST = 8 /* display, disks, radios: the whole machine */
};

typedef struct {
    char source[16];     /* "rapl", "battery", "hwmon", "nvml", "ioreport", "smc", "rusage" */
    char name[96];       /* "rapl package-0 + dram", as reports name it */
    char domain[24];     /* "package", "cores", "whole machine", "GPU", "this process", ... */
    unsigned covers;     /* JL_COVERS_...; 0: unknown, never used for a report */
    bool counter;        /* counts energy; else it shows power, which is integrated over time */
    double resolution_j; /* smallest step of a counter, J; NAN: unknown */
    double resolution_w; /* of power, W; NAN: unknown */
    double period_s;     /* how often the source has a new value */
    double delay_s;      /* how old a value may be when it appears */
    bool readable;
    char problem[400]; /* not readable, or not usable now: why, and the fix; else "" */
} jl_meter_info;

/* The state of the machine as rules see it. */
typedef struct {
    int on_ac;            /* 1, 0 on battery, -1 unknown */
    double battery;       /* charge, 0..1; NAN: no battery */
    double temperature_c; /* hottest processor sensor; NAN: none */
    int thermal;          /* 0 nominal, 1 fair, 2 serious, 3 critical; -1 unknown */
    int low_power_mode;   /* 1, 0, -1 unknown */
} jl_machine_state;

/* ---- power ------------------------------------------------------------------------------ */

typedef enum {
    JL_BATTERY_NORMAL = 0, /* as on AC, but background work is put off */
    JL_BATTERY_LOW,        /* half of the cores, thrifty ones where there are some */
    JL_BATTERY_PAUSE       /* as LOW, and below pause_below work waits for AC */
} jl_battery_rule;

typedef struct {
    uint32_t struct_size; /* sizeof(jl_power_params) */
    const char *sysfs;    /* folder in place of /sys, for tests; NULL: /sys */
    const char *meter;    /* source to use; NULL: the best one that covers the work */
    unsigned device;      /* JL_COVERS_... of the device that works; 0: JL_COVERS_CPU */
    double budget_w;      /* 0: none */
    double target_j;      /* joules per generated token; 0: none */
    double duty;          /* share of the time that may be worked, below 1; 0: all */
    jl_battery_rule on_battery;
    double pause_below;     /* charge, 0..1, of JL_BATTERY_PAUSE */
    bool keep_awake;        /* hold a sleep inhibitor while work runs */
    double bytes_per_token; /* read to generate one, for the power model; 0: unknown */
    double ops_per_token;   /* likewise */
    double user_rest_s;     /* work waits until keyboard and pointer rested so long; 0: not */
} jl_power_params;

typedef struct jl_power jl_power;

/* Looks for meters and starts a thread that sleeps while nothing works. JL_UNSUPPORTED: a budget or
 * target without a meter that covers the work, or for a GPU; err says what there is and what would
 * help. */
JL_API JL_MUST_CHECK jl_status jl_power_open(const jl_power_params *params, jl_power **out,
                                             jl_error *err);
JL_API void jl_power_close(jl_power *power); /* detach sessions first; NULL is fine */
/* All meters found, usable or not: fills at most cap rows, returns how many there are. */
JL_API size_t jl_power_meters(const jl_power *power, jl_meter_info *rows, size_t cap);
/* The meter in use; NULL: no meter. */
JL_API const jl_meter_info *jl_power_meter(const jl_power *power);
/* Why there is none, for people: "no meter: ..."; "" if there is one. */
JL_API const char *jl_power_why_not(const jl_power *power);
JL_API void jl_power_state(jl_power *power, jl_machine_state *out); /* read now; any thread */

/* Sets the session's pace function. One session per jl_power. */
JL_API void jl_power_attach(jl_power *power, jl_session *session);
JL_API void jl_power_detach(jl_power *power, jl_session *session);

/* Work is about to begin, has ended; nests. Between them the meter is sampled, the budget held and
 * the machine kept awake. Any thread. */
JL_API void jl_power_begin(jl_power *power);
JL_API void jl_power_end(jl_power *power);

/* Sleeps for `seconds` and measures what the machine draws meanwhile; JL_UNSUPPORTED without a
 * meter. */
JL_API JL_MUST_CHECK jl_status jl_power_measure_idle(jl_power *power, double seconds,
                                                     jl_error *err);

/* Energy since the first begin, J; NAN: no meter. Between two samples of the meter it is carried
 * forward with the last power and corrected by the next. fresh: sample now (some microseconds; a
 * meter with a period of its own may still be as old as its delay). Any thread. */
JL_API double jl_power_joules(jl_power *power, bool fresh);

/* What went into each phase since the first begin. A micro-batch that reads prompts and continues
 * answers is split by tokens times the measured cost of each phase. */
typedef struct {
    double prompt_j, decode_j;   /* NAN: no meter */
    uint64_t n_prompt, n_decode; /* tokens */
    double busy_s, work_s;       /* seconds computing; seconds between begin and end */
    double idle_w;               /* NAN: not measured */
    double watts;                /* now, smoothed over a second; NAN */
    double mean_watts;           /* over work_s; NAN */
    double above_idle;           /* share of the energy beyond idle_w, 0..1; NAN */
} jl_power_totals;
JL_API void jl_power_get_totals(jl_power *power, jl_power_totals *out);

/* The budget at work. */
typedef struct {
    double budget_w, target_j, duty_limit; /* as asked for; 0: none */
    double allowed_w;                      /* after the rules; 0: no budget */
    bool at_floor;                         /* the budget is below what the machine needs at least */
    double floor_w;                        /* power at the lowest setting, as far as known; NAN */
    uint32_t n_threads;
    jl_place place;
    double duty;     /* share of the time that is worked */
    bool paused;     /* by a rule */
    char reason[96]; /* of a pause or a lowered budget, "" if none */
    char domain[24]; /* what the budget holds; "" without a meter */
} jl_power_status;
JL_API void jl_power_get_status(jl_power *power, jl_power_status *out);

/* Changes the limits while running; a value below 0 stays as it is, 0 takes it away. */
typedef struct {
    double budget_w, target_j, duty;
} jl_power_limits;
JL_API JL_MUST_CHECK jl_status jl_power_set_limits(jl_power *power, const jl_power_limits *limits,
                                                   jl_error *err);

/* What a token of each phase costs in a step that used `joules`: tokens times measured cost of the
 * phase, scaled so that the shares add up. NAN without a meter. */
JL_API void jl_power_share(jl_power *power, double joules, uint64_t n_prompt, uint64_t n_decode,
                           double *per_prompt, double *per_decode);

/* Whether work that can wait should wait: on battery, or when hot. */
JL_API bool jl_power_defer_background(jl_power *power);

/* One sample for a display or a log. */
typedef struct {
    double t_s;    /* since open */
    double joules; /* NAN without meter */
    double watts;  /* mean since the sample before; NAN */
    uint64_t n_prompt, n_decode;
    double duty;
    uint32_t n_threads;
    double temperature_c;
} jl_power_sample;
JL_API void jl_power_get_sample(jl_power *power, jl_power_sample *out);

/* "8W", "8.5 W", "8000mW" in watts; "0.67J", "0.67 J/tok"; "60%" or "0.6" as a share. False if it
 * is none of these or out of range. */
JL_API bool jl_parse_watts(const char *text, double *out);
JL_API bool jl_parse_joules(const char *text, double *out);
JL_API bool jl_parse_share(const char *text, double *out);
/* "low", "normal", "pause-below 15%" (or with = or : between). */
JL_API bool jl_parse_battery_rule(const char *text, jl_battery_rule *rule, double *below);

#ifdef __cplusplus
}
#endif
#endif
