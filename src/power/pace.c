/* Sleeps after work. */
#include "power/pace.h"

#define SHORTEST_NS 1e6
#define LONGEST_NS  1e8
#define MOST_NS     2e9 /* owed at most: a stall is not paid back for ever */

uint64_t jl_pace_work(jl_pace *p, uint64_t worked, double duty)
{
    if (!(duty < 1.0)) {
        p->owed_ns = 0.0;
        return 0;
    }
    const double d = duty > 0.01 ? duty : 0.01;
    p->owed_ns += (double)worked * (1.0 - d) / d;
    if (p->owed_ns > MOST_NS)
        p->owed_ns = MOST_NS;
    if (p->owed_ns < SHORTEST_NS)
        return 0;
    return (uint64_t)(p->owed_ns < LONGEST_NS ? p->owed_ns : LONGEST_NS);
}

void jl_pace_slept(jl_pace *p, uint64_t ns)
{
    p->owed_ns -= (double)ns;
    if (p->owed_ns < -LONGEST_NS)
        p->owed_ns = -LONGEST_NS;
}
