/* Lists of processors as Linux writes them: "0-3,8". */
#ifndef JL_BASE_CPU_LIST_H
#define JL_BASE_CPU_LIST_H

#include <stdlib.h>

typedef struct {
    const char *at;
    long first, last; /* of the range that is being walked; empty when first > last */
} jl_cpu_list;

/* Of a text that outlives the walk. */
static inline jl_cpu_list jl_cpu_list_of(const char *text)
{
    return (jl_cpu_list){text, 1, 0};
}

/* The next processor; -1 at the end or where the text is no list. */
static inline int jl_cpu_list_next(jl_cpu_list *l)
{
    if (l->first > l->last) {
        char *end;
        l->first = strtol(l->at, &end, 10);
        if (end == l->at || l->first < 0)
            return -1;
        l->last = l->first;
        if (*end == '-')
            l->last = strtol(end + 1, &end, 10);
        l->at = *end == ',' ? end + 1 : end;
    }
    return l->first <= l->last && l->first < 65536 ? (int)l->first++ : -1;
}

#endif
