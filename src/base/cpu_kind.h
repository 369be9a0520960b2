/* Processors of two kinds: fast ones and thrifty ones (P and E cores, big and little). */
#ifndef JL_BASE_CPU_KIND_H
#define JL_BASE_CPU_KIND_H

typedef enum { JL_CORES_ANY = 0, JL_CORES_FAST, JL_CORES_THRIFTY } jl_core_kind;

/* Physical cores of a kind that this process may use; the thrifty ones are 0 where all are alike.
 */
int jl_cpu_cores_of(jl_core_kind kind);

/* Keeps the calling thread on the processors of a kind. Linux: affinity. macOS: the quality of
 * service class that the system gives to these cores. Elsewhere nothing. */
void jl_cpu_bind(jl_core_kind kind);

#endif
