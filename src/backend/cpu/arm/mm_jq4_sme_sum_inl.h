/* JQ4 with SME: sums and chains of a square of 2 VL rows x 2 VL columns, in streaming mode. Part of
 * mm_jq4_sme_inl.h. Vector 4 r + t of ZA is row r of tile t; tiles 0 and 1 are the first VL rows,
 * tiles 0 and 2 the first VL columns. */
#ifndef JL_BACKEND_CPU_ARM_MM_JQ4_SME_SUM_INL_H
#define JL_BACKEND_CPU_ARM_MM_JQ4_SME_SUM_INL_H

typedef struct {
    size_t n_rows, n_cols; /* that exist: 1 .. 2 VL */
    const int8_t *w;
    const float *scale; /* of the rows; ones before their end */
    float *y; /* first row and column */
} jq4_square;

/* What all squares of a part have in common; a variable of its own, which no store can change, so
 * that it stays in registers. */
typedef struct {
    jq4_tile *tile;
    size_t n_whole, n_rest; /* segments, and the k of one more */
    size_t y_stride;
    bool resume;
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
#define STEPS(steps, w, q, bytes)                                                                  \
    __asm__ volatile(steps                                                                         \
                     : [w] "+r"(w), [q] "+r"(q)                                                    \
                     : [n] "ri"(bytes), ALL                                                        \
                     : "z0", "z1", "z2", "z3", "z4", "z5", "z6", "z7", "z16", "z17", "z18", "z19", \
                       "z20", "z21", "z22", "z23", "memory")
#define MOVE_ON "add %[w], %[w], %[n]\nadd %[q], %[q], %[n]\n" /* `bytes` */
/* 128 k, from 32 vectors before w and q to 31 after: what an address reaches. */
#define STEPS_128(w, q, bytes)                                                                     \
    do {                                                                                           \
        STEPS(STEP(-32, -28) STEP(-24, -20) STEP(-16, -12) STEP(-8, -4), w, q, bytes);             \
        STEPS(STEP(0, 4) STEP(8, 12) STEP(16, 20) STEP(24, 28) MOVE_ON, w, q, bytes);              \
    } while (0)

/* The sums of n columns of weights, a multiple of 32; w and q: 32 vectors after their begin. */
ALWAYS void rest_sums(const int8_t *w, const int8_t *q, size_t n, size_t vl) STREAMING
{
    for (size_t left = n / 256; left > 0; left--) {
        STEPS_128(w, q, 256 * vl);
        STEPS_128(w, q, 256 * vl);
    }
    for (size_t left = n % 256; left > 0; left -= 32)
        STEPS(STEP(-32, -28) STEP(-24, -20) MOVE_ON, w, q, 64 * vl);
}

/* ---- chains, in assembly for the same reason */

#ifdef __ARM_FEATURE_SME2

/* Vectors v, v + VL, v + 2 VL, v + 3 VL of ZA, v = slice + i, are a group; groups follow each other
 * in memory, the first `at` vectors from p. */
#define FOUR(f, at, a, b, c, e) f(at, a, 0, 3) f(at, b, 4, 7) f(at, c, 8, 11) f(at, e, 16, 19)
#define PUT(at, i, first, last)                                                                    \
    "mova {z" #first ".d-z" #last ".d}, za.d[%w[slice], " #i ", vgx4]\n"                           \
    "st1w {z" #first ".s-z" #last ".s}, %[count], [%[p], #4*" #i #at ", mul vl]\n"
#define GET(at, i, first, last)                                                                    \
    "ld1w {z" #first ".s-z" #last ".s}, %[count]/z, [%[p], #4*" #i #at ", mul vl]\n"               \
    "scvtf {z" #first ".s-z" #last ".s}, {z" #first ".s-z" #last ".s}\n"
#define ADD(i, first, last, d)                                                                     \
    "fmla za.s[%w[slice], " #i ", vgx4], {z" #first ".s-z" #last ".s}, %[" #d "].s\n"
#define PUT4(at, a, b, c, e) FOUR(PUT, at, a, b, c, e)
#define CHAINS4(at, a, b, c, e)                                                                    \
    FOUR(GET, at, a, b, c, e)                                                                      \
    ADD(a, 0, 3, d0) ADD(b, 4, 7, d1) ADD(c, 8, 11, d0) ADD(e, 16, 19, d1)
#define GROUP_REGISTERS                                                                            \
    "z0", "z1", "z2", "z3", "z4", "z5", "z6", "z7", "z8", "z9", "z10", "z11", "z16", "z17", "z18", \
        "z19", "memory"

/* The VL groups of ZA; f: of four of them, run: one statement. */
#define ALL_GROUPS(run, f, p, vl)                                                                  \
    do {                                                                                           \
        if ((vl) == 4) {                                                                           \
            run(f(+0, 0, 1, 2, 3), p, 0);                                                          \
        } else if ((vl) == 8) {                                                                    \
            run(f(+0, 0, 1, 2, 3) f(+0, 4, 5, 6, 7), p, 0);                                        \
        } else {                                                                                   \
            run(f(-32, 0, 1, 2, 3) f(-32, 4, 5, 6, 7), (p) + 32 * (vl), 0);                        \
            run(f(+0, 0, 1, 2, 3) f(+0, 4, 5, 6, 7), (p) + 32 * (vl), 8);                          \
        }                                                                                          \
    } while (0)

/* A statement for ALL_GROUPS: groups from slice v on, `at` in memory, what else they read. */
#define RUN_GROUPS(groups, at, v, ...)                                                             \
    do {                                                                                           \
        register uint32_t slice __asm__("w8") = v;                                                 \
        __asm__ volatile(groups                                                                    \
                         :                                                                         \
                         : [slice] "r"(slice), [p] "r"(at),                                        \
                           [count] "Uph"(svptrue_c32()) __VA_ARGS__                                \
                         : GROUP_REGISTERS);                                                       \
    } while (0)

/* ZA to memory. */
ALWAYS void store_sums(int32_t *out, size_t vl) STREAMING
{
#define RUN(groups, at, v) RUN_GROUPS(groups, at, v, )
    ALL_GROUPS(RUN, PUT4, out, vl);
#undef RUN
}

/* One segment onto the chains, which are in ZA. */
ALWAYS void add_segment(const int32_t *sums, svfloat32_t d0, svfloat32_t d1, size_t vl) STREAMING
{
#define RUN(groups, at, v) RUN_GROUPS(groups, at, v, , [d0] "x"(d0), [d1] "x"(d1))
    ALL_GROUPS(RUN, CHAINS4, sums, vl);
#undef RUN
}

/* The chains of a square, in ZA. */
ALWAYS void sum_up(jq4_tile *t, size_t n_segments, size_t vl) STREAMING
{
    for (size_t s = 0; s < n_segments; s++)
        add_segment(t->sums[s], svld1_f32(svptrue_b32(), t->d[s]),
                    svld1_f32(svptrue_b32(), t->d[s] + vl), vl);
}

/* Columns of tiles t and u, which are below each other, times the rows' scales: the two vectors of
 * a column lie 8 registers apart and go to memory together. */
#define SCALED2(i, j)                                                                              \
    "fmul z" #i ".s, z" #i ".s, %[scale0].s\n"                                                     \
    "fmul z" #j ".s, z" #j ".s, %[scale1].s\n"
#define STORED2(i, j, at) "st1w {z" #i ".s, z" #j ".s}, %[rows], [%[y]" at "]\n"
#define COLUMNS4(t, u, slice)                                                                      \
    "mova {z0.s-z3.s}, za" #t "v.s[%w[" slice "], 0:3]\n"                                          \
    "mova {z8.s-z11.s}, za" #u "v.s[%w[" slice "], 0:3]\n" SCALED2(0, 8) SCALED2(1, 9)             \
        SCALED2(2, 10) SCALED2(3, 11) STORED2(0, 8, "") STORED2(1, 9, ", %[s], lsl #2")            \
            STORED2(2, 10, ", %[s2], lsl #2") STORED2(3, 11, ", %[s3], lsl #2")                    \
    "add %[y], %[y], %[s], lsl #4\n"
#define STORE_COLUMNS(columns)                                                                     \
    __asm__ volatile(columns                                                                       \
                     : [y] "+r"(y)                                                                 \
                     : [c0] "r"(c0), [c4] "r"(c4), [c8] "r"(c8), [c12] "r"(c12), [s] "r"(stride),  \
                       [s2] "r"(2 * stride), [s3] "r"(3 * stride), [rows] "Uph"(rows),             \
                       [scale0] "w"(scale0), [scale1] "w"(scale1)                                  \
                     : "z0", "z1", "z2", "z3", "z8", "z9", "z10", "z11", "memory")
#define STORE_TILES(t, u)                                                                          \
    ALWAYS void store_##t##u(float *y, size_t stride, svcount_t rows, svfloat32_t scale0,          \
                             svfloat32_t scale1, size_t vl) STREAMING                              \
    {                                                                                              \
        register uint32_t c0 __asm__("w12") = 0;                                                   \
        register uint32_t c4 __asm__("w13") = 4;                                                   \
        register uint32_t c8 __asm__("w14") = 8;                                                   \
        register uint32_t c12 __asm__("w15") = 12;                                                 \
        if (vl == 4)                                                                               \
            STORE_COLUMNS(COLUMNS4(t, u, "c0"));                                                   \
        else if (vl == 8)                                                                          \
            STORE_COLUMNS(COLUMNS4(t, u, "c0") COLUMNS4(t, u, "c4"));                              \
        else                                                                                       \
            STORE_COLUMNS(COLUMNS4(t, u, "c0") COLUMNS4(t, u, "c4") COLUMNS4(t, u, "c8")           \
                              COLUMNS4(t, u, "c12"));                                              \
    }
