/* JQ4 with SME: laying out the operands, in streaming mode. Part of mm_jq4_sme_inl.h.
 *
 * A block is VL rows (columns) x 16 k in 4 vectors; a strip is [k / 16][2] blocks. With SME2
 * vector i of a block holds k = 4 i .. 4 i + 3 of all rows, and a multi-vector load takes the
 * block as it lies. SME has the structure load of SVE, which deals out words in turn: a block is
 * [row][16 k] there. */
#ifndef JL_BACKEND_CPU_ARM_MM_JQ4_SME_LAY_INL_H
#define JL_BACKEND_CPU_ARM_MM_JQ4_SME_LAY_INL_H

ALWAYS size_t block_bytes(size_t vl) __arm_streaming_compatible
{
    return 16 * vl;
}

/* ---- weights: a vector of the file's tiles is VL rows x 8 columns as nibbles, and every 16
 * bytes of it have a table of their own */

/* Bits 12 p .. of codes, those of two tables, as an offset in the pairs of tables. The mask is a
 * variable so that it stays in a register, from where it can be combined with a shifted number; as
 * a constant it costs one more instruction. */
ALWAYS uint64_t pair_offset(uint64_t codes, int p, uint64_t mask) __arm_streaming_compatible
{
    return (p ? codes >> (12 * p - 5) : codes << 5) & mask;
}

/* The tables of VL rows, the first of which has code `first` of 8. Lanes that are off are not read,
 * not even before the pairs. */
ALWAYS svint8_t row_tables(uint64_t codes, int first, uint64_t mask, size_t vl) STREAMING
{
    const svbool_t all = svptrue_b8();
    const svbool_t low = svwhilelt_b8_u32(0, 32);
    const int8_t *pairs = jl_arm_jq4_pairs[0];

    if (vl == 4)
        return svld1_s8(all, jl_jq4_values[codes >> 6 * first & (JL_JQ4_TABLES - 1)]);
    if (vl == 8)
        return svld1_s8(all, pairs + pair_offset(codes, first / 2, mask));
    return svorr_s8_x(all, svld1_s8(low, pairs + pair_offset(codes, first / 2, mask)),
                      svld1_s8(svnot_b_z(all, low),
                               pairs + pair_offset(codes, first / 2 + 1, mask) - 32));
}

/* Which of a vector's tables its bytes want, as bits to combine with a nibble. */
ALWAYS svuint8_t quads(void) STREAMING
{
    return svand_n_u8_x(svptrue_b8(), svindex_u8(0, 1), 0x30);
}

/* 4 vectors of tiles. */
ALWAYS svuint8x4_t load_tiles(const uint8_t *p, size_t vl) STREAMING
{
#ifdef __ARM_FEATURE_SME2
    (void)vl;
    return svld1_u8_x4(svptrue_c8(), p);
#else
    const svbool_t all = svptrue_b8();

    return svcreate4_u8(svld1_u8(all, p), svld1_u8(all, p + 4 * vl), svld1_u8(all, p + 8 * vl),
                        svld1_u8(all, p + 12 * vl));
#endif
}

/* Look-up indices of the low or the high nibbles of 4 vectors. */
#define EACH4(f, v) svcreate4_u8(f(svget4_u8(v, 0)), f(svget4_u8(v, 1)), f(svget4_u8(v, 2)), \
                                 f(svget4_u8(v, 3)))
ALWAYS svuint8x4_t low_nibbles(svuint8x4_t v) STREAMING
{
    const svuint8_t quad = quads();

#define LOW(x) svbsl_n_u8(x, quad, 15)
    return EACH4(LOW, v);
#undef LOW
}

ALWAYS svuint8x4_t high_nibbles(svuint8x4_t v) STREAMING
{
    const svbool_t all = svptrue_b8();
    const svuint8_t quad = quads();

#ifdef __ARM_FEATURE_SME2
#define HIGH(x) svlsr_n_u8_x(all, x, 4)
    return svadd_single_u8_x4(EACH4(HIGH, v), quad);
#else
#define HIGH(x) svorr_u8_x(all, svlsr_n_u8_x(all, x, 4), quad)
    return EACH4(HIGH, v);
#endif
#undef HIGH
}

