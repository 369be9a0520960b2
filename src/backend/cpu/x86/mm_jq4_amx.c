/* JQ4 on AMX-INT8 (docs/jq4.md). The expanded tile order is that of a tile register: 64 columns
 * are 16 rows of 16 weight rows x 4. 32 rows meet 32 columns of activations in four sum
 * registers, which are emptied after a segment only; the chains live in y.
 *
 * Activations are read where they lie. They are copied, and filled up with zeros, if they are
 * chosen by a list, fewer than 16 are left, or 64 does not divide their length. */
#include "backend/cpu/x86/mm_jq4_avx512_inl.h"
#include "backend/cpu/x86/x86.h"

enum {
    GROUPS = 4,      /* of 16 rows expanded at once */
    FEWEST = 6,      /* activation columns; fewer are left to vectors */
    WIDE = 32        /* activation columns at a time */
};

/* Operand of ldtilecfg (Intel SDM, volume 2A). */
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t n_rows[16];
} tile_config;

typedef struct {
    _Alignas(64) uint8_t w[SEGMENT / 4][GROUPS][64];
    _Alignas(64) int8_t q[WIDE][SEGMENT];
    _Alignas(64) int32_t sums[4][16][16]; /* [columns h, rows g] at 2 h + g */
    tile_config config;
    jq4_scratch few; /* of the vector kernel */
} amx_scratch;

/* A segment of the weights against some columns of activations. */
typedef struct {
    amx_scratch *s;
    const int8_t *q[2]; /* of 16 columns each */
    size_t q_stride;
    const float *d[WIDE];
    size_t n_cols;
    size_t k, len; /* columns of the weights; len is filled up to a multiple of 64 */
    float *y;      /* first row, first column */
    size_t y_stride;
    const __m512 *scale; /* of the groups, on the last segment; else NULL */
} amx_part;

/* Tile instructions touch memory behind the compiler's back. */
ALWAYS void fence(const void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* Sums of 32 rows (groups g, g + 1). */
ALWAYS void tile_sums(const amx_part *p, size_t g, bool both)
{
    amx_scratch *s = p->s;

    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t i = 0; i < p->len; i += 64) {
        _tile_loadd(4, p->q[0] + i, p->q_stride);
        _tile_loadd(6, s->w[i / 4][g], GROUPS * 64);
        _tile_loadd(7, s->w[i / 4][g + 1], GROUPS * 64);
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        if (!both)
            continue;
        _tile_loadd(5, p->q[1] + i, p->q_stride);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, s->sums[0], 64);
    _tile_stored(1, s->sums[1], 64);
    if (both) {
        _tile_stored(2, s->sums[2], 64);
        _tile_stored(3, s->sums[3], 64);
    }
    fence(s);
}

/* Adds the sums to the chains of n_groups groups of rows. */
ALWAYS void add_products(const amx_part *p, size_t g, size_t n_groups)
{
    for (size_t c = 0; c < p->n_cols; c++) {
        const __m512 d = _mm512_set1_ps(*p->d[c]);
        for (size_t r = 0; r < n_groups; r++) {
            float *y = p->y + c * p->y_stride + 16 * (g + r);
            const __m512i sum = _mm512_load_si512(p->s->sums[c / 16 * 2 + r][c % 16]);
            const __m512 acc = p->k ? _mm512_loadu_ps(y) : _mm512_setzero_ps();
            const __m512 v = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), d, acc);
            _mm512_storeu_ps(y, p->scale ? _mm512_mul_ps(p->scale[g + r], v) : v);
        }
    }
}

static void segment_product(const amx_part *p, size_t n_groups)
{
    for (size_t g = 0; g < n_groups; g += 2) {
        if (p->n_cols > 16)
            tile_sums(p, g, true);
        else
            tile_sums(p, g, false);
        add_products(p, g, n_groups - g < 2 ? 1 : 2);
    }
}

