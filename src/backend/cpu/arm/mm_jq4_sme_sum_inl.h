/* JQ4 with SME: sums and chains of a square of 2 VL rows x 2 VL columns, in streaming mode. Part of
 * mm_jq4_sme_inl.h. Vector 4 r + t of ZA is row r of tile t; tiles 0 and 1 are the first VL rows,
 * tiles 0 and 2 the first VL columns. */
#ifndef JL_BACKEND_CPU_ARM_MM_JQ4_SME_SUM_INL_H
#define JL_BACKEND_CPU_ARM_MM_JQ4_SME_SUM_INL_H

typedef struct {
    size_t n_rows, n_cols; /* that exist: 1 .. 2 VL */
    const int8_t *w;
    const float *scale;
    float *y; /* first row and column */
} jq4_square;

/* What all squares of a part have in common; a variable of its own, which no store can change, so
 * that it stays in registers. */
typedef struct {
    jq4_tile *tile;
    size_t n_whole, n_rest; /* segments of 256 k, and the k of one more */
    size_t y_stride;
    bool resume, last;
} jq4_run;

/* ---- integer sums: two blocks of weights and two of activations make 16 outer products. In
 * assembly, since compilers compute the addresses of multi-vector and structure loads, which
 * then outnumber the loads; here an address is part of the instruction. */

#ifdef __ARM_FEATURE_SME2
#define LOAD(first, last, p, at)                                                                   \
    "ld1b {z" #first ".b-z" #last ".b}, %[count]/z, [%[" #p "], #" #at ", mul vl]\n"
#define ALL [all] "Upl"(svptrue_b8()), [count] "Uph"(svptrue_c8())
#else
#define LOAD(first, last, p, at)                                                                   \
    "ld4w {z" #first ".s-z" #last ".s}, %[all]/z, [%[" #p "], #" #at ", mul vl]\n"
#define ALL [all] "Upl"(svptrue_b8())
#endif
#define OUTER(w0, w1, q0, q1)                                                                      \
    "smopa za0.s, %[all]/m, %[all]/m, z" #w0 ".b, z" #q0 ".b\n"                                    \
    "smopa za1.s, %[all]/m, %[all]/m, z" #w0 ".b, z" #q1 ".b\n"                                    \
    "smopa za2.s, %[all]/m, %[all]/m, z" #w1 ".b, z" #q0 ".b\n"                                    \
    "smopa za3.s, %[all]/m, %[all]/m, z" #w1 ".b, z" #q1 ".b\n"
/* 16 k; first and second: vectors from w and q on. */
#define STEP(first, second)                                                                        \
    LOAD(0, 3, w, first) LOAD(4, 7, q, first) LOAD(16, 19, w, second) LOAD(20, 23, q, second)      \
    OUTER(0, 16, 4, 20) OUTER(1, 17, 5, 21) OUTER(2, 18, 6, 22) OUTER(3, 19, 7, 23)
#define STEPS(steps, w_at, q_at)                                                                   \
    __asm__ volatile(steps                                                                         \
                     :                                                                             \
                     : [w] "r"(w_at), [q] "r"(q_at), ALL                                           \
                     : "z0", "z1", "z2", "z3", "z4", "z5", "z6", "z7", "z16", "z17", "z18", "z19", \
                       "z20", "z21", "z22", "z23", "memory")

/* 128 k, from 32 vectors before w and q to 31 after: what an address reaches. */
#define STEPS_128(w_at, q_at)                                                                      \
    do {                                                                                           \
        STEPS(STEP(-32, -28) STEP(-24, -20) STEP(-16, -12) STEP(-8, -4), w_at, q_at);              \
        STEPS(STEP(0, 4) STEP(8, 12) STEP(16, 20) STEP(24, 28), w_at, q_at);                       \
    } while (0)

/* The last segment of a row: n columns of weights, a multiple of 32. */
ALWAYS void rest_sums(const int8_t *w, const int8_t *q, size_t n, size_t vl) STREAMING
{
    for (; n > 0; n -= 32) {
        STEPS(STEP(0, 4) STEP(8, 12), w, q);
        w += 64 * vl;
        q += 64 * vl;
    }
}

/* ---- chains, in assembly for the same reason */

#ifdef __ARM_FEATURE_SME2

/* Vectors v, v + VL, v + 2 VL, v + 3 VL of ZA, v = slice + i, are a group; groups follow each other
 * in memory. */
