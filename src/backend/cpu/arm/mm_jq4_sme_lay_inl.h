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

ALWAYS void store_block(int8_t *p, svint8_t a, svint8_t b, svint8_t c, svint8_t d) STREAMING
{
#ifdef __ARM_FEATURE_SME2
    svst1_s8_x4(svptrue_c8(), p, svcreate4_s8(a, b, c, d));
#else
    svst4_s32(svptrue_b32(), (int32_t *)(void *)p,
              svcreate4_s32(svreinterpret_s32_s8(a), svreinterpret_s32_s8(b),
                            svreinterpret_s32_s8(c), svreinterpret_s32_s8(d)));
#endif
}

/* ---- weights: a vector of the file's tiles is VL rows x 8 columns as nibbles, and every 16
 * bytes of it have a table of their own */

/* Code i of 8 as an offset in the tables. The mask is a variable so that it stays in a register,
 * from where it can be combined with a shifted number; as a constant it costs one more
 * instruction. */
ALWAYS uint64_t table_offset(uint64_t codes, int i, uint64_t mask) __arm_streaming_compatible
{
    return (i ? codes >> (6 * i - 4) : codes << 4) & mask;
}

/* 16 bytes at p as bytes 16 i .. 16 i + 15 of a vector, zeros elsewhere. */
ALWAYS svint8_t load_quad(const int8_t *p, uint32_t i) STREAMING
{
    const svbool_t upto = svwhilelt_b8_u32(0, 16 * i + 16);

    return svld1_s8(svbic_b_z(upto, upto, svwhilelt_b8_u32(0, 16 * i)), p - 16 * i);
}

/* The tables of codes first .. first + VL / 4 - 1. */
ALWAYS svint8_t merged_tables(const int8_t *tables, uint64_t codes, int first, uint64_t mask,
                              size_t vl) STREAMING
{
#define TABLE(i) load_quad(tables + table_offset(codes, first + (i), mask), i)
    svint8_t t = TABLE(0);

    if (vl == 8)
        t = svorr_s8_x(svptrue_b8(), t, TABLE(1));
    if (vl == 16)
        t = sveor3_s8(sveor_s8_x(svptrue_b8(), t, TABLE(1)), TABLE(2), TABLE(3));
    return t;
#undef TABLE
}

/* 16 columns of VL rows as a block: tiles are theirs of columns 0 .. 7, the codes begin at number
 * `first`. */
ALWAYS void expand_block(const int8_t *tables, uint64_t codes, int first, uint64_t mask,
                         const uint8_t *tiles, int8_t *out, size_t vl) STREAMING
{
    const svbool_t all = svptrue_b8();
    const svuint8_t quad = svand_n_u8_x(all, svindex_u8(0, 1), 0x30);
    const svint8_t t0 = merged_tables(tables, codes, first, mask, vl);
    const svint8_t t1 = merged_tables(tables, codes, first + 4, mask, vl);
    const svuint8_t v0 = svld1_u8(all, tiles);
    const svuint8_t v1 = svld1_u8(all, tiles + 64);

    store_block(out, svtbl_s8(t0, svbsl_n_u8(v0, quad, 15)),
                svtbl_s8(t0, svorr_u8_x(all, svlsr_n_u8_x(all, v0, 4), quad)),
                svtbl_s8(t1, svbsl_n_u8(v1, quad, 15)),
                svtbl_s8(t1, svorr_u8_x(all, svlsr_n_u8_x(all, v1, 4), quad)));
}

/* A group to the blocks of its first VL rows, from out on, and of the others. 8 bytes hold the
 * codes of 16 columns; behind the last codes lie the tiles. */
ALWAYS void expand_group(const jq4_part *p, const jq4_group *g, int8_t *out, size_t vl) STREAMING
{
    const int8_t *tables = p->tile->tables + TABLE_PAD;
    const uint8_t *codes = g->codes + 3 * (p->k / 8);
    const uint8_t *tiles = g->tiles + 8 * p->k;
    uint64_t mask = (JL_JQ4_TABLES - 1) * 16;

    __asm__("" : "+r"(mask));
    for (size_t left = p->n_k; left > 0; left -= 16) {
        uint64_t c;
        __builtin_memcpy(&c, codes, sizeof c);
#pragma GCC unroll 4
        for (size_t n = 0; n < JL_JQ4_ROWS / vl; n++)
            expand_block(tables, c, (int)(n * vl / 4), mask, tiles + n * 4 * vl,
                         out + n / 2 * 2 * vl * TILE_K + n % 2 * block_bytes(vl), vl);
        codes += 6;
        tiles += 128;
        out += 2 * block_bytes(vl);
    }
}

/* The tile's rows. Those that fill up the last strip repeat a group. */
ALWAYS void expand_rows(const jq4_part *p, size_t vl) STREAMING
{
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

    for (size_t left = n / vl; left > 0; left--) {
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
    const jl_mm_args *a = p->a;
    const size_t n_d = (a->n_in + SEGMENT - 1) / SEGMENT;
    const size_t n_segments = (p->n_k + SEGMENT - 1) / SEGMENT;
    const int32_t *q[STRIP];
    const int32_t *d[STRIP];

    for (size_t i = 0; i < n; i++) {
        const size_t row = a->cols ? a->cols[c + i] : c + i;
        q[i] = (const void *)(a->q + row * a->n_in + p->k);
        d[i] = (const void *)(a->d + row * n_d + p->k / SEGMENT);
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
