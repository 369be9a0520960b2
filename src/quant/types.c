#include "quant/types.h"

#include <ctype.h>

#include "quant/blocks.h"

static const jl_type_info infos[JL_TYPE_MAX] = {
#define GROUP(id) ((id) == JL_TYPE_JQ4 ? 16 : 1)
#define ACT(id) ((id) == JL_TYPE_JQ4 ? JL_ACT_WIDE : 32)
#define INFO(type, id, len, bytes) [id] = {#type, len, bytes, true, GROUP(id), ACT(id)},
#define PLAIN(type, id, len, bytes) [id] = {#type, len, bytes, false, 1, 32},
    JL_WEIGHT_TYPE_LIST(INFO) JL_PLAIN_TYPE_LIST(PLAIN)
#undef INFO
#undef PLAIN
#undef GROUP
#undef ACT
};

/* Ids of GGUF files that joule does not read: removed, never meant for files, newer, or (133 and
 * above) written by the ik_llama.cpp fork only. */
static const struct {
    uint32_t id;
    const char *name;
} refused[] = {
    {4, "Q4_2"},        {5, "Q4_3"},        {9, "Q8_1"},        {15, "Q8_K"},
    {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},   {33, "Q4_0_8_8"},   {34, "TQ1_0"},
    {35, "TQ2_0"},      {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"},
    {40, "NVFP4"},      {41, "Q1_0"},       {42, "Q2_0"},
    {133, "Q6_0"},      {137, "IQ2_K"},     {138, "IQ3_K"},     {139, "IQ4_K"},
    {140, "IQ5_K"},     {141, "IQ6_K"},     {144, "IQ4_KS"},    {145, "IQ2_KS"},
    {146, "IQ4_KSS"},   {152, "IQ5_KS"},    {153, "IQ2_KT"},    {154, "IQ3_KT"},
    {155, "IQ4_KT"},    {156, "IQ3_KS"},    {157, "IQ2_KL"},    {158, "IQ1_KT"},
};

const jl_type_info *jl_type_get(uint32_t id)
{
    static const jl_type_info unknown = {0};

    return id < JL_TYPE_MAX ? &infos[id] : &unknown;
}

const char *jl_type_name(uint32_t id)
{
    const char *name = jl_type_get(id)->name;
    if (name)
        return name;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i].id == id)
            return refused[i].name;
    return "unknown";
}

static bool same_name(const char *a, const char *b)
{
    while (*a && toupper((unsigned char)*a) == toupper((unsigned char)*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

int jl_type_find(const char *name)
{
    for (int id = 0; id < JL_TYPE_MAX; id++)
        if (infos[id].name && same_name(infos[id].name, name))
            return id;
    return -1;
}

uint64_t jl_row_bytes(uint32_t type, uint64_t n)
{
    const jl_type_info *info = jl_type_get(type);

    if (!info->name || n % info->block_len != 0)
        return 0;
    if (type == JL_TYPE_JQ4)
        return n > UINT64_MAX / 4 ? 0 : n ? jl_jq4_row_bytes(n) : 0;
    const uint64_t n_blocks = n / info->block_len;
    return n_blocks > UINT64_MAX / info->block_bytes ? 0 : n_blocks * info->block_bytes;
}
