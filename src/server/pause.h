/* When the reading of prompts pauses for the answers that are being written, and how much is read
 * at once. Times in seconds on any clock that does not go back. */
#ifndef JL_SERVER_PAUSE_H
#define JL_SERVER_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    double limit;      /* longest wait of the answers */
    double cost;       /* of a step of the answers, smoothed; 0: unknown */
    double gap;        /* longest time between two chances to pause in this eval */
    double mark;       /* last chance */
    double waiting;    /* when the answers had their last step */
    uint32_t n_tokens; /* prompt tokens to read at once beside answers */
    uint32_t n_max;    /* at most: the micro-batch */
} jl_pause;

void jl_pause_init(jl_pause *p, double limit, uint32_t n_max);
void jl_pause_served(jl_pause *p, double now); /* the answers had a step that is not a pause */
void jl_pause_begin(jl_pause *p, double now);  /* an eval begins */
/* Between two layers: whether it is time for a step of the answers. */
bool jl_pause_is_due(jl_pause *p, double now);
/* That step began and ended; returns how long the answers waited for it. */
double jl_pause_done(jl_pause *p, double began, double now);
/* The eval of n_read prompt tokens has ended: chooses n_tokens. */
void jl_pause_end(jl_pause *p, uint32_t n_read, double now);

#endif
