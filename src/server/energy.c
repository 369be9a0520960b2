/* Energy over HTTP: the energy object of an answer, metrics, the power budget. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "server/internal.h"

static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static double per(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

/* Energy and processor time of all choices; the prompt is counted once per choice that read it. */
json_t *jl_answer_energy(const jl_answer *a)
{
    const jl_server *s = a->s;
    const jl_meter_info *m = s->params.power ? jl_power_meter(s->params.power) : NULL;
    double prompt = 0.0;
    double decode = 0.0;
    double cpu = 0.0;
    double n_read = 0.0;
    double n_new = 0.0;

    for (unsigned i = 0; i < a->gen.n; i++) {
        const jl_choice *c = &a->choices[i];
        if (!c->ended)
            continue;
        prompt += c->job.stats.prompt_j;
        decode += c->job.stats.decode_j;
        cpu += c->job.stats.cpu_s;
        n_read += (double)c->job.stats.n_read;
        n_new += (double)(c->job.n_tokens - c->job.n_prompt);
    }
    json_t *o = json_pack("{s:f, s:o}", "cpu_seconds", cpu, "cpu_seconds_per_token",
                          number(per(cpu, n_read + n_new)));
    if (!m) {
        const char *why = s->params.power ? jl_power_why_not(s->params.power) : "no meter";
        json_object_set_new(o, "meter", json_null());
        json_object_set_new(o, "reason", json_string(why));
        return o;
    }
    json_object_set_new(o, "joules", number(prompt + decode));
    json_object_set_new(o, "prompt_joules", number(prompt));
    json_object_set_new(o, "decode_joules", number(decode));
    json_object_set_new(o, "joules_per_prompt_token", number(per(prompt, n_read)));
    json_object_set_new(o, "joules_per_token", number(per(decode, n_new)));
    json_object_set_new(o, "meter", json_string(m->name));
    json_object_set_new(o, "domain", json_string(m->domain));
    return o;
}

static void put_metric(jl_str *text, const char *name, const char *type, const char *help, double v)
{
    char line[300];

    if (isnan(v))
        return;
    const int n =
        snprintf(line, sizeof line, "# HELP joule_%s %s\n# TYPE joule_%s %s\njoule_%s %.17g\n",
                 name, help, name, type, name, v);
    (void)jl_str_put(text, line, (size_t)n);
}

void jl_energy_metrics(const jl_server *s, jl_str *text)
{
    jl_power_totals t;
    jl_power_status st;

    if (!s->params.power)
        return;
    jl_power_get_totals(s->params.power, &t);
    jl_power_get_status(s->params.power, &st);
    put_metric(text, "energy_prompt_joules_total", "counter", "energy of reading prompts",
               t.prompt_j);
    put_metric(text, "energy_decode_joules_total", "counter", "energy of generating", t.decode_j);
    put_metric(text, "power_watts", "gauge", "power while working, smoothed over a second",
               t.watts);
    put_metric(text, "power_budget_watts", "gauge", "power budget after the rules; 0: none",
               st.allowed_w);
    put_metric(text, "busy_seconds_total", "counter", "seconds computing", t.busy_s);
    put_metric(text, "work_seconds_total", "counter", "seconds with work, pauses included",
               t.work_s);
    put_metric(text, "duty", "gauge", "share of the time that may be worked", st.duty);
    put_metric(text, "threads", "gauge", "threads in use", st.n_threads);
    put_metric(text, "paused", "gauge", "1 while a battery rule lets work wait", st.paused);
}

static json_t *status_json(const jl_server *s)
{
    const jl_meter_info *m = jl_power_meter(s->params.power);
    jl_power_status st;
    jl_power_totals t;

    jl_power_get_status(s->params.power, &st);
    jl_power_get_totals(s->params.power, &t);
    json_t *o =
        json_pack("{s:f, s:f, s:f, s:b, s:i, s:f, s:b, s:s}", "budget_w", st.budget_w, "target_j",
                  st.target_j, "duty", st.duty_limit, "at_floor", st.at_floor, "threads",
                  (int)st.n_threads, "duty_now", st.duty, "paused", st.paused, "reason", st.reason);
    json_object_set_new(o, "allowed_w", number(st.allowed_w));
    json_object_set_new(o, "floor_w", number(st.floor_w));
    json_object_set_new(o, "watts", number(t.watts));
    json_object_set_new(o, "mean_watts", number(t.mean_watts));
    json_object_set_new(o, "idle_watts", number(t.idle_w));
    json_object_set_new(o, "above_idle", number(t.above_idle));
    json_object_set_new(o, "meter", m ? json_string(m->name) : json_null());
    json_object_set_new(o, "domain", m ? json_string(m->domain) : json_null());
    if (!m)
        json_object_set_new(o, "meter_missing", json_string(jl_power_why_not(s->params.power)));
    return o;
}

static bool has_power(jl_exchange *ex)
{
    jl_fault f = {0};

    if (ex->s->params.power)
        return true;
    (void)jl_fault_set(&f, 501, "unsupported", NULL, "this server was started without meters");
    jl_ex_fault(ex, &f);
    return false;
}

/* A limit: a number, a text such as "8W", or null to take it away. Absent: -1, as it is. */
static jl_status read_limit(const json_t *body, const char *name,
                            bool (*parse)(const char *, double *), double *out, jl_fault *f)
{
    const json_t *v = json_object_get(body, name);

    *out = -1.0;
    if (!v)
        return JL_OK;
    if (json_is_null(v))
        *out = 0.0;
    else if (json_is_number(v) && json_number_value(v) >= 0.0)
        *out = json_number_value(v);
    else if (!json_is_string(v) || !parse(json_string_value(v), out))
        return jl_fault_set(f, 400, "invalid_value", name,
                            "%s must be a number, a text with a unit, or null", name);
    return JL_OK;
}

static void set_limits(jl_exchange *ex)
{
    jl_power_limits l;
    jl_fault f = {0};

    json_t *body = jl_ex_body(ex);
    if (!body)
        return;
    jl_status s = read_limit(body, "budget_w", jl_parse_watts, &l.budget_w, &f);
    if (s == JL_OK)
        s = read_limit(body, "target_j", jl_parse_joules, &l.target_j, &f);
    if (s == JL_OK)
        s = read_limit(body, "duty", jl_parse_share, &l.duty, &f);
    json_decref(body);
    if (s == JL_OK) {
        s = jl_power_set_limits(ex->s->params.power, &l, &f.err);
        if (s == JL_UNSUPPORTED)
            f.http = 409; /* it could be done on a machine with a meter */
    }
    if (s != JL_OK)
        jl_ex_fault(ex, &f);
    else
        jl_ex_json(ex, 200, status_json(ex->s));
}

/* GET: limits and what becomes of them. POST: new limits, then the same. */
void jl_handle_power(jl_exchange *ex)
{
    if (!has_power(ex))
        return;
    if (strcmp(ex->method, "POST") == 0)
        set_limits(ex);
    else
        jl_ex_json(ex, 200, status_json(ex->s));
}
