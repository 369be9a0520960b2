/* quant_rows TYPE N_PER_ROW IN.f32 IMPORTANCE.f32|- OUT: quantises rows of float32 with the search
 * of src/quant, for scripts/compare-quantizers. The importance has one row, used for all. */
#include <stdio.h>
#include <stdlib.h>

#include "quant/quantizer.h"

static float *read_floats(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f) / sizeof(float);
    rewind(f);
    float *data = malloc(*n * sizeof *data);
    if (data && fread(data, sizeof *data, *n, f) != *n)
        *n = 0;
    fclose(f);
    return data;
}

int main(int argc, char **argv)
{
    jl_quantizer *q = NULL;
    jl_error err = {0};
    size_t n = 0;
    size_t n_importance = 0;

    if (argc != 6)
        return 2;
    const size_t width = strtoul(argv[2], NULL, 10);
    const int type = jl_type_find(argv[1]);
    float *x = read_floats(argv[3], &n);
    float *importance = argv[4][0] == '-' ? NULL : read_floats(argv[4], &n_importance);
    const uint64_t row_bytes = type < 0 ? 0 : jl_row_bytes((uint32_t)type, width);
    FILE *out = fopen(argv[5], "wb");
    if (row_bytes == 0 || !x || n % width || (importance && n_importance != width) || !out ||
        jl_quantizer_create((jl_type)type, &q, &err) != JL_OK) {
        fprintf(stderr, "quant_rows: bad arguments %s\n", err.text);
        return 1;
    }
    unsigned char *row = malloc(row_bytes);
    for (size_t i = 0; row && i < n; i += width) {
        jl_quantizer_row(q, x + i, importance, row, width);
        fwrite(row, 1, row_bytes, out);
    }
    free(row);
    free(x);
    free(importance);
    jl_quantizer_destroy(q);
    return fclose(out) ? 1 : 0;
}
