/* A tree of one-line files in memory, as a text: "PATH = VALUE" per line, "PATH ! denied" for one
 * that may not be read, "PATH ! absent" and "PATH ! broken" for one that is listed and then cannot
 * be. The last line of a path counts, so that a test appends what changed. */
#ifndef JL_TESTS_POWER_TREE_H
#define JL_TESTS_POWER_TREE_H

#include "power/sysfs.h"

typedef struct {
    const char *text;
    size_t len;
} tree;

jl_sysfs tree_sysfs(const tree *t);

#endif
