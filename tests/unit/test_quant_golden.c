/* Rows of every weight type against tests/data/quant/goldens.txt, which scripts/make-quant-goldens
 * computes with the gguf package and an independent evaluation of docs/numerics.md. The rows are
 * functions of (type, row), written here a second time; all comparisons are by 64-bit hash. */
#include <inttypes.h>
#include <math.h>

#include "quant/float16.h"
#include "quant/quant.h"
#include "quant/random.h"
#include "quant_fields.h"
#include "test.h"

enum { N = 2048, N_FLOAT = 2043, N_ROWS = 64, X_SEED = 1000, MAX_BYTES = 4 * N };

static uint64_t fnv1a(const void *data, size_t n_bytes)
{
    const uint8_t *p = data;
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < n_bytes; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static uint64_t stream_seed(uint32_t seed, unsigned row)
{
    return (uint64_t)seed << 32 | row;
}

/* 24-bit integers times a power of two per block of 32; one block in 16 is zero. */
static void scaled_floats(uint32_t seed, unsigned row, int low, int high, float x[N])
{
    int power = 0;
    bool zero = false;

    for (size_t i = 0; i < N; i++) {
        const uint64_t z = jl_random_u64(stream_seed(seed, row), i);
        if (i % 32 == 0) {
            const int head = (int)(z & 0xffff);
            power = low + (head >> 4) % (high - low + 1) - 23;
            zero = head % 16 == 1;
        }
        const int value = zero ? 0 : (int)(z >> 40) - (1 << 23);
        x[i] = (float)ldexp(value, power);
    }
}

static void activations(unsigned row, float x[N])
{
    if (row % 8 == 7)
        scaled_floats(X_SEED, row, -140, 20, x);
    else
        scaled_floats(X_SEED, row, -6, 6, x);
}

static uint16_t finite_half(unsigned h, size_t block, unsigned row)
{
    if ((h & 0x7c00) == 0x7c00)
        h &= 0xbfff;
    if (row % 8 == 1)
        h &= 0x83ff;
    if (block % 16 == 1)
        h &= 0x8000;
    return (uint16_t)h;
}

static void fix_block(jl_type type, uint8_t *block, size_t index, unsigned row)
{
    int at[2];

    quant_half_fields(type, at);
    for (int f = 0; f < 2; f++) {
        if (at[f] < 0)
            continue;
        uint8_t *p = block + at[f];
        const unsigned h = finite_half(p[0] | (unsigned)p[1] << 8, index, row);
        p[0] = (uint8_t)(h & 0xff);
        p[1] = (uint8_t)(h >> 8);
    }
    if (type == JL_TYPE_IQ1_M)
        quant_set_iq1_m_scale(block, finite_half(quant_iq1_m_scale(block), index, row));
    if (type == JL_TYPE_MXFP4 && row % 4 != 3) /* products of larger scales overflow */
        block[0] &= 0x7f;
}

/* Fills a row and returns its bytes. */
static size_t weights(jl_type type, unsigned row, uint8_t bytes[MAX_BYTES])
{
    const jl_type_info *info = jl_type_get(type);
    const size_t n_bytes = (size_t)jl_row_bytes(type, N);

    if (type == JL_TYPE_F32) {
        float x[N];
        scaled_floats(type, row, -6, 6, x);
        memcpy(bytes, x, sizeof x);
        return n_bytes;
    }
    for (size_t i = 0; i < n_bytes; i++)
        bytes[i] = (uint8_t)(jl_random_u64(stream_seed(type, row), i / 8) >> 8 * (i % 8));
    for (size_t b = 0; b < N / info->block_len; b++) {
        uint8_t *block = bytes + b * info->block_bytes;
        if (type == JL_TYPE_BF16)
            block[1] &= 0xbf;
        else
            fix_block(type, block, type == JL_TYPE_F16 ? 0 : b, row);
    }
    return n_bytes;
}

typedef struct {
    int8_t q[N];
    float d[N / 32];
    int16_t sum[N / 16];
} quantised_row;

static uint32_t dot_bits(jl_type type, const uint8_t *bytes, unsigned row)
{
    float x[N];
    quantised_row a;

    activations(row, x);
    if (type == JL_TYPE_F32 || type == JL_TYPE_F16 || type == JL_TYPE_BF16)
        return jl_f32_bits(jl_dot_row_f(type, bytes, x, N_FLOAT));
    jl_act_quantize(x, N, a.q, a.d, a.sum);
    const jl_act_row act = {a.q, a.d, a.sum};
    return jl_f32_bits(jl_dot_row(type, bytes, &act, N));
}

/* Calls check(line, argument) for every line that starts with kind; returns how many there were. */
static int for_lines(const char *kind, void (*check)(const char *))
{
    FILE *f = fopen(JL_TEST_DATA "/quant/goldens.txt", "r");
    char line[256];
    int n = 0;

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, kind, strlen(kind)) != 0)
            continue;
        check(line + strlen(kind));
        n++;
    }
    fclose(f);
    return n;
}