#define FOUR(f, a, b, c, e) f(a, 0, 3) f(b, 4, 7) f(c, 8, 11) f(e, 16, 19)
#define PUT(i, first, last)                                                                        \
    "mova {z" #first ".d-z" #last ".d}, za.d[%w[slice], " #i ", vgx4]\n"                           \
    "st1w {z" #first ".s-z" #last ".s}, %[count], [%[p], #4*" #i ", mul vl]\n"
#define GET(i, first, last)                                                                        \
    "ld1w {z" #first ".s-z" #last ".s}, %[count]/z, [%[p], #4*" #i ", mul vl]\n"                   \
    "scvtf {z" #first ".s-z" #last ".s}, {z" #first ".s-z" #last ".s}\n"
#define ADD(i, first, last, d)                                                                     \
    "fmla za.s[%w[slice], " #i ", vgx4], {z" #first ".s-z" #last ".s}, %[" #d "].s\n"
#define CHAINS4(a, b, c, e)                                                                        \
    FOUR(GET, a, b, c, e)                                                                          \
    ADD(a, 0, 3, d0) ADD(b, 4, 7, d1) ADD(c, 8, 11, d0) ADD(e, 16, 19, d1)
#define GROUP_REGISTERS                                                                            \
    "z0", "z1", "z2", "z3", "z4", "z5", "z6", "z7", "z8", "z9", "z10", "z11", "z16", "z17", "z18", \
        "z19", "memory"

/* ZA to memory. */
ALWAYS void store_sums(int32_t *out, size_t vl) STREAMING
{
#define PUT_GROUPS(groups)                                                                         \
    __asm__ volatile(groups                                                                        \
                     :                                                                             \
                     : [slice] "r"(slice), [p] "r"(out + 4 * v * vl), [count] "Uph"(all)           \
                     : GROUP_REGISTERS)
    const svcount_t all = svptrue_c32();

#pragma GCC unroll 2
    for (uint32_t v = 0; v < vl; v += 8) {
        register uint32_t slice __asm__("w8") = v;
        if (vl == 4)
            PUT_GROUPS(FOUR(PUT, 0, 1, 2, 3));
        else
            PUT_GROUPS(FOUR(PUT, 0, 1, 2, 3) FOUR(PUT, 4, 5, 6, 7));
    }
#undef PUT_GROUPS
}

/* One segment onto the chains, which are in ZA. */
ALWAYS void add_segment(const int32_t *sums, svfloat32_t d0, svfloat32_t d1, size_t vl) STREAMING
{
#define ADD_GROUPS(groups)                                                                         \
    __asm__ volatile(groups                                                                        \
                     :                                                                             \
                     : [slice] "r"(slice), [p] "r"(sums + 4 * v * vl), [count] "Uph"(all),         \
                       [d0] "x"(d0), [d1] "x"(d1)                                                  \
                     : GROUP_REGISTERS)
    const svcount_t all = svptrue_c32();

#pragma GCC unroll 2
    for (uint32_t v = 0; v < vl; v += 8) {
        register uint32_t slice __asm__("w8") = v;
        if (vl == 4)
            ADD_GROUPS(CHAINS4(0, 1, 2, 3));
        else
            ADD_GROUPS(CHAINS4(0, 1, 2, 3) CHAINS4(4, 5, 6, 7));
    }
#undef ADD_GROUPS
}

/* The chains of a square, in ZA. */
ALWAYS void sum_up(jq4_tile *t, size_t n_segments, size_t vl) STREAMING
{
    for (size_t s = 0; s < n_segments; s++)
        add_segment(t->sums[s], svld1_f32(svptrue_b32(), t->d[s]),
                    svld1_f32(svptrue_b32(), t->d[s] + vl), vl);
}

#define SLICES(t) "mova {z0.s-z3.s}, za" #t "v.s[%w[slice], 0:3]\n"

#else

/* ZA to memory or back, all vectors in order; an instruction names 16 of them. */
#define MOVE(op, i) op " za[%w[slice], " #i "], [%[p], #" #i ", mul vl]\n"
#define MOVE4(op, a, b, c, e) MOVE(op, a) MOVE(op, b) MOVE(op, c) MOVE(op, e)
#define MOVE_ZA(op, memory, vl)                                                                    \
    for (uint32_t v = 0; v < 4 * (vl); v += 16) {                                                  \
        register uint32_t slice __asm__("w12") = v;                                                \
        __asm__ volatile(MOVE4(op, 0, 1, 2, 3) MOVE4(op, 4, 5, 6, 7) MOVE4(op, 8, 9, 10, 11)       \
                             MOVE4(op, 12, 13, 14, 15)                                             \
                         :                                                                         \
                         : [slice] "r"(slice), [p] "r"((memory) + v * (vl))                        \
                         : "memory");                                                              \
    }

