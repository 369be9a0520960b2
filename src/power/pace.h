/* Working a share of the time: after work come sleeps, so long that the share is met. Kept apart
 * from the clock, so that tests can go through it. */
#ifndef JL_POWER_PACE_H
#define JL_POWER_PACE_H

#include <stdint.h>

typedef struct {
    double owed_ns; /* sleep that is due; below 0: slept too long already */
} jl_pace;

/* `worked` ns were worked at a duty of 0..1; returns how long to sleep now: 0, or at least a
 * millisecond (shorter sleeps cost more than they save) and at most a tenth of a second (a
 * processor that rests longer needs longer to come back, and Ctrl-C waits for it). */
uint64_t jl_pace_work(jl_pace *p, uint64_t worked, double duty);
/* What a sleep really took. */
void jl_pace_slept(jl_pace *p, uint64_t ns);

#endif
