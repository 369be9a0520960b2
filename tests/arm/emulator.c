/* Does this emulator compute int8 outer products right, at which vector length? Exit code 0: right.
 * With -DSME2 the multi-vector forms too. Prints the streaming vector length in bits. */
#include <arm_sme.h>
#include <stdint.h>
#include <stdio.h>

static int8_t a[64], b[64];
static int32_t got[16 * 16];
static float chain[16];

__arm_locally_streaming __arm_new("za") static void outer(void)
{
    svzero_za();
    svmopa_za32_s8_m(0, svptrue_b8(), svptrue_b8(), svld1_s8(svptrue_b8(), a),
                     svld1_s8(svptrue_b8(), b));
    for (uint32_t r = 0; r < svcntw(); r++)
        svst1_hor_za32(0, r, svptrue_b32(), got + r * svcntw());
#ifdef SME2
    svmla_za32_f32_vg1x4(3, svcvt_f32_s32_x4(svread_za32_s32_vg1x4(0)),
                         svcreate4_f32(svdup_n_f32(0.5f), svdup_n_f32(0.5f), svdup_n_f32(0.5f),
                                       svdup_n_f32(0.5f)));
    svst1_hor_za32(3, 0, svptrue_b32(), chain);
#endif
}

int main(void)
{
    const int vl = (int)svcntsw();
    int bad = 0;

    for (int i = 0; i < 64; i++) {
        a[i] = (int8_t)(37 * i + 11);
        b[i] = (int8_t)(91 * i - 5);
    }
    outer();
    for (int r = 0; r < vl; r++)
        for (int c = 0; c < vl; c++) {
            int sum = 0;
            for (int k = 0; k < 4; k++)
                sum += a[4 * r + k] * b[4 * c + k];
            bad += got[r * vl + c] != sum;
        }
#ifdef SME2
    for (int c = 0; c < vl; c++)
        bad += chain[c] != 0.5f * (float)got[c];
#endif
    printf("%d\n", 32 * vl);
    return bad > 0;
}
