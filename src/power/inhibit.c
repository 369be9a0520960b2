/* On Linux a child, systemd-inhibit, holds logind's lock for as long as its own child, a cat that
 * waits for the end of a pipe, lives: no D-Bus library, and when joule dies in whatever way the
 * pipe ends and the lock with it. */
#include "power/inhibit.h"

#include <stddef.h>

enum { UTF8 = 0x08000100, ASSERT_ON = 255 };

static bool take_assertion(jl_inhibit *i)
{
    const jl_mac_api *m = i->mac;

    if (!m->has_awake || !m->has_cf)
        return false;
    const void *type = m->cf.string(NULL, "PreventUserIdleSystemSleep", UTF8);
    const void *name = m->cf.string(NULL, "joule is answering", UTF8);
    const bool taken = type && name && m->assert_awake(type, ASSERT_ON, name, &i->assertion) == 0;
    if (type)
        m->cf.release(type);
    if (name)
        m->cf.release(name);
    return taken;
}

void jl_inhibit_take(jl_inhibit *i)
{
    static const char *const argv[] = {"systemd-inhibit",
                                       "--what=sleep:idle",
                                       "--who=joule",
                                       "--why=an answer is being written",
                                       "--mode=block",
                                       "cat",
                                       NULL};
    if (i->held)
        return;
    if (i->mac) {
        i->held = take_assertion(i);
        return;
    }
    i->child = jl_child_start(argv, &i->pipe_fd);
    i->held = i->child > 0;
}

void jl_inhibit_release(jl_inhibit *i)
{
    if (!i->held)
        return;
    i->held = false;
    if (i->mac)
        i->mac->release_awake(i->assertion);
    else
        jl_child_stop(i->child, i->pipe_fd);
}
