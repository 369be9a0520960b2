/* Chooses the loops of the roofline; see peak.h. */
#include "backend/peak.h"

#include <string.h>

#include "base/cpu.h"

#define READ_VEC uint64_t
static inline uint64_t add_word(uint64_t acc, const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return acc + word;
}
#define READ_ADD(acc, p) add_word(acc, p)
#include "backend/cpu/peak_read_inl.h"

static uint64_t read_scalar(const uint8_t *p, size_t n, size_t streams, size_t ahead)
{
    uint64_t acc[4] = {0};

    read_all(p, n, streams, ahead, acc);
    return acc[0] + acc[1] + acc[2] + acc[3];
}

#if defined(__x86_64__)
#include "backend/cpu/x86/x86.h"

size_t jl_cpu_int8_peaks(unsigned features, jl_peak_loop *out)
{
    const struct {
        unsigned needs;
        jl_peak_loop loop;
    } loops[] = {
        {JL_CPU_AVX2, {"avx2", jl_x86_int8_peak_avx2}},
        {JL_CPU_AVXVNNI, {"avxvnni", jl_x86_int8_peak_avxvnni}},
        {JL_CPU_AVX512, {"avx512", jl_x86_int8_peak_avx512}},
        {JL_CPU_AVX512VNNI, {"avx512vnni", jl_x86_int8_peak_avx512vnni}},
        {JL_CPU_AMX, {"amx", jl_x86_int8_peak_amx}},
    };
    size_t n = 0;

    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        if (features & loops[i].needs)
            out[n++] = loops[i].loop;
    return n;
}

jl_peak_loop jl_cpu_f32_peak(unsigned features)
{
    if (features & JL_CPU_AVX512)
        return (jl_peak_loop){"avx512", jl_x86_f32_peak_avx512};
    if (features & JL_CPU_AVX2)
        return (jl_peak_loop){"avx2", jl_x86_f32_peak_avx2};
    return (jl_peak_loop){"none", NULL};
}

jl_read_loop jl_cpu_read_loop(unsigned features)
{
    if (features & JL_CPU_AVX512)
        return (jl_read_loop){"avx512", jl_x86_read_avx512};
    if (features & JL_CPU_AVX2)
        return (jl_read_loop){"avx2", jl_x86_read_avx2};
    return (jl_read_loop){"scalar", read_scalar};
}
#else
size_t jl_cpu_int8_peaks(unsigned features, jl_peak_loop *out)
{
    (void)features;
    (void)out;
    return 0;
}

jl_peak_loop jl_cpu_f32_peak(unsigned features)
{
    (void)features;
    return (jl_peak_loop){"none", NULL};
}

jl_read_loop jl_cpu_read_loop(unsigned features)
{
    (void)features;
    return (jl_read_loop){"scalar", read_scalar};
}
#endif