/* VL rows x 16 columns as the block `at` blocks from p: indices l and h in table t for 8 columns, m
 * and i in table u for the others. In assembly, so that the place is part of an address. */
#ifdef __ARM_FEATURE_SME2
#define PUT_BLOCK(p, at, t, l, h, u, m, i)                                                         \
    __asm__ volatile("tbl z4.b, {%[t_].b}, %[l_].b\n"                                              \
                     "tbl z5.b, {%[t_].b}, %[h_].b\n"                                              \
                     "tbl z6.b, {%[u_].b}, %[m_].b\n"                                              \
                     "tbl z7.b, {%[u_].b}, %[i_].b\n"                                              \
                     "st1b {z4.b-z7.b}, %[all], [%[p_], #4*" #at ", mul vl]\n"                     \
                     :                                                                             \
                     : [t_] "w"(t), [u_] "w"(u), [l_] "w"(l), [h_] "w"(h), [m_] "w"(m),            \
                       [i_] "w"(i), [p_] "r"(p), [all] "Uph"(svptrue_c8())                         \
                     : "z4", "z5", "z6", "z7", "memory")
#else
#define LOOK_UP(t, i) svreinterpret_s32_s8(svtbl_s8(t, i))
#define PUT_BLOCK(p, at, t, l, h, u, m, i)                                                         \
    svst4_vnum_s32(svptrue_b32(), (int32_t *)(void *)(p), 4 * (at),                                \
                   svcreate4_s32(LOOK_UP(t, l), LOOK_UP(t, h), LOOK_UP(u, m), LOOK_UP(u, i)))
#endif

#ifdef __ARM_FEATURE_SME2
/* With SME2 and VL 16: ZT0, which holds the numbers 0 .. 15, makes bytes of nibbles in the order of
 * the file's bytes, 8 rows x 8 columns to a vector, whose tables are one pair; low and high nibbles
 * part after the look-up. */
ALWAYS void identity_zt0(void) STREAMING
{
    static const uint32_t numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

    svldr_zt(0, numbers);
}

/* 16 rows x 16 columns, whose indices are i and whose codes are c, as the block `at` blocks from
 * p. */
#define PUT_PAIRS(p, at, c, i)                                                                     \
    __asm__ volatile("tbl z4.b, {%[t0].b}, %[i0].b\n"                                              \
                     "tbl z5.b, {%[t1].b}, %[i1].b\n"                                              \
                     "tbl z6.b, {%[t2].b}, %[i2].b\n"                                              \
                     "tbl z7.b, {%[t3].b}, %[i3].b\n"                                              \
                     "uzp {z4.b-z5.b}, z4.b, z5.b\n"                                               \
                     "uzp {z6.b-z7.b}, z6.b, z7.b\n"                                               \
                     "st1b {z4.b-z7.b}, %[all], [%[p_], #4*" #at ", mul vl]\n"                     \
                     :                                                                             \
                     : [t0] "w"(PAIR(c, 0)), [t1] "w"(PAIR(c, 1)), [t2] "w"(PAIR(c, 2)),           \
                       [t3] "w"(PAIR(c, 3)), [i0] "w"(svget4_u8(i, 0)),                            \
                       [i1] "w"(svget4_u8(i, 1)), [i2] "w"(svget4_u8(i, 2)),                       \
                       [i3] "w"(svget4_u8(i, 3)), [p_] "r"(p), [all] "Uph"(svptrue_c8())           \
                     : "z4", "z5", "z6", "z7", "memory")

