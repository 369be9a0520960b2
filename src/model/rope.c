/* Rotary frequencies, with the scaling that a file may ask for. */
#include <math.h>

#include "model/model.h"

/* YaRN (arXiv:2309.00071, section 3.2): dimension at which n_rot rotations fit the original
 * context. */
static double yarn_dim(const jl_rope_params *p, double n_rot)
{
    const double two_pi = 6.283185307179586;
    return p->n_dims * log(p->n_ctx_orig / (n_rot * two_pi)) / (2.0 * log((double)p->freq_base));
}

/* Share of interpolation (0: keep the frequency, 1: divide it by the factor) for pair i. */
static double yarn_ramp(const jl_rope_params *p, uint32_t i)
{
    const double low = fmax(0.0, floor(yarn_dim(p, p->beta_fast)));
    const double high = fmin(p->n_dims - 1.0, ceil(yarn_dim(p, p->beta_slow)));
    const double y = (i - low) / fmax(0.001, high - low);

    return y < 0.0 ? 0.0 : y > 1.0 ? 1.0 : y;
}

void jl_rope_inv_freq(const jl_rope_params *p, uint32_t head_dim, const float *divisors,
                      float *inv_freq, float *mscale)
{
    *mscale = 1.0f;
    if (p->scaling == JL_ROPE_YARN)
        *mscale = p->attn_factor * (float)(1.0 + 0.1 * log((double)p->factor));

    for (uint32_t i = 0; i < head_dim / 2; i++) {
        /* the power in F32, as the reference implementations have it */
        double f = 1.0 / (double)powf(p->freq_base, (float)(2 * i) / (float)p->n_dims);
        if (divisors)
            f /= (double)divisors[i];
        if (p->scaling == JL_ROPE_LINEAR)
            f /= (double)p->factor;
        if (p->scaling == JL_ROPE_YARN) {
            const double mix = yarn_ramp(p, i);
            f = f * (1.0 - mix) + f / (double)p->factor * mix;
        }
        inv_freq[i] = (float)f;
    }
}
