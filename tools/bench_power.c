/* Energy beside the speeds of joule bench. */
#include "bench_power.h"

#include <math.h>
#include <stdio.h>

#include "joule/sys.h"

jl_status bench_power_open(const opts *o, const jl_model *model, jl_session *session,
                           bench_power *b, jl_error *err)
{
    *b = (bench_power){0};
    const jl_status s = power_open(o, model, &b->power, err);
    if (s != JL_OK)
        return s;
    jl_power_attach(b->power, session);
    jl_power_begin(b->power);
    return JL_OK;
}

void bench_power_close(bench_power *b, jl_session *session)
{
    if (!b->power)
        return;
    jl_power_end(b->power);
    jl_power_detach(b->power, session);
    jl_power_close(b->power);
    b->power = NULL;
}

void bench_power_row(bench_power *b)
{
    b->joules = 0.0;
    b->seconds = 0.0;
}

void bench_power_start(bench_power *b)
{
    b->before = jl_power_joules(b->power, true);
    b->start_ns = jl_time_ns();
}

void bench_power_stop(bench_power *b)
{
    b->seconds += (double)(jl_time_ns() - b->start_ns) * 1e-9;
    b->joules += jl_power_joules(b->power, true) - b->before;
}

double bench_power_joules(const bench_power *b, double n_tokens)
{
    return b->joules / n_tokens;
}

double bench_power_watts(const bench_power *b)
{
    return b->seconds > 0.0 ? b->joules / b->seconds : NAN;
}

const char *bench_power_text(double joules, char out[24])
{
    if (isnan(joules))
        return "no meter";
    snprintf(out, 24, "%.3g", joules);
    return out;
}

const char *bench_power_json(double value, char out[24])
{
    if (isnan(value))
        return "null";
    snprintf(out, 24, "%.6g", value);
    return out;
}

void bench_power_print_state(const bench_power *b)
{
    const jl_meter_info *m = jl_power_meter(b->power);
    jl_machine_state state;
    char text[200];

    jl_power_state(b->power, &state);
    power_describe_state(&state, text, sizeof text);
    if (m)
        printf("energy: %s (%s); %s\n", m->name, m->domain, text);
    else
        printf("energy: %s; %s\n", jl_power_why_not(b->power), text);
}

void bench_power_print_json(const bench_power *b)
{
    const jl_meter_info *m = jl_power_meter(b->power);
    jl_machine_state s;
    char heat[24];

    jl_power_state(b->power, &s);
    printf(", \"meter\": %s%s%s, \"on_ac\": %s, \"temperature_c\": %s, \"thermal\": \"%s\", "
           "\"low_power_mode\": %s",
           m ? "\"" : "", m ? m->name : "null", m ? "\"" : "",
           s.on_ac < 0 ? "null"
           : s.on_ac   ? "true"
                       : "false",
           bench_power_json(s.temperature_c, heat), power_thermal_name(s.thermal),
           s.low_power_mode < 0 ? "null"
           : s.low_power_mode   ? "true"
                                : "false");
}
