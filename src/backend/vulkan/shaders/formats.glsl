// Facts of the type that T_name says, before anything of unpack.glsl is needed.
#if defined T_Q4_0 || defined T_IQ4_NL
#define BLOCK_BYTES 18u
#elif defined T_Q4_1
#define BLOCK_BYTES 20u
#elif defined T_Q5_0
#define BLOCK_BYTES 22u
#elif defined T_Q5_1
#define BLOCK_BYTES 24u
#elif defined T_Q8_0
#define BLOCK_BYTES 34u
#elif defined T_AWQ4
#define BLOCK_BYTES 19u
#elif defined T_MXFP4
#define BLOCK_BYTES 17u
#elif defined T_Q2_K
#define BLOCK_BYTES 84u
#elif defined T_Q3_K || defined T_IQ3_S
#define BLOCK_BYTES 110u
#elif defined T_Q4_K
#define BLOCK_BYTES 144u
#elif defined T_Q5_K
#define BLOCK_BYTES 176u
#elif defined T_Q6_K
#define BLOCK_BYTES 210u
#elif defined T_IQ4_XS || defined T_IQ3_S4
#define BLOCK_BYTES 136u
#elif defined T_IQ3_XXS
#define BLOCK_BYTES 98u
#elif defined T_IQ2_XXS
#define BLOCK_BYTES 66u
#elif defined T_IQ2_XS
#define BLOCK_BYTES 74u
#elif defined T_IQ2_S
#define BLOCK_BYTES 82u
#elif defined T_IQ1_S
#define BLOCK_BYTES 50u
#elif defined T_IQ1_M
#define BLOCK_BYTES 56u
#endif

// blocks of 32 in a block of the format
#if defined T_Q4_0 || defined T_Q4_1 || defined T_Q5_0 || defined T_Q5_1 || defined T_Q8_0 || \
    defined T_IQ4_NL || defined T_MXFP4 || defined T_AWQ4
#define PER_BLOCK 1u
#else
#define PER_BLOCK 8u
#endif

// blocks of 32 with one activation scale: for JQ4 those of JL_ACT_WIDE columns
#ifdef T_JQ4
#define ACT_BLOCKS 32u
#else
#define ACT_BLOCKS 1u
#endif

// the halves of 16 have scales of their own
#if defined T_Q6_K || defined T_Q3_K || defined T_Q2_K || defined T_IQ2_XS || defined T_IQ2_S || \
    defined T_IQ1_M
#define HALVES 1
#else
#define HALVES 0
#endif

// there is a minimum
#if defined T_Q4_1 || defined T_Q5_1 || defined T_Q2_K || defined T_Q4_K || defined T_Q5_K
#define MINIMUM 1
#else
#define MINIMUM 0
#endif

// words of a table of values that is small enough for shared memory
#if defined T_IQ4_NL || defined T_IQ4_XS || defined T_IQ3_S4 || defined T_MXFP4 || \
    defined T_IQ3_XXS || defined T_JQ4
#define TABLE_WORDS 256u
#elif defined T_IQ3_S || defined T_IQ2_XXS
#define TABLE_WORDS 512u
#endif
