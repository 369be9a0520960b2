/* A meter: one source of energy or power. Sources are files of this folder; each looks for its
 * devices and adds what it finds, readable or not, to the list. */
#ifndef JL_POWER_METER_H
#define JL_POWER_METER_H

#include "joule/power.h"
#include "power/sysfs.h"

typedef struct jl_meter jl_meter;

struct jl_meter {
    jl_meter_info info;
    /* A counter: *value is joules since an arbitrary start, growing, wrap-around undone. Power:
     * watts. t_s is the time of the call, s, never going back. False: no value now; err says why.
     */
    bool (*read)(jl_meter *m, double t_s, double *value, jl_error *err);
    void (*close)(jl_meter *m); /* frees impl; NULL: nothing to free */
    void *impl;
};

enum { JL_METERS_MAX = 24 };
typedef struct {
    jl_meter m[JL_METERS_MAX];
    size_t n;
} jl_meters;

/* A new row of the list with `source` set; NULL if the list is full. */
jl_meter *jl_meters_add(jl_meters *l, const char *source);
void jl_meters_close(jl_meters *l);

/* Sources. Each is silent where its devices do not exist. */
void jl_rapl_find(const jl_sysfs *fs, jl_meters *l);
void jl_battery_find(const jl_sysfs *fs, jl_meters *l);
void jl_hwmon_find(const jl_sysfs *fs, jl_meters *l);

/* Integrates a meter over time. */
typedef struct {
    double joules;             /* since start */
    double watts;              /* of the last interval, or the last value; NAN: not known yet */
    double last_t, last_value; /* of the last reading; last_t NAN: none */
} jl_meter_clock;
void jl_meter_clock_start(jl_meter_clock *c);
/* Reads the meter at t_s and adds what was used since the reading before. False: no value. */
bool jl_meter_clock_step(jl_meter_clock *c, jl_meter *m, double t_s, jl_error *err);

/* The best readable meter that covers all of `device` (source: only this one; NULL: any), or NULL
 * with why[cap]: what there is and what would help. */
jl_meter *jl_meters_choose(jl_meters *l, unsigned device, const char *source, char *why,
                           size_t cap);

/* "CPU and DRAM" of a mask. */
const char *jl_covers_text(unsigned covers, char out[48]);

/* ---- state of the machine --------------------------------------------------------------- */

/* Fields that a source does not know stay as they are. */
void jl_supply_state(const jl_sysfs *fs, jl_machine_state *out);  /* on_ac, battery */
void jl_thermal_state(const jl_sysfs *fs, jl_machine_state *out); /* temperature_c, thermal */

#endif
