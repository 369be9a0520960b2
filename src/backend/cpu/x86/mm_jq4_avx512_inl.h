/* JQ4 on AVX-512 (docs/jq4.md), lanes = the 16 rows of a group. A vector of tiles holds 8 columns
 * as nibbles; each 128-bit lane looks them up in its own table and gets 16 rows x 4 columns, the
 * operand of vpdpbusd, twice. Sums of a segment stay in integers.
 *
 * One column: straight from the file. Several: 64 rows are expanded, [columns / 4][4][16 rows][4],
 * and multiplied with 6 columns at a time: 24 sums take most registers, 10 loads serve 24 products.
 * The chains live in y between segments.
 *
 * Weights are made unsigned by the bias 128; -128 * sum(q) is added back in integers. */
#ifndef JL_BACKEND_CPU_X86_MM_JQ4_AVX512_INL_H
#define JL_BACKEND_CPU_X86_MM_JQ4_AVX512_INL_H

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "backend/cpu/mm_jq4_inl.h"

enum {
    TILE_GROUPS = 4,
    TILE_COLS = 6,
    GEMV_MOST = 8, /* groups at once, one column */
    AHEAD = 1024 /* bytes fetched ahead in each of the streams of one column */
};

typedef struct {
    _Alignas(64) uint8_t values[JL_JQ4_TABLES][16]; /* biased */
    _Alignas(64) uint8_t w[SEGMENT / 4][TILE_GROUPS][64];
} jq4_scratch;

ALWAYS void bias_tables(jq4_scratch *s)
{
    const __m512i flip = _mm512_set1_epi8((char)0x80);

    for (int i = 0; i < JL_JQ4_TABLES; i += 4)
        _mm512_store_si512(s->values[i],
                           _mm512_xor_si512(_mm512_loadu_si512(jl_jq4_values[i]), flip));
}

ALWAYS __m512i dot4(__m512i acc, __m512i u8, __m512i s8)
{
#ifdef __AVX512VNNI__
    return _mm512_dpbusd_epi32(acc, u8, s8);
#else
    const __m512i even = _mm512_madd_epi16(_mm512_and_si512(u8, _mm512_set1_epi16(0xff)),
                                           _mm512_srai_epi16(_mm512_slli_epi16(s8, 8), 8));
    const __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(u8, 8), _mm512_srai_epi16(s8, 8));
    return _mm512_add_epi32(acc, _mm512_add_epi32(even, odd));
#endif
}

ALWAYS __m512i four(const int8_t *q)
{
    int32_t v;

    memcpy(&v, q, sizeof v);
    return _mm512_set1_epi32(v);
}

/* The biased tables of 8 columns, one in each 128-bit lane. pdep turns four codes into four 16-bit
 * offsets. The fourth byte read is the next code's or the first tile's. */
ALWAYS __m512i tables_at(const uint8_t *values, const uint8_t *codes)
{
    uint32_t packed;

    memcpy(&packed, codes, sizeof packed);
    const uint64_t at = _pdep_u64(packed, 0x03f003f003f003f0u);
#define TABLE(shift)                                                                               \
    _mm_load_si128((const __m128i *)(const void *)(values + (at >> (shift) & 0xffff)))
    __m512i t = _mm512_castsi128_si512(TABLE(0));
    t = _mm512_mask_broadcast_i32x4(t, 0x00f0, TABLE(16));
    t = _mm512_mask_broadcast_i32x4(t, 0x0f00, TABLE(32));
    return _mm512_mask_broadcast_i32x4(t, 0xf000, TABLE(48));
#undef TABLE
}

/* 16 rows x 4 columns, twice. */
ALWAYS void expand8(const uint8_t *values, const uint8_t *codes, const uint8_t *tiles,
                    __m512i out[2])
{
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i v = _mm512_loadu_si512(tiles);
    const __m512i t = tables_at(values, codes);

    out[0] = _mm512_shuffle_epi8(t, _mm512_and_si512(v, low));
    out[1] = _mm512_shuffle_epi8(t, _mm512_and_si512(_mm512_srli_epi16(v, 4), low));
}

ALWAYS __m512 row_scales(const jq4_group *w)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)w->scales));
}

ALWAYS __m512i unbias(int sum)
{
    return _mm512_set1_epi32(-128 * sum);
}

/* ---- one column */

/* N groups a fixed distance apart, at some column: four have one base. */
typedef struct {
    const uint8_t *codes[2], *tiles[2];
    size_t apart, apart3; /* bytes */
} jq4_streams;

