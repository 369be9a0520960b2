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

/* The sum of the cheapest choices' costs; needs no damages. */
double jl_choose_least(jl_choice_set *sets, size_t n);

/* Types a matrix may become: those whose blocks fit its rows and its present type, cheapest first,
 * which comes last. cost: bytes; damage: 0, not measured. */
void jl_choices_of(const jl_quant_item *item, jl_choice_set *out);

/* meter.c: measures choices. Quantisers are made when first needed and kept: those of IQ2 and IQ3
 * take as long to make as a sample takes to measure. */
typedef struct jl_meter jl_meter;
JL_MUST_CHECK jl_status jl_meter_create(int n_threads, jl_meter **out, jl_error *err);
void jl_meter_destroy(jl_meter *m); /* NULL is fine */
/* Sets the damage of every choice but the last to the relative error on a sample of the matrix.
 * JL_FORMAT names the tensor if a value is not finite. */
JL_MUST_CHECK jl_status jl_meter_errors(jl_meter *m, const jl_quant_item *item, jl_choice_set *set,
                                        jl_error *err);

#endif