ALWAYS void expand_32(uint64_t c0, uint64_t c1, uint64_t mask, const uint8_t *tiles,
                      int8_t *out) STREAMING
{
    const svbool_t low = svwhilelt_b8_u32(0, 32);
    const svuint8_t second = svand_n_u8_x(svptrue_b8(), svlsr_n_u8_x(svptrue_b8(), quads(), 1), 16);
    const svuint8x4_t v = load_tiles(tiles, 16);
#define PAIR(c, p) svld1_s8(low, jl_arm_jq4_pairs[0] + pair_offset(c, p, mask))
#define NIBBLES(i) svluti4_lane_zt_u8_x2(0, svget4_u8(v, i), 0)
#define BOTH(a, b) svcreate4_u8(svget2_u8(a, 0), svget2_u8(a, 1), svget2_u8(b, 0), svget2_u8(b, 1))
    const svuint8x4_t first16 = svadd_single_u8_x4(BOTH(NIBBLES(0), NIBBLES(1)), second);
    const svuint8x4_t last16 = svadd_single_u8_x4(BOTH(NIBBLES(2), NIBBLES(3)), second);

    PUT_PAIRS(out, 0, c0, first16);
    PUT_PAIRS(out, 2, c1, last16);
#undef PAIR
#undef NIBBLES
#undef BOTH
}
#undef PUT_PAIRS
#endif

/* 16 columns of 16 rows to the blocks of their first VL rows, from out on, and of the others; with
 * VL 16, 32 columns. codes: of 16 columns each. */
ALWAYS void expand_16(uint64_t c0, uint64_t c1, uint64_t mask, const uint8_t *tiles, int8_t *out,
                      size_t vl) STREAMING
{
    const size_t strip = 2 * vl * TILE_K;
    const svuint8x4_t v = load_tiles(tiles, vl);
    const svuint8x4_t low = low_nibbles(v);
    const svuint8x4_t high = high_nibbles(v);

#define TABLES(c, first) row_tables(c, first, mask, vl)
#define LOW(i) svget4_u8(low, i)
#define HIGH(i) svget4_u8(high, i)
    if (vl == 16) {
        PUT_BLOCK(out, 0, TABLES(c0, 0), LOW(0), HIGH(0), TABLES(c0, 4), LOW(1), HIGH(1));
        PUT_BLOCK(out, 2, TABLES(c1, 0), LOW(2), HIGH(2), TABLES(c1, 4), LOW(3), HIGH(3));
    } else if (vl == 8) {
        PUT_BLOCK(out, 0, TABLES(c0, 0), LOW(0), HIGH(0), TABLES(c0, 4), LOW(2), HIGH(2));
        PUT_BLOCK(out, 1, TABLES(c0, 2), LOW(1), HIGH(1), TABLES(c0, 6), LOW(3), HIGH(3));
    } else {
        const svuint8x4_t w = load_tiles(tiles + 64, vl);
        const svuint8x4_t low_w = low_nibbles(w);
        const svuint8x4_t high_w = high_nibbles(w);
#define BLOCK4(p, at, i)                                                                           \
    PUT_BLOCK(p, at, TABLES(c0, i), LOW(i), HIGH(i), TABLES(c0, 4 + i), svget4_u8(low_w, i),       \
              svget4_u8(high_w, i))
        BLOCK4(out, 0, 0);
        BLOCK4(out, 1, 1);
        BLOCK4(out + strip, 0, 2);
        BLOCK4(out + strip, 1, 3);
#undef BLOCK4
    }
#undef TABLES
#undef LOW
#undef HIGH
}

/* A group to the blocks of its first VL rows, from out on, and of the others. 8 bytes hold the
 * codes of 16 columns; behind the last codes lie the tiles. */