ALWAYS const uint8_t *stream(const uint8_t *const base[2], const jq4_streams *w, int i)
{
    const uint8_t *p = base[i / 4];

    switch (i % 4) {
    case 0: return p;
    case 1: return p + w->apart;
    case 2: return p + 2 * w->apart;
    default: return p + w->apart3;
    }
}

/* Sums of n columns for N groups; moves the streams on. */
ALWAYS void stream_sums(const uint8_t *values, jq4_streams *w, int N, const int8_t *q, size_t n,
                        __m512i acc[GEMV_MOST][2])
{
    for (const int8_t *end = q + n; q < end; q += 8) {
        const __m512i q0 = four(q);
        const __m512i q1 = four(q + 4);
#pragma GCC unroll 8
        for (int i = 0; i < N; i++) {
            const uint8_t *tiles = stream(w->tiles, w, i);
            __m512i v[2];
            _mm_prefetch((const char *)tiles + AHEAD, _MM_HINT_T0);
            expand8(values, stream(w->codes, w, i), tiles, v);
            acc[i][0] = dot4(acc[i][0], v[0], q0);
            acc[i][1] = dot4(acc[i][1], v[1], q1);
        }
        for (int h = 0; h < 2; h++) {
            w->tiles[h] += 64;
            w->codes[h] += 3;
        }
    }
}

/* N groups at once, the first from row r, the others `apart` rows further each. */
ALWAYS void gemv_groups(const jl_mm_args *a, const uint8_t *values, const jq4_col *col, size_t r,
                        size_t apart, int N)
{
    const jq4_group first = group_at(a, r);
    const size_t bytes = apart * a->w_stride;
    jq4_streams w = {{first.codes, first.codes + 4 * bytes},
                     {first.tiles, first.tiles + 4 * bytes}, bytes, 3 * bytes};
    __m512 acc[GEMV_MOST];

#pragma GCC unroll 8
    for (int i = 0; i < N; i++)
        acc[i] = _mm512_setzero_ps();
    for (size_t k = 0; k < a->n_in; k += SEGMENT) {
        const size_t n = a->n_in - k < SEGMENT ? a->n_in - k : SEGMENT;
        const __m512 d = _mm512_set1_ps(col->d[k / SEGMENT]);
        const __m512i init = unbias(segment_sum(col, k, k + n));
        __m512i sums[GEMV_MOST][2];
#pragma GCC unroll 8
        for (int i = 0; i < N; i++) {
            sums[i][0] = init;
            sums[i][1] = _mm512_setzero_si512();
        }
        stream_sums(values, &w, N, col->q + k, n, sums);
#pragma GCC unroll 8
        for (int i = 0; i < N; i++) {
            const __m512i sum = _mm512_add_epi32(sums[i][0], sums[i][1]);
            acc[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), d, acc[i]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) {
        const jq4_group g = group_at(a, r + apart * (size_t)i);
        _mm512_storeu_ps(a->y + r + apart * (size_t)i, _mm512_mul_ps(row_scales(&g), acc[i]));
    }
}

/* Eight or four parts of the rows side by side: several streams of memory read faster than one, and
 * each goes on from a group to the next without a break. */
ALWAYS void gemv(const jl_mm_args *a, const uint8_t *values)
{
    const jq4_col col = column_at(a, 0);
    const size_t eighth = a->n_rows / 128 * 16;
    size_t done = 8 * eighth;

    for (size_t r = 0; r < eighth; r += 16)
        gemv_groups(a, values, &col, r, eighth, 8);
    const size_t quarter = (a->n_rows - done) / 64 * 16;
    for (size_t r = done; r < done + quarter; r += 16)
        gemv_groups(a, values, &col, r, quarter, 4);
    for (done += 4 * quarter; done < a->n_rows; done += 16)
        gemv_groups(a, values, &col, done, 0, 1);
}

/* ---- several columns */

typedef struct {
    const jq4_scratch *s;
    jq4_col col[TILE_COLS];
    size_t k, len;       /* columns of the weights in the tile: one segment */
    size_t n_groups;     /* of rows, to store */
    float *y;            /* first row, first column */
    size_t y_stride;
    const __m512 *scale; /* of the groups, on the last segment; else NULL */
} jq4_part;

/* Sums of the 32 columns from column i of the tile, for C columns of activations. */
ALWAYS void gemm_sums(const jq4_part *p, int C, size_t i, __m512i sums[TILE_GROUPS][TILE_COLS])
{
    const uint8_t(*tile)[TILE_GROUPS][64] = p->s->w + i / 4;

#pragma GCC unroll 8
    for (size_t j = 0; j < 8; j++) {
        __m512i w[TILE_GROUPS];
#pragma GCC unroll 4
        for (int r = 0; r < TILE_GROUPS; r++)
            w[r] = _mm512_load_si512(tile[j][r]);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const __m512i q = four(p->col[c].q + p->k + i + 4 * j);
#pragma GCC unroll 4
            for (int r = 0; r < TILE_GROUPS; r++)
                sums[r][c] = dot4(sums[r][c], w[r], q);
        }
    }
}

