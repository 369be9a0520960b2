/* Keeping the machine awake while work runs: logind's inhibitor on Linux, a power assertion on
 * macOS. */
#ifndef JL_POWER_INHIBIT_H
#define JL_POWER_INHIBIT_H

#include "power/mac.h"

typedef struct {
    const jl_mac_api *mac; /* NULL: not a Mac */
    bool held;
    int child, pipe_fd;
    uint32_t assertion;
} jl_inhibit;

void jl_inhibit_take(jl_inhibit *i);    /* nothing happens where the system has no such thing */
void jl_inhibit_release(jl_inhibit *i); /* not held: nothing */

#endif