STORE_TILES(0, 2)
STORE_TILES(1, 3)

/* A square of 2 VL columns and at least one row. */
ALWAYS void store_square(const jq4_square *s, size_t stride, svfloat32_t scale0,
                         svfloat32_t scale1, size_t vl) STREAMING
{
    const svcount_t rows = svwhilelt_c32_u64(0, s->n_rows, 2);

    store_02(s->y, stride, rows, scale0, scale1, vl);
    store_13(s->y + vl * stride, stride, rows, scale0, scale1, vl);
}

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
#define STORE_TILE(t)                                                                              \
    ALWAYS void store_##t(float *y, size_t stride, svbool_t rows, svfloat32_t scale,               \
                          size_t vl) STREAMING                                                     \
    {                                                                                              \
        _Pragma("GCC unroll 4") for (uint32_t c = 0; c < vl; c += 4, y += 4 * stride)              \
            STORE4(t, y, stride, rows, scale, c);                                                  \
    }
STORE_TILE(0)
STORE_TILE(1)
STORE_TILE(2)
STORE_TILE(3)

/* A square of 2 VL columns and at least one row. */
ALWAYS void store_square(const jq4_square *s, size_t stride, svfloat32_t scale0,
                         svfloat32_t scale1, size_t vl) STREAMING
{
    const svbool_t rows0 = svwhilelt_b32_u64(0, s->n_rows);
    const svbool_t rows1 = svwhilelt_b32_u64(vl, s->n_rows);
    float *right = s->y + vl * stride;

    store_0(s->y, stride, rows0, scale0, vl);
    store_1(right, stride, rows0, scale0, vl);
    store_2(s->y + vl, stride, rows1, scale1, vl);
    store_3(right + vl, stride, rows1, scale1, vl);
}