ALWAYS void expand_group(const jq4_part *p, const jq4_group *g, int8_t *out, size_t vl) STREAMING
{
    const uint8_t *codes = g->codes + 3 * (p->k / 8);
    const uint8_t *tiles = g->tiles + 8 * p->k;
    uint64_t mask = (JL_JQ4_TABLES * JL_JQ4_TABLES - 1) * 32;

    __asm__("" : "+r"(mask));
    for (size_t left = p->n_k; left > 0; left -= 32) {
        uint64_t c[2];
        __asm__("" : "+r"(out)); /* one pointer, offsets in the addresses */
        __builtin_memcpy(&c[0], codes, sizeof c[0]);
        __builtin_memcpy(&c[1], codes + 6, sizeof c[1]);
#ifdef __ARM_FEATURE_SME2
        if (vl == 16)
            expand_32(c[0], c[1], mask, tiles, out);
        else
#endif
            expand_16(c[0], c[1], mask, tiles, out, vl);
        if (vl < 16)
            expand_16(c[1], 0, mask, tiles + 128, out + 2 * block_bytes(vl), vl);
        codes += 12;
        tiles += 256;
        out += 4 * block_bytes(vl);
    }
}

/* The tile's rows. Those that fill up the last strip repeat a group. */
ALWAYS void expand_rows(const jq4_part *p, size_t vl) STREAMING
{
#ifdef __ARM_FEATURE_SME2
    identity_zt0();
#endif
    const size_t n_rows = (p->n_rows + 2 * vl - 1) / (2 * vl) * 2 * vl;

    for (size_t r = 0; r < n_rows; r += JL_JQ4_ROWS) {
        const size_t from = r < p->n_rows ? r : p->n_rows - JL_JQ4_ROWS;
        int8_t *out = p->tile->w + r / (2 * vl) * 2 * vl * TILE_K + r / vl % 2 * block_bytes(vl);
        expand_group(p, &p->groups[from / JL_JQ4_ROWS], out, vl);
    }
}

/* ---- activations: VL columns x VL words are turned in ZA */

#ifdef __ARM_FEATURE_SME2
/* Slices of tile 0: words k .. of VL columns. */
ALWAYS void load_columns(const int32_t *const x[], size_t k, svbool_t words, size_t vl) STREAMING
{
#define WORDS(c) svld1_s32(words, x[c] + k)
#pragma GCC unroll 4
    for (size_t c = 0; c < vl; c += 4)
        svwrite_hor_za32_s32_vg4(
            0, (uint32_t)c, svcreate4_s32(WORDS(c), WORDS(c + 1), WORDS(c + 2), WORDS(c + 3)));
#undef WORDS
}

/* Words 4 i .. 4 i + 3 of all the columns as a block. */
ALWAYS void store_turned(int8_t *out, uint32_t i) STREAMING
{
    svst1_s32_x4(svptrue_c32(), (int32_t *)(void *)out, svread_ver_za32_s32_vg4(0, 4 * i));
}

/* 4 VL words k .. of VL columns, VL to each of the four tiles. In assembly, since compilers do not
 * use the loads whose registers lie 4 apart. */
ALWAYS void load_long_columns(const int32_t *const x[], size_t k, size_t vl) STREAMING
{
#define WORDS(c, a, b, e, f)                                                                       \
    "ld1w {z" #a ".s, z" #b ".s, z" #e ".s, z" #f ".s}, %[all]/z, [%[x" #c "], %[k], lsl #2]\n"
#define ROWS(t, first, last)                                                                       \
    "mova za" #t "h.s[%w[slice], 0:3], {z" #first ".s-z" #last ".s}\n"
#define COLUMNS(c, r)                                                                              \
    do {                                                                                           \
        register uint32_t slice __asm__(r) = c;                                                    \
        __asm__ volatile(WORDS(0, 0, 4, 8, 12) WORDS(1, 1, 5, 9, 13) WORDS(2, 2, 6, 10, 14)        \
                             WORDS(3, 3, 7, 11, 15)                                                \
                                 ROWS(0, 0, 3) ROWS(1, 4, 7) ROWS(2, 8, 11) ROWS(3, 12, 15)        \
                         :                                                                         \
                         : [slice] "r"(slice), [x0] "r"(x[c]), [x1] "r"(x[(c) + 1]),               \
                           [x2] "r"(x[(c) + 2]), [x3] "r"(x[(c) + 3]), [k] "r"(k),                 \
                           [all] "Uph"(all)                                                        \
                         : "z0", "z1", "z2", "z3", "z4", "z5", "z6", "z7", "z8", "z9", "z10",      \
                           "z11", "z12", "z13", "z14", "z15", "memory");                           \
    } while (0)
    const svcount_t all = svptrue_c32();

    COLUMNS(0, "w12");
    if (vl > 4)
        COLUMNS(4, "w13");
    if (vl > 8) {
        COLUMNS(8, "w14");
        COLUMNS(12, "w15");
    }
#undef WORDS
#undef ROWS
#undef COLUMNS
}

