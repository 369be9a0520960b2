/* The answers get a step when they have waited SHARE times as long as it takes, so that they and
 * the prompts share the processor, and in any case before their wait would exceed the limit. What
 * is read at once is as much as keeps a layer, the shortest stretch without a chance to pause,
 * below what the limit leaves. */
#include "server/pause.h"

enum { N_START = 64, N_MIN = 4 };
static const double SHARE = 3.0;    /* prompts : answers, in time */
static const double MARGIN = 0.85;  /* of the limit: the next layer may take longer */
static const double ROOM_MIN = 0.3; /* of the limit for a layer, even if answers take long */

static double max(double a, double b)
{
    return a > b ? a : b;
}

void jl_pause_init(jl_pause *p, double limit, uint32_t n_max)
{
    *p = (jl_pause){.limit = limit, .n_max = n_max, .n_tokens = N_START < n_max ? N_START : n_max};
}

void jl_pause_served(jl_pause *p, double now)
{
    p->waiting = now;
}

void jl_pause_begin(jl_pause *p, double now)
{
    p->gap = 0;
    p->mark = now;
}

bool jl_pause_is_due(jl_pause *p, double now)
{
    const double waited = now - p->waiting;

    p->gap = max(p->gap, now - p->mark);
    p->mark = now;
    return waited >= SHARE * p->cost || waited + p->gap + p->cost > MARGIN * p->limit;
}

double jl_pause_done(jl_pause *p, double began, double now)
{
    const double waited = now - p->waiting;

    p->cost = p->cost > 0 ? 0.5 * (p->cost + now - began) : now - began;
    p->waiting = p->mark = now;
    return waited;
}

void jl_pause_end(jl_pause *p, uint32_t n_read, double now)
{
    const double room = max(MARGIN * p->limit - p->cost, ROOM_MIN * p->limit);

    p->gap = max(p->gap, now - p->mark);
    double n = p->gap > 0 ? n_read * (0.9 * room / p->gap) : p->n_max;
    if (n > p->n_tokens && n_read < p->n_tokens)
        return; /* there was no more to read: nothing is known about larger ones */
    if (n > 2.0 * n_read)
        n = 2.0 * n_read; /* times are not proportional: step by step */
    n = max(n, N_MIN);
    p->n_tokens = n < p->n_max ? (uint32_t)n : p->n_max;
}
