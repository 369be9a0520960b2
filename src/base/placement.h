/* Where work is put on a machine with several kinds of cores: how many threads of each kind, with
 * which share of the work, on which cores. The planning is a pure function of a topology. */
#ifndef JL_BASE_PLACEMENT_H
#define JL_BASE_PLACEMENT_H

#include "base/topology.h"
#include "joule/joule.h"

/* macOS scheduling classes: BACKGROUND keeps threads on efficiency cores, the others prefer fast
 * ones. Linux uses affinity to the groups with threads. */
typedef enum { JL_CLASS_USER_INITIATED = 0, JL_CLASS_UTILITY, JL_CLASS_BACKGROUND } jl_thread_class;

typedef struct {
    jl_placement kind;
    int n_groups;
    int n_prefill, n_decode;      /* threads */
    int prefill[JL_MAX_GROUPS];   /* of each group, one per physical core; thread 0 in the first */
    int decode[JL_MAX_GROUPS];
    double share[JL_MAX_GROUPS];  /* of prefill that a group's threads are good for; sum 1 */
    int n_matrix;                 /* threads that may use SME at once: one per cluster */
    bool bound;                   /* threads can be kept on their groups, and there are several */
    bool anywhere;                /* more threads than the placement has cores: not bound */
    jl_thread_class thread_class;
    char why[256];
} jl_thread_plan;

/* speed: measured speed of a core of each group, any unit; NULL: the topology's. most: threads at
 * most, 0 for any. decode_most: threads that saturate memory, 0 if unknown. */
void jl_thread_plan_make(const jl_topology *t, jl_placement kind, const double *speed, int most,
                         int decode_most, jl_thread_plan *out);
/* Shares by speeds that were measured after planning. */
void jl_thread_plan_set_speed(jl_thread_plan *plan, const double *speed);
/* The plan of a session on t. n_threads 0: as many as the placement has, and a container may use;
 * more than it has cores: these run anywhere, except with efficiency, which keeps its cores. sme:
 * the kernels for prefill use SME, so it has one thread per unit. */
void jl_thread_plan_session(const jl_topology *t, jl_placement kind, int n_threads, bool sme,
                            jl_thread_plan *out);
int jl_thread_plan_threads(const jl_thread_plan *plan); /* most of both phases; >= 1 */
/* Group of thread ith; 0 if it has none. */
int jl_thread_plan_group(const jl_thread_plan *plan, int ith);
/* How many pieces of equal cost thread ith should see where nth share the work: nth for threads of
 * the fastest group, more for slower ones, so that their pieces are smaller. */
int jl_thread_plan_parts(const jl_thread_plan *plan, int ith, int nth);
const char *jl_placement_name(jl_placement kind);
const char *jl_thread_class_name(jl_thread_class c);

/* ---- this machine */

int jl_cpu_cores_of(jl_core_kind kind); /* physical cores of a kind that this process may use */
/* Threads of the balanced placement, within what a container may use; >= 1. */
int jl_topology_threads(void);
/* Keeps the calling thread on the processors of a kind. Linux: affinity. macOS: the quality of
 * service class that the system gives to these cores. Elsewhere nothing. */
void jl_cpu_bind(jl_core_kind kind);
/* The same for thread ith of a plan: on its group's processors, or in the plan's class. */
void jl_thread_plan_bind(const jl_thread_plan *plan, int ith);

#endif
