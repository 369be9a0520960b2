/* Choosing types under a budget. */
#include "convert/choose.h"

#include <math.h>

static double total_cost(const jl_choice_set *sets, size_t n)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++)
        sum += sets[i].choices[sets[i].chosen].cost;
    return sum;
}

/* Every set takes the choice of the smallest damage + price * cost. */
static void choose_at(jl_choice_set *sets, size_t n, double price)
{
    for (size_t i = 0; i < n; i++) {
        double best = INFINITY;
        for (size_t k = 0; k < sets[i].n; k++) {
            const jl_choice *c = &sets[i].choices[k];
            const double value = isinf(price) ? c->cost : c->damage + price * c->cost;
            if (value < best) {
                best = value;
                sets[i].chosen = k;
            }
        }
    }
}

/* The step of the most damage saved per cost that still fits; false if there is none. */
static bool spend(jl_choice_set *sets, size_t n, double room)
{
    double best = 0.0;
    size_t at = 0;
    size_t to = 0;

    for (size_t i = 0; i < n; i++) {
        const jl_choice *now = &sets[i].choices[sets[i].chosen];
        for (size_t k = 0; k < sets[i].n; k++) {
            const jl_choice *c = &sets[i].choices[k];
            const double more = c->cost - now->cost;
            const double saved = now->damage - c->damage;
            if (more > room || !(saved > 0.0))
                continue;
            const double rate = more > 0.0 ? saved / more : INFINITY;
            if (rate > best) {
                best = rate;
                at = i;
                to = k;
            }
        }
    }
    if (best > 0.0)
        sets[at].chosen = to;
    return best > 0.0;
}

double jl_choose_least(jl_choice_set *sets, size_t n)
{
    choose_at(sets, n, INFINITY);
    return total_cost(sets, n);
}

bool jl_choose(jl_choice_set *sets, size_t n, double budget, double *least)
{
    double low = -80.0; /* of ln(price): too cheap a price, too much spent */
    double high = 80.0;

    *least = jl_choose_least(sets, n);
    if (*least > budget)
        return false;
    for (int k = 0; k < 100; k++) {
        const double middle = 0.5 * (low + high);
        choose_at(sets, n, exp(middle));
        if (total_cost(sets, n) > budget)
            low = middle;
        else
            high = middle;
    }
    choose_at(sets, n, exp(high));
    if (total_cost(sets, n) > budget) /* a price beyond reach */
        choose_at(sets, n, INFINITY);
    for (size_t k = 0; k < 4 * n && spend(sets, n, budget - total_cost(sets, n)); k++)
        continue;
    return true;
}

static bool allowed(const jl_quant_item *item, jl_type type)
{
    const jl_type_info *info = jl_type_get((uint32_t)type);
    const jl_type_info *own = jl_type_get((uint32_t)item->tensor->type);
    const double bits = 8.0 * info->block_bytes / info->block_len;

    return item->tensor->ne[0] % info->block_len == 0 &&
           bits < 8.0 * own->block_bytes / own->block_len;
}

void jl_choices_of(const jl_quant_item *item, jl_choice_set *out)
{
    static const jl_type by_size[] = {
        JL_TYPE_IQ2_XXS, JL_TYPE_IQ2_XS, JL_TYPE_IQ2_S,  JL_TYPE_Q2_K, JL_TYPE_IQ3_XXS,
        JL_TYPE_IQ3_S,   JL_TYPE_Q3_K,   JL_TYPE_IQ4_XS, JL_TYPE_Q4_0, JL_TYPE_IQ4_NL,
        JL_TYPE_Q4_K,    JL_TYPE_Q4_1,   JL_TYPE_Q5_0,   JL_TYPE_Q5_K, JL_TYPE_Q5_1,
        JL_TYPE_Q6_K,    JL_TYPE_Q8_0};

    out->n = 0;
    for (size_t i = 0; i < sizeof by_size / sizeof *by_size; i++)
        if (allowed(item, by_size[i]))
            out->choices[out->n++] = (jl_choice){
                by_size[i], (double)jl_quant_bytes(item->tensor, by_size[i]), 0.0};
    out->choices[out->n++] =
        (jl_choice){item->tensor->type, (double)item->tensor->n_bytes, 0.0};
}
