/* Kinds of cores a machine has, and where work is put: how many threads of each kind, with which
 * share of the work, on which cores. Facts come from sysctl on Macs (`hw.perflevel*`) and from
 * /sys/devices/system/cpu on Linux; the planning is a pure function of them. */
#ifndef JL_BASE_TOPOLOGY_H
#define JL_BASE_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JL_MAX_GROUPS = 4, JL_MAX_GROUP_CPUS = 1024 };

/* Cores of one kind. */
typedef struct {
    char name[32];   /* the system's: "Performance", "Efficiency", "cpu_core"; "capacity 446" */
    int n_cores;     /* physical */
    int n_cpus;      /* hardware threads */
    int n_clusters;  /* cores that share a second-level cache, and on Apple silicon an SME unit */
    double speed;    /* of a core, the fastest kind is 1; the system's figure, not a measurement */
    uint16_t cpu[JL_MAX_GROUP_CPUS]; /* [n_cpus] numbers for affinity, whole cores first; Linux */
} jl_core_group;

typedef struct {
    jl_core_group group[JL_MAX_GROUPS]; /* fastest first */
    int n_groups;                       /* >= 1 */
} jl_topology;

/* Value of a sysctl: a number, or text for names; false if there is none of that name. */
typedef bool jl_sysctl_fn(void *ctx, const char *name, int64_t *number, char *text, size_t cap);

/* From sysctl values. False if they describe no core. */
bool jl_topology_from_sysctl(jl_sysctl_fn *get, void *ctx, jl_topology *out);
/* From a /sys tree ("/sys"). usable: processors of this process, ascending; n_usable 0: all that
 * are online. False if the tree describes no core. */
bool jl_topology_from_sysfs(const char *sys, const int *usable, int n_usable, jl_topology *out);
/* This machine, in what is left of it to this process; never fails. */
void jl_topology_read(jl_topology *out);

typedef enum {
    JL_PLACEMENT_BALANCED = 0, /* fast cores */
    JL_PLACEMENT_PERFORMANCE,  /* prefill on all cores, decode on the fast ones */
    JL_PLACEMENT_EFFICIENCY,   /* thrifty cores */
} jl_placement_kind;

/* macOS scheduling classes: BACKGROUND keeps threads on efficiency cores, the others prefer fast
 * ones. Linux uses affinity to the groups with threads. */
typedef enum { JL_CLASS_USER_INITIATED = 0, JL_CLASS_UTILITY, JL_CLASS_BACKGROUND } jl_thread_class;

typedef struct {
    int n_prefill, n_decode;          /* threads */
    int prefill[JL_MAX_GROUPS];       /* of each group, one per physical core */
    int decode[JL_MAX_GROUPS];
    double share[JL_MAX_GROUPS];      /* of prefill that a group's threads are good for; sum 1 */
    int n_matrix;                     /* threads that may use SME at once: one per cluster */
    jl_thread_class thread_class;
    char why[256];
} jl_placement;

/* speed: measured speed of a core of each group, any unit; NULL: the topology's. most: threads at
 * most, 0 for any. decode_most: threads that saturate memory, 0 if unknown. */
void jl_topology_place(const jl_topology *t, jl_placement_kind kind, const double *speed, int most,
                       int decode_most, jl_placement *out);
/* Threads of the balanced placement on this machine, within what a container may use; >= 1. */
int jl_topology_threads(void);
const char *jl_placement_name(jl_placement_kind kind);
const char *jl_thread_class_name(jl_thread_class c);
/* "4 Performance cores in 1 cluster, 6 Efficiency cores in 1 cluster (speed 0.46)". */
size_t jl_topology_describe(const jl_topology *t, char *text, size_t cap);

#endif
