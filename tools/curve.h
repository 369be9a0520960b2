/* Size against divergence: the points of several files in a CSV file, and their picture. */
#ifndef JL_TOOLS_CURVE_H
#define JL_TOOLS_CURVE_H

#include <stdint.h>

#include "joule/status.h"

typedef struct {
    char series[40], name[80];
    uint64_t bytes; /* of the file */
    double kl, kl_error, kl_p99, top1;
} curve_point;

enum { CURVE_MAX_POINTS = 1000 };

/* Puts a point into the CSV file, in place of an earlier one of the same series and name. The file
 * is made if it is not there. */
JL_MUST_CHECK jl_status curve_add(const char *path, const curve_point *p, jl_error *err);
/* Draws the points of a CSV file: those of a named series are joined, others stand alone. */
JL_MUST_CHECK jl_status curve_draw(const char *path, const char *svg_path, jl_error *err);

#endif
