/* Kinds of cores a machine has. Facts come from sysctl on Macs (`hw.perflevel*`) and from
 * /sys/devices/system/cpu on Linux; what is planned with them is in placement.h. */
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
    int n_listed;    /* of cpu: n_cpus on Linux, else 0 */
    uint16_t cpu[JL_MAX_GROUP_CPUS]; /* numbers for affinity, whole cores first */
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
/* This machine, in what is left of it to the calling thread; never fails. JOULE_SYSFS names another
 * folder than /sys. */
void jl_topology_read(jl_topology *out);
/* As the process was started, read at the first call; binding the caller does not change it. */
const jl_topology *jl_topology_machine(void);

/* Fast ones and thrifty ones: P and E cores, big and little. Of three kinds the slowest is thrifty;
 * where all are alike none is. */
typedef enum { JL_CORES_ANY = 0, JL_CORES_FAST, JL_CORES_THRIFTY } jl_core_kind;

int jl_topology_cores(const jl_topology *t, jl_core_kind kind); /* physical */
/* Processors of a kind, at most cap, for affinity; returns how many, 0 where the system has no
 * numbers for them or no core of that kind. */
int jl_topology_cpus(const jl_topology *t, jl_core_kind kind, int *cpus, int cap);
/* "4 x Performance (1 cluster, speed 1.00), 6 x Efficiency (1 cluster, speed 0.33)". */
size_t jl_topology_describe(const jl_topology *t, char *text, size_t cap);

#endif
