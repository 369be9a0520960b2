/* Watts, joules, shares and the battery rule, as people write them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "joule/power.h"

/* A number followed by one of the units; *scale is the unit's. An empty unit is the last one. */
typedef struct {
    const char *name;
    double scale;
} unit;

static bool parse(const char *text, const unit *units, size_t n, double most, double *out)
{
    char *end;
    const double v = strtod(text, &end);

    if (end == text || !isfinite(v) || v < 0.0)
        return false;
    end += strspn(end, " ");
    for (size_t i = 0; i < n; i++)
        if (strcasecmp(end, units[i].name) == 0 && v * units[i].scale <= most) {
            *out = v * units[i].scale;
            return true;
        }
    return false;
}

bool jl_parse_watts(const char *text, double *out)
{
    static const unit units[] = {{"W", 1.0}, {"mW", 1e-3}, {"kW", 1e3}, {"", 1.0}};

    return parse(text, units, 4, 1e5, out);
}

bool jl_parse_joules(const char *text, double *out)
{
    static const unit units[] = {{"J", 1.0},       {"mJ", 1e-3},     {"J/tok", 1.0},
                                 {"J/token", 1.0}, {"mJ/tok", 1e-3}, {"", 1.0}};

    return parse(text, units, 6, 1e6, out);
}

bool jl_parse_share(const char *text, double *out)
{
    static const unit percent[] = {{"%", 0.01}};
    static const unit plain[] = {{"", 1.0}};

    return parse(text, percent, 1, 1.0, out) || parse(text, plain, 1, 1.0, out);
}

bool jl_parse_battery_rule(const char *text, jl_battery_rule *rule, double *below)
{
    static const char pause[] = "pause-below";

    if (strcmp(text, "low") == 0) {
        *rule = JL_BATTERY_LOW;
        return true;
    }
    if (strcmp(text, "normal") == 0) {
        *rule = JL_BATTERY_NORMAL;
        return true;
    }
    if (strncmp(text, pause, sizeof pause - 1) != 0)
        return false;
    text += sizeof pause - 1;
    if (!strchr(" =:", *text) || !*text || !jl_parse_share(text + 1, below))
        return false;
    *rule = JL_BATTERY_PAUSE;
    return true;
}