/* Points p at n_cols columns from column c on, in place or copied. */
static void take_columns(const jl_mm_args *a, size_t c, size_t n_cols, amx_part *p)
{
    amx_scratch *s = p->s;
    const bool in_place = !a->cols && n_cols % 16 == 0 && a->n_in % 64 == 0;
    const size_t n = a->n_in - p->k < SEGMENT ? a->n_in - p->k : SEGMENT;

    p->n_cols = n_cols;
    p->q_stride = in_place ? a->n_in : SEGMENT;
    for (size_t i = 0; i < n_cols; i++) {
        const jq4_col col = column_at(a, c + i);
        p->d[i] = col.d + p->k / SEGMENT;
        if (in_place)
            continue;
        memcpy(s->q[i], col.q + p->k, n);
        memset(s->q[i] + n, 0, p->len - n);
    }
    for (int h = 0; h < 2; h++)
        p->q[h] = in_place ? a->q + (c + 16 * (size_t)h) * a->n_in + p->k : s->q[16 * h];
}

static void expand_segment(const jq4_group *w, size_t n_groups, const jl_mm_args *a, amx_part *p)
{
    amx_scratch *s = p->s;

    for (size_t g = 0; g < GROUPS; g++) {
        for (size_t i = 0; i < p->len; i += 8) {
            __m512i v[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
            if (g < n_groups && p->k + i < a->n_in)
                expand8((const uint8_t *)jl_jq4_values, w[g].codes + 3 * (p->k + i) / 8,
                        w[g].tiles + 8 * (p->k + i), v);
            _mm512_store_si512(s->w[i / 4][g], v[0]);
            _mm512_store_si512(s->w[i / 4 + 1][g], v[1]);
        }
    }
}

static void mm_amx_rows(const jl_mm_args *a, size_t row, size_t n_groups)
{
    amx_part p = {.s = a->scratch, .y_stride = a->y_stride};
    jq4_group w[GROUPS];
    __m512 scale[GROUPS];

    for (size_t g = 0; g < n_groups; g++) {
        w[g] = group_at(a, row + 16 * g);
        scale[g] = row_scales(&w[g]);
    }
    for (p.k = 0; p.k < a->n_in; p.k += SEGMENT) {
        const size_t n = a->n_in - p.k < SEGMENT ? a->n_in - p.k : SEGMENT;
        p.len = (n + 63) / 64 * 64;
        p.scale = p.k + n == a->n_in ? scale : NULL;
        expand_segment(w, n_groups, a, &p);
        for (size_t c = 0; c < a->n_cols; c += WIDE) {
            take_columns(a, c, a->n_cols - c < WIDE ? a->n_cols - c : WIDE, &p);
            p.y = a->y + c * a->y_stride + row;
            fence(p.s);
            segment_product(&p, n_groups);
        }
    }
}

static void mm_jq4_amx(const jl_mm_args *a)
{
    amx_scratch *s = a->scratch;

    if (a->n_cols < FEWEST) {
        jl_mm_args few = *a;
        few.scratch = &s->few;
        mm_jq4(&few);
        return;
    }
    memset(&s->config, 0, sizeof s->config);
    s->config.palette = 1;
    for (int t = 0; t < 8; t++) {
        s->config.row_bytes[t] = 64;
        s->config.n_rows[t] = 16;
    }
    _tile_loadconfig(&s->config);
    for (size_t r = 0; r < a->n_rows; r += 16 * GROUPS)
        mm_amx_rows(a, r, a->n_rows - r < 16 * GROUPS ? (a->n_rows - r) / 16 : GROUPS);
    _tile_release();
}

void jl_x86_mm_jq4_amx(jl_cpu_kernels *k)
{
    k->mm[JL_TYPE_JQ4] = mm_jq4_amx;
    k->mm_scratch = k->mm_scratch > sizeof(amx_scratch) ? k->mm_scratch : sizeof(amx_scratch);
}