/* The same words as blocks, 2 blocks apart. In assembly, so that places are parts of addresses. */
ALWAYS void store_long_columns(int8_t *out, size_t vl) STREAMING
{
#define PUT(t, slice, at)                                                                          \
    "mova {z0.s-z3.s}, za" #t "v.s[%w[" #slice "], 0:3]\n"                                         \
    "st1w {z0.s-z3.s}, %[all], [%[p], #" #at ", mul vl]\n"
#define PUT_TILE(t, a, b, c, d) PUT(t, c0, a) PUT(t, c4, b) PUT(t, c8, c) PUT(t, c12, d)
#define RUN(puts, at)                                                                              \
    __asm__ volatile(puts                                                                          \
                     :                                                                             \
                     : [c0] "r"(c0), [c4] "r"(c4), [c8] "r"(c8), [c12] "r"(c12), [p] "r"(at),      \
                       [all] "Uph"(svptrue_c32())                                                  \
                     : "z0", "z1", "z2", "z3", "memory")
    register uint32_t c0 __asm__("w12") = 0;
    register uint32_t c4 __asm__("w13") = 4;
    register uint32_t c8 __asm__("w14") = 8;
    register uint32_t c12 __asm__("w15") = 12;

    if (vl == 4) {
        RUN(PUT(0, c0, 0) PUT(1, c0, 8) PUT(2, c0, 16) PUT(3, c0, 24), out);
    } else if (vl == 8) {
        RUN(PUT(0, c0, -32) PUT(0, c4, -24) PUT(1, c0, -16) PUT(1, c4, -8) PUT(2, c0, 0)
                PUT(2, c4, 8) PUT(3, c0, 16) PUT(3, c4, 24), out + 128 * vl);
    } else {
        RUN(PUT_TILE(0, -32, -24, -16, -8) PUT_TILE(1, 0, 8, 16, 24), out + 128 * vl);
        RUN(PUT_TILE(2, -32, -24, -16, -8) PUT_TILE(3, 0, 8, 16, 24), out + 384 * vl);
    }
#undef PUT
#undef PUT_TILE
#undef RUN
}
#else
/* The same without SME2. In assembly, since compilers count the slices in instructions of their
 * own. */
ALWAYS void load_columns(const int32_t *const x[], size_t k, svbool_t words, size_t vl) STREAMING
{
#define WORDS(c) "ld1w {za0h.s[%w[slice], " #c "]}, %[words]/z, [%[x" #c "], %[k], lsl #2]\n"
#pragma GCC unroll 4
    for (size_t c = 0; c < vl; c += 4) {
        register uint32_t slice __asm__("w12") = (uint32_t)c;
        __asm__ volatile(WORDS(0) WORDS(1) WORDS(2) WORDS(3)
                         :
                         : [slice] "r"(slice), [x0] "r"(x[c]), [x1] "r"(x[c + 1]),
                           [x2] "r"(x[c + 2]), [x3] "r"(x[c + 3]), [k] "r"(k), [words] "Upl"(words)
                         : "memory");
    }
#undef WORDS
}

