#include "backend/cpu/arm/jq4_pairs.h"

#include <string.h>

#include "base/thread.h"

_Alignas(64) int8_t jl_arm_jq4_pairs[JL_JQ4_TABLES * JL_JQ4_TABLES][32];

static void fill(void)
{
    for (size_t i = 0; i < JL_JQ4_TABLES * JL_JQ4_TABLES; i++) {
        memcpy(jl_arm_jq4_pairs[i], jl_jq4_values[i % JL_JQ4_TABLES], 16);
        memcpy(jl_arm_jq4_pairs[i] + 16, jl_jq4_values[i / JL_JQ4_TABLES], 16);
    }
}

void jl_arm_jq4_pairs_fill(void)
{
    static jl_once once = JL_ONCE_INIT;

    jl_once_call(&once, fill);
}
