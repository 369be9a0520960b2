/* What this processor can do, in bundles with names people know. */
#ifndef JL_BASE_CPU_H
#define JL_BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    JL_CPU_AVX2 = 1 << 0,       /* AVX2 FMA F16C BMI2 */
    JL_CPU_AVXVNNI = 1 << 1,
    JL_CPU_AVX512 = 1 << 2,     /* F BW DQ VL */
    JL_CPU_AVX512VNNI = 1 << 3,
    JL_CPU_AVX512BF16 = 1 << 4,
    JL_CPU_AMX = 1 << 5,        /* AMX-TILE AMX-INT8, permitted by the system */
    JL_CPU_AVX512VBMI = 1 << 6, /* VBMI BITALG */
    JL_CPU_AMX_REFUSED = 1 << 7, /* the processor has AMX-INT8, the system refuses its use */
    JL_CPU_NEON = 1 << 16,
    JL_CPU_DOTPROD = 1 << 17,
    JL_CPU_I8MM = 1 << 18,
    JL_CPU_SVE = 1 << 19,
    JL_CPU_SME = 1 << 20,
    JL_CPU_SME2 = 1 << 21,
    JL_CPU_SME_ASKED = 1 << 22, /* by name, see jl_cpu_mask: SME also where i8mm is the default */
};

unsigned jl_cpu_features(void);
/* Removes everything above the named bundle: "scalar", "avx2", "avxvnni", "avx512", "avx512vnni",
 * "avx512bf16", "amx", "neon", "dotprod", "i8mm", "sme"; NULL or "" keeps all. An unknown name
 * returns 0 features and sets *known to 0 (known may be NULL). */
unsigned jl_cpu_mask(unsigned features, const char *name, int *known);
/* Space-separated names of the bundles; returns the length. */
size_t jl_cpu_names(unsigned features, char *text, size_t cap);
/* Name of the processor, "AMD EPYC ...", "unknown" if the system does not tell. Writes at most cap
 * bytes with the NUL, returns the length. */
size_t jl_cpu_model(char *text, size_t cap);
int jl_cpu_count(void); /* processors this process may use (affinity and container quota), >= 1 */
int jl_cpu_cores(void); /* physical cores among them, of all kinds, >= 1 */
int jl_cpu_quota(void); /* processors' worth of time a container may use, rounded up; 0: no limit */
/* Bytes of the last-level caches together; 0 if the system does not tell. */
uint64_t jl_cpu_cache_bytes(void);
uint64_t jl_cpu_cache_from_sysfs(const char *sys); /* the same of a /sys tree */

/* Binds the calling thread to the index-th processor this process may use, whole cores first
 * (modulo their number). Does nothing where the system has no such call. */
void jl_cpu_pin(int index);

#endif
