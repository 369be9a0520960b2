/* Asking when the user was last there. */
#include "power/user.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

enum { UTF8 = 0x08000100, CF_SINT64 = 4, NONE = 0, MONITOR, HINT };

double jl_user_parse_monitor(const char *text)
{
    unsigned long long ms;

    return sscanf(text, "t %llu", &ms) == 1 ? (double)ms * 1e-3 : NAN;
}

double jl_user_parse_hint(const char *text, double now_s)
{
    char word[8];
    unsigned long long since;

    if (sscanf(text, "b %7s t %llu", word, &since) != 2)
        return NAN;
    if (strcmp(word, "true") != 0)
        return strcmp(word, "false") == 0 ? 0.0 : NAN;
    const double idle = now_s - (double)since * 1e-6;
    return idle > 0.0 ? idle : 0.0;
}

static double ask_linux(int source)
{
    static const char *const monitor[] = {"busctl",
                                          "--user",
                                          "--timeout=1",
                                          "call",
                                          "org.gnome.Mutter.IdleMonitor",
                                          "/org/gnome/Mutter/IdleMonitor/Core",
                                          "org.gnome.Mutter.IdleMonitor",
                                          "GetIdletime",
                                          NULL};
    static const char *const hint[] = {"busctl",
                                       "--timeout=1",
                                       "get-property",
                                       "org.freedesktop.login1",
                                       "/org/freedesktop/login1",
                                       "org.freedesktop.login1.Manager",
                                       "IdleHint",
                                       "IdleSinceHintMonotonic",
                                       NULL};
    char text[128];

    if (!jl_child_output(source == MONITOR ? monitor : hint, text, sizeof text))
        return NAN;
    return source == MONITOR ? jl_user_parse_monitor(text)
                             : jl_user_parse_hint(text, (double)jl_time_ns() * 1e-9);
}

static double ask_mac(const jl_mac_api *a)
{
    void *dict = NULL;
    int64_t ns = -1;

    if (!a->has_cf || !a->has_io)
        return NAN;
    const uint32_t service = a->io.service(0, a->io.matching("IOHIDSystem"));
    if (!service)
        return NAN;
    const int rc = a->io.properties(service, &dict, NULL, 0);
    a->io.release(service);
    if (rc != 0 || !dict)
        return NAN;
    const void *key = a->cf.string(NULL, "HIDIdleTime", UTF8);
    const void *v = key ? a->cf.dict_get(dict, key) : NULL;
    if (!v || a->cf.type_of(v) != a->cf.number_type() || !a->cf.number_get(v, CF_SINT64, &ns))
        ns = -1;
    if (key)
        a->cf.release(key);
    a->cf.release(dict);
    return ns >= 0 ? (double)ns * 1e-9 : NAN;
}

double jl_user_idle(jl_user *u)
{
    if (u->mac)
        return ask_mac(u->mac);
    if (u->source != NONE)
        return ask_linux(u->source);
    for (int source = MONITOR; source <= HINT; source++) {
        const double idle = ask_linux(source);
        if (!isnan(idle)) {
            u->source = source;
            return idle;
        }
    }
    return NAN;
}
