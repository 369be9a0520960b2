/* A multiply-accumulate loop of the roofline (backend/peak.h). The including file defines, and this
 * one takes back: MAC_NAME; MAC_VEC, of operands and accumulators; MAC_IN, bytes of one number of
 * an operand; MAC_N_ACC independent accumulators, enough to hide the latency; MAC_ONES;
 * MAC_ADD(acc, x, y); MAC_SUM(acc). */
uint64_t MAC_NAME(uint64_t n, int64_t *sum)
{
    MAC_VEC acc[MAC_N_ACC] = {0};
    MAC_VEC x = MAC_ONES;
    MAC_VEC y = MAC_ONES;

    for (int i = 0; i < MAC_N_ACC; i++)
        __asm__ volatile("" : "+v"(acc[i])); /* or equal chains would become one */
    for (uint64_t r = 0; r < n; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < MAC_N_ACC; i++) {
            __asm__ volatile("" : "+v"(x), "+v"(y)); /* or products would be computed once */
            acc[i] = MAC_ADD(acc[i], x, y);
        }
    }
    *sum = 0;
    for (int i = 0; i < MAC_N_ACC; i++)
        *sum += MAC_SUM(acc[i]);
    return n * MAC_N_ACC * (sizeof x / MAC_IN) * 2;
}
#undef MAC_NAME
#undef MAC_VEC
#undef MAC_N_ACC
#undef MAC_ONES
#undef MAC_ADD
#undef MAC_SUM
#undef MAC_IN
