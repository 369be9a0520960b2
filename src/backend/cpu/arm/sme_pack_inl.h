/* Laying out operands of `smopa`, before streaming mode. */
#ifndef JL_BACKEND_CPU_ARM_SME_PACK_INL_H
#define JL_BACKEND_CPU_ARM_SME_PACK_INL_H

#include <arm_neon.h>
#include <stddef.h>

/* 16 bytes each of 4 rows (columns), as 4 times 4 rows x 4 k, `apart` bytes from one to the
 * next. */
static inline __attribute__((always_inline)) void put_quads(const int8x16_t x[4], int8_t *out,
                                                            size_t apart)
{
    const int32x4_t a = vreinterpretq_s32_s8(x[0]);
    const int32x4_t b = vreinterpretq_s32_s8(x[1]);
    const int32x4_t c = vreinterpretq_s32_s8(x[2]);
    const int32x4_t d = vreinterpretq_s32_s8(x[3]);
    const int32x4_t ac0 = vzip1q_s32(a, c);
    const int32x4_t ac1 = vzip2q_s32(a, c);
    const int32x4_t bd0 = vzip1q_s32(b, d);
    const int32x4_t bd1 = vzip2q_s32(b, d);

    vst1q_s8(out, vreinterpretq_s8_s32(vzip1q_s32(ac0, bd0)));
    vst1q_s8(out + apart, vreinterpretq_s8_s32(vzip2q_s32(ac0, bd0)));
    vst1q_s8(out + 2 * apart, vreinterpretq_s8_s32(vzip1q_s32(ac1, bd1)));
    vst1q_s8(out + 3 * apart, vreinterpretq_s8_s32(vzip2q_s32(ac1, bd1)));
}

#endif