#endif

/* Integer sums of all segments of the square to memory. */
ALWAYS void square_sums(const jq4_run *run, const jq4_square *s, size_t vl) STREAMING
{
    const int8_t *w = s->w + 128 * vl;
    const int8_t *q = run->tile->q + 128 * vl;
    int32_t *sums = run->tile->sums[0];

    for (size_t left = run->n_whole; left > 0; left--) {
        svzero_za();
#pragma GCC unroll 8
        for (int i = 0; i < SEGMENT / 128; i++)
            STEPS_128(w, q, 256 * vl);
        store_sums(sums, vl);
        sums += 4 * MAX_VL * MAX_VL;
    }
    if (run->n_rest == 0)
        return;
    svzero_za();
    rest_sums(w, q, run->n_rest, vl);
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

/* Chains that an earlier tile left in y. */
ALWAYS void resume_chains(const jq4_square *s, size_t stride, size_t vl) STREAMING
{
    const svbool_t rows0 = svwhilelt_b32_u64(0, s->n_rows);
    const svbool_t rows1 = svwhilelt_b32_u64(vl, s->n_rows);
    const size_t right = s->n_cols > vl ? s->n_cols - vl : 0;
    const float *y1 = s->y + vl * stride;

    load_0(s->y, stride, rows0, s->n_cols, vl);
    load_1(y1, stride, rows0, right, vl);
    load_2(s->y + vl, stride, rows1, s->n_cols, vl);
    load_3(y1 + vl, stride, rows1, right, vl);
}

/* A square of any columns. */
ALWAYS void store_columns(const jq4_square *s, size_t stride, svfloat32_t scale0,
                          svfloat32_t scale1, size_t vl) STREAMING
{
    const svbool_t rows0 = svwhilelt_b32_u64(0, s->n_rows);
    const svbool_t rows1 = svwhilelt_b32_u64(vl, s->n_rows);
    const size_t right = s->n_cols > vl ? s->n_cols - vl : 0;
    float *y1 = s->y + vl * stride;

    store_some_0(s->y, stride, rows0, s->n_cols, scale0, vl);
    store_some_1(y1, stride, rows0, right, scale0, vl);
    store_some_2(s->y + vl, stride, rows1, s->n_cols, scale1, vl);
    store_some_3(y1 + vl, stride, rows1, right, scale1, vl);
}

/* The chains of the square over the segments of the tile, times their scales. */
ALWAYS void square_chains(const jq4_run *run, const jq4_square *s, size_t vl) STREAMING
{
    const svbool_t all = svptrue_b32();
    const svfloat32_t scale0 = svld1_f32(all, s->scale);
    const svfloat32_t scale1 = svld1_f32(all, s->scale + vl);

    svzero_za();
    if (run->resume)
        resume_chains(s, run->y_stride, vl);
    sum_up(run->tile, run->n_whole + (run->n_rest > 0), vl);
    if (s->n_cols == 2 * vl)
        store_square(s, run->y_stride, scale0, scale1, vl);
    else
        store_columns(s, run->y_stride, scale0, scale1, vl);
}

#endif
