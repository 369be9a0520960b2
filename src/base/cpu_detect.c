/* Detection of instruction sets: cpuid and xgetbv on x86, hwcaps on Arm Linux, sysctl on Macs. */
#include "base/cpu.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#if defined(__x86_64__)

typedef struct {
    unsigned a, b, c, d;
} cpuid_regs;

static cpuid_regs cpuid(unsigned leaf, unsigned sub)
{
    cpuid_regs r = {0, 0, 0, 0};
    if (!__get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d))
        return (cpuid_regs){0, 0, 0, 0};
    return r;
}

static bool has(unsigned reg, unsigned bits)
{
    return (reg & bits) == bits;
}

/* Register state the system saves on a context switch (XCR0). */
static unsigned saved_state(void)
{
    unsigned lo;
    unsigned hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    (void)hi;
    return lo;
}

/* Palette 1: 8 tiles of 16 rows of 64 bytes, and products that take them whole. */
static bool amx_has_palette_1(void)
{
    enum { TILE_BYTES = 1024, ROW_BYTES = 64, N_TILES = 8, N_ROWS = 16 };
    const cpuid_regs tiles = cpuid(0x1d, 0);
    const cpuid_regs palette = cpuid(0x1d, 1);
    const cpuid_regs tmul = cpuid(0x1e, 0);

    return tiles.a >= 1 && palette.a >> 16 == TILE_BYTES && (palette.b & 0xffff) == ROW_BYTES &&
           palette.b >> 16 == N_TILES && (palette.c & 0xffff) == N_ROWS &&
           (tmul.b & 0xff) >= N_ROWS && (tmul.b >> 8 & 0xffff) >= ROW_BYTES;
}

/* Linux hands out the 8 KiB of tile registers only to processes that ask (once; asking again is
 * harmless). It refuses where an alternate signal stack is too small for them. */
static bool amx_permitted(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return false;
#endif
}

enum { XCR0_YMM = 0x6, XCR0_ZMM = 0xe6, XCR0_TILE = 0x60000 };

/* Bit numbers from the Intel SDM, volume 2A, CPUID. */
static unsigned avx512_features(cpuid_regs f7, cpuid_regs f7_1)
{
    const unsigned f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    if (!has(f7.b, f_dq_bw_vl))
        return 0;
    unsigned features = JL_CPU_AVX512;
    if (has(f7.c, 1u << 11))
        features |= JL_CPU_AVX512VNNI;
    if (has(f7.c, 1u << 1) && has(f7.c, 1u << 12))
        features |= JL_CPU_AVX512VBMI;
    if (has(f7_1.a, 1u << 5))
        features |= JL_CPU_AVX512BF16;
    return features;
}

static unsigned detect(void)
{
    const cpuid_regs f1 = cpuid(1, 0);
    const cpuid_regs f7 = cpuid(7, 0);
    const unsigned fma_osxsave_avx_f16c = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29;
    const unsigned bmi1_avx2_bmi2 = 1u << 3 | 1u << 5 | 1u << 8;
    if (!has(f1.c, fma_osxsave_avx_f16c) || !has(f7.b, bmi1_avx2_bmi2))
        return 0;
    const unsigned xcr0 = saved_state();
    if (!has(xcr0, XCR0_YMM))
        return 0;

    const cpuid_regs f7_1 = f7.a >= 1 ? cpuid(7, 1) : (cpuid_regs){0, 0, 0, 0};
    unsigned features = JL_CPU_AVX2;
    if (has(f7_1.a, 1u << 4))
        features |= JL_CPU_AVXVNNI;
    if (has(xcr0, XCR0_ZMM))
        features |= avx512_features(f7, f7_1);
    const unsigned amx_tile_int8 = 1u << 24 | 1u << 25;
    if ((features & JL_CPU_AVX512) && has(f7.d, amx_tile_int8) && amx_has_palette_1())
        features |= has(xcr0, XCR0_TILE) && amx_permitted() ? JL_CPU_AMX : JL_CPU_AMX_REFUSED;
    return features;
}

