/* Safetensors files: whatever the header says, every tensor lies inside the file and has the bytes
 * of its shape. */
#include <stdlib.h>
#include <string.h>

#include "convert/awq.h"
#include "fuzz.h"

static void look(const jl_st *st, const uint8_t *copy, size_t n)
{
    jl_error err;
    jl_awq awq;

    for (size_t i = 0; i < st->n_tensors; i++) {
        const jl_st_tensor *t = &st->tensors[i];
        fuzz_require(t->data >= copy + 8 && t->n_bytes <= n);
        fuzz_require((size_t)(t->data - copy) + t->n_bytes <= n);
        fuzz_require(jl_st_find(st, t->name) == t);
    }
    if (jl_awq_open(st, "a", &awq, &err) != JL_OK)
        return;
    uint8_t *row = malloc(awq.n_in * 4 + 32);
    fuzz_require(row != NULL);
    for (uint64_t o = 0; o<awq.n_out; o += awq.n_out> 64 ? awq.n_out / 8 : 1) {
        jl_awq_row(&awq, o, JL_TYPE_F32, row);
        jl_awq_row(&awq, o, JL_TYPE_Q4_1, row);
    }
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    jl_st st = {0};
    json_t *header = NULL;
    jl_error err;
    uint8_t *copy = malloc(n + 1); /* its own block, so that a byte too far is seen */

    fuzz_require(copy != NULL);
    memcpy(copy, data, n);
    if (jl_st_parse(&st, "input", copy, n, &header, &err) == JL_OK &&
        jl_st_sort(&st, &err) == JL_OK)
        look(&st, copy, n);
    jl_st_close(&st);
    json_decref(header);
    free(copy);
    return 0;
}