static void check_row(const char *line)
{
    static _Alignas(64) uint8_t bytes[MAX_BYTES];
    static float values[N];
    char name[16];
    char dot[16];
    unsigned row;
    uint64_t h_in;
    uint64_t h_out;

    assert_int_equal(sscanf(line, " %15s %u %" SCNx64 " %" SCNx64 " %15s", name, &row, &h_in,
                            &h_out, dot), 5);
    const int type = jl_type_find(name);
    assert_true(type >= 0);
    const size_t n_bytes = weights((jl_type)type, row, bytes);
    if (fnv1a(bytes, n_bytes) != h_in)
        fail_msg("%s row %u: the row itself differs from the script's", name, row);
    jl_dequant_row((jl_type)type, bytes, values, N);
    if (fnv1a(values, sizeof values) != h_out)
        fail_msg("%s row %u: dequantised values differ (see make-quant-goldens --show)", name, row);
    if (strcmp(dot, "-") == 0)
        return;
    const uint32_t bits = dot_bits((jl_type)type, bytes, row);
    if (bits != strtoul(dot, NULL, 16))
        fail_msg("%s row %u: dot %08" PRIx32 ", expected %s", name, row, bits, dot);
}

static void test_rows(void **state)
{
    int n_types = 0;

    for (uint32_t id = 0; id < JL_TYPE_MAX; id++)
        n_types += jl_type_get(id)->is_weight && jl_type_get(id)->group_rows == 1;
    assert_int_equal(for_lines("row ", check_row), n_types * N_ROWS);
}

static void check_act(const char *line)
{
    static float x[N];
    static quantised_row a;
    unsigned row;
    uint64_t h[4];

    assert_int_equal(sscanf(line, " %u %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64, &row, h,
                            h + 1, h + 2, h + 3), 5);
    activations(row, x);
    jl_act_quantize(x, N, a.q, a.d, a.sum);
    if (fnv1a(x, sizeof x) != h[0])
        fail_msg("row %u: the activations themselves differ from the script's", row);
    if (fnv1a(a.q, sizeof a.q) != h[1] || fnv1a(a.d, sizeof a.d) != h[2] ||
        fnv1a(a.sum, sizeof a.sum) != h[3])
        fail_msg("row %u: quantised activations differ", row);
}

static void test_activations(void **state)
{
    assert_int_equal(for_lines("act ", check_act), N_ROWS);
}

static void check_quant(const char *line)
{
    static _Alignas(64) uint8_t bytes[MAX_BYTES];
    static float x[N];
    char name[16];
    unsigned row;
    uint64_t h;

    assert_int_equal(sscanf(line, " %15s %u %" SCNx64, name, &row, &h), 3);
    const int type = jl_type_find(name);
    activations(row, x);
    assert_int_equal(jl_quant_row((jl_type)type, x, bytes, N), 1);
    if (fnv1a(bytes, (size_t)jl_row_bytes((uint32_t)type, N)) != h)
        fail_msg("%s row %u: quantised bytes differ", name, row);
}

static void test_quantisers(void **state)
{
    assert_int_equal(for_lines("quant ", check_quant), 7 * N_ROWS * 7 / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_quantisers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
