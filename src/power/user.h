/* How long ago keyboard or pointer were last used: asked of the system while running, without root.
 * On Linux through busctl, because the answer lies on D-Bus: GNOME's idle monitor, else logind's
 * idle hint. On macOS in the registry (HIDIdleTime). */
#ifndef JL_POWER_USER_H
#define JL_POWER_USER_H

#include "power/mac.h"

typedef struct {
    const jl_mac_api *mac; /* NULL: Linux */
    int source;            /* the one that answered; 0: none yet */
} jl_user;

/* Seconds since the last use; NAN: the system does not say. */
double jl_user_idle(jl_user *u);

/* ---- pieces that tests look at ---------------------------------------------------------- */

/* busctl's answers: "t 1234" in ms; "b false" or "b true" and "t 1234", us of CLOCK_MONOTONIC. */
double jl_user_parse_monitor(const char *text);
double jl_user_parse_hint(const char *text, double now_s);

#endif
