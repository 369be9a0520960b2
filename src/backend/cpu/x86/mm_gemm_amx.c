/* Products with several columns on AMX-INT8, for all formats.
 *
 * A tile product multiplies 16 columns x 32 activations with 32 weights x 16 rows: one block of 32
 * of 256 outputs, exact in 32-bit integers. docs/numerics.md wants a rounding per block, so every
 * product is stored, read back as vectors (lanes = rows) and added to 16 chains in registers:
 *
 *     tiles      store b + 1, start b + 3
 *     vectors                              add b to the chains
 *
 * While tile instructions are about, Sapphire Rapids multiplies vectors of 512 bits in one port
 * only, and converts there too. Additions keep both ports, so a product starts at the bits of the
 * float 1.5 * 2^23 instead of 0: read as a float it is 1.5 * 2^23 + sum, and one subtraction gives
 * (float)sum. Exact while |sum| <= 2^22; the largest is 32 * 128 * 127.
 *
 * Weights are expanded as they are, without bias, 16 blocks of 128 rows at a time, and the
 * activations of 16 columns are copied side by side, which serves all these rows. */
#include "backend/cpu/x86/mm_expand_avx512_inl.h"
#include "backend/cpu/x86/x86.h"

enum {
    CHUNK = 16, /* blocks */
    GROUP = 16, /* columns */
    ROWS = 128,
    MIN_COLS = 24, /* fewer are faster with vpdpbusd */
    MAGIC = 0x4b400000 /* 1.5 * 2^23 as a float */
};

/* Operand of ldtilecfg (Intel SDM, volume 2A). */
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t n_rows[16];
} tile_config;

/* The tile registers. Columns at the end that are no whole group have registers of their own. */
enum { SUMS = 0, SUMS_REST = 2, COLS = 4, WEIGHTS = 5, COLS_REST = 6 };

/* A chunk of a group of columns. */
typedef struct {
    _Alignas(64) int8_t q[CHUNK / 2][GROUP][64]; /* two blocks side by side */
    float d[GROUP][CHUNK];
    float sum[2][GROUP][CHUNK]; /* of blocks, or of half blocks */
} amx_columns;

typedef struct {
    mm_tile weights[ROWS / 32];
    amx_columns cols;
    _Alignas(64) int32_t sums[2][2][GROUP][16]; /* of blocks in turn; of their halves */
    _Alignas(64) int32_t magic[16];
    tile_config config;
} amx_scratch;

/* What the inner loops are compiled for: n columns, a multiple of 4. */
typedef struct {
    bool has_min, halves;
    int n;
} amx_kind;

/* Up to 128 rows of the weights in quarters of 16; the last one reaches back to be whole. */
typedef struct {
    row_set rows[ROWS / 16];
    size_t first[ROWS / 16];
    __mmask16 keep[ROWS / 16]; /* rows that no other quarter has */
    size_t n;
} amx_rows;

/* A chunk of all chains of a group of columns. */
typedef struct {
    amx_scratch *s;
    const amx_rows *rows;
    size_t n_blocks;
    float *y;      /* first row of the weights, first column */
    size_t y_stride;
    size_t n_cols; /* to load and store */
    bool resume;   /* chains continue from y */
} amx_part;

