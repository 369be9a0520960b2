/* Rules for laptops: what battery, heat and Low Power Mode allow. A pure function. */
#ifndef JL_POWER_RULES_H
#define JL_POWER_RULES_H

#include "joule/power.h"

typedef struct {
    bool pause;      /* work waits */
    bool defer;      /* background work waits */
    bool half;       /* half of the cores, thrifty ones where there are some */
    double duty;     /* most share of the time that is worked */
    double budget;   /* factor of the power budget */
    char reason[96]; /* "" if nothing is restricted */
} jl_rule;

/* Resting state of pause and heat: a rule that holds ends only when the cause is well over. */
jl_rule jl_rules(const jl_machine_state *s, jl_battery_rule on_battery, double pause_below,
                 const jl_rule *before);

/* Keyboard or pointer were used idle_s seconds ago (NAN: unknown), less than rest_s: work waits. */
void jl_rule_user(jl_rule *r, double idle_s, double rest_s);

#endif
