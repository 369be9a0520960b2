/* IQ3_S rows as IQ3_S4: the same values and the same products, bit for bit. */
#include "quant/blocks.h"
#include "quant/float16.h"
#include "quant/quant.h"
#include "quant/random.h"
#include "quant/transcode.h"
#include "test.h"

enum { N = 2048, N_ROWS = 3, BLOCKS = N / JL_QK * N_ROWS };

static jl_block_iq3_s from[BLOCKS];
static jl_block_iq3_s4 to[BLOCKS + 1];
static float before[N * N_ROWS], after[N * N_ROWS];

/* Transcodes `from` and compares the dequantised bits; nothing past the rows is written. */
static void check_rows(size_t n, size_t n_rows)
{
    const size_t n_blocks = n / JL_QK * n_rows;

    memset(to, 0xa5, sizeof to);
    jl_transcode_rows(JL_TYPE_IQ3_S, from, to, n, n_rows);
    jl_dequant_row(JL_TYPE_IQ3_S, from, before, n * n_rows);
    jl_dequant_row(JL_TYPE_IQ3_S4, to, after, n * n_rows);
    assert_memory_equal(before, after, n * n_rows * sizeof *before);
    for (size_t i = 0; i < sizeof *to; i++)
        assert_int_equal(((uint8_t *)&to[n_blocks])[i], 0xa5);
}

static void fill_random(uint64_t seed)
{
    for (size_t i = 0; i < sizeof from; i++)
        ((uint8_t *)from)[i] = (uint8_t)jl_random_u64(seed, i);
}

static void test_types(void **state)
{
    for (uint32_t id = 0; id < 2 * JL_TYPE_MAX; id++) {
        const jl_type result = jl_transcode_type((jl_type)id);
        assert_int_equal(result, id == JL_TYPE_IQ3_S ? JL_TYPE_IQ3_S4 : id);
        assert_int_equal(jl_type_get(result)->block_len, jl_type_get(id)->block_len);
        assert_int_equal(jl_type_get(result)->act_block, jl_type_get(id)->act_block);
    }
    assert_int_equal(jl_type_get(JL_TYPE_IQ3_S4)->group_rows, 1);
    assert_int_equal(jl_row_bytes(JL_TYPE_IQ3_S4, 256), 136);
    assert_int_equal(jl_type_find("iq3_s4"), 203);
}

/* Every F16 scale, NaNs, infinities, zeros and denormals too, over random blocks. */
static void test_random_blocks_and_every_scale(void **state)
{
    uint32_t d = 0;

    for (uint64_t seed = 0; d < 65536; seed++) {
        fill_random(seed);
        for (size_t b = 0; b < BLOCKS; b++)
            from[b].d = (uint16_t)d++;
        check_rows(N, N_ROWS);
    }
}

/* Every grid index with every pattern of signs and every sub-scale, at every place of a block. */
static void test_every_code(void **state)
{
    for (unsigned index = 0; index < 512; index++) {
        for (unsigned k = 0; k < 16; k++) {
            memset(from, 0, sizeof *from);
            from->d = 0x3c00;
            memset(from->qs, (int)(index & 255), sizeof from->qs);
            memset(from->qh, index >> 8 ? 0xff : 0, sizeof from->qh);
            memset(from->signs, (int)(k * 17), sizeof from->signs);
            memset(from->scales, (int)((k + index) % 16 * 17), sizeof from->scales);
            check_rows(JL_QK, 1);
        }
    }
}

/* One group differs from the rest: its place in the block is kept. */
static void test_every_place(void **state)
{
    for (unsigned g = 0; g < 64; g++) {
        for (unsigned sign = 0; sign < 4; sign++) {
            memset(from, 0, sizeof *from);
            from->d = 0xbc00;
            from->qs[g] = 0xff;
            from->qh[g / 8] = (uint8_t)(1u << g % 8);
            from->signs[g / 2] = (uint8_t)(1u << (4 * (g % 2) + sign));
            from->scales[g / 16] = (uint8_t)(15u << 4 * (g / 8 % 2));
            check_rows(JL_QK, 1);
        }
    }
}

/* The layout that quant/blocks.h describes, read bit by bit. */
static void test_layout(void **state)
{
    fill_random(77);
    for (size_t b = 0; b < BLOCKS; b++)
        from[b].d = 0x3c00;
    check_rows(N, N_ROWS);
    for (size_t i = 0; i < (size_t)N * N_ROWS; i++) {
        const uint8_t *p = (const uint8_t *)&to[i / JL_QK];
        const size_t ib = i % JL_QK / 32;
        const unsigned byte = p[8 + 16 * ib + i % 16];
        const int code = (int)(i % 32 < 16 ? byte & 15 : byte >> 4);
        const int low = p[4 + ib / 2] >> 4 * (ib % 2) & 15;
        const int ls = low | (p[2 + ib / 4] >> 2 * (ib % 4) & 3) << 4;
        assert_true(before[i] == (float)((ls - 32) * (2 * code - 15)));
    }
}

static void test_products(void **state)
{
    static float x[N];
    static int8_t q[N];
    static float d[N / 32];
    static int16_t sum[N / 16];
    const jl_act_row a = {q, d, sum};

    for (uint64_t seed = 0; seed < 200; seed++) {
        jl_fill_random_row(JL_TYPE_F32, seed + 1000, 3.0f, x, N);
        jl_act_quantize(x, N, q, d, sum);
        for (size_t r = 0; r < N_ROWS; r++)
            jl_fill_random_row(JL_TYPE_IQ3_S, seed * 10 + r, 0.05f, from + r * (N / JL_QK), N);
        check_rows(N, N_ROWS);
        for (size_t r = 0; r < N_ROWS; r++) {
            const float y = jl_dot_row(JL_TYPE_IQ3_S, from + r * (N / JL_QK), &a, N);
            const float z = jl_dot_row(JL_TYPE_IQ3_S4, to + r * (N / JL_QK), &a, N);
            assert_true(y != 0.0f);
            assert_int_equal(jl_f32_bits(y), jl_f32_bits(z));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),       cmocka_unit_test(test_random_blocks_and_every_scale),
        cmocka_unit_test(test_every_code),  cmocka_unit_test(test_every_place),
        cmocka_unit_test(test_layout),      cmocka_unit_test(test_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