ALWAYS void store_turned(int8_t *out, uint32_t i) STREAMING
{
    register uint32_t slice __asm__("w12") = 4 * i;

    __asm__ volatile("mova z0.s, %[all]/m, za0v.s[%w[slice], 0]\n"
                     "mova z1.s, %[all]/m, za0v.s[%w[slice], 1]\n"
                     "mova z2.s, %[all]/m, za0v.s[%w[slice], 2]\n"
                     "mova z3.s, %[all]/m, za0v.s[%w[slice], 3]\n"
                     "st4w {z0.s-z3.s}, %[all], [%[out]]\n"
                     :
                     : [slice] "r"(slice), [out] "r"(out), [all] "Upl"(svptrue_b32())
                     : "z0", "z1", "z2", "z3", "memory");
}
#endif

/* VL columns of activations, n words each, to blocks from out on. n is a multiple of 8. */
ALWAYS void pack_half(const int32_t *const q[], size_t n, int8_t *out, size_t vl) STREAMING
{
    size_t k = 0;

#ifdef __ARM_FEATURE_SME2
    for (; n - k >= 4 * vl; k += 4 * vl) {
        load_long_columns(q, k, vl);
        store_long_columns(out, vl);
        out += 2 * vl * block_bytes(vl);
    }
#endif
    for (size_t left = (n - k) / vl; left > 0; left--) {
        load_columns(q, k, svptrue_b32(), vl);
#pragma GCC unroll 4
        for (size_t i = 0; i < vl / 4; i++)
            store_turned(out + 2 * i * block_bytes(vl), (uint32_t)i);
        out += vl / 2 * block_bytes(vl);
        k += vl;
    }
    if (k == n) /* always, but with 16 lanes */
        return;
    load_columns(q, k, svwhilelt_b32_u64(k, n), vl);
    store_turned(out, 0);
    store_turned(out + 2 * block_bytes(vl), 1);
}

/* The scales of VL columns, `at` lanes from the begin of the strip: n segments each. */
ALWAYS void pack_scales(const int32_t *const d[], size_t n, jq4_tile *t, size_t at,
                        size_t vl) STREAMING
{
    const svbool_t all = svptrue_b32();

    for (size_t k = 0; k < n; k += vl) {
        load_columns(d, k, svwhilelt_b32_u64(k, n), vl);
        for (size_t s = 0; s < vl && k + s < n; s++) {
            const svfloat32_t v = svread_ver_za32_f32_m(svdup_n_f32(0), all, 0, (uint32_t)s);
            svst1_f32(all, t->d[k + s] + at, v);
#ifndef __ARM_FEATURE_SME2 /* sum_up says why */
            svst1_f32(all, t->d[k + s] + 2 * vl + at, v);
#endif
        }
    }
}

/* n columns from c on as the tile's strip, and their scales. Those that fill it up repeat the last
 * one. */
ALWAYS void pack_strip(const jq4_part *p, size_t c, size_t n, size_t vl) STREAMING
{
    const uint32_t *cols = p->a->cols;
    const size_t n_in = p->a->n_in;
    const size_t n_d = (n_in + SEGMENT - 1) / SEGMENT;
    const size_t n_segments = (p->n_k + SEGMENT - 1) / SEGMENT;
    const int8_t *q_at = p->a->q + p->k;
    const float *d_at = p->a->d + p->k / SEGMENT;
    const int32_t *q[STRIP];
    const int32_t *d[STRIP];

    for (size_t i = 0; i < n; i++) {
        const size_t row = cols ? cols[c + i] : c + i;
        q[i] = (const void *)(q_at + row * n_in);
        d[i] = (const void *)(d_at + row * n_d);
    }
    for (size_t i = n; i < 2 * vl; i++) {
        q[i] = q[n - 1];
        d[i] = d[n - 1];
    }
    pack_half(q, p->n_k / 4, p->tile->q, vl);
    pack_half(q + vl, p->n_k / 4, p->tile->q + block_bytes(vl), vl);
    pack_scales(d, n_segments, p->tile, 0, vl);
    pack_scales(d + vl, n_segments, p->tile, vl, vl);
}

#endif
