/* One run of the governor on a simulated machine, and what came of it. */
#ifndef JL_TESTS_POWER_GOV_RUN_H
#define JL_TESTS_POWER_GOV_RUN_H

#include "sim.h"

typedef struct {
    double budget_w, floor_w;
    bool binds;        /* the best setting uses all of the budget */
    bool floor;        /* the budget is below the floor */
    bool said_floor;   /* and the governor said so at the end */
    double settle_s;   /* after which the power stays within the band */
    double overshoot;  /* of the worst 10 s mean, share of the budget (of the floor below it) */
    double error;      /* of the steady power: share above, or, where the budget binds, beside it */
    double efficiency; /* tokens per joule, share of the best found by exhaustive search */
    double speed;      /* tokens per second, share of the best setting's */
    double changes;    /* of the setting of cores, per minute, when settled */
} gov_result;

/* Who chooses the settings: the governor; or one who knows the machine and its future, has the best
 * setting from the start and changes it at the moment the charger is pulled; or the same one with a
 * fault, which the judge must find. */
typedef enum {
    GOV_GOVERNOR,
    GOV_CLAIRVOYANT,
    GOV_LATE,   /* draws an eighth less until twice the time to settle has passed */
    GOV_SWINGS, /* an eighth less and an eighth more in turns */
    GOV_ABOVE,  /* 8 % more all the time: the best setting may draw 3 % less than allowed */
    GOV_CROWD,  /* a core too many */
    GOV_DRIVERS
} gov_driver;

gov_result gov_run(uint64_t seed, gov_driver driver, bool trace);

#endif