#elif defined(__aarch64__) && defined(__APPLE__)

static bool sysctl_flag(const char *name)
{
    int value = 0;
    size_t bytes = sizeof value;
    return sysctlbyname(name, &value, &bytes, NULL, 0) == 0 && value != 0;
}

static unsigned detect(void)
{
    unsigned features = JL_CPU_NEON;
    if (sysctl_flag("hw.optional.arm.FEAT_DotProd"))
        features |= JL_CPU_DOTPROD;
    if (sysctl_flag("hw.optional.arm.FEAT_I8MM"))
        features |= JL_CPU_I8MM;
    if (sysctl_flag("hw.optional.arm.FEAT_SME"))
        features |= JL_CPU_SME;
    if (sysctl_flag("hw.optional.arm.FEAT_SME2"))
        features |= JL_CPU_SME2;
    return features;
}

#elif defined(__aarch64__) && defined(__linux__)

/* Bit numbers from Linux arch/arm64/include/uapi/asm/hwcap.h. */
static unsigned detect(void)
{
    const unsigned long cap = getauxval(AT_HWCAP);
    const unsigned long cap2 = getauxval(AT_HWCAP2);
    unsigned features = 0;
    if (cap & 1ul << 1) /* ASIMD */
        features |= JL_CPU_NEON;
    if (cap & 1ul << 20) /* ASIMDDP */
        features |= JL_CPU_DOTPROD;
    if (cap & 1ul << 22) /* SVE */
        features |= JL_CPU_SVE;
    if (cap2 & 1ul << 13) /* I8MM */
        features |= JL_CPU_I8MM;
    if (cap2 & 1ul << 23) /* SME */
        features |= JL_CPU_SME;
    if (cap2 & 1ul << 37) /* SME2 */
        features |= JL_CPU_SME2;
    return features;
}

#else

static unsigned detect(void)
{
    return 0;
}

#endif

unsigned jl_cpu_features(void)
{
    return detect();
}

/* Copies text without surrounding and repeated spaces. */
static size_t tidy(const char *src, char *text, size_t cap)
{
    size_t len = 0;
    for (const char *s = src; *s && *s != '\n' && len + 1 < cap; s++) {
        if (*s == ' ' && (len == 0 || text[len - 1] == ' '))
            continue;
        text[len++] = *s;
    }
    while (len && text[len - 1] == ' ')
        len--;
    if (cap)
        text[len] = '\0';
    return len;
}

#if defined(__x86_64__)

static bool model_name(char out[64])
{
    unsigned regs[12];
    if (cpuid(0x80000000u, 0).a < 0x80000004u)
        return false;
    for (unsigned i = 0; i < 3; i++) {
        const cpuid_regs r = cpuid(0x80000002u + i, 0);
        regs[4 * i] = r.a;
        regs[4 * i + 1] = r.b;
        regs[4 * i + 2] = r.c;
        regs[4 * i + 3] = r.d;
    }
    memcpy(out, regs, sizeof regs);
    out[sizeof regs] = '\0';
    return true;
}

#elif defined(__APPLE__)

static bool model_name(char out[64])
{
    size_t bytes = 63;
    memset(out, 0, 64);
    return sysctlbyname("machdep.cpu.brand_string", out, &bytes, NULL, 0) == 0;
}

#else

/* Boards name themselves in the device tree; servers only in /proc/cpuinfo, if at all. */
static bool model_name(char out[64])
{
    memset(out, 0, 64);
    FILE *f = fopen("/proc/device-tree/model", "re");
    if (!f)
        return false;
    const size_t n = fread(out, 1, 63, f);
    fclose(f);
    return n > 0;
}

#endif

size_t jl_cpu_model(char *text, size_t cap)
{
    char name[64];
    if (!model_name(name) || !name[0])
        return tidy("unknown", text, cap);
    return tidy(name, text, cap);
}