ALWAYS void store_sums(int32_t *out, size_t vl) STREAMING
{
    MOVE_ZA("str", out, vl)
}

/* Without SME2, ZA adds up nothing but outer products, so chains are made in registers: those of
 * row r of the four tiles by one load, which deals out words in turn. Lane i of register j is then
 * word 4 i + j of the row's 4 VL, and wants the scale of word 4 i + j of the columns' scales,
 * written down twice. Rows are z4-7, z8-11, z12-15, z16-19, the scales z20-23. */
#define ADD(acc, sum, d)                                                                           \
    "scvtf z" #sum ".s, %[all]/m, z" #sum ".s\n"                                                   \
    "fmla z" #acc ".s, %[all]/m, z" #sum ".s, z" #d ".s\n"
#define ADD_ROW(i, a, b, c, e)                                                                     \
    "ld4w {z0.s-z3.s}, %[all]/z, [%[sums], #4*" #i ", mul vl]\n"                                   \
    ADD(a, 0, 20) ADD(b, 1, 21) ADD(c, 2, 22) ADD(e, 3, 23)

#define CHAIN_ROWS(op, pred)                                                                       \
    op " {z4.s-z7.s}, %[all]" pred ", [%[chains]]\n"                                               \
    op " {z8.s-z11.s}, %[all]" pred ", [%[chains], #4, mul vl]\n"                                  \
    op " {z12.s-z15.s}, %[all]" pred ", [%[chains], #8, mul vl]\n"                                 \
    op " {z16.s-z19.s}, %[all]" pred ", [%[chains], #12, mul vl]\n"

/* Rows r .. r + 3 of the four tiles. */
ALWAYS void chains_4(jq4_tile *t, size_t r, size_t n_segments, size_t vl) STREAMING
{
    const float *d = t->d[0];
    const int32_t *sums = t->sums[0] + 4 * vl * r;

    __asm__ volatile(CHAIN_ROWS("ld4w", "/z")
                     "1:\n"
                     "ld4w {z20.s-z23.s}, %[all]/z, [%[d]]\n"
                     ADD_ROW(0, 4, 5, 6, 7) ADD_ROW(1, 8, 9, 10, 11) ADD_ROW(2, 12, 13, 14, 15)
                     ADD_ROW(3, 16, 17, 18, 19)
                     "add %[d], %[d], %[next_d]\n"
                     "add %[sums], %[sums], %[next_sums]\n"
                     "subs %[n], %[n], #1\n"
                     "b.ne 1b\n" CHAIN_ROWS("st4w", "")
                     : [d] "+r"(d), [sums] "+r"(sums), [n] "+r"(n_segments)
                     : [chains] "r"(t->chains + 4 * vl * r), [next_d] "r"(sizeof t->d[0]),
                       [next_sums] "r"(sizeof t->sums[0]), [all] "Upl"(svptrue_b32())
                     : "z0", "z1", "z2", "z3", "z4", "z5", "z6", "z7", "z8", "z9", "z10", "z11",
                       "z12", "z13", "z14", "z15", "z16", "z17", "z18", "z19", "z20", "z21", "z22",
                       "z23", "cc", "memory");
}

/* The chains of a square, from ZA to ZA. */
ALWAYS void sum_up(jq4_tile *t, size_t n_segments, size_t vl) STREAMING
{
    MOVE_ZA("str", t->chains, vl)
    for (size_t r = 0; r < vl; r += 4)
        chains_4(t, r, n_segments, vl);
    MOVE_ZA("ldr", t->chains, vl)
}

#define SLICE(t, i) "mova z" #i ".s, %[rows]/m, za" #t "v.s[%w[slice], " #i "]\n"
#define SLICES(t) SLICE(t, 0) SLICE(t, 1) SLICE(t, 2) SLICE(t, 3)

#endif

/* Slices c .. c + 3 of a tile, which are columns, times the rows' scales. */
#define SCALED(i) "fmul z" #i ".s, %[rows]/m, z" #i ".s, %[scale].s\n"
#define STORED(i, at) "st1w {z" #i ".s}, %[rows], [%[y]" at "]\n"
#define STORE4(t, y_at, stride, exist, scales, c)                                                  \
    do {                                                                                           \
        register uint32_t slice __asm__("w12") = c;                                                \
        __asm__ volatile(SLICES(t) SCALED(0) SCALED(1) SCALED(2) SCALED(3) STORED(0, "")           \
                             STORED(1, ", %[s], lsl #2") STORED(2, ", %[s2], lsl #2")              \
                                 STORED(3, ", %[s3], lsl #2")                                      \
                         :                                                                         \
                         : [slice] "r"(slice), [y] "r"(y_at), [s] "r"(stride),                     \
                           [s2] "r"(2 * (stride)), [s3] "r"(3 * (stride)), [rows] "Upl"(exist),    \
                           [scale] "w"(scales)                                                     \
                         : "z0", "z1", "z2", "z3", "memory");                                      \
    } while (0)

