/* Names of the public enumerations of chat.h. */
#include "joule/chat.h"

const char *jl_chat_format_name(jl_chat_format format)
{
    switch (format) {
    case JL_CHAT_GEMMA4_LARGE: return "gemma4-large";
    case JL_CHAT_GEMMA4_SMALL: return "gemma4-small";
    case JL_CHAT_LLAMA3: return "llama3";
    case JL_CHAT_MISTRAL_V7: return "mistral-v7-tekken";
    case JL_CHAT_MISTRAL_V11: return "mistral-v11-tekken";
    case JL_CHAT_MISTRAL_V3: return "mistral-v3-tekken";
    default: return "unknown";
    }
}

const char *jl_chat_repair_name(jl_chat_repair repair)
{
    static const char *const names[] = {
#define JL_REPAIR_NAME(name, text) #name,
        JL_REPAIR_LIST(JL_REPAIR_NAME)
#undef JL_REPAIR_NAME
    };
    return (unsigned)repair < JL_REPAIR_COUNT ? names[repair] : "";
}

const char *jl_chat_repair_text(jl_chat_repair repair)
{
    static const char *const texts[] = {
#define JL_REPAIR_TEXT(name, text) text,
        JL_REPAIR_LIST(JL_REPAIR_TEXT)
#undef JL_REPAIR_TEXT
    };
    return (unsigned)repair < JL_REPAIR_COUNT ? texts[repair] : "";
}

const char *jl_chat_finish_name(jl_chat_finish finish)
{
    switch (finish) {
    case JL_FINISH_TOOL_CALLS: return "tool_calls";
    case JL_FINISH_LENGTH: return "length";
    case JL_FINISH_CANCELLED: return "cancelled";
    default: return "stop";
    }
}
