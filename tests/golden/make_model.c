/* Writes the model of a golden case, for tests that need a small model file.
 * Usage: make_golden_model DATA CASE TYPE OUT.gguf */
#include "golden.h"
#include "quant/types.h"
#include "test.h"

int main(int argc, char **argv)
{
    golden_case c;
    const int type = argc == 5 ? jl_type_find(argv[3]) : -1;
    if (type < 0) {
        fprintf(stderr, "usage: make_golden_model DATA CASE TYPE OUT.gguf\n");
        return 2;
    }
    golden_open(&c, argv[1], argv[2]);
    golden_write_model(&c, argv[4], (jl_type)type);
    golden_close(&c);
    return 0;
}