/* Adds the sums of the segment to the chains. */
ALWAYS void add_sums(const jq4_part *p, int C, __m512i sums[TILE_GROUPS][TILE_COLS])
{
    const size_t n_groups = p->n_groups;

#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        const __m512 d = _mm512_set1_ps(p->col[c].d[p->k / SEGMENT]);
#pragma GCC unroll 4
        for (size_t r = 0; r < TILE_GROUPS; r++) {
            float *y = p->y + (size_t)c * p->y_stride + 16 * r;
            if (r >= n_groups)
                break;
            const __m512 acc = p->k ? _mm512_loadu_ps(y) : _mm512_setzero_ps();
            const __m512 v = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r][c]), d, acc);
            _mm512_storeu_ps(y, p->scale ? _mm512_mul_ps(p->scale[r], v) : v);
        }
    }
}

/* All groups by C columns over the tile. */
ALWAYS void gemm_block(const jq4_part *p, int C)
{
    __m512i sums[TILE_GROUPS][TILE_COLS];

#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        const __m512i init = unbias(segment_sum(&p->col[c], p->k, p->k + p->len));
#pragma GCC unroll 4
        for (int r = 0; r < TILE_GROUPS; r++)
            sums[r][c] = init;
    }
    for (size_t i = 0; i < p->len; i += 32)
        gemm_sums(p, C, i, sums);
    add_sums(p, C, sums);
}

/* All columns against the tile, in groups of nearly equal width. */
ALWAYS void gemm_columns(const jl_mm_args *a, jq4_part *p, size_t row)
{
    size_t width;

    for (size_t c = 0; c < a->n_cols; c += width) {
        width = jl_even_part(a->n_cols - c, TILE_COLS);
        for (size_t i = 0; i < width; i++)
            p->col[i] = column_at(a, c + i);
        p->y = a->y + c * a->y_stride + row;
        switch (width) {
        case 1: gemm_block(p, 1); break;
        case 2: gemm_block(p, 2); break;
        case 3: gemm_block(p, 3); break;
        case 4: gemm_block(p, 4); break;
        case 5: gemm_block(p, 5); break;
        default: gemm_block(p, 6); break;
        }
    }
}

/* The tile's columns of the groups; what stands for missing ones is not stored. */
ALWAYS void expand_tile(const jq4_part *p, const jq4_group *w, jq4_scratch *s)
{
    for (size_t g = 0; g < TILE_GROUPS; g++) {
        for (size_t i = 0; i < p->len; i += 8) {
            __m512i v[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
            if (g < p->n_groups)
                expand8(s->values[0], w[g].codes + 3 * (p->k + i) / 8, w[g].tiles + 8 * (p->k + i),
                        v);
            _mm512_store_si512(s->w[i / 4][g], v[0]);
            _mm512_store_si512(s->w[i / 4 + 1][g], v[1]);
        }
    }
}

ALWAYS void gemm(const jl_mm_args *a, jq4_scratch *s)
{
    jq4_part p = {.s = s, .y_stride = a->y_stride};

    for (size_t r = 0; r < a->n_rows; r += 16 * TILE_GROUPS) {
        const size_t left = (a->n_rows - r) / 16;
        jq4_group w[TILE_GROUPS];
        __m512 scale[TILE_GROUPS];
        p.n_groups = left < TILE_GROUPS ? left : TILE_GROUPS;
        for (size_t g = 0; g < p.n_groups; g++) {
            w[g] = group_at(a, r + 16 * g);
            scale[g] = row_scales(&w[g]);
        }
        for (p.k = 0; p.k < a->n_in; p.k += SEGMENT) {
            p.len = a->n_in - p.k < SEGMENT ? a->n_in - p.k : SEGMENT;
            p.scale = p.k + p.len == a->n_in ? scale : NULL;
            expand_tile(&p, w, s);
            gemm_columns(a, &p, r);
        }
    }
}

static void mm_jq4(const jl_mm_args *a)
{
    jq4_scratch *s = a->scratch;

    bias_tables(s);
    if (a->n_cols == 1) {
        gemv(a, s->values[0]);
    } else {
        gemm(a, s);
    }
}

ALWAYS void mm_jq4_init(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_JQ4] = mm_jq4;
    k->mm_scratch = k->mm_scratch > sizeof(jq4_scratch) ? k->mm_scratch : sizeof(jq4_scratch);
}

#endif
