/* Options and texts of energy. */
#include "power_cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "joule/sys.h"
#include "load.h"

/* Reads one option if it is given. */
static bool read_value(const opts *o, opt_id id, bool (*parse)(const char *, double *), double *out)
{
    const char *text = opt_text(o, id);

    return !text || parse(text, out);
}

static int read_options(const opts *o, jl_power_params *p)
{
    if (!read_value(o, OPT_POWER_BUDGET, jl_parse_watts, &p->budget_w) ||
        (opt_text(o, OPT_POWER_BUDGET) && p->budget_w <= 0.0))
        return usage_error(o, "--power-budget: '%s' is not a power such as 8W",
                           opt_text(o, OPT_POWER_BUDGET));
    if (!read_value(o, OPT_ENERGY_TARGET, jl_parse_joules, &p->target_j) ||
        (opt_text(o, OPT_ENERGY_TARGET) && p->target_j <= 0.0))
        return usage_error(o, "--energy-target: '%s' is not an energy such as 0.7J",
                           opt_text(o, OPT_ENERGY_TARGET));
    if (!read_value(o, OPT_DUTY, jl_parse_share, &p->duty) ||
        (opt_text(o, OPT_DUTY) && p->duty < 0.02))
        return usage_error(o, "--duty: '%s' is not a share of 2%% to 100%%", opt_text(o, OPT_DUTY));
    const char *rule = opt_text(o, OPT_ON_BATTERY);
    if (rule && !jl_parse_battery_rule(rule, &p->on_battery, &p->pause_below))
        return usage_error(o, "--on-battery: '%s' is none of normal, low and \"pause-below 15%%\"",
                           rule);
    return 0;
}

int power_check_options(const opts *o)
{
    jl_power_params p = {0};

    return read_options(o, &p);
}

jl_status power_open(const opts *o, const jl_model *model, jl_power **out, jl_error *err)
{
    jl_power_params p = {.struct_size = sizeof p,
                         .sysfs = jl_env("JOULE_SYSFS"),
                         .meter = opt_text(o, OPT_METER),
                         .user_rest_s = o->v[OPT_PAUSE_FOR_USER].num,
                         .keep_awake = !opt_on(o, OPT_NO_KEEP_AWAKE)};
    jl_model_info info;
    const double rest = o->v[OPT_IDLE_BASELINE].num;

    (void)read_options(o, &p); /* has been checked */
    if (model && load_uses_gpu(o))
        p.device = JL_COVERS_GPU;
    if (model) {
        jl_model_get_info(model, &info);
        p.bytes_per_token = (double)info.bytes_per_token;
        p.ops_per_token = 2.0 * (double)info.n_params_active;
    }
    jl_status s = jl_power_open(&p, out, err);
    if (s != JL_OK || rest <= 0.0)
        return s;
    if (!opt_on(o, OPT_QUIET))
        fprintf(stderr, "joule: resting for %g s to measure the idle power\n", rest);
    s = jl_power_measure_idle(*out, rest, err);
    if (s != JL_OK) {
        jl_power_close(*out);
        *out = NULL;
    }
    return s;
}

const char *power_thermal_name(int level)
{
    static const char *const names[] = {"nominal", "fair", "serious", "critical"};

    return level >= 0 && level < 4 ? names[level] : "unknown";
}

void power_describe_state(const jl_machine_state *s, char *text, size_t cap)
{
    size_t n = 0;

    text[0] = '\0';
    if (s->on_ac >= 0)
        n += (size_t)snprintf(text + n, cap - n, "%s", s->on_ac ? "on AC" : "on battery");
    if (!isnan(s->battery))
        n += (size_t)snprintf(text + n, cap - n, "%sbattery %.0f %%", n ? ", " : "",
                              s->battery * 100.0);
    if (!isnan(s->temperature_c))
        n += (size_t)snprintf(text + n, cap - n, "%s%.0f C", n ? ", " : "", s->temperature_c);
    if (s->thermal >= 0)
        n += (size_t)snprintf(text + n, cap - n, "%sthermal state %s", n ? ", " : "",
                              power_thermal_name(s->thermal));
    if (s->low_power_mode >= 0)
        n += (size_t)snprintf(text + n, cap - n, "%sLow Power Mode %s", n ? ", " : "",
                              s->low_power_mode ? "on" : "off");
    if (!n)
        snprintf(text, cap, "power source, battery and temperature unknown");
}

void power_describe(jl_power *power, const jl_power_totals *a, const jl_power_totals *b, char *text,
                    size_t cap)
{
    const jl_meter_info *m = jl_power_meter(power);
    const double n_prompt = (double)(b->n_prompt - a->n_prompt);
    const double n_decode = (double)(b->n_decode - a->n_decode);
    const double prompt = b->prompt_j - a->prompt_j;
    const double decode = b->decode_j - a->decode_j;
    const double seconds = b->work_s - a->work_s;
    size_t n = 0;

    if (!m) {
        snprintf(text, cap, "%s", jl_power_why_not(power));
        return;
    }
    text[0] = '\0';
    if (n_prompt > 0)
        n += (size_t)snprintf(text + n, cap - n, "%.3g J per prompt token, ", prompt / n_prompt);
    if (n_decode > 0)
        n += (size_t)snprintf(text + n, cap - n, "%.3g J per generated token, ", decode / n_decode);
    if (seconds > 0)
        n += (size_t)snprintf(text + n, cap - n, "%.3g W mean", (prompt + decode) / seconds);
    if (!isnan(b->idle_w) && seconds > 0 && prompt + decode > 0) {
        const double share = 1.0 - b->idle_w * seconds / (prompt + decode);
        n += (size_t)snprintf(text + n, cap - n, ", %.0f %% above idle",
                              share > 0 ? share * 100.0 : 0.0);
    }
    snprintf(text + n, cap - n, " (%s, %s)", m->name, m->domain);
}
