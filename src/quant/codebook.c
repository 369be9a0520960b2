/* Codebooks of IQ2 and IQ3, made for searching: for every combination of magnitudes the points of
 * the grid nearest to it. A combination that is itself a point is the answer whatever the weights,
 * since each of its magnitudes is the nearest; else the weights decide among the neighbours. */
#include "quant/codebook.h"

#include <float.h>
#include <math.h>

#include "base/mem.h"
#include "quant/iq_tables.h"

static int magnitude(jl_type type, int point, int j)
{
    switch (type) {
    case JL_TYPE_IQ2_XXS:
        return (int)(jl_iq2xxs_grid[point] >> 8 * j & 255);
    case JL_TYPE_IQ2_XS:
        return (int)(jl_iq2xs_grid[point] >> 8 * j & 255);
    case JL_TYPE_IQ2_S:
        return (int)(jl_iq2s_grid[point] >> 8 * j & 255);
    case JL_TYPE_IQ3_XXS:
        return (int)(jl_iq3xxs_grid[point] >> 8 * j & 255);
    default:
        return (int)(jl_iq3s_grid[point] >> 8 * j & 255);
    }
}

static int points_of(jl_type type)
{
    switch (type) {
    case JL_TYPE_IQ2_XS:
    case JL_TYPE_IQ3_S:
        return 512;
    case JL_TYPE_IQ2_S:
        return 1024;
    default:
        return 256;
    }
}

static void find_levels(jl_codebook *c, jl_type type)
{
    for (int value = 0; value < 256; value++) {
        bool used = false;
        for (int p = 0; p < c->n_points && !used; p++)
            for (int j = 0; j < c->dim && !used; j++)
                used = magnitude(type, p, j) == value;
        if (used && c->n_levels < JL_CODE_MAX_LEVELS)
            c->level[c->n_levels++] = (float)value;
    }
}

static int n_codes(const jl_codebook *c)
{
    int n = 1;

    for (int j = 0; j < c->dim; j++)
        n *= c->n_levels;
    return n;
}

/* The neighbours of one combination, by insertion. */
static void find_near(const jl_codebook *c, int code, uint16_t *near)
{
    float distance[JL_CODE_NEIGHBOURS];
    float at[8] = {0};

    for (int j = 0; j < c->dim; j++, code /= c->n_levels)
        at[j] = c->level[code % c->n_levels];
    for (int k = 0; k < JL_CODE_NEIGHBOURS; k++) {
        near[k] = 0;
        distance[k] = FLT_MAX;
    }
    for (int p = 0; p < c->n_points; p++) {
        float d = 0.0f;
        for (int j = 0; j < c->dim; j++) {
            const float e = c->points[p * c->dim + j] - at[j];
            d += e * e;
        }
        int k = JL_CODE_NEIGHBOURS;
        for (; k > 0 && d < distance[k - 1]; k--) {
            if (k == JL_CODE_NEIGHBOURS)
                continue;
            distance[k] = distance[k - 1];
            near[k] = near[k - 1];
        }
        if (k < JL_CODE_NEIGHBOURS) {
            distance[k] = d;
            near[k] = (uint16_t)p;
        }
    }
    /* An exact point needs no others. */
    for (int k = 1; distance[0] == 0.0f && k < JL_CODE_NEIGHBOURS; k++)
        near[k] = near[0];
}

jl_status jl_codebook_create(jl_type type, jl_codebook **out, jl_error *err)
{
    jl_codebook *c = jl_calloc(1, sizeof *c);

    if (!c)
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    c->dim = type == JL_TYPE_IQ3_XXS || type == JL_TYPE_IQ3_S ? 4 : 8;
    c->n_points = points_of(type);
    find_levels(c, type);
    c->points = jl_calloc((size_t)c->n_points * (size_t)c->dim, sizeof *c->points);
    c->near = jl_calloc((size_t)n_codes(c) * JL_CODE_NEIGHBOURS, sizeof *c->near);
    if (!c->points || !c->near) {
        jl_codebook_destroy(c);
        return jl_fail(err, JL_NO_MEMORY, "out of memory");
    }
    for (int p = 0; p < c->n_points; p++)
        for (int j = 0; j < c->dim; j++)
            c->points[p * c->dim + j] = (float)magnitude(type, p, j);
    for (int code = 0; code < n_codes(c); code++)
        find_near(c, code, c->near + (size_t)code * JL_CODE_NEIGHBOURS);
    *out = c;
    return JL_OK;
}

void jl_codebook_destroy(jl_codebook *c)
{
    if (!c)
        return;
    jl_free(c->points);
    jl_free(c->near);
    jl_free(c);
}

static int nearest_code(const jl_codebook *c, const float *v)
{
    int code = 0;

    for (int j = c->dim - 1; j >= 0; j--) {
        int level = 0;
        for (int k = 0; k < c->n_levels - 1; k++)
            level += v[j] > 0.5f * (c->level[k] + c->level[k + 1]);
        code = code * c->n_levels + level;
    }
    return code;
}

int jl_codebook_search(const jl_codebook *c, const float *v, const float *w)
{
    const uint16_t *near = c->near + (size_t)nearest_code(c, v) * JL_CODE_NEIGHBOURS;
    float best = FLT_MAX;
    int at = near[0];

    if (near[1] == near[0])
        return at;
    for (int k = 0; k < JL_CODE_NEIGHBOURS; k++) {
        const float *p = c->points + near[k] * c->dim;
        float lane[4];
        for (int j = 0; j < 4; j++)
            lane[j] = w[j] * (v[j] - p[j]) * (v[j] - p[j]);
        for (int j = 4; j < c->dim; j++)
            lane[j - 4] += w[j] * (v[j] - p[j]) * (v[j] - p[j]);
        const float d = (lane[0] + lane[2]) + (lane[1] + lane[3]);
        if (d < best) {
            best = d;
            at = near[k];
        }
    }
    return at;
}