/* Tile instructions touch memory behind the compiler's back. */
ALWAYS void fence(void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* Tile numbers are part of the instruction, so each set of them is written out. */
#define TILE_PRODUCT(c, a)           \
    do {                             \
        _tile_loadd(a, q, 64);       \
        _tile_loadd(5, w, 64);       \
        _tile_loadd(c, s->magic, 0); \
        _tile_dpbssd(c, a, 5);       \
    } while (0)

/* Sums register `half` = MAGIC + columns at q times weights at w. */
ALWAYS void tile_product(const amx_kind *f, const amx_scratch *s, int half, const int8_t *q,
                         const uint8_t *w)
{
    if (f->n == GROUP && half == 0)
        TILE_PRODUCT(0, 4);
    else if (f->n == GROUP)
        TILE_PRODUCT(1, 4);
    else if (half == 0)
        TILE_PRODUCT(2, 6);
    else
        TILE_PRODUCT(3, 6);
}

ALWAYS void tile_store(const amx_kind *f, int half, int32_t sums[GROUP][16])
{
    if (f->n == GROUP && half == 0)
        _tile_stored(0, sums, 64);
    else if (f->n == GROUP)
        _tile_stored(1, sums, 64);
    else if (half == 0)
        _tile_stored(2, sums, 64);
    else
        _tile_stored(3, sums, 64);
}

ALWAYS __m512 sum_of(const int32_t sum[16])
{
    return _mm512_sub_ps(_mm512_load_ps(sum), _mm512_castsi512_ps(_mm512_set1_epi32(MAGIC)));
}

/* Block b of 16 rows, half h of tile t. */
ALWAYS void chains_step(const amx_kind *f, const amx_columns *cols, const mm_tile *t, size_t h,
                        size_t b, int32_t sums[2][GROUP][16], __m512 acc[GROUP])
{
    const __m512 dw = _mm512_load_ps(t->dw[b][h]);

#pragma GCC unroll 16
    for (int c = 0; c < f->n; c++) {
        const __m512 da = _mm512_set1_ps(cols->d[c][b]);
        __m512 isum = sum_of(sums[0][c]);
        if (f->halves) {
            isum = _mm512_mul_ps(isum, _mm512_load_ps(t->sc[b][h][0]));
            isum = _mm512_fmadd_ps(sum_of(sums[1][c]), _mm512_load_ps(t->sc[b][h][1]), isum);
        }
        acc[c] = _mm512_fmadd_ps(isum, _mm512_mul_ps(dw, da), acc[c]);
        if (f->has_min) {
            __m512 msum = _mm512_set1_ps(cols->sum[0][c][b]);
            if (f->halves)
                msum = _mm512_fmadd_ps(_mm512_load_ps(t->mn[b][h][1]),
                                       _mm512_set1_ps(cols->sum[1][c][b]),
                                       _mm512_mul_ps(_mm512_load_ps(t->mn[b][h][0]), msum));
            acc[c] = _mm512_fmadd_ps(msum, _mm512_mul_ps(_mm512_load_ps(t->mw[b][h]), da), acc[c]);
        }
    }
}

/* Columns that only fill up the group repeat the last one. */
ALWAYS void chains_load(const amx_kind *f, const amx_part *p, size_t quarter, __m512 acc[GROUP])
{
    const float *y = p->y + p->rows->first[quarter];
    const __mmask16 keep = p->resume ? p->rows->keep[quarter] : 0;

#pragma GCC unroll 16
    for (int c = 0; c < f->n; c++) {
        const size_t at = c < f->n - 3 || (size_t)c < p->n_cols ? (size_t)c : p->n_cols - 1;
        acc[c] = _mm512_maskz_loadu_ps(keep, y + at * p->y_stride);
    }
}

ALWAYS void chains_store(const amx_kind *f, const amx_part *p, size_t quarter,
                         const __m512 acc[GROUP])
{
    float *y = p->y + p->rows->first[quarter];
    const __mmask16 keep = p->rows->keep[quarter];

#pragma GCC unroll 16
    for (int c = 0; c < f->n; c++)
        if (c < f->n - 3 || (size_t)c < p->n_cols)
            _mm512_mask_storeu_ps(y + (size_t)c * p->y_stride, keep, acc[c]);
}

/* The product of a block with the weights at w in register `odd`; where halves have scales, the
 * products of both in registers 0 and 1. */
ALWAYS void block_products(const amx_kind *f, const amx_scratch *s, size_t b, const uint8_t *w,
                           int odd)
{
    const int8_t *q = s->cols.q[b / 2][0] + 32 * (b % 2);

    tile_product(f, s, f->halves ? 0 : odd, q, w);
    if (f->halves)
        tile_product(f, s, 1, q + 16, w + 4 * 64);
}

ALWAYS void block_store(const amx_kind *f, int odd, int32_t sums[2][GROUP][16])
{
    tile_store(f, f->halves ? 0 : odd, sums[0]);
    if (f->halves)
        tile_store(f, 1, sums[1]);
}

/* Stores what register `odd` has and starts the product of block b in it. */
ALWAYS void tiles_step(const amx_kind *f, amx_scratch *s, size_t b, const uint8_t *w, int odd)
{
    block_store(f, odd, s->sums[odd]);
    block_products(f, s, b, w, odd);
}

ALWAYS const uint8_t *quarter_weights(const amx_scratch *s, size_t quarter)
{
    return s->weights[quarter / 2].w[0][quarter % 2][0];
}

/* All blocks of a part, quarter after quarter without a gap in the pipeline: while block i is added
 * to its chains, i + 1 is stored and i + 3 started (i + 2 where one block takes two registers). */
ALWAYS void chains(const amx_kind *f, const amx_part *part)
{
    enum { BLOCK = 2 * 8 * 64 /* bytes from block to block */ };
    const size_t lead = f->halves ? 2 : 3;
    amx_scratch *const s = part->s;
    const size_t n = part->n_blocks;
    const size_t last = part->rows->n - 1;
    const uint8_t *next = quarter_weights(s, 0);
    size_t odd = 1; /* of block i + 1 */
    __m512 acc[GROUP];

    block_products(f, s, 0, next, 0);
    if (f->halves) {
        block_store(f, 0, s->sums[0]);
        block_products(f, s, 1, next + BLOCK, 1);
    } else {
        block_products(f, s, 1, next + BLOCK, 1);
        tiles_step(f, s, 2, next + 2 * BLOCK, 0);
    }
    for (size_t r = 0; r <= last; r++) {
        const mm_tile *t = &s->weights[r / 2];
        const uint8_t *w = next;
        next = quarter_weights(s, r < last ? r + 1 : r); /* products too many at the end */
        chains_load(f, part, r, acc);
        for (size_t b = 0; b < n; b++, odd ^= 1) {
            const size_t ahead = b + lead < n ? b + lead : b + lead - n;
            const uint8_t *at = (b + lead < n ? w : next) + BLOCK * ahead;
            if (odd)
                tiles_step(f, s, ahead, at, 1);
            else
                tiles_step(f, s, ahead, at, 0);
            chains_step(f, &s->cols, t, r % 2, b, s->sums[odd ^ 1], acc);
        }
        chains_store(f, part, r, acc);
    }
}

typedef void chains_fn(const amx_part *p);

#define CHAINS(name, has_min, halves, n)                  \
    static void chains_##name##_##n(const amx_part *p)    \
    {                                                     \
        static const amx_kind kind = {has_min, halves, n}; \
        chains(&kind, p);                                 \
    }
#define CHAINS_OF(name, has_min, halves) \
    CHAINS(name, has_min, halves, 4)     \
    CHAINS(name, has_min, halves, 8)     \
    CHAINS(name, has_min, halves, 12)    \
    CHAINS(name, has_min, halves, 16)    \
    static chains_fn *const chains_##name[] = {chains_##name##_4, chains_##name##_8, \
                                               chains_##name##_12, chains_##name##_16};

CHAINS_OF(plain, false, false)
CHAINS_OF(min, true, false)
CHAINS_OF(halves, false, true)
CHAINS_OF(halves_min, true, true)

/* Scale and sums of up to 16 blocks of a column, as floats. */
ALWAYS void pack_scales(const mm_format *f, const mm_col *col, size_t n_blocks, float *d,
                        float *sum0, float *sum1)
{
    const __mmask16 blocks = (__mmask16)((1u << n_blocks) - 1);

    _mm512_store_ps(d, _mm512_maskz_loadu_ps(blocks, col->d));
    if (!f->has_min)
        return;
    const __m512i s = _mm512_maskz_loadu_epi32(blocks, col->sum);
    const __m512i odd = _mm512_srai_epi32(s, 16);
    const __m512i even = _mm512_srai_epi32(_mm512_slli_epi32(s, 16), 16);
    const __m512i first = f->halves ? even : _mm512_add_epi32(even, odd);
    _mm512_store_ps(sum0, _mm512_cvtepi32_ps(first));
    _mm512_store_ps(sum1, _mm512_cvtepi32_ps(odd));
}

/* Copies a chunk of n columns from `first` on; those behind the last one repeat it. */
ALWAYS void pack_columns(const mm_format *f, const jl_mm_args *a, size_t first, size_t n,
                         size_t block, size_t n_blocks, amx_columns *out)
{
    for (size_t i = 0; i < n; i++) {
        mm_col col = mm_column(a, first + i < a->n_cols ? first + i : a->n_cols - 1);
        const int8_t *q = col.q + 32 * block;
        for (size_t b = 0; b < n_blocks; b += 2)
            _mm512_store_si512(
                out->q[b / 2][i],
                _mm512_maskz_loadu_epi32(b + 1 < n_blocks ? 0xffff : 0xff, q + 32 * b));
        for (size_t b = 0; b < n_blocks; b += 16) {
            const size_t most = n_blocks - b < 16 ? n_blocks - b : 16;
            const mm_col part = {NULL, col.d + block + b, col.sum + 2 * (block + b)};
            pack_scales(f, &part, most, out->d[i] + b, out->sum[0][i] + b, out->sum[1][i] + b);
        }
    }
}

ALWAYS void rows_split(const jl_mm_args *a, size_t r, amx_rows *out)
{
    out->n = 0;
    for (size_t at = r; at < a->n_rows && out->n < ROWS / 16; at += 16) {
        const size_t first = a->n_rows - at >= 16 ? at : a->n_rows - 16;
        out->rows[out->n] = rows_at(a->w + first * a->w_stride, a->w_stride);
        out->first[out->n] = first;
        out->keep[out->n++] = (__mmask16)(0xffffu << (at - first));
    }
}

/* All columns against the expanded chunk that starts at `block`. */
ALWAYS void amx_columns_all(const mm_format *f, const jl_mm_args *a, const amx_rows *rows,
                            size_t block, size_t n_blocks, chains_fn *const run[4])
{
    amx_scratch *s = a->scratch;
    amx_part p = {.s = s, .rows = rows, .n_blocks = n_blocks, .y_stride = a->y_stride,
                  .resume = block > 0};

    for (size_t c = 0; c < a->n_cols; c += GROUP) {
        p.n_cols = a->n_cols - c < GROUP ? a->n_cols - c : GROUP;
        p.y = a->y + c * a->y_stride;
        const size_t quads = (p.n_cols + 3) / 4;
        pack_columns(f, a, c, 4 * quads, block, n_blocks, &s->cols);
        fence(s);
        run[quads - 1](&p);
    }
}

static void tiles_begin(const mm_format *f, size_t n_cols, amx_scratch *s)
{
    const uint16_t k = f->halves ? 16 : 32;
    const uint8_t rest = n_cols % GROUP ? (uint8_t)((n_cols % GROUP + 3) / 4 * 4) : 4;
    tile_config *t = &s->config;

    memset(t, 0, sizeof *t);
    t->palette = 1;
    for (int i = 0; i < 2; i++) {
        t->n_rows[SUMS + i] = GROUP;
        t->n_rows[SUMS_REST + i] = rest;
        t->row_bytes[SUMS + i] = t->row_bytes[SUMS_REST + i] = 64;
    }
    t->n_rows[COLS] = GROUP;
    t->n_rows[COLS_REST] = rest;
    t->row_bytes[COLS] = t->row_bytes[COLS_REST] = k;
    t->n_rows[WEIGHTS] = (uint8_t)(k / 4);
    t->row_bytes[WEIGHTS] = 64;
    fence(s);
    _tile_loadconfig(t);
    _mm512_store_si512(s->magic, _mm512_set1_epi32(MAGIC));
}

/* The pipeline needs at least three blocks; super-blocks never leave fewer. */
static size_t chunk_blocks(size_t left)
{
    return left == CHUNK + 1 || left == CHUNK + 2 ? CHUNK - 2 : left < CHUNK ? left : CHUNK;
}

void jl_x86_gemm_amx(const mm_format *f, mm_expand_fn *expand, const jl_mm_args *a)
{
    chains_fn *const *run = f->halves && f->has_min ? chains_halves_min
                               : f->halves             ? chains_halves
                               : f->has_min            ? chains_min
                                                       : chains_plain;
    const size_t blocks = a->n_in / 32;
    amx_scratch *s = a->scratch;
    amx_rows rows;

    if (a->n_cols < MIN_COLS || a->n_rows < 16 || blocks < 3) {
        jl_x86_gemm_avx512vnni(f, expand, a);
        return;
    }
    tiles_begin(f, a->n_cols, s);
    for (int i = 0; i < ROWS / 32; i++)
        s->weights[i].minus = f->bias;
    for (size_t r = 0; r < a->n_rows; r += ROWS) {
        rows_split(a, r, &rows);
        for (size_t b = 0; b < blocks; b += chunk_blocks(blocks - b)) {
            const size_t n = chunk_blocks(blocks - b);
            for (size_t i = 0; i < rows.n; i++)
                expand(&rows.rows[i], b, n, &s->weights[i / 2], (int)(i % 2));
            amx_columns_all(f, a, &rows, b, n, run);
        }
    }
    _tile_release(); /* nothing of ours is saved at a context switch */
}

void jl_x86_mm_amx(jl_cpu_kernels *k)
{
    k->mm_scratch = sizeof(amx_scratch);
    k->mm_tile_rows = ROWS;
}
