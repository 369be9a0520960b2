/* Choosing types under a budget. */
#ifndef JL_CONVERT_CHOOSE_H
#define JL_CONVERT_CHOOSE_H

#include "convert/plan.h"

enum { JL_CHOICE_MAX = 20 };

typedef struct {
    jl_type type;
    double cost;   /* what the budget counts: bytes */
    double damage; /* nats */
} jl_choice;

/* What one matrix may become. */
typedef struct {
    jl_choice choices[JL_CHOICE_MAX];
    size_t n;      /* >= 1 */
    size_t chosen; /* result */
} jl_choice_set;

/* Minimises the sum of damages with the sum of costs at most budget: a Lagrange multiplier found by
 * bisection (optimal for the costs it reaches), then what is left of the budget spent greedily.
 * false if even the cheapest choices cost more; *least is their sum. */
bool jl_choose(jl_choice_set *sets, size_t n, double budget, double *least);

/* Types a matrix may become: those whose blocks fit its rows and its present type, cheapest first;
 * errors measured on a sample. cost and damage are still bytes and relative error. */
JL_MUST_CHECK jl_status jl_choices_of(const jl_quant_item *item, jl_choice_set *out, jl_error *err);

#endif
