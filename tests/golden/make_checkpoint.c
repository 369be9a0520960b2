/* Writes the checkpoint of a golden case, for tests that need one.
 * Usage: make_checkpoint DATA SCRATCH CASE; it lies in SCRATCH/checkpoint-CASE then. */
#include "checkpoint_case.h"
#include "test.h"

int main(int argc, char **argv)
{
    checkpoint_case s;

    if (argc != 4) {
        fprintf(stderr, "usage: make_checkpoint DATA SCRATCH CASE\n");
        return 2;
    }
    checkpoint_case_open(&s, argv[1], argv[2], argv[3], AWQ_NONE);
    checkpoint_case_forget(&s);
    return 0;
}
