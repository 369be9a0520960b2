/* What the state of the machine allows. */
#include "power/rules.h"

#include <math.h>
#include <stdio.h>

/* Charge that must be gained before a pause ends without AC (it can: a lid closed, a battery
 * changed). */
#define PAUSE_OVER 0.03

static void because(jl_rule *r, const char *why)
{
    if (!r->reason[0])
        snprintf(r->reason, sizeof r->reason, "%s", why);
}

static void battery(const jl_machine_state *s, jl_battery_rule rule, double below,
                    const jl_rule *before, jl_rule *r)
{
    if (s->on_ac != 0)
        return;
    r->defer = true;
    if (rule == JL_BATTERY_NORMAL)
        return;
    const double limit = before && before->pause ? below + PAUSE_OVER : below;
    if (rule == JL_BATTERY_PAUSE && s->battery < limit) {
        r->pause = true;
        snprintf(r->reason, sizeof r->reason, "paused: battery at %.0f %%, below %.0f %%",
                 s->battery * 100.0, below * 100.0);
    }
    r->half = true;
    because(r, "on battery: few cores");
}

static void heat(const jl_machine_state *s, jl_rule *r)
{
    static const double share[] = {1.0, 1.0, 0.7, 0.35};

    if (s->thermal < 2 || s->thermal > 3)
        return;
    r->duty = share[s->thermal];
    r->budget = share[s->thermal];
    r->defer = true;
    because(r, s->thermal == 2 ? "hot: slowed to 70 %" : "too hot: slowed to 35 %");
}

jl_rule jl_rules(const jl_machine_state *s, jl_battery_rule on_battery, double pause_below,
                 const jl_rule *before)
{
    jl_rule r = {.duty = 1.0, .budget = 1.0};

    battery(s, on_battery, pause_below, before, &r);
    if (s->low_power_mode == 1) {
        r.half = true;
        r.defer = true;
        because(&r, "Low Power Mode: few cores");
    }
    heat(s, &r);
    return r;
}

void jl_rule_user(jl_rule *r, double idle_s, double rest_s)
{
    if (!(idle_s < rest_s))
        return;
    if (!r->pause)
        snprintf(r->reason, sizeof r->reason, "paused: keyboard or pointer in use");
    r->pause = true;
}
