#include "kernels/kcheck.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cpu.h"
#include "quant/float16.h"
#include "quant/quant.h"
#include "quant/random.h"
#include "quant_fields.h"

enum { GUARD_BYTE = 0xa5 };

void kcheck_tables_init(kcheck_tables *t)
{
    static const char *const names[] = {"avx2",       "avxvnni",    "avx512", "avx512vnni",
                                        "avx512vbmi", "avx512bf16", "amx",    "neon",
                                        "dotprod",    "i8mm",       "sve",    "sme",
                                        "sme2"};
    const unsigned have = jl_cpu_mask(jl_cpu_features(), getenv("JOULE_CPU_MASK"), NULL);
    unsigned last = 0;

    t->n = 0;
    jl_cpu_kernels_scalar(&t->scalar);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const unsigned mask = jl_cpu_mask(have, names[i], NULL);
        if (mask == last || mask == 0)
            continue; /* the processor lacks it: nothing new */
        last = mask;
        jl_cpu_kernels *k = &t->kernels[t->n];
        jl_cpu_kernels_init(k, mask);
        if (memcmp(k, t->n ? k - 1 : &t->scalar, sizeof *k) == 0)
            continue; /* no kernel of its own */
        t->bundle[t->n++] = names[i];
    }
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

void *kbuf_open(kbuf *b, size_t n_bytes, size_t unit, kbuf_place place)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t inner = round_up(n_bytes + 128, page);

    b->map_bytes = inner + 2 * page;
    b->map = mmap(NULL, b->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(b->map != MAP_FAILED);
    assert_int_equal(mprotect(b->map, page, PROT_NONE), 0);
    assert_int_equal(mprotect(b->map + page + inner, page, PROT_NONE), 0);
    memset(b->map + page, GUARD_BYTE, inner);
    b->n_bytes = n_bytes;
    b->data = place == KBUF_END     ? b->map + page + inner - round_up(n_bytes, unit)
              : place == KBUF_START ? b->map + page
                                    : b->map + page + 64 + unit;
    return b->data;
}

static void check_span(const kbuf *b, const uint8_t *p, const uint8_t *end, const char *what)
{
    for (; p < end; p++)
        if (*p != GUARD_BYTE)
            fail_msg("%s: byte %td of a buffer of %zu was overwritten", what, p - b->data,
                     b->n_bytes);
}

void kbuf_check(const kbuf *b, const char *what)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    check_span(b, b->map + page, b->data, what);
    check_span(b, b->data + b->n_bytes, b->map + b->map_bytes - page, what);
}

void kbuf_close(kbuf *b)
{
    munmap(b->map, b->map_bytes);
    memset(b, 0, sizeof *b);
}

size_t kcheck_diff(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (jl_f32_bits(a[i]) != jl_f32_bits(b[i]) && !(isnan(a[i]) && isnan(b[i])))
            return i;
    return n;
}

const char *kfill_name(kfill fill)
{
    static const char *const names[KFILL_N] = {"random",  "zeros",     "denormals",
                                               "extreme", "one value", "any bits"};
    return names[fill];
}

void kcheck_fill(float *x, size_t n, kfill fill, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t z = jl_random_u64(seed, i);
        const uint32_t sign = (uint32_t)(z & 0x80000000u);
        const float unit = (float)(int32_t)(z >> 32) * 0x1p-31f;

        switch (fill) {
        case KFILL_ZERO:
            x[i] = jl_f32_from_bits(sign);
            break;
        case KFILL_DENORMAL:
            x[i] = z & 1 ? jl_f32_from_bits(sign | (uint32_t)(z >> 41)) : unit * 0x1p-100f;
            break;
        case KFILL_MAX:
            x[i] = sign ? -3.0f : 3.0f;
            break;
        case KFILL_SAME:
            x[i] = seed & 1 ? 1.75f : -1.75f;
            break;
        case KFILL_WILD:
            x[i] = jl_f32_from_bits((uint32_t)(z >> 32));
            break;
        default:
            x[i] = ldexpf(unit, (int)(z % 9) - 4);
            break;
        }
    }
}

/* Finite F16 bits below 2 of either sign, or denormal. */
static uint16_t some_half(uint64_t z, bool denormal)
{
    const uint16_t h = (uint16_t)(z & 0xbfff); /* below 2 */

    return denormal ? (uint16_t)(h & 0x83ff) : h;
}

static void fill_floats(jl_type type, void *row, size_t n, kfill fill, uint64_t seed)
{
    float *x = malloc(n * sizeof *x);

    assert_non_null(x);
    kcheck_fill(x, n, fill, seed);
    jl_quant_row(type, x, row, n);
    free(x);
}

void kcheck_fill_weights(jl_type type, void *row, size_t n, kfill fill, uint64_t seed)
{
    static const uint8_t patterns[] = {0x00, 0x80, 0xff, 0x7f, 0x0f, 0xf0};
    const jl_type_info *info = jl_type_get((uint32_t)type);
    const size_t n_bytes = (size_t)jl_row_bytes((uint32_t)type, n) * info->group_rows;
    const uint8_t pattern = patterns[seed % sizeof patterns];
    uint8_t *bytes = row;

    if (fill == KFILL_RANDOM) {
        jl_fill_random_rows(type, seed, 0, 0.05f, row, n, info->group_rows);
        return;
    }
    if (info->block_len == 1 && fill != KFILL_WILD) {
        fill_floats(type, row, n, fill, seed);
        return;
    }
    const bool random_codes = fill == KFILL_WILD || fill == KFILL_DENORMAL;
    for (size_t i = 0; i < n_bytes; i++)
        bytes[i] = random_codes ? (uint8_t)(jl_random_u64(seed, i) >> 17) : pattern;
    if (fill == KFILL_WILD)
        return;
    for (size_t r = 0; type == JL_TYPE_JQ4 && r < info->group_rows; r++) {
        const uint16_t d = some_half(jl_random_u64(seed + 1, r), fill == KFILL_DENORMAL);
        memcpy(bytes + 2 * r, &d, sizeof d);
    }
    for (size_t b = 0; info->group_rows == 1 && b < n / info->block_len; b++)
        quant_set_scales(type, bytes + b * info->block_bytes,
                         some_half(jl_random_u64(seed + 1, b), fill == KFILL_DENORMAL));
}
