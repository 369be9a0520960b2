/* Inside the power object. The sampler thread reads the meter and decides; the thread of the
 * session works at the pace it finds in the atomic fields. */
#ifndef JL_POWER_POWER_H
#define JL_POWER_POWER_H

#include <stdatomic.h>

#include "base/thread.h"
#include "power/governor.h"
#include "power/inhibit.h"
#include "power/pace.h"
#include "power/rules.h"
#include "power/user.h"

/* Tokens are counted in parts: a micro-batch counts layer by layer. */
#define JL_POWER_PARTS 1048576.0

typedef struct {
    double joules; /* of the meter's clock, at the last tick */
    double t;
    double prompt, decode, busy; /* tokens, tokens, seconds: counted so far */
} jl_power_mark;

struct jl_power {
    jl_power_params params;
    char root[256], source[16];
    jl_sysfs fs;
    jl_mac_api mac;
    bool is_mac;
    jl_meters meters;
    jl_meter *meter; /* NULL: none */
    char why[600];
    uint64_t start_ns;

    jl_lock *lock;
    jl_thread *thread;

    /* Under the lock. */
    bool stop;
    int n_working;
    jl_inhibit inhibit;
    jl_user user;
    double work_began; /* s since open */
    jl_meter_clock clock;
    jl_power_totals totals;
    double cost[JL_PHASES]; /* J per token; 0: not seen alone yet */
    jl_power_mark tick;     /* when the last tick ended */
    double pending_j;       /* energy of ticks without a token */
    double meter_t;         /* last sample handed to the governor */
    double meter_j;
    jl_governor governor;
    jl_gov_output decided;
    bool governed;
    jl_power_limits limits;
    jl_machine_state state;
    double state_t;
    jl_rule rule;
    jl_power_sample shown; /* the last jl_power_get_sample */
    uint32_t n_threads;    /* of the session */

    /* What the session's thread obeys, and what it counts. */
    _Atomic double duty;
    atomic_uint use_threads, use_place;
    atomic_bool paused;
    atomic_uint_fast64_t n_prompt, n_decode; /* parts of tokens */
    atomic_uint_fast64_t busy_ns;

    /* The session's thread alone. */
    jl_pace pace;
    uint64_t mark_ns;
    uint32_t layer, n_layers; /* done of this micro-batch; in one */
    uint32_t used_threads, used_place;
};

double jl_power_now(const jl_power *p); /* s since open */
/* The pace function of sessions. */
void jl_power_pace(void *power, jl_session *session, const jl_pace_point *at);
/* One step of the sampler, under the lock; returns how long to wait for the next, ms. */
uint32_t jl_power_tick(jl_power *p);
/* Looks at battery and heat again if the last look is two seconds old; the rules follow. */
void jl_power_refresh(jl_power *p, double t);
void jl_power_read_state(jl_power *p, jl_machine_state *out);
/* Puts energy down to phases, by tokens times cost. */
void jl_power_account(jl_power *p, double joules, double n_prompt, double n_decode);

#endif