/* Integer sums of all segments of the square to memory. */
ALWAYS void square_sums(const jq4_run *run, const jq4_square *s, size_t vl) STREAMING
{
    const size_t reach = 32 * 4 * vl; /* 64 k */
    const int8_t *w = s->w + reach;
    const int8_t *q = run->tile->q + reach;
    int32_t *sums = run->tile->sums[0];

    for (size_t left = run->n_whole; left > 0; left--) {
        svzero_za();
        STEPS_128(w, q);
        STEPS_128(w + 2 * reach, q + 2 * reach);
        store_sums(sums, vl);
        w += 4 * reach;
        q += 4 * reach;
        sums += 4 * MAX_VL * MAX_VL;
    }
    if (run->n_rest == 0)
        return;
    svzero_za();
    rest_sums(w - reach, q - reach, run->n_rest, vl);
    store_sums(sums, vl);
}

/* ---- ZA and y: a tile's first row and column are y's */

#define MOVES(t)                                                                                   \
    ALWAYS void load_##t(const float *y, size_t stride, svbool_t rows, size_t n,                   \
                         size_t vl) STREAMING                                                      \
    {                                                                                              \
        for (uint32_t c = 0; c < n && c < vl; c++)                                                 \
            svld1_ver_za32(t, c, rows, y + c * stride);                                            \
    }                                                                                              \
    ALWAYS void store_##t(float *y, size_t stride, svbool_t rows, svfloat32_t scale,               \
                          size_t vl) STREAMING                                                     \
    {                                                                                              \
        _Pragma("GCC unroll 4") for (uint32_t c = 0; c < vl; c += 4, y += 4 * stride)              \
            STORE4(t, y, stride, rows, scale, c);                                                  \
    }                                                                                              \
    ALWAYS void store_some_##t(float *y, size_t stride, svbool_t rows, size_t n,                   \
                               svfloat32_t scale, size_t vl) STREAMING                             \
    {                                                                                              \
        for (uint32_t c = 0; c < n && c < vl; c++, y += stride)                                    \
            svst1_f32(rows, y,                                                                     \
                      svmul_f32_x(rows, svread_ver_za32_f32_m(scale, rows, t, c), scale));         \
    }
MOVES(0)
MOVES(1)
MOVES(2)
MOVES(3)

/* The chains of the square over the segments of the tile; at the end of the rows times their
 * scales, before it times one. */
ALWAYS void square_chains(const jq4_run *run, const jq4_square *s, size_t vl) STREAMING
{
    const svbool_t all = svptrue_b32();
    const svbool_t rows0 = svwhilelt_b32_u64(0, s->n_rows);
    const svbool_t rows1 = svwhilelt_b32_u64(vl, s->n_rows);
    const svfloat32_t one = svdup_n_f32(1.0f);
    const svfloat32_t scale0 = run->last ? svld1_f32(all, s->scale) : one;
    const svfloat32_t scale1 = run->last ? svld1_f32(all, s->scale + vl) : one;
    const size_t stride = run->y_stride;
    const size_t n = s->n_cols;
    const size_t right = n > vl ? n - vl : 0;
    float *y0 = s->y;
    float *y1 = s->y + vl * stride;

    svzero_za();
    if (run->resume) {
        load_0(y0, stride, rows0, n, vl);
        load_1(y1, stride, rows0, right, vl);
        load_2(y0 + vl, stride, rows1, n, vl);
        load_3(y1 + vl, stride, rows1, right, vl);
    }
    sum_up(run->tile, run->n_whole + (run->n_rest > 0), vl);
    if (n == 2 * vl) {
        store_0(y0, stride, rows0, scale0, vl);
        store_1(y1, stride, rows0, scale0, vl);
        store_2(y0 + vl, stride, rows1, scale1, vl);
        store_3(y1 + vl, stride, rows1, scale1, vl);
        return;
    }
    store_some_0(y0, stride, rows0, n, scale0, vl);
    store_some_1(y1, stride, rows0, right, scale0, vl);
    store_some_2(y0 + vl, stride, rows1, n, scale1, vl);
    store_some_3(y1 + vl, stride, rows1, right, scale1, vl);
}

#endif
